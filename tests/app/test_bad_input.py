"""Mistakes end in one or two lines on stderr and exit code 2, before anything is written."""

import os
import subprocess
import sys

import pytest
import typer

from langevax.__main__ import main
from langevax.app.errors import exit_codes
from tests.app.conftest import QUICK, langevax
from tests.sentences import refuses, tells

GOOD = "x,y\n" + "".join(f"{i % 7},{i * i % 11 / 2}\n" for i in range(30))


def fit(tmp_path, content, *words, target="y"):
    (tmp_path / "t.csv").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    return langevax(
        "fit",
        tmp_path / "t.csv",
        "--target",
        target,
        "--out",
        tmp_path / "out",
        *QUICK,
        *words,
    )


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (b"", (), "is empty"),
        (bytes(range(256)), (), "it holds binary data"),
        ("x,y\n", (), "no rows"),
        ("x,y\n1,2\n", (), "is 2 in every row"),
        (
            "x,y\n1,2\n3,4\n5,7\n",
            (),
            "at least 10, and a score that means something needs about 50: add rows.",
        ),
        (
            GOOD,
            ("--threshold", "0.2"),
            "--threshold 0.2 is for two classes, and --target 'y' has numbers",
        ),
        (
            GOOD,
            ("--threshold", "2"),
            "--threshold '2' is not a probability; pass a number such as 0.2, or balanced",
        ),
        (GOOD, ("--threshold", "auto"), "--threshold 'auto' is not a probability"),
        (
            GOOD,
            ("--threshold", "balanced"),
            "leave out --temperature",
        ),
        (
            GOOD,
            ("--curves", "wide", "--threshold", "0.2"),
            "--threshold is for tables of columns",
        ),
        (
            "x,y\n" + "1,a\n2,b\n3,c\n" * 9,
            ("--threshold", "0.2"),
            "is for two classes, and --target 'y' has 3",
        ),
        (
            GOOD.replace("x,y", "x,z"),
            (),
            "not a column of the table; it has 'x' and 'z'",
        ),
        (GOOD.replace("x,y", "x,Y "), (), "did you mean 'Y'?"),
        ("x,y\n" + "1,\n2,NA\n" * 10, (), "missing in every row"),
        ("x,y\n" + "1,3\n2,3\n" * 10, (), "is 3 in every row"),
        (
            "x,y\n" + "5,3\n5,4.5\n" * 10,
            (),
            "no column to learn 'y' from. Column 'x' is left out: it is 5.0",
        ),
        ("y\n" + "1\n2\n" * 10, (), "no column to learn 'y' from. It is the only one."),
        (GOOD + "1,high\n", (), "but also 'high' in data row"),
        (
            GOOD,
            ("--temperature", "abc"),
            "'abc' is not a valid float",
        ),
        (GOOD, ("--temperature", "-1"), "--temperature -1.0 is not a positive number"),
        (GOOD, ("--test-size", "0.5"), "--test-size is gone"),
        (
            GOOD,
            ("--drop", "X"),
            "--drop 'X' is not a column of the table; did you mean 'x'?",
        ),
        (GOOD, ("--drop", "y"), "is also the column of --target"),
        (GOOD, ("--num-particles", "0"), "--num-particles"),
        (GOOD, ("--num-particles", "1000000000000"), "--num-particles"),
        (GOOD, ("--task", "clustering"), "--task"),
    ],
)
def test_mistakes_are_refused_with_a_remedy(tmp_path, content, words, message):
    answer = fit(tmp_path, content, *words)
    assert answer.exit_code == 2
    assert message in answer.stderr.replace("\n", " ")
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "out").exists()


def test_missing_tables_and_unwritable_folders_are_refused(tmp_path):
    answer = langevax(
        "fit", tmp_path / "none.csv", "--target", "y", "--out", tmp_path / "out"
    )
    assert (answer.exit_code, "does not exist" in answer.stderr) == (2, True)
    (tmp_path / "file").write_text("")
    (tmp_path / "t.csv").write_text(GOOD)
    for out, words in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "out", "cannot be written"),
        ("  ", "the path is blank; name a file or a folder"),
        ("s3://bucket/out", "not s3://; copy it here"),
    ):
        answer = langevax("fit", tmp_path / "t.csv", "--target", "y", "--out", out)
        said = " ".join(answer.stderr.replace("│", " ").split())
        assert (answer.exit_code, words in said) == (2, True), said


def test_missing_and_unknown_options_are_refused(tmp_path):
    assert langevax("fit", tmp_path / "t.csv").exit_code == 2
    assert langevax("fit", "--no-such-option").exit_code == 2
    assert langevax("no-such-command").exit_code == 2


@pytest.mark.slow
def test_single_row_classes_and_missing_targets_are_reported(tmp_path):
    rows = ["a", "b"] * 15 + ["rare", ""]
    answer = fit(
        tmp_path,
        "x,y\n" + "".join(f"{i % 5},{label}\n" for i, label in enumerate(rows)),
    )
    assert answer.exit_code == 0, answer.stderr
    assert "1 row without a target left out." in answer.stdout
    tells(answer.stdout, "'rare'")


@pytest.mark.slow
def test_help_and_version_need_no_heavy_package():
    code = (
        "import sys; sys.argv = ['langevax', 'fit', '--help']\n"
        "heavy = {'sklearn', 'polars', 'scipy', 'plotly', 'tqdm', 'pandas'}\n"
        "from langevax.app.main import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")
    tells(done.stdout, "wine.csv --target --out")
    for command in ("--version", "--help", "predict --help"):
        assert langevax(*command.split()).exit_code == 0


def test_an_interruption_of_the_imports_is_one_line(tmp_path):
    for package in ("jax", "typer"):
        (tmp_path / f"{package}.py").write_text("raise KeyboardInterrupt\n")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])
    }
    commands = (["-m", "langevax"], ["-c", "import langevax; langevax.MALA"])
    options = {"env": environment, "capture_output": True, "text": True, "check": False}
    command, script = (
        subprocess.run([sys.executable, *words], **options) for words in commands
    )
    assert (command.returncode, command.stderr) == (130, "Interrupted.\n")
    assert script.stderr.startswith(
        "Traceback"
    )  # a program of the user's is interrupted as ever


def test_an_interruption_before_a_command_begins_is_one_line(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("langevax.app.main.main", interrupted)
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code, capsys.readouterr().err) == (130, "Interrupted.\n")


def test_memory_that_the_compiler_asks_for_in_vain_is_a_failure_in_a_sentence(capsys):
    with pytest.raises(typer.Exit) as end, exit_codes():
        raise RuntimeError(
            "RESOURCE_EXHAUSTED: Out of memory allocating 131973964032 bytes."
        )
    assert end.value.exit_code == 1
    assert capsys.readouterr().err.startswith(
        "Failed: out of memory; try fewer particles"
    )
    with refuses(RuntimeError), exit_codes():
        raise RuntimeError("another")
