"""One library at the work of `nnc bench`, in a process of its own.

    python -m nnc.bench_work LIBRARY work.json

prints one line of JSON: the figures and the library's version, or an error. Each figure is the
median of five measurements after one that warms up.
"""
import json
import statistics
import sys
import time

import numpy as np

_REPEATS = 5
_SECONDS = 0.05     # a measurement of one row's predict takes about so long


def data(work):
    """Random inputs and targets that fit the model."""
    rng, n = np.random.default_rng(0), work["samples"]
    shape, out = (n, *work["input"]), tuple(work["output"])
    x = rng.random(shape, dtype=np.float32) if work["ids"] is None else \
        rng.integers(0, work["ids"], shape)
    if work["loss"] == "sparse_categorical_crossentropy":
        y = rng.integers(0, out[-1], (n, *out[:-1]))
    elif work["loss"] == "binary_crossentropy":
        y = rng.integers(0, 2, (n, *out)).astype("float32")
    else:
        y = rng.standard_normal((n, *out), dtype=np.float32)
    return x, y


class KerasLike:
    """nnc, or Keras on a backend: the same calls."""

    def __init__(self, name, work):
        if name == "nnc":
            import nnc as keras
            self.version = keras.__version__
        else:
            import keras
            self.version = keras.version()
        self.x, self.y = data(work)
        self.batch = work["batch"]
        self.model = keras.models.model_from_json(work["model"])
        self.model.compile("adam", work["loss"])

    def fit(self):
        self.model.fit(self.x, self.y, batch_size=self.batch, verbose=0)

    def predict(self):
        self.model.predict(self.x, batch_size=self.batch, verbose=0)

    def predict_one(self):
        self.model.predict(self.x[:1], verbose=0)


def chain(work, known):
    """The layers of a chain, each an operation and its numbers.

    Raises:
        NotImplementedError: At what is not known: the library is then left out of the table, with
            this reason.
    """
    if work["chain"] is None:
        raise NotImplementedError("only a Sequential model of Dense, Flatten, Dropout and "
                                  "activations is rebuilt for it")
    found, width = [], work["input"]
    for layer in work["chain"]:
        kind, activation = layer["class"], layer.get("activation", "linear")
        if kind in ("InputLayer", "Identity"):
            continue
        if kind == "Flatten":
            found.append(("flatten",))
            width = [int(np.prod(width))]
        elif kind == "Dropout":
            found.append(("dropout", layer["rate"]))
        elif kind == "Dense" and layer.get("use_bias", True):
            found.append(("dense", width[-1], layer["units"]))
            width = [*width[:-1], layer["units"]]
        elif kind not in ("Activation", "ReLU", "Softmax"):
            raise NotImplementedError(f"layer {kind} is not rebuilt for it")
        activation = {"ReLU": "relu", "Softmax": "softmax"}.get(kind, activation)
        if activation not in known:
            raise NotImplementedError(f"activation {activation} is not rebuilt for it")
        if activation != "linear":
            found.append((activation,))
    return found


