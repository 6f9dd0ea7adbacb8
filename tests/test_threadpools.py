"""threadpoolctl's limits hold, whichever of the two is imported first."""
import subprocess
import sys

import pytest

pytest.importorskip("threadpoolctl")

SCRIPT = """
import {first}
import {second}
from nnc import _core
_core.set_num_threads(3)
pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "nnc"]
assert len(pools) == 1 and pools[0]["num_threads"] == 3, pools
with threadpoolctl.threadpool_limits(1):
    assert _core.get_num_threads() == 1
with threadpoolctl.threadpool_limits({{"nnc": 2}}):
    assert _core.get_num_threads() == 2
assert _core.get_num_threads() == 3
"""


@pytest.mark.parametrize("first, second", [("nnc", "threadpoolctl"), ("threadpoolctl", "nnc")])
def test_limits_hold(first, second):
    run = subprocess.run([sys.executable, "-c", SCRIPT.format(first=first, second=second)],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
