"""Spellings, totals, spoilt columns of numbers, and the advice beside them."""

import numpy as np
import polars as pl
import pytest
from langevax.app.tables.totals import find_totals

from langevax.app.errors import BadInput, listing
from langevax.app.predict import at_their_lines, blank_rows
from langevax.app.tables.columns import read_columns, stands_for_missing
from langevax.app.tables.files import read_table
from langevax.app.tables.records import check_columns
from langevax.app.tables.schema import Schema, learn, useful
from langevax.app.tables.styles import Choices
from langevax.app.tables.targets import read_target


def readings_of(frame, target="", choices=(), separator=","):
    choices = Choices.parse(choices, frame.columns, target)
    return dict(
        zip(frame.columns, read_columns(frame, choices, separator), strict=True)
    )


def target_of(values, *choices, task=None):
    frame = pl.DataFrame({"y": values})
    return read_target(frame, "y", task, readings_of(frame, "y", choices)["y"])


def schema_of(frame, *choices, separator=","):
    """Return the schema of a table whose columns are all inputs, and what was decided."""
    read = list(readings_of(frame, choices=choices, separator=separator).values())
    values, styles, decisions = useful(frame, read)
    columns, _ = learn(values, styles)
    return Schema("y", "regression", (), columns), [
        decision.sentence for decision in decisions
    ]


def test_spellings_of_two_opposite_words_are_two_classes():
    target = target_of(["yes", "Yes", "Y", "no", "No", "N", "No", "Yes", "Unknown"])
    assert target.classes == ("No", "Yes")
    assert target.values.tolist() == [1, 1, 1, 0, 0, 0, 0, 1]
    assert (
        "'No' and 'Yes', each named by its most frequent spelling"
        in target.decisions[0].sentence
    )
    assert target_of(["yes", "no"] * 3).decisions == ()


def test_classes_that_differ_only_in_case_are_named():
    target = target_of(["Wien", "wien", "Graz", "Wien"] * 2)
    assert target.classes == ("Graz", "Wien", "wien")
    assert [decision.topic for decision in target.decisions] == ["warning"]
    assert "'Wien' and 'wien' differ only in case" in target.decisions[0].sentence
    assert target_of(["Wien", "wien", "Graz", "Wien"] * 2, "y=ignore-case").classes == (
        "Graz",
        "Wien",
    )


def test_categories_that_differ_only_in_case_are_joined_where_the_user_says_so_and_in_new_tables_too():
    frame = pl.DataFrame(
        {
            "city": ["Wien", "wien", "Graz", "New  York", "New York"] * 2,
            "x": ["1.5", "2"] * 5,
        }
    )
    schema, decisions = schema_of(frame)
    assert len(schema.columns[0].categories) == 5
    assert (
        "differ only in case or in spaces and are categories of their own"
        in decisions[0]
    )
    assert "--read city=ignore-case" in decisions[0]
    schema, decisions = schema_of(frame, "city=ignore-case")
    assert schema.columns[0].categories == ("graz", "new york", "wien")
    assert decisions == []
    new, notes = schema.convert(
        pl.DataFrame({"city": ["WIEN", "NEW YORK"], "x": ["1.5", "2"]})
    )
    assert (new["city"].to_list(), notes) == (["wien", "new york"], [])


def test_a_category_of_a_new_table_that_differs_from_a_known_one_only_in_case_is_named():
    schema, _ = schema_of(pl.DataFrame({"city": ["Wien", "Graz"] * 4}))
    _, notes = schema.convert(pl.DataFrame({"city": ["WIEN", "Linz"]}))
    assert notes[0].endswith("'WIEN' differs from known ones only in case.")


def test_opposite_words_of_several_languages_are_read_alike_and_a_mark_stands_beside_them():
    frame = pl.DataFrame(
        {
            "a": ["ja", "Ja", "X", "Nein", "x", "-"],
            "b": ["true", "1", "wahr", "0", "falsch", "False"],
        }
    )
    a, b = readings_of(frame).values()
    assert a.values.to_list() == ["ja", "ja", "x", "nein", "x", None]
    assert "'X' and 'x' is a category of its own" in a.decisions[-1].sentence
    assert b.values.to_list() == ["true"] * 3 + ["false"] * 3


