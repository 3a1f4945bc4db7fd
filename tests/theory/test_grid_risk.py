"""Mean-field problems on grids of one and two dimensions: duality, identities, and Newton's optimum."""

import numpy as np
import pytest
from scipy.optimize import root

from grid_laws import GridRisk, quadrature_weights, tensor_grid
from langevax.theory.mean_field import linear_log_partition, linear_optimum
from tests.gaussian_laws import kl_gaussian_diagonal
from tests.sentences import refuses
from tests.theory.grids import (
    LOSSES,
    RIDGE,
    TEMPERATURE,
    fenchel_young,
    kl_objective,
    kl_on_grid,
    plane_risk,
    proximal_gibbs_on_grid,
    random_density,
    tanh_risk,
)

LAWS = 20


@pytest.fixture(
    params=[(make, loss) for make in (tanh_risk, plane_risk) for loss in LOSSES]
)
def risk(request):
    make, loss = request.param
    return make(loss)


def test_strong_duality(risk):
    dual = risk.optimal_dual()
    best = risk.dual_objective(dual)
    assert abs(risk.primal_objective(risk.gibbs(dual)) - best) < 1e-12
    np.testing.assert_allclose(risk.dual_of(risk.gibbs(dual)), dual, rtol=0, atol=1e-12)
    rng = np.random.default_rng(7)
    for _ in range(LAWS):
        other = random_density(rng, risk)
        assert (
            risk.primal_objective(other)
            > best
            > risk.dual_objective(risk.dual_of(other))
        )


def test_gap_of_any_law_at_its_own_dual_is_its_divergence_from_its_gibbs_law(risk):
    """P(q) - D(g_q) = temperature KL(q || p_q)."""
    rng = np.random.default_rng(8)
    for _ in range(LAWS):
        density = random_density(rng, risk)
        dual = risk.dual_of(density)
        gap = risk.primal_objective(density) - risk.dual_objective(dual)
        assert abs(gap - risk.temperature * risk.kl(density, risk.gibbs(dual))) < 1e-12


def test_sandwich(risk):
    """temperature KL(q || q*) <= P(q) - P(q*) <= temperature KL(q || p_q)."""
    rng = np.random.default_rng(9)
    optimum = risk.gibbs(risk.optimal_dual())
    for _ in range(LAWS):
        density = random_density(rng, risk)
        gap = risk.primal_objective(density) - risk.primal_objective(optimum)
        lower = risk.temperature * risk.kl(density, optimum)
        upper = risk.temperature * risk.kl(density, risk.gibbs(risk.dual_of(density)))
        assert lower - 1e-12 <= gap <= upper + 1e-12
        assert lower > 1e-3  # the laws differ: nothing above is empty


def test_sandwich_is_tight_to_first_order(risk):
    """Near q* both ends meet the gap up to the bend of the loss: no factor 2 fits between them where it is weak."""
    flat = GridRisk(
        risk.points,
        0.02 * risk.values,
        risk.targets,
        RIDGE,
        TEMPERATURE,
        *LOSSES["squared"],
        weights=risk.weights,
    )
    optimum = flat.gibbs(flat.optimal_dual())
    density = random_density(np.random.default_rng(10), flat)
    gap = flat.primal_objective(density) - flat.primal_objective(optimum)
    assert flat.temperature * flat.kl(density, optimum) == pytest.approx(gap, rel=1e-3)
    assert flat.temperature * flat.kl(
        density, flat.gibbs(flat.dual_of(density))
    ) == pytest.approx(gap, rel=1e-3)


def test_certificate_needs_no_partition_function(risk):
    """P(p_g) - D(g) is the Fenchel-Young gap, for any feasible g."""
    rng = np.random.default_rng(10)
    for _ in range(LAWS):
        dual = -risk.targets * rng.uniform(0.05, 0.95, size=len(risk.targets))
        gap = risk.primal_objective(risk.gibbs(dual)) - risk.dual_objective(dual)
        assert abs(gap - fenchel_young(risk, dual)) < 1e-12
        assert gap > 0


def test_kl_objective_is_the_objective_up_to_the_priors_partition_function(risk):
    rng = np.random.default_rng(11)
    constant = risk.temperature * risk.log_partition(np.zeros(len(risk.targets)))
    for _ in range(LAWS):
        density = random_density(rng, risk)
        assert (
            abs(kl_objective(risk, density) - risk.primal_objective(density) - constant)
            < 1e-12
        )
    assert kl_objective(risk, risk.prior()) == np.mean(
        risk.loss(risk.outputs(risk.prior()), risk.targets)
    )


