"""Notations of columns: what the values of a column, of other columns and the user show."""

import polars as pl
import pytest

from langevax.app.errors import BadInput
from langevax.app.tables import dates, inference
from langevax.app.tables.columns import read_columns
from langevax.app.tables.dates import days_by_order, days_of, days_of_columns
from langevax.app.tables.styles import STAND_FOR_MISSING, Choices, Style, parse


def read(separator=",", choices=(), **columns):
    """Return the readings by name."""
    frame = pl.DataFrame(columns)
    readings = read_columns(frame, Choices.parse(choices, frame.columns), separator)
    return dict(zip(frame.columns, readings, strict=True))


def sentence(reading):
    return " ".join(decision.sentence for decision in reading.decisions)


def test_each_decision_has_its_evidence():
    columns = {
        "age": ["31", "unknown", "54", "40", "29.5"],
        "price": ["$1,234.50", "$3", "$4", "$5", "$6"],
        "day": ["25/12/2024", "01/02/2024", "03/02/2024", "04/02/2024", "05/02/2024"],
        "zip": ["01234", "90210", "90210", "01234", "90210"],
        "paid": ["Y", "no", "Y", "n", "yes"],
    }
    says = {name: sentence(reading) for name, reading in read(**columns).items()}
    assert (
        says["age"]
        == "Column 'age': 4 of 5 values are numbers; 'unknown' in data row 2 counts as missing."
    )
    assert (
        says["price"]
        == "Column 'price' holds numbers with '$': '$1,234.50' in data row 1 is 1234.5."
    )
    assert (
        "'day' holds dates, the day first, as '25/12/2024' in data row 1 shows"
        in says["day"]
    )
    assert (
        "'01234' in data row 1 starts with a zero; else pass --read zip=numbers"
        in says["zip"]
    )
    assert (
        says["paid"] == "Column 'paid' holds yes and no, written 'Y', 'no', 'n', 'yes'."
    )


def test_plain_columns_need_no_sentence():
    columns = {
        "x": ["1.5", "2", "NA"],
        "g": ["a", "b", "a"],
        "t": ["true", "false", "true"],
    }
    assert [sentence(reading) for reading in read(**columns).values()] == ["", "", ""]


def test_another_column_decides_and_is_named():
    columns = read(sold=["1,234", "2,345", "3,456"], size=["0.5", "1.5", "2"])
    assert columns["sold"].values.to_list() == [1234, 2345, 3456]
    assert "is 1234 and not 1.234, as column 'size' is" in sentence(columns["sold"])
    columns = read(sold=["1.234", "2.345", "3.456"], size=["0,5", "1,5", "2"])
    assert columns["sold"].values.to_list() == [1234, 2345, 3456]


def test_words_with_digits_count_as_missing_where_they_are_rare_and_numbers_are_not_codes():
    decimals = [f"{k}.5" for k in range(60)]
    assert read(x=[*decimals, "12A"])["x"].kind == "numeric"
    assert read(x=[*decimals, "12A", "13B", "14C"])["x"].kind == "categorical"
    assert read(grade=[*["1", "2", "3"] * 6, "4+"])["grade"].kind == "categorical"


def test_columns_that_contradict_each_other_decide_nothing():
    with pytest.raises(BadInput, match="'sold' can be read in two ways"):
        read(
            sold=["1,234", "2,345", "3,456"],
            a=["0.5", "1.5", "2"],
            b=["0,5", "1,5", "2"],
        )


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        ("x=decimal-point", [1234, 2345]),
        ("decimal-comma", [1.234, 2.345]),
        ("x=words", None),
    ],
)
def test_the_user_decides(answer, values):
    reading = read(choices=[answer], x=["1,234", "2,345"])["x"]
    assert reading.values.to_list() == (values or ["1,234", "2,345"])


def test_points_are_ambiguous_between_semicolons_only():
    assert read(x=["1.234", "2.345"])["x"].values.to_list() == [1.234, 2.345]
    with pytest.raises(
        BadInput, match="--read x=decimal-point or --read x=decimal-comma"
    ):
        read(";", x=["1.234", "2.345"])


def test_words_that_stand_for_missing_are_in_lower_case():
    assert {word.lower() for word in STAND_FOR_MISSING} == STAND_FOR_MISSING


