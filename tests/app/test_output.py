"""Output for users and for machines."""

import contextlib
import json
import signal
from types import SimpleNamespace

import pytest
import typer

from langevax.app import errors
from langevax.app.errors import BadInput, RunFailed, exit_codes, listing, nearest
from langevax.app.options import FitOptions
from langevax.app.output import Output, aligned, plain
from tests.sentences import refuses


def test_numbers_are_aligned_on_decimal_points():
    lines = aligned(
        ("method", "R2"), (("a", "0.5"), ("b", "-10.25"), ("c", "1,000"), ("d", "nan"))
    )
    points = {line.index(".") for line in lines if "." in line}
    assert points == {lines[3].index("1,000") + len("1,000")}


def test_sentences_go_to_stdout_and_warnings_to_stderr_without_wrapping_or_escapes(
    capsys,
):
    output = Output()
    output.say("Table", "long " * 60 + "end")
    output.warn("careful")
    captured = capsys.readouterr()
    assert captured.out == f"{'Table':<13}{'long ' * 60}end\n"
    assert captured.err == f"{'Warning':<13}careful\n"


def test_json_is_alone_on_stdout(capsys):
    output = Output(machine=True)
    output.say("Table", "x")
    output.table(("a",), (("b",),))
    output.result(plain({"gap": float("inf")}))
    assert json.loads(capsys.readouterr().out) == {"gap": None}


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (BadInput("correct it"), 2, "Error: correct it"),
        (RunFailed("it broke"), 1, "Failed: it broke"),
        (KeyboardInterrupt("continue"), 130, "Interrupted. continue"),
        (MemoryError(), 1, "out of memory"),
    ],
)
def test_errors_have_exit_codes_and_one_line(capsys, error, code, words):
    with pytest.raises(typer.Exit) as left, exit_codes():
        raise error
    assert left.value.exit_code == code
    assert words in capsys.readouterr().err


def test_a_later_signal_ends_a_command_that_the_first_one_could_not(
    capsys, monkeypatch
):
    """An exception of a signal that arrives while a collector of garbage runs is lost."""
    monkeypatch.setattr(
        errors, "time", clock := SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    )

    def command():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        clock.now += errors.TerminatedError.grace - 0.1
        signal.raise_signal(signal.SIGTERM)  # while the command ends
        clock.now += 0.2
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(typer.Exit) as left, exit_codes():
        command()
    assert left.value.exit_code == 143
    assert "Terminated by SIGTERM" in capsys.readouterr().err


def test_names_in_sentences():
    assert listing(["a"]) == "'a'"
    assert listing(["a", "b", "c"]) == "'a', 'b' and 'c'"
    assert listing("abcdefgh", most=2) == "'a', 'b' and 6 more"
    assert nearest("x", ["apple", "pear"]) == "it has 'apple' and 'pear'."


def test_the_command_contains_options_not_at_their_defaults(tmp_path):
    request = FitOptions(
        tmp_path / "a b.csv",
        "y",
        tmp_path / "out",
        drop=["p", "q"],
        temperature=0.1,
        skip=["peers"],
    )
    words = f"langevax fit '{tmp_path}/a b.csv' --target y --out {tmp_path}/out --drop p --drop q"
    assert request.command() == f"{words} --temperature 0.1 --skip peers"


@pytest.mark.parametrize("temperature", [-1.0, 0.0, float("inf"), float("nan")])
def test_invalid_temperatures_are_refused(tmp_path, temperature):
    with refuses(BadInput, f"--temperature {temperature}"):
        FitOptions(tmp_path, "y", tmp_path, temperature=temperature)
