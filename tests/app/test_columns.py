"""Kinds of columns."""

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from langevax.app.tables.columns import as_kind, kind_of, read_column, read_columns
from langevax.app.tables.schema import useful


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", " 2.5", "1e3", "-0.1"], "numeric"),
        (["1", "NA", "?", None, "nan", "inf"], "numeric"),
        ([1, 2, None], "numeric"),
        (["1", "two"], "categorical"),
        (["True", "false", None], "categorical"),
        ([True, False], "categorical"),
        (["01.02.2024", "x"], "categorical"),
        (["2024-01-31", None, "2024-02-01"], "date"),
        (["2024-01-31 10:00:00", "2024-02-01 11:30:00"], "date"),
        ([date(2024, 1, 31)], "date"),
    ],
)
def test_the_kind_is_that_of_all_values_present(values, kind):
    assert kind_of(pl.Series(values)) == kind


def test_infinite_numbers_count_as_missing():
    reading = read_column(pl.Series(["1", "inf", "-Infinity", "", "2"]))
    assert reading.values.to_list() == [1.0, None, None, None, 2.0]
    assert reading.infinite == 2


def test_dates_are_days_since_1970_with_their_fraction():
    half_past = datetime(1970, 1, 3, 12)
    assert as_kind(pl.Series([half_past]), "date")[0].to_list() == [2.5]
    assert as_kind(pl.Series(["1970-01-03T12:00:00", "not a date"]), "date")[
        0
    ].to_list() == [2.5, None]
    assert as_kind(pl.Series([timedelta(hours=36)]), "date")[0].to_list() == [1.5]


def test_true_and_false_are_the_same_words_from_every_source():
    for values in (["True", "FALSE"], ["true", "false"], [True, False]):
        assert read_column(pl.Series(values)).values.to_list() == ["true", "false"]


def test_words_keep_their_digits():
    assert as_kind(pl.Series(["01", " 1 "]), "categorical")[0].to_list() == ["01", "1"]


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
    assert read_column(pl.Series(values)).useless.startswith(why)


@pytest.mark.parametrize(
    "values", [[1, 2, 4], [5, 6, 7], ["a", "b", "a"], [2.0, None, 2.0], [1, 2, None]]
)
def test_useful_columns_have_no_reason(values):
    assert read_column(pl.Series(values)).useless == ""


def test_a_column_that_may_identify_rows_is_used_and_named():
    rising, repeated = (
        [str(4000 + i * i) for i in range(30)],
        [str(100 + i % 25) for i in range(30)],
    )
    words = [f"p{i % 25}" for i in range(30)]
    years = [str(1980 + i) for i in range(30)]
    frame = pl.DataFrame(
        {
            "t": rising,
            "customer_id": repeated,
            "patient": words,
            "town": words,
            "year": years,
        }
    )
    used, _, decisions = useful(frame, read_columns(frame))
    assert used.columns == frame.columns
    assert [decision.sentence for decision in decisions] == [
        "Column 't' holds integers that rise from row to row; if they only number the rows, pass --drop t.",
        "Column 'customer_id' is used as a number, but its name is that of an id: pass --drop customer_id or "
        "--read customer_id=words if it is, or --group customer_id if its rows of one value belong together.",
        "Column 'patient' has the name of an id: pass --group patient if its rows of one value belong together.",
    ]
    assert not useful(frame, read_columns(frame), keep=["t", "customer_id", "patient"])[
        2
    ]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([100_000_007 + 7_919 * (i % 25) for i in range(60)], True),
        ([100_000 + 1_000 * (i % 25) for i in range(60)], False),  # prices are round
        ([99_991 + 7 * (i % 25) for i in range(60)], False),  # of two lengths
        ([10_007 + 79 * (i % 25) for i in range(60)], False),  # short, as amounts are
        (
            [100_000_007 + 7_919 * i for i in range(0, 120, 2)][::-1],
            False,
        ),  # numbers of rows, perhaps, but none repeats
    ],
)
def test_long_integers_that_repeat_are_named(values, named):
    frame = pl.DataFrame({"x": [str(value) for value in values]})
    sentences = [
        decision.sentence for decision in useful(frame, read_columns(frame))[2]
    ]
    assert [sentence.split(";")[0][:60] for sentence in sentences] == (
        ["Column 'x' is used as a number, but holds 25 integers of the"]
        if named
        else []
    )


def test_a_number_that_may_stand_for_missing_values_is_named():
    far = [str(i % 7) for i in range(28)] + ["-999"] * 2
    codes = ["1", "5", "999"] * 10
    frame = pl.DataFrame(
        {"x": far, "code": codes, "age": ["20", "31", "64", "99", "99"] * 6}
    )
    sentences = [
        decision.sentence for decision in useful(frame, read_columns(frame))[2]
    ]
    assert sentences == [
        "Column 'x': -999 in 2 rows is far from its other values, 0 to 6; if it stands for a missing value, empty "
        "these cells.",
        "Column 'code': 999 in 10 rows is far from its other values, 1 to 5; if it stands for a missing value, empty "
        "these cells.",
    ]
