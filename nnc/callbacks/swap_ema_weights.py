"""Evaluates with the moving averages of the weights."""
from nnc.callbacks.callback import Callback


class SwapEMAWeights(Callback):
    """Exchanges weights and their moving averages for evaluation, prediction and saving.

    Args:
        swap_on_epoch: Whether the averages are in the model from the end of each epoch to the
            beginning of the next, so that callbacks behind this one save them.

    The optimizer must keep averages (`use_ema=True`).
    """

    state_names = ("_swapped",)

    def __init__(self, swap_on_epoch=False):
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False

    def _averages(self):
        optimizer = self.model.optimizer
        if not getattr(optimizer, "use_ema", False):
            raise ValueError("SwapEMAWeights must be used with an optimizer that has "
                             f"`use_ema=True`. Received: {type(optimizer).__name__} with "
                             "use_ema=False")
        return list(zip(optimizer._trainable_variables, optimizer._averages))

    def _set(self, swapped):
        if self._swapped == swapped:
            return
        for variable, average in self._averages():
            value = variable.numpy()
            variable.assign(average.numpy())
            average.assign(value)
        self._swapped = swapped

    def on_train_begin(self, logs=None):
        self._averages()

    def on_epoch_begin(self, epoch, logs=None):
        if self.swap_on_epoch:
            self._set(False)

    def on_epoch_end(self, epoch, logs=None):
        if not self.swap_on_epoch:
            return
        self._set(True)
        if epoch == self.params["epochs"] - 1 or self.model.stop_training:
            # fit ends with weights = averages: both are the averages from here on
            for variable, average in self._averages():
                average.assign(variable.numpy())

    def on_test_begin(self, logs=None):
        self._set(True)

    def on_test_end(self, logs=None):
        self._set(False)

    def on_predict_begin(self, logs=None):
        self._set(True)

    def on_predict_end(self, logs=None):
        self._set(False)
