"""Lookup, hashing and discretization layers, against Keras over tables of arguments; their errors.

Keras gives int64 codes where it declares float ones; here codes are of the declared dtype.
"""
import json

import numpy as np
import pytest

import nnc
from tests.live import keras, plain, values

layers, theirs = nnc.layers, keras.layers
RNG = np.random.default_rng(7)
WORDS = np.array([[f"w{k}" for k in row] for row in RNG.zipf(1.5, (40, 6)) % 30])
NUMBERS = RNG.zipf(1.5, (40, 6)) % 30 - 5
MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")


def check(ours, other, rtol=2e-6):
    """Equal numbers and shapes; rtol: means and logarithms in float32, unit 6e-8."""
    ours, other = values(ours), values(other)
    assert ours.shape == other.shape
    assert ours.dtype.kind == other.dtype.kind or ours.dtype == np.float32
    np.testing.assert_allclose(ours, other, rtol=rtol, atol=0)


def config_of(layer):
    config = json.loads(json.dumps(plain(layer.get_config())))
    config.pop("name")
    return config


LOOKUPS = [{}, {"max_tokens": 8}, {"num_oov_indices": 3}, {"num_oov_indices": 3, "salt": 11},
           {"max_tokens": 40, "pad_to_max_tokens": True}, {"mask": True},
           {"mask": True, "num_oov_indices": 2, "max_tokens": 9}]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", LOOKUPS)
@pytest.mark.parametrize("kind", ["StringLookup", "IntegerLookup"])
def test_adapted_lookups_are_keras(kind, options, mode):
    options, strings = dict(options), kind == "StringLookup"
    if options.pop("mask", False):
        options["mask_token"] = "w1" if strings else -4
    if "salt" in options and not strings:
        options["oov_method"] = "farmhash"
    data = WORDS if strings else NUMBERS
    ours, other = (getattr(module, kind)(output_mode=mode, **options)
                   for module in (layers, theirs))
    for layer in (ours, other):
        layer.adapt(data[:20])
    assert ours.get_vocabulary() == [v if strings else int(v) for v in other.get_vocabulary()]
    assert ours.get_vocabulary(False) == list(other.get_vocabulary(False))
    assert ours.vocabulary_size() == other.vocabulary_size()
    assert config_of(ours) == config_of(other)
    for x in (data, data[:, :1], data[0]):
        check(ours(x), other(x))
    again = getattr(layers, kind).from_config(ours.get_config())
    again.set_vocabulary(ours.get_vocabulary(), *([ours.idf_weights[:ours.vocabulary_size()]]
                                                  if mode == "tf_idf" else []))
    check(again(data), ours(data))


@pytest.mark.parametrize("kind", ["StringLookup", "IntegerLookup"])
def test_given_vocabularies_are_keras(kind):
    strings = kind == "StringLookup"
    words = ["w3", "w1", "w2"] if strings else [3, 1, 2]
    unknown, mask, data = ("[UNK]", "m", WORDS) if strings else (-1, 9, NUMBERS)
    for options in ({"vocabulary": words}, {"vocabulary": [unknown, *words]},
                    {"vocabulary": [mask, unknown, *words], "mask_token": mask},
                    {"vocabulary": words, "invert": True},
                    {"vocabulary": words, "mask_token": mask, "num_oov_indices": 2},
                    {"vocabulary": words, "output_mode": "tf_idf", "idf_weights": [.5, .25, 2.]},
                    {"vocabulary": [unknown, *words], "output_mode": "tf_idf",
                     "idf_weights": [9., .5, .25, 2.]},
                    {"vocabulary": np.array(words), "output_mode": "count", "max_tokens": 9,
                     "pad_to_max_tokens": True}):
        ours, other = (getattr(module, kind)(**options) for module in (layers, theirs))
        assert config_of(ours) == config_of(other)
        if options.get("invert"):
            x = np.array([[0, 1, 2], [3, 4, 77], [-1, 1, 1]])
            found = values(ours(x)).tolist()
            wanted = values(other(x)).tolist()
            assert found == [[v.decode() if strings else v for v in row] for row in wanted]
        else:
            check(ours(data), other(data))
        with pytest.raises(ValueError, match="vocabulary"):
            ours.adapt(data)


