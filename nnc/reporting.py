"""How good a model is, and where it is not: `nnc.report`.

Classification: scores of each class, the confusion matrix, calibration, top-k. Regression: errors,
R2, quantiles of the residuals. In both the worst samples by their loss. The scores are
scikit-learn's; a class that is never predicted (or never there) has precision (recall) 0.

Calibration: samples fall into bins by the probability of the predicted class; the expected
calibration error is the mean over samples of |accuracy - mean probability| of their bin (Guo et al.
2017, arXiv:1706.04599).
"""
import numpy as np

from . import tree
from .advice import activation_name, output_layers
from .compile_utils import output_labels, targets_of
from .data.sources import Source, open_source

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_TASKS = ("auto", "classification", "regression")


class _Noting(Source):
    """Another source's batches, whose targets it keeps."""

    def __init__(self, source):
        self.source, self.targets = source, []
        self.steps, self.once, self.what = source.steps, source.once, source.what

    @property
    def until(self):
        """As of the other source, which is told."""
        return self.source.until

    @until.setter
    def until(self, value):
        self.source.until = value

    def batches(self, number):
        for batch in self.source.batches(number):
            if not isinstance(batch, (list, tuple)) or len(batch) < 2 or batch[1] is None:
                raise ValueError(f"report: batches of `x` (a {self.what}) must be tuples (inputs, "
                                 f"targets). Received: {type(batch).__name__}")
            self.targets.append(tree.map_leaves(np.asarray, batch[1]))
            yield batch

    def hook(self, name):
        self.source.hook(name)


def _targets_and_outputs(model, x, y, batch_size, steps):
    """What the model should give and what it gives, by one pass over the data."""
    source = open_source(x)
    if source is None:
        data = model._standardized(x, y, who="report")
        if data.y is None:
            raise ValueError("report: `y` must be the targets. Received: y=None")
        outputs = model.predict(data.x, batch_size, 0, steps)
        return _first([data.y], outputs), outputs
    if y is not None:
        raise ValueError(f"report: `x` (a {source.what}) gives the targets: `y` must be None.")
    if batch_size is not None:
        raise ValueError(f"report: `x` (a {source.what}) gives the batches: `batch_size` must be "
                         f"None. Received: batch_size={batch_size!r}")
    noting = _Noting(source)
    outputs = model._predict_stream(noting, steps, 0, None)
    return _first(noting.targets, outputs), outputs


def _first(parts, outputs):
    """The targets that belong to the outputs: there may be more, of batches read in advance."""
    count = len(tree.flatten(outputs)[0])
    return tree.map_structure(lambda *some: np.concatenate(some)[:count], *parts)


def report(model, x, y=None, batch_size=None, task="auto", class_names=None, bins=15, top_k=(3, 5),
           worst=10, steps=None):
    """Scores of a model on data.

    Args:
        model: A model.
        x: Inputs; or what gives batches of inputs and targets, as for `evaluate`: a `PyDataset`,
            `tf.data`, a PyTorch loader, a generator.
        y: Targets: class numbers, one-hot rows, zeros and ones, or numbers. For several outputs a
            list or dict of these, as for `fit`; an output without targets is left out.
        batch_size: Samples in a step of `predict`, of arrays.
        task: `"classification"`, `"regression"`, or `"auto"`: by the loss, else by the targets.
        class_names: Names of the classes, in their order; for several outputs a dict of an output's
            name and these.
        bins: Bins of the calibration.
        top_k: For which k the share of samples is told whose class is among the k likeliest.
        worst: How many of the worst samples are listed.
        steps: How many batches are taken; by default all.

    Returns:
        A `ClassificationReport` or `RegressionReport`: its text is a table, in a notebook HTML;
        `plot()` draws with matplotlib, `to_dict()` gives all figures. For several outputs `Reports`,
        a dict of these by the outputs' names that shows itself in the same ways.

    Raises:
        TypeError: If `model` is none.
        ValueError: If targets and outputs do not fit, or what gives batches comes with `y` or
            `batch_size`.
    """
    if not hasattr(model, "_standardized"):
        raise TypeError(f"report: `model` must be a model. Received: {model!r} (of type "
                        f"{type(model).__name__})")
    if task not in _TASKS:
        raise ValueError(f"report: `task` must be one of {', '.join(_TASKS)}. Received: "
                         f"task={task!r}")
    for name, value in (("bins", bins), ("worst", worst)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"report: `{name}` must be an integer >= 1. Received: {name}="
                             f"{value!r}")
    y, outputs = _targets_and_outputs(model, x, y, batch_size, steps)
    options = {"bins": bins, "top_k": top_k, "worst": worst}
    if len(tree.flatten(outputs)) > 1:
        return _several(model, y, outputs, task, class_names, options)
    if tree.is_nest(y) and len(tree.flatten(y)) != 1:
        raise ValueError(f"report: `y` must be one array of targets: model '{model.name}' has one "
                         f"output. Received: {len(tree.flatten(y))} arrays")
    return _one_report(model, 0, model.name, tree.flatten(y)[0], tree.flatten(outputs)[0], task,
                       class_names, options)


