"""What `compile` was given, made into one loss and a set of metrics once the shapes are known."""
from . import losses as losses_module
from . import metrics as metrics_module
from . import tree
from ._core import op
from .losses.loss import Loss
from .metrics.metric import Metric
from .ops.core import cast_array


def _kind(y_true, y_pred):
    """`"binary"`, `"sparse_categorical"` or `"categorical"`: what the shapes mean."""
    true, pred = tuple(y_true.shape), tuple(y_pred.shape)
    if pred and pred[-1] == 1:
        return "binary"
    if len(true) < len(pred) or (true and true[-1] == 1 and pred[-1] > 1):
        return "sparse_categorical"
    return "categorical"


def _object_name(thing):
    name = getattr(thing, "name", None) or getattr(thing, "__name__", None)
    return name or type(thing).__name__


def _get_loss(identifier, y_true, y_pred):
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        found = losses_module.get(f"{_kind(y_true, y_pred)}_crossentropy")
    else:
        found = losses_module.get(identifier)
    if isinstance(found, Loss):
        return found
    name = identifier if isinstance(identifier, str) else _object_name(found)
    return losses_module.LossFunctionWrapper(found, name=name)


def _get_metric(identifier, y_true, y_pred):
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        kind = {"binary": "BinaryAccuracy", "categorical": "CategoricalAccuracy",
                "sparse_categorical": "SparseCategoricalAccuracy"}[_kind(y_true, y_pred)]
        found = getattr(metrics_module, kind)()
    else:
        found = metrics_module.get(identifier)
    name = identifier if isinstance(identifier, str) else _object_name(found)
    if not isinstance(found, Metric):
        found = metrics_module.MeanMetricWrapper(found)
    found.name = name
    return found


def check_loss(loss, loss_weights):
    """Refuses at `compile` what no output could make right.

    Returns:
        The loss of the one output and its weight (or `None`).
    """
    leaves = tree.flatten(loss, keep_none=True)
    if len(leaves) != 1:
        raise ValueError("compile: models with several outputs are not supported yet, expected one "
                         f"loss. Received: loss={loss!r}")
    loss = leaves[0]
    if isinstance(loss, str):
        if loss.lower() not in ("crossentropy", "ce"):
            losses_module.get(loss)
    elif loss is not None and not callable(loss):
        raise ValueError("compile: `loss` must be the name of a loss, a Loss or a function. "
                         f"Received: loss={loss!r} (of type {type(loss).__name__})")
    weights = tree.flatten(loss_weights)
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise ValueError("compile: `loss_weights` must hold numbers (names of metrics belong "
                             f"into `metrics`). Received: loss_weights={loss_weights!r}")
    if len(weights) > 1:
        raise ValueError("compile: `loss_weights` must hold one number for each loss, here 1. "
                         f"Received: loss_weights={loss_weights!r}")
    return loss, float(weights[0]) if weights else None


def check_metrics(metrics, argument):
    """A flat list of what is in `metrics`; unknown names and what is no metric are refused."""
    if metrics is None:
        return []
    if not isinstance(metrics, (list, tuple, dict)):
        raise ValueError(f"compile: expected `{argument}` to be a list, tuple or dict. "
                         f"Received: {argument}={metrics!r} (of type {type(metrics).__name__})")
    leaves = tree.flatten(metrics)
    for leaf in leaves:
        if isinstance(leaf, str):
            if leaf.lower() not in ("accuracy", "acc"):
                metrics_module.get(leaf)
        elif not callable(leaf):
            raise ValueError(f"compile: `{argument}` must hold names, metrics or functions. "
                             f"Received: {leaf!r} (of type {type(leaf).__name__})")
    return leaves


