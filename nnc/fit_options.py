"""What `fit` and its like take besides data: which values are refused, and what they come to."""
import warnings

from .data import check_count
from .data.arrays import limited
from .warnings import outside


def batch_rule(batch_size, steps, name, who):
    """How many samples a batch has, as a function of how many there are: `batch_size`, or else what
    makes `steps` batches of them, or else 32."""
    if batch_size is not None or steps is None:
        return lambda count: batch_size or 32
    steps = check_count(steps, name, who)
    return lambda count: -(-count // steps)


def capped(steps, full, name, who):
    """`steps`, at most the `full` batches of a pass over the data."""
    if steps is None:
        return limited(None, full)
    steps = check_count(steps, name, who)
    if steps > full:
        warnings.warn(f"{who}: `{name}={steps}` is more than the {full} batches that there are; "
                      "the input ran out of data; all of it is used once.", stacklevel=outside())
    return limited(min(steps, full))


def check_options(shuffle, keep, validation_freq, verbose):
    """Refuses options of `fit` that there are not."""
    if shuffle not in (True, False, "batch"):
        raise ValueError("fit: `shuffle` must be True, False or 'batch'. Received: "
                         f"shuffle={shuffle!r}")
    if keep not in (None, "best"):
        raise ValueError(f"fit: `keep` must be None or 'best'. Received: keep={keep!r}")
    check_frequency(validation_freq)
    check_verbose(verbose, "fit")


def check_frequency(frequency):
    """Refuses a `validation_freq` that says nothing."""
    if isinstance(frequency, (list, tuple, set)):
        return
    if isinstance(frequency, bool) or not isinstance(frequency, int) or frequency < 1:
        raise ValueError("fit: `validation_freq` must be an integer >= 1 or a list of epochs. "
                         f"Received: validation_freq={frequency!r}")


def is_due(epoch, frequency):
    """Whether an epoch, from 0, ends with a validation."""
    if isinstance(frequency, int):
        return (epoch + 1) % frequency == 0
    return epoch + 1 in frequency


def check_verbose(verbose, who):
    """Refuses a `verbose` that there is not."""
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"{who}: `verbose` must be 'auto', 0, 1 or 2. Received: "
                         f"verbose={verbose!r}")
