"""Muon: momentum made orthogonal, for matrices; AdamW for all else."""
import math
import re

from .. import ops
from .._core import op
from ..ops.core import cast_array
from .optimizer import Optimizer, documented

_NAMES = ("adam_beta_1", "adam_beta_2", "epsilon", "exclude_layers", "muon_a", "muon_b", "muon_c",
          "adam_lr_ratio", "momentum", "ns_steps", "nesterov", "exclude_embeddings",
          "adam_weight_decay", "rms_rate")


@documented
class Muon(Optimizer):
    """`m = momentum * m + g`; the step is `m` with its singular values moved near 1 by
    `ns_steps` Newton-Schulz steps `X = a X + (b A + c A A) X`, `A = X X^T`, times
    `sqrt(max(rows, columns)) * rms_rate`. Weights that are no matrix, embeddings and those that
    `exclude_layers` names take AdamW's steps.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.001`.
        adam_beta_1: Float, Adam's `beta_1`. Defaults to `0.9`.
        adam_beta_2: Float, Adam's `beta_2`. Defaults to `0.999`.
        adam_weight_decay: Float or `None`, the decay of Adam's weights. Defaults to `0.004`.
        epsilon: Float, Adam's. Defaults to `1e-7`.
        exclude_layers: Patterns (regular expressions): weights whose path holds one are Adam's.
        exclude_embeddings: Whether weights with "embedding" in their path are. Defaults to `True`.
        muon_a: Float, `a`. Defaults to `3.4445`.
        muon_b: Float, `b`. Defaults to `-4.7750`.
        muon_c: Float, `c`. Defaults to `2.0315`.
        adam_lr_ratio: Float, Adam's learning rate over Muon's. Defaults to `1`.
        momentum: Float. Defaults to `0.95`.
        ns_steps: Integer, the number of Newton-Schulz steps. Defaults to `5`.
        nesterov: Whether the step is made of `g + momentum * m`. Defaults to `True`.
        rms_rate: Float, or `None`: steps are not scaled. Defaults to `0.2`.
        {base}

    Reference: Jordan et al., 2024; scale: Liu et al., 2025, arXiv:2502.16982.
    """

    def __init__(self, learning_rate=0.001, adam_beta_1=0.9, adam_beta_2=0.999,
                 adam_weight_decay=0.004, epsilon=1e-7, weight_decay=0.004, clipnorm=None,
                 clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None, exclude_layers=None,
                 exclude_embeddings=True, muon_a=3.4445, muon_b=-4.7750, muon_c=2.0315,
                 adam_lr_ratio=1, momentum=0.95, ns_steps=5, nesterov=True, rms_rate=0.2,
                 **kwargs):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name, **kwargs)
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = list(exclude_layers or [])
        self.exclude_embeddings = exclude_embeddings
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    def _should_use_adamw(self, variable):
        path = getattr(variable, "path", None) or variable.name
        return (len(variable.shape) != 2
                or (self.exclude_embeddings and "embedding" in path.lower())
                or any(re.search(pattern, path) for pattern in self.exclude_layers))

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self.momentums, self.adam_velocities = [], []
        for variable in variables:
            self.momentums.append(self.add_variable_from_reference(variable, "momentum"))
            adam = self._should_use_adamw(variable)
            self.adam_velocities.append(
                self.add_variable_from_reference(variable, "velocity") if adam else None)

    def _decay_of(self, variable):
        return self.adam_weight_decay if self._should_use_adamw(variable) else self.weight_decay

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        m, v = self.momentums[i], self.adam_velocities[i]
        if v is not None:
            rate = op.multiply(learning_rate, float(self.adam_lr_ratio))
            op.adam(variable, m, v, gradient, rate, self.iterations, float(self.adam_beta_1),
                    float(self.adam_beta_2), float(self.epsilon))
            return
        m.assign(op.add(op.multiply(m, float(self.momentum)), gradient))
        step = m
        if self.nesterov:
            step = op.add(op.multiply(m, float(self.momentum)), gradient)
        step = self._orthogonalized(step, self.ns_steps, op.symmetric_product)
        op.sgd(variable, step, op.multiply(cast_array(learning_rate, variable.dtype),
                                           self._adjustment(variable)))

    def _adjustment(self, x):
        return 1.0 if self.rms_rate is None else math.sqrt(max(x.shape)) * self.rms_rate

    def lr_adjust(self, x):
        """The step `x`, a matrix, times `sqrt(max(rows, columns)) * rms_rate`."""
        return op.multiply(x, self._adjustment(x))

    def transpose_last_axis(self, X):
        """`X` with its last two axes swapped."""
        return ops.swapaxes(X, -1, -2)

    def zeropower_via_newtonschulz5(self, x, steps):
        """Matrices with their singular values moved near 1.

        Args:
            x: Tensor of shape `(..., rows, columns)`.
            steps: Integer, the number of Newton-Schulz steps.
        """
        if len(x.shape) < 2:
            raise ValueError("Muon: `x` must have at least 2 axes. Received: "
                             f"x.shape={tuple(x.shape)}")
        return self._orthogonalized(x, steps, op.matmul)

    def _orthogonalized(self, x, steps, square):
        """`zeropower_via_newtonschulz5`; `square` makes the products that are symmetric."""
        tall = x.shape[-2] > x.shape[-1]
        x = self.transpose_last_axis(x) if tall else x
        norm = op.sqrt(ops.sum(op.square(x), (-2, -1), keepdims=True))
        x = op.divide(x, op.add(norm, 1e-7))
        for _ in range(steps):
            a = square(x, x, 0, 1)
            b = op.add(op.multiply(a, float(self.muon_b)),
                       op.multiply(square(a, a, 0, 0), float(self.muon_c)))
            x = op.add(op.multiply(x, float(self.muon_a)), op.matmul(b, x, 0, 0))
        return self.transpose_last_axis(x) if tall else x

    def get_config(self):
        return {**super().get_config(), **{name: getattr(self, name) for name in _NAMES}}
