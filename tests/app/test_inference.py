"""Notations of columns: what the values of a column, of other columns and the user show."""

import polars as pl
import pytest

from langevax.app.errors import BadInput
from langevax.app.tables import columns
from langevax.app.tables.columns import of_last_row, read_columns
from langevax.app.tables.dates import days_of
from langevax.app.tables.styles import STAND_FOR_MISSING, Choices, Style, parse
from tests.sentences import refuses, tells


def read(separator=",", choices=(), **table):
    """Return the readings by name."""
    frame = pl.DataFrame(table)
    readings = read_columns(frame, Choices.parse(choices, frame.columns), separator)
    return dict(zip(frame.columns, readings, strict=True))


def sentence(reading):
    return " ".join(decision.sentence for decision in reading.decisions)


def test_each_decision_has_its_evidence():
    table = {
        "age": ["31", "unknown", "54", "40", "29.5"],
        "price": ["$1,234.50", "$3", "$4", "$5", "$6"],
        "day": ["25/12/2024", "01/02/2024", "03/02/2024", "04/02/2024", "05/02/2024"],
        "zip": ["01234", "90210", "90210", "01234", "90210"],
        "paid": ["Y", "no", "Y", "n", "yes"],
        "city": ["Wien", "wien", "Graz", "Wien", "Graz"],
        "size": ["a", "3", "b", "a", "b"],
    }
    says = {name: sentence(reading) for name, reading in read(**table).items()}
    for name, evidence in {
        "age": "'unknown' in data row 2 counts as missing",
        "price": "with '$': '$1,234.50' in data row 1 is 1234.5",
        "day": "2024-02-01 to 2024-12-25: '25/12/2024' in data row 1 shows it",
        "zip": "'01234' in data row 1 starts with a zero; else pass --read zip=numbers",
        "paid": "yes and no, written 'Y', 'no', 'n' and 'yes'",
        "city": "'Wien' and 'wien' differ only in case",
        "size": "numbers such as '3' in data row 2 are fewer than half",
    }.items():
        assert evidence in says[name]


def test_plain_columns_need_no_sentence():
    table = {
        "x": ["1.5", "2", "NA"],
        "g": ["a", "b", "a"],
        "t": ["true", "false", "true"],
    }
    assert [sentence(reading) for reading in read(**table).values()] == ["", "", ""]


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "2", "3", "4+"],
        ["1.5", "2.5", "<0.5"],
        ["12.3%", "0.05", "100%", "0.5"],
        ["$5", "€6", "$7", "€8"],
        ["1.5", "2,5", "3.25", "4,75"],
        ["25/03/2024", "03/25/2024", "31/01/2024"],
        ["2024-02-09", "13/01/2024", "2024-07-11"],
        ["5 kg", "700 g", "8 kg"],
    ],
)
def test_a_column_of_which_most_cells_are_alike_is_asked_about(cells):
    with refuses(BadInput) as asked:
        read(x=cells)
    kind = "dates" if "/" in "".join(cells) else "numbers"
    assert f"--read x={kind}" in str(asked.value)
    assert read(choices=["x=words"], x=cells)["x"].values.to_list() == cells
    reading = read(choices=[f"x={kind}"], x=cells)["x"]
    assert reading.style.lenient
    assert 0 < reading.strays < len(cells)


def test_all_questions_are_asked_at_once():
    with refuses(BadInput, "'a' 'b'"):
        read(a=["1", "2", "x"], b=["01/02/2024", "03/04/2024", None])


def test_years_of_two_digits_are_refused():
    with refuses(BadInput):
        read(x=["31.01.24", "01.02.54"])


def test_another_column_decides_and_is_named():
    table = read(";", sold=["1.234", "2.345", "3.456"], size=["0,5", "1,5", "2"])
    assert table["sold"].values.to_list() == [1234, 2345, 3456]
    tells(sentence(table["sold"]), "1234 1.234 'size'")
    table = read(start=["01/02/2024", "03/04/2024"], end=["25/02/2024", "28/04/2024"])
    assert table["start"].style.order == "day-first"
    with refuses(BadInput, "'sold'"):
        read(
            ";",
            sold=["1,234", "2,345", "3,456"],
            a=["0.5", "1.5", "2"],
            b=["0,5", "1,5", "2"],
        )


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        ("x=decimal-point", [1234, 2345]),
        ("decimal-comma", [1.234, 2.345]),
        ("x=words", ["1,234", "2,345"]),
    ],
)
def test_the_user_decides(answer, values):
    reading = read(";", choices=[answer], x=["1,234", "2,345"])["x"]
    assert reading.values.to_list() == values


