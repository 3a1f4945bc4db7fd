"""Exponents of made-up times, constants of made-up tables and the extrapolation beside sums done by hand."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import cluster, growth, largest
from benchmarks.growth import Grown, draw
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

SIZES = [100, 1_000, 10_000, 31_623, 100_000]
MACHINE = cluster.Machine(
    activation=2e-9,
    coordinate=1e-8,
    latency=1e-3,
    bandwidth=1e9,
    particle=1_000,
    memory=1e9,
)


def test_the_exponent_is_that_of_the_last_decade_and_of_medians():
    seconds = [[1e-6 + 1e-9 * size**1.5] * 4 + [50.0] for size in SIZES]
    seconds[:2] = [[7.0] * 5] * 2  # what a step costs at all hides small sizes
    grown = Grown("made up", "rows n", "", SIZES, seconds, 1.5)
    assert grown.exponent == pytest.approx(1.5, abs=0.03)


def test_the_error_of_an_exponent_is_that_of_its_repeats():
    powers = [0.9, 1.0, 1.1]
    grown = Grown(
        "made up",
        "rows n",
        "",
        SIZES,
        [[size**power for power in powers] for size in SIZES],
        1.0,
    )
    assert grown.exponent == pytest.approx(1.0)
    assert grown.error == pytest.approx(0.1 / np.sqrt(3))


def test_the_fixed_cost_of_a_run_is_not_part_of_a_step():
    assert growth.differences(lambda steps: 5.0 + 0.25 * steps, 8, repeats=3) == [
        0.25,
        0.25,
        0.25,
    ]


def test_a_difference_that_is_not_positive_is_taken_again_with_more_steps():
    num_steps_run = []

    def took(steps):
        num_steps_run.append(steps)
        return 1.0 if steps < 20 else steps / 10

    assert growth.differences(took, 4, repeats=2) == pytest.approx(
        [(2.4 - 1.0) / 16] * 2
    )
    assert num_steps_run == [4, 12, 8, 24, 8, 24]


def test_a_clock_that_stands_still_ends():
    with refuses(ArithmeticError):
        growth.differences(lambda steps: 1.0, 1)


def test_steps_are_whole_periods(monkeypatch):
    monkeypatch.setattr(growth, "LEAST", 1e-3)
    num_steps_run = []
    growth.seconds_of_a_step(
        lambda steps: num_steps_run.append(steps) or sum(range(20_000 * steps)), unit=3
    )
    assert num_steps_run
    assert not any(steps % 3 for steps in num_steps_run)


@pytest.mark.long
def test_coordinates_of_psdca_are_counted_without_refreshes_and_refreshes_one_a_step():
    steps = growth.steps_of(growth.coordinate(size=20, particles=50)[0])
    assert int(steps(500).counts["refreshes"].low) == 0
    steps = growth.steps_of(growth.refresh(size=20, particles=50)[0])
    assert int(steps(5).counts["refreshes"].low) == 4  # none before the first step


def test_each_size_has_three_decades_with_three_sizes_in_the_last():
    for size in growth.sizes():
        assert size.sizes[-1] / size.sizes[0] >= 1_000
        assert sum(value >= size.sizes[-1] / 10.001 for value in size.sizes) >= 3


def test_a_sum_over_a_ring():
    assert MACHINE.sum_of(1_000, 1) == 0
    assert MACHINE.sum_of(1_000, 2) == pytest.approx(
        1e-3 + 4_000 / 1e9
    )  # as measured with two
    assert MACHINE.sum_of(1e6, 5) == pytest.approx(4e-3 + 2 * 0.8 * 4e6 / 1e9)


def test_a_step_over_devices_beside_sums_done_by_hand():
    # 1000 rows: 2 us, 21 coordinates: .21 us a particle
    assert MACHINE.particles_over(1, 1e6) == pytest.approx(2.21)
    # a sum of 1000 outputs, whatever number of particles a device has
    assert MACHINE.particles_over(4, 1e6) == pytest.approx(
        2.21 / 4 + 3e-3 + 1.5 * 4_000 / 1e9
    )
    # 1e6 rows: 2 ms, over 4 devices .5 ms; 21 coordinates are everybody's; a sum of 21,000 numbers
    assert MACHINE.rows_over(4, 1e6) == pytest.approx(
        0.5 + 2.1e-4 + 3e-3 + 1.5 * 84_000 / 1e9
    )


def test_where_memory_ends_and_where_sums_overtake():
    assert MACHINE.most_particles(1) == (10**9 - 84_000) // 1_000
    assert MACHINE.holds_particles(2, 1.9e6)
    assert not MACHINE.holds_particles(1, 1.9e6)
    assert MACHINE.holds_rows(4, 4e7)
    assert not MACHINE.holds_rows(2, 4e7)
    # 1e4 particles: 22.1 ms / k of work against (k - 1) ms
    assert MACHINE.overtaken(1e4) == 6
    assert cluster.cell(0.0123456, fits=True) == "12.3\N{NO-BREAK SPACE}ms"
    assert cluster.cell(12.3456, fits=False) == "(12.3\N{NO-BREAK SPACE}s)"


def test_constants_are_those_of_the_tables():
    def row(method, seconds):
        return {
            "method": method,
            "size": "particles N",
            "sizes": [10, 1_000],
            "seconds": [[9.0], [0, seconds, 99.0]],
        }

    grown = [row("MFLD", 1_000 * 2.21e-6), row("MFLD, one row", 1_000 * 2.12e-7)]
    sizes = [{"method": "MFLD", "size": "particles N", "largest": 4, "bytes": 3_000}]
    constants = cluster.machine(grown, sizes, {"latency": 1e-3, "bandwidth": 1e9})
    assert constants.activation == pytest.approx(2e-9, rel=1e-6)
    assert constants.coordinate == pytest.approx(1e-8, rel=1e-6)
    assert (constants.latency, constants.bandwidth, constants.particle) == (
        1e-3,
        1e9,
        750,
    )


def test_latency_and_bandwidth_of_made_up_sums():
    sums = [{"floats": k, "seconds": 2e-3 + 4 * k / 5e8} for k in cluster.FLOATS]
    assert cluster.line(sums) == pytest.approx((2e-3, 5e8))


@pytest.mark.slow
def test_the_memory_of_a_program_is_counted_without_allocating_it():
    rows = 10**10 // 84  # 10 GB of rows and targets
    before = largest.memory()["VmHWM"]
    need = largest.memory_need(lambda draw: largest.mfld(rows, 10, draw))
    assert largest.memory()["VmHWM"] - before < 10**9
    assert need.problem == pytest.approx(84 * rows, rel=1e-6)
    assert need.total == pytest.approx(need.problem, rel=0.05)
    assert need.state == pytest.approx(4 * 21 * 10, abs=64)


@pytest.mark.slow
def test_the_largest_size_is_within_a_hundredth_of_the_limit():
    cases = {case.name: case for case in largest.cases()}
    size, need = largest.largest(cases["chains of LD in chains"], limit=1e8)
    assert 0.99e8 <= need.total <= 1e8
    assert need.total == pytest.approx(
        cases["chains of LD in chains"].memory_need(size).total
    )
    assert len(cases) == len(list(largest.cases()))
    assert largest.rounded(20_499_018) == "20,000,000"


def test_numbers_that_are_drawn_lie_between_minus_one_and_one():
    drawn = largest.drawn(300, 7)
    assert drawn.shape == (300, 7)
    assert drawn.dtype == jnp.float32
    assert -1 <= drawn.min() < -0.9
    assert 0.9 < drawn.max() < 1


@pytest.mark.long
def test_the_figure_has_a_panel_for_each_kind_of_size(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        Grown(
            size.method,
            size.size,
            size.beside,
            list(size.sizes),
            [[k**0.9, k**0.91] for k in size.sizes],
            1.0,
        )
        for size in growth.sizes()
    ]
    draw(rows, tmp_path / "growth.svg")
    text = (tmp_path / "growth.svg").read_text()
    assert text.count("expected") == len(rows)
    assert "SVRG-LD: 0.90 ± 0.0" in text or "SVRG-LD: 0.91 ± 0.0" in text


def test_the_page_of_clusters_has_the_tables_of_its_constants(capsys):
    page = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text(
        encoding="utf-8"
    )
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(compile(block, "cluster.md", "exec"), names)
    cluster.show(names["here"])
    printed = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("|")
    ]
    assert len(printed) == 13
    assert [line for line in printed if line not in page] == []
