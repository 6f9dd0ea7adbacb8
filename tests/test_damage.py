"""Damaged files, region by region and at random: exceptions, within limits of time and memory.

`NNC_DAMAGE=20` makes twenty times as many, from another seed (a number of `NNC_DAMAGE_SEED`).
"""
import os
import subprocess
import sys

import pytest

from tests import damage

HERE = os.path.dirname(os.path.abspath(__file__))
TIMES = int(os.environ.get("NNC_DAMAGE", "1"))
SEED = os.environ.get("NNC_DAMAGE_SEED", "1")


@pytest.mark.parametrize("kind", damage.KINDS)
def test_damaged(tmp_path, kind):
    if kind not in ("json", "npz", "safetensors"):
        pytest.importorskip("onnx" if kind == "onnx" else "h5py")
    count, least = damage.KINDS[kind]
    path = str(tmp_path / f"m.{kind}")
    damage.write(damage.model(), kind, path)
    done = subprocess.run([sys.executable, os.path.join(HERE, "damage.py"), kind, path,
                           str(count * TIMES), SEED], capture_output=True, text=True,
                          timeout=120 * TIMES)
    assert done.returncode == 0, done.stderr[-3000:]
    refused, grown = map(int, done.stdout.split())
    assert refused >= least * count * TIMES
    assert grown < damage.MOST_MEMORY
