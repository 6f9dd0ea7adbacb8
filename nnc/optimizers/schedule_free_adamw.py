"""AdamW that needs no schedule: gradients are taken between the steps and their mean."""
from .._core import op
from .optimizer import Optimizer, documented


@documented
class ScheduleFreeAdamW(Optimizer):
    """`z` takes Adam's steps without momentum, `x` is the mean of all `z`; gradients are taken at
    `w = (1 - beta_1) * z + beta_1 * x`.

    Args:
        learning_rate: Float, schedule or callable. Defaults to `0.0025`.
        beta_1: Float above 0, the share of the mean in `w`. Defaults to `0.9`.
        beta_2: Float, how much of the old mean square is kept. Defaults to `0.999`.
        epsilon: Float, keeps the divisor off 0. Defaults to `1e-8`.
        warmup_steps: Integer >= 0: over so many steps the learning rate grows to its value.
            Defaults to `0`.
        {base}

    `x` comes from `w` and the `z` before the step, as in the paper. Keras on TensorFlow reads `z`
    after it, because its variable has changed by then; its weights differ.

    Reference: Defazio et al., 2024, arXiv:2405.15682.
    """

    def __init__(self, learning_rate=0.0025, beta_1=0.9, beta_2=0.999, epsilon=1e-8,
                 warmup_steps=0, weight_decay=None, clipnorm=None, clipvalue=None,
                 global_clipnorm=None, use_ema=False, ema_momentum=0.99,
                 ema_overwrite_frequency=None, loss_scale_factor=None,
                 gradient_accumulation_steps=None, name=None, **kwargs):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
                         ema_momentum, ema_overwrite_frequency, loss_scale_factor,
                         gradient_accumulation_steps, name, **kwargs)
        if not 0 < beta_1 <= 1:
            raise ValueError("ScheduleFreeAdamW: `beta_1` must be above 0 and at most 1: weights "
                             f"are divided by it. Received: beta_1={beta_1}")
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = warmup_steps

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(variables,
                                                                         ["momentum", "velocity"])
        for momentum, variable in zip(self._momentums, variables):
            momentum.assign(variable)

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        op.schedule_free_adamw(variable, self._momentums[i], self._velocities[i], gradient,
                               learning_rate, self.iterations, float(self.beta_1),
                               float(self.beta_2), float(self.epsilon), float(self.warmup_steps))

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2,
                "epsilon": self.epsilon, "warmup_steps": self.warmup_steps}