def _several(model, y, outputs, task, class_names, options):
    """The `Reports` of a model with several outputs: one for each that has targets."""
    names = getattr(model, "output_names", None)
    labels = output_labels(outputs, names)
    labels = [label or str(i) for i, label in enumerate(labels)]
    targets = targets_of(y, outputs, names, getattr(model._compile_loss, "given", None))
    if class_names is not None and not isinstance(class_names, dict):
        raise ValueError("report: for several outputs `class_names` must be a dict of an output's "
                         f"name and its classes' names. Received: class_names={class_names!r}")
    unknown = [name for name in class_names or () if name not in labels]
    if unknown:
        raise ValueError(f"report: `class_names` names the output {unknown[0]!r}; the model's "
                         f"outputs are {labels}.")
    made = {}
    for i, (label, target, output) in enumerate(zip(labels, targets, tree.flatten(outputs))):
        if target is not None:
            made[label] = _one_report(model, i, f"{model.name}, output {label}", target, output,
                                      task, (class_names or {}).get(label), options)
    return Reports(model.name, made)


def _one_report(model, index, name, targets, outputs, task, class_names, options):
    """The report of output number `index`."""
    outputs, targets = np.asarray(outputs, "float64"), np.asarray(targets)
    if task == "auto":
        task = _task_of(model, index, outputs, targets)
    if task == "regression":
        return RegressionReport(name, targets.astype("float64"), outputs, options["worst"])
    probabilities = _probabilities(model, index, outputs)
    labels = _labels(targets, probabilities.shape)
    names = _names(class_names, probabilities.shape[-1])
    return ClassificationReport(name, labels, probabilities.reshape(len(labels), -1), names,
                                **options)


def _loss_of(model, index):
    """The loss of an output, or `None`; what `compile` got if it has not been used yet."""
    entries = getattr(model._compile_loss, "_entries", None)
    if entries:
        return next((entry[1] for entry in entries if entry[0] == index), None)
    losses = tree.flatten(model.loss)
    return losses[0] if len(losses) == 1 else None


def _loss_name(loss):
    name = loss if isinstance(loss, str) else getattr(
        getattr(loss, "fn", loss), "__name__", None) or type(loss).__name__
    return name.lower().replace("_", "")


def _task_of(model, index, outputs, targets):
    loss = _loss_of(model, index) if model.compiled else None
    name = _loss_name(loss) if loss is not None else ""
    if "crossentropy" in name or "hinge" in name or name == "kldivergence":
        return "classification"
    if name:
        return "regression"
    whole = targets.dtype.kind in "uib"
    return "classification" if whole and (outputs.shape[-1] > 1 or set(
        np.unique(targets[:10000])) <= {0, 1}) else "regression"


def _from_logits(model, index):
    """Whether the outputs are still to be made probabilities: by the loss, else by the last layer.
    """
    layers = output_layers(model)
    made = activation_name(layers[index]) if index < len(layers) else None
    if made in ("softmax", "sigmoid"):
        return False
    options = getattr(_loss_of(model, index), "_fn_kwargs", None) or {}
    return bool(options.get("from_logits")) or made == "linear"


def _probabilities(model, index, outputs):
    """A probability for each class, over the last axis."""
    if _from_logits(model, index):
        if outputs.shape[-1] == 1:
            outputs = 1 / (1 + np.exp(-np.clip(outputs, -700, 700)))
        else:
            outputs = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
            outputs /= outputs.sum(axis=-1, keepdims=True)
    if outputs.ndim == 1:
        outputs = outputs[:, None]
    if outputs.shape[-1] == 1:
        outputs = np.concatenate([1 - outputs, outputs], axis=-1)
    return outputs


