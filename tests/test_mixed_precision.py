"""Dtype policies and their older names."""
import pytest

import nnc


def test_policies():
    policies = nnc.mixed_precision
    before = policies.global_policy()
    policies.set_global_policy("float64")
    try:
        assert nnc.layers.Dense(1).compute_dtype == "float64"
        assert policies.dtype_policy() == policies.Policy("float64")
    finally:
        policies.set_dtype_policy(before)
    policy = nnc.dtype_policies.FloatDTypePolicy("float32")
    config = nnc.dtype_policies.serialize(policy)
    assert nnc.dtype_policies.deserialize(config) == policy
    assert policy.convert_input([1.0], True, "float64").dtype == "float64"
    assert policy.convert_input([1.0], False, "float64").dtype == "float32"
    assert policy.convert_input([1], True, "float64").dtype == "int32"


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16", "int8_from_float32", "float8"])
def test_other_policies_are_refused(name):
    before = nnc.mixed_precision.global_policy()
    with pytest.raises(ValueError, match="float32.*" + name):
        nnc.mixed_precision.set_dtype_policy(name)
    assert nnc.mixed_precision.global_policy() == before
    with pytest.raises(ValueError, match="configuration"):
        nnc.dtype_policies.deserialize(name)
