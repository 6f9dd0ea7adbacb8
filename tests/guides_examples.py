"""More scripts (see guides.py), about what Keras's code examples are about: recommenders,
reinforcement learning, distillation, contrastive and semi-supervised learning, layers of papers.

Embeddings are trained by SGD: Keras on TensorFlow squares the gradients of a row that comes twice in
a batch one by one, so that its Adam is not the one of the other backends, and nnc's.
"""
import numpy as np
from guides import IDS, TARGET, X, Y, fill, guide, logs

SHORT = {"batch_size": 12, "shuffle": False, "verbose": 0}


# ---- recommenders and tables ----

@guide
def collaborative_filtering(k, tape):
    class Recommender(k.Model):
        def __init__(self, users, things, size, **kwargs):
            super().__init__(**kwargs)
            decay = k.regularizers.l2(1e-3)
            self.user = k.layers.Embedding(users, size, embeddings_regularizer=decay)
            self.user_bias = k.layers.Embedding(users, 1)
            self.thing = k.layers.Embedding(things, size, embeddings_regularizer=decay)
            self.thing_bias = k.layers.Embedding(things, 1)

        def call(self, inputs):
            user, thing = inputs[:, 0], inputs[:, 1]
            match = k.ops.tensordot(self.user(user), self.thing(thing), 2)
            return k.ops.nn.sigmoid(match + self.user_bias(user) + self.thing_bias(thing))
    draw = np.random.default_rng(2)
    pairs = np.stack([draw.integers(0, 7, 48), draw.integers(0, 9, 48)], 1)
    ratings = draw.uniform(size=(48, 1)).astype("float32")
    model = Recommender(7, 9, 3)
    model(pairs[:2])
    fill(model)
    model.compile(loss=k.losses.BinaryCrossentropy(),
                  optimizer=k.optimizers.SGD(learning_rate=0.1, momentum=0.5))
    history = model.fit(x=pairs, y=ratings, epochs=3, validation_data=(pairs[:12], ratings[:12]),
                        **SHORT)
    return logs(history), model.predict(pairs, batch_size=12, verbose=0), model.get_weights()


@guide
def wide_and_deep(k, tape):
    numbers = {name: k.Input((1,), name=name) for name in ("age", "hours")}
    words = {"work": k.Input((1,), name="work", dtype="int64")}
    code = k.layers.CategoryEncoding(num_tokens=9, output_mode="one_hot")(words["work"])
    wide = k.layers.BatchNormalization()(k.layers.concatenate([*numbers.values(), code]))
    deep = k.layers.concatenate([*numbers.values(), k.layers.Flatten()(
        k.layers.Embedding(9, 3)(words["work"]))])
    for units in (8, 8):
        deep = k.layers.ReLU()(k.layers.BatchNormalization()(k.layers.Dense(units)(deep)))
    merged = k.layers.concatenate([wide, deep])
    model = k.Model({**numbers, **words}, k.layers.Dense(1, activation="sigmoid")(merged))
    fill(model)
    model.compile(optimizer=k.optimizers.SGD(0.05), loss="binary_crossentropy",
                  metrics=[k.metrics.BinaryAccuracy(name="accuracy"), k.metrics.AUC(name="auc")])
    data = {"age": X[:, :1], "hours": X[:, 1:2], "work": IDS.reshape(-1)[:48, None]}
    labels = (TARGET > 0).astype("float32")
    return logs(model.fit(data, labels, epochs=3, **SHORT)), \
        model.evaluate(data, labels, batch_size=12, verbose=0, return_dict=True), \
        model.predict(data, batch_size=12, verbose=0)


