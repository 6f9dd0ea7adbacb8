"""Estimators that train a model: they go into pipelines, grid searches and cross-validation.

They keep scikit-learn's contract (`sklearn.utils.estimator_checks.check_estimator`): arguments stay
as they were given, and what is learned stands in attributes that end with `_`.
"""
import contextlib
import copy
import random

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

try:
    from sklearn.utils.validation import validate_data
except ImportError:                                 # scikit-learn before 1.6
    def validate_data(estimator, X, y="no_validation", **options):
        return estimator._validate_data(X, y, **options)


@contextlib.contextmanager
def _seeded(random_state):
    """Within the block, seeds of weights, dropout and orders follow from `random_state`."""
    if random_state is None:
        yield
        return
    kept = random.getstate()
    random.seed(int(check_random_state(random_state).randint(2**31 - 1)))
    try:
        yield
    finally:
        random.setstate(kept)


class _Estimator(BaseEstimator):
    """What the estimators share.

    Args:
        model: A compiled model, of which each `fit` trains a copy; or a function of `(X, y)`, both
            as the model will see them, that makes one.
        warm_start: Whether `fit` goes on with the model of the last `fit`.
        model_kwargs: Dict of further arguments of the function.
        fit_kwargs: Dict of arguments of the model's `fit`.
        random_state: Integer or `RandomState`: `fit` gives the same model each time that a function
            makes it. Defaults to `None`: nnc's own seed.

    Attributes:
        model_: The trained model.
        history_: Its `History`.
    """

    def __init__(self, model, warm_start=False, model_kwargs=None, fit_kwargs=None,
                 random_state=None):
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        return tags

    @property
    def epoch_(self):
        """How many epochs the last `fit` took."""
        check_is_fitted(self)
        return len(self.history_.epoch)

    def set_fit_request(self, **kwargs):
        """Which arguments of `fit` scikit-learn's metadata routing passes on.

        Args:
            **kwargs: Name of an argument and `True`, `False`, `None` or another name for it.

        Returns:
            The estimator.
        """
        from sklearn import get_config
        from sklearn.utils.metadata_routing import MetadataRequest

        if not get_config().get("enable_metadata_routing"):
            raise RuntimeError("set_fit_request: metadata routing is off. Turn it on by "
                               "sklearn.set_config(enable_metadata_routing=True)")
        request = MetadataRequest(owner=type(self).__name__)
        for name, alias in kwargs.items():
            request.fit.add_request(param=name, alias=alias)
        self._metadata_request = request
        return self

    def _make_model(self, X, y):
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if hasattr(self.model, "fit"):
            model = copy.deepcopy(self.model)
        elif callable(self.model):
            model = self.model(X=X, y=y, **(self.model_kwargs or {}))
        else:
            raise TypeError(f"{type(self).__name__}: `model` must be a model or a function that "
                            f"makes one. Received: model={self.model!r}")
        if not getattr(model, "compiled", False) or not model.loss or not model.optimizer:
            raise RuntimeError(f"{type(self).__name__}: the model must be compiled with a loss and "
                               "an optimizer.")
        return model

    def _train(self, X, y, options):
        options = {"verbose": 0, **(self.fit_kwargs or {}), **options}
        with _seeded(self.random_state):
            model = self._make_model(X, y)
            self.history_ = model.fit(X, y, **options)
        self.model_ = model
        return self

    def _outputs(self, X):
        check_is_fitted(self)
        return self.model_.predict(validate_data(self, X, reset=False), verbose=0)


def _weighted(values, weights):
    """The values of rows that count: those with a weight other than 0."""
    weights = np.ones(len(values)) if weights is None else np.asarray(weights)
    return values[weights != 0] if weights.shape == values.shape else values


class SKLearnClassifier(ClassifierMixin, _Estimator):
    __doc__ = "A classifier: targets are given to the model one-hot, one column for each class.\n" \
        + _Estimator.__doc__.partition("\n")[2] + "    classes_: The labels, sorted.\n    "

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags

    def fit(self, X, y, **kwargs):
        """Trains the model; `kwargs` go to the model's `fit`."""
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind not in ("binary", "multiclass"):
            raise ValueError(f"Only binary and multiclass target types are supported. Target type: "
                             f"{kind}")
        classes, places = np.unique(y, return_inverse=True)
        if len(np.unique(_weighted(places, kwargs.get("sample_weight")))) < 2:
            raise ValueError("SKLearnClassifier can't train when only one class is present (rows "
                             "whose sample_weight is 0 do not count). Received: y with the classes "
                             f"{list(classes)}")
        self._train(X, np.eye(len(classes), dtype="float32")[places], kwargs)
        self.classes_ = classes
        return self

    def predict(self, X):
        """The most probable label of each row."""
        best = self._scores(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X):
        """The probability of each class, if the model gives these: rows add up to 1."""
        scores = self._scores(X)
        return scores / scores.sum(axis=1, keepdims=True)

    def decision_function(self, X):
        """The model's outputs; for two classes the second's less the first's."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def _scores(self, X):
        scores = self._outputs(X)
        if scores.shape != (len(scores), len(self.classes_)):
            raise ValueError(f"SKLearnClassifier: the model must give {len(self.classes_)} numbers "
                             f"for each row, one a class. Received: outputs of shape "
                             f"{scores.shape}")
        return scores


class SKLearnRegressor(RegressorMixin, _Estimator):
    __doc__ = "A regressor: targets are given to the model as columns.\n" \
        + _Estimator.__doc__.partition("\n")[2]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X, y, **kwargs):
        """Trains the model; `kwargs` go to the model's `fit`."""
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True)
        self._is_column = y.ndim == 1
        return self._train(X, y.reshape(-1, 1) if y.ndim == 1 else y, kwargs)

    def predict(self, X):
        """The model's outputs, in the shape of the targets that it was trained with."""
        found = self._outputs(X).astype("float64")
        return found[:, 0] if self._is_column and found.ndim == 2 else found


class SKLearnTransformer(TransformerMixin, _Estimator):
    __doc__ = "A transformer: it gives the model's output. Without `y` it learns to give X.\n" \
        + _Estimator.__doc__.partition("\n")[2]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    def fit(self, X, y=None, **kwargs):
        """Trains the model; `kwargs` go to the model's `fit`."""
        if y is None:
            X = y = validate_data(self, X)
        else:
            type_of_target(y, raise_unknown=True)
            X, y = validate_data(self, X, y, multi_output=True)
            y = y.reshape(-1, 1) if y.ndim == 1 else y
        return self._train(X, y, kwargs)

    def transform(self, X):
        """The model's outputs."""
        return self._outputs(X)

    def predict(self, X):
        """The same as `transform`."""
        return self._outputs(X)
