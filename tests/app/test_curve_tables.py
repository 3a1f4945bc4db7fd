"""From tables to curves, without a fit."""

from pathlib import Path

import numpy as np
import polars as pl

from langevax.app.errors import BadInput
from langevax.app.fitting.data import prepare_curves
from langevax.app.options import FitOptions
from langevax.app.tables.curves import (
    LongCurves,
    WideCurves,
    curve_columns,
    readings_of,
)
from langevax.app.tables.files import LoadedTable
from langevax.app.tables.styles import Style
from tests.sentences import refuses, tells


def test_columns_named_by_words_are_values_at_even_steps():
    values = np.random.default_rng(0).normal(size=(20, 3))
    table = pl.DataFrame(
        {"row": range(20), "a": values[:, 0], "b": values[:, 1], "c": values[:, 2]}
    )
    assert curve_columns(table).names == ("a", "b", "c")
    tells(curve_columns(table).notes[0], "'row' --read row=numbers")
    assert curve_columns(table, ("row",)).names == ("row", "a", "b", "c")
    request = FitOptions(Path("t.csv"), "y", Path("out"), curves="wide")
    prepared = prepare_curves(
        request, LoadedTable(table.with_columns(y=pl.Series(values.sum(1))))
    )
    assert prepared.schema.grid == (0.0, 0.5, 1.0)
    assert any(
        "are not numbers: times are even steps from 0 to 1" in note
        for note in prepared.notes
    )


def test_incomplete_rows_are_left_out_and_row_numbers_stay():
    values = np.arange(36.0).reshape(12, 3)
    table = pl.DataFrame(
        {
            "0": values[:, 0],
            "1": values[:, 1],
            "2": values[:, 2],
            "y": np.arange(12.0) / 2,
        }
    )
    empty, lost = pl.int_range(12) == 4, pl.int_range(12) == 7
    table = table.with_columns(
        *(pl.when(~empty).then(name).alias(name) for name in "012"),
        y=pl.when(~lost).then("y"),
    )
    prepared = prepare_curves(
        FitOptions(Path("t.csv"), "y", Path("out"), curves="wide"), LoadedTable(table)
    )
    assert prepared.names["row"].to_list() == [1, 2, 3, 4, 6, 7, 9, 10, 11, 12]
    np.testing.assert_array_equal(prepared.inputs, np.delete(values, [4, 7], axis=0))
    np.testing.assert_array_equal(
        prepared.split.targets, np.delete(np.arange(12.0) / 2, [4, 7])
    )


def test_dates_count_in_days_from_the_first_reading_of_each_id():
    table = pl.DataFrame(
        {
            "id": ["a", "a", "b", "b"],
            "day": [
                "2024-01-02 12:00:00",
                "2024-01-01 00:00:00",
                "2025-06-01 00:00:00",
                "2025-06-04 06:00:00",
            ],
            "x": [2.0, 1.0, 3.0, 4.0],
        }
    )
    readings = readings_of(table, "id", "day", ["x"])
    assert readings.dates
    tells(readings.notes[-1], "'id'")
    assert [curve[0][0].tolist() for curve in readings.curves] == [[0, 1.5], [0, 3.25]]
    assert [curve[0][1].tolist() for curve in readings.curves] == [[1, 2], [3, 4]]


def test_new_curves_are_read_as_those_of_training():
    schema = WideCurves(
        "y",
        "regression",
        (),
        ("0", "1"),
        (0.0, 1.0),
        styles={"0": Style("numeric", decimal=",")},
    )
    examples = schema.examples(
        pl.DataFrame({"0": ["1,234", "unknown"], "1": [None, "2.5"]})
    )
    np.testing.assert_array_equal(examples.inputs, [[1.234, np.nan], [np.nan, 2.5]])
    assert examples.notes == ["2 missing values interpolated."]
    with refuses(BadInput, "'0' '1.5' 1"):
        schema.examples(pl.DataFrame({"0": ["1.5"], "1": ["2"]}))


def test_new_readings_are_read_as_those_of_training():
    table = pl.DataFrame(
        {
            "id": ["a"] * 4,
            "day": ["02/01/2024", "01/01/2024", "?", "04/01/2024"],
            "x": ["1", "2", "3", "-"],
        }
    )
    styles = {"day": Style("date", order="day-first")}
    schema = LongCurves(
        "y", "regression", (), "id", "day", ("x",), (0.0, 3.0), True, styles
    )
    examples = schema.examples(table)
    assert [part.tolist() for part in examples.inputs[0][0]] == [[0, 1], [2, 1]]
    with refuses(BadInput, "'day' '3' 1"):
        schema.examples(table.with_columns(day=pl.lit("3")))


def test_channels_have_their_own_times_and_ids_their_targets():
    rows = [
        (f"c{i}", float(t), float(i + t), None if t == i % 3 else float(-t))
        for i in range(12)
        for t in range(3)
    ]
    table = pl.DataFrame(rows, schema=["id", "t", "p", "q"], orient="row")
    target = pl.Series(
        "y", [float(int(id[1:]) ** 2) if t == 2 else None for id, t, _, _ in rows]
    )  # once an id
    request = FitOptions(
        Path("t.csv"),
        "y",
        Path("out"),
        curves="long",
        id="id",
        time="t",
        value=("p", "q"),
    )
    prepared = prepare_curves(request, LoadedTable(table.with_columns(target)))
    assert prepared.names["id"].to_list() == [f"c{i}" for i in range(12)]
    np.testing.assert_array_equal(prepared.split.targets, np.arange(12.0) ** 2)
    (t, p), (s, q) = prepared.inputs[11]  # c11: 11 % 3 = 2 has no q
    assert (t.tolist(), p.tolist(), s.tolist(), q.tolist()) == (
        [0, 1, 2],
        [11, 12, 13],
        [0, 1],
        [0, -1],
    )
    assert prepared.schema.domain == (0.0, 2.0)
