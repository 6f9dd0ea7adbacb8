"""Complex numbers: complex64, made of two float32 tensors and taken apart again. Real tensors are
taken too: their imaginary part is 0.

The parts are ops of the core, so gradients of what is made of them follow: that of a real loss by
`z = x + iy` is `dL/dx + i dL/dy`, as TensorFlow has it.
"""
import math

from .._core import op
from .arrays import stack
from .core import _FLOATS, cast_array, float_array, is_complex, tensor
from .elementwise import signbit
from .numpy import _named


def real(x):
    """The real part; of real numbers `x` itself."""
    x = tensor(x)
    return op.real(x) if is_complex(x) else x


def imag(x):
    """The imaginary part; of real numbers zeros."""
    x = tensor(x)
    return op.imag(x) if is_complex(x) else op.fill(tuple(x.shape), 0.0, x.dtype)


def isreal(x):
    """Whether the imaginary part of each element is 0."""
    x = tensor(x)
    return op.equal(op.imag(x), 0.0) if is_complex(x) else op.fill(tuple(x.shape), 1.0, "bool")


def conj(x):
    """The complex conjugate; of real numbers `x` itself."""
    x = tensor(x)
    return op.conj(x) if is_complex(x) else x


conjugate = _named(lambda x: conj(x), "conjugate", conj.__doc__)


def angle(x):
    """The angle in the complex plane, -pi to pi; of real numbers 0, or pi of negative ones; NaN of
    NaN.
    """
    x = float_array(x)
    if is_complex(x):
        return op.arctan2(op.imag(x), op.real(x))
    return op.where(op.isnan(x), x, op.where(signbit(x), math.pi, op.fill((), 0.0, x.dtype)))


def view_as_complex(x):
    """`x[..., 0] + 1j * x[..., 1]`, as complex64.

    Args:
        x: A real tensor of shape `(..., 2)`.

    Raises:
        ValueError: For other shapes and for complex numbers.
    """
    x = tensor(x)
    shape = tuple(x.shape)
    if is_complex(x) or not shape or shape[-1] != 2:
        raise ValueError("view_as_complex: `x` must be real, and its last axis hold 2 numbers, the "
                         "real and the imaginary part. Received: "
                         f"x.shape={shape}, x.dtype={x.dtype}")
    x = cast_array(x, "float32")
    return op.complex(x[..., 0], x[..., 1])


def view_as_real(x):
    """The real and the imaginary part along a new last axis.

    Args:
        x: A tensor of any shape `(...)`, complex or real.

    Returns:
        A real tensor of shape `(..., 2)`.
    """
    x = tensor(x)
    return stack([real(x), imag(x)], -1)


def polar(abs_, angle):
    """The complex numbers `abs_ * (cos(angle) + 1j * sin(angle))`, complex64.

    Args:
        abs_: Floating-point tensor of absolute values.
        angle: Floating-point tensor of angles in radians, broadcast with `abs_`.
    """
    abs_, angle = tensor(abs_), tensor(angle)
    for name, x in (("abs_", abs_), ("angle", angle)):
        if x.dtype not in _FLOATS:
            raise ValueError(f"polar: `{name}` must be floating point. Received: "
                             f"{name}.dtype={x.dtype}")
    parts = (op.multiply(abs_, function(angle)) for function in (op.cos, op.sin))
    return op.complex(*(cast_array(part, "float32") for part in parts))