def test_a_style_reads_new_cells_as_in_training():
    cells = pl.Series("x", ["1.234,5 €", "2", "3,25", "4 $", "x", None])
    assert parse(cells, Style("numeric", decimal=",", unit="€"))[0].to_list() == [
        1234.5,
        2,
        3.25,
        None,
        None,
        None,
    ]
    days = pl.Series("t", ["01/02/1970", "13/02/1970", "02/13/1970"])
    assert parse(days, Style("date", order="day-first"))[0].to_list() == [31, 43, None]
    truths = pl.Series("b", ["Y", "no", "maybe"])
    assert parse(truths, Style("categorical", truth="yes/no"))[0].to_list() == [
        "yes",
        "no",
        "maybe",
    ]


def test_days_that_do_not_exist_are_no_dates():
    words = pl.Series(
        [
            "2023-02-29",
            "2024-02-29",
            "2024-13-01",
            "2024-01-01 25:00",
            "2024-01-01 10:61",
            "31.4.2024",
        ]
    )
    assert days_of(words, "year-first").is_not_null().to_list() == [
        False,
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("names", "dropped"),
    [
        ("id", True),
        ("customer_id", True),
        ("PassengerId", True),
        ("Unnamed: 0", True),
        ("paid", False),
        ("width", False),
    ],
)
def test_distinct_integers_identify_rows_where_their_name_says_so(names, dropped):
    assert read(**{names: ["4", "17", "9", "23"]})[names].identifies_rows == dropped
    assert not read(**{names: ["4", "17", "9", "4"]})[names].identifies_rows


def test_integers_beyond_float64_identify_rows():
    reading = read(number=[str(2**53 + i) for i in range(5)])["number"]
    assert reading.useless == "its integers, larger than 2^53, identify rows"


def test_words_without_digits_are_not_tried_as_numbers_or_dates(monkeypatch):
    """Thousands of columns of words are read in seconds so."""
    attempts = []
    for name in ("_numbers", "_dates"):
        monkeypatch.setattr(
            inference, name, lambda words, *_: attempts.append(words.name)
        )
    frame = pl.DataFrame(
        {"colour": ["red", "green", "red"] * 5, "code": ["a1", "b2", "a1"] * 5}
    )
    assert [column.kind for column in read_columns(frame)] == [
        "categorical",
        "categorical",
    ]
    assert set(attempts) == {"code"}


@pytest.mark.parametrize(
    "written",
    [
        ["2024-01-31", "2024-02-01", None],
        ["31.01.2024", "1.2.2024", "03.04.2024"],
        ["1/31/2024 2:30 PM", "2/1/2024", "3/4/2024"],
        ["31/01/2024", "01/02/2024", "03/04/2024"],
        ["01/02/2024", "03/04/2024", "05/06/2024"],
        ["31 Jan 2024", "unknown", "1 Feb 2024"],
        ["31/01/2024", "01/31/2024", "03/04/2024"],
        ["24/01/31", "24/02/01", "23/12/30"],
        ["2024-01-31", "9999-12-31", "2024-02-01"],
        ["20240131", "2024-02-01", "20240301"],
        ["12:30", "9:05", "23:59"],
        ["2024-01", "2024-02", "7"],
    ],
)
def test_dates_that_are_read_with_other_columns_are_read_as_alone(written):
    """The same days, sentences and refusals as without the columns beside them."""

    def outcome(read_one):
        try:
            reading = read_one()
        except BadInput as error:
            return str(error)
        if isinstance(reading, inference.Ambiguity):
            return reading.refusal()
        return (
            reading.values.to_list(),
            reading.style,
            sentence(reading),
            reading.strays,
            reading.evidence,
        )

    words = pl.DataFrame(
        {"day": 4 * written, "other": 4 * ["1999-12-31", "1/1/2000", "1.1.1"]}
    )
    of_all, day = days_of_columns(words), words["day"]
    assert set(of_all) == {"day", "other"}
    alone = outcome(lambda: inference.infer(day, day, Choices(), ","))
    assert (
        outcome(lambda: inference.infer(day, day, Choices(), ",", of_all["day"]))
        == alone
    )


def test_columns_of_dates_are_taken_apart_together(monkeypatch):
    calls = []
    monkeypatch.setattr(
        dates,
        "days_by_order",
        lambda *words: calls.append(len(words[0])) or days_by_order(*words),
    )
    columns = {f"c{i}": ["2024-01-31", "2024-02-01"] for i in range(50)}
    readings = read_columns(pl.DataFrame(columns))
    assert [reading.kind for reading in readings] == ["date"] * 50
    assert calls == [50, 100]  # the first words, then all
