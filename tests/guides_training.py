"""More scripts, see guides.py: training, loops, files, masks, callbacks."""
import os
import tempfile

import numpy as np
from guides import IDS, IMAGES, TARGET, X, Y, fails, fill, guide, logs


def classifier(k, **options):
    """A small network on `X`."""
    inputs = k.Input(shape=(6,), name="digits")
    x = k.layers.Dense(5, activation="relu", name="dense_1")(inputs)
    x = k.layers.Dense(4, activation="relu", name="dense_2")(x)
    model = k.Model(inputs, k.layers.Dense(3, activation="softmax", name="predictions")(x))
    fill(model)
    if options:
        model.compile(**options)
    return model


SHORT = {"batch_size": 12, "shuffle": False, "verbose": 0}


# ---- training with the built-in methods ----

@guide
def objects_and_strings(k, tape):
    found = []
    for options in (
            {"optimizer": k.optimizers.RMSprop(learning_rate=1e-3),
             "loss": k.losses.SparseCategoricalCrossentropy(),
             "metrics": [k.metrics.SparseCategoricalAccuracy()]},
            {"optimizer": "rmsprop", "loss": "sparse_categorical_crossentropy",
             "metrics": ["sparse_categorical_accuracy"]}):
        model = classifier(k, **options)
        history = model.fit(X[:36], Y[:36], epochs=2, validation_data=(X[36:], Y[36:]), **SHORT)
        found += [logs(history), model.evaluate(X, Y, batch_size=12, verbose=0), history.epoch,
                  {key: history.params[key] for key in ("epochs", "steps", "verbose")}]
    return found


