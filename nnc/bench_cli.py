"""The command `nnc bench`: how long a model takes to train and to predict, beside other libraries.

    nnc bench                               the network 784-20-20-10
    nnc bench m.keras --peers torch,onnxruntime --json

Every library has a process of its own (bench_work.py), one after another, in several rounds; the
figure is the median of the rounds. All get the same layers, the same random data, Adam and no
metrics. A peer that is not installed, or has no counterpart of a layer, is named with the reason.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

#: peer: modules that it needs
PEERS = {
    "torch": ("torch",),
    "keras_tf": ("keras", "tensorflow"),
    "keras_jax": ("keras", "jax"),
    "keras_torch": ("keras", "torch"),
    "onnxruntime": ("onnxruntime", "onnx"),
}
#: figure: (heading, digits, whether more is better)
FIGURES = {
    "fit": ("fit, samples/s", 0, True),
    "predict": ("predict, rows/s", 0, True),
    "predict_one": ("predict of 1 row, us", 1, False),
}
SIZES = (784, 20, 20, 10)
_TIMEOUT = 600      # seconds for one process
EXAMPLES = f"""examples:
  nnc bench
  nnc bench m.keras --peers torch,keras_tf --rounds 5
  nnc bench m.keras --peers none --json

peers: {', '.join(PEERS)}. By default those that are installed take part.
Run it on a quiet machine: libraries whose threads wait by spinning suffer most from other work."""


def add_command(commands, raw):
    """Adds the command to a parser's subparsers; `raw` keeps the lines of the examples."""
    bench = commands.add_parser("bench", help="how fast a model is, beside other libraries",
                                epilog=EXAMPLES, formatter_class=raw)
    bench.add_argument("model", nargs="?", help="a .keras or .h5 file; by default the network "
                                                + "-".join(map(str, SIZES)))
    bench.add_argument("--peers", help="comma-separated, or none")
    bench.add_argument("--samples", type=int, default=4096, help="rows of random data")
    bench.add_argument("--batch-size", type=int, default=32)
    bench.add_argument("--rounds", type=int, default=3, help="processes of each library")
    bench.add_argument("--json", action="store_true", help="print JSON")


def run(options):
    """Measures and prints; returns the exit status: 1 if a peer that was named did not run."""
    for name in ("samples", "batch_size", "rounds"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be >= 1. Received: "
                             f"{getattr(options, name)}")
    names, left_out = choose(options.peers)
    load = _load()                                  # before the work adds to it
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "work.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(work(options.model, options.samples, options.batch_size), f)
        found, versions = {}, {}
        for _ in range(options.rounds):
            for name in ["nnc", *names]:
                if name in left_out:
                    continue
                answer = _measure(name, path)
                if "error" in answer:
                    left_out[name] = answer["error"]
                    continue
                versions[name] = answer.pop("version")
                found.setdefault(name, []).append(answer)
    if "nnc" in left_out:
        raise ValueError(left_out["nnc"])
    figures = {name: {key: _median([r.get(key) for r in rounds]) for key in FIGURES}
               for name, rounds in found.items() if name not in left_out}
    _show(options, figures, versions, left_out, load)
    return int(options.peers is not None and bool(left_out))


def choose(text):
    """The peers that can run, and a dict of those that cannot with the reason."""
    from importlib.util import find_spec

    if text == "none":
        return [], {}
    named = list(PEERS) if text is None else [name for name in text.split(",") if name]
    there, left_out = [], {}
    for name in named:
        if name not in PEERS:
            raise ValueError(f"--peers: there is no {name!r}; known: {', '.join(PEERS)}, none")
        missing = [module for module in PEERS[name] if find_spec(module) is None]
        if missing:
            left_out[name] = f"{', '.join(missing)} is not installed"
        else:
            there.append(name)
    return there, left_out


