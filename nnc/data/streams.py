"""The batches of a source, checked, and prepared by a thread while the model computes.

The first batch of a run is taken before anything is recorded; then one thread reads ahead within a
pass, never beyond its end: hooks between epochs see a data set that nobody reads. What the user's
code raises is raised again, unchanged, in the thread that runs `fit`.
"""
import queue
import threading
import warnings

from .arrays import class_weights, standardize, unpack_x_y_sample_weight

_AHEAD = 4          # batches that wait for the model
_END = object()


class Stream:
    """What `Batches` is for arrays: runs of batches, epoch after epoch.

    Args:
        source: The `Source`.
        steps: How many batches an epoch has; `None`: a pass. With `steps`, an epoch goes on where
            the last one ended.
        class_weight: Dict of class and weight, or `None`.
        only_x: Whether targets and weights are left aside.
        who: The method that reads, for messages.
        standardize: What makes `Data` of a batch.

    Attributes:
        steps: Steps of an epoch, or `None` while it is not known.
        exhausted: Whether a source of one pass has come to its end.
    """

    order = None

    def __init__(self, source, steps=None, class_weight=None, only_x=False, who="fit",
                 standardize=standardize):
        self.source, self.who, self._standardize = source, who, standardize
        self.steps = source.steps if steps is None else steps
        self.exhausted = False
        self._limit, self._class_weight, self._only_x = steps, class_weight, only_x
        self._passes, self._reader, self._run, self._begun = 0, None, None, False
        self._within = self._ended = self.taken = 0     # batches of the pass; epochs; batches

    # ---- the beginning ----

    def first(self):
        """The first batch; it will come again as the first one of the first epoch."""
        self.source.hook("on_epoch_begin")
        self._begun = True
        self._reader = _Reader(self._read())
        data = self._reader.peek()
        if data is None:
            raise ValueError(f"{self.who}: `x` (a {self.source.what}) gave no batch, expected at "
                             "least one.")
        return data

    def sizes(self):
        """The sizes of the batches that are known: of the first."""
        return [self._run.data.count]

    def attach(self, run):
        """Names the run that receives the batches."""
        self._run = run

    def _read(self):
        """The checked batches of the next pass."""
        number = self._passes
        self._passes += 1
        for batch in self.source.batches(number):
            yield self._checked(batch)

    def _checked(self, batch):
        x, y, weight = unpack_x_y_sample_weight(batch)
        if self._only_x:
            y = weight = None
        data = self._standardize(x, y, weight, who=f"{self.who}: a batch of {self.source.what}")
        if self._class_weight is None:
            return data
        if data.sample_weight is not None:
            raise ValueError(f"{self.who}: `class_weight` cannot be passed when batches hold "
                             "sample weights; multiply the class weights into those.")
        weight = class_weights(data.y, self._class_weight, self.who)
        return type(data)(data.x, data.y, weight)

    # ---- epochs ----

    def where(self):
        """What `seek` needs, as a dictionary for JSON."""
        return {"what": self.source.what, "seed": getattr(self.source, "_seed", None),
                "pass": self._passes - (self._reader is not None), "within": self._within,
                "ended": self._ended, "taken": self.taken}

    def check(self, where, step):
        """Refuses to go on with another kind of source."""
        if where.get("what") != self.source.what:
            raise ValueError("fit: the backup was made of training on "
                             f"{where.get('what', 'arrays')}, `x` is a {self.source.what}. Pass "
                             "the same data, or delete the backup.")

    def seek(self, where, step):
        """Goes to where another run over such a source was, by reading up to there.

        The hooks of the epochs that have ended are called again: the source's own order follows.
        """
        ended = where["ended"]
        for _ in range(ended):
            self.source.hook("on_epoch_end")
            self.source.hook("on_epoch_begin")
        if where["seed"] is not None:
            self.source._seed = where["seed"]
        if not self.source.once:
            self.close()
            self._passes = where["pass"]
            self._reader = _Reader(self._read())
        for _ in range(where["within"]):
            if self._reader.next() is None:
                raise ValueError(f"{self.who}: `x` (a {self.source.what}) has fewer batches than "
                                 f"the backup was made after: {where['within']}. Pass the same "
                                 "data, or delete the backup.")
        self._within, self._ended, self.taken = where["within"], ended, where["taken"]

    def epoch(self, step=0):
        """Gives each batch to the run, then yields `(its rows, 0, 1)`; from `step` on."""
        done, empty = step, 0
        if not self._begun:
            self.source.hook("on_epoch_begin")
        self._begun = False
        while self._limit is None or done < self._limit:
            if self._reader is None:
                self._reader = _Reader(self._read())
            data = self._reader.next()
            if data is None:
                self._reader, self._within = None, 0
                self.exhausted = self.source.once
                empty += 1
                if self._limit is None or self.exhausted or empty > 1:
                    break
                continue
            empty = 0
            self._within += 1
            self._run.feed(data)
            yield data.count, 0, 1
            done += 1
        if self._limit is not None and done < self._limit:
            self._warn(f"gave {done} of the {self._limit} batches of this epoch")
        if self.steps is None or self._limit is None:
            self.steps = done
        self._ended += 1
        self.source.hook("on_epoch_end")

    def restart(self):
        """The next epoch begins with the first batch, if the source can be read again."""
        if self._within and not self.source.once:
            self.close()
            self._within = 0

    def warn_end(self):
        """Says that there will be no further epoch."""
        self._warn("can be read once only and has come to its end")

    def _warn(self, what):
        warnings.warn(f"{self.who}: your input ran out of data: `x` (a {self.source.what}) {what}; "
                      "training stops here. Make sure that it gives at least `steps_per_epoch * "
                      "epochs` batches.", stacklevel=3)

    def close(self):
        """Ends the thread that reads ahead."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


class _Reader:
    """An iterator's items in their order, made by a thread from the second one on."""

    def __init__(self, iterator):
        self._iterator = iterator
        self._first, self._thread = _END, None
        self._queue, self._stop = queue.Queue(_AHEAD), threading.Event()

    def peek(self):
        """The first item, made in this thread; `None` if there is none."""
        self._first = next(self._iterator, None)
        return self._first

    def next(self):
        """The next item; `None` at the end."""
        if self._first is not _END:
            item, self._first = self._first, _END
            return item
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="nnc-data", daemon=True)
            self._thread.start()
        item, error = self._queue.get()
        if error is not None:
            raise error
        return item

    def _work(self):
        try:
            for item in self._iterator:
                if not self._put((item, None)):
                    break
            else:
                self._put((None, None))
        except BaseException as error:              # the user's: raised again by next()
            self._put((None, error))
        finally:
            if self._stop.is_set():
                self._iterator.close()

    def _put(self, item):
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def close(self):
        """Ends the thread; it is not waited for longer than the user's code takes, or a second."""
        self._stop.set()
        if self._thread is None:
            self._iterator.close()
        else:
            self._thread.join(1.0)