@guide
def own_losses_and_metrics(k, tape):
    def function(y_true, y_pred):
        return k.ops.mean(k.ops.square(y_true - y_pred), axis=-1)

    class CustomMSE(k.losses.Loss):
        def __init__(self, factor=0.1, name="custom_mse"):
            super().__init__(name=name)
            self.factor = factor

        def call(self, y_true, y_pred):
            mse = k.ops.mean(k.ops.square(y_true - y_pred), axis=-1)
            return mse + k.ops.mean(k.ops.square(0.5 - y_pred), axis=-1) * self.factor

    class TruePositives(k.metrics.Metric):
        def __init__(self, name="categorical_true_positives", **kwargs):
            super().__init__(name=name, **kwargs)
            self.true_positives = self.add_variable(shape=(), name="ctp", initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            y_pred = k.ops.reshape(k.ops.argmax(y_pred, axis=1), (-1, 1))
            y_true = k.ops.reshape(k.ops.argmax(y_true, axis=1), (-1, 1))
            hits = k.ops.cast(k.ops.equal(k.ops.cast(y_true, "int32"),
                                          k.ops.cast(y_pred, "int32")), "float32")
            if sample_weight is not None:
                hits = k.ops.multiply(hits, k.ops.cast(sample_weight, "float32"))
            self.true_positives.assign_add(k.ops.sum(hits))

        def result(self):
            return self.true_positives.value

        def reset_state(self):
            self.true_positives.assign(0.0)

    def hits(y_true, y_pred):
        return k.ops.cast(k.ops.argmax(y_true, -1) == k.ops.argmax(y_pred, -1), "float32")
    onehot, found = np.eye(3, dtype="float32")[Y], []
    for loss in (function, CustomMSE()):
        model = classifier(k, optimizer="adam", loss=loss, metrics=[TruePositives(), hits])
        found.append(logs(model.fit(X, onehot, epochs=2, **SHORT)))
        found.append(model.evaluate(X, onehot, batch_size=12, verbose=0))
    return found


@guide
def losses_outside_layers(k, tape):
    class Logging(k.layers.Layer):
        def call(self, inputs):
            self.add_loss(k.ops.sum(inputs) * 0.01)
            return inputs
    inputs = k.Input((6,))
    x = Logging(activity_regularizer=k.regularizers.L1(0.01))(k.layers.Dense(4)(inputs))
    model = k.Model(inputs, k.layers.Dense(3)(x))
    fill(model)
    model.compile("rmsprop", k.losses.SparseCategoricalCrossentropy(from_logits=True),
                  weighted_metrics=["accuracy"])
    return logs(model.fit(X, Y, epochs=2, **SHORT)), len(model.losses)


@guide
def weights_of_classes_and_samples(k, tape):
    found = []
    options = {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy",
               "metrics": ["accuracy"], "weighted_metrics": ["accuracy"]}
    for more in ({"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
                 {"sample_weight": np.where(Y == 1, 2.0, 1.0)},
                 {"validation_split": 0.25, "sample_weight": np.arange(48) / 10},
                 {"class_weight": {0: 0.5, 2: 3.0}, "validation_split": 0.5},
                 {"validation_data": (X[:24], Y[:24], np.arange(24.0)), "validation_freq": 2},
                 {"steps_per_epoch": 2}, {"initial_epoch": 1}):
        model = classifier(k, **options)
        found.append(logs(model.fit(X, Y, epochs=2, **SHORT, **more)))
        found.append(model.predict(X[:5], verbose=0))
    return found


@guide
def data_sets_of_batches(k, tape):
    class Batches(k.utils.PyDataset):
        def __init__(self, x, y, size, **kwargs):
            super().__init__(**kwargs)
            self.x, self.y, self.size, self.ends = x, y, size, 0

        def __len__(self):
            return len(self.x) // self.size

        def __getitem__(self, i):
            part = slice(i * self.size, (i + 1) * self.size)
            return self.x[part], self.y[part]

        def on_epoch_end(self):
            self.ends += 1

    def generate():
        for start in range(0, 48, 12):
            yield X[start:start + 12], Y[start:start + 12]
    model = classifier(k, optimizer="adam", loss="sparse_categorical_crossentropy",
                       metrics=["accuracy"])
    data = Batches(X, Y, 12)
    found = [logs(model.fit(data, epochs=2, shuffle=False, verbose=0, validation_data=data))]
    found.append(model.evaluate(data, verbose=0))
    found.append(logs(model.fit(generate(), verbose=0)))
    found.append(model.predict(data, verbose=0))
    return found


@guide
def rates_that_change(k, tape):
    class Linear(k.optimizers.schedules.LearningRateSchedule):
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, step):
            return self.rate / (k.ops.cast(step, "float32") + 1)

        def get_config(self):
            return {"rate": self.rate}
    found = []
    schedule = k.optimizers.schedules.ExponentialDecay(0.1, decay_steps=5, decay_rate=0.96,
                                                       staircase=True)
    for optimizer, callbacks in (
            (k.optimizers.RMSprop(learning_rate=schedule), []),
            (k.optimizers.SGD(Linear(0.5), momentum=0.9), []),
            (k.optimizers.Adam(0.1), [k.callbacks.LearningRateScheduler(lambda e, r: r * 0.5)]),
            (k.optimizers.SGD(3.0), [k.callbacks.ReduceLROnPlateau("loss", 0.2, patience=1)])):
        model = classifier(k, optimizer=optimizer, loss="sparse_categorical_crossentropy")
        history = model.fit(X, Y, epochs=3, callbacks=callbacks, **SHORT)
        found += [logs(history), model.optimizer.learning_rate,
                  int(model.optimizer.iterations)]
    return found


# ---- steps and loops of one's own ----

@guide
def own_train_step(k, tape):
    class CustomModel(k.Model):
        def train_step(self, data):
            if len(data) == 3:
                x, y, sample_weight = data
            else:
                sample_weight, (x, y) = None, data
            with tape() as t:
                y_pred = self(x, training=True)
                loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
            gradients = t.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred, sample_weight=sample_weight)
            return {m.name: m.result() for m in self.metrics}

        def test_step(self, data):
            x, y = data
            y_pred = self(x, training=False)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            for metric in self.metrics:
                metric.update_state(*((loss,) if metric.name == "loss" else (y, y_pred)))
            return {m.name: m.result() for m in self.metrics}
    inputs = k.Input((6,))
    model = CustomModel(inputs, k.layers.Dense(1)(inputs))
    fill(model)
    model.compile(optimizer="adam", loss="mse", metrics=["mae"], weighted_metrics=["mse"])
    weights = np.linspace(0.5, 1.5, 48)
    one = logs(model.fit(X, TARGET, sample_weight=weights, epochs=2, **SHORT))
    two = logs(model.fit(X, TARGET, epochs=2, **SHORT))
    return one, two, model.evaluate(X, TARGET, batch_size=12, verbose=0, return_dict=True), \
        type(model).__name__, model.predict(X, verbose=0)


