"""Positions of dates in the year, the week and the day as inputs."""

import json

import numpy as np
import polars as pl
import pytest
from langevax.app.tables.cycles import candidates, helpful_cycles, position

from langevax.app.tables.records import sentences
from langevax.app.tables.schema import (
    Column,
    Encoder,
    Schema,
    read_schema,
    write_schema,
)
from langevax.app.tables.styles import Style
from langevax.data.integrity import HASH, hash_of

RNG = np.random.default_rng(0)
DAYS = np.sort(RNG.choice(2000, 400, replace=False)).astype(float)
NOISE = RNG.normal(size=400)


def chosen(targets, days=DAYS, **more):
    return helpful_cycles(days[:, None], targets, {"day": pl.Series(days)}, **more)


def test_a_cycle_is_used_where_the_target_follows_it_and_said():
    season = np.cos(2 * np.pi * DAYS / 365.2425)
    cycles, decisions = chosen(season + 0.5 * NOISE)
    assert cycles == {"day": ("year",)}
    (sentence,) = sentences(decisions)
    assert sentence.startswith(
        "Column 'day': beside the date, the time of the year (by "
    )
    assert "the day of the week would not" in sentence


def test_weekends_are_seen_in_numbers_and_in_classes():
    weekend = ((DAYS + 3) % 7 >= 5).astype(int)
    assert chosen(weekend + 0.3 * NOISE)[0] == {"day": ("week",)}
    assert chosen(weekend, num_classes=2)[0] == {"day": ("week",)}


def test_a_cycle_is_left_off_where_the_target_is_noise_or_a_trend():
    for targets in (NOISE, DAYS / 2000 + 0.1 * NOISE):
        cycles, decisions = chosen(targets)
        assert cycles == {}
        (sentence,) = sentences(decisions)
        assert (
            "is used as one number, since the time of the year and the day of the week would not lower"
            in sentence
        )


def test_nothing_is_said_of_dates_within_one_cycle_or_of_too_few_rows():
    assert helpful_cycles(DAYS[:, None], NOISE, {"day": pl.Series(DAYS / 10_000)}) == (
        {},
        [],
    )
    assert helpful_cycles(
        DAYS[:20, None], NOISE[:20], {"day": pl.Series(DAYS[:20])}
    ) == ({}, [])
    assert candidates(np.array([])) == ()


def test_positions_are_near_each_other_at_the_turn_of_the_year():
    new_year = (
        pl.Series(["2023-12-31", "2024-01-01", "2024-07-01"])
        .str.to_date()
        .cast(pl.Int32)
        .to_numpy()
    )
    december, january, july = position(new_year.astype(float), "year")
    assert (
        np.linalg.norm(december - january) < 0.05 < 1.9 < np.linalg.norm(january - july)
    )


@pytest.fixture
def schema():
    day = Column("day", Style("date"), True, fill=4.0, cycles=("week", "day"))
    size = Column("size", Style("numeric"), False, fill=1.0, span=(0.0, 2.0))
    return Schema("y", "regression", (), (day, size))


def test_positions_follow_all_other_inputs_and_a_missing_date_has_that_of_the_median(
    schema,
):
    encoder = Encoder(schema.columns)
    names = (
        "day",
        "size",
        "day missing",
        "day sine of the week",
        "day cosine of the week",
    )
    assert encoder.names == (*names, "day sine of the day", "day cosine of the day")
    assert encoder.groups == {"day": [0, 2, 3, 4, 5, 6], "size": [1]}
    assert encoder.cycles == {"day": {"week": (3, 4), "day": (5, 6)}}
    assert encoder.quantities == (0, 1)
    encoded = encoder(pl.DataFrame({"day": [7.25, None], "size": [1.0, 2.0]}))
    np.testing.assert_allclose(
        encoded[0, 3:], [np.sin(np.pi / 14), np.cos(np.pi / 14), 1, 0], atol=1e-12
    )
    np.testing.assert_allclose(
        encoded[1, 3:], [np.sin(8 * np.pi / 7), np.cos(8 * np.pi / 7), 0, 1], atol=1e-12
    )


def test_cycles_are_saved_and_models_from_before_them_still_load(tmp_path, schema):
    write_schema(schema, tmp_path / "schema.json")
    assert read_schema(tmp_path / "schema.json") == schema
    content = json.loads((tmp_path / "schema.json").read_text())
    content["format"] = 3
    for column in content["columns"]:
        del column["cycles"]
    del content[HASH]
    content[HASH] = hash_of(content)
    (tmp_path / "schema.json").write_text(json.dumps(content))
    before = read_schema(tmp_path / "schema.json")
    assert all(column.cycles == () for column in before.columns)
    assert Encoder(before.columns).names == ("day", "size", "day missing")
