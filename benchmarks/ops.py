"""What a user composes: small ops one by one, chains of element-wise ops, sorting, a train_step of
one's own, and how long a deep model takes to be recorded. Beside NumPy and PyTorch where they are.

    python benchmarks/ops.py [--part dispatch,elements,chains,steps,recording] [--threads 1]
                             [--rounds 7]

Libraries take turns, round by round, and the best round counts. Chains are programs of 1M float32
elements with the gradient of the sum of their squares: `fused` is the default, `one by one` the
same without the pass that joins element-wise ops. "-" is what a library does not have.
"""
import argparse
import os
import sys
import time

PARTS = ("dispatch", "elements", "chains", "steps", "recording")
MILLION = 1 << 20


def best(functions, rounds, seconds=0.02):
    """The least seconds a call of each function, in turns; {name: seconds}."""
    counts, found = {}, {}
    for name, function in functions.items():
        function()
        start = time.perf_counter()
        function()
        counts[name] = max(1, int(seconds / (time.perf_counter() - start + 1e-7)))
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(counts[name]):
                function()
            each = (time.perf_counter() - start) / counts[name]
            found[name] = min(found.get(name, each), each)
    return found


def print_table(title, rows, unit, scale, columns):
    """rows: {what: {column: seconds}}."""
    print(f"\n{title} [{unit}]")
    print(f"{'':34}" + "".join(f"{column:>14}" for column in columns))
    for what, found in rows.items():
        cells = "".join(f"{found[column] * scale:14.3f}" if column in found else f"{'-':>14}"
                        for column in columns)
        print(f"{what:34}{cells}", flush=True)


class Libraries:
    """nnc, NumPy and, if installed, PyTorch."""

    def __init__(self, threads):
        import numpy

        import nnc
        nnc.config.set_num_threads(threads)
        self.nnc, self.numpy, self.torch = nnc, numpy, None
        try:
            import torch
            torch.set_num_threads(threads)
            self.torch = torch
        except ImportError:
            print("torch is not installed: left out")

    def calls(self, make, *arrays):
        """{library: call of make(library, *arrays)}; None where it has no such thing."""
        given = {"nnc": (self.nnc.ops, [self.nnc.ops.array(a) for a in arrays]),
                 "NumPy": (self.numpy, arrays)}
        if self.torch is not None:
            given["torch"] = (self.torch, [self.torch.from_numpy(a) for a in arrays])
        made = {name: make(name, module, *own) for name, (module, own) in given.items()}
        return {name: call for name, call in made.items() if call is not None}


def dispatch(libraries, rounds):
    """Ops on 10 elements: what is between the user and the kernel."""
    np = libraries.numpy
    a, b = np.arange(10, dtype="float32"), np.ones(10, "float32")
    rows = {
        "a + b": lambda name, m, a, b: lambda: a + b,
        "add(a, b)": lambda name, m, a, b: lambda: m.add(a, b),
        "a * 2": lambda name, m, a, b: lambda: a * 2,
        "exp(a)": lambda name, m, a, b: lambda: m.exp(a),
        "where(a > b, a, b)": lambda name, m, a, b: lambda: m.where(a > b, a, b),
        "sum(a)": lambda name, m, a, b: lambda: m.sum(a),
        "reshape(a, (2, 5))": lambda name, m, a, b: lambda: m.reshape(a, (2, 5)),
        "a[2]": lambda name, m, a, b: lambda: a[2],
    }
    print_table("eager op of 10 elements", {what: best(libraries.calls(make, a, b), rounds)
                                            for what, make in rows.items()}, "us", 1e6,
                ("nnc", "NumPy", "torch"))


def elements(libraries, rounds):
    """Ops on 1M float32."""
    np = libraries.numpy
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, MILLION)).astype("float32")
    unit = rng.uniform(-1, 1, MILLION).astype("float32")
    other = {"torch": {"power": "pow", "arcsin": "asin", "arctan": "atan", "arccosh": "acosh"}}

    def call(op, *arguments):
        def make(name, module, *own):
            function = getattr(module, other.get(name, {}).get(op, op), None)
            return None if function is None else lambda: function(*own)
        return libraries.calls(make, *arguments)
    rows = {"add": call("add", a, b), "where": call("where", a > b, a, b)}
    rows |= {op: call(op, a) for op in ("exp", "log1p", "expm1", "tanh", "sin", "sinh", "cosh",
                                        "exp2", "arctan")}
    rows |= {op: call(op, unit) for op in ("arcsin",)}
    rows["sort"] = libraries.calls(lambda name, m, a: lambda: m.sort(a), a)
    rows["argsort"] = libraries.calls(lambda name, m, a: lambda: m.argsort(a), a)
    print_table("eager op of 1M float32", {what: best(calls, rounds) for what, calls in
                                           rows.items()}, "ms", 1e3, ("nnc", "NumPy", "torch"))