def test_a_row_called_a_total_that_is_not_a_sum_is_used_with_a_warning():
    table = {"shop": ["a", "b", "Total", "c", "a"], "kg": ["5", "7", "99", "1", "2"]}
    decisions = []
    assert not find_totals(pl.DataFrame(table), decisions).any()
    assert [decision.topic for decision in decisions] == ["warning"]
    assert decisions[0].sentence.startswith(
        "Data row 3 is called 'Total', but its numbers are not sums"
    )


def test_a_total_that_blank_cells_keep_from_being_the_sum_is_left_out_where_its_row_is_nearly_empty():
    rows = [
        ("a", "5", "x", "1"),
        ("b", None, "y", "2"),
        ("Zwischensumme", "12", None, None),
        ("c", "3", "x", "2"),
    ]
    totals = find_totals(pl.DataFrame(rows, schema=list("abcd"), orient="row"), [])
    assert totals.to_list() == [False, False, True, False]


@pytest.mark.slow
def test_many_totals_take_time_in_proportion_to_the_rows():
    kg = np.arange(60_000) % 7 + 1
    table = {"shop": ["a", "b", "Total"] * 20_000, "kg": [str(n) for n in kg]}
    assert not find_totals(
        pl.DataFrame(table), []
    ).any()  # most are not sums: a category


def test_a_row_of_a_total_gets_no_prediction(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("nr;kg;t;y\n7;1,5;2;\n;;;\n9;4;3;\nSumme;5,5;;\n")
    loaded = read_table(path, every_row=True)
    assert loaded.frame["nr"].to_list() == ["7", None, "9"]
    assert (
        "1 row of a total is left out: 'Summe' below data row 3"
        in loaded.decisions[-1].sentence
    )


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (
            ["1.5 kg", "2 kg", "3.5 kg", "4 kg", "2 or 3", "5-6"],
            "4 of 6 values are numbers, but not '2 or 3'",
        ),
        (
            ["1/2/2024", "13/2/2024", "5/3/2024", "6/3/2024", "in spring 7", "9 Mays"],
            "4 of 6 values are dates, but not",
        ),
    ],
)
def test_words_among_numbers_or_dates_are_named_although_the_column_is_left_out(
    cells, sentence
):
    frame = pl.DataFrame({"a": cells, "x": ["1.5", "2", "3", "4", "3", "2"]})
    decisions = schema_of(frame)[1]
    assert sentence in decisions[0]
    assert "identify rows" in decisions[1]


def test_a_footnote_that_is_left_out_is_shown():
    (reading,) = readings_of(
        pl.DataFrame({"a": ["38.4 years", "39.9 years[1]", "40 years", "41 years"]})
    ).values()
    assert (
        "is 38.4 and '39.9 years[1]' in data row 2 is 39.9."
        in reading.decisions[0].sentence
    )


def test_a_target_of_numbers_with_units_is_not_called_classes():
    values = [f"{n + 0.5} years" for n in range(300)] + [
        "old",
        "very old",
        "young",
    ] * 30
    with pytest.raises(
        BadInput,
        match=r"300 of 390 values are numbers, but not 'old' .* --read y=numbers",
    ):
        target_of(values)


def test_advice_on_a_target_works():
    values = ["1.5", "2.5", "<0.5", "3", "4.5", "2", "1", "6", "7", "8"]
    with pytest.raises(
        BadInput, match="--read y=numbers to leave their rows out"
    ) as refused:
        target_of(values)
    assert "--drop" not in str(refused.value)
    target = target_of(values, "y=numbers")
    assert (target.task, len(target.rows)) == ("regression", 9)
    with pytest.raises(BadInput, match=r"write them in one unit\.$"):
        target_of(["$5", "€6", "$7", "€8"])
    with pytest.raises(BadInput, match="--drop x"):
        readings_of(pl.DataFrame({"x": ["$5", "€6", "$7", "€8"]}), "y")