class CompileLoss:
    """The loss of a model, made on first use, when it is known what the shapes are.

    Attributes:
        classes: How many classes labels may name, if the loss is one of integer labels; else
            `None`.
        ignored: The label that is allowed beside them, or `None`.
    """

    def __init__(self, loss, weight):
        self._identifier = loss
        self._weight = weight
        self._loss = None
        self.classes = self.ignored = None

    @property
    def loss(self):
        """The `Loss`, or `None` before it was used."""
        return self._loss

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The (weighted) loss of one batch."""
        true, pred = tree.flatten(y_true), tree.flatten(y_pred)
        if not true:
            raise ValueError(f"The loss {self._identifier!r} needs targets: pass `y`. Received: "
                             "y=None")
        if len(pred) != 1 or len(true) != 1:
            raise ValueError("Models with several outputs are not supported yet. Received: "
                             f"{len(pred)} outputs and {len(true)} targets")
        if self._loss is None:
            self._loss = _get_loss(self._identifier, true[0], pred[0])
        self._note_classes(true[0], pred[0])
        value = self._loss(true[0], pred[0], sample_weight)
        if value.shape:
            value = op.mean(value, tuple(range(len(value.shape))), 0)
        return value if self._weight is None else op.multiply(value, self._weight)

    def _note_classes(self, y_true, y_pred):
        function = getattr(self._loss, "fn", None) or getattr(self._loss, "_fn", None)
        if function is losses_module.sparse_categorical_crossentropy and len(y_pred.shape) > 1:
            self.classes = y_pred.shape[-1]
            options = getattr(self._loss, "_fn_kwargs", None) or {}
            self.ignored = options.get("ignore_class", getattr(self._loss, "ignore_class", None))


class CompileMetrics(Metric):
    """The metrics of a model, made on first use. See `metrics` and `weighted_metrics` of `compile`.
    """

    def __init__(self, metrics, weighted_metrics):
        super().__init__(name="compile_metrics")
        self._identifiers = list(metrics)
        self._weighted_identifiers = list(weighted_metrics)
        self._plain, self._weighted = [], []
        self.built = False

    @property
    def metrics(self):
        """The metrics, those without weights first."""
        return self._plain + self._weighted

    @property
    def variables(self):
        return [v for metric in self.metrics for v in metric.variables]

    def build(self, y_true, y_pred):
        """Makes the metrics for labels and outputs of these shapes."""
        self._plain = [_get_metric(m, y_true, y_pred) for m in self._identifiers]
        self._weighted = [_get_metric(m, y_true, y_pred) for m in self._weighted_identifiers]
        self.built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        true, pred = tree.flatten(y_true), tree.flatten(y_pred)
        if not true or not self._identifiers and not self._weighted_identifiers:
            return
        if len(pred) != 1 or len(true) != 1:
            raise ValueError("Models with several outputs are not supported yet. Received: "
                             f"{len(pred)} outputs and {len(true)} targets")
        if not self.built:
            self.build(true[0], pred[0])
        for metric in self._plain:
            metric.update_state(true[0], pred[0])
        for metric in self._weighted:
            metric.update_state(true[0], pred[0], sample_weight)

    def reset_state(self):
        for metric in self.metrics:
            metric.reset_state()

    def result(self):
        """Name and value of each metric; a name that repeats gets a number (or `weighted_`)."""
        results, counts = {}, {}
        for metric in self._plain:
            self._add(results, counts, metric.name, metric)
        for metric in self._weighted:
            name = metric.name if metric.name not in counts else f"weighted_{metric.name}"
            self._add(results, counts, name, metric)
        return results

    def names(self):
        """The names of `result()`."""
        results, counts = {}, {}
        for metric in self._plain:
            self._add(results, counts, metric.name, None)
        for metric in self._weighted:
            name = metric.name if metric.name not in counts else f"weighted_{metric.name}"
            self._add(results, counts, name, None)
        return list(results)

    @staticmethod
    def _add(results, counts, name, metric):
        count = counts.get(name, 0)
        counts[name] = count + 1
        if count:
            name = f"{name}_{count}"
        results[name] = None if metric is None else metric.result()


def as_loss_scalar(loss, floatx):
    """An additional loss as a scalar of `floatx`."""
    loss = cast_array(loss, floatx)
    return op.sum(loss, tuple(range(len(loss.shape))), 0) if loss.shape else loss
