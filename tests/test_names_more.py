"""Function, state trees, tree and config names as in Keras; estimators' routing."""
import subprocess
import sys

import numpy as np
import pytest

import nnc


def each():
    """nnc, and Keras where it is installed."""
    return [nnc, pytest.importorskip("keras")]


@pytest.mark.parametrize("case", ["sum", "nest", "layer", "middle"])
def test_functions_as_in_keras(case):
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    found = []
    for k in each():
        a, b = k.KerasTensor(shape=(None, 3)), k.Input((3,))
        if case == "sum":
            f, given = k.Function([a, b], k.ops.sigmoid(a + b)), [x, 2 * x]
        elif case == "nest":
            f, given = k.Function({"a": a, "b": b}, {"c": a * 2, "d": [b, a - b]}), {"a": x, "b": x}
        elif case == "layer":
            f, given = k.Function(b, k.layers.Dense(2, kernel_initializer="ones")(b)), x
        else:
            inner = b * 3
            f, given = k.Function(inner, k.ops.exp(inner)), x
        made = f(given)
        shapes = k.tree.map_structure(lambda leaf: leaf.shape, given)
        found.append((k.tree.map_structure(np.asarray, made), f.compute_output_shape(shapes),
                      len(f.inputs), len(f.outputs)))
        again = f(k.tree.map_structure(lambda leaf: k.KerasTensor(leaf.shape), given))
        assert k.tree.map_structure(lambda leaf: leaf.shape, again) == found[-1][1]
    ours, theirs = found
    nnc.tree.map_structure(lambda p, q: np.testing.assert_allclose(p, q, rtol=1e-6), ours[0],
                           theirs[0])
    assert ours[1:] == theirs[1:]


def test_functions_refuse():
    a, b = nnc.KerasTensor((None, 3)), nnc.Input((3,))
    for inputs, outputs, message in (
            ([], a, "at least one"), (a, np.ones(3), "must be KerasTensors"),
            (a, nnc.KerasTensor((3,)), "not connected"), (a, b * 2, "not among `inputs`")):
        with pytest.raises(ValueError, match=message):
            nnc.Function(inputs, outputs)
    f = nnc.Function([a, b], a + b)
    with pytest.raises(ValueError, match="structure"):
        f(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"must have the shape \(None, 3\)"):
        f([np.ones((1, 3)), np.ones((1, 4))])


def trained(k):
    model = k.Sequential([k.Input((2,), name="i"), k.layers.Dense(1, name="d"),
                          k.layers.BatchNormalization(name="n")], name="s")
    model.compile(k.optimizers.Adam(name="adam"), "mse", metrics=["mae"])
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    return model


def paths(nest):
    return {".".join(map(str, path)): np.shape(leaf)
            for path, leaf in nnc.tree.flatten_with_path(nest)}


def test_state_trees_have_kerass_paths():
    ours, theirs = (k and trained(k).get_state_tree("numpy_array") for k in each())
    assert paths(ours) == paths(theirs)


def test_state_trees_there_and_back():
    one, other = trained(nnc), trained(nnc)
    state = one.get_state_tree()
    assert isinstance(state["trainable_variables"]["s"]["d"]["kernel"], nnc.Tensor)
    one.fit(np.ones((4, 2)), np.zeros((4, 1)), verbose=0)       # what was given is a copy
    other.set_state_tree(state)
    again = other.get_state_tree("numpy_array")
    nnc.tree.map_structure(lambda a, b: np.testing.assert_array_equal(a.numpy(), b), state, again)
    part = {"s": {"d": {"kernel": np.full((2, 1), 5.0)}}}
    for wrong, message in (({"weights": {}}, "must be of"),
                           ({"trainable_variables": {**part, "x": np.ones(2)}}, "no variable 'x'"),
                           ({"trainable_variables": {**part, "s": {"d": {
                               "bias": np.ones(3)}}}}, "has the shape")):
        with pytest.raises(ValueError, match=message):
            other.set_state_tree(wrong)
    nnc.tree.map_structure(np.testing.assert_array_equal, again,
                           other.get_state_tree("numpy_array"))
    other.set_state_tree({"trainable_variables": part})
    assert other.layers[0].kernel.numpy().tolist() == [[5.0], [5.0]]
    with pytest.raises(ValueError, match="value_format='list'"):
        other.get_state_tree("list")


def test_add_metric_says_what_to_do():
    with pytest.raises(NotImplementedError, match="compile"):
        nnc.layers.Dense(1).add_metric(1.0)


@pytest.mark.parametrize("nest", [(2, 3), [None, 2], {"a": (1, 2), "b": [(3,), (4, None)]}, ()])
def test_map_shape_structure(nest):
    ours, theirs = (k.tree.map_shape_structure(lambda s: ("shape", tuple(s)), nest)
                    for k in each())
    assert ours == theirs