def test_a_missing_column_is_not_mistaken_for_one_that_the_model_has():
    frame = pl.DataFrame({"Körper Geschlecht": ["m"], "Länge": ["1"]})
    with pytest.raises(BadInput, match="add or rename"):
        check_columns(frame, ["Körper Flügel", "Körper Geschlecht", "Länge"])
    with pytest.raises(BadInput, match="did you mean 'körper flügel'"):
        check_columns(
            frame.with_columns(**{"körper flügel": pl.lit("1")}),
            ["Körper Flügel", "Länge"],
        )


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["21,5 mm", "20"], [21.5, 20]),
        (["21.5", "20"], [21.5, 20]),
        (["1.234 mm", "20"], [1234, 20]),
    ],
)
def test_whole_numbers_of_training_let_new_ones_show_their_decimals(cells, values):
    table = {
        "a": ["187 mm", "181 mm", "195 mm", "190 mm"],
        "b": ["7", "9", "4", "5"],
        "c": ["1,5", "2,5", "3", "4"],
    }
    schema, _ = schema_of(pl.DataFrame(table), separator=";")
    bare = [cell.removesuffix(" mm") for cell in cells]
    new, _ = schema.convert(pl.DataFrame({"a": cells, "b": bare, "c": ["1,5", "2"]}))
    assert new["a"].to_list() == new["b"].to_list() == values


def test_new_numbers_in_another_unit_are_refused():
    schema, _ = schema_of(
        pl.DataFrame({"b": ["7", "9", "4", "5"], "fee": ["1.5 €", "2 €", "4 €", "3 €"]})
    )
    for b, fee, where in (
        ("21.5 mm", "3 €", "column 'b'"),
        ("21.5", "$3", "column 'fee'"),
        ("21.5", "3 USD", "'fee'"),
    ):
        with pytest.raises(
            BadInput, match=rf"another unit in {where}|another unit in column {where}"
        ):
            schema.convert(pl.DataFrame({"b": [b, "2"], "fee": [fee, "1 €"]}))


def test_decimals_of_training_still_refuse_the_other_notation():
    schema, _ = schema_of(pl.DataFrame({"c": ["1,5", "2,5", "3", "4"]}), separator=";")
    with pytest.raises(BadInput, match="decimal points in column 'c'"):
        schema.convert(pl.DataFrame({"c": ["1.55", "2.5"]}))


def test_serial_dates_are_read_in_new_tables_too():
    frame = pl.DataFrame({"a": ["16/02/2018", "43150", "05/03/2018", "25/12/2017"] * 2})
    schema, decisions = schema_of(frame)
    assert (
        "'43150' in data row 2 is 2018-02-19, as spreadsheets count days"
        in decisions[0]
    )
    new, _ = schema.convert(pl.DataFrame({"a": ["43150", "19/02/2018", "431"]}))
    assert new["a"].to_list() == [17581.0, 17581.0, None]


def test_durations_are_not_called_dates():
    frame = pl.DataFrame(
        {
            "a": ["30:15:00", "2:24:00", "50:00:00", "1:00:00"] * 2,
            "b": ["2h24", "0h50", "1h05", "3h10"] * 2,
        }
    )
    a, b = readings_of(frame).values()
    assert a.style.clock
    assert b.style.clock
    assert "durations in hours and minutes" in b.decisions[0].sentence


def test_words_are_shown_with_plain_spaces():
    assert listing(["3\u202f357,7", "a\u00a0b"]) == "'3 357,7' and 'a b'"


@pytest.mark.parametrize(
    ("trained", "new", "message"),
    [
        (
            ["25/03/2024", "01/02/2024", "13/05/2024", "02/02/2024"],
            ["08/01/2023", "08/25/2023"],
            "the month first in",
        ),
        (
            ["61", "35.5", "75", "20"],
            ["35.5", ">60"],
            "bounds among the numbers of column 'a' .'>60' in data row 2",
        ),
        (["61", "35.5", "75", "20"], ["35.5", "90+"], "bounds among the numbers"),
    ],
)
def test_new_cells_of_another_meaning_are_refused(trained, new, message):
    schema, _ = schema_of(pl.DataFrame({"a": trained, "b": ["1", "2.5", "3", "1"]}))
    schema.convert(pl.DataFrame({"a": trained, "b": ["1"] * 4}))
    with pytest.raises(BadInput, match=message):
        schema.convert(pl.DataFrame({"a": new, "b": ["1", "2"]}))


