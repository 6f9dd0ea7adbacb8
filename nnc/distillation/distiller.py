"""Distiller: a model that trains a student on labels and on what a teacher says."""
import math
import warnings

from .. import ops, tree
from ..compile_utils import label_places
from ..metrics import Mean
from ..models.model import Model
from ..models.sequential import Sequential
from ..saving.object_registration import deserialize_keras_object, serialize_keras_object
from .losses import student_losses


def _check_pair(teacher, student):
    """Refuses what are not two models with inputs and outputs of the same shapes and dtypes, as far
    as these are known.
    """
    for who, model in (("Teacher", teacher), ("Student", student)):
        if not isinstance(model, Model):
            raise ValueError(f"Distiller: {who} must be a keras.Model, got {type(model)}")
    if teacher is student:
        raise ValueError("Distiller: `teacher` and `student` must be two models: the teacher is "
                         f"frozen. Received: '{teacher.name}' for both")
    for what in ("input", "output"):
        pair = [getattr(model, f"{what}s", None) for model in (teacher, student)]
        if None in pair:
            continue
        if len(pair[0]) != len(pair[1]):
            raise ValueError(f"Distiller: Teacher and student must have the same number of {what}s."
                             f" Teacher: {len(pair[0])}, Student: {len(pair[1])}.")
        for ours, theirs in zip(*pair):
            _check_tensors(ours, theirs, what)


def _check_tensors(teacher, student, what):
    shapes = f"Teacher: {teacher.shape}, Student: {student.shape}."
    if len(teacher.shape) != len(student.shape):
        raise ValueError(f"Distiller: Teacher and student {what} shapes have different dimensions. "
                         f"{shapes}")
    if any(None not in pair and pair[0] != pair[1] for pair in zip(teacher.shape, student.shape)):
        raise ValueError(f"Distiller: Teacher and student {what} shapes are incompatible. {shapes} "
                         "All dimensions must match.")
    if teacher.dtype != student.dtype:
        raise ValueError(f"Distiller: Teacher and student {what} dtypes must match. Teacher: "
                         f"{teacher.dtype}, Student: {student.dtype}.")


def _check_weight(weight):
    if not isinstance(weight, (int, float)):
        raise ValueError(f"Distiller: student_loss_weight must be a number, got {type(weight)}")
    if not 0.0 <= weight <= 1.0:
        raise ValueError("Distiller: student_loss_weight must be between 0.0 and 1.0, got "
                         f"{weight}")
    return weight


def _check_losses(losses, weights, teacher, student):
    """The distillation losses and their weights as two lists."""
    if losses is None:
        raise ValueError("Distiller: 'distillation_losses' cannot be `None`. Provide a "
                         "distillation loss (e.g., LogitsDistillation or FeatureDistillation) or a "
                         "list of distillation losses.")
    losses = list(losses) if isinstance(losses, (list, tuple)) else [losses]
    weights = [1.0] * len(losses) if weights is None else weights
    if not isinstance(weights, (list, tuple)):
        raise ValueError("Distiller: `distillation_loss_weights` must be a list. Received: "
                         f"distillation_loss_weights={weights!r}")
    if len(weights) != len(losses):
        raise ValueError(f"Distiller: Number of distillation_loss_weights ({len(weights)}) must "
                         f"match number of distillation_losses ({len(losses)})")
    for weight in weights:
        if not isinstance(weight, (int, float)) or not math.isfinite(weight):
            raise ValueError("Distiller: `distillation_loss_weights` must hold finite numbers. "
                             f"Received: distillation_loss_weights={weights!r}")
    for loss in losses:
        if not all(callable(getattr(loss, name, None)) for name in (
                "compute_loss", "validate_outputs", "validate_model_compatibility")):
            raise ValueError("Distiller: `distillation_losses` must hold DistillationLoss objects. "
                             f"Received: {loss!r} (of type {type(loss).__name__})")
        loss.validate_model_compatibility(teacher, student)
    return losses, list(weights)