def _labels(targets, shape):
    """The class number of each sample."""
    classes, places = shape[-1], int(np.prod(shape[:-1]))
    if targets.shape == shape and classes > 1 and targets.size != places:
        if not (np.isin(targets, (0, 1)).all() and (targets.sum(axis=-1) == 1).all()):
            raise ValueError("report: rows of `y` must be one-hot: targets with several classes, "
                             "or shares of them, have no confusion matrix. Received: y[0]="
                             f"{targets.reshape(-1, classes)[0]}")
        return targets.argmax(axis=-1).reshape(-1)
    if targets.size != places:
        raise ValueError(f"report: `y` must hold a class for each of the outputs' {shape[:-1]}, or "
                         f"one-hot rows of {shape}. Received: y.shape={targets.shape}")
    labels = targets.reshape(-1)
    if not np.array_equal(labels, labels.astype("int64")) or labels.min() < 0 \
            or labels.max() >= classes:
        raise ValueError(f"report: classes must be whole numbers from 0 to {classes - 1}. "
                         f"Received: {labels.min()} to {labels.max()}")
    return labels.astype("int64")


def _names(names, classes):
    if names is None:
        return [str(i) for i in range(classes)]
    names = [str(name) for name in names]
    if len(names) != classes:
        raise ValueError(f"report: `class_names` must have a name for each of {classes} classes. "
                         f"Received: {len(names)}")
    return names


def _ratio(a, b):
    return np.divide(a, b, out=np.zeros(np.shape(a)), where=np.asarray(b) != 0)


class _Report:
    """What both have in common."""

    def to_dict(self):
        """All figures, as JSON takes them."""
        return {name: _plain(value) for name, value in self.__dict__.items()}

    def _repr_html_(self):
        from .html import _escape, table_html

        text = f"<div><b>{_escape(self._title())}</b>"
        for title, header, rows in self._tables():
            text += f"<br>{_escape(title)}" + table_html(
                header, rows, ("left", *["right"] * (len(header) - 1)))
        return text + "</div>"

    def __repr__(self):
        lines = [self._title()]
        for title, header, rows in self._tables():
            lines += ["", title]
            widths = [max(len(str(row[k])) for row in (header, *rows)) for k in range(len(header))]
            for row in (header, *rows):
                cells = [str(cell).rjust(w) for cell, w in zip(row, widths)]
                cells[0] = str(row[0]).ljust(widths[0])
                lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)


