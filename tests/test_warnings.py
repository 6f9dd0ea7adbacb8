"""What training tells in time: each mistake once, by its name, and nothing where all is well."""
import warnings

import numpy as np
import pytest

import nnc
from nnc import warnings as told

SPARSE, CATEGORICAL = "sparse_categorical_crossentropy", "categorical_crossentropy"


def seen_in(function):
    """The names of the warnings of training that a call raises, each time that it raises them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [str(w.message).rpartition("[")[2].rstrip("]") for w in caught
            if issubclass(w.category, told.TrainingWarning)]


def data(count=200, width=12, classes=3):
    x = np.random.default_rng(0).normal(size=(count, width)).astype("float32")
    return x, x[:, :classes].argmax(1)


def network(*layers, loss=SPARSE, width=12, **compiled):
    nnc.utils.set_random_seed(1)
    model = nnc.Sequential([nnc.Input((width,) if isinstance(width, int) else width), *layers])
    model.compile("sgd", loss, **compiled)
    return model


def dense(units, activation=None, **kwargs):
    return nnc.layers.Dense(units, activation=activation, **kwargs)


def from_logits(name):
    return {"sparse": nnc.losses.SparseCategoricalCrossentropy,
            "categorical": nnc.losses.CategoricalCrossentropy,
            "binary": nnc.losses.BinaryCrossentropy}[name](from_logits=True)


def functional(activation):
    entry = nnc.Input((12,))
    out = nnc.layers.Reshape((3,))(dense(3, activation)(dense(8, "relu")(entry)))
    model = nnc.Model(entry, out)
    model.compile("sgd", SPARSE)
    return model


def softmax_op(axis):
    """A softmax op over an axis of size 1 (-1), or of 4 (1)."""
    entry = nnc.Input((12,))
    out = nnc.ops.softmax(nnc.layers.Reshape((4, 1))(dense(4)(entry)), axis)
    model = nnc.Model(entry, dense(1)(nnc.layers.Flatten()(out)))
    model.compile("sgd", "mse")
    return model


def nested(activation):
    return network(dense(8, "relu"), nnc.Sequential([dense(3), nnc.layers.Activation(activation)]))


OUTPUTS = {
    "softmax of one": (lambda: network(dense(1, "softmax"), loss="mse"), ["softmax-of-one"]),
    "softmax layer of one": (lambda: network(dense(1), nnc.layers.Softmax(), loss="mse"),
                             ["softmax-of-one"]),
    "activation of one": (lambda: network(dense(1), nnc.layers.Activation("softmax"), loss="mse"),
                          ["softmax-of-one"]),
    "softmax op of one": (lambda: softmax_op(-1), ["softmax-of-one"]),
    "softmax op along others": (lambda: softmax_op(1), []),
    "sigmoid of one": (lambda: network(dense(1, "sigmoid"), loss="binary_crossentropy"), []),
    "softmax, from_logits": (lambda: network(dense(3, "softmax"), loss=from_logits("sparse")),
                             ["from-logits"]),
    "sigmoid, from_logits": (lambda: network(dense(1, "sigmoid"), loss=from_logits("binary")),
                             ["from-logits"]),
    "logits, from_logits": (lambda: network(dense(3), loss=from_logits("sparse")), []),
    "logits": (lambda: network(dense(3)), ["from-logits"]),
    "logits, binary": (lambda: network(dense(1), loss="binary_crossentropy"), ["from-logits"]),
    "logits, mse": (lambda: network(dense(1), loss="mse"), []),
    "softmax": (lambda: network(dense(3, "softmax")), []),
    "softmax layer": (lambda: network(dense(3), nnc.layers.Softmax()), []),
    "functional, logits": (lambda: functional(None), ["from-logits"]),
    "functional, softmax": (lambda: functional("softmax"), []),
    "nested, linear": (lambda: nested("linear"), ["from-logits"]),
    "nested, softmax": (lambda: nested("softmax"), []),
}


@pytest.mark.parametrize("row", OUTPUTS)
def test_outputs_against_losses(row):
    """Two epochs, a short last batch and a validation: one warning all the same."""
    make, expected = OUTPUTS[row]
    x, y = data()
    model = make()
    y = y if model.output_shape[-1] == 3 else (y > 0).astype("float32")

    def fit():
        model.fit(x, y, epochs=2, validation_split=0.2, verbose=0)
        model.fit(x, y, verbose=0)
    assert seen_in(fit) == expected


def test_the_text_names_the_layer_and_the_way_out():
    x, y = data()
    with pytest.warns(told.TrainingWarning, match="layer 'last' has no activation.*from_logits=Tru"
                                                  "e.*activation='softmax'"):
        network(dense(3, name="last")).fit(x, y, verbose=0)


def images(shape, dtype="uint8", high=255):
    values = np.random.default_rng(0).integers(0, high + 1, (64, *shape))
    return values.astype(dtype)


IMAGES = {
    "flat bytes": (images((784,)), dense, True),
    "flat floats": (images((784,), "float32"), dense, True),
    "scaled": (images((784,), "float32") / 255, dense, False),
    "no square": (images((12,)), dense, False),
    "small numbers": (images((784,), "uint8", 16), dense, False),
    "colours": (images((8, 8, 3)), lambda n: nnc.layers.Conv2D(4, 3), True),
    "halves": (images((784,), "float32") + 0.5, dense, False),
    "rescaled": (images((784,)), lambda n: nnc.layers.Rescaling(1 / 255), False),
    "normalized": (images((784,)), lambda n: nnc.layers.BatchNormalization(), False),
    "flattened": (images((28, 28)), lambda n: nnc.layers.Flatten(), True),
}


@pytest.mark.parametrize("row", IMAGES)
@pytest.mark.parametrize("kind", ["sequential", "functional", "dict"])
def test_unscaled_images(row, kind):
    x, first, expected = IMAGES[row]
    layers = [first(4), nnc.layers.Flatten(), dense(3, "softmax")]
    if kind == "sequential":
        model = network(*layers, width=x.shape[1:])
    else:
        entry = nnc.Input(x.shape[1:])
        out = entry
        for layer in layers:
            out = layer(out)
        model = nnc.Model({"image": entry} if kind == "dict" else entry, out)
        model.compile("sgd", SPARSE)
    y = np.zeros(len(x), "int64")
    x = {"image": x} if kind == "dict" else x
    assert seen_in(lambda: model.fit(x, y, verbose=0)) == ["unscaled-images"] * expected


def overlap_cases():
    x, y = data(5000)
    other, labels = np.random.default_rng(9).normal(size=(500, 12)).astype("float32"), y[:500]
    few = np.random.default_rng(0).integers(0, 2, (5000, 3)).astype("float32")
    mixed = other.copy()
    mixed[::2] = x[1000:1250]
    return {
        "the same": (x, y, (x, y), True),
        "a part": (x, y, (x[4000:4500], y[4000:4500]), True),
        "a half of it": (x, y, (mixed, labels), True),
        "as doubles": (x, y, (x[:500].astype("float64"), y[:500]), True),
        "others": (x, y, (other, labels), False),
        "flags": (few, y, (few[:500], y[:500]), False),
    }


@pytest.mark.parametrize("row", overlap_cases())
def test_validation_rows_that_are_training_rows(row):
    x, y, validation, expected = overlap_cases()[row]
    model = network(dense(3, "softmax"), width=x.shape[1])
    seen = seen_in(lambda: model.fit(x, y, batch_size=500, validation_data=validation, verbose=0))
    assert seen == ["validation-in-training"] * expected


def test_the_text_names_two_equal_rows():
    import re

    x, y = data(1000)
    with pytest.warns(told.TrainingWarning) as caught:
        network(dense(3, "softmax")).fit(x, y, validation_data=(x[100:200], y[100:200]), verbose=0)
    theirs, ours = map(int, re.search(r"row (\d+) of the validation's `x` is row (\d+)",
                                      str(caught[0].message)).groups())
    assert ours == theirs + 100 and "about 100%" in str(caught[0].message)


def test_compile_lets_it_be_told_again():
    x, y = data()
    model = network(dense(3))
    assert seen_in(lambda: model.fit(x, y, verbose=0)) == ["from-logits"]
    model.compile("sgd", SPARSE)
    assert seen_in(lambda: model.fit(x, y, verbose=0)) == ["from-logits"]


def test_silence():
    x, y = data()
    with pytest.raises(ValueError, match="no warning of the name 'logits'. Known: softmax-of-one"):
        told.silence("from-logits", "logits")
    assert not told.silenced
    told.silence("from-logits")
    try:
        assert seen_in(lambda: network(dense(3)).fit(x, y, verbose=0)) == []
        assert seen_in(lambda: network(dense(1, "softmax"), loss="mse").fit(x, y, verbose=0)) \
            == ["softmax-of-one"]
    finally:
        told.silence(on=False)
    assert not told.silenced
    assert seen_in(lambda: network(dense(3)).fit(x, y, verbose=0)) == ["from-logits"]


# ---- between epochs ------------------------------------------------------------------------------

def test_a_loss_that_stands_still():
    x, y = data()
    model = network(dense(3, "softmax"))
    model.optimizer.learning_rate = 0.0
    with pytest.warns(told.TrainingWarning, match=r"did not change in epoch 2: it is .*the "
                                                  r"learning rate is 0. \[constant-loss\]"):
        model.fit(x, y, epochs=3, verbose=0)
    frozen = network(dense(3, "softmax"))
    frozen.trainable = False
    frozen.compile("sgd", SPARSE)
    assert seen_in(lambda: frozen.fit(x, y, epochs=3, verbose=0)) == ["constant-loss"]


def test_a_loss_that_has_come_to_rest_is_no_mistake():
    x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    y = 2 * x + 1
    y[::2] += 0.5                               # what remains: the noise
    model = network(dense(1), loss="mse", width=1)
    model.compile(nnc.optimizers.SGD(0.5), "mse")
    assert seen_in(lambda: model.fit(x, y, epochs=60, batch_size=64, verbose=0)) == []
    losses = model.history.history["loss"]
    assert abs(losses[-1] - losses[-2]) < 1e-6 * losses[-1]


@pytest.fixture
def eager_looks(monkeypatch):
    """Layers are looked at after each epoch, whatever it costs."""
    monkeypatch.setattr("nnc.watching.SHARE", 1e9)


DEAD = {
    "Dense": lambda bias: [dense(8, "relu", bias_initializer=bias, name="first")],
    "ReLU": lambda bias: [dense(8, bias_initializer=bias), nnc.layers.ReLU(name="first")],
    "Conv1D": lambda bias: [nnc.layers.Reshape((12, 1)), nnc.layers.Conv1D(
        4, 3, activation="relu", bias_initializer=bias, name="first"), nnc.layers.Flatten()],
    "Activation": lambda bias: [nnc.Sequential([
        dense(8, bias_initializer=bias), nnc.layers.Activation("relu", name="first")])],
}


@pytest.mark.parametrize("row", DEAD)
@pytest.mark.parametrize("bias", [-50.0, 0.0])
def test_dead_layers(row, bias, eager_looks):
    x, y = data()
    model = network(*DEAD[row](nnc.initializers.Constant(bias)), dense(3, "softmax"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y, epochs=4, verbose=0)
    texts = [str(w.message) for w in caught]
    assert len(texts) == (bias < 0)
    assert all("layer 'first'" in text and "[dead-layer]" in text for text in texts)
    assert model.predict(x, verbose=0).shape == (200, 3)


@pytest.mark.parametrize("bias", [-50.0, 0.0])
def test_a_dead_layer_is_found_though_looks_take_too_long(bias, monkeypatch):
    """Its bias stands still, which is seen for nothing."""
    monkeypatch.setattr("nnc.watching.SHARE", 0)
    x, y = data()
    model = network(*DEAD["Dense"](nnc.initializers.Constant(bias)), dense(3, "softmax"))
    seen = seen_in(lambda: model.fit(x, y, epochs=3, verbose=0))
    assert seen == (["dead-layer"] if bias < 0 else [])


def test_looks_cost_a_hundredth_at_most():
    """After a first epoch too short to pay for a look nothing is recorded."""
    from nnc.watching import Watch

    x, y = data()
    model = network(dense(8, "relu"), dense(3, "softmax"))
    model.fit(x, y, verbose=0)
    watch = Watch(model, model_run(model, x, y), None)
    watch.begin(0)
    watch.end({"loss": 1.0})
    assert watch.program is None and watch.spent == 0


def model_run(model, x, y):
    from nnc.data import standardize
    from nnc.recording import Run

    return Run(model, "train", standardize(x, y))


# ---- NaN and Inf ---------------------------------------------------------------------------------

class Function(nnc.layers.Layer):
    """A layer that computes a function of its input."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)


