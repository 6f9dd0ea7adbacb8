"""Fourier transforms against NumPy and Keras; their gradients against finite differences."""
import itertools

import numpy as np
import pytest

from live import keras, same
from nnc import ops
from reference.row import numbers
from test_ops import check_gradient

PAIR = numbers(3, 8), numbers(3, 8, seed=1)
PLANES = numbers(2, 4, 3), numbers(2, 4, 3, seed=1)


def joined(pair):
    return pair[0].numpy() + 1j * pair[1].numpy()


def test_transforms_are_numpys():
    """To some ten units of rounding of the largest number."""
    z, planes = PAIR[0] + 1j * PAIR[1], PLANES[0] + 1j * PLANES[1]
    for ours, want in ((ops.fft(PAIR), np.fft.fft(z)), (ops.fft2(PLANES), np.fft.fft2(planes)),
                       (ops.ifft2(PLANES), np.fft.ifft2(planes)),
                       *((ops.rfft(PAIR[0], n), np.fft.rfft(PAIR[0], n)) for n in (None, 5, 9))):
        np.testing.assert_allclose(joined(ours), want, rtol=1e-13, atol=1e-13)
    for n in (None, 5, 9, 20):
        np.testing.assert_allclose(ops.irfft(PAIR, n).numpy(), np.fft.irfft(z, n), atol=1e-13)


@pytest.mark.parametrize("window, center, length",
                         list(itertools.product(("hann", "hamming", None), (True, False),
                                                (None, 40))))
def test_short_time_transform_is_keras(window, center, length):
    x = numbers(2, 60).astype("float32")
    ours, theirs = (k.stft(x, 10, 4, 16, window, center) for k in (ops, keras.ops))
    for a, b in zip(ours, theirs):
        same(a, b, rtol=1e-5, atol=1e-5)        # sums of 16 numbers of size 3
    theirs = tuple(keras.ops.convert_to_tensor(part.numpy()) for part in ours)
    # The division by small sums of windows at the ends makes roundings larger.
    same(ops.istft(ours, 10, 4, 16, length, window, center),
         keras.ops.istft(theirs, 10, 4, 16, length, window, center), rtol=1e-4, atol=1e-4)


def test_istft_undoes_stft():
    x = numbers(2, 64)
    np.testing.assert_allclose(ops.istft(ops.stft(x, 9, 4, 16), 9, 4, 16, 64).numpy(), x,
                               atol=1e-12)


GRADIENTS = {
    "fft": (lambda a, b: ops.fft((a, b)), PAIR),
    "fft2": (lambda a, b: ops.fft2((a, b)), PLANES),
    "ifft2": (lambda a, b: ops.ifft2((a, b)), PLANES),
    "rfft": (ops.rfft, PAIR[:1]),
    "rfft odd": (lambda x: ops.rfft(x, 5), PAIR[:1]),
    "rfft longer": (lambda x: ops.rfft(x, 11), PAIR[:1]),
    "irfft": (lambda a, b: ops.irfft((a, b)), PAIR),
    "irfft odd": (lambda a, b: ops.irfft((a, b), 7), PAIR),
    "extract_sequences": (lambda x: ops.extract_sequences(x, 3, 2), PAIR[:1]),
    "stft": (lambda x: ops.stft(x, 3, 2, 4), PAIR[:1]),
    "istft": (lambda a, b: ops.istft((a, b), 3, 2, 4), (numbers(4, 3), numbers(4, 3, seed=1))),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name):
    function, inputs = GRADIENTS[name]
    check_gradient(function, list(inputs), range(len(inputs)), name)


REFUSED = {
    "no pair": (lambda: ops.fft(PAIR[0]), ValueError, "fft.*pair"),
    "shapes": (lambda: ops.fft((PAIR[0], PAIR[0][:1])), ValueError, "fft.*one shape"),
    "length": (lambda: ops.rfft(PAIR[0], 0), ValueError, "rfft.*fft_length"),
    "short": (lambda: ops.stft(PAIR[0], 5, 1, 4), ValueError, "stft.*sequence_length"),
    "window": (lambda: ops.stft(PAIR[0], 4, 1, 4, "box"), ValueError, "stft.*'box'"),
    "stride": (lambda: ops.extract_sequences(PAIR[0], 4, 0), ValueError, "sequence_stride"),
    "half": (lambda: ops.rfft(PAIR[0].astype("float16")), TypeError, "rfft.*float16"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call()