@guide
def quotient_and_remainder_embedding(k, tape):
    class QREmbedding(k.layers.Layer):
        def __init__(self, size, buckets, **kwargs):
            super().__init__(**kwargs)
            self.buckets = buckets
            self.quotient = k.layers.Embedding(buckets, size)
            self.remainder = k.layers.Embedding(buckets, size)

        def call(self, index):
            return k.ops.multiply(self.quotient(k.ops.floor_divide(index, self.buckets)),
                                  self.remainder(k.ops.mod(index, self.buckets)))
    inputs = k.Input((5,), dtype="int32")
    y = k.layers.GlobalAveragePooling1D()(QREmbedding(4, 3)(inputs))
    model = k.Model(inputs, k.layers.Dense(1)(y))
    fill(model)
    model.compile("sgd", "mse")
    return logs(model.fit(IDS, TARGET[:12], epochs=4, **SHORT)), model.get_weights()


@guide
def gated_residual_network(k, tape):
    class GatedLinearUnit(k.layers.Layer):
        def __init__(self, units):
            super().__init__()
            self.linear, self.gate = k.layers.Dense(units), k.layers.Dense(
                units, activation="sigmoid")

        def call(self, inputs):
            return self.linear(inputs) * self.gate(inputs)

    class GatedResidualNetwork(k.layers.Layer):
        def __init__(self, units, rate):
            super().__init__()
            self.units = units
            self.elu = k.layers.Dense(units, activation="elu")
            self.linear, self.dropout = k.layers.Dense(units), k.layers.Dropout(rate)
            self.gate, self.norm = GatedLinearUnit(units), k.layers.LayerNormalization()
            self.project = k.layers.Dense(units)

        def call(self, inputs):
            x = self.dropout(self.linear(self.elu(inputs)))
            if inputs.shape[-1] != self.units:
                inputs = self.project(inputs)
            return self.norm(inputs + self.gate(x))
    inputs = k.Input((6,))
    model = k.Model(inputs, k.layers.Dense(3, activation="softmax")(
        GatedResidualNetwork(5, 0.0)(inputs)))
    fill(model)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return logs(model.fit(X, Y, epochs=3, **SHORT)), len(model.trainable_weights)


@guide
def neural_decision_tree(k, tape):
    class Tree(k.Model):
        def __init__(self, depth, features, used, classes):
            super().__init__()
            self.depth, self.leaves, self.classes = depth, 2 ** depth, classes
            self.mask = np.eye(features, dtype="float32")[used]
            self.pi = self.add_weight(shape=(self.leaves, classes), initializer="random_normal",
                                      dtype="float32", trainable=True)
            self.decide = k.layers.Dense(self.leaves, activation="sigmoid", name="decide")

        def call(self, features):
            rows = k.ops.shape(features)[0]
            features = k.ops.matmul(features, k.ops.transpose(self.mask))
            decisions = k.ops.expand_dims(self.decide(features), axis=2)
            decisions = k.ops.concatenate([decisions, 1 - decisions], axis=2)
            mu, begin, end = k.ops.ones([rows, 1, 1]), 1, 2
            for level in range(self.depth):
                mu = k.ops.reshape(mu, [rows, -1, 1])
                mu = k.ops.tile(mu, (1, 1, 2)) * decisions[:, begin:end, :]
                begin, end = end, end + 2 ** (level + 1)
            mu = k.ops.reshape(mu, [rows, self.leaves])
            return k.ops.matmul(mu, k.activations.softmax(self.pi))
    model = Tree(3, 6, [0, 2, 3, 5], 3)
    model(X[:2])
    fill(model)
    model.compile(k.optimizers.Adam(0.05), k.losses.SparseCategoricalCrossentropy(),
                  metrics=[k.metrics.SparseCategoricalAccuracy()])
    return logs(model.fit(X, Y, epochs=3, **SHORT)), model.predict(X, batch_size=12, verbose=0)


# ---- learning from other models, from pairs, from few labels ----

