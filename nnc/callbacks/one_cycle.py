"""Learning rates that rise and fall once, and the search for the highest one that is of use.

Smith 2018, arXiv:1803.09820; the search: Smith 2017, arXiv:1506.01186.
"""
import math

from nnc.callbacks.callback import Callback


class OneCycle(Callback):
    """Raises the learning rate for a part of training, then lowers it along a cosine.

    Args:
        max_learning_rate: The highest rate.
        rise: Share of the steps in which it rises. Defaults to `0.3`.
        start_divisor: `max_learning_rate / start_divisor` is the first rate.
        end_divisor: `max_learning_rate / end_divisor` is the last one.
    """

    state_names = ("_step",)

    def __init__(self, max_learning_rate, rise=0.3, start_divisor=25.0, end_divisor=1e4):
        super().__init__()
        if not max_learning_rate > 0 or not 0 < rise < 1 or start_divisor < 1 or end_divisor < 1:
            raise ValueError(
                "OneCycle: `max_learning_rate` must be > 0, `rise` between 0 and 1, the divisors "
                f">= 1. Received: max_learning_rate={max_learning_rate}, rise={rise}, "
                f"start_divisor={start_divisor}, end_divisor={end_divisor}")
        self.max_learning_rate, self.rise = max_learning_rate, rise
        self.start_divisor, self.end_divisor = start_divisor, end_divisor
        self._step, self._total = 0, 1

    def rate(self, share):
        """The rate after a share of the steps, from 0 to 1."""
        if share < self.rise:
            low, at = self.max_learning_rate / self.start_divisor, 1 - share / self.rise
        else:
            low = self.max_learning_rate / self.end_divisor
            at = (share - self.rise) / (1 - self.rise)
        return low + (self.max_learning_rate - low) * (1 + math.cos(math.pi * min(at, 1.0))) / 2

    def on_train_begin(self, logs=None):
        steps = self.params.get("steps")
        if not steps:
            raise ValueError("OneCycle needs to know the number of steps: pass `steps_per_epoch`.")
        self._step, self._total = 0, max(steps * self.params["epochs"] - 1, 1)

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.rate(self._step / self._total)
        self._step += 1


class _Sweep(Callback):
    """Multiplies the rate after each batch, and notes the loss of each batch."""

    def __init__(self, low, high, steps):
        super().__init__()
        self._low, self._factor, self._steps = low, (high / low) ** (1 / max(steps - 1, 1)), steps
        self.rates, self.losses = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.rates.append(self._low * self._factor ** len(self.rates))
        self.model.optimizer.learning_rate = self.rates[-1]
        self.model.reset_metrics()                  # the loss of this batch alone

    def on_train_batch_end(self, batch, logs=None):
        loss = logs["loss"]
        self.losses.append(loss)
        if not math.isfinite(loss) or loss > 4 * min(self.losses) \
                or len(self.rates) >= self._steps:
            self.model.stop_training = True


def lr_find(model, x, y=None, low=1e-6, high=1.0, steps=100, batch_size=32, **fit):
    """Trains with rates that rise from `low` to `high`, and puts the model back as it was.

    Args:
        model: A compiled model.
        x, y: Data as for `fit`.
        low, high: The range of rates.
        steps: How many rates are tried, one a batch.
        batch_size: Samples in a step.
        **fit: Further arguments of `fit`.

    Returns:
        A dict: `rates`, `losses`, and `suggestion`: the rate at which the loss fell fastest.

    Raises:
        ValueError: If the range is empty or the model is not built.
    """
    if not 0 < low < high or steps < 3:
        raise ValueError("lr_find: expected 0 < low < high and steps >= 3. Received: "
                         f"low={low}, high={high}, steps={steps}")
    if not model.built:
        raise ValueError("lr_find: the model must be built: call it, or `build`, first.")
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    kept = [(v, v.numpy()) for v in (*model.variables, *optimizer.variables)]
    sweep = _Sweep(low, high, steps)
    try:
        model.fit(x, y, batch_size=batch_size, epochs=steps, verbose=0, callbacks=[sweep], **fit)
    finally:
        for variable, value in kept:
            variable.assign(value)
        model.stop_training = False
    losses = [v for v in sweep.losses if math.isfinite(v)]
    smooth = [sum(losses[max(i - 2, 0):i + 3]) / len(losses[max(i - 2, 0):i + 3])
              for i in range(len(losses))]
    falls = [smooth[i + 1] - smooth[i] for i in range(len(smooth) - 1)]
    best = sweep.rates[falls.index(min(falls))] if falls else low
    return {"rates": sweep.rates, "losses": sweep.losses, "suggestion": best}
