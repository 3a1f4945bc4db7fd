"""Dual averaging and coordinate ascent with exact Gibbs laws: their formulas, and the rates of their theorems."""

import numpy as np
import pytest

from grid_laws import coordinate_ascent, dual_averaging
from langevax.theory.mean_field import sdca_condition, sdca_gap_bound
from tests.papers import transcripts_sdca
from tests.theory.grids import CONVEXITY, LOSSES, fenchel_young, tanh_risk

COORDINATES = {
    "squared": transcripts_sdca.squared,
    "logistic": transcripts_sdca.logistic,
    "smoothed hinge": transcripts_sdca.smoothed_hinge,
}
BOUND = 2.0


@pytest.fixture(params=LOSSES)
def risk(request):
    return tanh_risk(request.param, size=8, scale=BOUND, temperature=0.05)


def coordinate_of(risk):
    return next(
        COORDINATES[name] for name, parts in LOSSES.items() if parts[0] is risk.loss
    )


def condition_of(risk):
    convexity = next(
        CONVEXITY[name] for name, parts in LOSSES.items() if parts[0] is risk.loss
    )
    return sdca_condition(len(risk.targets), BOUND, risk.temperature, convexity)


def gap_of(risk, dual):
    return risk.dual_objective(risk.optimal_dual()) - risk.dual_objective(dual)


def averaging_weights(rounds):
    """2 t / (T (T + 3)) for t = 2..T + 1: the chance with which dual averaging returns the law of t - 1 rounds."""
    return 2 * np.arange(2, rounds + 2) / (rounds * (rounds + 3))


def all_rows(risk, rounds):
    return np.tile(np.arange(len(risk.targets)), (rounds, 1))


@pytest.mark.parametrize("tempered", [False, True])
def test_dual_averaging_minimises_its_weighted_sum(risk, tempered):
    """Law t + 1 against sum_s s E_q g^(s) + temperature (sum of s to t + 1) E_q log q: lower than any nudged law."""
    rows = np.random.default_rng(0).integers(8, size=(5, 2))
    run = dual_averaging(risk, rows, tempered)
    law = risk.prior()
    linear, count = np.zeros(len(risk.points)), 0
    for t, batch in enumerate(rows, start=1):
        slopes = risk.dual_of(law)[batch]
        linear = linear + t * slopes @ risk.values[batch] / 2
        count += t
        penalty = (
            risk.ridge * risk.squared_norms * (count if tempered else count + t + 1)
        )
        exponent = -(linear + penalty) / (risk.temperature * (count + t + 1))
        law = np.exp(exponent - exponent.max())
        law = law / (risk.measure @ law)
        assert run.objective[t] == pytest.approx(risk.primal_objective(law), abs=1e-11)


def test_average_of_a_full_batch_is_the_weighted_mean_of_the_slopes(risk):
    """dual = average t / (t + 2), and average = 2 / (t (t + 1)) sum_s s loss'_s."""
    run = dual_averaging(risk, all_rows(risk, 6))
    expected = np.zeros(8)
    for t in range(1, 7):
        expected += t * risk.dual_of(risk.gibbs(run.dual[t - 1]))
        np.testing.assert_allclose(
            run.average[t - 1], 2 / (t * (t + 1)) * expected, rtol=0, atol=1e-13
        )
        np.testing.assert_allclose(
            run.dual[t], run.average[t - 1] * t / (t + 2), rtol=0, atol=1e-13
        )


def test_average_of_single_rows_is_feasible_and_counts_each_row_alone():
    risk = tanh_risk("logistic", size=8, scale=BOUND, temperature=0.05)
    rows = np.array([[2], [5], [2], [0]])
    run = dual_averaging(risk, rows)
    laws = [risk.gibbs(dual) for dual in run.dual]
    slopes = [risk.dual_of(law) for law in laws]
    expected = np.zeros(8)
    expected[[2, 5, 0]] = (
        (slopes[0][2] + 3 * slopes[2][2]) / 4,
        slopes[1][5],
        slopes[3][0],
    )
    np.testing.assert_allclose(run.average[-1], expected, rtol=0, atol=1e-14)
    assert np.all(
        (-risk.targets * run.average >= 0) & (-risk.targets * run.average <= 1)
    )


