"""Event files for TensorBoard, written by tensorboardX."""
import os

from nnc.callbacks.callback import Callback


class TensorBoard(Callback):
    """Writes scalars, and histograms of weights, that TensorBoard shows.

    Args:
        log_dir: Folder; `train` and `validation` are made in it.
        histogram_freq: Epochs between two histograms of each weight; `0`: none.
        write_graph: Whether a text with the model's layers is written.
        write_images: Not supported.
        write_steps_per_second: Whether the speed is written.
        update_freq: `"epoch"`, `"batch"`, or a number of batches between two scalars.
        profile_batch: `0`; profiling is not supported.
        embeddings_freq: `0`; embeddings are not supported.
        embeddings_metadata: Not supported.

    Needs tensorboardX, which is looked for when the callback is made.
    """

    def __init__(self, log_dir="logs", histogram_freq=0, write_graph=True, write_images=False,
                 write_steps_per_second=False, update_freq="epoch", profile_batch=0,
                 embeddings_freq=0, embeddings_metadata=None):
        super().__init__()
        for name, value in (("write_images", write_images), ("profile_batch", profile_batch),
                            ("embeddings_freq", embeddings_freq),
                            ("embeddings_metadata", embeddings_metadata)):
            if value:
                raise NotImplementedError(f"TensorBoard: `{name}` is not supported. Received: "
                                          f"{name}={value!r}")
        if update_freq not in ("epoch", "batch") and (
                isinstance(update_freq, bool) or not isinstance(update_freq, int)
                or update_freq < 1):
            raise ValueError("TensorBoard: `update_freq` must be 'epoch', 'batch' or an integer "
                             f">= 1. Received: update_freq={update_freq!r}")
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError("TensorBoard needs tensorboardX: pip install tensorboardX") \
                from error
        self._make = SummaryWriter
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq, self.write_graph = histogram_freq, write_graph
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._writers, self._step, self._tests, self._begun = {}, 0, 0, None

    def needs_batches(self):
        """Whether the loop must return here after each batch."""
        return self.update_freq != "epoch" or self.write_steps_per_second

    def _scalars(self, part, values, step):
        if part not in self._writers:
            self._writers[part] = self._make(os.path.join(self.log_dir, part))
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._writers[part].add_scalar(name, value, step)

    def on_train_begin(self, logs=None):
        self._step = 0
        if self.write_graph:
            lines = [f"{layer.name} ({type(layer).__name__})" for layer in self.model.layers]
            self._scalars("train", {}, 0)
            self._writers["train"].add_text("layers", "  \n".join(lines), 0)

    def on_epoch_begin(self, epoch, logs=None):
        import time

        self._begun = time.monotonic(), self._step

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        if self.update_freq != "epoch" and self._step % self.update_freq == 0:
            self._scalars("train", {f"batch_{k}": v for k, v in (logs or {}).items()}, self._step)

    def on_epoch_end(self, epoch, logs=None):
        import time

        logs = logs or {}
        train = {k: v for k, v in logs.items() if not k.startswith("val_")}
        self._scalars("train", {f"epoch_{k}": v for k, v in train.items()}, epoch)
        held = {k[4:]: v for k, v in logs.items() if k.startswith("val_")}
        if held:
            self._scalars("validation", {f"epoch_{k}": v for k, v in held.items()}, epoch)
        if self.write_steps_per_second:
            begun, steps = self._begun
            speed = (self._step - steps) / max(time.monotonic() - begun, 1e-9)
            self._scalars("train", {"epoch_steps_per_second": speed}, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for weight in self.model.weights:
                self._writers["train"].add_histogram(getattr(weight, "path", weight.name),
                                                     weight.numpy(), epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
