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
        The losses (a nest) and their weights (a nest of floats, or `None`).
    """
    for leaf in tree.flatten(loss):
        if isinstance(leaf, str):
            if leaf.lower() not in ("crossentropy", "ce"):
                losses_module.get(leaf)
        elif not callable(leaf):
            raise ValueError("compile: `loss` must be the name of a loss, a Loss or a function. "
                             f"Received: loss={loss!r} (of type {type(leaf).__name__})")
    weights = tree.flatten(loss_weights)
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise ValueError("compile: `loss_weights` must hold numbers (names of metrics belong "
                             f"into `metrics`). Received: loss_weights={loss_weights!r}")
    count = len(tree.flatten(loss))
    if count > 1 and len(weights) > count or not tree.is_nest(loss) and loss is None and weights:
        raise ValueError("compile: `loss_weights` must hold one number for each loss, here "
                         f"{count}. Received: loss_weights={loss_weights!r}")
    return loss, tree.map_leaves(float, loss_weights)


def check_metrics(metrics, argument):
    """`metrics` as it is, `None` as an empty list; unknown names and what is no metric are refused.
    """
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
    return metrics


def spread(value, outputs, names, what):
    """What `value` says for each output, in the order of `tree.flatten(outputs)`.

    Args:
        value: One thing for all outputs, or a nest that has the structure of the outputs; dicts may
            leave keys out, and may use `names`.
        outputs: The nest of outputs, or one output.
        names: Names of outputs that are a list, or `None`.
        what: What `value` is, for messages.
    """
    if not tree.is_nest(outputs):
        if isinstance(value, dict) and len(value) == 1:
            value = next(iter(value.values()))
        return [value]
    if len(tree.flatten(outputs)) == 1 and not tree.is_nest(value):
        return [value]
    if isinstance(value, dict):
        keys = sorted(outputs) if isinstance(outputs, dict) else list(names or ())
        parts = [outputs[k] for k in keys] if isinstance(outputs, dict) else list(outputs)
        unknown = [k for k in value if k not in keys]
        if unknown or len(keys) != len(parts):
            raise ValueError(f"`{what}` names the output {(unknown or list(value))[0]!r}; the "
                             f"model's outputs are {keys or f'a list of {len(parts)}'}.")
        pairs = [(value.get(k), part) for k, part in zip(keys, parts)]
    elif isinstance(value, (list, tuple)):
        parts = [outputs[k] for k in sorted(outputs)] if isinstance(outputs, dict) else outputs
        if len(value) != len(parts):
            raise ValueError(f"`{what}` must have an entry for each of the {len(parts)} outputs. "
                             f"Received: {len(value)}")
        pairs = list(zip(value, parts))
    else:
        return [value] * len(tree.flatten(outputs))
    return [leaf for part, output in pairs for leaf in spread(part, output, None, what)]


def _as_told(outputs, losses):
    """The leaves of `outputs` in the order in which dicts of losses, or else of outputs, name them:
    that of the logs."""
    if isinstance(outputs, dict):
        keys = [k for k in losses if k in outputs] if isinstance(losses, dict) else outputs
        pairs = [(outputs[k], losses[k] if isinstance(losses, dict) else None) for k in keys]
    elif isinstance(outputs, (list, tuple)):
        fits = isinstance(losses, (list, tuple)) and len(losses) == len(outputs)
        pairs = zip(outputs, losses if fits else [None] * len(outputs))
    else:
        return [outputs]
    return [leaf for part, given in pairs for leaf in _as_told(part, given)]


def output_labels(outputs, names, path=()):
    """A name for each output, `None` where it has none: keys, joined by `/`, else `names`."""
    if isinstance(outputs, dict):
        return [label for key in sorted(outputs)
                for label in output_labels(outputs[key], None, (*path, str(key)))]
    if isinstance(outputs, (list, tuple)):
        if not path and names and len(names) == len(outputs) == len(tree.flatten(outputs)):
            return list(names)
        return [label for i, part in enumerate(outputs)
                for label in output_labels(part, None, (*path, str(i) if path else None))]
    path = [part for part in path if part is not None]
    return ["/".join(path) or None]


def targets_of(y_true, y_pred, names, losses=None):
    """The target of each output, in the order of the outputs; `None` where `losses` has none."""
    count = len(tree.flatten(y_pred))
    if y_true is None:
        return [None] * count
    flat = tree.flatten(y_true)
    if count == 1 and len(flat) == 1:
        return flat
    wanted = [i for i, loss in enumerate(losses or [True] * count) if loss is not None]
    if isinstance(y_true, dict):
        wanted = []                     # names say which are there
    if not isinstance(y_true, dict) and len(flat) == len(wanted) < count:
        found = [None] * count
        for i, leaf in zip(wanted, flat):
            found[i] = leaf
        return found
    if not tree.is_nest(y_true) or len(flat) > count or len(flat) < len(wanted):
        raise ValueError(f"y_true and y_pred have different structures: {len(flat)} targets for "
                         f"{count} outputs: pass `y` as a list or dict with one for each output.")
    if len(flat) == count and not isinstance(y_true, dict):
        return flat
    return spread(y_true, y_pred, names, "y")


def label_places(rows):
    """Where targets are labels: for each sparse cross-entropy among rows of `(loss, index of the
    target, y_pred)` the index, the number of classes, and the label that is passed over, or `None`.
    """
    places = []
    for loss, place, pred in rows:
        function = getattr(loss, "fn", None) or getattr(loss, "_fn", None) or loss
        if function is losses_module.sparse_categorical_crossentropy and len(pred.shape) > 1:
            options = getattr(loss, "_fn_kwargs", None) or {}
            ignored = options.get("ignore_class", getattr(loss, "ignore_class", None))
            places.append((place, pred.shape[-1], ignored))
    return places


def _no_targets(loss, place, outputs, names, y_true):
    """The error of a loss of the output at `place` that has no targets."""
    label = output_labels(outputs, names)[place]
    where = f" for the output {label!r}" if tree.is_nest(outputs) and label else ""
    keys = f"y with {list(y_true)}" if isinstance(y_true, dict) else "y=None"
    return ValueError(f"The loss {loss!r} needs targets{where}: pass `y`. Received: {keys}")


class CompileLoss:
    """The losses of a model, made on first use, when it is known what the shapes are.

    With more than one loss, `metrics` holds the mean of each.
    """

    def __init__(self, loss, weights):
        self._identifiers = loss
        self._weights = weights
        self._entries = None            # (index of the output, Loss, weight, mean or None)
        self.output_names = None
        self.given = None               # the loss of each output, where there are several
        self.labels = []                # (index of the target, classes, allowed label or None)

    @property
    def loss(self):
        """The first `Loss`, or `None` before it was used."""
        return self._entries[0][1] if self._entries else None

    @property
    def metrics(self):
        """The mean of each loss, if there is more than one."""
        return [mean for *_, mean in self._entries or () if mean is not None]

    def _build(self, true, pred, structure, y_true):
        losses = self._identifiers
        weights = self._weights
        names = self.output_names
        if isinstance(losses, (list, tuple)) and len(pred) == 1:
            losses = [list(tree.flatten(losses))]           # several losses of one output
            weights = None if weights is None else [tree.flatten(weights)]
        else:
            losses = spread(losses, structure, names, "loss")
            weights = None if weights is None else \
                spread(weights, structure, names, "loss_weights")
        entries = []
        for i, (loss, weight) in enumerate(zip(losses, weights or [None] * len(losses))):
            several = list(tree.flatten(loss))
            parts = weight if isinstance(weight, (list, tuple)) else [weight] * len(several)
            if len(parts) != len(several):
                raise ValueError("compile: `loss_weights` must hold one number for each loss, here "
                                 f"{len(several)}. Received: {len(parts)}")
            for one, part in zip(several, parts):
                if true[i] is None:
                    raise _no_targets(one, i, structure, names, y_true)
                entries.append((i, _get_loss(one, true[i], pred[i]), part))
        labels = output_labels(structure, names)
        numbers = iter(range(len(pred)))
        place = {i: k for k, i in enumerate(
            _as_told(tree.map_leaves(lambda _: next(numbers), structure), self._identifiers))}
        entries.sort(key=lambda entry: place.get(entry[0], len(place)))
        self._entries, seen = [], {}
        for i, loss, weight in entries:
            mean = None
            if len(entries) > 1:
                name = f"{labels[i] or loss.name}_loss"
                seen[name] = seen.get(name, 0) + 1
                mean = metrics_module.Mean(
                    name=name if seen[name] == 1 else f"{name}_{seen[name] - 1}")
            self._entries.append((i, loss, weight, mean))

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The (weighted) sum of the losses of one batch."""
        pred = tree.flatten(y_pred)
        losses = None
        if len(pred) > 1:
            losses = spread(self._identifiers, y_pred, self.output_names, "loss")
        true = targets_of(y_true, y_pred, self.output_names, losses)
        if self._entries is None:
            self._build(true, pred, y_pred, y_true)
        for i, loss, *_ in self._entries:
            if true[i] is None:
                raise _no_targets(loss.name, i, y_pred, self.output_names, y_true)
        self.given = losses
        flat = tree.flatten(y_true)
        self.labels = label_places(
            (loss, next(k for k, leaf in enumerate(flat) if leaf is true[i]), pred[i])
            for i, loss, *_ in self._entries)
        weights = spread(sample_weight, y_pred, self.output_names, "sample_weight") \
            if len(pred) > 1 else [*tree.flatten(sample_weight), None]
        total = None
        for i, loss, weight, mean in self._entries:
            value = loss(true[i], pred[i], weights[i])
            if value.shape:
                value = op.mean(value, tuple(range(len(value.shape))), 0)
            if mean is not None:
                mean.update_state(value, sample_weight=float(pred[i].shape[0]))
            if weight is not None:
                value = op.multiply(value, weight)
            total = value if total is None else op.add(total, as_loss_scalar(value, total.dtype))
        return total