@pytest.mark.parametrize("tempered", [False, True])
def test_weighted_gap_of_online_dual_averaging_times_its_rounds_is_bounded(tempered):
    """One random row a round: T (2 / (T (T + 3))) sum_t t (P - P*) neither grows nor dies out from 32 to 512."""
    risk = tanh_risk("squared", size=8, scale=BOUND, temperature=0.05)
    best = risk.dual_objective(risk.optimal_dual())
    rng = np.random.default_rng(1)
    scaled = np.zeros(3)
    for _ in range(4):
        objective = dual_averaging(
            risk, rng.integers(8, size=(512, 1)), tempered
        ).objective
        for k, rounds in enumerate((32, 128, 512)):
            gap = averaging_weights(rounds) @ (objective[1 : rounds + 1] - best)
            scaled[k] += rounds * gap / 4
    assert 0.4 < scaled[1] / scaled[0] < 1.3
    assert 0.4 < scaled[2] / scaled[1] < 1.3


def test_full_batch_dual_averaging_has_a_last_law_of_order_two(risk):
    """P(law T) - P* falls like T^-2, the average like it but for a logarithm: from 32 to 128 sixteen times."""
    objective = dual_averaging(
        risk, all_rows(risk, 128)
    ).objective - risk.dual_objective(risk.optimal_dual())
    assert objective[32] / objective[128] == pytest.approx(16, rel=0.25)
    means = [
        averaging_weights(rounds) @ objective[1 : rounds + 1] for rounds in (32, 128)
    ]
    assert 6 < means[0] / means[1] < 16


def test_the_form_with_kl_to_the_prior_is_closer_than_the_tempered_one(risk):
    best = risk.dual_objective(risk.optimal_dual())
    rows = all_rows(risk, 100)
    with_kl, tempered = (
        dual_averaging(risk, rows, flag).objective[-1] - best for flag in (False, True)
    )
    assert 0 < with_kl < tempered


@pytest.mark.slow
def test_coordinate_ascent_never_falls_and_meets_its_optimum(risk):
    rows = np.random.default_rng(2).integers(8, size=2500)
    duals = coordinate_ascent(risk, coordinate_of(risk), rows, BOUND)
    assert np.diff([risk.dual_objective(dual) for dual in duals]).min() > -1e-14
    assert np.all(np.count_nonzero(np.diff(duals, axis=0), axis=1) <= 1)
    assert gap_of(risk, duals[-1]) < 1e-3 * gap_of(risk, duals[0])


def test_expected_step_contracts_and_bounds_the_duality_gap(risk):
    """E D(g') - D(g) >= (1 / kappa) (P(p_g) - D(g)) >= (1 / kappa) (D* - D(g)), at feasible g of all kinds."""
    rng, condition = np.random.default_rng(3), condition_of(risk)
    duals = coordinate_ascent(
        risk, coordinate_of(risk), rng.integers(8, size=200), BOUND
    )
    visited = [duals[t] for t in (0, 1, 3, 10, 30, 100, 200)]
    random = [-risk.targets * rng.uniform(0, 1, size=8) for _ in range(20)]
    ratios = []
    for dual in visited + random:
        ends = [
            coordinate_ascent(risk, coordinate_of(risk), [i], BOUND, start=dual)[-1]
            for i in range(8)
        ]
        gain = np.mean(
            [risk.dual_objective(end) for end in ends]
        ) - risk.dual_objective(dual)
        gap = gap_of(risk, dual)
        assert gain >= fenchel_young(risk, dual) / condition - 1e-13
        assert fenchel_young(risk, dual) >= gap - 1e-13
        ratios.append(fenchel_young(risk, dual) / (condition * gain))
    assert (
        max(ratios) > 0.5
    )  # a condition of twice the size would not be seen below, half of it would break above


def test_mean_path_of_coordinate_ascent_is_below_its_bound(risk):
    start = gap_of(risk, np.zeros(8))
    rng, best, gaps = (
        np.random.default_rng(4),
        risk.dual_objective(risk.optimal_dual()),
        [],
    )
    for _ in range(8):
        duals = coordinate_ascent(
            risk, coordinate_of(risk), rng.integers(8, size=150), BOUND
        )
        gaps.append([best - risk.dual_objective(dual) for dual in duals])
    bound = sdca_gap_bound(start, condition_of(risk), np.arange(151))
    assert np.all(np.mean(gaps, axis=0) <= bound * (1 + 1e-9))


def test_dual_gap_bounds_the_distance_of_the_duals(risk):
    """(gamma / 2n) |g - g*|^2 <= D* - D(g) <= Fenchel-Young."""
    convexity = (condition_of(risk) - 8) ** -1 * BOUND**2 / risk.temperature
    rng, best = np.random.default_rng(5), risk.optimal_dual()
    for _ in range(20):
        dual = -risk.targets * rng.uniform(0, 1, size=8)
        gap = gap_of(risk, dual)
        assert convexity / 16 * np.sum((dual - best) ** 2) <= gap + 1e-13
        assert gap <= fenchel_young(risk, dual) + 1e-13