def _plain(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def _pyplot(who):
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{who}.plot needs matplotlib: pip install matplotlib") from error
    return plt


class ClassificationReport(_Report):
    """Scores of a classifier.

    Attributes:
        accuracy, log_loss, ece: Numbers; `ece` is the expected calibration error.
        classes: Dict of class name and dict of `precision`, `recall`, `f1`, `support`.
        macro, weighted: Their means over classes, plain and weighted by support.
        confusion: Array: a row a true class, a column a predicted one.
        calibration: List of dicts, one a bin that has samples: `low`, `high`, `count`, `accuracy`,
            `confidence`.
        top_k: Dict of k and share.
        worst: List of dicts: `index`, `loss`, `true`, `predicted`, `probability` (of the predicted
            class).
    """

    def __init__(self, name, labels, probabilities, class_names, bins=15, top_k=(), worst=10):
        count, classes = probabilities.shape
        rows = np.arange(count)
        predicted = probabilities.argmax(axis=1)
        self.name, self.count, self.class_names = name, count, class_names
        self.confusion = np.zeros((classes, classes), "int64")
        np.add.at(self.confusion, (labels, predicted), 1)
        self._class_scores()
        right = predicted == labels
        self.accuracy = float(right.mean())
        tiny = np.finfo("float32").eps
        loss = -np.log(np.clip(probabilities[rows, labels], tiny, None))
        self.log_loss = float(loss.mean())
        self._bins(right, probabilities[rows, predicted], bins)
        above = (probabilities > probabilities[rows, labels][:, None]).sum(axis=1)
        self.top_k = {k: float((above < k).mean()) for k in top_k if 0 < k < classes}
        first = np.argsort(-loss, kind="stable")[:worst]
        self.worst = [{"index": int(i), "loss": float(loss[i]), "true": class_names[labels[i]],
                       "predicted": class_names[predicted[i]],
                       "probability": float(probabilities[i, predicted[i]])} for i in first]

    def _class_scores(self):
        right, there = np.diag(self.confusion), self.confusion.sum(axis=1)
        precision = _ratio(right, self.confusion.sum(axis=0))
        recall = _ratio(right, there)
        scores = {"precision": precision, "recall": recall,
                  "f1": _ratio(2 * precision * recall, precision + recall)}
        self.classes = {
            name: {**{kind: float(values[i]) for kind, values in scores.items()},
                   "support": int(there[i])} for i, name in enumerate(self.class_names)}
        self.macro = {kind: float(values.mean()) for kind, values in scores.items()}
        self.weighted = {kind: float((values * there).sum() / max(there.sum(), 1))
                         for kind, values in scores.items()}

    def _bins(self, right, confidence, bins):
        place = np.clip((confidence * bins).astype(int), 0, bins - 1)
        counts = np.bincount(place, minlength=bins)
        accuracy = _ratio(np.bincount(place, right, bins), counts)
        mean = _ratio(np.bincount(place, confidence, bins), counts)
        self.ece = float((counts * abs(accuracy - mean)).sum() / max(len(right), 1))
        self.calibration = [
            {"low": i / bins, "high": (i + 1) / bins, "count": int(counts[i]),
             "accuracy": float(accuracy[i]), "confidence": float(mean[i])}
            for i in range(bins) if counts[i]]

    def _title(self):
        tops = "".join(f", top-{k} {share:.4f}" for k, share in self.top_k.items())
        return (f"{self.name}: {self.count} samples, accuracy {self.accuracy:.4f}{tops}, log loss "
                f"{self.log_loss:.4f}, calibration error {self.ece:.4f}")

    def _tables(self):
        rows = [(name, *(f"{one[k]:.4f}" for k in ("precision", "recall", "f1")), one["support"])
                for name, one in self.classes.items()]
        rows += [(label, *(f"{one[k]:.4f}" for k in ("precision", "recall", "f1")), self.count)
                 for label, one in (("mean", self.macro), ("weighted mean", self.weighted))]
        yield "Classes", ("class", "precision", "recall", "F1", "support"), rows
        if len(self.class_names) <= 30:
            yield ("Confusion (rows: true, columns: predicted)", ("", *self.class_names),
                   [(name, *map(int, row)) for name, row in zip(self.class_names, self.confusion)])
        else:
            yield "Most confused", ("true", "predicted", "samples"), self._most_confused()
        yield ("Calibration", ("probability", "samples", "accuracy", "mean probability"),
               [(f"{b['low']:.2f} - {b['high']:.2f}", b["count"], f"{b['accuracy']:.4f}",
                 f"{b['confidence']:.4f}") for b in self.calibration])
        yield ("Worst samples", ("index", "loss", "true", "predicted", "probability"),
               [(w["index"], f"{w['loss']:.4f}", w["true"], w["predicted"],
                 f"{w['probability']:.4f}") for w in self.worst])

    def _most_confused(self):
        off = self.confusion - np.diag(np.diag(self.confusion))
        places = np.argsort(-off, axis=None, kind="stable")[:15]
        for i, j in zip(*np.unravel_index(places, off.shape)):
            if off[i, j]:
                yield self.class_names[i], self.class_names[j], int(off[i, j])

    def plot(self):
        """The confusion matrix and the calibration, with matplotlib; returns the figure."""
        plt = _pyplot("ClassificationReport")
        figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.6))
        share = self.confusion / np.maximum(self.confusion.sum(axis=1, keepdims=True), 1)
        left.imshow(share, cmap="Blues", vmin=0, vmax=1)
        classes = len(self.class_names)
        if classes <= 20:
            left.set_xticks(range(classes), self.class_names,
                            rotation=90 if max(map(len, self.class_names)) > 3 else 0)
            left.set_yticks(range(classes), self.class_names)
            for (i, j), n in np.ndenumerate(self.confusion):
                if n:
                    left.text(j, i, int(n), ha="center", va="center", fontsize=8,
                              color="white" if share[i, j] > 0.5 else "black")
        left.set_xlabel("predicted")
        left.set_ylabel("true")
        left.set_title(f"accuracy {self.accuracy:.4f}")
        right.plot([0, 1], [0, 1], ":", color="gray")
        right.bar([(b["low"] + b["high"]) / 2 for b in self.calibration],
                  [b["accuracy"] for b in self.calibration],
                  width=[0.9 * (b["high"] - b["low"]) for b in self.calibration], alpha=0.4)
        right.plot([b["confidence"] for b in self.calibration],
                   [b["accuracy"] for b in self.calibration], "o-")
        right.set(xlabel="probability of the predicted class", ylabel="accuracy", xlim=(0, 1),
                  ylim=(0, 1), title=f"calibration error {self.ece:.4f}")
        figure.tight_layout()
        return figure


