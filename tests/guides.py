"""Scripts as a Keras user writes them, each a function of the library (`nnc` or Keras itself) and
of its `GradientTape`, that gives back what is to be equal. They are written anew, about what
Keras's developer guides are about. Batches divide the samples: where a last one is short, Keras
recorded on TensorFlow weighs the losses of several outputs by batches (eagerly by samples, as nnc
does).
"""
import numpy as np

rng = np.random.default_rng(11)
X = rng.normal(size=(48, 6)).astype("float32")
Y = rng.integers(0, 3, size=48)
TARGET = X.sum(1, keepdims=True).astype("float32")
IMAGES = rng.normal(size=(12, 8, 8, 3)).astype("float32")
IDS = rng.integers(0, 9, size=(12, 5))
GUIDES = {}


def guide(function):
    """Puts the script into the table."""
    GUIDES[function.__name__] = function
    return function


def fill(*models):
    """The same weights in both libraries, whatever their initializers draw; float32 only."""
    draw = np.random.default_rng(5)
    for model in models:
        model.set_weights([w if w.dtype != np.float32 else
                           (draw.normal(size=w.shape) * 0.3 + 0.1).astype("float32") ** 2 + 0.01
                           if "variance" in v.path else
                           (draw.normal(size=w.shape) * 0.3).astype("float32")
                           for v, w in zip(model.weights, model.get_weights())])


def logs(history):
    """The numbers of a `History`."""
    return {key: list(map(float, value)) for key, value in history.history.items()}


def fails(call):
    """The kind of exception that a call raises."""
    try:
        call()
    except Exception as error:       # which one it is, is the result
        return type(error).__name__
    return "nothing"


# ---- Sequential ----

@guide
def sequential(k, tape):
    model = k.Sequential([k.layers.Dense(4, activation="relu", name="one"),
                          k.layers.Dense(3, activation="relu", name="two"),
                          k.layers.Dense(2, name="three")])
    unbuilt = fails(lambda: model.layers[0].kernel), len(model.weights), model.built
    y = model(np.ones((1, 4), "float32"))
    built = len(model.weights), model.built, tuple(y.shape)
    model.pop()
    popped = [layer.name for layer in model.layers]
    other = k.Sequential(name="my_sequential")
    other.add(k.Input(shape=(6,)))
    other.add(k.layers.Dense(5, activation="tanh", name="hidden"))
    other.add(k.layers.Dense(3, name="out"))
    same_name = fails(lambda: other.add(k.layers.Dense(2, name="out")))
    fill(other)
    features = k.Model(inputs=other.inputs, outputs=[layer.output for layer in other.layers])
    one = k.Model(inputs=other.inputs, outputs=other.get_layer(name="hidden").output)
    return unbuilt, built, popped, same_name, [o for o in features(X)], one(X), \
        other.input_shape, other.output_shape, other.compute_output_shape((7, 6))


@guide
def freezing(k, tape):
    model = k.Sequential([k.Input((6,)), k.layers.Dense(5, activation="tanh"),
                          k.layers.Dense(4, activation="tanh"), k.layers.Dense(1)])
    fill(model)
    for layer in model.layers[:-1]:
        layer.trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    history = model.fit(X, TARGET, batch_size=12, shuffle=False, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights())]
    return changed, logs(history), len(model.trainable_weights), len(model.non_trainable_weights)


# ---- the functional API ----