def norm(x):
    """Its gradient at 0 is 0 / 0."""
    return nnc.ops.sqrt(nnc.ops.sum(nnc.ops.square(x), axis=-1, keepdims=True))


def with_function(function):
    return network(dense(4, use_bias=False, name="first"), Function(function, name="mine"),
                   dense(3, "softmax", name="last"))


def zeros_at(row, x):
    x = x.copy()
    x[row] = 0.0
    return x


def told_of(model, x, y, **kwargs):
    """The text of the one warning that training raises, and the losses."""
    with pytest.warns(nnc.NumericWarning) as caught:
        history = model.fit(x, y, verbose=0, **kwargs)
    mine = [w for w in caught if issubclass(w.category, told.TrainingWarning)]
    assert len(mine) == 1 and all(w.filename == __file__ for w in caught)
    return str(mine[0].message), history.history["loss"]


def test_where_a_forward_pass_gives_nan():
    x, y = data()
    text, losses = told_of(with_function(nnc.ops.log), x, y, epochs=2)
    assert "from epoch 1, step 1 on. NaN or Inf first rises in layer 'mine', in the op log " in text
    assert np.isnan(losses).all()


class OwnCall(nnc.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = dense(4), dense(3, "softmax")

    def call(self, x):
        return self.last(nnc.ops.log(self.first(x)))


def test_where_a_model_of_ones_own_gives_nan():
    model = OwnCall()
    model.compile("sgd", SPARSE)
    text, _ = told_of(model, *data())
    assert "first rises in the model's own computation, outside of its layers, in the op lo" in text


def test_data_to_validate_with_that_is_not_finite():
    x, y = data()
    other = data(40)[0] + 1
    other[7, 3] = np.inf
    text, losses = told_of(network(dense(3, "softmax")), x, y, epochs=2,
                           validation_data=(other, y[:40]))
    assert "validation: the loss" in text and "`x` holds inf in row 7, column 3" in text
    assert np.isfinite(losses).all()


def test_which_step_is_the_first():
    """Rows in order: the first with a number too large for exp stands in the fourth batch."""
    x, y = data()
    x[100, 0] = 1e30
    text, _ = told_of(with_function(lambda x: nnc.ops.square(x)), x, y, shuffle=False)
    assert "from epoch 1, step 4 on. NaN or Inf first rises in layer 'mine', in the op squ" in text


@pytest.mark.parametrize("batch", [32, 200])
def test_where_a_gradient_gives_nan(batch):
    """The loss is finite in the step whose gradient is not: it is found by going there again, from
    the copy of the epoch's start, or of the one before where an epoch is one step.
    """
    x, y = data()
    x = zeros_at(130, x)
    text, losses = told_of(with_function(norm), x, y, epochs=3, batch_size=batch, shuffle=False)
    where = "epoch 1, step 6" if batch == 32 else "epoch 2, step 1"
    assert f"from {where} on. The step before it made weights NaN or Inf" in text
    assert "layer 'mine', in the op" in text and "of the gradient" in text
    assert np.isnan(losses[-1])


def test_shuffled_steps_are_found_again():
    x, y = data()
    nnc.utils.set_random_seed(3)
    text, _ = told_of(with_function(norm), zeros_at(130, x), y, epochs=3)
    assert "layer 'mine', in the op" in text and "of the gradient" in text


def test_an_update_that_is_too_large():
    x, y = data()
    model = network(dense(3, "softmax"))
    model.compile(nnc.optimizers.SGD(1e38), SPARSE)
    text, _ = told_of(model, 1e3 * x, y)
    assert "made weights NaN or Inf" in text and "the update itself was too large" in text


def test_what_is_not_kept_is_said(monkeypatch):
    monkeypatch.setattr("nnc.watching.COPIED", 0)
    x, y = data()
    text, _ = told_of(with_function(norm), zeros_at(130, x), y, epochs=2)
    assert "made weights NaN or Inf" in text and "is not known" in text


def test_generators_are_told_of_too():
    x, y = data()
    x[100, 0] = 1e30

    def batches():
        for i in range(0, 200, 50):
            yield x[i:i + 50], y[i:i + 50]
    text, _ = told_of(with_function(nnc.ops.square), batches(), None)
    assert "from epoch 1, step 3 on. NaN or Inf first rises in layer 'mine'" in text


def test_a_step_without_gradients_is_told_of_without_a_place():
    class Mine(nnc.Sequential):
        def train_step(self, data):
            x, y = data
            return {"loss": nnc.ops.mean(nnc.ops.log(self(x)))}
    x, y = data()
    model = Mine([nnc.Input((12,)), dense(3)])
    model.compile("sgd", "mse")
    text, _ = told_of(model, x, y)
    assert "after epoch 1. Where it began is not known" in text


class Own(nnc.Sequential):
    """A step of one's own, whose loss only the tape sees."""

    asks = False                            # whether the step asks for a number, so that it is eager

    def train_step(self, data):
        x, y = data
        if self.asks:
            float(nnc.ops.sum(x))
        with nnc.GradientTape() as tape:
            loss = nnc.ops.mean(nnc.ops.sparse_categorical_crossentropy(y, self(x, training=True)))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return {"loss": loss}


class Asking(Own):
    asks = True


#: class, whether compiled to run eagerly, function, the row of zeros, batch; what is told
PLACES = {
    "eager, forward": (nnc.Sequential, True, nnc.ops.log, None, 32,
                       "from epoch 1, step 1 on. NaN or Inf first rises in layer 'mine', in the op log "),
    "eager, gradient": (nnc.Sequential, True, norm, 130, 32, "first/kernel). NaN or Inf first rises in layer 'mine', in the op"),
    "own step": (Own, False, nnc.ops.log, None, 32,
                 "from epoch 1, step 1 on. NaN or Inf first rises in layer 'mine', in the op log "),
    "own step, gradient": (Own, False, norm, 130, 32,
                           "from epoch 1, step 6 on. The step before it made weights NaN or Inf"),
    "own step, eager": (Own, True, norm, 130, 32, "from epoch 1, step 5 on, while its loss still is ("),
    "not recordable": (Asking, False, nnc.ops.log, None, 32,
                       "step 1 on. NaN or Inf first rises in layer 'mine'. The step cannot be recorded"),
    "not recordable, gradient": (Asking, False, norm, 130, 200, "epoch 1, step 1 on, while its loss still is"),
}


@pytest.mark.parametrize("row", PLACES)
@pytest.mark.filterwarnings("ignore:.*cannot be recorded")
def test_eager_steps_and_own_steps_are_told_of_with_the_place(row):
    cls, eager, function, zeros, batch, text = PLACES[row]
    x, y = data()
    x = x if zeros is None else zeros_at(zeros, x)
    nnc.utils.set_random_seed(1)
    model = cls([nnc.Input((12,)), dense(4, use_bias=False, name="first"), Function(function, name="mine"),
                 nnc.layers.Dropout(0.2), dense(3, "softmax", name="last")])
    model.compile("sgd", SPARSE, run_eagerly=eager)
    assert text in told_of(model, x, y, epochs=2, batch_size=batch, shuffle=False)[0]


@pytest.mark.filterwarnings("ignore:.*cannot be recorded")
@pytest.mark.parametrize("cls, function", [(Own, nnc.ops.log), (Asking, nnc.ops.log), (Asking, norm)])
def test_looking_into_eager_steps_changes_no_bit(cls, function):
    x, y = data()

    def run(quiet):
        nnc.utils.set_random_seed(1)
        model = cls([nnc.Input((12,)), dense(4), nnc.layers.Dropout(0.3), Function(function),
                     dense(3, "softmax")])
        model.compile("sgd", SPARSE, run_eagerly=True)
        told.silence("not-finite", on=quiet)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(zeros_at(130, x), y, epochs=2, verbose=0)
        return model
    try:
        assert same_bits(run(True), run(False))
    finally:
        told.silence(on=False)


def same_bits(a, b):
    return all(p.numpy().tobytes() == q.numpy().tobytes()
               for p, q in zip(a.variables + a.optimizer.variables,
                               b.variables + b.optimizer.variables))


def test_looking_changes_no_bit():
    """With and without the search, training goes on with the same bits, dropout's draws included.
    """
    x, y = data()

    def run(quiet):
        nnc.utils.set_random_seed(1)
        model = network(dense(4, use_bias=False), nnc.layers.Dropout(0.3), Function(norm),
                        dense(3, "softmax"))
        told.silence("not-finite", on=quiet)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(zeros_at(130, x), y, epochs=2, verbose=0)
        return model
    try:
        assert same_bits(run(True), run(False))
    finally:
        told.silence(on=False)


def test_callbacks_see_every_batch():
    """The step at which training looks up is not left out, nor done twice."""
    x, y = data()
    x[100, 0] = 1e30
    seen = []
    callback = nnc.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch))
    told_of(with_function(nnc.ops.square), x, y, callbacks=[callback])
    assert seen == list(range(7))


def test_train_on_batch_is_not_guarded():
    x, y = data()
    model = with_function(nnc.ops.log)
    before = model.get_weights()[0].copy()
    assert np.isnan(model.train_on_batch(x, y))
    assert not np.array_equal(before, model.get_weights()[0])
