"""What is said of an op for its tests: `Row`.

A row gives the function, sample calls, which inputs have gradients, and calls that must be refused.
The tests loop over the rows; an op without one fails them. Arrays of float64 in a sample stand for
"the floating-point dtype under test"; other arrays are taken as they are.
"""
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

INTEGERS = ("int8", "int32", "int64", "uint8", "uint16", "uint64")
ANY = (*INTEGERS, "bool", "float16")
SHAPES = ((), (0,), (1,), (7,), (3, 5), (2, 0, 3), (41,))
# Shapes of two operands that broadcast, odd, empty and scalar ones among them.
PAIRS = (((), ()), ((5,), ()), ((), (3, 1)), ((3, 1), (1, 7)), ((2, 3, 5), (3, 5)),
         ((2, 1, 5), (4, 1)),
         ((0,), (1,)), ((3, 0), (3, 1)), ((33,), (33,)), ((3, 17), (17,)), ((3, 17), (3, 1)))


@dataclass
class Row:
    """An op.

    Attributes:
        function: Called with the inputs and attributes of a call. Gives the values that the first
            `effects` inputs have afterwards, then the outputs: an array, or a tuple of them.
        cases: Sample calls, (inputs, attributes) each.
        wrt: The inputs with gradients.
        near: Calls for the gradient tests, where `cases` hold kinks.
        exact: Dtypes for which the result is exact, and
        exact_cases: the calls for one of them, from its name.
        gives: The dtype of each output for the name of the inputs'.
        scale: What rounding errors are relative to besides the result: a number, or a function of
            the call.
        units: How many units of rounding are allowed.
        refused: (inputs, attributes, exception) of calls that must be refused.
        effects: How many leading inputs are written.
        once: Whether there is a first derivative only, of the first output (tested elsewhere).
    """
    function: Callable[..., Any]
    cases: list
    wrt: tuple = ()
    near: list | None = None
    exact: tuple = ()
    exact_cases: Callable | None = None
    gives: Callable = lambda dtype: (dtype,)
    scale: Any = 0.0
    units: float = 4.0
    refused: tuple = ()
    effects: int = 0
    once: bool = False


ROWS: dict[str, Row] = {}


def numbers(*shape, low=-3.0, high=3.0, seed=0, away=()):
    """Random numbers of a shape, none nearer than 0.02 to one of `away`."""
    rng = np.random.default_rng((seed, *shape))
    x = rng.uniform(low, high, shape)
    for kink in away:
        x = np.where(abs(x - kink) < 0.02, x + 0.05, x)
    return np.asarray(x)


def cast_cases(row, dtype):
    """The row's own calls on another dtype: the numbers times three, cut; no signs, no NaN."""
    def cast(a):
        return np.asarray(abs(3 * a) if np.dtype(dtype).kind in "ub" else 3 * a).astype(dtype)
    return [([cast(a) if a.dtype == "float64" else a for a in inputs], attributes)
            for inputs, attributes in row.cases if not any(np.isnan(a).any() for a in inputs)]


def quiet(function):
    """Without warnings of division by 0 and overflow."""
    def call(*arguments, **options):
        with np.errstate(all="ignore"):
            return function(*arguments, **options)
    return call