def test_new_numbers_far_below_positive_ones_are_outside_of_training():
    schema, _ = schema_of(
        pl.DataFrame(
            {"traffic": ["1726", "33937", "12345", "8001"], "b": ["1", "2.5", "3", "1"]}
        )
    )
    _, notes = schema.convert(
        pl.DataFrame({"traffic": ["6.877", "12.345", "1500"], "b": ["1", "2", "3"]})
    )
    assert any("'traffic' (2 rows; trained on 1726 to 33937)" in note for note in notes)


def test_predictions_stand_at_the_lines_of_their_rows(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("nr;kg;t\n7;1,5;2\n\n9;4;3\n;;\n8;2;1\nSumme;7,5;6\n10;3;2\n")
    loaded = read_table(path, every_row=True)
    assert loaded.frame["nr"].to_list() == ["7", None, "9", None, "8", "10"]
    assert loaded.left_out == (5,)
    blank = blank_rows(loaded.frame)
    predicted, (note,) = at_their_lines(
        pl.DataFrame({"prediction": [7.0, 9.0, 8.0, 10.0]}), blank, loaded.left_out
    )
    assert predicted["prediction"].to_list() == [7.0, None, 9.0, None, 8.0, None, 10.0]
    assert note.startswith(
        "3 lines without data, empty or left out, have no prediction"
    )


def test_predictions_of_tables_without_other_lines_are_left_as_they_are(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("kg;t\n1,5;2\n4;\n")
    predicted = pl.DataFrame({"prediction": [7.0, 0.5]})
    blank = blank_rows(read_table(path, every_row=True).frame)
    assert at_their_lines(predicted, blank, ()) == (predicted, [])


def test_words_that_hide_a_class_are_warned_of():
    column = pl.DataFrame({"y": ["yes", "no", "unknown"] * 10})
    (warning,) = [
        d for d in read_target(column, "y", None).decisions if d.topic == "warning"
    ]
    assert warning.sentence.startswith(
        "10 rows of 'y' are left out: 'unknown' in data row 3 (10 times) counts as missing"
    )
    with pytest.raises(
        BadInput,
        match="'x' in every row, and 20 rows without a value count as missing; write a word",
    ):
        read_target(pl.DataFrame({"y": ["x", None, None] * 10}), "y", None)


def test_advice_to_count_cells_as_missing_is_not_given_where_it_would_lose_numbers():
    few, many = (
        ["1.5", "2.5", "3.5", "4"] * 30 + ["heavy", "light"] * 15,
        ["0.5 E", "3.5 W"] * 30,
    )
    assert "to count these as missing, pass --read a=numbers" in says(few)[-1]
    assert "would count these as missing" in says(many)[-1]


def says(cells):
    """Return the sentences on a column beside one of numbers."""
    reading = read_columns(
        pl.DataFrame({"a": cells, "b": ["1", "2.5"] * (len(cells) // 2)})
    )[0]
    return [decision.sentence for decision in reading.decisions]


def test_columns_left_out_in_training_are_not_called_unknown():
    table = {"id": [str(i) for i in range(1, 9)], "a": ["1.5", "2", "4", "3"] * 2}
    frame = pl.DataFrame(table)
    readings = read_columns(frame)
    used, styles, decisions = useful(frame, readings)
    schema = Schema("y", "regression", (), learn(used, styles)[0], tuple(decisions))
    assert not schema.examples(frame).notes
    assert schema.examples(frame.with_columns(new=pl.lit("1"))).notes == [
        "Ignored, unknown to the model: 'new'."
    ]


def test_dates_are_said_with_their_range_and_versions_with_a_remark():
    assert says(["2024-01-31", "2025-03-01", "2024-02-02"] * 4)[0].endswith(
        "since 1970: 2024-01-31 to 2025-03-01."
    )
    assert says(["1402/11/11", "1403/01/05", "1402/12/01"] * 4)[0].endswith(
        "1402-11-11 to 1403-01-05."
    )
    assert (
        "'1.10' in data row 3 is the number 1.1; if these are versions"
        in says(["1.2", "1.9", "1.10", "1.1"] * 3)[0]
    )


def test_negative_numbers_that_stand_alone_may_stand_for_missing():
    said = stands_for_missing(pl.Series([1000.0, 4000.0, -99.0, 2000.0, -99.0]))
    assert said == "-99 in 2 rows is the only number below 0, beside 1000 to 4000"
    assert not stands_for_missing(pl.Series([10.0, 40.0, -99.0, -98.0, -99.0]))
