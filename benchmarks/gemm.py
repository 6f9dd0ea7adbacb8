"""Matrix products: the kernels of csrc beside NumPy (OpenBLAS) and PyTorch (MKL), in GFLOP/s.

    make -C csrc
    python benchmarks/gemm.py [--threads 1,2] [--rounds 3] [--picture gemm.png] [MxNxK ...]
    python benchmarks/gemm.py --sweep 200 --threads 2 --picture gemm.png

--sweep takes so many shapes at random, each side from 1 to 4096 (as many between 1 and 2 as between
2048 and 4096), and tells how the ratio to the best other library is spread and where it is below one.
Layouts: NN the forward product, NT the gradient of the input, TN the gradient of the weight. Every
round runs each library in a process of its own, one after the other, and the best round counts. One
thread is timed by its own processor time, several by the clock on the wall. The peak is that of
multiply-adds on registers, measured beside. --dtype bfloat16: products of bfloat16, beside PyTorch
alone, NumPy having none; the peak is that of their instructions.
"""

import argparse
import importlib.util
import json
import math
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHAPES = ["128x512x784", "128x512x512", "64x512x128", "32x20x784", "784x20x32", "128x10x512",
          "128x128x128", "256x256x256", "512x512x512", "1024x1024x1024", "2048x192x192",
          "2048x768x192", "2048x192x768", "1x512x784", "1x4096x4096"]
LAYOUTS = ["NN", "NT", "TN"]
SECONDS = 0.1       # for each product
SAMPLE_NS = 20_000  # short products are timed several at once


def build(library):
    """Compiles gemm.c against the core's static library; returns the program's path."""
    program = pathlib.Path(tempfile.mkdtemp()) / "gemm"
    subprocess.run(["gcc", "-std=gnu11", "-O2", f"-I{ROOT / 'csrc'}",
                    ROOT / "benchmarks" / "gemm.c", library, "-lm", "-lpthread", "-o", program],
                   check=True)
    return program


def run_nnc(program, shapes, threads, dtype):
    """Returns {(shape, layout): GFLOP/s} and the peak of one thread."""
    sizes = [number for shape in shapes for number in shape.split("x")]
    sizes = ["bfloat16"] * (dtype == "bfloat16") + sizes
    text = subprocess.run([program, str(threads), *sizes], check=True, capture_output=True,
                          text=True).stdout
    rates = {}
    for line in text.splitlines():
        found = re.match(r"\s*(\d+)\s+(\d+)\s+(\d+)\s", line)
        if found:
            for layout, rate in re.findall(r"(NN|NT|TN)\s+([\d.]+) \(", line):
                rates["x".join(found.groups()), layout] = float(rate)
    return rates, float(re.search(r"peak ([\d.]+)", text).group(1))