def test_vocabulary_files(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("wé\nw1\nw2\n", encoding="utf-8")
    ours, other = (module.StringLookup(vocabulary=str(path)) for module in (layers, theirs))
    check(ours(WORDS), other(WORDS))
    assert ours.get_vocabulary() == other.get_vocabulary()
    path.write_text("3\n1\n")
    assert layers.IntegerLookup(vocabulary=str(path)).get_vocabulary() == [-1, 3, 1]


def test_strings_in_every_form():
    layer = layers.StringLookup(vocabulary=["ü", "日本", "a"])
    wanted = [[1, 2, 3, 0]]
    forms = [["ü", "日本", "a", "zz"]], [("ü".encode(), "日本".encode(), b"a", b"zz")]
    for form in (*forms, np.array(forms[0]), np.array(forms[1]), np.array(forms[0], object),
                 np.array(forms[1], object), np.array(forms[0]).astype(">U4"),
                 keras.ops.convert_to_tensor(forms[0])):
        assert values(layer(form)).tolist() == wanted
    assert int(values(layer("ü"))) == 1
    assert values(layer(np.array([["a"]] * 4)[::2, 0])).tolist() == [3, 3]
    assert values(layer(np.array([], "U1"))).shape == (0,)


def test_several_batches_count_as_one():
    for cls, data in ((layers.StringLookup, WORDS), (layers.IntegerLookup, NUMBERS)):
        whole, parts = (cls(output_mode="tf_idf") for _ in range(2))
        whole.adapt(data)
        parts.adapt(data[i:i + 7] for i in range(0, 40, 7))
        assert whole.get_vocabulary() == parts.get_vocabulary()
        check(whole(data), parts(data), rtol=0)
        few = cls()
        few.adapt((data[i:i + 10] for i in range(0, 40, 10)), steps=2)
        half = cls()
        half.adapt(data[:20])
        assert few.get_vocabulary() == half.get_vocabulary()


HASHES = [{"num_bins": 3}, {"num_bins": 1000}, {"num_bins": 7, "salt": 133},
          {"num_bins": 7, "salt": [133, 137]}, {"num_bins": 5, "mask": True},
          {"num_bins": 1, "mask": True}, {"num_bins": 4, "output_mode": "one_hot"},
          {"num_bins": 4, "output_mode": "multi_hot"}, {"num_bins": 4, "output_mode": "count"},
          {"num_bins": 9, "dtype": "int32"}]


@pytest.mark.parametrize("options", HASHES)
@pytest.mark.parametrize("data", [WORDS, NUMBERS], ids=["strings", "integers"])
def test_hashing_is_keras(options, data):
    options = dict(options)
    if options.pop("mask", False):
        options["mask_value"] = data[0, 0] if data is NUMBERS else str(data[0, 0])
    ours, other = (module.Hashing(**options) for module in (layers, theirs))
    if "mask_value" not in options or data is WORDS:
        assert config_of(ours) == config_of(other)
    for x in (data, data[:, :1]) + ((data[0],) if "output_mode" not in options else ()):
        check(ours(x), other(x))
    if data is NUMBERS:
        check(ours(x.astype("int32")), other(x.astype("int32")))


def test_hashes_of_all_lengths():
    text = [("ab9.é" * 40)[:n] for n in range(150)]
    for salt in (None, [3, 2 ** 33]):
        check(layers.Hashing(1 << 30, salt=salt)(text),
              theirs.Hashing(1 << 30, salt=salt)(np.array(text)))
    numbers = np.array([0, -1, 2 ** 63 - 1, -2 ** 63, 10 ** 18])
    check(layers.Hashing(1 << 30)(numbers), theirs.Hashing(1 << 30)(numbers))


def test_crossing_is_keras():
    for options in ({"num_bins": 10}, {"num_bins": 6, "output_mode": "one_hot"}):
        ours, other = (module.HashedCrossing(**options) for module in (layers, theirs))
        assert config_of(ours) == config_of(other)
        for parts in ([WORDS[:, 0], NUMBERS[:, 0]], [WORDS[:, :1], WORDS[:, 1:2]],
                      [NUMBERS[:, 0], NUMBERS[:, 1], WORDS[:, 2]]):
            check(ours(parts), other(tuple(parts)))


DISCRETE = [{"bin_boundaries": [0.0, 0.5, 1.0]}, {"num_bins": 4}, {"num_bins": 10, "epsilon": .1},
            {"num_bins": 3, "output_mode": "one_hot"}, {"num_bins": 3, "output_mode": "multi_hot"},
            {"num_bins": 3, "output_mode": "count"}]


@pytest.mark.parametrize("options", DISCRETE)
def test_discretization_is_keras(options):
    data = RNG.normal(size=(500, 3)).astype("float32")
    ours, other = (module.Discretization(**options) for module in (layers, theirs))
    if "num_bins" in options:
        for layer in (ours, other):
            layer.adapt([data[:100], data[100:350], data[350:]])
        assert ours.bin_boundaries == other.bin_boundaries
    assert config_of(ours) == config_of(other)
    for x in (data, data[:, :1], np.array([[0.5, np.nan, np.inf, -np.inf]], "float32")):
        check(ours(x), other(x))
    check(layers.Discretization.from_config(ours.get_config())(data), ours(data))


ERRORS = [
    (lambda: layers.StringLookup(max_tokens=1), ValueError, "max_tokens"),
    (lambda: layers.StringLookup(pad_to_max_tokens=True), ValueError, "pad_to_max_tokens"),
    (lambda: layers.StringLookup(num_oov_indices=-1), ValueError, "num_oov_indices"),
    (lambda: layers.StringLookup(output_mode="all"), ValueError, "output_mode"),
    (lambda: layers.StringLookup(output_mode="count", sparse=True), ValueError, "sparse"),
    (lambda: layers.StringLookup(invert=True, output_mode="count"), ValueError, "invert"),
    (lambda: layers.StringLookup(encoding="latin-1"), ValueError, "encoding"),
    (lambda: layers.StringLookup(vocabulary=["a"], idf_weights=[1.0]), ValueError, "idf_weights"),
    (lambda: layers.StringLookup(vocabulary=["a"], output_mode="tf_idf"), ValueError,
     "idf_weights"),
    (lambda: layers.StringLookup(vocabulary=["a", "a"]), ValueError, "more than once"),
    (lambda: layers.StringLookup(vocabulary=[]), ValueError, "empty"),
    (lambda: layers.StringLookup(vocabulary=["a", ""], mask_token=""), ValueError, "mask token"),
    (lambda: layers.StringLookup(vocabulary="/nowhere"), ValueError, "does not exist"),
    (lambda: layers.StringLookup(vocabulary=["a", "b"], max_tokens=2), ValueError, "larger"),
    (lambda: layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(["a", "zz"]), ValueError,
     "zz"),
    (lambda: layers.StringLookup(vocabulary=["a"])([1, 2]), TypeError, "strings"),
    (lambda: layers.StringLookup(vocabulary=["a"])(np.array(["a", None], object)), TypeError,
     "None"),
    (lambda: layers.StringLookup(output_mode="count")(["a"]), RuntimeError, "adapt"),
    (lambda: layers.StringLookup().adapt(["a"], steps=1), ValueError, "steps"),
    (lambda: layers.StringLookup().adapt(3), TypeError, "int"),
    (lambda: layers.IntegerLookup(vocabulary=[1], salt=3), ValueError, "salt"),
    (lambda: layers.IntegerLookup(vocabulary_dtype="int32"), ValueError, "vocabulary_dtype"),
    (lambda: layers.IntegerLookup(vocabulary=[1])(["a"]), TypeError, "strings"),
    (lambda: layers.IntegerLookup(vocabulary=[1], num_oov_indices=0)([1, 5]), ValueError, "5"),
    (lambda: layers.Hashing(0), ValueError, "num_bins"),
    (lambda: layers.Hashing(3, salt="x"), ValueError, "salt"),
    (lambda: layers.Hashing(3, dtype="float32"), ValueError, "dtype"),
    (lambda: layers.HashedCrossing(3)(["a"]), ValueError, "two or more"),
    (lambda: layers.HashedCrossing(3)([["a"], [1.5]]), TypeError, "whole"),
    (lambda: layers.HashedCrossing(3)([["a", "b"], [1]]), ValueError, "one shape"),
    (lambda: layers.HashedCrossing(3, output_mode="count"), ValueError, "output_mode"),
    (lambda: layers.Discretization(), ValueError, "num_bins"),
    (lambda: layers.Discretization([1.0], num_bins=2), ValueError, "num_bins"),
    (lambda: layers.Discretization(num_bins=2)(np.ones(3)), ValueError, "adapt"),
    (lambda: layers.Discretization([1.0]).adapt(np.ones(3)), ValueError, "bin_boundaries"),
]


@pytest.mark.parametrize("make, error, text", ERRORS)
def test_errors_name_what_is_wrong(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_vocabulary_size_cannot_change_in_a_model():
    layer = layers.StringLookup(output_mode="count")
    layer.adapt(["a", "b"])
    layer.adapt(["c", "d"])
    assert layer.get_vocabulary() == ["[UNK]", "d", "c"]
    with pytest.raises(RuntimeError, match="cannot change"):
        layer.adapt(["a", "b", "c"])


def test_integer_layers_run_in_programs():
    x = nnc.Input((6,), dtype="int64")
    lookup = layers.IntegerLookup(output_mode="count", num_oov_indices=2)
    lookup.adapt(NUMBERS[:10])
    parts = [lookup(x), layers.Hashing(5, output_mode="count")(x),
             layers.Flatten()(layers.Embedding(40, 2)(layers.IntegerLookup(
                 vocabulary=[1, 2, 3])(x))),
             layers.Discretization([0.0, 3.0], output_mode="count")(x)]
    model = nnc.Model(x, layers.Concatenate()(parts))
    check(model.predict(NUMBERS, verbose=0), model(NUMBERS), rtol=0)
    check(model.predict(NUMBERS, verbose=0)[:, :lookup.vocabulary_size()], lookup(NUMBERS), rtol=0)
    strict = layers.IntegerLookup(vocabulary=[1, 2], num_oov_indices=0)
    model = nnc.Sequential([nnc.Input((6,), dtype="int64"), strict])
    with pytest.raises(ValueError, match="vocabulary"):
        model.predict(NUMBERS, verbose=0)


def test_programs_follow_a_new_vocabulary():
    lookup = layers.IntegerLookup()
    lookup.adapt(np.array([1, 1, 2]))
    model = nnc.Sequential([nnc.Input((1,), dtype="int64"), lookup])
    assert model.predict(np.array([[1], [2]]), verbose=0).tolist() == [[1], [2]]
    lookup.adapt(np.array([2, 2, 1]))
    assert model.predict(np.array([[1], [2]]), verbose=0).tolist() == [[2], [1]]


def test_failing_allocations_leave_nothing_behind():
    core = nnc._core
    packed = core.pack_strings(np.array([f"word{k % 90}" for k in range(300)], object))
    live = core.alloc_stats()["live_blocks"]
    done, n = False, 0
    while not done:
        n += 1
        table = core.StringTable()
        core.alloc_fail_at(n)
        try:
            table.add(*packed)
            done = True
        except MemoryError:
            pass
        finally:
            core.alloc_fail_at(0)
        table.add(*packed)
        assert len(table) == 90
        del table
    assert n > 5 and core.alloc_stats()["live_blocks"] == live


def test_the_core_reads_within_its_arrays():
    core = nnc._core
    bytes_, begin, end = core.pack_strings(np.array(["ab", "c"]))
    for wrong in ((bytes_, begin, end + 1), (bytes_, begin - 1, end), (bytes_, end, begin),
                  (bytes_, begin[:1], end)):
        for call in (core.StringTable().add, core.StringTable().find,
                     lambda *text: core.hash_strings(*text, 3, None),
                     lambda *text: core.standardize_text(*text, 3),
                     lambda *text: core.split_text(*text, 0)):
            with pytest.raises(ValueError, match="outside"):
                call(*wrong)
    with pytest.raises(ValueError, match="rows"):
        core.ngram_text(bytes_, begin, end, np.array([0, 5]), np.array([1]))
    for wrong in (bytes_[::2], bytes_.astype("int8"), [1]):
        with pytest.raises(TypeError, match="uint8"):
            core.hash_strings(wrong, begin, end, 3, None)
