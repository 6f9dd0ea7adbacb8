"""The progress bar's text: beside Keras's own on a terminal, and plain where there is none."""
import io
import os
import re
import sys

import pytest

from nnc import progress

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def visible(text):
    """Without backspaces: Keras sends them before its carriage return, to the same effect."""
    return text.replace("\b", "")


def run(make, module, monkeypatch, target, steps, step_seconds, verbose=1, out=Terminal, **options):
    """Output of a bar whose clock advances `step_seconds` a step."""
    clock = {"now": 1000.0}
    monkeypatch.setattr(module.time, "time", lambda: clock["now"])
    monkeypatch.setattr(sys, "stdout", out())
    monkeypatch.setenv("COLUMNS", "200")
    bar = make(target, verbose=verbose, **options)
    for k in steps:
        clock["now"] += step_seconds
        values = [("accuracy", 1 - 0.5 / k), ("loss", 3.0 / k), ("tiny", 2e-5 / k), ("minus", -0.1)]
        bar.update(k, values, finalize=None if target else k == steps[-1])
    text = sys.stdout.getvalue()
    monkeypatch.undo()
    return text


CASES = [
    (7, range(1, 8), 0.2), (1875, [100, 1000, 1875], 0.5), (100, range(1, 101), 45.0),
    (None, [1, 2, 5], 1.5), (3, [1, 2, 3], 3e-5), (1000, [999, 1000], 0.2), (10, [5, 10], 4000.0),
    (999, [1, 999], 1e-2),
]


@pytest.mark.parametrize("target, steps, seconds", CASES)
@pytest.mark.parametrize("options", [{}, {"stateless_metrics": []}, {"stateful_metrics": ["loss"]},
                                     {"width": 31, "unit_name": "sample"}])
def test_terminal_text_is_keras_text(monkeypatch, target, steps, seconds, options):
    keras = pytest.importorskip("keras")
    from keras.src.utils import progbar

    ours = run(progress.Progbar, progress, monkeypatch, target, list(steps), seconds, **options)
    theirs = run(keras.utils.Progbar, progbar, monkeypatch, target, list(steps), seconds, **options)
    assert visible(ours) == visible(theirs)


@pytest.mark.parametrize("target, steps, seconds", [c for c in CASES if c[0]])
def test_one_line_an_epoch_is_keras_text(monkeypatch, target, steps, seconds):
    keras = pytest.importorskip("keras")
    from keras.src.utils import progbar

    ours = run(progress.Progbar, progress, monkeypatch, target, list(steps), seconds, verbose=2)
    theirs = run(keras.utils.Progbar, progbar, monkeypatch, target, list(steps), seconds, verbose=2)
    # Keras prints a negative mean as a power of ten here and plainly in the bar; nnc is uniform
    assert ours == theirs.replace("minus: -1.0000e-01", "minus: -0.1000")


def test_a_file_gets_one_line_without_control_characters(monkeypatch):
    text = run(progress.Progbar, progress, monkeypatch, 40, range(1, 41), 0.2, out=io.StringIO)
    assert re.fullmatch(
        r"40/40 - 8s - 200ms/step - accuracy: 0\.9875 - loss: 0\.0750 - tiny: 5\.0000e-07"
        r" - minus: -0\.1000\n", text)


def test_silent(monkeypatch):
    assert run(progress.Progbar, progress, monkeypatch, 4, [1, 4], 1.0, verbose=0) == ""


def test_an_unfinished_line_never_wraps(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "60")
    bar = progress.Progbar(100, interval=0)
    bar.update(50, [(f"a_metric_with_a_long_name_{k}", 0.5) for k in range(5)])
    line = re.sub(r"\x1b\[\d+m", "", sys.stdout.getvalue()).strip("\r")
    assert len(line) == 59 and "\n" not in line


def test_a_shorter_line_blanks_the_longer_one(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "200")
    bar = progress.Progbar(10, interval=0)
    bar.update(1, [("loss", 123456.0)])
    bar.update(10, [("loss", 1.0)])
    first, last = (re.sub(r"\x1b\[\d+m", "", part).strip("\n")
                   for part in sys.stdout.getvalue().split("\r")[1:])
    assert len(last) >= len(first)


def test_notebook_is_one_line_at_ten_updates_a_second(monkeypatch):
    class OutStream(io.StringIO):
        __module__ = "ipykernel.iostream"

    text = run(progress.Progbar, progress, monkeypatch, 1000, range(1, 1001), 0.01, out=OutStream)
    assert text.count("\n") == 1
    assert 90 <= text.count("\r") <= 105            # ten seconds


def test_an_output_that_cannot_encode_the_bar(monkeypatch):
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    out.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", out)
    progress.Progbar(2).update(2, [("loss", 1.0)])
    out.flush()
    assert b"====================" in raw.getvalue() and b"loss: 1.0000" in raw.getvalue()


def test_add_counts_on(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    bar = progress.Progbar(3)
    bar.add(1)
    assert sys.stdout.getvalue() == ""
    bar.add(2)
    assert sys.stdout.getvalue().startswith("3/3 - ")


def test_arguments_that_contradict():
    with pytest.raises(ValueError, match="only one of"):
        progress.Progbar(1, stateful_metrics=[], stateless_metrics=[])


@pytest.mark.parametrize("seconds, text", [
    (0, "0s"), (59.9, "59s"), (61, "1:01"), (3661, "1:01:01")])
def test_eta(seconds, text):
    assert progress.format_eta(seconds) == text


@pytest.mark.parametrize("seconds, text", [
    (0, " 0s/step"), (2.4, " 2s/step"), (0.0034, " 3ms/step"), (4e-5, " 40us/step")])
def test_step_time(seconds, text):
    assert progress.format_step_time(seconds, "step") == text
