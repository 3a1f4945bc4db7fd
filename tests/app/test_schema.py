"""The schema of a table and its encoding."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langevax.app.errors import BadInput
from langevax.app.tables.columns import read_columns
from langevax.app.tables.records import sentences
from langevax.app.tables.schema import (
    MOST_CATEGORIES,
    Encoder,
    Schema,
    learn,
    read_schema,
    useful,
    write_schema,
)
from tests.sentences import refuses, tells

TABLE = pl.DataFrame(
    {
        "age": ["30", "", "50", "inf", "40", "60"],
        "city": ["Kyoto", "Oslo", None, "Kyoto", "Lima", "Oslo"],
        "day": [
            "1970-01-02",
            "1970-01-05",
            "1970-01-03",
            "1970-01-02",
            "1970-01-03",
            "1970-01-03",
        ],
        "member": ["true", "false", "true", "true", "false", "true"],
        "name": list("abcdef"),
        "one": ["1"] * 6,
    }
)


def schema_of(table):
    frame, styles, _ = useful(read_columns(table))
    columns, _ = learn(frame, styles)
    return Schema("y", "regression", (), columns), frame


def test_numbers_missing_words_and_dates_become_named_inputs():
    schema, frame = schema_of(TABLE)
    encoder = Encoder(schema.columns)
    names = [
        "age",
        "day",
        "age missing",
        "city=Kyoto",
        "city=Lima",
        "city=Oslo",
        "city missing",
        "member=false",
    ]
    assert encoder.names == (*names, "member=true")
    assert encoder.groups == {
        "age": [0, 2],
        "day": [1],
        "city": [3, 4, 5, 6],
        "member": [7, 8],
    }
    assert encoder.quantities == (0, 1)
    assert encoder(frame).tolist()[1:3] == [
        [45, 4, 1, 0, 0, 1, 0, 1, 0],
        [50, 2, 0, 0, 0, 0, 1, 0, 1],
    ]


def test_columns_left_out_or_changed_are_reported():
    readings = read_columns(TABLE)
    _, styles, decisions = useful(readings)
    notes = sentences(decisions)
    assert list(styles) == ["age", "city", "day", "member"]
    assert [
        note
        for note in notes
        if "'age': 'inf' in data row 4 counts as missing" in note
        or "'day' holds dates" in note
    ] == notes[:2]
    tells(notes[2], "'name' 'a' --read name=words")
    tells(notes[3], "'one' 1.0")
    assert "name" in useful(readings, keep=("name", "one"))[1]
    assert "one" not in useful(readings, keep=("name", "one"))[1]


def test_a_schema_read_from_json_encodes_the_same(tmp_path):
    schema, frame = schema_of(TABLE)
    write_schema(schema, tmp_path / "schema.json")
    again = read_schema(tmp_path / "schema.json")
    assert again == schema
    np.testing.assert_array_equal(
        Encoder(again.columns)(frame), Encoder(schema.columns)(frame)
    )


def test_rare_categories_are_encoded_as_unknown():
    words = [
        f"w{i:03}"
        for i in range(MOST_CATEGORIES + 3)
        for _ in range(2 if i < MOST_CATEGORIES else 1)
    ]
    table = pl.DataFrame({"w": words})
    frame, styles, _ = useful(read_columns(table))
    columns, decisions = learn(frame, styles)
    assert decisions[0].sentence.startswith(
        "Column 'w' has 53 categories in the training rows: the 50 most frequent have an input each, the others "
        "(3 rows)"
    )
    encoded = Encoder(columns)(pl.DataFrame({"w": ["w000", "w052", "never"]}))
    assert encoded.sum(1).tolist() == [1, 0, 0]


def test_a_new_table_is_read_as_the_training_table_was():
    schema, _ = schema_of(TABLE)
    new = {
        "member": [True],
        "day": ["1970-01-04"],
        "city": [7],
        "age": ["unknown"],
        "more": [0],
    }
    converted, notes = schema.convert(pl.DataFrame(new))
    assert converted.to_dicts() == [
        {"age": None, "city": "7", "day": 3.0, "member": "true"}
    ]
    assert notes == [
        "Column 'city': 1 row with a word that training never saw ('7'), read as none of the words of training.",
        "Missing values replaced by the median of the training rows: 'age' (1).",
    ]
    assert Encoder(schema.columns)(converted).tolist() == [[45, 3, 1, 0, 0, 0, 0, 0, 1]]


def test_numbers_beyond_those_of_training_are_counted():
    table = pl.DataFrame(
        {"size": [10.0, 20.0, 30.0, None], "levels": [1.0, 2.0, 3.0, 4.0]}
    )
    schema, _ = schema_of(table)
    new = pl.DataFrame(
        {"size": [31.9, 32.1, 7.9, -999.0], "levels": [1.0, 4.2, 0.8, None]}
    )
    notes = schema.convert(new)[1]
    tells(notes[-1], "'size' 3 10 30")
    assert not any("Outside" in note for note in schema.convert(table)[1])


def test_missing_columns_are_named_with_the_nearest_ones():
    schema, _ = schema_of(TABLE)
    with refuses(BadInput, "1 'city' 'City'"):
        schema.convert(TABLE.rename({"city": "City"}))


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ("not json", ""),
        ("[]", ""),
        ('{"format": 6, "langevax": "0.1"}', ""),
        ('{"format": 5, "langevax": "0.2"}', "0.2"),
        ("[" * 100_000, ""),
        (
            '{"format": 99, "langevax": "9.9"}',
            "9.9",
        ),
    ],
)
def test_foreign_damaged_and_newer_schemas_are_refused(tmp_path, content, facts):
    (tmp_path / "schema.json").write_text(content)
    with refuses(BadInput, facts):
        read_schema(tmp_path / "schema.json")


def test_a_schema_belongs_to_one_model(tmp_path):
    schema, _ = schema_of(TABLE)
    write_schema(schema, tmp_path / "schema.json", model="a1")
    assert read_schema(tmp_path / "schema.json", "a1") == schema
    with refuses(BadInput):
        read_schema(tmp_path / "schema.json", "b2")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    schema, path = (
        schema_of(TABLE)[0],
        tmp_path_factory.mktemp("schema") / "schema.json",
    )
    write_schema(schema, path)
    return schema, path.read_bytes()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_flipped_bit_of_a_schema_is_refused_or_changes_nothing(written, data):
    schema, content = written
    content = bytearray(content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "schema.json"
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(
            st.integers(0, 7)
        )
        path.write_bytes(content)
        with suppress(BadInput):
            assert read_schema(path) == schema


def test_a_schema_is_plain_json(tmp_path):
    write_schema(schema_of(TABLE)[0], tmp_path / "schema.json")
    column = json.loads((tmp_path / "schema.json").read_text())["schema"]["columns"][0]
    assert column == {
        "name": "age",
        "style": {
            "kind": "numeric",
            "decimal": ".",
            "unit": "",
            "grouped": False,
            "order": "year-first",
            "mark": "",
            "zoned": False,
            "lenient": False,
            "truth": "",
            "verbatim": False,
            "ignore_case": False,
        },
        "missing": True,
        "fill": 45.0,
        "categories": [],
        "span": [30.0, 60.0],
    }
