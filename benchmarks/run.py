"""nnc beside its peers, in one run on one machine.

    python benchmarks/run.py --peers torch,keras_tf,keras_jax
    python benchmarks/run.py --peers torch --work mlp_512 --repeats 9 --json result.json
    python benchmarks/run.py --peers torch,keras_tf,keras_jax --markdown       # the README's table
    python benchmarks/run.py --peers jax_scan,torch_compile,onnxruntime        # compiled by hand
    python benchmarks/run.py --peers nnc_float32,torch,keras_tf --work mlp_wide_bf16   # mixed precision

Every framework has a process of its own (frameworks.py); they take turns, measurement by
measurement, so that a slow moment of the machine meets all of them. What is printed is the median
of the turns and, beside it, the ratio to nnc: above 1, nnc is better. Peers that are not installed
are named and left out.
"""
import argparse
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys

from frameworks import MEASURES, MIXED, WORKS, flops

HERE = os.path.dirname(os.path.abspath(__file__))
#: framework: (module to import, distributions that it consists of)
FRAMEWORKS = {
    "nnc": ("nnc", ("nnc-core",)),
    "nnc_float32": ("nnc", ("nnc-core",)),
    "torch": ("torch", ("torch",)),
    "keras_tf": ("keras", ("keras", "tensorflow-cpu", "tensorflow")),
    "keras_jax": ("keras", ("keras", "jax")),
    "keras_torch": ("keras", ("keras", "torch")),
    "jax_scan": ("jax", ("jax",)),
    "torch_compile": ("torch", ("torch",)),
    "onnxruntime": ("onnxruntime", ("onnxruntime",)),
}
#: Those that have no mixed precision here.
FLOAT32_ONLY = ("jax_scan", "onnxruntime")
BACKENDS = {"keras_tf": "tensorflow", "keras_jax": "jax", "keras_torch": "torch"}
#: key: (text, digits after the point, whether more is better)
ROWS = {
    "train": ("training, samples/s", 0, True),
    "train_peak": ("training, % of the multiply-add peak", 1, True),
    "predict": ("predict, rows/s", 0, True),
    "predict_peak": ("predict, % of the multiply-add peak", 1, True),
    "predict_one": ("predict of 1 row, µs", 1, False),
    "call_one": ("model(x) of 1 row, µs", 1, False),
    "first_fit_ms": ("first fit of 2 batches, ms", 0, False),
    "rss_mb": ("peak memory above the data, MB", 0, False),
    "import_s": ("import, s", 2, False),
    "size_mb": ("installed with what it needs but NumPy, MB", 1, False),
}


