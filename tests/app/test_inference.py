"""Notations of columns: what the values of a column, of other columns and the user show."""

import polars as pl
import pytest

from langevax.app.errors import BadInput
from langevax.app.fitting.splitting import of_repeated_names
from langevax.app.tables import columns
from langevax.app.tables.columns import (
    of_far_values,
    of_rows_apart,
    of_totals,
    read_columns,
    reread,
)
from langevax.app.tables.dates import days_of
from langevax.app.tables.styles import STAND_FOR_MISSING, Choices, Style, parse
from tests.sentences import refuses, tells


def read(separator=",", choices=(), **table):
    """Return the readings by name."""
    frame = pl.DataFrame(table)
    return read_columns(frame, Choices.parse(choices, frame.columns), separator)


def sentence(reading):
    return " ".join([*(one.sentence for one in reading.decisions), reading.why_words])


def test_each_decision_has_its_evidence():
    table = {
        "age": ["31", "unknown", "54", "40", "29.5"],
        "price": ["$1,234.50", "$3", "$4", "$5", "$6"],
        "day": ["25/12/2024", "01/02/2024", "03/02/2024", "04/02/2024", "05/02/2024"],
        "zip": ["01234", "90210", "90210", "01234", "90210"],
        "paid": ["Y", "no", "Y", "n", "yes"],
        "city": ["Wien", "wien", "Graz", "Wien", "Graz"],
        "size": ["a", "3", "b", "a", "b"],
        "half": ["a", "3", "4", "b", None],
        "month": ["Jan-24", "Feb-24", "Jan-24", "Feb-24", "Mar-24"],
    }
    says = {name: sentence(reading) for name, reading in read(**table).items()}
    for name, evidence in {
        "age": "'unknown' in data row 2 counts as missing",
        "price": "with '$': '$1,234.50' in data row 1 is 1234.5",
        "day": "2024-02-01 to 2024-12-25: '25/12/2024' in data row 1 shows it",
        "zip": "'01234' in data row 1 starts with a zero",
        "paid": "yes and no, written 'Y', 'no', 'n' and 'yes'",
        "city": "'Wien' and 'wien' differ only in case",
        "size": "'3' in data row 2 can be read so",
        "half": "'3' in data row 2 and '4' in data row 3 can be read so",
        "month": "'Jan-24' in data row 1",
    }.items():
        assert evidence in says[name]


def test_plain_columns_need_no_sentence():
    table = {
        "x": ["1.5", "2", "NA"],
        "g": ["a", "b", "a"],
        "t": ["true", "false", "true"],
    }
    assert [sentence(reading) for reading in read(**table).values()] == ["", "", ""]


def test_words_among_numbers_are_asked_about():
    for cells in (["1", "2", "3", "many"], ["1.5", "2.5", "below"]):
        with refuses(BadInput, "--read x=numbers x=words"):
            read(x=cells)
        assert read(choices=["x=words"], x=cells)["x"].values.to_list() == cells
        reading = read(choices=["x=numbers"], x=cells)["x"]
        assert reading.style.lenient
        assert reading.strays == 1


def test_every_word_that_counts_as_missing_is_named():
    cells = ["1", "2", "3", "many", "lost", "many", "4", "5", "-"]
    tells(sentence(read(choices=["x=numbers"], x=cells)["x"]), "'many' 2 'lost' '-'")


@pytest.mark.parametrize("cell", ["4+", "<0.5", "377.50-", "３４", "٥"])
def test_cells_with_digits_never_count_as_missing(cell):
    for choices in ([], ["x=numbers"]):
        with refuses(BadInput, f"'{cell}' --read x=words") as asked:
            read(choices=choices, x=["1.5", "2", cell, "3"])
        assert "x=numbers" not in str(asked.value)
    assert cell in sentence(read(x=[cell, cell, "a", cell])["x"])


@pytest.mark.parametrize(
    ("words", "offset"),
    [
        (["2024-01-01T10:00:00Z", "2024-01-02T10:00:00Z", "2024-01-03T10:00:00"], 1),
        (["2024-01-01 10:00", "2024-01-02 10:00", "2024-01-03 10:00+01:00"], 0),
        (["2024-01-01T10:00:00Z", "2024-01-02T10:00:00Z", "2024-01-03"], 1),
    ],
)
def test_times_with_an_offset_beside_others_are_asked_about(words, offset):
    with refuses(BadInput, f"'{words[2]}'"):
        read(x=words)
    style = read(x=words[:2])["x"].style
    assert style.zoned == bool(offset)
    with refuses(BadInput, f"'{words[2]}'"):
        reread(pl.Series("x", words[2:]), style, "the training rows")


