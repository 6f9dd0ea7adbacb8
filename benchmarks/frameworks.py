"""One framework at work, in a process of its own: builds a network and does what it is told, line
by line.

    python benchmarks/frameworks.py WORK FRAMEWORK

reads the names of measurements from the standard input and answers each with a line of JSON. The
driver, run.py, holds one such process per framework and lets them take turns.

Each framework is used as its users would, at its best: Keras's `fit` with the accuracy metric (nnc
too); torch's eager loop with fused Adam and no metric; `torch_compile`, the same with the model and
its loss compiled; `jax_scan`, one compiled scan over the epoch; `onnxruntime`, which only predicts.
"""
import json
import os
import resource
import sys
import time

import numpy as np

#: work: (training rows, layer widths, batch size)
WORKS = {
    "mlp_seed": (12000, (784, 20, 20, 10), 32),
    "mlp_512": (12800, (784, 512, 512, 10), 128),
    "mlp_wide": (2048, (2048, 4096, 4096, 10), 256),
    "mlp_wide_bf16": (2048, (2048, 4096, 4096, 10), 256),
}
#: Works in mixed precision, products in bfloat16: Keras's policy mixed_bfloat16, torch's autocast. Only
#: `nnc_float32` stays with float32.
MIXED = ("mlp_wide_bf16",)
BACKENDS = {"keras_tf": "tensorflow", "keras_jax": "jax", "keras_torch": "torch"}


def data(work):
    """Random images and labels of the work's sizes."""
    n, widths, _ = WORKS[work]
    rng = np.random.default_rng(0)
    return rng.random((n, widths[0]), dtype=np.float32), rng.integers(0, widths[-1], n)


def flops(work):
    """Floating-point operations that one sample needs: of a training step (no gradient of the input
    of the first layer), of a prediction."""
    _, widths, _ = WORKS[work]
    products = [2 * a * b for a, b in zip(widths, widths[1:])]
    return 3 * sum(products) - products[0], sum(products)


def seconds(function, least=0.0):
    """Seconds a call takes, of as many calls as last `least` seconds together."""
    calls, start = 0, time.perf_counter()
    while True:
        function()
        calls += 1
        passed = time.perf_counter() - start
        if passed >= least:
            return passed / calls


class KerasLike:
    """nnc, or Keras on a backend: the same calls."""

    def __init__(self, work, name):
        if name in ("nnc", "nnc_float32"):
            import nnc as keras
        else:
            os.environ["KERAS_BACKEND"] = BACKENDS[name]
            import keras
        if work in MIXED and name != "nnc_float32":
            keras.config.set_dtype_policy("mixed_bfloat16")
        self.x, self.y = data(work)
        _, widths, self.batch = WORKS[work]
        layers = [keras.layers.Dense(w, activation="relu") for w in widths[1:-1]]
        last = keras.layers.Dense(widths[-1], activation="softmax")
        self.model = keras.Sequential([keras.Input((widths[0],)), *layers, last])
        self.model.compile(optimizer="adam", loss="sparse_categorical_crossentropy",
                           metrics=["accuracy"])
        self.detach = (lambda t: t.detach().numpy()) if name == "keras_torch" else np.asarray

    def first_fit(self):
        n = 2 * self.batch
        self.model.fit(self.x[:n], self.y[:n], batch_size=self.batch, verbose=0)

    def train(self):
        self.model.fit(self.x, self.y, batch_size=self.batch, verbose=0)

    def predict(self):
        self.model.predict(self.x, batch_size=self.batch, verbose=0)

    def predict_one(self):
        self.model.predict(self.x[:1], verbose=0)

    def call_one(self):
        self.detach(self.model(self.x[:1]))


class Torch:
    """PyTorch's eager loop."""

    def __init__(self, work, name):
        import torch

        self.torch = torch
        x, y = data(work)
        _, widths, self.batch = WORKS[work]
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        layers = []
        for a, b in zip(widths, widths[1:]):
            layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=True)
        self.mixed = work in MIXED

    def precision(self):
        return self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.mixed)

    def epoch(self, x, y):
        order = self.torch.randperm(len(x))
        for i in range(0, len(x), self.batch):
            rows = order[i:i + self.batch]
            self.optimizer.zero_grad()
            self.loss(x[rows], y[rows]).backward()
            self.optimizer.step()

    def loss(self, x, y):
        with self.precision():
            return self.torch.nn.functional.cross_entropy(self.model(x), y)

    def first_fit(self):
        self.epoch(self.x[:2 * self.batch], self.y[:2 * self.batch])

    def train(self):
        self.epoch(self.x, self.y)

    def predict(self):
        with self.torch.inference_mode(), self.precision():
            for i in range(0, len(self.x), self.batch):
                self.model(self.x[i:i + self.batch]).softmax(-1)

    def call_one(self):
        with self.torch.inference_mode(), self.precision():
            self.model(self.x[:1]).softmax(-1).float().numpy()

    predict_one = call_one


class TorchCompile(Torch):
    """The same loop through torch.compile."""

    def __init__(self, work, name):
        super().__init__(work, name)
        self.loss = self.torch.compile(super().loss)
        self.model = self.torch.compile(self.model)


