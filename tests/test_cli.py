"""The command line: `nnc info`, `python -m nnc`, `nnc.show_config()`."""
import json
import subprocess
import sys

import pytest

import nnc
from nnc import _core, cli


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "nnc", *arguments], capture_output=True, text=True)


def test_info_as_json():
    result = run("info", "--json")
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["nnc"] == nnc.__version__ and facts["isa"] in facts["isa_available"]
    assert facts["threads"] >= 1 and facts["threads_reason"]
    assert facts["optional"].keys() == cli.OPTIONAL.keys()


def test_info_as_text(monkeypatch, capsys):
    monkeypatch.setenv("NNC_DATA_DIR", "/some/folder")
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"nnc {nnc.__version__}\n")
    for part in (f"{_core.isa()} in use", f"{_core.get_num_threads()} (", "/some/folder, then"):
        assert part in out


def test_show_config_prints_the_same(capsys):
    nnc.show_config()
    shown = capsys.readouterr().out
    cli.main(["info"])
    assert capsys.readouterr().out == shown


def test_missing_libraries_are_named(monkeypatch):
    monkeypatch.setattr(cli, "OPTIONAL", {"no_such_library_here": "nothing"})
    assert cli.info()["optional"] == {"no_such_library_here": None}
    assert "not installed" in cli.info_text()


def test_usage():
    assert run().returncode == 2 and "info" in run().stdout
    with pytest.raises(SystemExit) as caught:
        cli.main(["inof"])
    assert caught.value.code == 2


def test_import_is_light():
    """`import nnc` loads NumPy and the standard library, and nothing slow of that."""
    code = ("import sys, numpy; before = set(sys.modules)\n"
            "import nnc; print(*set(sys.modules) - before)")
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                            check=True)
    names = {name.partition(".")[0] for name in loaded.stdout.split()}
    slow = {"asyncio", "urllib", "http", "ssl", "email", "json", "html", "argparse", "csv",
            "difflib", "subprocess", "logging", "multiprocessing", "unittest", "tarfile", "zipfile"}
    assert not names & slow
    assert not {n for n in names if n not in sys.stdlib_module_names and n not in ("nnc", "numpy")}
