"""PyDataset: batches that a user's class makes, by index, with as many workers as it asks for."""
from collections import deque

_shared = {}        # in a worker process: the data set that it makes batches of


class PyDataset:
    """Base class of data sets in batches: override `__len__` and `__getitem__`.

    Args:
        workers: Threads or processes that make batches at the same time. With `1`, one thread makes
            them while the model trains.
        use_multiprocessing: Whether workers are processes.
        max_queue_size: Batches that may be ready in advance.

    `dataset[i]` is batch `i`: `x`, `(x, y)` or `(x, y, sample_weight)`. `on_epoch_begin` and
    `on_epoch_end` are called around each epoch, and no batch of the next one is asked for before.
    `fit` and `evaluate` call `on_epoch_end` before their first epoch, too: what makes a new order
    there makes one for that epoch.
    An exception in any of these methods ends `fit` and reaches its caller.

    Example:

        class Rows(nnc.utils.PyDataset):
            def __len__(self):
                return 10

            def __getitem__(self, index):
                return np.ones((32, 4)), np.zeros(32)
    """

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
            raise ValueError(f"{type(self).__name__}: `workers` must be an integer >= 0. Received: "
                             f"workers={workers!r}")
        if isinstance(max_queue_size, bool) or not isinstance(max_queue_size, int) \
                or max_queue_size < 1:
            raise ValueError(f"{type(self).__name__}: `max_queue_size` must be an integer >= 1. "
                             f"Received: max_queue_size={max_queue_size!r}")
        self._workers = workers
        self._use_multiprocessing = bool(use_multiprocessing)
        self._max_queue_size = max_queue_size

    @property
    def workers(self):
        """How many workers make batches."""
        return getattr(self, "_workers", 1)

    @workers.setter
    def workers(self, value):
        self._workers = value

    @property
    def use_multiprocessing(self):
        """Whether workers are processes."""
        return getattr(self, "_use_multiprocessing", False)

    @use_multiprocessing.setter
    def use_multiprocessing(self, value):
        self._use_multiprocessing = value

    @property
    def max_queue_size(self):
        """How many batches may be ready in advance."""
        return getattr(self, "_max_queue_size", 10)

    @max_queue_size.setter
    def max_queue_size(self, value):
        self._max_queue_size = value

    def __getitem__(self, index):
        """Batch `index`."""
        raise NotImplementedError(f"{type(self).__name__} must override `__getitem__`.")

    @property
    def num_batches(self):
        """How many batches an epoch has; `None` if there is no end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(f"{type(self).__name__} must override `__len__` or "
                                  "`num_batches`.")

    def on_epoch_begin(self):
        """Called before each epoch."""

    def on_epoch_end(self):
        """Called after each epoch."""


def batches_of(dataset, indices, source):
    """Iterates over `dataset[i]` for the indices in their order, made by the data set's workers.

    They make up to `max_queue_size` in advance, and none beyond the first `source.until`.
    """
    workers = getattr(dataset, "workers", 1)
    processes = getattr(dataset, "use_multiprocessing", False)
    if workers <= 1 and not processes:
        for index in indices:           # not `map`: a StopIteration of the user's would end it
            yield dataset[index]
        return
    from concurrent import futures

    if processes:
        import multiprocessing

        method = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
        pool = futures.ProcessPoolExecutor(
            max(workers, 1), mp_context=multiprocessing.get_context(method), initializer=_share,
            initargs=(dataset,))
        make = _shared_item
    else:
        pool, make = futures.ThreadPoolExecutor(workers), dataset.__getitem__
    ahead, indices = deque(), iter(indices)
    try:
        most = max(getattr(dataset, "max_queue_size", 10), 1)
        for asked, index in enumerate(indices):
            while ahead and (len(ahead) >= most or source.until is not None
                             and asked >= source.until):
                yield ahead.popleft().result()
            ahead.append(pool.submit(make, index))
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()
        pool.shutdown(wait=False, cancel_futures=True)


def _share(dataset):
    _shared["dataset"] = dataset


def _shared_item(index):
    try:
        return _shared["dataset"][index]
    except Exception as error:
        if _travels(error):
            raise
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _travels(error):
    """Whether an exception can be sent to another process: one that cannot be made again there
    would end the pool instead.
    """
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True
