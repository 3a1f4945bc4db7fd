"""Every command, option and argument with wrong values: a command does as with the plain value, or says what to pass.

Cases are made from the tree of commands, by the type of each parameter; a new one of plain text needs an entry in
`TEXTS`, and a new flag one in `FLAGS`, or a test fails. A refusal is one sentence on stderr that names option and
value, with exit code 2 and nothing on stdout. What a command would do after its checks is replaced by `Reached`.
"""

import re
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
import typer

from langevax.app.fitting.family import FamilyFit
from langevax.app.fitting.network import NetworkFit
from langevax.app.main import app
from langevax.app.options import FitOptions
from langevax.data import write_rows
from langevax.sklearn.inspection import MeanFieldInspection
from tests.app.conftest import langevax

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

FEWEST_CASES, LONGEST = 200, 900
WHOLE_WRONG = ["x", "", "1.5", "1e3", "nan", "None", "1,000", "--"]
REAL_WRONG = ["x", "", "nan", "inf", "-inf", "-1", "1,5"]
POSITIVE_WRONG = [*REAL_WRONG, "0", "-0.0", "1e999"]
COLUMN_WRONG = ["nosuch", "", " ", "height,width", "\N{SNOWMAN}"]

TEXTS: dict[tuple[str, str], list[str]] = {
    ("fit", "--target"): COLUMN_WRONG,
    ("fit", "--drop"): [*COLUMN_WRONG, "price"],
    ("fit", "--group"): [*COLUMN_WRONG, "price"],
    ("fit", "--exposure"): [*COLUMN_WRONG, "price"],
    ("fit", "--read"): [
        "nosuch=words",
        "width=nosuch",
        "nosuch",
        "",
        "=",
        "width=",
        "=words",
        "width=words=numbers",
    ],
    ("fit", "--threshold"): [*POSITIVE_WRONG, "1", "2"],
    ("fit", "--encoding"): ["nosuch", "", "rot13"],
    ("predict", "--encoding"): ["nosuch", "", "rot13"],
    ("fit", "--id"): COLUMN_WRONG,
    ("fit", "--time"): COLUMN_WRONG,
    ("fit", "--value"): COLUMN_WRONG,
    ("convert", "--target"): COLUMN_WRONG,
    ("convert", "--drop"): [*COLUMN_WRONG, "price"],
    ("convert", "--read"): [
        "nosuch=words",
        "width=nosuch",
        "nosuch",
        "",
        "=",
        "width=",
        "=words",
        "width=words=numbers",
    ],
    ("explain", "row"): ["", "nosuch", "0", "-1", "1e3", "61"],
    ("federated app", "--method"): ["nosuch", "", "FEDAVG"],
}
"""Wrong values of options of plain text."""

MORE: dict[tuple[str, str], list[str]] = {
    ("fit", "--temperature"): ["0", "-0.0", "1e999"],
    ("fit", "--num-steps"): ["99999999999999999999", "inf"],
    ("fit", "--num-particles"): ["1000000000000", "9223372036854775808"],
    ("predict", "--interval"): ["0", "1", "2", "0.9999"],
    ("certify", "--effort"): ["0", "1e999"],
    ("certify", "--cpu-seconds"): ["0", "1e999"],
}
"""Further wrong values of numbers."""

FLAGS = {
    ("fit", "--json"),
    ("fit", "--force"),
    ("fit", "--dry-run"),
    ("predict", "--force"),
    ("certify", "--json"),
    ("explain", "--json"),
    ("convert", "--force"),
    ("federated app", "--force"),
    ("federated app", "--json"),
    ("", "--version"),
}
"""Options without a value, all of which go together."""

PATHS: dict[tuple[str, str], list[str]] = {
    ("fit", "table"): [
        "",
        "nosuch.csv",
        "folder",
        "empty.csv",
        "binary.csv",
        "rows.rows",
        "broken.parquet",
    ],
    ("fit", "--out"): ["", "a.txt", "a.txt/inside", "a.txt/"],
    ("predict", "model"): ["", "nosuch", "folder", "a.txt", "rows.rows"],
    ("predict", "table"): [
        "",
        "nosuch.csv",
        "folder",
        "empty.csv",
        "binary.csv",
        "other.csv",
    ],
    ("predict", "--out"): [
        "",
        "a.txt",
        "price.csv",
        "p.xlsx",
        "p",
        "nosuch/p.csv",
        "a.txt/p.csv",
        "folder",
    ],
    ("certify", "model"): ["", "nosuch", "folder", "a.txt", "rows.rows"],
    ("certify", "table"): [
        "",
        "nosuch.csv",
        "folder",
        "empty.csv",
        "binary.csv",
        "other.csv",
        "table.csv",
    ],
    ("explain", "model"): ["", "nosuch", "folder", "a.txt", "rows.rows"],
    ("explain", "--table"): ["", "nosuch.csv", "folder", "binary.csv", "other.csv"],
    ("convert", "table"): [
        "",
        "nosuch.csv",
        "folder",
        "empty.csv",
        "binary.csv",
        "*.nosuch",
        "gs://bucket/t.csv",
    ],
    ("convert", "--out"): [
        "",
        "a.txt",
        "folder",
        "nosuch/t.rows",
        "a.txt/t.rows",
        "table.csv",
        "gs://bucket/t.rows",
    ],
    ("check", "paths"): ["", "nosuch", "folder", "a.txt", "table.csv"],
    ("federated app", "folder"): ["", "a.txt", "a.txt/inside", "1app", "class"],
}
"""Wrong files and folders."""

