"""A column whose rows of one value belong together is named, with what a random split promises and what is met."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from langevax.app.tables.repeats import repeated_cases

from langevax.app.fit import FitOptions
from langevax.app.fitting.data import prepare


def visits(people=40, each=5, seed=0):
    """Visits of people with an age and a dose that do not change; what is measured is a person's own, and noise."""
    rng, person = np.random.default_rng(seed), np.repeat(np.arange(people), each)
    frame = pl.DataFrame(
        {
            "day": rng.normal(size=people * each),
            "who": 100.0 + person,
            "age": rng.normal(size=people)[person],
            "dose": rng.normal(size=people)[person],
        }
    )
    return frame, rng.normal(size=people)[person] + 0.3 * rng.normal(size=people * each)


def named(frame, y, like_ids=()):
    outputs = np.eye(2)[(y > 0).astype(int)] if like_ids == ("classes",) else y[:, None]
    places = {name: [i] for i, name in enumerate(frame.columns)}
    return [
        one.sentence
        for one in repeated_cases(frame, frame.to_numpy(), places, outputs, like_ids)
    ]


@pytest.mark.parametrize("like_ids", [(), ("classes",)])
def test_people_who_are_seen_again_are_named(like_ids):
    frame, y = visits()
    (sentence,) = named(frame, y, like_ids)
    assert sentence.startswith(
        "Column 'who': rows with the same value are alike. A kernel machine explains"
    )
    promised, met = (
        int(word) for word in sentence.replace("%", " ").split() if word.isdigit()
    )
    assert promised > 12 > 3 > met
    assert "fit with --group who" in sentence


def test_a_small_share_of_the_variance_counts_where_little_is_left():
    """Pigs that grow: time explains nearly all, and what a pig has of its own is most of the rest."""
    frame, level = visits()
    (sentence,) = named(frame, frame["day"].to_numpy() + 0.15 * level)
    promised, met = (
        int(word) for word in sentence.replace("%", " ").split() if word.isdigit()
    )
    assert promised > 97
    assert 1 <= promised - met <= 4
    noise = np.random.default_rng(4).normal(size=len(level))
    assert not named(
        frame, frame["day"].to_numpy() + 0.15 * level + 0.5 * noise
    )  # much is left


def test_rows_on_their_own_are_not():
    frame, y = visits()
    shuffled = frame.with_columns(pl.col("who").shuffle(seed=1))  # determines nothing
    assert not named(shuffled, y)
    rng = np.random.default_rng(1)
    alike = (
        rng.normal(size=200) + frame["age"].to_numpy()
    )  # all that is alike is in the columns
    assert not named(frame, alike)
    assert not named(frame[:40], y[:40])


def test_states_that_have_a_row_for_each_year_are_named():
    """Nothing is constant within a state; (state, year) is never twice, where chance would have it so."""
    rng, state, year = (
        np.random.default_rng(2),
        np.repeat(np.arange(30), 20),
        np.tile(np.arange(20), 30),
    )
    frame = pl.DataFrame({"state": state, "year": 60 + year, "x": rng.normal(size=600)})
    level = rng.normal(size=30)[state] + 0.1 * rng.normal(size=600)
    (sentence,) = named(frame, level)
    assert sentence.startswith("Column 'state'")
    alone = frame.with_columns(pl.Series("year", rng.integers(0, 20, 600)))
    assert not named(alone, level)


def test_batches_that_lie_close_in_time_are_named():
    rng, batch = np.random.default_rng(3), np.repeat(np.arange(30), 10)
    days = 100.0 * batch + rng.uniform(0, 5, 300)
    frame = pl.DataFrame({"batch": batch, "day": days, "x": rng.normal(size=300)})
    level = rng.normal(size=30)[batch] + 0.1 * rng.normal(size=300)
    places, outputs = (
        {name: [i] for i, name in enumerate(frame.columns)},
        level[:, None],
    )
    (decision,) = repeated_cases(frame, frame.to_numpy(), places, outputs, (), ("day",))
    assert decision.column == "batch"
    spread = frame.with_columns(pl.Series("day", rng.uniform(0, 3000, 300)))
    assert not repeated_cases(spread, spread.to_numpy(), places, outputs, (), ("day",))


def test_dates_are_no_cases():
    frame, y = visits()
    frame = frame.rename({"who": "day of birth"})
    places = {name: [i] for i, name in enumerate(frame.columns)}
    assert repeated_cases(frame, frame.to_numpy(), places, y[:, None], ())
    assert not repeated_cases(
        frame, frame.to_numpy(), places, y[:, None], (), ("day of birth", "age", "dose")
    )


def test_an_id_is_tried_though_it_determines_no_column():
    frame, y = visits()
    alone = frame.select("day", "who")
    assert not named(alone.with_columns(other=pl.col("day") ** 2), y)
    words = alone.with_columns(who=pl.col("who").cast(pl.String))
    codes = np.eye(40)[frame["who"].to_numpy().astype(int) - 100]
    inputs, places = (
        np.column_stack([frame["day"].to_numpy(), codes]),
        {"day": [0], "who": list(range(1, 41))},
    )
    (decision,) = repeated_cases(words, inputs, places, y[:, None], ("who",))
    assert decision.column == "who"


def test_a_fit_without_groups_is_warned(tmp_path):
    frame, y = visits()
    file = tmp_path / "visits.csv"
    frame.with_columns(level=y).write_csv(file)
    alone, together = (
        prepare(FitOptions(file, "level", Path(tmp_path), group=group))
        for group in (None, "who")
    )
    assert "--group who" in alone.alike[0]
    assert (alone.leaks, alone.reading.leaks, together.alike) == ((), (), ())
    assert alone.alike[0] in str(alone.reading)
    assert (together.split.grouped_by, "who" in together.split.groups) == ("who", False)
    assert not np.intersect1d(
        *(
            together.split.groups_of(rows)
            for rows in (together.split.train, together.split.test)
        )
    ).size
    assert "values of 'who'." in " ".join(together.reading.remarks) + str(
        together.reading
    )