def chain_functions(np, op):
    """Element-wise formulas as a user writes them."""
    def swish(x):
        return op.multiply(x, op.sigmoid(op.multiply(x, 1.5)))

    def gelu(x):
        inner = op.multiply(op.add(x, op.multiply(op.multiply(op.square(x), x), 0.044715)), 0.7979)
        return op.multiply(op.multiply(x, 0.5), op.add(op.tanh(inner), 1.0))

    def huber(x):
        size = op.absolute(x)
        return op.where(op.less(size, 1.0), op.multiply(op.square(x), 0.5), op.subtract(size, 0.5))

    def normalized(x):
        centred = op.subtract(x, op.mean(x, (-1,), 1))
        scale = op.rsqrt(op.add(op.mean(op.square(centred), (-1,), 1), 1e-3))
        return op.add(op.multiply(op.multiply(centred, scale), 0.9), 0.1)
    return {"swish": swish, "gelu, written out": gelu, "huber": huber,
            "layer normalization": normalized}


def chains(libraries, rounds):
    """Programs with and without the pass `chain`."""
    from nnc._core import Graph, Program, op, pass_enable
    np = libraries.numpy
    x = np.random.default_rng(0).normal(size=(1024, 1024)).astype("float32")
    rows = {}
    for what, function in chain_functions(np, op).items():
        for gradient in (False, True):
            calls = {}
            for name in ("one by one", "fused"):
                pass_enable("chain", name == "fused")
                graph = Graph()
                with graph:
                    symbol = graph.input(x.shape, "float32")
                    y = function(symbol)
                    target = op.sum(op.multiply(y, y), (), 0)
                    outputs = graph.gradients([target], [symbol]) if gradient else [y]
                program = Program(graph, outputs)
                calls[name] = lambda p=program: p.replay([x], None, 0, 1, [None])
            rows[what + (", and gradient" if gradient else "")] = best(calls, rounds)
    print_table("program of 1M float32", rows, "ms", 1e3, ("one by one", "fused"))


def steps(libraries, rounds):
    """`fit` of the built-in step and of the same step written by the user."""
    keras, np = libraries.nnc, libraries.numpy

    class Own(keras.Sequential):
        def train_step(self, data):
            x, y = data
            with keras.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
            weights = self.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
            return {"loss": loss}
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16384, 64)).astype("float32"), rng.integers(0, 10, 16384)
    calls = {}
    for name, kind in (("built in", keras.Sequential), ("train_step", Own)):
        model = kind([keras.Input((64,)), keras.layers.Dense(64, activation="relu"),
                      keras.layers.Dense(10, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        calls[name] = lambda m=model: m.fit(x, y, batch_size=32, verbose=0)
    found = best(calls, rounds, 0)
    print_table("training step, 64-64-10, batch of 32", {"a step of 512": found}, "us", 1e6 / 512,
                ("built in", "train_step"))


def recording(libraries, rounds):
    """The first fit of deep models: built, recorded, planned and run for two steps."""
    keras, np = libraries.nnc, libraries.numpy
    x = np.zeros((8, 16), "float32")

    def first(layers):
        model = keras.Sequential([keras.Input((16,))] + [keras.layers.Dense(16, "relu")
                                                         for _ in range(layers)])
        model.compile("adam", "mse")
        model.fit(x, x, batch_size=4, verbose=0)
    rows = {f"{n} layers": best({"nnc": lambda n=n: first(n)}, max(1, rounds // 3), 0)
            for n in (10, 100, 1000)}
    print_table("model made, compiled, recorded, two steps", rows, "ms", 1e3, ("nnc",))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", default=",".join(PARTS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    parts = chosen.part.split(",")
    if set(parts) - set(PARTS):
        parser.error(f"--part: expected some of {', '.join(PARTS)}. Received: {chosen.part}")
    os.environ.setdefault("OMP_NUM_THREADS", str(chosen.threads))
    libraries = Libraries(chosen.threads)
    for part in parts:
        globals()[part](libraries, chosen.rounds)


if __name__ == "__main__":
    sys.exit(main())
