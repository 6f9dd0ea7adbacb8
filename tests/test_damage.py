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


# least: the share that is refused at least; what is not lies in values without a checksum, or says
# nothing that matters (names, dates, settings that are as good as others).
@pytest.mark.parametrize("kind, count, least", [
    ("keras", 120, 0.75), ("h5", 50, 0.4), ("weights.h5", 50, 0.4), ("npz", 200, 0.75),
    ("safetensors", 250, 0.5), ("json", 150, 0.3), ("weights.json", 50, 0.4)])
def test_damaged(tmp_path, kind, count, least):
    if kind not in ("json", "npz", "safetensors"):
        pytest.importorskip("h5py")
    path = str(tmp_path / f"m.{kind}")
    damage.write(damage.model(), kind, path)
    done = subprocess.run([sys.executable, os.path.join(HERE, "damage.py"), kind, path,
                           str(count * TIMES), SEED], capture_output=True, text=True,
                          timeout=120 * TIMES)
    assert done.returncode == 0, done.stderr[-3000:]
    refused, grown = map(int, done.stdout.split())
    assert refused >= least * count * TIMES
    assert grown < 300                              # MB: no damaged size was believed