class OnnxRuntime:
    """ONNX Runtime's session on a graph of the same layers; it does not train."""

    def __init__(self, work, name):
        import onnx
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        self.x, _ = data(work)
        _, widths, self.batch = WORKS[work]
        rng = np.random.default_rng(1)
        nodes, weights, h = [], [], "x"
        for i, (a, b) in enumerate(zip(widths, widths[1:])):
            w = rng.standard_normal((a, b), dtype=np.float32) * np.float32((2 / a) ** 0.5)
            weights += [numpy_helper.from_array(w, f"w{i}"),
                        numpy_helper.from_array(np.zeros(b, np.float32), f"b{i}")]
            nodes.append(helper.make_node("Gemm", [h, f"w{i}", f"b{i}"], [f"z{i}"]))
            h = f"h{i}"
            last = i == len(widths) - 2
            nodes.append(helper.make_node("Softmax" if last else "Relu", [f"z{i}"], [h]))
        graph = helper.make_graph(
            nodes, work, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", widths[0]])],
            [helper.make_tensor_value_info(h, TensorProto.FLOAT, ["n", widths[-1]])], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        self.session = onnxruntime.InferenceSession(model.SerializeToString(),
                                                    providers=["CPUExecutionProvider"])

    def predict(self):
        self.session.run(None, {"x": self.x})

    def call_one(self):
        self.session.run(None, {"x": self.x[:1]})

    predict_one = call_one


class JaxScan:
    """Plain JAX: one compiled scan over the epoch, with the rows gathered inside it."""

    def __init__(self, work, name):
        import jax
        import jax.numpy as jnp

        self.jax = jax
        x, y = data(work)
        n, widths, self.batch = WORKS[work]
        self.x, self.y, self.one = jnp.asarray(x), jnp.asarray(y.astype(np.int32)), x[:1]
        rng = np.random.default_rng(1)
        weights = [(jnp.asarray(rng.standard_normal((a, b), dtype=np.float32) * (2 / a) ** 0.5),
                    jnp.zeros(b)) for a, b in zip(widths, widths[1:])]
        zeros = jax.tree.map(jnp.zeros_like, weights)
        self.state = (weights, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0))
        self.run = jax.jit(self.steps, donate_argnums=0)
        self.forward = jax.jit(lambda w, h: jax.nn.softmax(self.logits(w, h)))
        self.key = jax.random.PRNGKey(0)

    def logits(self, weights, h):
        for w, b in weights[:-1]:
            h = self.jax.nn.relu(h @ w + b)
        return h @ weights[-1][0] + weights[-1][1]

    def steps(self, state, orders):
        jax, jnp = self.jax, self.jax.numpy

        def loss(weights, x, y):
            logs = jax.nn.log_softmax(self.logits(weights, x))
            return -jnp.take_along_axis(logs, y[:, None], 1).mean()

        def step(state, rows):
            weights, m, v, t = state
            value, g = jax.value_and_grad(loss)(weights, self.x[rows], self.y[rows])
            t = t + 1
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            rate = 1e-3 * jnp.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t)
            weights = jax.tree.map(
                lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, m, v)
            return (weights, m, v, t), value

        return jax.lax.scan(step, state, orders)

    def epoch(self, n):
        self.key, key = self.jax.random.split(self.key)
        orders = self.jax.random.permutation(key, n)[:n // self.batch * self.batch]
        self.state, losses = self.run(self.state, orders.reshape(-1, self.batch))
        np.asarray(losses)

    def first_fit(self):
        self.epoch(2 * self.batch)

    def train(self):
        self.epoch(len(self.x))

    def predict(self):
        np.asarray(self.forward(self.state[0], self.x))

    def call_one(self):
        np.asarray(self.forward(self.state[0], self.one))

    predict_one = call_one


def make(work, name):
    cls = {"torch": Torch, "torch_compile": TorchCompile, "jax_scan": JaxScan,
           "onnxruntime": OnnxRuntime}.get(name, KerasLike)
    return cls(work, name)


#: Seconds of calls one after another that a measurement consists of, at least: what the pause before
#: it costs (threads that sleep, caches that others have used) would else be most of a quick one.
MEASURED = 0.25
#: measurement: (method, what comes of the seconds a call)
MEASURES = {
    "train": ("train", lambda s, n: n / s),
    "predict": ("predict", lambda s, n: n / s),
    "predict_one": ("predict_one", lambda s, n: s * 1e6),
    "call_one": ("call_one", lambda s, n: s * 1e6),
}


def main(work, name, answers):
    start = time.perf_counter()
    subject = make(work, name)
    built = time.perf_counter() - start
    trains = hasattr(subject, "train")
    first = seconds(subject.first_fit) * 1e3 if trains else None
    if trains:
        subject.train()                             # compiles and warms up what is left
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    memory -= sum(a.nbytes for a in data(work)) / 2**20
    for method in ("predict", "predict_one", "call_one"):
        getattr(subject, method)()
    ready = {"build_s": built, "first_fit_ms": first, "rss_mb": memory}
    print(json.dumps(ready), file=answers, flush=True)
    for line in sys.stdin:
        method, convert = MEASURES[line.strip()]
        value = None
        if hasattr(subject, method):
            value = convert(seconds(getattr(subject, method), MEASURED), WORKS[work][0])
        print(json.dumps(value), file=answers, flush=True)


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, sys.stderr    # what a library prints is not an answer
    main(*sys.argv[1:3], answers)
