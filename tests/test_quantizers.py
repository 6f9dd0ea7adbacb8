"""`quantizers.*` and the quantized dtype policies beside Keras's."""
import numpy as np
import pytest

import nnc
from tests.live import keras, plain, same, values

RNG = np.random.default_rng(8)
X = RNG.normal(size=(6, 5)).astype("float32")
FOUR = RNG.integers(-8, 8, (5, 3)).astype("int8")
HISTORY = np.array([0.5, 2.0, 1.0], "float32")
CALLS = [
    ("abs_max_quantize", (X,), {"axis": 0}),
    ("abs_max_quantize", (X,), {"axis": (0, 1), "value_range": (-8, 7), "epsilon": 0.1}),
    ("abs_max_quantize", (X,), {"axis": -1, "to_numpy": True}),
    ("abs_max_quantize_grouped_with_zero_point", (X,), {"block_size": 4, "to_numpy": True}),
    ("abs_max_quantize_grouped_with_zero_point", (X,), {"block_size": 2}),
    ("pack_int4", (FOUR,), {}), ("pack_int4", (FOUR,), {"axis": -1}),
    ("pack_int4", (FOUR.view("uint8") & 15,), {"axis": 1, "dtype": "uint8"}),
    ("fake_quant_with_min_max_vars", (X, -0.9, 1.1), {}),
    ("fake_quant_with_min_max_vars", (X, 0.3, 1.5), {"num_bits": 4, "narrow_range": True}),
    ("fake_quant_with_min_max_vars", (X, -np.abs(X[0]) - 0.1, np.abs(X[1]) + 0.1),
     {"num_bits": 3, "axis": 1}),
    ("compute_float8_scale", (np.float32(3.0), np.float32(0.5), 448.0), {}),
    ("compute_float8_scale", (np.float32(0.0), np.float32(0.5), 448.0), {"margin": 1}),
    ("compute_float8_amax_history", (X, HISTORY), {}),
]


@pytest.mark.parametrize("name, arguments, named", CALLS)
def test_functions(name, arguments, named):
    ours, theirs = (getattr(k.quantizers, name)(*(k.ops.convert_to_tensor(a) for a in arguments),
                                                **named) for k in (nnc, keras))
    if not isinstance(theirs, tuple):
        ours, theirs = (ours,), (theirs,)
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, (tuple, int)):
            assert a == b
        elif np.dtype(values(b).dtype).kind in "iu":
            np.testing.assert_array_equal(values(a), values(b))
            assert values(a).dtype == values(b).dtype
        else:
            same(a, b)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_four_bits_come_back(axis, dtype):
    numbers = FOUR if dtype == "int8" else FOUR.view("uint8") & 15
    packed, _, count = nnc.quantizers.pack_int4(numbers, axis, dtype)
    back = values(nnc.quantizers.unpack_int4(packed, count, axis, dtype))
    theirs = values(keras.quantizers.unpack_int4(
        keras.ops.convert_to_tensor(values(packed)), count, axis, dtype))
    assert back.dtype == dtype and (back == numbers).all() and (theirs == back).all()


def test_gradients_of_fake_quantization():
    """Within the range they pass; outside they go to its ends."""
    x, low, high = (nnc.ops.convert_to_tensor(v) for v in (X, np.float32(-0.9), np.float32(1.1)))
    with nnc.GradientTape() as tape:
        for t in (x, low, high):
            tape.watch(t)
        loss = nnc.ops.sum(nnc.quantizers.fake_quant_with_min_max_vars(x, low, high))
    dx, dlow, dhigh = tape.gradient(loss, [x, low, high])
    np.testing.assert_array_equal(values(dx), ((X > -0.9) & (X < 1.1)).astype("float32"))
    assert values(dlow) == (X < -0.9).sum() and values(dhigh) == (X > 1.1).sum()


def test_configurations_and_names():
    ours = nnc.quantizers.AbsMaxQuantizer(axis=1, value_range=(-100, 100))
    theirs = keras.quantizers.AbsMaxQuantizer(axis=1, value_range=(-100, 100))
    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert plain(nnc.quantizers.serialize(ours)) == plain(keras.quantizers.serialize(theirs))
    again = nnc.quantizers.deserialize(keras.quantizers.serialize(theirs))
    assert again.get_config() == ours.get_config()
    assert type(nnc.quantizers.get("abs_max_quantizer")) is nnc.quantizers.AbsMaxQuantizer
    assert nnc.quantizers.get(None) is None and nnc.Quantizer is nnc.quantizers.Quantizer


@pytest.mark.parametrize("name", ["int8_from_float32", "int4/128_from_float32",
                                  "gptq/4/128_from_float32", "awq/4/-1_from_float32",
                                  "float8_from_float32", "int4_from_float32"])
def test_policies(name):
    ours, theirs = nnc.dtype_policies.get(name), keras.dtype_policies.get(name)
    assert type(ours).__name__ == type(theirs).__name__ and ours.name == theirs.name
    assert ours.quantization_mode == theirs.quantization_mode
    assert ours.compute_dtype == theirs.compute_dtype
    form = nnc.dtype_policies.serialize(ours)
    assert form == keras.dtype_policies.serialize(theirs)
    assert nnc.dtype_policies.get(form) == ours