@pytest.mark.parametrize(
    ("cells", "other", "kind", "first"),
    [
        (["202401", "202402"], "date", "numbers", 202401),
        (["31012024", "15022024"], "date", "numbers", 31012024),
        (["1:10", "1:20", "1:50"], "ratio", "dates", 70 / 1440),
        (["2003-04", "2011-12"], "season", "dates", 12_143),
    ],
)
def test_what_may_be_something_else_in_every_cell_is_asked_about(
    cells, other, kind, first
):
    with refuses(BadInput, f"'{cells[0]}' {other} --read x={kind} x=words"):
        read(x=cells)
    values = read(choices=[f"x={kind}"], x=cells)["x"].values
    assert values.to_list()[0] == pytest.approx(first)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["202401", "202402", "7"], "numeric"),
        (["1:10", "1:05"], "date"),
        (["10:30", "9:45", "08:15"], "date"),
        (["2003-04", "2011-12", "2012-10"], "date"),
    ],
)
def test_one_cell_shows_what_all_of_them_are(cells, kind):
    reading = read(x=cells)["x"]
    assert (reading.kind, reading.strays) == (kind, 0)


def test_lakhs_are_grouped_by_two():
    cells = ["₹12,34,567.50", "₹45,300.00", "₹1,00,000.00", "₹7.25"]
    for separator in ",;":
        values = read(separator, x=cells)["x"].values.to_list()
        assert values == [1_234_567.5, 45_300, 100_000, 7.25]
    with refuses(BadInput, "'123,45,678'"):
        read(x=["12,34,567", "1,23,456", "123,45,678"])


@pytest.mark.parametrize(
    "cells",
    [
        ["12.3%", "0.05", "100%", "0.5"],
        ["$5", "€6", "$7", "€8"],
        ["1.5", "2,5", "3.25", "4,75"],
        ["25/03/2024", "03/25/2024", "31/01/2024"],
        ["2024-02-09", "13/01/2024", "2024-07-11"],
        ["5 kg", "700 g", "8 kg"],
    ],
)
def test_numbers_and_dates_in_two_notations_never_count_as_missing(cells):
    kind = "dates" if "/" in "".join(cells) else "numbers"
    for choices in ([], [f"x={kind}"]):
        with refuses(BadInput, "--read x=words") as asked:
            read(choices=choices, x=cells)
        assert f"--read x={kind}" not in str(asked.value)
    assert read(choices=["x=words"], x=cells)["x"].values.to_list() == cells


def test_a_new_cell_in_another_notation_is_refused_whatever_the_user_said():
    style = read(choices=["x=numbers"], x=["1,5", "2,5", "see below"])["x"].style
    assert reread(pl.Series("x", ["1,5", "lost"]), style, "")[0].to_list() == [
        1.5,
        None,
    ]
    with refuses(BadInput, "'1.5' data row 1"):
        reread(pl.Series("x", ["1.5", "2.5"]), style, "the training rows")


def test_thousands_that_one_odd_cell_makes_decimals_are_named():
    cells = ["8.804", "1.153", "9.972", "12.5"]
    reading = read(";", x=cells)["x"]
    assert reading.values.to_list() == [8.804, 1.153, 9.972, 12.5]
    tells(sentence(reading), "'8.804' 8.804")


def test_one_mark_of_three_digits_beside_the_other_is_asked_about():
    with refuses(BadInput, "'x' '2.257' 1 '7,234' 3"):
        read(x=["2.257", "8.654", "7,234", "5"])
    assert read(x=["2.257", "8.5", "7,234"])["x"].values.to_list() == [2.257, 8.5, 7234]


def test_new_thousands_are_refused_where_training_had_none():
    """A point may be theirs, or another program's decimal point."""
    style = read(x=["5,684", "0,200", "9500,000"])["x"].style
    with refuses(BadInput, "'x' '1.250' 2"):
        reread(pl.Series("x", ["1,250", "1.250"]), style, "the training rows")
    grouped = read(x=["5,68", "1.250", "9.500,5"])["x"].style
    new = pl.Series("x", ["1.250"])
    assert reread(new, grouped, "the training rows")[0].to_list() == [1250]


