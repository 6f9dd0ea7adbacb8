"""What a student is told by its teacher: losses between the outputs, or the features, of both."""
import math

from .. import losses, ops, tree
from ..saving.object_registration import deserialize_keras_object, serialize_keras_object


def student_losses(loss, who):
    """The nest of losses that a nest of names, losses and functions stands for; `None` stays.

    Raises:
        ValueError: For an unknown name or what cannot be called; `who` begins the text.
    """
    def one(leaf):
        try:
            return losses.get(leaf)
        except ValueError as error:
            raise ValueError(f"{who}: {error}") from error

    return tree.map_structure(one, loss)


def _distillation_losses(loss, who):
    """The same, of which at least one must be there."""
    made = student_losses(loss, who)
    if all(leaf is None for leaf in tree.flatten(made, keep_none=True)):
        raise ValueError(f"{who}: the `loss` argument must contain at least one non-`None` value. "
                         f"Received: loss={loss!r}")
    return made


def _check_structure(loss, outputs, who):
    """Refuses outputs that are not at the places that a nest of losses has."""
    try:
        tree.assert_same_paths(loss, outputs)
    except ValueError as error:
        paths = [["/".join(map(str, path)) for path, _ in tree.flatten_with_path(nest)]
                 for nest in (loss, outputs)]
        raise ValueError(f"{who}: Loss structure mismatch: `loss` has entries at {paths[0]}, the "
                         f"outputs are at {paths[1]} ('' is a single one).") from error


def _sum(loss, teacher_outputs, student_outputs, value):
    """The sum of the means of `value(loss, teacher's, student's)` over the losses there are."""
    total = None
    for leaf, teacher, student in zip(*(tree.flatten(nest, keep_none=True) for nest in (
            loss, teacher_outputs, student_outputs))):
        if leaf is not None:
            part = ops.mean(value(leaf, teacher, student))
            total = part if total is None else ops.add(total, part)
    return total