class RegressionReport(_Report):
    """Scores of a regression. With several outputs, R2 is the mean of theirs.

    Attributes:
        mae, rmse, r2, bias: Numbers; `bias` is the mean of prediction - target.
        quantiles: Dict of share and quantile of the residuals, prediction - target.
        worst: List of dicts: `index`, `loss` (the squared error), `true`, `predicted`.
    """

    def __init__(self, name, targets, outputs, worst=10):
        if targets.size != outputs.size or len(targets) != len(outputs):
            raise ValueError("report: targets and outputs must have the same shape. Received: "
                             f"y.shape={targets.shape}, outputs of shape {outputs.shape}")
        true = targets.reshape(len(targets), -1)
        made = outputs.reshape(len(true), -1)
        residual = made - true
        self.name, self.count, self.outputs = name, len(true), true.shape[1]
        self.mae = float(abs(residual).mean())
        self.rmse = float(np.sqrt((residual ** 2).mean()))
        self.bias = float(residual.mean())
        rest = (residual ** 2).sum(axis=0)
        spread = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
        self.r2 = float(np.where(spread > 0, 1 - rest / np.where(spread > 0, spread, 1),
                                 np.where(rest == 0, 1.0, 0.0)).mean())
        self.quantiles = {q: float(np.quantile(residual, q)) for q in _QUANTILES}
        loss = (residual ** 2).mean(axis=1)
        first = np.argsort(-loss, kind="stable")[:worst]
        self.worst = [{"index": int(i), "loss": float(loss[i]), "true": _one(true[i]),
                       "predicted": _one(made[i])} for i in first]
        some = np.linspace(0, self.count - 1, min(self.count, 2000)).astype(int)
        self._drawn = true[some].ravel(), made[some].ravel()

    def to_dict(self):
        """All figures, as JSON takes them."""
        return {k: v for k, v in super().to_dict().items() if k != "_drawn"}

    def _title(self):
        return (f"{self.name}: {self.count} samples, MAE {self.mae:.6g}, RMSE {self.rmse:.6g}, R2 "
                f"{self.r2:.4f}, bias {self.bias:.3g}")

    def _tables(self):
        yield ("Residuals (prediction - target)",
               ("quantile", *(f"{q:.0%}" for q in self.quantiles)),
               [("", *(f"{v:.4g}" for v in self.quantiles.values()))])
        yield ("Worst samples", ("index", "squared error", "true", "predicted"),
               [(w["index"], f"{w['loss']:.4g}", _number_text(w["true"]),
                 _number_text(w["predicted"])) for w in self.worst])

    def plot(self):
        """Predictions against targets, and the residuals, with matplotlib; returns the figure."""
        plt = _pyplot("RegressionReport")
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4))
        true, made = self._drawn
        ends = [min(true.min(), made.min()), max(true.max(), made.max())]
        left.plot(ends, ends, ":", color="gray")
        left.plot(true, made, ".", alpha=0.4)
        left.set(xlabel="target", ylabel="prediction", title=f"R2 {self.r2:.4f}")
        right.hist(made - true, bins=40)
        right.set(xlabel="prediction - target", title=f"RMSE {self.rmse:.4g}, bias {self.bias:.3g}")
        figure.tight_layout()
        return figure


class Reports(dict):
    """The reports of a model with several outputs, by the outputs' names.

    Attributes:
        name: The model's name.
    """

    def __init__(self, name, reports):
        super().__init__(reports)
        self.name = name

    def to_dict(self):
        """All figures, as JSON takes them."""
        return {label: one.to_dict() for label, one in self.items()}

    def __repr__(self):
        return "\n\n\n".join(map(repr, self.values()))

    def _repr_html_(self):
        return "<div>" + "<br>".join(one._repr_html_() for one in self.values()) + "</div>"

    def plot(self):
        """A dict of an output's name and the figure that its report's `plot` draws."""
        return {label: one.plot() for label, one in self.items()}


def _one(values):
    return float(values[0]) if len(values) == 1 else [float(v) for v in values]


def _number_text(value):
    if isinstance(value, list):
        some = ", ".join(f"{v:.4g}" for v in value[:4])
        return f"[{some}{', ...' if len(value) > 4 else ''}]"
    return f"{value:.6g}"