def test_dates_of_eight_digits_are_not_numbers_because_one_does_not_exist():
    cells = ["20240115", "20240302", "20240231", "20240704"]
    with refuses(BadInput, "'20240231' --read x=words"):
        read(x=cells)
    numbers = read(choices=["x=numbers"], x=cells)["x"].values
    assert numbers.to_list() == [float(cell) for cell in cells]


def test_new_dates_with_another_separator_are_refused():
    style = read(x=["04.08.2024", "25.12.2024"])["x"].style
    assert reread(pl.Series("x", ["05.08.2024"]), style, "")[0].to_list() == [19940.0]
    with refuses(BadInput, "'02/06/2024'"):
        reread(pl.Series("x", ["02/06/2024"]), style, "the training rows")


def test_an_answer_that_reads_no_cell_is_refused():
    with refuses(BadInput, "--read x=numbers x=words 'a'"):
        read(choices=["x=numbers"], x=["a", "b", "a"])


def test_all_questions_are_asked_at_once_a_line_each_with_answers_to_pass():
    with refuses(BadInput, "'a' 'b'") as asked:
        read(a=["1", "2", "x"], b=["01/02/2024", "03/04/2024", None])
    lines = str(asked.value).splitlines()
    assert [line[:10] for line in lines[1:3]] == ["- column '", "- column '"]
    assert lines[-1].endswith(": --read a=numbers/words --read b=day-first/month-first")


def test_a_line_of_units_is_asked_about_once():
    with refuses(BadInput, "data row 1 's' 't' 'kg' 'x' --read t=numbers x=numbers"):
        read(t=["s", "1", "2", "3"], x=["kg", "1.5", "2", "7"], g=["-", "a", "b", "a"])


def test_years_of_two_digits_are_refused():
    with refuses(BadInput):
        read(x=["31.01.24", "01.02.54"])


def test_another_column_decides_and_is_named():
    table = read(";", sold=["1.234", "2.345", "3.456"], size=["0,5", "1,5", "2"])
    assert table["sold"].values.to_list() == [1234, 2345, 3456]
    tells(sentence(table["sold"]), "1234 1.234 'size'")
    with refuses(BadInput, "'sold'"):
        read(
            ";",
            sold=["1,234", "2,345", "3,456"],
            a=["0.5", "1.5", "2"],
            b=["0,5", "1,5", "2"],
        )


@pytest.mark.parametrize("other", ["25/02/2024", "25.02.2024"])
def test_each_column_shows_the_order_of_its_own_dates(other):
    with refuses(BadInput, "'start'"):
        read(start=["01/02/2024", "03/04/2024"], end=[other, "28/04/2024"])


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
    words = pl.Series(["1970-01-02T02:00:00+02:00", "1970-01-01 18:30-05:30"])
    assert days_of(words, "year-first", zoned=True).to_list() == [1, 1]
    assert days_of(pl.Series(["1970-01-01 12:00 AM"]), "year-first").to_list() == [0]


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
    real = columns.DETECTORS["date"]

    def detect(words):
        tried.append(words.name)
        return real(words)

    monkeypatch.setattr(columns, "DETECTORS", {"date": detect})
    read(colour=["red", "green", "red"] * 5, code=["a1", "b2", "a1"] * 5)
    assert tried == ["code"]


@pytest.mark.parametrize(
    ("apart", "named"),
    [
        ([["Subtotal", None, None, "9"], ["Total", None, None, "18"]], True),
        ([[None, None, None, "4.5"]], True),
        ([["n9", "red", None, "3"]], False),
        ([], False),
    ],
)
def test_rows_without_the_words_of_others_are_named(apart, named):
    rows = [[f"n{k}", "red", "big", "1"] for k in range(40)]
    rows = [*rows[:20], *apart, *rows[20:]]
    table = read(**dict(zip("nxyz", zip(*rows, strict=True), strict=True)))
    warnings = of_rows_apart(table)
    assert len(warnings) == named
    assert all("row 21" in warning.sentence for warning in warnings)