@guide
def own_trackers(k, tape):
    class CustomModel(k.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.loss_tracker = k.metrics.Mean(name="loss")
            self.mae_metric = k.metrics.MeanAbsoluteError(name="mae")
            self.loss_fn = k.losses.MeanSquaredError()

        def train_step(self, data):
            x, y = data
            with tape() as t:
                y_pred = self(x, training=True)
                loss = self.loss_fn(y, y_pred)
            variables = self.trainable_variables
            self.optimizer.apply_gradients(zip(t.gradient(loss, variables), variables))
            self.loss_tracker.update_state(loss)
            self.mae_metric.update_state(y, y_pred)
            return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}

        @property
        def metrics(self):
            return [self.loss_tracker, self.mae_metric]
    inputs = k.Input((6,))
    model = CustomModel(inputs, k.layers.Dense(1)(inputs))
    fill(model)
    model.compile(optimizer="adam")
    return logs(model.fit(X, TARGET, epochs=3, **SHORT))


@guide
def own_compute_loss(k, tape):
    class CustomModel(k.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.tracker = k.metrics.Mean(name="my_loss")

        def compute_loss(self, x, y, y_pred, sample_weight, training=True):
            loss = k.ops.mean(k.ops.square(y_pred - y)) + sum(self.losses)
            self.tracker.update_state(loss)
            return loss

        def compute_metrics(self, x, y, y_pred, sample_weight):
            return {**super().compute_metrics(x, y, y_pred, sample_weight), "twice": 2.0}

        def predict_step(self, data):
            return self(data[0] if isinstance(data, tuple) else data, training=False) * 2.0
    inputs = k.Input((6,))
    outputs = k.layers.Dense(1, kernel_regularizer="l2")(inputs)
    model = CustomModel(inputs, outputs)
    fill(model)
    model.compile(optimizer="sgd", loss="mae", metrics=["mse"])
    return logs(model.fit(X, TARGET, epochs=2, validation_data=(X, TARGET),
                          validation_batch_size=12, **SHORT)), model.predict(X, verbose=0)


@guide
def adversaries(k, tape):
    class GAN(k.Model):
        def __init__(self, discriminator, generator, latent):
            super().__init__()
            self.discriminator, self.generator, self.latent = discriminator, generator, latent
            self.d_tracker, self.g_tracker = (k.metrics.Mean(name=n) for n in ("d_loss", "g_loss"))
            self.seed_generator = k.random.SeedGenerator(1337)
            self.built = True

        @property
        def metrics(self):
            return [self.d_tracker, self.g_tracker]

        def compile(self, d_optimizer, g_optimizer, loss_fn):
            super().compile()
            self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn

        def train_step(self, real):
            real = real[0] if isinstance(real, tuple) else real
            size = k.ops.shape(real)[0]
            noise = k.random.normal((size, self.latent), seed=self.seed_generator) * 0 + real[:, :2]
            generated = self.generator(noise)
            combined = k.ops.concatenate([generated, real], axis=0)
            labels = k.ops.concatenate([k.ops.ones((size, 1)), k.ops.zeros((size, 1))], axis=0)
            with tape() as t:
                d_loss = self.loss_fn(labels, self.discriminator(combined))
            grads = t.gradient(d_loss, self.discriminator.trainable_weights)
            self.d_optimizer.apply(grads, self.discriminator.trainable_weights)
            with tape() as t:
                predictions = self.discriminator(self.generator(noise))
                g_loss = self.loss_fn(k.ops.zeros((size, 1)), predictions)
            grads = t.gradient(g_loss, self.generator.trainable_weights)
            self.g_optimizer.apply(grads, self.generator.trainable_weights)
            self.d_tracker.update_state(d_loss)
            self.g_tracker.update_state(g_loss)
            return {"d_loss": self.d_tracker.result(), "g_loss": self.g_tracker.result()}
    discriminator = k.Sequential([k.Input((6,)), k.layers.Dense(4), k.layers.LeakyReLU(0.2),
                                  k.layers.Dense(1)], name="discriminator")
    generator = k.Sequential([k.Input((2,)), k.layers.Dense(4), k.layers.LeakyReLU(0.2),
                              k.layers.Dense(6, activation="sigmoid")], name="generator")
    fill(discriminator, generator)
    gan = GAN(discriminator, generator, 2)
    gan.compile(k.optimizers.Adam(0.003), k.optimizers.Adam(0.003),
                k.losses.BinaryCrossentropy(from_logits=True))
    return logs(gan.fit(X, epochs=2, **SHORT)), generator.get_weights()


@guide
def loop_from_scratch(k, tape):
    class ActivityRegularization(k.layers.Layer):
        def call(self, inputs):
            self.add_loss(1e-2 * k.ops.sum(inputs))
            return inputs
    inputs = k.Input((6,))
    x = ActivityRegularization()(k.layers.Dense(5, activation="relu")(inputs))
    model = k.Model(inputs, k.layers.Dense(3)(x))
    fill(model)
    optimizer = k.optimizers.Adam(learning_rate=1e-2)
    loss_fn = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    accuracy, losses = k.metrics.SparseCategoricalAccuracy(), []
    for _ in range(2):
        for start in range(0, 48, 16):
            x, y = X[start:start + 16], Y[start:start + 16]
            with tape() as t:
                logits = model(x, training=True)
                loss = loss_fn(y, logits) + sum(model.losses)
            grads = t.gradient(loss, model.trainable_weights)
            optimizer.apply(grads, model.trainable_weights)
            accuracy.update_state(y, logits)
            losses.append(float(loss))
        losses.append(float(accuracy.result()))
        accuracy.reset_state()
    return losses, model.get_weights()


# ---- transfer learning ----

@guide
def transfer(k, tape):
    base = k.Sequential([k.Input((8, 8, 3)), k.layers.Conv2D(4, 3, activation="relu"),
                         k.layers.BatchNormalization(), k.layers.GlobalAveragePooling2D()],
                        name="base")
    fill(base)
    base.trainable = False
    inputs = k.Input((8, 8, 3))
    x = k.layers.Rescaling(scale=0.5, offset=-0.1)(inputs)
    x = base(x, training=False)
    model = k.Model(inputs, k.layers.Dense(1, name="head")(k.layers.Dropout(0.0)(x)))
    fill(model.get_layer("head"))
    y = (Y[:12, None] > 1).astype("float32")
    counts = [len(model.trainable_weights), len(model.non_trainable_weights)]
    options = {"loss": k.losses.BinaryCrossentropy(from_logits=True),
               "metrics": [k.metrics.BinaryAccuracy()]}
    model.compile(k.optimizers.Adam(), **options)
    one = logs(model.fit(IMAGES, y, epochs=2, batch_size=4, shuffle=False, verbose=0))
    base.trainable = True
    counts += [len(model.trainable_weights), len(model.non_trainable_weights)]
    model.compile(k.optimizers.Adam(1e-2), **options)
    two = logs(model.fit(IMAGES, y, epochs=2, batch_size=4, shuffle=False, verbose=0))
    base.layers[0].trainable = False
    return one, two, counts, base.trainable, len(model.trainable_weights), base.get_weights()


@guide
def trainable_is_recursive(k, tape):
    inner = k.Sequential([k.Input((3,)), k.layers.Dense(3, activation="relu"),
                          k.layers.Dense(3, activation="relu")])
    model = k.Sequential([k.Input((3,)), inner, k.layers.Dense(3, activation="sigmoid")])
    model.trainable = False
    found = [inner.trainable, inner.layers[0].trainable, len(model.trainable_weights)]
    inner.layers[0].trainable = True
    found += [len(model.trainable_weights), len(inner.trainable_weights)]
    model.trainable = True
    norm = k.layers.BatchNormalization()
    norm.build((None, 4))
    found += [len(norm.trainable_weights), len(norm.non_trainable_weights),
              len(model.trainable_weights)]
    norm.trainable = False
    return found + [len(norm.trainable_weights), len(norm.non_trainable_weights)], \
        norm(X[:, :4], training=True)


# ---- files and configurations ----

@guide
def whole_models_in_files(k, tape):
    custom_fn = k.saving.register_keras_serializable(package="guides", name="fn")(
        lambda x: x ** 2)

    @k.saving.register_keras_serializable(package="guides")
    class Layer(k.layers.Layer):
        def __init__(self, units, inner=None, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.inner = inner or k.layers.Dense(units)

        def build(self, input_shape):
            if not self.inner.built:
                self.inner.build(input_shape)

        def call(self, x):
            return custom_fn(self.inner(x))

        def get_config(self):
            return {**super().get_config(), "units": self.units,
                    "inner": k.saving.serialize_keras_object(self.inner)}

        @classmethod
        def from_config(cls, config):
            inner = k.saving.deserialize_keras_object(config.pop("inner"))
            return cls(**config, inner=inner)

    class Stored(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.stored = self.add_weight(name="stored", shape=(2,), initializer="ones")

        def save_own_variables(self, store):
            super().save_own_variables(store)
            store["more"] = np.array([3.0])

        def load_own_variables(self, store):
            self.more = float(np.array(store["more"])[0])
            self.stored.assign(np.array(store["0"]) * 2)

        def call(self, x):
            return x * k.ops.sum(self.stored)
    inputs = k.Input((6,))
    x = Layer(4, name="own")(inputs)
    model = k.Model(inputs, k.layers.Dense(2)(Stored(name="stored")(x)))
    model.compile("adam", "mse", metrics=["mae"])
    fill(model)
    model.fit(X, X[:, :2], **SHORT)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "m.keras")
        model.save(path)
        again = k.models.load_model(path, custom_objects={"Stored": Stored})
        weights = os.path.join(folder, "m.weights.h5")
        model.save_weights(weights)
        third = k.models.clone_model(model)
        third.load_weights(weights)
        unknown = fails(lambda: k.models.load_model(path))
    return model.predict(X, verbose=0), again.predict(X, verbose=0), third(X), unknown, \
        again.get_layer("stored").more, again.optimizer.iterations, \
        logs(again.fit(X, X[:, :2], **SHORT)), again.get_compile_config()["loss"]


@guide
def parts_of_configurations(k, tape):
    layer = k.layers.Dense(3, activation="relu", name="d")
    layer.build((None, 6))
    config = layer.get_config()
    again = k.layers.Dense.from_config(config)
    again.build_from_config(layer.get_build_config())
    model = k.Sequential([k.Input((6,)), k.layers.Dense(3, activation="relu", name="d")], name="s")
    text = model.to_json()
    third = k.models.model_from_json(text)
    clone = k.models.clone_model(model)

    def change(layer):
        if isinstance(layer, k.layers.Dense):
            return k.layers.Dense(5, name=layer.name + "_wide")
        return layer.__class__.from_config(layer.get_config())
    wide = k.models.clone_model(model, clone_function=change)
    fill(third, clone, wide)
    made = k.layers.deserialize(k.layers.serialize(layer))
    return again.kernel.shape, layer.get_build_config(), third(X), clone(X), wide(X), \
        [v.path for v in wide.weights], made.name, len(made.weights), third.name, clone.name


@guide
def weights_between_models(k, tape):
    def make(head):
        inputs = k.Input((6,), name="digits")
        x = k.layers.Dense(4, activation="relu", name="dense_1")(inputs)
        return k.Model(inputs, k.layers.Dense(head, name=f"predictions{head}")(x), name="model")
    source, target = make(3), make(3)
    fill(source)
    target.set_weights(source.get_weights())
    extracted = k.Model(source.input, source.layers[-2].output)
    other = make(5)
    other.get_layer("dense_1").set_weights(source.get_layer("dense_1").get_weights())
    wrong = fails(lambda: other.set_weights(source.get_weights()))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "m.weights.h5")
        source.save_weights(path)
        other.load_weights(path, skip_mismatch=True)
    return target(X), extracted(X), wrong, \
        np.array_equal(other.layers[1].kernel, source.layers[1].kernel)


# ---- masks ----

@guide
def masks_of_layers(k, tape):
    raw = np.array([[711, 632, 71, 0, 0], [73, 8, 3215, 55, 927], [83, 91, 0, 0, 0]])
    embedding = k.layers.Embedding(input_dim=5000, output_dim=3, mask_zero=True)
    masked = embedding(raw)
    masking = k.layers.Masking()
    unmasked = k.ops.cast(k.ops.tile(k.ops.expand_dims(raw, axis=-1), [1, 1, 4]), "float32")
    inputs = k.Input((None,), dtype="int32")
    x = k.layers.Embedding(5000, 3, mask_zero=True)(inputs)
    model = k.Model(inputs, k.layers.GlobalAveragePooling1D()(x))
    fill(model)

    class Own(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.embedding = k.layers.Embedding(5000, 3, mask_zero=True)
            self.pool = k.layers.GlobalAveragePooling1D()

        def call(self, inputs):
            x = self.embedding(inputs)
            return self.pool(x, mask=self.embedding.compute_mask(inputs))
    own = Own()
    own(raw)
    fill(own)
    return masked._keras_mask, masking(unmasked)._keras_mask, model(raw), own(raw), \
        model.predict(raw, verbose=0), embedding.compute_mask(raw)


@guide
def masks_of_own_layers(k, tape):
    class TemporalSplit(k.layers.Layer):
        def call(self, inputs):
            return k.ops.split(inputs, 2, axis=1)

        def compute_mask(self, inputs, mask=None):
            return None if mask is None else k.ops.split(mask, 2, axis=1)

    class CustomEmbedding(k.layers.Layer):
        def __init__(self, input_dim, output_dim, mask_zero=False, **kwargs):
            super().__init__(**kwargs)
            self.input_dim, self.output_dim, self.mask_zero = input_dim, output_dim, mask_zero

        def build(self, input_shape):
            self.embeddings = self.add_weight(shape=(self.input_dim, self.output_dim),
                                              initializer="random_normal", dtype="float32")

        def call(self, inputs):
            return k.ops.take(self.embeddings, k.ops.cast(inputs, "int32"), axis=0)

        def compute_mask(self, inputs, mask=None):
            return k.ops.not_equal(inputs, 0) if self.mask_zero else None

    class Activation(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.supports_masking = True

        def call(self, inputs):
            return k.ops.relu(inputs)

    class TemporalSoftmax(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.supports_masking = True

        def call(self, inputs, mask=None):
            if mask is None:
                raise ValueError("`TemporalSoftmax` layer requires a previous layer to support "
                                 "masking.")
            wide = k.ops.expand_dims(k.ops.cast(mask, "float32"), -1)
            top = k.ops.exp(inputs) * wide
            return top / k.ops.sum(top * wide, axis=1, keepdims=True)
    ids = np.where(IDS[:, :4] % 3, IDS[:, :4], 0)
    layer = CustomEmbedding(10, 3, mask_zero=True)
    x = layer(ids)
    first, second = TemporalSplit()(k.layers.Embedding(10, 2, mask_zero=True)(ids))
    inputs = k.Input((None,), dtype="int32")
    y = CustomEmbedding(10, 6, mask_zero=True)(inputs)
    y = Activation()(y)
    y = k.layers.Dense(1)(y)
    model = k.Model(inputs, TemporalSoftmax()(y))
    fill(model)
    model.compile("sgd", "mse")
    history = model.fit(ids, np.ones((12, 4, 1)), epochs=2, batch_size=4, shuffle=False, verbose=0)
    return x._keras_mask, first._keras_mask, second._keras_mask, model(ids), logs(history), \
        fails(lambda: TemporalSoftmax()(np.ones((2, 3, 1), "float32")))


@guide
def masks_in_losses_and_metrics(k, tape):
    ids = np.where(IDS % 3, IDS, 0)
    inputs = k.Input((5,), dtype="int32")
    x = k.layers.Embedding(10, 4, mask_zero=True)(inputs)
    model = k.Model(inputs, k.layers.Dense(3, activation="softmax")(x))
    fill(model)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"],
                  weighted_metrics=["sparse_categorical_crossentropy"])
    y = (IDS % 3)[..., None]
    weights = np.linspace(0.5, 2, 60).reshape(12, 5)
    return logs(model.fit(ids, y, epochs=2, batch_size=4, shuffle=False, verbose=0)), \
        logs(model.fit(ids, y, sample_weight=weights, batch_size=4, shuffle=False, verbose=0)), \
        model.evaluate(ids, y, batch_size=4, verbose=0)


# ---- callbacks ----

@guide
def hooks(k, tape):
    class Custom(k.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.calls = []

        def set_params(self, params):
            super().set_params(params)
            self.calls.append(sorted(params))
    for kind in ("train", "test", "predict", "epoch", "train_batch", "test_batch",
                 "predict_batch"):
        for end in ("begin", "end"):
            def hook(self, *arguments, name=f"on_{kind}_{end}", **kwargs):
                told = {**kwargs}
                told = [a if isinstance(a, int) else sorted(a or {}) for a in arguments] + [
                    sorted(a or {}) for a in told.values()]
                self.calls.append([name, told])
            setattr(Custom, f"on_{kind}_{end}", hook)
    model = classifier(k, optimizer="adam", loss="sparse_categorical_crossentropy",
                       metrics=["accuracy"])
    callback = Custom()
    model.fit(X, Y, epochs=2, validation_split=0.25, callbacks=[callback], **SHORT)
    model.evaluate(X, Y, batch_size=24, verbose=0, callbacks=[callback])
    model.predict(X, batch_size=24, verbose=0, callbacks=[callback])
    return callback.calls


@guide
def stopping_and_scheduling(k, tape):
    class EarlyStoppingAtMinLoss(k.callbacks.Callback):
        def __init__(self, patience=0):
            super().__init__()
            self.patience, self.best_weights = patience, None

        def on_train_begin(self, logs=None):
            self.wait, self.stopped_epoch, self.best = 0, 0, np.inf

        def on_epoch_end(self, epoch, logs=None):
            current = logs.get("loss")
            if np.less(current, self.best):
                self.best, self.wait = current, 0
                self.best_weights = self.model.get_weights()
            else:
                self.wait += 1
                if self.wait >= self.patience:
                    self.stopped_epoch = epoch
                    self.model.stop_training = True
                    self.model.set_weights(self.best_weights)

    class Scheduler(k.callbacks.Callback):
        def __init__(self, schedule):
            super().__init__()
            self.schedule = schedule

        def on_epoch_begin(self, epoch, logs=None):
            rate = self.model.optimizer.learning_rate
            self.model.optimizer.learning_rate = self.schedule(epoch, float(rate))
    model = classifier(k, optimizer=k.optimizers.SGD(20.0), loss="mse")
    early = EarlyStoppingAtMinLoss(1)
    one = logs(model.fit(X, np.eye(3)[Y], epochs=9, callbacks=[early], **SHORT))
    stopped, weights = early.stopped_epoch, model.get_weights()
    model = classifier(k, optimizer=k.optimizers.SGD(0.5), loss="mse")
    two = logs(model.fit(X, np.eye(3)[Y], epochs=4, **SHORT, callbacks=[
        Scheduler(lambda epoch, rate: rate * 0.5 if epoch % 2 else rate),
        k.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: logs.get("loss"))]))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "{epoch}.keras")
        model.fit(X, np.eye(3)[Y], epochs=2, callbacks=[
            k.callbacks.ModelCheckpoint(path, save_best_only=True, monitor="loss"),
            k.callbacks.EarlyStopping(monitor="val_loss", min_delta=1e-2, patience=2)],
            validation_split=0.25, **SHORT)
        files = sorted(os.listdir(folder))
    return one, stopped, weights, two, files, model.optimizer.learning_rate