def environment(name):
    """A peer's process gets the machine as it is: no tuning meant for another library."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    env["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if name in BACKENDS:
        env["KERAS_BACKEND"] = BACKENDS[name]
    return env


class Subject:
    """A framework's process. It is stopped except while it measures: idle threads that spin would
    slow the others."""

    def __init__(self, work, name):
        command = [sys.executable, os.path.join(HERE, "frameworks.py"), work, name]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment(name))
        self.ready = self.answer()
        self.process.send_signal(signal.SIGSTOP)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args[-1]} has ended with {self.process.wait()}")
        return json.loads(line)

    def measure(self, what):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        value = self.answer()
        self.process.send_signal(signal.SIGSTOP)
        return value

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()


def run_work(work, names, repeats):
    """{framework: {measurement: median}} of one work."""
    subjects, results = {}, {}
    for name in names:
        print(f"  {work}: starting {name}", file=sys.stderr, flush=True)
        subjects[name] = Subject(work, name)
        results[name] = dict(subjects[name].ready)
    turns = {name: {what: [] for what in MEASURES} for name in names}
    for turn in range(repeats):
        order = names[turn % len(names):] + names[:turn % len(names)]       # nobody is always first
        for what in MEASURES:
            for name in order:
                turns[name][what].append(subjects[name].measure(what))
    for name in names:
        subjects[name].close()
        results[name].update({what: None if None in v else statistics.median(v)
                              for what, v in turns[name].items()})
    return results


def add_share_of_peak(work, results, peak):
    """How much of what the processor could do is done, in the products that cannot be avoided."""
    for what, count in zip(("train", "predict"), flops(work)):
        for result in results.values():
            rate = result[what]
            result[f"{what}_peak"] = None if rate is None else rate * count / peak / 1e7


def import_seconds(names, repeats):
    """Seconds of `import`, each in a fresh process, less those of `import numpy`."""
    modules = {name: FRAMEWORKS[name][0] for name in names}
    modules["numpy"] = "numpy"
    times = {name: [] for name in modules}
    for _ in range(repeats):
        for name, module in modules.items():
            code = (f"import time; t = time.perf_counter(); import {module}; "
                    "print(time.perf_counter() - t)")
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                                  check=True, env=environment(name))
            times[name].append(float(done.stdout.split()[-1]))
    base = statistics.median(times.pop("numpy"))
    return {name: max(statistics.median(v) - base, 0.0) for name, v in times.items()}


def installed_mb(distributions):
    """Bytes on disk of distributions and all that they require, NumPy apart, in MB."""
    from importlib import metadata

    todo, seen, total = list(distributions), {"numpy"}, 0
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            dist = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        for file in dist.files or ():
            path = file.locate()
            total += os.path.getsize(path) if os.path.isfile(path) else 0
        todo += [re.match(r"[\w.-]+", r)[0] for r in dist.requires or () if "extra ==" not in r]
    return total / 1e6


def nnc_mb():
    """nnc may be installed in place, where the distribution lists no files: its folder counts."""
    import nnc

    total = 0
    for folder, _, files in os.walk(os.path.dirname(nnc.__file__)):
        if not folder.endswith("__pycache__"):
            total += sum(os.path.getsize(os.path.join(folder, f)) for f in files)
    return total / 1e6


def machine():
    """Facts about this run."""
    from nnc import _core, cli

    load = os.getloadavg()[0]
    facts = cli.info()
    threads = facts["threads"]
    peak, half_peak = (max(_core.peak_rate(dtype, 0.2) for _ in range(3)) / 1e9
                       for dtype in ("float32", "bfloat16"))
    return {
        "processor": facts["processor"], "system": platform.platform(), "python": facts["python"],
        "nnc": facts["nnc"], "isa": facts["isa"], "threads": threads,
        "threads_reason": facts["threads_reason"], "load_before": load, "fma_peak_gflops": peak,
        "bfloat16_peak_gflops": half_peak,
        "barrier_us": min(_core.barrier_time() for _ in range(5)) * 1e6,
    }


def describe(facts):
    return (f"{facts['processor']}; {facts['system']}; Python {facts['python']}; "
            f"nnc {facts['nnc']}, {facts['isa']}, {facts['threads']} threads "
            f"({facts['threads_reason']}); load before the run: {facts['load_before']:.1f}; "
            f"multiply-add peak: {facts['fma_peak_gflops']:.0f} GFLOP/s in float32, "
            f"{facts['bfloat16_peak_gflops']:.0f} in bfloat16; "
            f"a barrier: {facts['barrier_us']:.2f} us")


def table(results, names, markdown):
    """Lines: one row a measurement, one column a framework."""
    rows = [["", *names]]
    for key, (text, digits, more) in ROWS.items():
        if key not in results["nnc"]:
            continue
        ours, cells = results["nnc"][key], [text]
        for name in names:
            value = results[name][key]
            if value is None:
                cells.append("")
                continue
            cell = f"{value:,.{digits}f}"
            if name != "nnc" and ours > 0 and value > 0:
                cell += f" ({ours / value if more else value / ours:.2f}x)"
            cells.append(cell)
        rows.append(cells)
    if markdown:
        lines = ["| " + " | ".join(r) + " |" for r in rows]
        return [lines[0], "|---" + "|---:" * len(names) + "|", *lines[1:]]
    widths = [max(len(r[k]) for r in rows) for k in range(len(rows[0]))]
    return ["  ".join([r[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(r[1:], widths[1:]))])
            for r in rows]


def installed(names):
    """The frameworks that can run here; the others are named."""
    from importlib.util import find_spec

    needed = {"keras_tf": "tensorflow", "keras_jax": "jax", "keras_torch": "torch",
              "onnxruntime": "onnx"}
    there = []
    for name in names:
        if name not in FRAMEWORKS:
            raise ValueError(f"unknown framework {name!r}; known: {', '.join(FRAMEWORKS)}")
        modules = {FRAMEWORKS[name][0], needed.get(name, "numpy")}
        missing = [m for m in modules if find_spec(m) is None]
        if missing:
            print(f"{name} is left out: {', '.join(missing)} is not installed", file=sys.stderr)
        else:
            there.append(name)
    return there


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", default="torch,keras_tf,keras_jax",
                        help=f"comma-separated: {', '.join(n for n in FRAMEWORKS if n != 'nnc')}")
    parser.add_argument("--work", default="mlp_seed,mlp_512", help=f"of {', '.join(WORKS)}")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each measurement")
    parser.add_argument("--json", metavar="FILE", help="also write everything as JSON")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    options = parser.parse_args()
    works = options.work.split(",")
    for work in works:
        if work not in WORKS:
            parser.error(f"unknown work {work!r}; known: {', '.join(WORKS)}")
    try:
        names = ["nnc", *installed([n for n in options.peers.split(",") if n and n != "nnc"])]
    except ValueError as error:
        parser.error(str(error))
    facts = machine()
    print(describe(facts), flush=True)
    if facts["load_before"] > 0.5:
        print("The machine is busy with other work: libraries whose threads wait by spinning, "
              "torch most of all, are then far slower than they are.", file=sys.stderr)
    imports = import_seconds(names, 3)
    sizes = {n: nnc_mb() if n.startswith("nnc") else installed_mb(FRAMEWORKS[n][1]) for n in names}
    everything = {"machine": facts, "works": {}}
    for work in works:
        some = [n for n in names if work not in MIXED or n not in FLOAT32_ONLY]
        for name in sorted(set(names) - set(some)):
            print(f"{name} is left out of {work}: it has no mixed precision", file=sys.stderr)
        results = run_work(work, some, options.repeats)
        peak = facts["bfloat16_peak_gflops" if work in MIXED else "fma_peak_gflops"]
        add_share_of_peak(work, results, peak)
        for name in some:
            results[name].update(import_s=imports[name], size_mb=sizes[name])
        everything["works"][work] = results
        n, widths, batch = WORKS[work]
        precision = ", mixed_bfloat16, shares of the bfloat16 peak" if work in MIXED else ""
        print(f"\n{work}: {'-'.join(map(str, widths))}, {n} rows, batch {batch}, Adam{precision}; "
              f"median of {options.repeats}; (ratio: above 1, nnc is better)\n")
        print("\n".join(table(results, some, options.markdown)), flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(everything, f, indent=2)


if __name__ == "__main__":
    main()