@guide
def distillation(k, tape):
    class Distiller(k.Model):
        def __init__(self, student, teacher):
            super().__init__()
            self.teacher, self.student = teacher, student

        def compile(self, optimizer, metrics, student_loss, distillation_loss, alpha=0.1,
                    temperature=3):
            super().compile(optimizer=optimizer, metrics=metrics)
            self.student_loss, self.distillation_loss = student_loss, distillation_loss
            self.alpha, self.temperature = alpha, temperature

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            teacher = self.teacher(x, training=False)
            own = self.student_loss(y, y_pred)
            far = self.distillation_loss(k.ops.softmax(teacher / self.temperature, axis=1),
                                         k.ops.softmax(y_pred / self.temperature, axis=1)) * (
                                             self.temperature ** 2)
            return self.alpha * own + (1 - self.alpha) * far

        def call(self, x):
            return self.student(x)

    def make(units):
        return k.Sequential([k.Input((6,)), k.layers.Dense(units, activation="relu"),
                             k.layers.Dense(3)])
    teacher, student = make(16), make(4)
    fill(teacher, student)
    before = [np.array(w) for w in teacher.get_weights()]
    distiller = Distiller(student, teacher)
    distiller.compile(k.optimizers.Adam(0.02), [k.metrics.SparseCategoricalAccuracy()],
                      k.losses.SparseCategoricalCrossentropy(from_logits=True),
                      k.losses.KLDivergence(), alpha=0.2, temperature=5)
    teacher.trainable = False
    history = distiller.fit(X, Y, epochs=3, **SHORT)
    return logs(history), distiller.evaluate(X, Y, batch_size=12, verbose=0, return_dict=True), \
        [bool((a == b).all()) for a, b in zip(before, teacher.get_weights())], \
        student.get_weights()