class DistillationLoss:
    """Base class: override `compute_loss`, and `get_config` if a `Distiller` is to be saved."""

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        """The loss of a batch.

        Args:
            teacher_outputs, student_outputs: What the two models gave: tensors `(batch_size, ...)`,
                or nests of them.
            **kwargs: What a class takes besides. A `Distiller` passes nothing.

        Returns:
            A scalar.
        """
        raise NotImplementedError("Subclasses must implement compute_loss")

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Raises ValueError, unless both nests have the same structure. May be overridden."""
        tree.assert_same_structure(teacher_outputs, student_outputs)

    def validate_model_compatibility(self, teacher, student):
        """Called with both models when a `Distiller` is made; raises ValueError for two that do not
        fit. May be overridden: by itself it takes all.
        """

    @classmethod
    def from_config(cls, config):
        """The loss that `get_config` described."""
        return cls(**{key: deserialize_keras_object(part) for key, part in config.items()})


class FeatureDistillation(DistillationLoss):
    """A loss between the outputs of two layers, or of the two models: its mean over the batch, or
    the sum of the means where the outputs are a nest.

    Args:
        loss: The name of a loss, a `Loss` or a function of `(teacher's, student's)` features; for
            outputs that are a nest a nest of these, with `None` for an output that is passed over.
            Defaults to `"mse"`.
        teacher_layer_name: The teacher's layer. `None` for the output of the model.
        student_layer_name: The student's layer. `None` for the output of the model. (Keras looks
            at it only where `teacher_layer_name` is given, too.)

    Raises:
        ValueError: If `loss` is unknown, or holds `None` only.
    Reference: [Romero et al., 2014](https://arxiv.org/abs/1412.6550)
    """

    def __init__(self, loss="mse", teacher_layer_name=None, student_layer_name=None):
        for argument, name in (("teacher_layer_name", teacher_layer_name),
                               ("student_layer_name", student_layer_name)):
            if name is not None and not isinstance(name, str):
                raise ValueError(f"FeatureDistillation: `{argument}` must be the name of a layer "
                                 f"or None. Received: {argument}={name!r}")
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name
        self.loss = _distillation_losses(loss, "FeatureDistillation")

    def validate_model_compatibility(self, teacher, student):
        """Raises ValueError if a layer is named that is not there, or whose output is not known
        before the model is called: a layer of a subclassed or unbuilt model.
        """
        names = self.teacher_layer_name, self.student_layer_name
        pairs = [("teacher", teacher, names[0]), ("student", student, names[1])]
        without = [who for who, model, _ in pairs if getattr(model, "inputs", None) is None]
        if without and names != (None, None):
            raise ValueError(
                "FeatureDistillation with specific layer names requires Functional or Sequential "
                f"models. The {' and '.join(without)} model(s) appear to be subclassed or not "
                "built (no symbolic inputs/outputs). Leave the layer names out to distill the "
                f"final outputs, or use LogitsDistillation. Received: teacher_layer_name="
                f"{names[0]!r}, student_layer_name={names[1]!r}")
        for who, model, name in pairs:
            if name is not None:
                try:
                    model.get_layer(name=name)
                except ValueError as error:
                    raise ValueError(f"In {who} model: {error}") from error

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Raises ValueError, unless both nests have the structure of `loss`."""
        super().validate_outputs(teacher_outputs, student_outputs)
        _check_structure(self.loss, teacher_outputs, "FeatureDistillation")

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        """The loss of a batch, a scalar. `kwargs` are for subclasses."""
        return _sum(self.loss, teacher_outputs, student_outputs,
                    lambda loss, teacher, student: loss(teacher, student))

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {"loss": serialize_keras_object(self.loss),
                "teacher_layer_name": self.teacher_layer_name,
                "student_layer_name": self.student_layer_name}


class LogitsDistillation(DistillationLoss):
    """A loss between the outputs of both models, divided by a temperature: its mean over the batch,
    or the sum of the means where the outputs are a nest.

    With `losses.KLDivergence()`, softmax makes probabilities of both, and the mean is multiplied by
    the temperature's square, which leaves the size of the gradients as it was. As in Keras, all
    other losses get the divided outputs as they are; so do functions and names, the default
    `"kl_divergence"` among them (names give functions): pass `losses.KLDivergence()` for logits.

    Args:
        temperature: Number > 0. Defaults to `3.0`.
        loss: The name of a loss, a `Loss` or a function of `(teacher's, student's)` outputs; for
            outputs that are a nest a nest of these, with `None` for an output that is passed over.
            Defaults to `"kl_divergence"`.

    Raises:
        ValueError: If `loss` is unknown or holds `None` only, or `temperature` is not positive.
    Reference: [Hinton et al., 2015](https://arxiv.org/abs/1503.02531)
    """

    def __init__(self, temperature=3.0, loss="kl_divergence"):
        if not isinstance(temperature, (int, float)):
            raise ValueError("LogitsDistillation: temperature must be a number. Received: "
                             f"temperature={temperature!r} (of type {type(temperature).__name__})")
        if not 0.0 < temperature < math.inf:
            raise ValueError("LogitsDistillation: temperature must be positive and finite. "
                             f"Received: temperature={temperature}")
        self.temperature = temperature
        self.loss = _distillation_losses(loss, "LogitsDistillation")

    def validate_outputs(self, teacher_outputs, student_outputs):
        """Raises ValueError, unless both nests have the structure of `loss`."""
        super().validate_outputs(teacher_outputs, student_outputs)
        _check_structure(self.loss, teacher_outputs, "LogitsDistillation")

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        """The loss of a batch, a scalar. `kwargs` are for subclasses."""
        def value(loss, teacher, student):
            teacher = ops.divide(teacher, self.temperature)
            student = ops.divide(student, self.temperature)
            if not isinstance(loss, losses.KLDivergence):
                return loss(teacher, student)
            divergence = loss(ops.softmax(teacher, axis=-1), ops.softmax(student, axis=-1))
            return ops.multiply(divergence, self.temperature ** 2)

        return _sum(self.loss, teacher_outputs, student_outputs, value)

    def get_config(self):
        """The arguments of `__init__` as a dictionary."""
        return {"temperature": self.temperature, "loss": serialize_keras_object(self.loss)}
