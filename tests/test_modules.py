"""Modules of Keras that are more than lists of names: backend, distribution, legacy; boxes' IoU."""
import types

import numpy as np
import pytest
from live import keras, same

import nnc

BOXES = {"xyxy": ([[10, 10, 50, 40], [0, 0, 20, 20], [-1, -1, -1, -1]],
                  [[20, 5, 60, 45], [0, 0, 20, 20]]),
         "rel_yxyx": ([[0.1, 0.1, 0.5, 0.4], [0, 0, 0.2, 0.2]], [[0.2, 0.05, 0.6, 0.45]]),
         "center_xywh": ([[10, 10, 20, 8], [30, 30, 4, 4]], [[12, 9, 20, 8]])}


def test_public_names_of_backend():
    assert isinstance(nnc.backend, types.ModuleType)
    names = {name for name in dir(keras.backend) if not name.startswith("_")}
    assert names <= set(dir(nnc.backend)) and nnc.backend.backend() == "nnc"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "bool", "uint8", "complex64",
                                   None, float, int, np.float16])
@pytest.mark.parametrize("name", ["is_float_dtype", "is_int_dtype", "standardize_dtype"])
def test_dtypes(name, dtype):
    assert getattr(nnc.backend, name)(dtype) == getattr(keras.backend, name)(dtype)


def test_unique_numbers():
    for k in (keras, nnc):
        k.backend.clear_session()
        assert [k.backend.get_uid(p) for p in ("a", "a", "b", "")] == [1, 2, 1, 1]
        k.backend.clear_session()
        assert k.backend.get_uid("a") == 1
    assert nnc.backend.result_type("int32", "float16") == "float16"


def test_defaults_through_backend():
    nnc.backend.set_epsilon(1e-4)
    try:
        assert nnc.config.epsilon() == nnc.backend.epsilon() == 1e-4
    finally:
        nnc.backend.set_epsilon(1e-7)


def test_one_device():
    d = nnc.distribution
    assert d.list_devices() == d.list_devices("CPU") == ["cpu:0"] and d.list_devices("gpu") == []
    assert d.get_device_count() == 1 and d.distribution() is None
    d.initialize(), d.set_distribution(None)
    assert d.distribute_tensor(7, None) == 7
    for wrong in (lambda: d.initialize(num_processes=2), lambda: d.set_distribution("x"),
                  lambda: d.distribute_tensor(7, "x")):
        with pytest.raises(ValueError, match="Received"):
            wrong()
    for name in ("DeviceMesh", "TensorLayout", "LayoutMap", "DataParallel", "ModelParallel"):
        assert not hasattr(d, name)
        with pytest.raises(AttributeError, match=f"{name}: there is one device"):
            getattr(d, name)


def test_legacy():
    for k in (keras, nnc):
        with pytest.raises(ImportError, match="legacy"):
            k.optimizers.legacy.Adam(0.1)
    config = nnc.utils.legacy.serialize_keras_object(nnc.losses.Huber(delta=2.0))
    assert nnc.legacy.saving.deserialize_keras_object(config).name == "huber_loss"


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("batched", ["", "1", "2", "12"])
@pytest.mark.parametrize("form", BOXES)
def test_iou(form, batched, masked):
    one, two = (np.array(boxes, "float32") for boxes in BOXES[form])
    if masked and one.shape[0] != two.shape[0] and batched != "":
        two = two[:1].repeat(one.shape[0], 0)
    one = np.stack([one, one + 0.01]) if "1" in batched else one
    two = np.stack([two, two + 0.02]) if "2" in batched else two
    if masked and batched in ("1", "2"):
        pytest.skip("Keras transposes masks of different ranks wrongly")
    arguments = (one, two, form, masked, -3)
    shape = {"image_shape": (100, 200, 3)} if form.startswith("rel") else {}
    same(nnc.utils.bounding_boxes.compute_iou(*arguments, **shape),
         keras.utils.bounding_boxes.compute_iou(*arguments, **shape), rtol=1e-5)


@pytest.mark.parametrize("form", ["xyxy", "center_xywh"])
def test_ciou(form):
    one, two = (np.array(boxes, "float32") for boxes in BOXES[form])
    one, two = np.broadcast_arrays(one[:1], two)
    same(nnc.utils.bounding_boxes.compute_ciou(one, two, form),
         keras.utils.bounding_boxes.compute_ciou(one, two, form), rtol=1e-5)


def test_iou_refuses():
    boxes = np.zeros((2, 4), "float32")
    with pytest.raises(ValueError, match="image_shape"):
        nnc.utils.bounding_boxes.compute_iou(boxes, boxes, "rel_xyxy")
    with pytest.raises(ValueError, match="boxes2"):
        nnc.utils.bounding_boxes.compute_iou(boxes, boxes[0], "xyxy")


def test_dicts_keep_the_order_of_their_keys():
    nest = {"b": [1, 2], "a": (3,)}
    for k in (keras, nnc):
        assert list(k.tree.map_structure(lambda x: x + 1, nest)) == ["b", "a"]
        assert list(k.tree.pack_sequence_as(nest, [1, 2, 3]).items()) == [("b", [2, 3]),
                                                                          ("a", (1,))]
        assert k.tree.flatten(nest) == [3, 1, 2]