@guide
def triplets(k, tape):
    class Distance(k.layers.Layer):
        def call(self, anchor, positive, negative):
            return (k.ops.sum(k.ops.square(anchor - positive), -1),
                    k.ops.sum(k.ops.square(anchor - negative), -1))
    inner = k.Sequential([k.Input((6,)), k.layers.Dense(8, activation="relu"),
                          k.layers.BatchNormalization(), k.layers.Dense(3)])
    inputs = [k.Input((6,), name=name) for name in ("anchor", "positive", "negative")]
    network = k.Model(inputs=inputs, outputs=Distance()(*[inner(i) for i in inputs]))

    class Siamese(k.Model):
        def __init__(self, network, margin=0.5):
            super().__init__()
            self.network, self.margin = network, margin
            self.loss_tracker = k.metrics.Mean(name="loss")

        def call(self, inputs):
            return self.network(inputs)

        def train_step(self, data):
            with tape() as t:
                loss = self.loss_of(data)
            gradients = t.gradient(loss, self.network.trainable_weights)
            self.optimizer.apply_gradients(zip(gradients, self.network.trainable_weights))
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

        def test_step(self, data):
            self.loss_tracker.update_state(self.loss_of(data))
            return {"loss": self.loss_tracker.result()}

        def loss_of(self, data):
            near, far = self.network(data)
            return k.ops.maximum(near - far + self.margin, 0.0)

        @property
        def metrics(self):
            return [self.loss_tracker]
    fill(network)
    model = Siamese(network)        # SGD: a shift of all outputs has no gradient but rounding
    model.compile(optimizer=k.optimizers.SGD(0.05), weighted_metrics=[])
    rows = [X, X[::-1].copy(), np.roll(X, 5, 0)]

    class Triplets(k.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return (tuple(r[12 * i:12 * i + 12] for r in rows),)
    history = model.fit(Triplets(), epochs=2, verbose=0, shuffle=False)
    return logs(history), model.evaluate(Triplets(), verbose=0), inner.predict(
        X, batch_size=12, verbose=0)


@guide
def contrastive_pretraining(k, tape):
    class Contrast(k.Model):
        def __init__(self):
            super().__init__()
            self.temperature = 0.1
            self.encoder = k.Sequential([k.Input((6,)), k.layers.Dense(8, activation="relu"),
                                         k.layers.Dense(4)])
            self.head = k.Sequential([k.Input((4,)), k.layers.Dense(4, activation="relu"),
                                      k.layers.Dense(4)])
            self.probe = k.Sequential([k.Input((4,)), k.layers.Dense(3)])

        def compile(self, contrastive, probe, **kwargs):
            super().compile(**kwargs)
            self.contrastive, self.probe_optimizer = contrastive, probe
            self.probe_loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
            self.contrast_loss = k.metrics.Mean(name="c_loss")
            self.contrast_accuracy = k.metrics.SparseCategoricalAccuracy(name="c_acc")
            self.probe_mean = k.metrics.Mean(name="p_loss")
            self.probe_accuracy = k.metrics.SparseCategoricalAccuracy(name="p_acc")

        @property
        def metrics(self):
            return [self.contrast_loss, self.contrast_accuracy, self.probe_mean,
                    self.probe_accuracy]

        def loss_of(self, one, two):
            one, two = k.ops.normalize(one, -1), k.ops.normalize(two, -1)
            close = k.ops.matmul(one, k.ops.transpose(two)) / self.temperature
            labels = k.ops.arange(k.ops.shape(one)[0])
            self.contrast_accuracy.update_state(labels, close)
            self.contrast_accuracy.update_state(labels, k.ops.transpose(close))
            both = (k.losses.sparse_categorical_crossentropy(labels, close, from_logits=True)
                    + k.losses.sparse_categorical_crossentropy(labels, k.ops.transpose(close),
                                                               from_logits=True))
            return k.ops.mean(both) / 2

        def train_step(self, data):
            x, labels = data
            with tape() as t:
                loss = self.loss_of(self.head(self.encoder(x, training=True), training=True),
                                    self.head(self.encoder(0.9 * x + 0.1, training=True),
                                              training=True))
            weights = self.encoder.trainable_weights + self.head.trainable_weights
            self.contrastive.apply_gradients(zip(t.gradient(loss, weights), weights))
            self.contrast_loss.update_state(loss)
            with tape() as t:
                logits = self.probe(self.encoder(x, training=False), training=True)
                loss = self.probe_loss(labels, logits)
            gradients = t.gradient(loss, self.probe.trainable_weights)
            self.probe_optimizer.apply_gradients(zip(gradients, self.probe.trainable_weights))
            self.probe_mean.update_state(loss)
            self.probe_accuracy.update_state(labels, logits)
            return {m.name: m.result() for m in self.metrics}
    model = Contrast()
    fill(model.encoder, model.head, model.probe)
    model.compile(contrastive=k.optimizers.Adam(0.01), probe=k.optimizers.Adam(0.02))
    found = logs(model.fit(X, Y, epochs=3, **SHORT))
    found.pop("c_acc")      # units that are 0 make equal scores: which is first hangs on their last bit
    return found, model.probe.get_weights()


@guide
def stopped_gradients_between_views(k, tape):
    encoder = k.Sequential([k.Input((6,)), k.layers.Dense(8, use_bias=False), k.layers.ReLU(),
                            k.layers.BatchNormalization(), k.layers.Dense(4)])
    predictor = k.Sequential([k.Input((4,)), k.layers.Dense(3, activation="relu"),
                              k.layers.Dense(4)])
    fill(encoder, predictor)
    optimizer = k.optimizers.SGD(k.optimizers.schedules.CosineDecay(0.1, 8), momentum=0.6)
    weights = encoder.trainable_variables + predictor.trainable_variables

    def far(p, z):
        z = k.ops.stop_gradient(z)
        return -k.ops.mean(k.ops.sum(k.ops.normalize(p, 1) * k.ops.normalize(z, 1), 1))
    losses = []
    for i in range(8):
        one, two = X[6 * i:6 * i + 6], X[6 * i:6 * i + 6] * 1.1 - 0.05
        with tape() as t:
            z1, z2 = encoder(one, training=True), encoder(two, training=True)
            loss = far(predictor(z1), z2) / 2 + far(predictor(z2), z1) / 2
        optimizer.apply_gradients(zip(t.gradient(loss, weights), weights))
        losses.append(float(loss))
    return losses, encoder.get_weights(), float(optimizer.learning_rate)


@guide
def mixed_up_samples(k, tape):
    class Mixed(k.Model):
        def train_step(self, data):
            x, y = data
            share = k.ops.reshape(self.shares[:12], (12, 1))
            x = share * x + (1 - share) * k.ops.flip(x, 0)
            y = share * y + (1 - share) * k.ops.flip(y, 0)
            with tape() as t:
                loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            self.optimizer.apply(t.gradient(loss, self.trainable_variables),
                                 self.trainable_variables)
            return {"mixed_loss": loss}
    inputs = k.Input((6,))
    model = Mixed(inputs, k.layers.Dense(3, activation="softmax")(inputs))
    fill(model)
    model.shares = k.ops.convert_to_tensor(np.linspace(0, 1, 12).astype("float32"))
    model.compile("adam", k.losses.CategoricalCrossentropy(label_smoothing=0.1))
    return logs(model.fit(X, k.utils.to_categorical(Y, 3), epochs=3, **SHORT)), model.get_weights()


# ---- reinforcement learning ----

def pole(state, action):
    """A cart and its pole for one step of 0.02 s: the new state, and whether it still stands."""
    x, v, angle, turn = state
    force = 10.0 if action else -10.0
    cos, sin = np.cos(angle), np.sin(angle)
    push = (force + 0.05 * turn ** 2 * sin) / 1.1
    fall = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos ** 2 / 1.1))
    state = np.array([x + 0.02 * v, v + 0.02 * (push - 0.05 * fall * cos / 1.1),
                      angle + 0.02 * turn, turn + 0.02 * fall])
    return state, abs(state[0]) < 2.4 and abs(state[2]) < 0.21