def work(path, samples, batch):
    """What is measured: the model's configuration, its loss, and the sizes of the data."""
    import nnc

    if path is None:
        first, *inner, last = SIZES
        model = nnc.Sequential([
            nnc.Input((first,)), *(nnc.layers.Dense(n, activation="relu") for n in inner),
            nnc.layers.Dense(last, activation="softmax")])
    else:
        model = nnc.saving.load_model(path, compile=False)
    what = path or "-".join(map(str, SIZES))
    shapes = model.input_shape, model.output_shape
    if not all(isinstance(shape, tuple) and shape and all(isinstance(n, int) for n in shape[1:])
               for shape in shapes):
        raise ValueError(f"{what}: to be measured, a model must have one input and one output of "
                         f"known shapes. Received: input_shape={shapes[0]}, "
                         f"output_shape={shapes[1]}")
    layers = getattr(model, "layers", [])
    last = getattr(getattr(layers[-1], "activation", None), "__name__", "") if layers else ""
    last = "softmax" if layers and type(layers[-1]).__name__ == "Softmax" else last
    loss = {"softmax": "sparse_categorical_crossentropy",
            "sigmoid": "binary_crossentropy"}.get(last, "mean_squared_error")
    ids = next((layer.input_dim for layer in layers if type(layer).__name__ == "Embedding"), None)
    return {"what": what, "model": model.to_json(), "input": shapes[0][1:], "ids": ids,
            "output": shapes[1][1:], "loss": loss, "samples": samples, "batch": batch,
            "parameters": model.count_params(),
            "chain": [{"class": type(layer).__name__, **_plain(layer)} for layer in layers]
            if type(model) is nnc.Sequential else None}


def _plain(layer):
    """What torch and ONNX need to know of a layer of a chain."""
    config = layer.get_config()
    return {key: config[key] for key in ("units", "activation", "use_bias", "rate")
            if isinstance(config.get(key), (str, int, float))}


def _measure(name, path):
    """What a process answers: figures and a version, or an error."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    backend = {"keras_tf": "tensorflow", "keras_jax": "jax", "keras_torch": "torch"}.get(name)
    if backend:
        environment["KERAS_BACKEND"] = backend
    import nnc

    root = os.path.dirname(os.path.dirname(os.path.abspath(nnc.__file__)))
    environment["PYTHONPATH"] = os.pathsep.join(
        part for part in (root, os.environ.get("PYTHONPATH")) if part)
    try:
        done = subprocess.run([sys.executable, "-m", "nnc.bench_work", name, path],
                              capture_output=True, text=True, timeout=_TIMEOUT, env=environment)
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {_TIMEOUT} seconds"}
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return {"error": f"the process ended with {done.returncode}: {last}"}


def _median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def _load():
    """How many processes want the processor, or `None`."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _show(options, figures, versions, left_out, load):
    from . import cli

    facts = cli.info()
    what = options.model or "-".join(map(str, SIZES))
    if options.json:
        print(json.dumps({
            "model": what, "samples": options.samples, "batch_size": options.batch_size,
            "rounds": options.rounds, "processor": facts["processor"], "isa": facts["isa"],
            "threads": facts["threads"], "load": load, "versions": versions, "figures": figures,
            "left_out": left_out}, indent=2))
        return
    print(f"{what}: {options.samples} samples, batches of {options.batch_size}; median of "
          f"{options.rounds} rounds\n{facts['processor']}, {facts['threads']} threads, "
          f"{facts['isa']}" + ("" if load is None else f"; load before: {load:.1f}"))
    width = max(len(heading) for heading, *_ in FIGURES.values())
    cells = {name: max(len(f"{name} {versions[name]}"), 18) for name in figures}
    print(" " * width + "".join(f"  {name + ' ' + versions[name]:>{n}}"
                                for name, n in cells.items()))
    for key, (heading, digits, more) in FIGURES.items():
        line = f"{heading:<{width}}"
        for name, n in cells.items():
            value, ours = figures[name][key], figures["nnc"][key]
            text = "-" if value is None else f"{value:,.{digits}f}"
            if value and name != "nnc":
                text += f" ({ours / value if more else value / ours:.2f}x)"
            line += f"  {text:>{n}}"
        print(line)
    if len(figures) > 1:
        print("In brackets: how many times as fast nnc is.")
    if load is not None and load > 0.5:
        print("The machine is busy with other work: these figures are not to be trusted, torch's "
              "least of all.")
    for name, reason in left_out.items():
        print(f"{name} is left out: {reason}")
