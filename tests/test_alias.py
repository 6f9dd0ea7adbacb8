"""nnc in Keras's place: whole scripts, what they lack, and outputs beside Keras's."""
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import nnc
from nnc import testing
from nnc.doctor import names_used

SCRIPT = """
import sys
import numpy as np
import keras
from keras import layers
from keras.layers import Dense
from tensorflow.keras.models import Sequential
import tensorflow as tf
import tf_keras.optimizers as opt

model = Sequential([keras.Input((3,)), Dense(2), layers.Activation("softmax")])
model.compile(optimizer=opt.Adam(0.1), loss="categorical_crossentropy")
model.fit(np.ones((8, 3)), np.eye(2)[[0, 1] * 4], verbose=0)
print(type(model).__module__.partition(".")[0], sys.argv[1:], tf.keras.backend.__name__)
"""


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "nnc", *arguments], capture_output=True, text=True)


def test_a_script_for_keras_runs(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    result = command("run", str(script), "--own", "1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[:3] == ["nnc", "['--own',", "'1']"]
    script.write_text("import keras\nkeras.layers.NoSuch\n")
    result = command("run", str(script))
    assert result.returncode == 1 and "nnc has no keras.layers.NoSuch" in result.stderr or \
        "no attribute 'NoSuch'" in result.stderr
    assert command("run", str(tmp_path / "none.py")).returncode == 2


#: Scripts that end in another way, none of them by falling off their end.
ENDS = {
    "error": "import sys\ndef f():\n    raise ValueError(sys.argv[1:])\nf()\n",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('x') from e\n",
    "within nnc": "import keras\nkeras.layers.Dense(-1)\n",
    "syntax": "x = (\n",
    "exit": "import sys\nsys.exit(7)\n",
    "exit with a text": "raise SystemExit('enough')\n",
    "exit of None": "raise SystemExit\n",
    "interrupt": "raise KeyboardInterrupt\n",
    "hook of its own": "import sys\nsys.excepthook = lambda *e: print('mine', e[1])\n1 / 0\n",
    "main": "assert __name__ == '__main__' and __file__.endswith('s.py'), __file__\n",
}


@pytest.mark.parametrize("name", ENDS)
def test_a_script_ends_as_it_does_in_python(tmp_path, name):
    script = tmp_path / "s.py"
    script.write_text(ENDS[name])
    ours = command("run", str(script), "--a", "b")
    here = os.path.dirname(os.path.dirname(nnc.__file__))
    before = f"import sys\nsys.path.insert(0, {here!r})\nimport nnc\nnnc.install_as_keras()\n"
    plain = tmp_path / "plain" / "s.py"             # the same with `keras` there in another way
    plain.parent.mkdir()
    plain.write_text(ENDS[name])
    (tmp_path / "sitecustomize.py").write_text(before)
    theirs = subprocess.run([sys.executable, str(plain), "--a", "b"], capture_output=True,
                            text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert ours.returncode == theirs.returncode
    assert ours.stderr == theirs.stderr.replace(str(plain), str(script))
    assert ours.stdout == theirs.stdout


def test_a_script_that_asks_for_versions(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import keras, tensorflow as tf\nassert int(keras.__version__[0]) == 3\n"
                      "assert tf.keras.__version__ == keras.__version__\ntf.__version__\n")
    result = command("run", str(script))
    assert result.returncode == 1 and "nnc run: not in nnc: tensorflow.__version__" in result.stderr


def test_help_has_examples():
    for name in ("", "info", "run", "doctor", "inspect", "verify", "convert", "diff", "predict",
                 "bench"):
        result = command(*[name] * bool(name), "--help")
        assert result.returncode == 0 and "examples:\n  nnc " in result.stdout, name


def test_doctor(tmp_path):
    assert names_used(SCRIPT) == {
        "keras.layers", "keras.layers.Dense", "keras.models.Sequential", "keras.Input",
        "keras.layers.Activation", "keras.optimizers.Adam", "keras.backend.__name__"}
    script = tmp_path / "script.py"
    script.write_text("import keras\nkeras.layers.Dense(1)\nkeras.layers.NoSuch(2)\n")
    result = command("doctor", str(script), "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout) == {"keras.layers.Dense": True, "keras.layers.NoSuch": False}
    script.write_text("import tensorflow as tf\ntf.keras.layers.Dense(1)\ntf.random.set_seed(1)\n"
                      "from tensorflow import keras, data\nkeras.__version__\n")
    result = command("doctor", str(script), "--json")
    assert json.loads(result.stdout) == {
        "keras.layers.Dense": True, "keras.__version__": True, "tensorflow.random.set_seed": False,
        "tensorflow.data": False} and result.returncode == 1
    script.write_text("import keras\nkeras.layers.Dense(1)\n")
    assert command("doctor", str(script)).returncode == 0
    script.write_text("def")
    result = command("doctor", str(script))
    assert result.returncode == 2 and "invalid syntax (script.py, line 1)" in result.stderr
    assert names_used("import tensorflow as tf\nlayers = tf.keras.layers\nD = layers.Dense\n") == {
        "keras.layers", "keras.layers.Dense"}


def test_install_refuses_when_keras_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", object())
    with pytest.raises(RuntimeError, match="has been imported already"):
        nnc.install_as_keras()


def test_assert_close_to_keras():
    code = "import nnc; nnc.testing.assert_close_to_keras"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    keras = pytest.importorskip("keras")
    ours, theirs = (k.Sequential([k.Input((4,)), k.layers.Dense(3, activation="tanh")])
                    for k in (nnc, keras))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    before = ours.get_weights()[0].copy()
    testing.assert_close_to_keras(ours, theirs, x)
    np.testing.assert_array_equal(ours.get_weights()[0], before)
    with pytest.raises(AssertionError, match="output 0 differs most at"):
        testing.assert_close_to_keras(ours, theirs, x, weights=False)
    other = nnc.Sequential([nnc.Input((4,)), nnc.layers.Dense(2)])
    with pytest.raises(AssertionError, match=r"has shape \(4, 2\), Keras's has \(4, 3\)"):
        testing.assert_close_to_keras(other, theirs, x)