class Distiller(Model):
    """Trains a student on `student_loss_weight * student's loss + (1 - student_loss_weight) *
    distillation loss`; called, it is the student.

    Args:
        teacher: The trained model. It is frozen (`trainable = False`) and called with
            `training=False`.
        student: The model that is trained, afterwards to be used alone: `distiller.student`.
        distillation_losses: A `DistillationLoss`, or a list of them, whose weighted sum is the
            distillation loss.
        distillation_loss_weights: List of a number for each of these. Defaults to ones. (Keras
            looks at it only where `distillation_losses` is a list.)
        student_loss_weight: Number from 0 to 1. At 0 the student's loss is not computed, at 1 the
            distillation loss is not; the logs then show 0. Defaults to `0.5`.
        name: Name. Defaults to `"distiller"`.
        **kwargs: See `Layer`.

    Logs: `loss`, `student_loss`, `distillation_loss`, `total_loss` (as `loss`, but the mean over
    the batches instead of the samples), and the metrics. As in Keras, what layers add
    (regularizers) is not in the loss, and `sample_weight` is not either: it is refused without
    `weighted_metrics`.

    Losses that name layers of the student call it once more, for its features. That call has the
    `training` of the step; in Keras it trains in `evaluate`, too, and changes moving statistics.

    Raises:
        ValueError: If the models' known input or output shapes or dtypes differ, a layer that is
            named is not there, or another argument is wrong.

    Example:

        distiller = Distiller(teacher, student, LogitsDistillation(3.0, losses.KLDivergence()))
        distiller.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
        distiller.fit(x, y)
        distiller.student.save("student.keras")
    """

    def __init__(self, teacher, student, distillation_losses, distillation_loss_weights=None,
                 student_loss_weight=0.5, name="distiller", **kwargs):
        super().__init__(name=name, **kwargs)
        _check_pair(teacher, student)
        self.student_loss_weight = _check_weight(student_loss_weight)
        self.distillation_losses, self.distillation_loss_weights = _check_losses(
            distillation_losses, distillation_loss_weights, teacher, student)
        self.teacher, self.student = teacher, student
        self._teacher_feature_extractor = self._extractor(teacher, "teacher_layer_name")
        self._student_feature_extractor = self._extractor(student, "student_layer_name")
        self.teacher.trainable = False
        self._student_loss = None
        self.student_loss_tracker = Mean(name="student_loss")
        self.distillation_loss_tracker = Mean(name="distillation_loss")
        self.total_loss_tracker = Mean(name="total_loss")

    def _layer_names(self, attribute):
        """The layers that the losses name, each once."""
        names = (getattr(loss, attribute, None) for loss in self.distillation_losses)
        return list(dict.fromkeys(name for name in names if name is not None))

    def _extractor(self, model, attribute):
        """A model that gives the outputs of `model` and of the layers that losses name; `None` if
        they name none.
        """
        names = self._layer_names(attribute)
        if not names:
            return None
        if getattr(model, "inputs", None) is None:
            raise ValueError(f"Distiller: Cannot create feature extractor for {model.name}. The "
                             "model has no symbolic inputs attribute.")
        final = model.outputs[0] if isinstance(model, Sequential) else model.output
        return Model(model.inputs, [final, *(model.get_layer(name).output for name in names)],
                     name=f"{model.name}_multi_feature_extractor")

    # ---- training ----

    def compile(self, optimizer="adam", loss=None, metrics=None, **kwargs):
        """Says how the student is trained.

        Args:
            optimizer: An optimizer or the name of one.
            loss: The student's loss: the name of one, a `Loss` or a function of `(y_true, y_pred)`;
                for several outputs a nest of these with the structure of the outputs. As in Keras,
                what they give for several outputs is added up without a mean: names and functions
                (which give a value for each sample) are summed over the batch, objects are not.
            metrics: List or tuple; see `Model.compile`.
            **kwargs: Further arguments of `Model.compile`, without `loss_weights`.

        Raises:
            ValueError: If an argument is wrong; the model stays as it is.
        """
        if loss is None:
            raise ValueError("Distiller.compile: 'loss' cannot be `None`.")
        made = student_losses(loss, "Distiller.compile")
        if None in tree.flatten(made, keep_none=True):
            raise ValueError("Distiller.compile: `loss` must hold a loss for each output. "
                             f"Received: loss={loss!r}")
        if metrics is not None and not isinstance(metrics, (list, tuple)):
            raise ValueError("Distiller.compile: metrics must be a list or tuple, got "
                             f"{type(metrics)}")
        if kwargs.get("loss_weights") is not None:
            raise ValueError("Distiller.compile: `loss_weights` is not used: see "
                             "`student_loss_weight` and `distillation_loss_weights` of Distiller. "
                             f"Received: loss_weights={kwargs['loss_weights']!r}")
        super().compile(optimizer=optimizer, loss=None, metrics=metrics, **kwargs)
        self._student_loss = made
        self._compile_arguments["loss"] = loss

    def compile_from_config(self, config):
        """Compiles with what `get_compile_config` gave. Keras's files do not hold the loss: after
        those a warning says that `compile` is to be called.
        """
        if config.get("loss") is None:
            warnings.warn(f"Distiller '{self.name}': the file does not say what the student's loss "
                          "is; call `compile()` before training.", stacklevel=2)
            return
        self.compile(**deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def call(self, inputs, training=None, **kwargs):
        """The student's outputs."""
        return self.student(inputs, training=training, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of a batch, noted in the trackers.

        Args:
            x: Inputs.
            y: Targets, with the structure of the outputs. `None` leaves the student's loss out.
            y_pred: The student's outputs; made of `x` if `None`.
            sample_weight: For weighted metrics only: not in the loss.
            training: Whether the student is called in training mode.

        Returns:
            A scalar.
        """
        if sample_weight is not None and not self._compile_arguments["weighted_metrics"]:
            raise ValueError("Distiller: `sample_weight` (or `class_weight`) is not used in the "
                             "loss, and there are no `weighted_metrics`. Leave it out.")
        if y_pred is None:
            y_pred = self(x, training=training)
        weight, of_student, of_teacher = self.student_loss_weight, 0.0, 0.0
        self.__dict__["_labels"] = []
        if weight > 0.0 and y is not None:
            of_student = self._compute_student_loss(y, y_pred)
        if weight < 1.0:
            of_teacher = self._compute_distillation_loss(x, y_pred, training)
        total = ops.add(ops.multiply(weight, of_student), ops.multiply(1.0 - weight, of_teacher))
        self.student_loss_tracker.update_state(of_student)
        self.distillation_loss_tracker.update_state(of_teacher)
        self.total_loss_tracker.update_state(total)
        return total

    def _compute_student_loss(self, y, y_pred):
        try:
            tree.assert_same_paths(self._student_loss, y_pred)
            tree.assert_same_paths(y, y_pred)
        except ValueError as error:
            outputs, losses, targets = ([path for path, _ in tree.flatten_with_path(nest)]
                                        for nest in (y_pred, self._student_loss, y))
            raise ValueError("Distiller: the `loss` of `compile` and `y` must have the structure "
                             f"of the student's outputs. Received: outputs at {outputs}, losses at "
                             f"{losses}, targets at {targets}") from error
        rows = list(zip(*map(tree.flatten, (self._student_loss, y, y_pred))))
        self.__dict__["_labels"] = label_places(
            (loss, i, pred) for i, (loss, _, pred) in enumerate(rows))
        values = [loss(true, pred) for loss, true, pred in rows]
        value = ops.sum(ops.stack(values)) if len(values) > 1 else values[0]
        return ops.mean(value) if value.shape else value

    def _label_places(self):
        return self.__dict__.get("_labels", [])

    def _compute_distillation_loss(self, x, y_pred, training):
        teacher = self._features("teacher", x, None, False)
        student = self._features("student", x, y_pred, training)
        total = 0.0
        for loss, weight in zip(self.distillation_losses, self.distillation_loss_weights):
            pair = (teacher[getattr(loss, "teacher_layer_name", None)],
                    student[getattr(loss, "student_layer_name", None)])
            loss.validate_outputs(*pair)
            value = loss.compute_loss(*pair)
            if getattr(value, "shape", ()):
                raise ValueError(f"Distillation loss {type(loss).__name__} returned a non-scalar "
                                 f"loss with shape {value.shape}. The compute_loss method must "
                                 "return a scalar tensor.")
            total = ops.add(total, ops.multiply(weight, value))
        return total

    def _features(self, who, x, final, training):
        """Layer's name and output; under `None` that of the model (`final` if that is known)."""
        model, extractor = getattr(self, who), getattr(self, f"_{who}_feature_extractor")
        if extractor is None:
            return {None: model(x, training=training) if final is None else final}
        first, *rest = extractor(x, training=training)
        return {None: first if final is None else final,
                **dict(zip(self._layer_names(f"{who}_layer_name"), rest))}

    # ---- configuration ----

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {**super().get_config(), "teacher": serialize_keras_object(self.teacher),
                "student": serialize_keras_object(self.student),
                "distillation_losses": serialize_keras_object(self.distillation_losses),
                "distillation_loss_weights": self.distillation_loss_weights,
                "student_loss_weight": self.student_loss_weight}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The distiller that `get_config` described."""
        config = dict(config)
        for key in ("teacher", "student", "distillation_losses"):
            config[key] = deserialize_keras_object(config[key], custom_objects)
        return cls(**config)