@guide
def actor_and_critic(k, tape):
    inputs = k.layers.Input(shape=(4,))
    common = k.layers.Dense(16, activation="relu")(inputs)
    model = k.Model(inputs=inputs, outputs=[k.layers.Dense(2, activation="softmax")(common),
                                            k.layers.Dense(1)(common)])
    fill(model)
    optimizer, huber = k.optimizers.Adam(learning_rate=0.01), k.losses.Huber()
    draw, lengths = np.random.default_rng(0), []
    for _ in range(4):
        state, stands = np.full(4, 0.02), True
        chances, values, rewards = [], [], []
        with tape() as t:
            while stands and len(rewards) < 30:
                at = k.ops.expand_dims(k.ops.convert_to_tensor(state, "float32"), 0)
                share, value = model(at)
                values.append(value[0, 0])
                action = int(draw.uniform() < float(share[0, 1]))
                chances.append(k.ops.log(share[0, action]))
                state, stands = pole(state, action)
                rewards.append(1.0)
            returns, total = [], 0.0
            for reward in rewards[::-1]:
                total = reward + 0.99 * total
                returns.insert(0, total)
            returns = (np.array(returns) - np.mean(returns)) / (np.std(returns) + 1e-7)
            loss = 0
            for chance, value, wanted in zip(chances, values, returns.astype("float32")):
                loss = loss - chance * (wanted - value) + huber(
                    k.ops.expand_dims(value, 0), k.ops.expand_dims(
                        k.ops.convert_to_tensor(wanted), 0))
        gradients = t.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        lengths.append(len(rewards))
    return lengths, float(loss), model.get_weights()


