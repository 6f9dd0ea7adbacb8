"""Results of each epoch as a line of a CSV file."""
import os
from collections.abc import Iterable

from nnc.callbacks.callback import Callback


class CSVLogger(Callback):
    """Writes the logs of each epoch to a CSV file, flushed line by line.

    Args:
        filename: Path of the file.
        separator: String between the columns.
        append: Whether to go on with an existing file, without a second header.

    The columns are `epoch` and the sorted names of the first epoch's logs; a name without a value
    in a later epoch gets `NA`.
    """

    def __init__(self, filename, separator=",", append=False):
        super().__init__()
        self.filename = os.fspath(filename)
        self.sep = separator
        self.append = append
        self.keys = None
        self.writer = None
        self.csv_file = None
        self.append_header = True

    def on_train_begin(self, logs=None):
        self._close()
        self.append_header = not (
            self.append and os.path.exists(self.filename) and os.path.getsize(self.filename)
        )
        self.csv_file = open(self.filename, "a" if self.append else "w", newline="")
        self.writer = self.keys = None

    def on_epoch_end(self, epoch, logs=None):
        import csv

        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if self.keys and not any(k.startswith("val_") for k in self.keys):
                # validation may begin in a later epoch: its columns are kept ready
                self.keys += [f"val_{k}" for k in self.keys]
        if self.writer is None:
            self.writer = csv.writer(self.csv_file, delimiter=self.sep)
            if self.append_header:
                self.writer.writerow(["epoch", *self.keys])
        self.writer.writerow([epoch, *(_cell(logs.get(k, "NA")) for k in self.keys)])
        self.csv_file.flush()

    def on_train_end(self, logs=None):
        self._close()

    def _close(self):
        if self.csv_file is not None and not self.csv_file.closed:
            self.csv_file.close()
        self.writer = None


def _cell(value):
    if isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", 1):
        return f'"[{", ".join(map(str, value))}]"'
    return value
