"""Models as scikit-learn's estimators: its own contract, pipelines and searches."""
import numpy as np
import pytest

import nnc
from nnc import wrappers

pytest.importorskip("sklearn")
pytestmark = pytest.mark.filterwarnings("ignore")   # scikit-learn's checks warn on purpose


def make(X, y, units=8, loss=None, activation=None):
    model = nnc.Sequential([nnc.Input((X.shape[1],)), nnc.layers.Dense(units, activation="relu"),
                            nnc.layers.Dense(y.shape[1], activation=activation)])
    model.compile(optimizer=nnc.optimizers.Adam(0.02), loss=loss)
    return model


CLASSES = {"model_kwargs": {"loss": "categorical_crossentropy", "activation": "softmax"},
           "fit_kwargs": {"epochs": 2}}
NUMBERS = {"model_kwargs": {"loss": "mse"}, "fit_kwargs": {"epochs": 2}}


@pytest.mark.parametrize("name, options", [
    ("SKLearnClassifier", CLASSES), ("SKLearnRegressor", NUMBERS), ("SKLearnTransformer", NUMBERS)])
def test_scikit_learns_own_checks(name, options):
    from sklearn.utils.estimator_checks import check_estimator

    results = check_estimator(getattr(wrappers, name)(make, **options), on_fail=None)
    failed = [(r["check_name"], repr(r["exception"])) for r in results if r["status"] == "failed"]
    assert failed == [] and len(results) > 30


def test_pipeline_and_search():
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4)) * 5
    y = np.array(["low", "high"])[(X[:, 0] > 0).astype(int)]
    nnc.utils.set_random_seed(0)
    options = {**CLASSES, "fit_kwargs": {"epochs": 20, "batch_size": 10}}
    pipe = make_pipeline(StandardScaler(), wrappers.SKLearnClassifier(make, **options))
    search = GridSearchCV(pipe, {"sklearnclassifier__fit_kwargs": [
        {"epochs": 1, "batch_size": 90}, {"epochs": 20, "batch_size": 10}]}, cv=2).fit(X, y)
    assert search.best_params_["sklearnclassifier__fit_kwargs"]["epochs"] == 20
    assert search.score(X, y) > 0.9
    assert search.best_estimator_[-1].epoch_ == 20


def test_a_model_is_copied_and_warm_start_goes_on():
    X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    y = X.sum(1)
    model = make(X, y.reshape(-1, 1), loss="mse")
    before = model.get_weights()
    fitted = wrappers.SKLearnRegressor(model, warm_start=True).fit(X, y)
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    first = fitted.model_
    assert fitted.fit(X, y).model_ is first
    assert int(first.optimizer.iterations.numpy()) == 4 and fitted.predict(X).shape == (40,)


@pytest.mark.parametrize("weights", [None, np.arange(6) % 2, np.arange(6) % 2 * 0.5], ids=str)
def test_one_class_is_refused(weights):
    """With rows of weight 0 left out, as scikit-learn counts; how much was trained plays no part."""
    X, y = np.ones((6, 2)), np.arange(6) % 2
    options = {} if weights is None else {"sample_weight": weights}
    with pytest.raises(ValueError, match="only one class is present"):
        wrappers.SKLearnClassifier(make, **CLASSES).fit(X, y * 0 if weights is None else y, **options)


@pytest.mark.parametrize("model, error, text", [
    (3, TypeError, "must be a model or a function"),
    (lambda X, y: nnc.Sequential([nnc.layers.Dense(1)]), RuntimeError, "must be compiled"),
], ids=["number", "not compiled"])
def test_refused_models(model, error, text):
    with pytest.raises(error, match=text):
        wrappers.SKLearnRegressor(model).fit(np.ones((4, 2)), np.ones(4))