@guide
def deep_q_learning(k, tape):
    def make():
        return k.Sequential([k.Input((4,)), k.layers.Dense(16, activation="relu"),
                             k.layers.Dense(2, activation="linear")])
    model, target = make(), make()
    fill(model)
    target.set_weights(model.get_weights())
    optimizer = k.optimizers.Adam(learning_rate=0.005, clipnorm=1.0)
    huber, draw = k.losses.Huber(), np.random.default_rng(1)
    states, actions, nexts, done, losses = [], [], [], [], []
    state = np.full(4, 0.02)
    for i in range(40):
        action = int(draw.integers(2)) if draw.uniform() < 0.5 else int(
            k.ops.argmax(model(state[None].astype("float32"), training=False)[0]))
        after, stands = pole(state, action)
        states.append(state), actions.append(action), nexts.append(after), done.append(not stands)
        state = after if stands else np.full(4, 0.02)
        if i < 8 or i % 4:
            continue
        rows = draw.integers(0, len(states), 8)
        future = target.predict(np.array(nexts)[rows].astype("float32"), verbose=0)
        wanted = 1 + 0.99 * k.ops.amax(future, axis=1)
        wanted = wanted * (1 - np.array(done, "float32")[rows]) - np.array(done, "float32")[rows]
        masks = k.ops.one_hot(np.array(actions)[rows], 2)
        with tape() as t:
            action_values = k.ops.sum(k.ops.multiply(
                model(np.array(states)[rows].astype("float32")), masks), axis=1)
            loss = huber(wanted, action_values)
        optimizer.apply_gradients(zip(t.gradient(loss, model.trainable_variables),
                                      model.trainable_variables))
        losses.append(float(loss))
        if i % 16 == 0:
            target.set_weights(model.get_weights())
    return losses, actions, model.get_weights()


@guide
def deterministic_policy_gradient(k, tape):
    def actor():
        inputs = k.layers.Input(shape=(4,))
        x = k.layers.Dense(8, activation="relu")(inputs)
        return k.Model(inputs, k.layers.Dense(1, activation="tanh")(x) * 2)

    def critic():
        state, action = k.layers.Input(shape=(4,)), k.layers.Input(shape=(1,))
        x = k.layers.Concatenate()([k.layers.Dense(8, activation="relu")(state),
                                    k.layers.Dense(8, activation="relu")(action)])
        return k.Model([state, action], k.layers.Dense(1)(x))
    acts, judges, slow_acts, slow_judges = actor(), critic(), actor(), critic()
    fill(acts, judges)
    slow_acts.set_weights(acts.get_weights())
    slow_judges.set_weights(judges.get_weights())
    of_actor, of_critic = k.optimizers.Adam(0.01), k.optimizers.Adam(0.02)
    draw, losses = np.random.default_rng(3), []
    for _ in range(6):
        state, after = draw.normal(size=(2, 8, 4)).astype("float32")
        action, reward = draw.normal(size=(2, 8, 1)).astype("float32")
        with tape() as t:
            wanted = reward + 0.9 * slow_judges([k.ops.convert_to_tensor(after), slow_acts(after, training=True)],
                                                training=True)
            loss = k.ops.mean(k.ops.square(wanted - judges([state, action], training=True)))
        of_critic.apply_gradients(zip(t.gradient(loss, judges.trainable_variables),
                                      judges.trainable_variables))
        with tape() as t:
            worth = -k.ops.mean(judges([k.ops.convert_to_tensor(state), acts(state, training=True)], training=True))
        of_actor.apply_gradients(zip(t.gradient(worth, acts.trainable_variables),
                                     acts.trainable_variables))
        for slow, quick in ((slow_acts, acts), (slow_judges, judges)):
            slow.set_weights([0.05 * q + 0.95 * s
                              for q, s in zip(quick.get_weights(), slow.get_weights())])
        losses.append((float(loss), float(worth)))
    return losses, slow_acts.get_weights(), slow_judges.get_weights()


# ---- optimizers and layers of papers ----

@guide
def centralized_gradients(k, tape):
    class Centralized(k.optimizers.RMSprop):
        def apply(self, grads, trainable_variables=None):
            centred = []
            for g in grads:
                if len(g.shape) > 1:
                    g = g - k.ops.mean(g, axis=list(range(len(g.shape) - 1)), keepdims=True)
                centred.append(g)
            return super().apply(centred, trainable_variables)
    model = k.Sequential([k.Input((6,)), k.layers.Dense(5, activation="relu"),
                          k.layers.Dense(1)])
    fill(model)
    model.compile(optimizer=Centralized(learning_rate=0.01), loss="mse")
    return logs(model.fit(X, TARGET, epochs=3, **SHORT)), model.get_weights()