class CompileMetrics(Metric):
    """The metrics of a model, made on first use. See `metrics` and `weighted_metrics` of `compile`.
    """

    def __init__(self, metrics, weighted_metrics):
        super().__init__(name="compile_metrics")
        self._identifiers = (metrics or (), weighted_metrics or ())
        self._kinds = ([], [])          # plain, weighted: (index of the output, its name, metric)
        self.output_names = self.losses = None      # see CompileLoss: these say which have targets
        self.built = False

    @property
    def metrics(self):
        """The metrics, those without weights first."""
        return [metric for kind in self._kinds for *_, metric in kind]

    @property
    def variables(self):
        return [v for metric in self.metrics for v in metric.variables]

    def build(self, y_true, y_pred):
        """Makes the metrics for labels and outputs of these shapes."""
        pred = tree.flatten(y_pred)
        true = targets_of(y_true, y_pred, self.output_names, self.losses)
        labels = output_labels(y_pred, self.output_names) if len(pred) > 1 else [None]
        kinds = []
        for given, what in zip(self._identifiers, ("metrics", "weighted_metrics")):
            kinds.append([])
            if not given:
                continue
            several = [given] if len(pred) == 1 else \
                spread(given, y_pred, self.output_names, what)
            for i, part in enumerate(several):
                for one in tree.flatten(part):
                    if true[i] is None:
                        raise ValueError(f"`{what}`: output {labels[i] or i} has no targets for "
                                         f"{one!r}: pass them in `y`.")
                    kinds[-1].append((i, labels[i], _get_metric(one, true[i], pred[i])))
        self._kinds = tuple(kinds)
        self.built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        if y_true is None or not any(self._identifiers):
            return
        if not self.built:
            self.build(y_true, y_pred)
        pred = tree.flatten(y_pred)
        true = targets_of(y_true, y_pred, self.output_names, self.losses)
        weights = spread(sample_weight, y_pred, self.output_names, "sample_weight") \
            if len(pred) > 1 else [*tree.flatten(sample_weight), None]
        for i, _, metric in self._kinds[0]:
            metric.update_state(true[i], pred[i])
        for i, _, metric in self._kinds[1]:
            metric.update_state(true[i], pred[i], weights[i])

    def reset_state(self):
        for metric in self.metrics:
            metric.reset_state()

    def _named(self):
        """Name, metric, and whether the name begins with an output's, for each metric."""
        counts = {}
        for weighted, kind in enumerate(self._kinds):
            for _, label, metric in kind:
                name = f"{label}_{metric.name}" if label else metric.name
                if weighted and name in counts:
                    name = f"{label}_weighted_{metric.name}" if label else f"weighted_{name}"
                count = counts.get(name, 0)
                counts[name] = count + 1
                yield f"{name}_{count}" if count else name, metric, label is not None

    def result(self):
        """Name and value of each metric; a name that repeats gets a number (or `weighted_`)."""
        return {name: metric.result() for name, metric, _ in self._named()}

    def names(self):
        """The names of `result()` in the order of results as lists; those of the metrics of several
        outputs come, sorted, behind all others, as in Keras.
        """
        return [name for name, _, labelled in self._named() if not labelled]


def as_loss_scalar(loss, floatx):
    """An additional loss as a scalar of `floatx`."""
    loss = cast_array(loss, floatx)
    return op.sum(loss, tuple(range(len(loss.shape))), 0) if loss.shape else loss
