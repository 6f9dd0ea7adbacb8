"""Nadam: Adam that looks ahead, as Nesterov's momentum does."""
from .. import config
from .._core import op
from .optimizer import Optimizer, documented


@documented
class Nadam(Optimizer):
    """`m` and `v` average `g` and `g^2` as in Adam; the step is made of the next `m`. With momenta
    `u(t) = beta_1 * (1 - 0.96^t / 2)` and their product P(t): `m_hat = u(t+1) * m / (1 - P(t+1)) +
    (1 - u(t)) * g / (1 - P(t))`, `w -= learning_rate * m_hat / (sqrt(v / (1 - beta_2^t)) +
    epsilon)`.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.001`.
        beta_1: Float, how much of the old `m` is kept. Defaults to `0.9`.
        beta_2: Float, how much of the old `v` is kept. Defaults to `0.999`.
        epsilon: Float, keeps the divisor off 0. Defaults to `1e-7`.
        {base}

    Reference: Dozat, 2015.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7,
                 weight_decay=None, clipnorm=None, clipvalue=None,
                 global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None, **kwargs):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables,
                                                                         ["momentum", "velocity"])
        dtype = variables[0].dtype if variables else config.floatx()
        self._u_product = self.add_variable((), "ones", dtype, name="u_product")

    def _before_update(self, variables, learning_rate):
        t = op.cast(op.add(self.iterations, 1), self._u_product.dtype)
        share = op.multiply(op.power(0.96, t), 0.5)
        momentum = op.multiply(op.subtract(1.0, share), float(self.beta_1))
        self._u_product.assign(op.multiply(self._u_product, momentum))

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        op.nadam(variable, self._momentums[i], self._velocities[i], gradient, learning_rate,
                 self.iterations, self._u_product, float(self.beta_1), float(self.beta_2),
                 float(self.epsilon))

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2,
                "epsilon": self.epsilon}