def test_derivatives_of_the_log_partition_are_mean_and_covariance(risk):
    """d(temperature log Z)/dg = -E_{p_g} h / n, and again: Cov_{p_g}(h) / (temperature n^2)."""
    n = len(risk.targets)
    dual, nudge = -0.3 * risk.targets, 1e-4 * np.eye(n)
    slope = [risk.log_partition(dual + e) - risk.log_partition(dual - e) for e in nudge]
    mean = risk.outputs(risk.gibbs(dual))
    np.testing.assert_allclose(
        risk.temperature * np.array(slope) / 2e-4, -mean / n, rtol=0, atol=1e-7
    )
    bend = [
        risk.outputs(risk.gibbs(dual + e)) - risk.outputs(risk.gibbs(dual - e))
        for e in nudge
    ]
    covariance = risk.covariance(risk.gibbs(dual))
    expected = covariance / (risk.temperature * n**2)
    np.testing.assert_allclose(
        -np.array(bend) / (2e-4 * n), expected, rtol=0, atol=1e-6 * expected.max()
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_newton_finds_what_powells_hybrid_finds(loss):
    risk = tanh_risk(loss, scale=5.0, temperature=0.02)
    dual = root(
        lambda g: g - risk.dual_of(risk.gibbs(g)), risk.optimal_dual() * 0.99, tol=1e-14
    ).x
    np.testing.assert_allclose(risk.optimal_dual(), dual, rtol=0, atol=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
def test_newton_copes_with_many_rows_and_cold_laws(loss):
    """Forty rows, four thousand points, a law of several modes: the residual of g = loss'(E h) is rounding."""
    risk = plane_risk(loss, size=40, axis=63, scale=10.0, temperature=0.01)
    dual = risk.optimal_dual()
    np.testing.assert_allclose(risk.dual_of(risk.gibbs(dual)), dual, rtol=0, atol=1e-12)
    assert (
        abs(risk.primal_objective(risk.gibbs(dual)) - risk.dual_objective(dual)) < 1e-12
    )


@pytest.mark.parametrize("dim", [1, 2])
def test_optimum_of_linear_neurons_is_the_closed_form(dim):
    inputs = np.array([[0.7, -0.2], [-1.1, 0.5], [0.4, 1.3]])[:, :dim]
    targets, temperature = np.array([1.0, -0.5, 2.0]), 0.3
    points, weights = tensor_grid(np.linspace(-9, 9, 181), dim)
    risk = GridRisk(
        points,
        inputs @ points.T,
        targets,
        RIDGE,
        temperature,
        *LOSSES["squared"],
        weights=weights,
    )
    optimum = linear_optimum(inputs, targets, RIDGE, temperature)
    dual = risk.optimal_dual()
    np.testing.assert_allclose(dual, optimum.dual, rtol=0, atol=1e-12)
    assert risk.dual_objective(dual) == pytest.approx(optimum.objective, rel=1e-12)
    assert kl_objective(risk, risk.gibbs(dual)) == pytest.approx(
        optimum.kl_objective, rel=1e-12
    )
    closed = linear_log_partition(dual, inputs, RIDGE, temperature)
    assert risk.log_partition(dual) == pytest.approx(closed, rel=1e-12)
    second = risk.measure @ (
        risk.gibbs(dual) * np.sum((points - optimum.mean) ** 2, axis=1)
    )
    assert second == pytest.approx(dim * optimum.variance, rel=1e-12)


def test_one_dimension_needs_no_weights_and_two_do():
    risk = tanh_risk("squared")
    column = GridRisk(
        risk.points[:, None],
        risk.values,
        risk.targets,
        RIDGE,
        TEMPERATURE,
        *LOSSES["squared"],
        weights=risk.measure,
    )
    np.testing.assert_array_equal(column.optimal_dual(), risk.optimal_dual())
    with refuses(ValueError, "weights"):
        GridRisk(
            risk.points[:, None],
            risk.values,
            risk.targets,
            RIDGE,
            TEMPERATURE,
            *LOSSES["squared"],
        )


def test_log_partition_and_kl_are_those_of_gaussians():
    grid = np.linspace(-12, 12, 801)
    p, log_partition = proximal_gibbs_on_grid(
        (grid - 0.3) ** 2 / 1.6, grid, 1.0
    )  # variance 0.8
    q, _ = proximal_gibbs_on_grid((grid + 1) ** 2, grid, 4.0)  # variance 2
    assert log_partition == pytest.approx(np.log(2 * np.pi * 0.8) / 2, rel=1e-12)
    expected = kl_gaussian_diagonal(0.3, 0.8, -1.0, 2.0)
    assert kl_on_grid(p, q, grid) == pytest.approx(expected, rel=1e-12)


def test_the_last_coordinate_of_a_tensor_grid_varies_fastest_and_its_weights_are_products():
    axis = np.array([0.0, 1.0, 3.0])
    points, weights = tensor_grid(axis, 3)
    np.testing.assert_array_equal(
        points[:4], [[0, 0, 0], [0, 0, 1], [0, 0, 3], [0, 1, 0]]
    )
    one = quadrature_weights(axis)
    np.testing.assert_array_equal(
        weights, np.einsum("i,j,k->ijk", one, one, one).ravel()
    )