LONG_CURVES = (
    "--curves",
    "long",
    "--id",
    "name",
    "--time",
    "hour",
    "--value",
    "degrees",
)
FIT = (
    "fit",
    "table.csv",
    "--target",
    "price",
    "--out",
    "out",
    "--num-steps",
    "20",
    "--temperature",
    "0.05",
)
BASE: dict[str, tuple[str, ...]] = {
    "fit": FIT,
    "predict": ("predict", "model", "price.csv"),
    "certify": ("certify", "model", "price.csv"),
    "explain": ("explain", "model", "3"),
    "convert": ("convert", "table.csv", "--target", "price", "--out", "new.rows"),
    "check": ("check", "rows.rows"),
    "federated app": ("federated", "app", "newapp"),
}
"""Commands that go as far as `Reached`, or to their ends."""
CONTEXT: dict[tuple[str, str], tuple[str, ...]] = {
    ("fit", "--id"): ("fit", "long.csv", *FIT[2:], *LONG_CURVES),
    ("fit", "--time"): ("fit", "long.csv", *FIT[2:], *LONG_CURVES),
    ("fit", "--value"): ("fit", "long.csv", *FIT[2:], *LONG_CURVES[:-2]),
    ("fit", "--derivative"): (*FIT, "--curves", "wide"),
    ("fit", "--exposure"): (
        "fit",
        "table.csv",
        "--target",
        "price",
        "--out",
        "out",
        "--family",
        "poisson",
    ),
}
"""Other commands in which an option has a meaning."""


class Reached(Exception):
    """All checks of a command are passed."""


def commands():
    """Yield the path of each command, with its parameters."""

    def walk(command, path):
        if isinstance(command, click.Group):
            for name, child in command.commands.items():
                yield from walk(child, [*path, name])
        parameters = [p for p in command.params if p.name != "help"]
        if parameters:
            yield " ".join(path), parameters

    yield from walk(typer.main.get_command(app), [])


def wrong_values(command, parameter):
    """Return the wrong values of a parameter; None where it has no cases."""
    name, kind = parameter.opts[0], parameter.type
    key = command, name
    if getattr(parameter, "is_flag", False):
        return [] if key in FLAGS else None
    if key in TEXTS or key in PATHS:
        return TEXTS.get(key) or PATHS[key]
    if isinstance(kind, click.Choice):
        return [
            "nosuch",
            "",
            kind.choices[0].upper(),
            kind.choices[0][:-1],
            " ".join(kind.choices),
        ]
    if isinstance(kind, click.IntRange):
        ends = [kind.min - 1] if kind.min is not None else []
        ends += [kind.max + 1] if kind.max is not None else []
        return [*WHOLE_WRONG, *map(str, ends), *MORE.get(key, [])]
    if kind is click.FLOAT:
        return [*REAL_WRONG, *MORE.get(key, [])]
    return None


def equal_values(parameter):
    """Return pairs of values that are read alike."""
    if isinstance(parameter.type, click.IntRange):
        return [("2", " 2"), ("2", "+2"), ("2", "02")]
    if parameter.type is click.FLOAT:
        return [("0.25", "2.5e-1"), ("0.25", " .25 ")]
    return []


CASES = [
    (command, parameter, value)
    for command, parameters in commands()
    for parameter in parameters
    for value in wrong_values(command, parameter) or []
]
EQUAL = [
    (command, parameter, pair)
    for command, parameters in commands()
    for parameter in parameters
    for pair in equal_values(parameter)
    if command == "fit"
]


def words_of(command, parameter, value):
    """Return a command line with a value of one parameter."""
    name = parameter.opts[0]
    words = list(CONTEXT.get((command, name), BASE[command]))
    if isinstance(parameter, click.Option):
        return [*words, f"{name}={value}"]
    place = len(command.split()) + (
        name == "table" and command in ("predict", "certify")
    )
    words[place] = value
    return [*words[:place], *(["--"] if value.startswith("-") else []), *words[place:]]