@guide
def autoencoder(k, tape):
    encoder_input = k.Input(shape=(8, 8, 3), name="img")
    x = k.layers.Conv2D(4, 3, activation="relu")(encoder_input)
    x = k.layers.MaxPooling2D(2)(x)
    x = k.layers.Conv2D(5, 3, activation="relu")(x)
    encoder_output = k.layers.GlobalMaxPooling2D()(x)
    encoder = k.Model(encoder_input, encoder_output, name="encoder")
    decoder_input = k.Input(shape=(5,), name="encoded_img")
    x = k.layers.Dense(16)(decoder_input)
    x = k.layers.Reshape((4, 4, 1))(x)
    x = k.layers.Conv2DTranspose(4, 3, activation="relu")(x)
    x = k.layers.UpSampling2D(2)(x)
    x = k.layers.Conv2DTranspose(3, 3, activation="relu")(x)
    decoder = k.Model(decoder_input, k.layers.Cropping2D(3)(x), name="decoder")
    whole = k.Input(shape=(8, 8, 3), name="whole")
    model = k.Model(whole, decoder(encoder(whole)), name="autoencoder")
    fill(model)
    model.compile("adam", "mse", metrics=["mae"])
    history = model.fit(IMAGES, IMAGES, epochs=2, batch_size=4, shuffle=False, verbose=0)
    return logs(history), model.output_shape, [layer.name for layer in model.layers], \
        model.predict(IMAGES, verbose=0)


@guide
def ensemble(k, tape):
    def make():
        inputs = k.Input(shape=(6,))
        return k.Model(inputs, k.layers.Dense(1)(inputs))
    models = [make() for _ in range(3)]
    fill(*models)
    inputs = k.Input(shape=(6,))
    outputs = k.layers.average([model(inputs) for model in models])
    return k.Model(inputs=inputs, outputs=outputs).predict(X, verbose=0)


def tickets(k):
    """Three inputs, two outputs."""
    title, body = k.Input(shape=(None,), name="title"), k.Input(shape=(None,), name="body")
    tags = k.Input(shape=(4,), name="tags")
    features = [k.layers.GlobalAveragePooling1D()(k.layers.Embedding(9, n)(words))
                for n, words in ((4, title), (3, body))]
    x = k.layers.concatenate([*features, tags])
    priority = k.layers.Dense(1, name="priority")(x)
    department = k.layers.Dense(3, name="department")(x)
    return k.Model(inputs=[title, body, tags], outputs={"priority": priority,
                                                        "department": department})


@guide
def many_inputs_and_outputs(k, tape):
    x = {"title": IDS, "body": IDS[:, ::-1], "tags": X[:12, :4]}
    y = {"priority": (Y[:12, None] > 1).astype("float32"), "department": np.eye(3)[Y[:12]]}
    found = []
    losses = {"priority": k.losses.BinaryCrossentropy(from_logits=True),
              "department": k.losses.CategoricalCrossentropy(from_logits=True)}
    for weights in ({"priority": 1.0, "department": 0.2}, None):
        model = tickets(k)
        fill(model)
        model.compile(k.optimizers.SGD(1e-2), loss=losses, loss_weights=weights,
                      metrics={"priority": ["mae"], "department": ["accuracy"]},
                      weighted_metrics={"department": ["mse"]})
        history = model.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
        found += [logs(history), model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True),
                  model.evaluate(x, y, batch_size=4, verbose=0),
                  model.train_on_batch(x, y, return_dict=True), model.predict(x, verbose=0),
                  model.metrics_names]
    return found


@guide
def toy_resnet(k, tape):
    inputs = k.Input(shape=(8, 8, 3), name="img")
    x = k.layers.Conv2D(4, 3, activation="relu")(inputs)
    one = k.layers.MaxPooling2D(2)(x)
    x = k.layers.Conv2D(4, 3, activation="relu", padding="same")(one)
    x = k.layers.Conv2D(4, 3, activation="relu", padding="same")(x)
    two = k.layers.add([x, one])
    x = k.layers.GlobalAveragePooling2D()(two)
    x = k.layers.Dropout(0.5)(k.layers.Dense(5, activation="relu")(x))
    model = k.Model(inputs, k.layers.Dense(3)(x), name="toy_resnet")
    fill(model)
    model.compile(optimizer=k.optimizers.RMSprop(1e-3),
                  loss=k.losses.CategoricalCrossentropy(from_logits=True), metrics=["acc"])
    return model.predict(IMAGES, verbose=0), \
        model.evaluate(IMAGES, np.eye(3)[Y[:12]], verbose=0), \
        [tuple(w.shape) for w in model.weights]


