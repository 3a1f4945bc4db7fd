"""Kinds of columns."""

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from langevax.app.tables.columns import read_columns
from langevax.app.tables.styles import Style, parse


def read_column(values):
    return read_columns(pl.DataFrame({"x": values}, strict=False))["x"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", " 2.5", "1e3", "-0.1"], "numeric"),
        (["1", "NA", "?", None, "nan", "inf"], "numeric"),
        ([1, 2, None], "numeric"),
        (["1", "two"], "categorical"),
        (["12", "A/5", "PC 17"], "categorical"),
        (["True", "false", None], "categorical"),
        ([True, False], "categorical"),
        (["01.02.2024", "x"], "categorical"),
        (["2024-01-31", None, "2024-02-01"], "date"),
        (["2024-01-31 10:00:00", "2024-02-01 11:30:00"], "date"),
        ([date(2024, 1, 31)], "date"),
    ],
)
def test_the_kind_is_that_of_all_values_present(values, kind):
    assert read_column(values).kind == kind


def test_infinite_numbers_count_as_missing():
    reading = read_column(["1", "inf", "-Infinity", "", "2"])
    assert reading.values.to_list() == [1.0, None, None, None, 2.0]
    assert reading.strays == 2


def test_dates_are_days_since_1970_with_their_fraction():
    half_past = datetime(1970, 1, 3, 12)
    for cells, days in (
        ([half_past], [2.5]),
        (["1970-01-03T12:00:00", "not a date"], [2.5, None]),
        ([timedelta(hours=36)], [1.5]),
    ):
        assert parse(pl.Series(cells), Style("date")).to_list() == days


def test_true_and_false_are_the_same_words_from_every_source():
    for values in (["True", "FALSE"], ["true", "false"], [True, False]):
        assert read_column(values).values.to_list() == ["true", "false"]


def test_words_keep_their_digits():
    assert parse(pl.Series(["01", " 1 "]), Style("categorical")).to_list() == [
        "01",
        "1",
    ]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["a"] * 5, "it is 'a' in every row"),
        ([2.0] * 5, "it is 2.0 in every row"),
        ([None, "NA", ""], "it has no values"),
        ([f"id-{i}" for i in range(9)], "its words, such as 'id-0', identify rows"),
        ([3, 1, 2, 4], "it numbers the rows"),
        (["0", "1", "2"], "it numbers the rows"),
        ([[1], [2]], "it holds List"),
    ],
)
def test_useless_columns_have_a_reason(values, why):
    assert read_column(values).useless.startswith(why)


@pytest.mark.parametrize(
    "values", [[1, 2, 4], [5, 6, 7], ["a", "b", "a"], [2.0, None, 2.0], [1, 2, None]]
)
def test_useful_columns_have_no_reason(values):
    assert read_column(values).useless == ""