class Torch:
    """PyTorch's eager loop, with fused Adam."""

    def __init__(self, name, work):
        import torch

        self.torch, self.version, self.batch = torch, torch.__version__, work["batch"]
        nn = torch.nn
        known = {"linear": nn.Identity, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh,
                 "softmax": lambda: nn.Softmax(-1), "gelu": nn.GELU, "elu": nn.ELU,
                 "silu": nn.SiLU}
        parts = chain(work, known)
        makers = {"dense": nn.Linear, "flatten": nn.Flatten, "dropout": nn.Dropout, **known}
        self.model = nn.Sequential(*(makers[part[0]](*part[1:]) for part in parts))
        ends = parts[-1][0] if parts else None
        F, self.logits = nn.functional, self.model
        self.compare = F.mse_loss
        if work["loss"] != "mean_squared_error":    # on logits, as torch's users do
            if ends not in ("softmax", "sigmoid"):
                raise NotImplementedError("the last layer's activation is not rebuilt for it")
            self.logits = self.model[:-1]
            self.compare = F.binary_cross_entropy_with_logits if ends == "sigmoid" else \
                lambda z, y: F.cross_entropy(z.flatten(0, -2), y.flatten())
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=True)
        self.x, self.y = map(torch.from_numpy, data(work))

    def fit(self):
        self.model.train()
        order = self.torch.randperm(len(self.x))
        for i in range(0, len(self.x), self.batch):
            rows = order[i:i + self.batch]
            self.optimizer.zero_grad()
            self.compare(self.logits(self.x[rows]), self.y[rows]).backward()
            self.optimizer.step()
        self.model.eval()

    def predict(self):
        with self.torch.inference_mode():
            for i in range(0, len(self.x), self.batch):
                self.model(self.x[i:i + self.batch])

    def predict_one(self):
        with self.torch.inference_mode():
            self.model(self.x[:1]).numpy()


class OnnxRuntime:
    """ONNX Runtime on a graph of the same layers with random weights; it does not train."""

    def __init__(self, name, work):
        import onnx
        import onnxruntime
        from onnx import helper, numpy_helper

        known = {"linear": None, "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh",
                 "softmax": "Softmax"}
        nodes, weights, here = [], [], "x"
        rng = np.random.default_rng(0)
        for i, (kind, *sizes) in enumerate(chain(work, known)):
            made = f"t{i}"
            if kind == "dense":
                w = rng.standard_normal(sizes, dtype=np.float32) * np.float32(sizes[0] ** -0.5)
                weights += [numpy_helper.from_array(w, f"w{i}"),
                            numpy_helper.from_array(np.zeros(sizes[1], np.float32), f"b{i}")]
                if len(work["input"]) != 1 and not any(n.op_type == "Flatten" for n in nodes):
                    raise NotImplementedError("Dense on more than one axis is not rebuilt for it")
                nodes.append(helper.make_node("Gemm", [here, f"w{i}", f"b{i}"], [made]))
            elif kind == "flatten":
                nodes.append(helper.make_node("Flatten", [here], [made]))
            elif kind != "dropout":
                nodes.append(helper.make_node(known[kind], [here], [made]))
            here = made if kind != "dropout" else here
        number = onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            nodes, "work", [helper.make_tensor_value_info("x", number, ["n", *work["input"]])],
            [helper.make_tensor_value_info(here, number, ["n", *work["output"]])], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        self.version = onnxruntime.__version__
        self.session = onnxruntime.InferenceSession(model.SerializeToString(),
                                                    providers=["CPUExecutionProvider"])
        self.x, self.batch = data(work)[0].astype("float32"), work["batch"]

    def predict(self):
        for i in range(0, len(self.x), self.batch):
            self.session.run(None, {"x": self.x[i:i + self.batch]})

    def predict_one(self):
        self.session.run(None, {"x": self.x[:1]})


def seconds(call, repeats=1):
    """Seconds a call."""
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def measure(subject, samples):
    """The figures of a library."""
    found = {"version": subject.version}
    for key in ("fit", "predict", "predict_one"):
        call = getattr(subject, key, None)
        if call is None:
            continue
        call()
        repeats = 1 if key != "predict_one" else max(int(_SECONDS / seconds(call)), 1)
        taken = statistics.median(seconds(call, repeats) for _ in range(_REPEATS))
        found[key] = taken * 1e6 if key == "predict_one" else samples / taken
    return found


def main(name, path):
    """Reads the work, measures, prints."""
    answers, sys.stdout = sys.stdout, sys.stderr    # what a library prints is not an answer
    with open(path, encoding="utf-8") as f:
        work = json.load(f)
    try:
        subject = {"torch": Torch, "onnxruntime": OnnxRuntime}.get(name, KerasLike)(name, work)
        found = measure(subject, work["samples"])
    except Exception as error:                      # whatever a peer raises is why it is left out
        found = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(found), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:3])