@guide
def shared_layers(k, tape):
    shared = k.layers.Embedding(10, 4)
    a, b = k.Input(shape=(None,), dtype="int32"), k.Input(shape=(None,), dtype="int32")
    model = k.Model([a, b], k.layers.Dot(2)([shared(a), shared(b)]))
    fill(model)
    nodes = len(shared._inbound_nodes), fails(lambda: shared.output), fails(lambda: shared.input)
    return model.predict([IDS, IDS[:, :3]], verbose=0), nodes, len(model.weights)


def custom_dense(k):
    """A layer with weights and a configuration."""
    class CustomDense(k.layers.Layer):
        def __init__(self, units=32, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape):
            self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w",
                                     initializer="random_normal", trainable=True)
            self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b",
                                     trainable=True)

        def call(self, inputs):
            return k.ops.matmul(inputs, self.w) + self.b

        def get_config(self):
            return {**super().get_config(), "units": self.units}
    return CustomDense


@guide
def custom_layers_in_configurations(k, tape):
    cls = custom_dense(k)
    inputs = k.Input((6,))
    model = k.Model(inputs, cls(10, name="custom")(inputs))
    fill(model)
    config = model.get_config()
    unknown = fails(lambda: type(model).from_config(config, custom_objects={}))
    again = type(model).from_config(model.get_config(), custom_objects={"CustomDense": cls})
    with k.utils.custom_object_scope({"CustomDense": cls}):
        third = k.models.model_from_json(model.to_json())
    for other in (again, third):
        other(X)                            # a layer without a `build_config` that Keras reads
        other.set_weights(model.get_weights())
    default = cls.from_config(cls(5, name="five").get_config())
    return unknown, model(X), again(X), third(X), default.units, default.name


