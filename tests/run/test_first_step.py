"""A run says how long it took until its first step could begin: by a clock that programs drive."""

from types import SimpleNamespace

import pytest

from langevax import Run
from tests.run.setting import DRIVER, simulate

BEGIN, COMPILE = (
    1000.0,
    100.0,
)  # seconds of the run's beginning and of its program; a step takes one


@pytest.fixture
def clock(monkeypatch):
    """The driver's clock, which stands still but while programs run."""
    clock = SimpleNamespace(now=5.0, begin=BEGIN)
    begin, advance = DRIVER.program.begin, DRIVER.program.advance

    def slow_begin(*parts):
        clock.now += clock.begin
        return begin(*parts)

    def slow_advance(chunk, carry, buffer):
        steps = int(chunk.stop) - int(carry.step)
        clock.now += steps or COMPILE
        return advance(chunk, carry, buffer)

    monkeypatch.setattr(DRIVER, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(DRIVER.program, "begin", slow_begin)
    monkeypatch.setattr(DRIVER.program, "advance", slow_advance)
    return clock


def test_seconds_to_the_first_step_cover_all_that_comes_before(clock):
    result = simulate(8)
    assert (result.seconds_to_first_step, result.seconds) == (
        BEGIN + COMPILE,
        BEGIN + COMPILE + 8,
    )
    assert result.to_datatree().attrs["seconds_to_first_step"] == BEGIN + COMPILE


def test_a_run_without_steps_has_only_that(clock):
    result = simulate(0)
    assert result.seconds_to_first_step == result.seconds == BEGIN + COMPILE


def test_a_resumed_run_counts_from_its_own_call(clock, tmp_path):
    simulate(8, run=Run(checkpoint=tmp_path))
    resumed = simulate(12, run=Run(checkpoint=tmp_path, resume=True))
    # One more step at the start and one at its save say what the run computes.
    assert (resumed.seconds_to_first_step, resumed.seconds) == (
        BEGIN + COMPILE + 1,
        BEGIN + COMPILE + 4 + 2,
    )


def test_of_several_phases_it_is_the_firsts(clock):
    first, clock.begin = simulate(8), 1.0
    joined = first.map(lambda x: x).then(simulate(4, start=first))
    assert (joined.seconds_to_first_step, joined.seconds) == (
        BEGIN + COMPILE,
        BEGIN + 1 + 2 * COMPILE + 12,
    )


def test_the_clock_is_real():
    result = simulate(4)
    assert 0 < result.seconds_to_first_step < result.seconds