@guide
def mixing_of_tokens(k, tape):
    class Mixer(k.layers.Layer):
        def __init__(self, patches, units):
            super().__init__()
            self.tokens = k.Sequential([k.layers.Dense(units=patches, activation="gelu"),
                                        k.layers.Dense(units=patches)])
            self.channels = k.Sequential([k.layers.Dense(units, activation="gelu"),
                                          k.layers.Dense(units)])
            self.normalize = k.layers.LayerNormalization(epsilon=1e-6)

        def build(self, input_shape):
            self.built = True

        def call(self, inputs):
            x = k.ops.transpose(self.normalize(inputs), axes=(0, 2, 1))
            x = k.ops.transpose(self.tokens(x), axes=(0, 2, 1)) + inputs
            return x + self.channels(self.normalize(x))
    inputs = k.Input((5,), dtype="int32")
    x = k.layers.Embedding(9, 6)(inputs)
    x = k.layers.GlobalAveragePooling1D()(k.Sequential([Mixer(5, 6) for _ in range(2)])(x))
    model = k.Model(inputs, k.layers.Dense(1)(k.layers.Dropout(0.0)(x)))
    model(IDS)
    fill(model)
    model.compile(k.optimizers.SGD(0.05, weight_decay=0.01), "mse", metrics=["mae"])
    return logs(model.fit(IDS, TARGET[:12], epochs=4, **SHORT)), \
        model.predict(IDS, batch_size=12, verbose=0)


@guide
def antirectifier(k, tape):
    class Antirectifier(k.layers.Layer):
        def __init__(self, initializer="he_normal", **kwargs):
            super().__init__(**kwargs)
            self.initializer = k.initializers.get(initializer)

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1] * 2, 4), trainable=True,
                                          initializer=self.initializer, name="kernel")

        def call(self, inputs):
            inputs = inputs - k.ops.mean(inputs, axis=-1, keepdims=True)
            both = k.ops.concatenate([k.ops.relu(inputs), k.ops.relu(-inputs)], axis=-1)
            return k.ops.matmul(both, self.kernel)

        def get_config(self):
            return {**super().get_config(),
                    "initializer": k.initializers.serialize(self.initializer)}
    model = k.Sequential([k.Input((6,)), k.layers.Dense(5), Antirectifier(), k.layers.Dense(3)])
    fill(model)
    model.compile(loss=k.losses.SparseCategoricalCrossentropy(from_logits=True),
                  optimizer=k.optimizers.RMSprop(),
                  metrics=[k.metrics.SparseCategoricalAccuracy()])
    copy = k.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return logs(model.fit(X, Y, epochs=3, validation_split=0.25, **SHORT)), \
        copy.predict(X, batch_size=12, verbose=0), model.layers[1].get_config()["initializer"]


@guide
def endpoint_of_a_mixture(k, tape):
    inputs = k.Input((6,))
    x = k.layers.Dense(8, activation="tanh")(inputs)
    shares = k.layers.Dense(3, activation="softmax", name="shares")(x)
    middles = k.layers.Dense(3, name="middles")(x)
    widths = k.layers.Dense(3, activation="softplus", name="widths")(x)
    model = k.Model(inputs, k.layers.Concatenate()([shares, middles, widths]))

    def likelihood(y_true, y_pred):
        share, middle, width = k.ops.split(y_pred, 3, axis=-1)
        width = width + 1e-3
        z = (y_true - middle) / width
        terms = k.ops.log(share + 1e-9) - 0.5 * z * z - k.ops.log(width) - 0.5 * np.log(2 * np.pi)
        return -k.ops.logsumexp(terms, axis=-1)
    fill(model)
    model.compile(k.optimizers.Nadam(0.01), likelihood)
    return logs(model.fit(X, TARGET, epochs=4, **SHORT)), model.predict(X, batch_size=12,
                                                                        verbose=0)