def run_peer(name, shapes, threads, dtype):
    """The same in a child process, for the libraries read the number of threads when they start."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads),
                       MKL_NUM_THREADS=str(threads))
    text = subprocess.run([sys.executable, __file__, "--peer", name, "--dtype", dtype, *shapes], check=True,
                          capture_output=True, text=True, env=environment).stdout
    return {tuple(key.split()): rate for key, rate in json.loads(text).items()}


def time_peer(name, shapes, dtype):
    """Runs in the child: prints {"shape layout": GFLOP/s}."""
    import numpy as np

    if name == "torch":
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    clock = time.thread_time_ns if os.environ["OMP_NUM_THREADS"] == "1" else time.perf_counter_ns
    rates = {}
    for shape in shapes:
        m, n, k = map(int, shape.split("x"))
        for layout in LAYOUTS:
            a = np.ones((m, k) if layout[0] == "N" else (k, m), np.float32)
            b = np.ones((k, n) if layout[1] == "N" else (n, k), np.float32)
            c = np.empty((m, n), np.float32)
            multiply = np.matmul
            if name == "torch":
                a, b, c = (torch.from_numpy(x).to(getattr(torch, dtype)) for x in (a, b, c))
                multiply = torch.mm
            a, b = (a if layout[0] == "N" else a.T), (b if layout[1] == "N" else b.T)
            best, end, repeats = float("inf"), time.perf_counter() + SECONDS, 1
            while time.perf_counter() < end:
                start = clock()
                for _ in range(repeats):
                    multiply(a, b, out=c)
                passed = (clock() - start) / repeats
                best, repeats = min(best, passed), 1 + int(SAMPLE_NS / passed)
            rates[f"{shape} {layout}"] = 2 * m * n * k / best
    print(json.dumps(rates))


def compare(program, peers, shapes, threads, rounds, dtype):
    """Returns {library: {(shape, layout): GFLOP/s}} and the peak of all threads."""
    best, peak = {name: {} for name in ["nnc", *peers]}, 0.0
    for _ in range(rounds):
        rates, one = run_nnc(program, shapes, threads, dtype)
        peak = max(peak, one * threads)
        for name in best:
            theirs = rates if name == "nnc" else run_peer(name, shapes, threads, dtype)
            for key, rate in theirs.items():
                best[name][key] = max(rate, best[name].get(key, 0.0))
    return best, peak


def show(best, peak, shapes, threads):
    names = list(best)
    print(f"\n{threads} thread(s), peak {peak:.0f} GFLOP/s\n")
    print("| M x N x K | layout | " + " | ".join(names) + " | nnc, % of peak | nnc / best other |")
    print("|---|---|" + "---|" * (len(names) + 2))
    for shape in shapes:
        for layout in LAYOUTS:
            rates = [best[name].get((shape, layout), 0.0) for name in names]
            other = max(rates[1:], default=0.0)
            cells = [shape, layout, *(f"{rate:.1f}" for rate in rates),
                     f"{100 * rates[0] / peak:.0f}", f"{rates[0] / other:.2f}" if other else "-"]
            print("| " + " | ".join(cells) + " |")


def random_shapes(count, most=4096):
    """Shapes with sides from 1 to `most`, even on a logarithmic scale; always the same ones."""
    draw = random.Random(1)
    shapes = set()
    while len(shapes) < count:
        shapes.add("x".join(str(round(2 ** draw.uniform(0, math.log2(most)))) for _ in range(3)))
    return sorted(shapes, key=size_of)


def size_of(shape):
    """The side of the cube with as many multiplications."""
    return math.prod(map(int, shape.split("x"))) ** (1 / 3)


def show_spread(best, peak, shapes, threads):
    """How nnc stands to the best other library over many shapes."""
    keys = [(shape, layout) for shape in shapes for layout in LAYOUTS]
    ratio = {key: best["nnc"][key] / max(best[name][key] for name in best if name != "nnc")
             for key in keys}
    ordered = sorted(ratio.values())
    print(f"\n{threads} thread(s), peak {peak:.0f} GFLOP/s, {len(shapes)} shapes x {len(LAYOUTS)}")
    print("nnc / best other: " + ", ".join(
        f"{name} {ordered[int(part * (len(ordered) - 1))]:.2f}"
        for name, part in [("least", 0), ("5 %", 0.05), ("25 %", 0.25), ("median", 0.5),
                           ("75 %", 0.75), ("most", 1)]))
    slower = [key for key in keys if ratio[key] < 1]
    print(f"slower than the best other on {len(slower)} of {len(keys)}")
    for key in sorted(slower, key=ratio.get)[:20]:
        rates = ", ".join(f"{name} {best[name][key]:.1f}" for name in best)
        print(f"  {key[0]:>16} {key[1]}: {ratio[key]:.2f} ({rates})")


def draw_sweep(results, shapes, path):
    """GFLOP/s against size: a point a shape (the median of its layouts), a line through the
    medians of neighbours."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(8 * len(results), 5), squeeze=False)
    for axis, (threads, (best, peak)) in zip(axes[0], results.items()):
        sizes = [size_of(shape) for shape in shapes]
        for name, rates in best.items():
            middle = [statistics.median(rates[shape, layout] for layout in LAYOUTS)
                      for shape in shapes]
            points = axis.scatter(sizes, middle, s=8, alpha=0.4)
            smooth = [statistics.median(middle[max(0, i - 8):i + 9]) for i in range(len(middle))]
            axis.plot(sizes, smooth, color=points.get_facecolor()[0], alpha=1, label=name)
        axis.axhline(peak, color="black", linestyle=":", label="peak of multiply-adds")
        axis.set_xscale("log", base=2)
        axis.set_xlabel("cube root of M N K")
        axis.set_ylabel("GFLOP/s")
        axis.set_title(f"C = A B, {threads} thread(s), sides from 1 to 4096")
        axis.legend(loc="upper left")
        axis.grid(alpha=0.2)
    figure.tight_layout()
    figure.savefig(path)


def draw(results, shapes, path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(results), 1, figsize=(12, 4 * len(results)), squeeze=False)
    for axis, (threads, (best, peak)) in zip(axes[:, 0], results.items()):
        width = 0.8 / len(best)
        for i, (name, rates) in enumerate(best.items()):
            axis.bar([s + i * width for s in range(len(shapes))],
                     [rates.get((shape, "NN"), 0.0) for shape in shapes], width, label=name)
        axis.axhline(peak, color="black", linestyle=":", label="peak")
        axis.set_xticks([s + 0.4 - width / 2 for s in range(len(shapes))], shapes, rotation=30,
                        ha="right")
        axis.set_ylabel("GFLOP/s")
        axis.set_title(f"C = A B, {threads} thread(s)")
        axis.legend()
    figure.tight_layout()
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", default=SHAPES, metavar="MxNxK")
    parser.add_argument("--threads", default="1", help="numbers of threads, such as 1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--library", default=ROOT / "csrc" / "build" / "libnnc.a")
    parser.add_argument("--picture")
    parser.add_argument("--sweep", type=int, metavar="N", help="N random shapes")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return time_peer(options.peer, options.shapes, options.dtype)
    peers = [name for name in ("numpy", "torch") if importlib.util.find_spec(name) and
             (name == "torch" or options.dtype == "float32")]
    program, results = build(options.library), {}
    shapes = random_shapes(options.sweep) if options.sweep else options.shapes
    for threads in map(int, options.threads.split(",")):
        results[threads] = compare(program, peers, shapes, threads, options.rounds,
                                   options.dtype)
        (show_spread if options.sweep else show)(*results[threads], shapes, threads)
    if options.picture:
        (draw_sweep if options.sweep else draw)(results, shapes, options.picture)


if __name__ == "__main__":
    main()
