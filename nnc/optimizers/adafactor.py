"""Adafactor: mean squares of gradients kept as a row and a column."""
from .._core import op
from .optimizer import Optimizer, documented


@documented
class Adafactor(Optimizer):
    """`v = r c / mean(r)` of the means `r` and `c` of `g^2` over the last axis and the one before
    (for vectors `v` itself); `u = g / sqrt(v)`, shortened to a root mean square of
    `clip_threshold`; `w -= max(epsilon_2, rms(w)) * rho * u`, `rho = min(learning_rate,
    1 / sqrt(t))` at step t. Old means count `1 - t^beta_2_decay`.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.001`.
        beta_2_decay: Float < 0. Defaults to `-0.8`.
        epsilon_1: Float, added to `g^2`. Defaults to `1e-30`.
        epsilon_2: Float, the least scale of a step. Defaults to `1e-3`.
        clip_threshold: Float, the largest root mean square of `u`. Defaults to `1.0`.
        relative_step: Whether steps shrink like `1 / sqrt(t)`. As in Keras, `rho` does so either
            way. Defaults to `True`.
        {base}

    Reference: Shazeer and Stern, 2018, arXiv:1804.04235.
    """

    def __init__(self, learning_rate=0.001, beta_2_decay=-0.8, epsilon_1=1e-30, epsilon_2=1e-3,
                 clip_threshold=1.0, relative_step=True, weight_decay=None, clipnorm=None,
                 clipvalue=None,
                 global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None, **kwargs):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name, **kwargs)
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._r, self._c, self._v = [], [], []
        for variable in variables:
            shape, dtype = tuple(variable.shape), variable.dtype
            row, column = shape[:-1], shape[:-2] + shape[-1:]
            if len(shape) < 2:      # unused, but among Keras's variables, and so in its files
                row, column, dtype = (), (), "int32"
            self._r.append(self.add_variable(row, dtype=dtype, name=variable.name))
            self._c.append(self.add_variable(column, dtype=dtype, name=variable.name))
            self._v.append(self.add_variable_from_reference(variable, "velocity"))

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        slots, step = [self._v[i]], op.adafactor_vector
        if len(variable.shape) > 1:
            slots, step = [self._r[i], self._c[i], self._v[i]], op.adafactor
        step(variable, *slots, gradient, learning_rate, self.iterations, float(self.beta_2_decay),
             float(self.epsilon_1), float(self.epsilon_2), float(self.clip_threshold))

    def get_config(self):
        names = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