@pytest.fixture(scope="module")
def whole_place(tmp_path_factory, fitted, tables):
    """A folder with a table, a model, rows, an app, and files that are none of these."""
    place = tmp_path_factory.mktemp("corpus")
    rows = np.random.default_rng(0).normal(size=(40, 3)).round(3)
    lines = [",".join(map(str, row)) for row in rows]
    (place / "table.csv").write_text("height,width,price\n" + "\n".join(lines) + "\n")
    (place / "other.csv").write_text("depth\n1\n2\n")
    readings = [
        f"c{i},{hour},{i * hour % 7},{i % 5}" for i in range(20) for hour in range(6)
    ]
    (place / "long.csv").write_text(
        "name,hour,degrees,price\n" + "\n".join(readings) + "\n"
    )
    (place / "empty.csv").write_text("")
    (place / "binary.csv").write_bytes(bytes(range(256)))
    (place / "broken.parquet").write_bytes(b"PAR1 and no more")
    (place / "a.txt").write_text("mine\n")
    (place / "folder").mkdir()
    (place / "folder" / "notes.txt").write_text("mine\n")
    write_rows(
        place / "rows.rows",
        {"inputs": rows[:, :2], "targets": rows[:, 2]},
        progress=False,
    )
    (place / "app").mkdir()
    config = '[tool.flwr.app]\npublisher = "me"\n[tool.flwr.app.components]\nserverapp = "a:app"\nclientapp = "b:app"\n'
    project = '[project]\nname = "app"\nversion = "1.0"\n'
    (place / "app" / "pyproject.toml").write_text(
        f"{project}{config}[tool.flwr.app.config]\nrounds = 3\n"
    )
    shutil.copytree(fitted["price"][0], place / "model")
    shutil.copy(tables / "price.csv", place)
    return place


@pytest.fixture
def place(whole_place, tmp_path, monkeypatch):
    """A copy of the folder, the current one; commands stop where they would begin to work."""

    def reached(*arguments, **_options):
        values = [getattr(a, "options", a) for a in arguments]
        raise Reached(*(str(a) for a in values if isinstance(a, FitOptions)))

    shutil.copytree(whole_place, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    for kind in (NetworkFit, FamilyFit):
        monkeypatch.setattr(kind, "train", reached)
    monkeypatch.setattr(MeanFieldInspection, "certificate", reached)
    return Path.cwd()


def fault_of(answer, option, value):
    """Return what is wrong with a refusal, or None."""
    text = answer.stderr
    message = text.partition("Error: ")[2]
    if answer.exit_code != 2 or answer.stdout or "Traceback" in text or not message:
        return (
            f"exit code {answer.exit_code}, stdout {answer.stdout!r}, stderr {text!r}"
        )
    if len(message) > LONGEST or "\n" in message.strip():
        return f"not one sentence: {message!r}"
    plain = Path(value).name if "/" in value else value.strip()
    forms = [plain, *filter(None, plain.split("="))] + (
        [str(float(plain))] if plain == "1e999" else []
    )
    shown = any(form in message or repr(form)[1:-1] in message for form in forms)
    if option.startswith("--") and not re.search(
        rf"(?<![\w-]){option}(?![\w-])", message
    ):
        return f"does not name {option}: {message!r}"
    if not shown:
        return f"does not name {plain!r}: {message!r}"
    return None


def name_of(case):
    command, parameter, value = case
    return f"{command} {parameter.opts[0]} {value}"


def files_of(place):
    return {
        path.relative_to(place): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }


def restored(place, before):
    """Undo and return the changes since `before`."""
    after = files_of(place)
    changed = sorted(
        str(path)
        for path in after.keys() | before.keys()
        if after.get(path) != before.get(path)
    )
    for name in changed:
        if Path(name) in before:
            (place / name).write_bytes(before[Path(name)])
        else:
            (place / name).unlink()
    for folder in sorted(
        (path for path in place.rglob("*") if path.is_dir()), reverse=True
    ):
        if not any(folder.iterdir()):
            folder.rmdir()
    return changed


@pytest.mark.parametrize("command", [command for command, _ in commands() if command])
def test_a_wrong_value_is_refused_in_a_sentence_and_changes_no_file(command, place):
    faults, before = [], files_of(place)
    for case in CASES:
        if case[0] != command:
            continue
        _, parameter, value = case
        try:
            answer = langevax(*words_of(*case))
            fault = fault_of(answer, parameter.opts[0], value)
        except Reached:
            fault = "accepted silently"
        except Exception as error:
            fault = f"raw {type(error).__name__}: {str(error)[:200]!r}"
        if (changed := restored(place, before)) and fault is None:
            fault = f"changed {changed}"
        if fault is not None:
            faults.append(f"{name_of(case)!r}: {fault}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("case", EQUAL, ids=name_of)
def test_numbers_are_read_in_every_spelling(place, case):
    command, parameter, pair = case
    read = []
    for value in pair:
        try:
            answer = langevax(*words_of(command, parameter, value))
        except Reached as reached:
            read.append(reached.args)
        else:
            assert answer.exit_code == 2, answer.stderr
            read.append(answer.stderr)
        shutil.rmtree("out", ignore_errors=True)
    assert read[0] == read[1]


def test_every_parameter_has_cases():
    without = [
        f"{c} {p.opts[0]}"
        for c, parameters in commands()
        for p in parameters
        if wrong_values(c, p) is None
    ]
    assert not without, "give these an entry in TEXTS, PATHS or FLAGS"
    known = {
        (command, name)
        for command, parameters in commands()
        for p in parameters
        for name in p.opts
    }
    assert {*TEXTS, *MORE, *FLAGS, *PATHS, *CONTEXT} <= known


def test_the_corpus_is_large():
    assert len(CASES) + len(EQUAL) >= FEWEST_CASES