VISITS = [37 * k % 50 for k in range(150)]
"""The patient of each visit."""


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        ({"mrn": VISITS, "male": [k * k % 7 % 2 for k in VISITS]}, "'mrn' 'male'"),
        ({"mrn": VISITS, "male": [k * k % 7 % 2 for k in range(150)]}, None),
        ({"visit_id": VISITS}, "'visit_id' --group visit_id"),
        ({"year": [1950 + k for k in VISITS], "old": [k // 10 for k in VISITS]}, None),
        ({"euro": VISITS, "cent": [100 * k for k in VISITS]}, None),
        ({"mrn": VISITS[:50], "male": [k * k % 7 % 2 for k in VISITS[:50]]}, None),
    ],
)
def test_columns_that_may_name_patients_are_warned_of(table, shown):
    for write in ("{}", "P{}"):
        first, *others = table
        cells = {name: [str(value) for value in table[name]] for name in others}
        cells[first] = [write.format(value) for value in table[first]]
        score = [str(0.5 + 7 * k % 150) for k in range(150)][: len(VISITS)]
        cells["score"] = score[: len(cells[first])]
        warnings = of_repeated_names(read(**cells), [first])
        assert len(warnings) == (shown is not None)
        if warnings:
            tells(warnings[0].sentence, shown)


def test_the_rows_of_copies_are_of_no_patient():
    cells = {
        "x": [str(k) for k in VISITS],
        "male": [str(k * k % 7 % 2) for k in VISITS],
    }
    assert not of_repeated_names(read(**cells), ["x"])


@pytest.mark.parametrize(
    ("last", "number"),
    [
        (["t", "7.5", "9"], 1),
        (["t", "7.5", None], 1),
        (["t", "7.5", "8"], 0),
        (["Source: us", None, None], 1),
    ],
)
def test_a_last_row_that_may_not_be_data_is_warned_of(last, number):
    rows = [["a", "1.5", "2"], ["b", "2", "3"], ["a", "4", "4"], last]
    table = read(**dict(zip(("g", "x", "y"), zip(*rows, strict=True), strict=True)))
    assert len(of_totals(table)) == number


@pytest.mark.parametrize("grand", [True, False])
def test_totals_of_parts_of_a_table_are_named(grand):
    months = [[("a", "1", "2.5"), ("b", "3", "2"), ("c", "2", "4")] for _ in range(3)]
    rows = [row for month in months for row in [*month, ("Sum", "6", "8.5")]]
    rows += [("All", "18", "25.5")] * grand
    (warning,) = of_totals(
        read(**dict(zip("gxy", zip(*rows, strict=True), strict=True)))
    )
    tells(warning.sentence, "4 8 12 13" if grand else "4 8 12")


def test_a_column_of_mostly_censored_cells_is_asked_about():
    with refuses(BadInput, "x '<5' 3 8 rows"):
        read(x=["7", "9", *["<5"] * 8, "12"])


def test_a_line_of_units_is_named_once_beside_other_questions():
    x = ["mg/l", "1", "<2", "3", "4", "5"]
    with refuses(BadInput, "'kg' '°C' '<2' 3") as error:
        read(x=x, t=["°C", *"12345"], w=["kg", *"54321"])
    assert "mg/l" not in str(error.value)


def test_rows_that_are_sums_by_chance_are_not_totals():
    x = ["1", "2", "3", "4", "1", "5", "2", "7"]
    assert not of_totals(read(g=list("abcabcab"), x=x))


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        (["31", "-999", "54", "40", "-999", "-998", "-998"], "4 rows -999 -998 31 54"),
        (
            ["31", "-999", "54", "40", "-999", "9999", "9999"],
            "rows with 9999 -999 31 54",
        ),
        (["2024-01-31", "2024-02-01", "2024-03-01", *["9999-12-31"] * 2], "9999-12-31"),
        (["31", "-999", "54", "40"], None),
        (
            ["1.68", "1.7", "1.59", "150", "171", "183", "190"],
            "3 rows 1.59 1.7 150 190",
        ),
        (["6.1", "7.4", "5.9", "8.8", "6.5", "40", "52", "76"], "3 rows 40 76 5.9 8.8"),
        (["1.68", "1.7", "150", "171", "183", "190"], None),
        (["5", "12", "18", "28", "5", "12", "5", "18"], None),
        (["1", "2", "3", "4", "5", "6", "8", "9", "12", "30", "31", "41"], None),
        (["31", "120", "54", "90", "20", "120"], None),
        (["0", "1", "0", "1", "3", "3"], None),
    ],
)
def test_repeated_values_far_from_the_others_are_warned_of(cells, shown):
    warnings = of_far_values(read(x=cells))
    assert len(warnings) == (shown is not None)
    if warnings:
        tells(warnings[0].sentence, shown)
