"""Spellings of words and numbers in training and in new tables, and the advice beside them."""

import polars as pl
import pytest

from langevax.app.errors import BadInput, listing
from langevax.app.tables.columns import read_columns
from langevax.app.tables.records import check_columns
from langevax.app.tables.schema import Schema, learn, useful
from langevax.app.tables.styles import Choices
from langevax.app.tables.targets import read_target
from tests.sentences import refuses, tells


def readings_of(frame, choices=(), separator=","):
    choices = Choices.parse(choices, frame.columns)
    return read_columns(frame, choices, separator)


def target_of(values, *choices, task=None):
    frame = pl.DataFrame({"y": values})
    return read_target(frame, "y", task, readings_of(frame, choices)["y"])


def schema_of(frame, *choices, separator=","):
    """Return the schema of a table whose columns are all inputs, and what was decided."""
    read = readings_of(frame, choices=choices, separator=separator)
    values, styles, decisions = useful(read)
    columns, _ = learn(values, styles)
    return Schema("y", "regression", (), columns), [
        decision.sentence for decision in decisions
    ]


def test_spellings_of_two_opposite_words_are_two_classes():
    target = target_of(["yes", "Yes", "Y", "no", "No", "N", "No", "Yes", "Unknown"])
    assert target.classes == ("no", "yes")
    assert target.values.tolist() == [1, 1, 1, 0, 0, 0, 0, 1]


def test_classes_that_differ_only_in_case_are_joined_where_the_user_says_so():
    values = ["Wien", "wien", "Graz", "Wien"] * 2
    assert target_of(values).classes == ("Graz", "Wien", "wien")
    assert target_of(values, "y=ignore-case").classes == ("graz", "wien")


def test_categories_that_differ_only_in_case_are_joined_where_the_user_says_so_and_in_new_tables_too():
    frame = pl.DataFrame(
        {
            "city": ["Wien", "wien", "Graz", "New  York", "New York"] * 2,
            "x": ["1.5", "2"] * 5,
        }
    )
    schema, decisions = schema_of(frame)
    assert len(schema.columns[0].categories) == 5
    tells(decisions[0])
    assert "--read city=ignore-case" in decisions[0]
    schema, decisions = schema_of(frame, "city=ignore-case")
    assert schema.columns[0].categories == ("graz", "new york", "wien")
    assert decisions == []
    new, notes = schema.convert(
        pl.DataFrame({"city": ["WIEN", "NEW YORK"], "x": ["1.5", "2"]})
    )
    assert (new["city"].to_list(), notes) == (["wien", "new york"], [])


def test_advice_on_a_target_works():
    values = ["1.5", "2.5", "low", "3", "4.5", "2", "1", "6", "7", "8"]
    with refuses(BadInput, "--read y=numbers"):
        target_of(values)
    target = target_of(values, "y=numbers")
    assert (target.task, len(target.rows)) == ("regression", 9)
    assert target_of(["3+", "2"] * 6, "y=words").classes == ("2", "3+")


def test_a_missing_column_is_not_mistaken_for_one_that_the_model_has():
    frame = pl.DataFrame({"Körper Geschlecht": ["m"], "Länge": ["1"]})
    with refuses(BadInput):
        check_columns(frame, ["Körper Flügel", "Körper Geschlecht", "Länge"])
    with refuses(BadInput):
        check_columns(
            frame.with_columns(**{"körper flügel": pl.lit("1")}),
            ["Körper Flügel", "Länge"],
        )


def test_words_are_shown_with_plain_spaces():
    assert listing(["3\u202f357,7", "a\u00a0b"]) == "'3 357,7' and 'a b'"


@pytest.mark.parametrize(
    ("trained", "new"),
    [
        (["25/03/2024", "01/02/2024"], "08/25/2023"),
        (["61", "35.5", "75"], ">60"),
        (["1.5 €", "2 €"], "3 USD"),
        (["1,5", "2,5", "3"], "1.55"),
        (["7", "9"], "warm"),
    ],
)
def test_new_cells_of_another_notation_are_refused(trained, new):
    schema, _ = schema_of(pl.DataFrame({"a": trained}), separator=";")
    schema.convert(pl.DataFrame({"a": [*trained, "unknown", None]}))
    with refuses(BadInput, f"'a' '{new}' 2"):
        schema.convert(pl.DataFrame({"a": [trained[0], new]}))


def test_all_columns_of_another_notation_are_named_at_once():
    schema, _ = schema_of(pl.DataFrame({"a": ["1.5", "2"], "b": ["3", "4.5"]}))
    with refuses(BadInput, "'a' '<1' 'b' '5 kg'"):
        schema.convert(pl.DataFrame({"a": ["<1", "2"], "b": ["5 kg", "6"]}))


def test_new_strays_count_as_missing_where_the_user_said_so_in_training():
    frame = pl.DataFrame({"a": ["1.5", "2", "4", "heavy"]})
    schema, _ = schema_of(frame, "a=numbers")
    new, notes = schema.convert(pl.DataFrame({"a": ["1", "light"]}))
    assert new["a"].to_list() == [1, None]
    tells(notes[0], "'light' data row 2")


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


def test_columns_left_out_in_training_are_not_called_unknown():
    table = {"id": [str(i) for i in range(1, 9)], "a": ["1.5", "2", "4", "3"] * 2}
    frame = pl.DataFrame(table)
    readings = read_columns(frame)
    used, styles, decisions = useful(readings)
    schema = Schema("y", "regression", (), learn(used, styles)[0], tuple(decisions))
    assert not schema.examples(frame).notes
    assert schema.examples(frame.with_columns(new=pl.lit("1"))).notes == [
        "Ignored, unknown to the model: 'new'."
    ]
