"""The keywords, owners and defaults of the notation tables are those of the code."""

import ast
import dataclasses
import importlib
import inspect
import re
from functools import reduce
from pathlib import Path

import pytest

import langevax

DOCS = Path(__file__).parents[1] / "docs"
HEAD = ["symbol", "keyword", "owner", "scale and unit", "default"]


def quoted(cell):
    """Return the code between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def rows_of(text):
    """(symbol, keywords, owners, default as text or None) of every row of the tables that have these five columns."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert lines.count(HEAD) == text.count("| keyword |"), "a table has other columns"
    for cells in lines:
        if cells == HEAD or set("".join(cells)) <= set("-"):
            continue
        symbol, here, of, _, last = cells
        (value,) = quoted(last.removeprefix("default ")) if last else (None,)
        yield symbol, quoted(here), quoted(of), value


def public_object(path):
    """The thing of that name under `langevax`, its modules imported on the way."""

    def step(owner_object, name):
        if not hasattr(owner_object, name):
            importlib.import_module(f"{owner_object.__name__}.{name}")
        return getattr(owner_object, name)

    return reduce(step, path.split("."), langevax)


def parameters(owner_object):
    return inspect.signature(owner_object).parameters if callable(owner_object) else {}


def knows(owner_object, name):
    """Return whether `name` is a parameter, an attribute or a field."""
    fields = (
        {f.name for f in dataclasses.fields(owner_object)}
        if dataclasses.is_dataclass(owner_object)
        else set()
    )
    return (
        name in parameters(owner_object)
        or hasattr(owner_object, name)
        or name in fields | set(getattr(owner_object, "_fields", ()))
    )


def faults(text):
    """Return where the tables differ from the code, a sentence each."""
    for symbol, keywords, owners, value in rows_of(text):
        if not keywords or not owners:
            yield f"{symbol}: no keyword or no owner"
        for owner in owners:
            try:
                owner_object = public_object(owner)
            except (AttributeError, ImportError):
                yield f"{symbol}: there is no langevax.{owner}"
                continue
            for keyword in keywords:
                if not knows(owner_object, keyword):
                    yield f"{symbol}: {owner} has no {keyword}"
                    continue
                default = getattr(
                    parameters(owner_object).get(keyword),
                    "default",
                    inspect.Parameter.empty,
                )
                stated = (
                    inspect.Parameter.empty
                    if value is None
                    else ast.literal_eval(value)
                )
                if value is None and isinstance(default, str) and default == "auto":
                    continue  # a number that `sample` chooses
                if default != stated:
                    yield f"{symbol}: {owner} has {keyword}={default!r}, not {value}"


def test_keywords_owners_and_defaults_are_those_of_the_code():
    text = (DOCS / "notation.md").read_text(encoding="utf-8")
    assert len(list(rows_of(text))) > 60
    assert list(faults(text)) == []


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("| η | `stepsize` | `Langevin` | | |", "Langevin has no stepsize"),
        ("| η | `step_size` | `Langevine` | | |", "there is no langevax.Langevine"),
        (
            "| γ | `friction` | `Underdamped` | | default `2.0` |",
            "Underdamped has friction=1.0, not 2.0",
        ),
        (
            "| γ | `friction` | `Underdamped` | | |",
            "Underdamped has friction=1.0, not None",
        ),
        ("| η | `step_size` | `Langevin` | | default `0.1` |", "not 0.1"),
    ],
)
def test_a_wrong_row_is_named(row, fault):
    (sentence,) = faults(
        "| symbol | keyword | owner | scale and unit | default |\n|---|---|---|---|---|\n"
        + row
    )
    assert fault in sentence