def test_points_are_ambiguous_between_semicolons_only():
    assert read(x=["1.234", "2.345"])["x"].values.to_list() == [1.234, 2.345]
    assert read(x=["1,234", "2,345"])["x"].values.to_list() == [1234, 2345]
    with refuses(BadInput, "--read x=decimal-point x=decimal-comma"):
        read(";", x=["1.234", "2.345"])


def test_whole_numbers_are_written_as_the_other_columns_are():
    table = read(";", whole=["1", "2", "4"], size=["0,5", "1,5", "2"])
    assert table["whole"].style.decimal == ","
    assert read(whole=["1", "2", "4"])["whole"].style.decimal == "."


def test_words_that_stand_for_missing_are_in_lower_case():
    assert {word.lower() for word in STAND_FOR_MISSING} == STAND_FOR_MISSING


def test_a_style_reads_new_cells_as_in_training():
    cells = pl.Series("x", ["1.234,5 €", "-2 €", "3", "4 $", "x", None])
    money = Style("numeric", decimal=",", unit="€")
    assert parse(cells, money).to_list() == [1234.5, -2, None, None, None, None]
    days = pl.Series("t", ["01/02/1970", "13/02/1970", "02/13/1970"])
    assert parse(days, Style("date", order="day-first")).to_list() == [31, 43, None]
    truths = parse(
        pl.Series("b", ["Y", "no", "maybe"]), Style("categorical", truth="yes/no")
    )
    assert truths.to_list() == ["yes", "no", "maybe"]


def test_days_that_do_not_exist_are_no_dates():
    words = ["2023-02-29", "2024-02-29", "2024-13-01", "2024-01-01 25:00", "31.4.2024"]
    exist = days_of(pl.Series(words), "year-first").is_not_null()
    assert exist.to_list() == [False, True, False, False, False]


def test_the_day_of_a_compact_date_and_times_with_offsets():
    assert read(x=["20240131", "20231215"])["x"].kind == "date"
    assert read(x=["20240131", "20231315"])["x"].kind == "numeric"
    words = pl.Series(["1970-01-02T02:00:00+02:00", "1970-01-01 12:00 AM"])
    assert days_of(words, "year-first").to_list() == [1, 0]


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("id", True),
        ("customer_id", True),
        ("PassengerId", True),
        ("paid", False),
        ("width", False),
    ],
)
def test_distinct_integers_identify_rows_where_their_name_says_so(name, dropped):
    assert read(**{name: ["4", "17", "9", "23"]})[name].identifies_rows == dropped
    assert not read(**{name: ["4", "17", "9", "4"]})[name].identifies_rows


def test_integers_beyond_float64_are_words():
    reading = read(number=[str(2**53 + i) for i in range(5)])["number"]
    assert reading.kind == "categorical"
    tells(sentence(reading))


def test_words_without_digits_are_not_tried_as_numbers_or_dates(monkeypatch):
    """Thousands of columns of words are read in seconds so."""
    tried = []
    real = columns.DETECTORS

    def detect(words):
        tried.append(words.name)
        return real[0](words)

    monkeypatch.setattr(columns, "DETECTORS", (detect,))
    read(colour=["red", "green", "red"] * 5, code=["a1", "b2", "a1"] * 5)
    assert tried == ["code"]


@pytest.mark.parametrize(
    ("last", "number"),
    [(["t", "7.5", "9"], 1), (["t", "7.5", "8"], 0), (["Source: us", None, None], 1)],
)
def test_a_last_row_that_may_not_be_data_is_warned_of(last, number):
    rows = [["a", "1.5", "2"], ["b", "2", "3"], ["a", "4", "4"], last]
    table = read(**dict(zip(("g", "x", "y"), zip(*rows, strict=True), strict=True)))
    assert len(of_last_row(table)) == number
