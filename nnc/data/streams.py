"""The batches of a source, checked, and prepared by a thread while the model computes.

The first batch of a run is taken before anything is recorded; then one thread reads ahead within an
epoch (batches that are made in a small part of a step are made between steps instead), never beyond its end: hooks between epochs see a data set that nobody reads, and what they
change is seen by the same batches every time. What the user's code raises is raised again,
unchanged, in the thread that runs `fit`.
"""
import queue
import threading
import time
import warnings

from ..warnings import outside
from .arrays import class_weights, standardize, unpack_x_y_sample_weight, warn_end

_AHEAD = 4          # batches that wait for the model
_LIGHT = 0.05       # of a step's time: what is made in less would take as much to be handed over
_NONE = object()


class Stream:
    """What `Batches` is for arrays: runs of batches, epoch after epoch.

    Args:
        source: The `Source`.
        steps: How many batches an epoch has; `None`: a pass. With `steps`, an epoch goes on where
            the last one ended, up to the end of the pass; the next one begins a new pass.
        class_weight: Dict of class and weight, or `None`.
        only_x: Whether targets and weights are left aside.
        who: The method that reads, for messages.
        standardize: What makes `Data` of a batch.

    Attributes:
        steps: Steps of an epoch, or `None` while it is not known.
    """

    order = None

    def __init__(self, source, steps=None, class_weight=None, only_x=False, who="fit",
                 standardize=standardize):
        self.source, self.who, self._standardize = source, who, standardize
        self.steps = source.steps if steps is None else steps
        self._limit, self._class_weight, self._only_x = steps, class_weight, only_x
        self._passes, self._reader, self._run, self._begun = 0, None, None, False
        self._within = self._ended = self.taken = 0     # batches of the pass; epochs; batches

    # ---- the beginning ----

    def first(self):
        """The first batch; it will come again as the first one of the first epoch."""
        self._begin()
        self._open()
        data = self._reader.first()
        if data is None:
            raise ValueError(f"{self.who}: `x` (a {self.source.what}) gave no batch, expected at "
                             "least one.")
        return data

    def _begin(self):
        """The hooks before a first epoch: Keras calls `on_epoch_end` there, too, but in `predict`.

        Data sets count on it: one that puts its rows in a new order there has one for this epoch.
        """
        if not self._only_x:
            self.source.hook("on_epoch_end")
        self.source.hook("on_epoch_begin")
        self._begun = True

    def sizes(self):
        """The sizes of the batches that are known: of the first."""
        return [self._run.data.count]

    def attach(self, run):
        """Names the run that receives the batches."""
        self._run = run

    def _open(self):
        """Begins the next pass."""
        self._reader = _Reader(self._read())
        self._allow(None if self._limit is None else 0)

    def _allow(self, until):
        """Lets `until` batches of the pass be read ahead; `None`: all."""
        self.source.until = until
        self._reader.allow(until)

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
        over = self._reader is None or self._within == self.source.steps
        return {"what": self.source.what, "seed": getattr(self.source, "_seed", None),
                "pass": self._passes - (not over), "within": 0 if over else self._within,
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
            if where["within"] or not step:         # else the pass has ended within this epoch
                self._open()
        for _ in range(where["within"]):
            if self._reader.next() is None:
                raise ValueError(f"{self.who}: `x` (a {self.source.what}) has fewer batches than "
                                 f"the backup was made after: {where['within']}. Pass the same "
                                 "data, or delete the backup.")
        self._within, self._ended, self.taken = where["within"], ended, where["taken"]

    def epoch(self, step=0):
        """Gives each batch to the run, then yields `(its rows, 0, 1)`; from `step` on."""
        done = step
        if not self._begun:
            self.source.hook("on_epoch_begin")
        self._begun = False
        if not step and self._pass_is_over() and not self.source.once:
            self._open()
            self._within = 0
        if self._reader is not None and self._limit is not None:
            self._allow(self._within + self._limit - done)
        while self._reader is not None and (self._limit is None or done < self._limit):
            data = self._reader.next()
            if data is None:
                if not self.source.once:
                    self._reader, self._within = None, 0
                break
            self._within += 1
            self._run.feed(data)
            yield data.count, 0, 1
            done += 1

    def ended(self, step):
        """Called at the end of an epoch of `step` steps that was not broken off."""
        if self._limit is None:
            self.steps = step
        if step < (self._limit or 1):
            warn_end(self.who, f"`x` (a {self.source.what})", step, self._limit or 1)
        self._ended += 1
        self.source.hook("on_epoch_end")

    def _pass_is_over(self):
        """Whether the next epoch begins a new pass; where nobody knows, the next batch tells."""
        if self._reader is None or self._within == 0:
            return self._reader is None
        if self.source.steps is not None:
            return self._within >= self.source.steps
        return self._reader.peek() is None

    def more(self):
        """Whether there is another batch to begin an epoch with; warns if there is none."""
        if not self.source.once or self._reader is None or self._reader.peek() is not None:
            return True
        warnings.warn(f"{self.who}: your input ran out of data: `x` (a {self.source.what}) can be "
                      "read once only and has come to its end before the last epoch.",
                      stacklevel=outside())
        return False

    def restart(self):
        """The next epoch begins with the first batch, if the source can be read again."""
        if self._within and not self.source.once:
            self.close()
            self._within = 0
        if not self._begun:
            self._begin()

    def close(self):
        """Ends the thread that reads ahead."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


class _Reader:
    """An iterator's items in their order, made by a thread unless they are light."""

    def __init__(self, iterator):
        self._iterator = iterator
        self._waiting, self._thread = _NONE, None
        self._queue, self._stop = queue.Queue(_AHEAD), threading.Event()
        self._until, self._given, self._made = None, 0, 0
        self._allowed = threading.Condition()
        self._making = self._left = 0.0         # seconds that the last took to make; when it was

    def allow(self, until):
        """Lets items be made ahead of `next`, up to `until` of them in all; `None`: all."""
        with self._allowed:
            self._until = until
            self._allowed.notify()

    def first(self):
        """The first item, made in this thread; `None` if there is none."""
        self._waiting = self._make()
        return self._waiting

    def _make(self):
        """An item, made in this thread."""
        began = time.perf_counter()
        item = next(self._iterator, None)
        self._left = time.perf_counter()
        self._making = self._left - began
        self._given, self._made = self._given + 1, self._made + 1
        return item

    def peek(self):
        """The item that `next` will give."""
        if self._waiting is _NONE:
            self._waiting = self.next()
        return self._waiting

    def next(self):
        """The next item; `None` at the end, and from then on."""
        if self._waiting is not _NONE:
            item = self._waiting
            self._waiting = None if item is None else _NONE
            return item
        if self._thread is None and self._making < _LIGHT * (time.perf_counter() - self._left):
            item = self._make()
            if item is None:
                self._waiting = None
            return item
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="nnc-data", daemon=True)
            self._thread.start()
        self._given += 1
        if self._until is not None and self._until < self._given:
            self.allow(self._given)
        item, error = self._queue.get()
        if error is not None:
            raise error
        if item is None:
            self._waiting = None
        return item

    def _work(self):
        try:
            while self._wait():
                item = next(self._iterator, _NONE)
                if item is _NONE:
                    self._put((None, None))
                    break
                self._made += 1
                if not self._put((item, None)):
                    break
        except BaseException as error:              # the user's: raised again by next()
            self._put((None, error))
        finally:
            if self._stop.is_set():
                self._iterator.close()

    def _wait(self):
        """Waits until another item may be made; `False` if none is wanted any more."""
        with self._allowed:
            self._allowed.wait_for(lambda: self._stop.is_set() or self._until is None
                                   or self._made < self._until)
        return not self._stop.is_set()

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
        with self._allowed:
            self._allowed.notify()
        if self._thread is None:
            self._iterator.close()
        else:
            self._thread.join(1.0)