def test_tree_arguments():
    assert nnc.tree.is_nested(structure=[1]) and not nnc.tree.is_nested(structure=1)
    with pytest.warns(DeprecationWarning, match="check_types"):
        nnc.tree.assert_same_structure([1], [2], check_types=False)


def test_config_names():
    assert nnc.config.is_flash_attention_enabled() is None
    nnc.config.disable_flash_attention()
    assert nnc.config.is_flash_attention_enabled() is False
    nnc.config.enable_flash_attention()
    assert nnc.config.is_flash_attention_enabled() is None and not nnc.config.is_nnx_enabled()
    nnc.config.set_backend("nnc")
    with pytest.raises(ValueError, match="backend='jax'"):
        nnc.config.set_backend("jax")
    with pytest.raises(ValueError, match="custom_objects"):
        nnc.config.enable_unsafe_deserialization()


@pytest.mark.parametrize("calls, inner, enabled", [
    ("", True, False), ("enable", False, True), ("enable enable disable", True, False)])
def test_traceback_filtering(tmp_path, calls, inner, enabled):
    script = tmp_path / "s.py"
    script.write_text("import nnc\n" + "".join(
        f"nnc.config.{c}_traceback_filtering()\n" for c in calls.split())
        + "print(nnc.config.is_traceback_filtering_enabled())\n"
        + "def mine():\n    nnc.layers.Dense(-1)\nmine()\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.stdout == f"{enabled}\n" and done.returncode == 1
    assert "in mine" in done.stderr and "ValueError: " in done.stderr
    assert ("core.py" in done.stderr) == inner


def test_fit_requests():
    sklearn = pytest.importorskip("sklearn")
    estimator = nnc.wrappers.SKLearnClassifier(None)
    with pytest.raises(RuntimeError, match="enable_metadata_routing"):
        estimator.set_fit_request(sample_weight=True)
    with sklearn.config_context(enable_metadata_routing=True):
        assert estimator.set_fit_request(sample_weight="weight") is estimator
        routing = estimator.get_metadata_routing()
        assert routing.fit.requests == {"sample_weight": "weight"}


def test_device():
    for name in ("cpu", "CPU:0", None):
        with nnc.device(name):
            assert nnc.ops.ones((2,)).shape == (2,)
    with pytest.raises(ValueError, match="no other device.*'gpu:0'"):
        with nnc.device("gpu:0"):
            pass


def test_layout_of_variables():
    assert nnc.Variable(1.0, layout=None).shape == ()
    with pytest.raises(ValueError, match="`layout` must be None.*rows"):
        nnc.Variable(1.0, layout="rows")


def test_operations_are_computed_again_in_their_scope():
    class Twice(nnc.Operation):
        def call(self, x):
            return nnc.ops.tanh(nnc.ops.tanh(x))
    with nnc.RematScope("full"):
        again = Twice()
    assert Twice()._remat_mode is None and again._remat_mode is not None
    x = np.linspace(-1, 1, 5).astype("float32")
    found = []
    for operation in (Twice(), again):
        graph = nnc._core.Graph()
        with graph:
            symbol = graph.input((5,), "float32")
            gradient, = graph.gradients([operation(symbol)], [symbol])
        found.append(nnc._core.Program(graph, [gradient])(x)[0].numpy())
        kept = operation.rematerialized_call(operation.call)
        assert (kept == operation.call) == (operation is not again)
    np.testing.assert_array_equal(*found)
    with pytest.raises(NotImplementedError, match="Twice.*quantized_call"):
        again.quantized_call(x)


def test_stateless_compute_loss():
    """Values in the place of weights give their loss; the model stays as it was. Keras's method of
    this name calls one that its models lack on TensorFlow, so the loss is compared.
    """
    model = nnc.Sequential([nnc.layers.Dense(2, kernel_regularizer=nnc.regularizers.L2(0.1)),
                            nnc.layers.BatchNormalization()])
    model.compile("sgd", "mse", metrics=["mae"])
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    model.build((None, 3))
    before = model.get_weights()
    values_of = lambda variables: [v.numpy() for v in variables]
    trainable = [v + 1 for v in values_of(model.trainable_variables)]
    y_pred = np.full((4, 2), 3.0, "float32")
    loss, state = model.stateless_compute_loss(
        trainable, values_of(model.non_trainable_variables), values_of(model.metrics_variables),
        x=x, y=y, y_pred=y_pred)
    assert abs(float(loss) - (9 + 0.1 * (trainable[0] ** 2).sum())) < 1e-4
    for ours, kept in zip(model.get_weights(), before):
        np.testing.assert_array_equal(ours, kept)
    assert [len(part) for part in state] == [4, 2, len(model.metrics_variables)]
    np.testing.assert_array_equal(state[0][0].numpy(), trainable[0])
    with pytest.raises(ValueError, match="4 variables for `trainable_variables`"):
        model.stateless_compute_loss([], [], [], x=x, y=y, y_pred=y_pred)
