"""Exact values that the benchmark of learning coefficients compares with."""

import itertools

import jax
import numpy as np
import pytest

from benchmarks.learning_coefficient import (
    cases,
    coverage_of,
    equal_error,
    main,
    rivals,
    tasks,
)
from benchmarks.learning_coefficient.linear_networks import (
    exact_coefficient,
    most_singular,
    reduced_rank_threshold,
    threshold,
)
from tests.sentences import refuses

T = cases.temperature_of(1_000)


def test_two_layers_have_the_threshold_of_reduced_rank_regression():
    for inputs, hidden, outputs in itertools.product(range(1, 7), repeat=3):
        for rank in range(min(inputs, hidden, outputs) + 1):
            assert threshold((inputs, hidden, outputs), rank) == reduced_rank_threshold(
                inputs, hidden, outputs, rank
            )


def test_regular_maps_have_half_their_parameters():
    assert threshold((5, 7), 0) == threshold((5, 7), 3) == 35 / 2
    assert threshold((5, 9, 9, 7), 5) == 35 / 2  # wide layers restrict nothing
    assert threshold((1, 1, 1, 1), 0) == 0.5  # a product of three numbers
    assert threshold((4, 3, 4), 1) == 6.0


def test_thresholds_need_widths_of_the_rank():
    with refuses(ValueError):
        threshold((4, 1, 4), 3)


def test_gibbs_sampling_of_one_layer_is_its_normal_law():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4)) * [1.0, 3.0, 0.3, 1.0]
    gram, layers = X.T @ X / 100, [rng.normal(size=(3, 4))]
    s = np.linalg.eigvalsh(gram)
    mean = exact_coefficient(layers, gram, 0.1, 2.0, 40, rng)
    assert mean.value == pytest.approx(3 * np.sum(s / (s + 0.2)) / 2, rel=1e-9)


@pytest.mark.slow
def test_gibbs_sampling_of_two_numbers_is_quadrature():
    rng = np.random.default_rng(0)
    mean = exact_coefficient(
        [np.ones((1, 1)), np.ones((1, 1))], np.eye(1), T, 10.0, 5_000, rng
    )
    exact = cases.by_quadrature(
        lambda a, b: (a * b - 1) ** 2 / 2, (1.0, 1.0), T, 10.0
    ).value
    assert abs(mean.value - exact) < 4 * mean.error
    assert mean.error < 0.02


def test_layers_have_the_rank_and_the_map_too():
    layers = most_singular((9, 6, 8), 4, np.random.default_rng(0))
    for matrix in (*layers, layers[1] @ layers[0]):
        np.testing.assert_allclose(
            np.linalg.svd(matrix)[1],
            [1] * 4 + [0] * (min(matrix.shape) - 4),
            atol=1e-12,
        )


def test_there_are_twenty_networks_up_to_a_million_weights():
    sizes = [
        sum(a * b for a, b in itertools.pairwise(widths))
        for widths, _ in cases.networks()
    ]
    assert len(sizes) == 20
    assert sorted(sizes)[-3:] == [100_000, 102_400, 1_008_000]


@pytest.mark.parametrize("powers", cases.POWERS)
def test_monomials_have_the_sum_of_the_inverse_powers(powers):
    case = cases.monomials(powers)
    assert case.threshold == sum(1 / power for power in powers)
    assert case.exact(T, case.localization).value == pytest.approx(
        case.threshold, rel=2e-4
    )
    assert (
        case.exact(T, 1.0).value < 0.995 * case.threshold
    )  # a strong localization takes a part
    assert (
        case.loss(2 * np.ones(len(powers)), 1.0)
        == sum(2**power for power in powers) / 2
    )


def test_the_minimum_with_noise_is_one():
    case = cases.noisy()
    slope = jax.vmap(jax.grad(case.loss), (None, 0))(case.params, case.rows).mean(0)
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    assert (
        jax.vmap(case.loss, (None, 0))(case.params, case.rows).std() > 0.5
    )  # of which batches have a part


@pytest.mark.long
def test_langevin_dynamics_has_the_mean_of_a_normal_law_where_nothing_adapts(
    monkeypatch,
):
    """Rows agree, steps are short, and the floor is far above the slopes: RMSProp itself tilts the law by half."""
    case = cases.crossing()._replace(
        loss=lambda w, row: row * (w**2).sum() / 2, exact=cases.monomials((2, 2)).exact
    )
    monkeypatch.setattr(rivals, "FLOOR", 100.0)
    monkeypatch.setattr(rivals, "STEP_SIZE", 0.2)
    chains = rivals.of_chains(case, 0.1, 1.0, 4_000, 256)
    assert chains.mean() == pytest.approx(1 / (1 + 0.1), rel=0.05)
    monkeypatch.undo()
    errors = np.array(rivals.errors_by_budget(case, 0.1, 1.0, 128 * 160, 4))
    assert errors.shape == (len(rivals.STEP_SIZES), len(rivals.BUDGETS))
    assert errors[0, 0] > 0.9  # the shortest step does not leave the minimum in so few
    assert errors.min() < 0.5


def test_equal_errors_are_those_of_the_first_budget_that_has_one():
    assert equal_error(0.1, np.array([0.3, 0.2, 0.1, 0.09, 0.08, 0.07])) == "0.5"
    assert (
        equal_error(0.01, np.array([0.3, 0.2, 0.1, 0.09, 0.08, 0.07])) == "more than 5"
    )


def test_each_part_has_its_tasks():
    names = [
        name
        for part in ("gradients", "monomials", "calls")
        for name, _ in tasks(part, 1, False, "python")
    ]
    assert len(names) == len(set(names)) == 4 + 5 + 3


def test_coverage_counts_intervals():
    lines = [
        {"value": value, "exact": 1.0, "error": 0.1} for value in (0.9, 1.0, 1.19, 1.21)
    ]
    assert coverage_of(lines) == 3


def test_a_report_runs_nothing(tmp_path, capsys):
    main(["--report", "--out", str(tmp_path / "none.jsonl")])
    assert capsys.readouterr().out == ""
