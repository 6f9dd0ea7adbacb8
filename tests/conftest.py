"""Fixtures for all tests: instruction set levels, thread counts and seeds, put back afterwards."""
import os
import signal

import pytest

import nnc
from nnc import _core

# TensorFlow's pooling through oneDNN divides by zero on some virtual processors, which ends the
# process; its own kernels do not.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

# A shell that runs the tests in the background has Ctrl-C ignored in them; tests send it themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=_core.isa_available())
def isa(request):
    """Each instruction set level of this machine in turn."""
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


@pytest.fixture(params=[1, 2, 3, 8])
def threads(request):
    """Some numbers of threads in turn, more than there are processors among them."""
    before = _core.get_num_threads()
    _core.set_num_threads(request.param)
    yield request.param
    _core.set_num_threads(before)


@pytest.fixture
def seed():
    """A seeded start: everything drawn in the test is the same every time."""
    nnc.utils.set_random_seed(7)
    return 7
