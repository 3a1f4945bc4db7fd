"""Columns that alone predict the target almost perfectly are named; others are not."""

import json

import numpy as np
import polars as pl
import pytest

from langevax.app.errors import BadInput
from langevax.app.fitting.data import prepare
from langevax.app.options import FitOptions
from langevax.app.tables.leaks import leaks
from langevax.app.tables.schema import read_schema, write_schema
from tests.sentences import refuses, tells

RNG = np.random.default_rng(0)
ROWS = 200
NUMBERS = RNG.normal(size=ROWS)
RARE = (RNG.random(ROWS) < 0.1).astype(int)
THREE = RNG.integers(0, 3, ROWS)


def named(columns, target, task):
    """Return the columns that are named, with the reason."""
    return {
        d.column: d.sentence
        for d in leaks(pl.DataFrame(columns), np.asarray(target), task)
    }


def test_functions_of_a_target_of_numbers_are_named():
    columns = {
        "linear": 3 * NUMBERS - 2,
        "increasing": np.exp(NUMBERS),
        "gaps": pl.Series([None if i % 5 == 0 else -y for i, y in enumerate(NUMBERS)]),
        "noisy": NUMBERS + 0.3 * RNG.normal(size=ROWS),
        "other": RNG.normal(size=ROWS),
    }
    sentences = named(columns, NUMBERS, "regression")
    assert list(sentences) == ["linear", "increasing", "gaps"]
    tells(sentences["increasing"], "1.0000")
    assert "--drop gaps" in sentences["gaps"]


def test_categories_with_a_range_of_the_target_each_are_named():
    """One row in a hundred may be astray, and one alone shows nothing."""
    grade = np.where(NUMBERS > 0.3, "high", np.where(NUMBERS > -1, "low", "none"))
    largest = np.where(NUMBERS.max() == NUMBERS, "record", "none")
    astray = RNG.random(ROWS) < 0.1
    columns = {"grade": grade, "noisy": np.where(astray, "low", grade), "most": largest}
    assert list(named(columns, NUMBERS, "regression")) == ["grade"]


def test_codes_thresholds_and_gaps_that_determine_a_class_are_named():
    columns = {
        "code": THREE * 2.0 + 1,
        "word": ["abc"[k] for k in THREE],
        "nearly": np.where(np.arange(ROWS) % 4 == 0, (THREE + 1) % 3, THREE) * 1.0,
        "distinct": [f"w{i}" for i in range(ROWS)],
    }
    assert list(named(columns, THREE, "classification")) == ["code", "word"]
    columns = {
        "refund": 10.0 * RARE + RNG.random(ROWS),
        "closed": pl.Series([1.0 + i if y else None for i, y in enumerate(RARE)]),
        "constant but once": np.arange(ROWS) == 3.0,
        "other": RNG.normal(size=ROWS),
    }
    columns["constant but once"] = columns["constant but once"] * 1.0
    assert list(named(columns, RARE, "classification")) == ["refund", "closed"]


def test_a_column_ordered_by_the_rare_class_is_named():
    """Fees after a default do not determine the class, and nearly do."""
    rng, rows = np.random.default_rng(1), 2000
    late = (np.arange(rows) % 50 == 0).astype(int)  # 40 rows
    fee = np.where(late | (rng.random(rows) < 0.01), rng.integers(5, 9, rows), 0) * 1.0
    after = {"fee": fee, "weak": 2 * late + rng.normal(size=rows)}
    sentences = named(after, late, "classification")
    assert list(sentences) == ["fee"]
    tells(sentences["fee"], "99.6%")
    gaps = [float(i) if i % 2 else None for i in range(rows)]  # by chance
    assert not named({"x": pl.Series(gaps)}, late, "classification")


def test_a_column_that_finds_as_much_as_the_most_frequent_class_is_no_leak():
    always = pl.DataFrame({"x": np.where(np.arange(ROWS) % 2, 1.0, 2.0)})
    assert leaks(always, RARE, "classification") == []


def test_a_row_of_totals_makes_no_column_a_leak():
    columns = {f"x{k}": RNG.integers(1, 9, ROWS) for k in range(5)}
    totals = {name: np.append(values, values.sum()) for name, values in columns.items()}
    assert named(totals, np.append(NUMBERS + 9, 9 * ROWS), "regression") == {}


def test_many_leaks_are_named_in_few_sentences(tmp_path):
    rows = [",".join(str(k * i + 0.5) for k in range(1, 8)) for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,d,e,f,y", *rows]) + "\n")
    data = prepare(FitOptions(tmp_path / "t.csv", "y", tmp_path / "out"))
    assert len(data.leaks) == 4
    tells(data.leaks[-1], "'d' 'e' 'f'")


def test_ten_rows_show_no_leak():
    assert named({"x": NUMBERS[:10]}, NUMBERS[:10], "regression") == {}


def test_decisions_and_leaks_are_stored_in_the_schema(tmp_path):
    rows = [
        f"{i:04d},{i % 7}.5,{'unknown' if i == 5 else i % 5},{2 * (i % 7) + 1}"
        for i in range(40)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["code,half,rest,y", *rows]) + "\n")
    data = prepare(
        FitOptions(tmp_path / "t.csv", "y", tmp_path / "out", task="regression")
    )
    tells(" ".join(data.notes), "'code' '0000' --read code=words")
    tells("\n".join(data.notes), "'rest' 'unknown' 6")
    assert len(data.leaks) == 1
    tells(data.leaks[0], "'half'")
    write_schema(data.schema, tmp_path / "schema.json")
    assert read_schema(tmp_path / "schema.json") == data.schema
    stored = json.loads((tmp_path / "schema.json").read_text())
    assert [decision["topic"] for decision in stored["schema"]["decisions"]][
        -1
    ] == "leak"
    assert stored["format"] == 6


def test_a_schema_of_an_older_format_is_refused_by_its_version(tmp_path):
    content = {
        "format": 1,
        "langevax": "0.1",
        "kind": "columns",
        "target": "y",
        "task": "regression",
        "classes": [],
    }
    (tmp_path / "schema.json").write_text(json.dumps(content | {"columns": []}))
    with refuses(BadInput, "1 6"):
        read_schema(tmp_path / "schema.json")


@pytest.mark.parametrize("read", [["x=number"], ["words"], ["z=words"]])
def test_what_read_cannot_mean_is_refused(tmp_path, read):
    (tmp_path / "t.csv").write_text(
        "x,y\n" + "".join(f"{i % 7},{i / 2}\n" for i in range(20))
    )
    with refuses(ValueError, "--read"):
        prepare(FitOptions(tmp_path / "t.csv", "y", tmp_path / "out", read=read))