@guide
def mixed_styles(k, tape):
    """A subclass with a functional model in it, and the other way round."""
    class Encoder(k.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            inputs = k.Input((6,))
            self.inner = k.Model(inputs, k.layers.Dense(4, activation="tanh")(inputs))
            self.head = k.layers.Dense(2)
            self.blocks = [k.layers.Dense(4, name=f"block{i}") for i in range(2)]
            self.named = {"last": k.layers.Dense(3)}

        def call(self, x, training=None):
            x = self.inner(x, training=training)
            for block in self.blocks:
                x = x + block(x)
            return self.named["last"](self.head(x))
    inputs = k.Input((6,))
    encoder = Encoder(name="enc")
    model = k.Model(inputs, k.layers.Dense(1)(encoder(inputs)))
    fill(model)
    model.compile("adam", "mse")
    history = model.fit(X, TARGET, batch_size=12, shuffle=False, verbose=0, epochs=2)
    return logs(history), [tuple(w.shape) for w in model.weights], \
        [layer.name for layer in encoder.layers[1:3]], model.count_params(), \
        encoder.predict(X, verbose=0)


@guide
def ops_on_tensors(k, tape):
    inputs = k.Input((6,))
    x = k.layers.Dense(4)(inputs)
    y = k.ops.relu(x) * 2.0 - k.ops.mean(x, axis=-1, keepdims=True)
    y = (1.0 - y) / 3.0 + -x ** 2
    y = k.ops.concatenate([y[:, :2], x[:, 1:], k.ops.exp(x)[..., ::2]], axis=-1)
    y = k.layers.Dense(2)(y)
    model = k.Model(inputs, [y, k.ops.sum(y, axis=1)])
    fill(model)
    again = k.models.model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    return model(X), again(X), model.output_shape


@guide
def two_losses_by_list(k, tape):
    inputs = k.Input((6,))
    a, b = k.layers.Dense(1, name="a")(inputs), k.layers.Dense(3, name="b")(inputs)
    model = k.Model(inputs, [a, b])
    fill(model)
    model.compile("sgd", ["mse", k.losses.SparseCategoricalCrossentropy(from_logits=True)],
                  loss_weights=[2.0, 0.5], metrics=[["mae", "mse"], ["accuracy"]])
    weights = [np.linspace(0, 1, 48), np.linspace(1, 2, 48)]
    history = model.fit(X, [TARGET, Y], sample_weight=weights, batch_size=12, shuffle=False,
                        verbose=0, epochs=2, validation_split=0.25)
    return logs(history), model.evaluate(X, [TARGET, Y], batch_size=12, verbose=0), \
        model.test_on_batch(X, [TARGET, Y]), model.predict_on_batch(X)


# ---- layers and models by subclassing ----

@guide
def linear_layers(k, tape):
    class Linear(k.layers.Layer):
        def __init__(self, units=4, input_dim=6):
            super().__init__()
            self.w = self.add_weight(shape=(input_dim, units), initializer="ones", trainable=True)
            self.b = self.add_weight(shape=(units,), initializer="zeros", trainable=True)

        def call(self, inputs):
            return k.ops.matmul(inputs, self.w) + self.b

    class ComputeSum(k.layers.Layer):
        def __init__(self, input_dim):
            super().__init__()
            self.total = self.add_weight(initializer="zeros", shape=(input_dim,), trainable=False)

        def call(self, inputs):
            self.total.assign_add(k.ops.sum(inputs, axis=0))
            return self.total
    total = ComputeSum(6)
    first, second = (np.asarray(k.ops.convert_to_numpy(total(X))) for _ in range(2))
    layer = Linear()
    return layer(X), [len(layer.weights), len(layer.trainable_weights)], first, second, \
        len(total.weights), len(total.non_trainable_weights), len(total.trainable_weights)


@guide
def lazily_built_and_nested(k, tape):
    custom = custom_dense(k)

    class MLPBlock(k.layers.Layer):
        def __init__(self):
            super().__init__()
            self.linear_1, self.linear_2 = custom(5), custom(4)
            self.linear_3 = custom(1)

        def call(self, inputs):
            x = k.activations.relu(self.linear_1(inputs))
            return self.linear_3(k.activations.relu(self.linear_2(x)))
    mlp = MLPBlock()
    before = len(mlp.weights), mlp.built
    mlp(np.ones((3, 6), "float32"))
    after = len(mlp.weights), len(mlp.trainable_weights), mlp.built
    fill(mlp)
    model = k.Sequential([mlp])
    model.compile("sgd", "mse")
    history = model.fit(X, TARGET, batch_size=12, verbose=0, shuffle=False)
    return before, after, logs(history), mlp(X)


@guide
def losses_in_layers(k, tape):
    class ActivityRegularization(k.layers.Layer):
        def __init__(self, rate=1e-2):
            super().__init__()
            self.rate = rate

        def call(self, inputs):
            self.add_loss(self.rate * k.ops.mean(inputs))
            return inputs

    class Outer(k.layers.Layer):
        def __init__(self):
            super().__init__()
            self.activity_reg = ActivityRegularization(1e-2)
            self.dense = k.layers.Dense(3, kernel_regularizer=k.regularizers.l2(1e-3))

        def call(self, inputs):
            return self.activity_reg(self.dense(inputs))
    layer = Outer()
    counts = [len(layer.losses)]
    layer(X)
    fill(layer)
    for _ in range(2):
        layer(X)
        counts.append(len(layer.losses))
    inputs = k.Input((6,))
    model = k.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    one = logs(model.fit(X, X[:, :3], batch_size=12, shuffle=False, verbose=0))
    return counts, one


@guide
def loss_and_metric_in_an_endpoint(k, tape):
    class LogisticEndpoint(k.layers.Layer):
        def __init__(self, name=None):
            super().__init__(name=name)
            self.loss_fn = k.losses.BinaryCrossentropy(from_logits=True)
            self.metric = k.metrics.BinaryAccuracy(name="binary_accuracy")

        def call(self, targets, logits, sample_weight=None):
            self.add_loss(self.loss_fn(targets, logits, sample_weight))
            self.metric.update_state(targets, logits, sample_weight)
            return k.ops.softmax(logits)
    inputs, targets = k.Input((6,), name="inputs"), k.Input((2,), name="targets")
    logits = k.layers.Dense(2)(inputs)
    model = k.Model([inputs, targets], LogisticEndpoint(name="predictions")(targets, logits))
    fill(model)
    model.compile(optimizer="adam")
    data = {"inputs": X, "targets": np.eye(2, dtype="float32")[Y % 2]}
    history = model.fit(data, epochs=2, batch_size=12, shuffle=False, verbose=0)
    return logs(history), len(model.metrics), model.predict(data, verbose=0)


@guide
def training_argument(k, tape):
    class Noisy(k.layers.Layer):
        def __init__(self, rate, **kwargs):
            super().__init__(**kwargs)
            self.rate = rate

        def call(self, inputs, training=False):
            return inputs * (1 + self.rate) if training else inputs

    class Block(k.layers.Layer):
        def __init__(self):
            super().__init__()
            self.noisy = Noisy(0.5)

        def call(self, x):
            return self.noisy(x)
    block = Block()
    inputs = k.Input((6,))
    fixed = k.Model(inputs, Noisy(1.0)(inputs, training=True))
    free = k.Model(inputs, Block()(inputs))
    return block(X), block(X, training=True), fixed(X), fixed(X, training=False), free(X), \
        free(X, training=True), free.predict(X, verbose=0)


@guide
def variational_autoencoder(k, tape):
    class Sampling(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.seed_generator = k.random.SeedGenerator(1337)

        def call(self, inputs):
            mean, log_var = inputs
            shape = (k.ops.shape(mean)[0], k.ops.shape(mean)[1])
            noise = k.random.normal(shape=shape, seed=self.seed_generator)
            return mean + k.ops.exp(0.5 * log_var) * (noise * 0 + 0.3)  # each has its own numbers

    class Encoder(k.layers.Layer):
        def __init__(self, latent=2, hidden=5, name="encoder", **kwargs):
            super().__init__(name=name, **kwargs)
            self.proj = k.layers.Dense(hidden, activation="relu")
            self.mean, self.log_var = k.layers.Dense(latent), k.layers.Dense(latent)
            self.sampling = Sampling()

        def call(self, inputs):
            x = self.proj(inputs)
            mean, log_var = self.mean(x), self.log_var(x)
            return mean, log_var, self.sampling((mean, log_var))

    class VariationalAutoEncoder(k.Model):
        def __init__(self, original, name="autoencoder", **kwargs):
            super().__init__(name=name, **kwargs)
            self.encoder = Encoder()
            self.decoder = k.Sequential([k.layers.Dense(5, activation="relu"),
                                         k.layers.Dense(original, activation="sigmoid")])

        def call(self, inputs):
            mean, log_var, z = self.encoder(inputs)
            self.add_loss(-0.5 * k.ops.mean(log_var - k.ops.square(mean) - k.ops.exp(log_var) + 1))
            return self.decoder(z)
    vae = VariationalAutoEncoder(6)
    vae(X)
    fill(vae)
    vae.compile(k.optimizers.Adam(1e-2), loss=k.losses.MeanSquaredError())
    found = logs(vae.fit(X, X, epochs=2, batch_size=12, shuffle=False, verbose=0))
    optimizer, mse = k.optimizers.Adam(1e-3), k.losses.MeanSquaredError()
    metric = k.metrics.Mean()
    for _ in range(2):
        for start in range(0, 48, 16):
            with tape() as t:
                out = vae(X[start:start + 16])
                loss = mse(X[start:start + 16], out) + sum(vae.losses)
            grads = t.gradient(loss, vae.trainable_weights)
            optimizer.apply_gradients(zip(grads, vae.trainable_weights))
            metric(loss)
    return found, metric.result(), vae.predict(X, verbose=0), len(vae.losses)
