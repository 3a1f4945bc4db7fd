"""Steps by a fit to the predictions: polynomials to rounding, invariant laws, acceptance by dimension."""

import jax
import numpy as np
import pytest

import langevax
from langevax import spaces
from langevax.sampling import GaussianNoise
from langevax.sampling.moves import Around, ByFit
from langevax.sampling.reference import NormalReference, find_reference
from langevax.sampling.solver import Solve
from langevax.sampling.solver_walk import SolverWalk
from langevax.sampling.surrogate import (
    FittedMisfit,
    InformedDirections,
    factors_of,
    fitted_misfit,
    monomials,
)
from tests.errorbars import LIMIT

KEY = jax.random.key(0)
NUM_MODES = 6
BASIS = spaces.Cosine(NUM_MODES)
PRIOR = spaces.GaussianPrior(BASIS, np.linspace(1.0, 0.5, NUM_MODES))
BACK = np.linalg.inv(np.asarray(BASIS.evaluate(BASIS.grid), float))
ROWS = np.random.default_rng(1).normal(size=(2, NUM_MODES))
DATA = np.array([0.6, -0.4])
NOISE = 0.5


def linear_walk():
    """A walk about the normal law that is the posterior of a linear map."""
    target = langevax.inverse_problem(
        lambda f: ROWS @ (BACK @ np.asarray(f, float)), DATA, NOISE, PRIOR
    )
    solver = target.solver
    reference = find_reference(solver, np.zeros(NUM_MODES))
    return SolverWalk(solver, [reference], "pcn", 0.5)


def solves_of(walk, number, rng):
    return [
        walk.solver.solve(z)
        for z in walk.reference.to_prior_units(rng.standard_normal((number, NUM_MODES)))
    ]


def test_monomials_are_products_of_coordinates_and_linear_ones_beyond():
    c = np.random.default_rng(0).normal(size=(4, 3))
    x, y, z = c.T
    one = np.ones(4)
    np.testing.assert_allclose(
        monomials(c, factors_of(2, 3, most=7)),
        np.stack([one, x, y, x * x, x * y, y * y, z], axis=1),
    )
    assert len(factors_of(3, 3, most=20)) == 20
    assert factors_of(2, 3, most=4) is None


def test_predictions_that_are_polynomials_are_fitted_to_rounding():
    """Of degree 3 in two coordinates, with correlated noise; a misfit off by a factor of two would be 50 % off."""
    rng = np.random.default_rng(0)
    reference = NormalReference(
        np.array([0.3, -0.2, 0.0]), np.eye(3)[:, :2], np.array([0.4, 0.7])
    )
    noise = GaussianNoise(covariance=[[1.0, 0.4], [0.4, 2.0]])

    def solve(z):
        residual = np.array([z[0] ** 3 - z[1], 0.5 * z[0] * z[1] ** 2 + 1.0])
        return Solve(z, float(residual @ noise.times_precision(residual)) / 2, residual)

    solves = [solve(reference.to_prior_units(w)) for w in rng.standard_normal((200, 3))]
    fit = fitted_misfit(reference, noise, solves, [True] * 200)
    assert fit.factors.shape[1] == 3
    assert fit.cost == pytest.approx(1, abs=1e-6)
    others = [solve(reference.to_prior_units(w)) for w in rng.standard_normal((20, 3))]
    c = np.stack(
        [reference.from_prior_units(other.z) @ fit.along.directions for other in others]
    )
    np.testing.assert_allclose(
        fit._replace(ceiling=np.inf).psi(c) - fit.along.energy(c),
        [other.misfit for other in others],
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_chain_on_the_fit_leaves_the_fitted_posterior_invariant():
    """Its density under the reference is exp(-(b c)^2 / 2): normal along one direction, the reference elsewhere."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(4, 2)))[0]
    scales, mean, b = np.array([0.6, 0.8]), np.array([0.5, -0.3]), np.array([1.5, 1.0])
    fit = FittedMisfit(
        InformedDirections(directions, scales, mean),
        factors_of(1, 2, 3),
        np.array([[0.0, *b]]),
        np.inf,
        1.0,
    )
    # |mean + scales c|^2 + (b c)^2, twice minus the logarithm of the density in c
    precision = np.diag(scales**2) + np.outer(b, b)
    covariance = np.linalg.inv(precision)
    centre = -covariance @ (scales * mean)
    c = rng.multivariate_normal(centre, covariance, 1500)
    rest = rng.standard_normal((1500, 4))
    start = rest - rest @ directions @ directions.T + c @ directions.T
    ends, rises = zip(*(fit.end_of_chain(w, rng) for w in start), strict=True)
    ends = np.array(ends)
    expected = np.eye(4) + directions @ (covariance - np.eye(2)) @ directions.T
    np.testing.assert_allclose(
        ends.mean(0), directions @ centre, atol=LIMIT / np.sqrt(1500)
    )
    np.testing.assert_allclose(np.cov(ends.T), expected, atol=LIMIT * np.sqrt(2 / 1500))
    along = ends @ directions
    assert abs(np.corrcoef(along[:, 0], c[:, 0])[0, 1]) < 0.2
    assert (
        abs(np.corrcoef((ends - along @ directions.T)[:, 0], start[:, 0])[0, 1]) < 0.1
    )

    def psi(c):
        return (
            (c @ b) ** 2
            + np.sum((mean + scales * c) ** 2, axis=1)
            - np.sum(c**2, axis=1)
        ) / 2

    np.testing.assert_allclose(rises, psi(along) - psi(c), atol=1e-9)


def test_every_proposal_is_accepted_where_the_map_is_linear():
    walk, rng = linear_walk(), np.random.default_rng(0)
    walk.add_fit(solves_of(walk, 60, rng), [True] * 60)
    assert [type(move) for move in walk.moves] == [Around, ByFit]
    solve = walk.solver.solve(np.ones(NUM_MODES))
    for _ in range(10):
        solve, log_ratio = walk.moves[1].propose(
            walk.solver, walk.reference, solve, rng
        )
        assert abs(log_ratio) < 1e-5


@pytest.mark.slow
def test_draws_are_those_of_the_posterior_whatever_the_fit():
    """Every second coefficient of the fit is wrong by a half: moments of the normal posterior, to their error."""
    walk, rng = linear_walk(), np.random.default_rng(0)
    walk.add_fit(solves_of(walk, 60, rng), [True] * 60)
    fit = walk.moves[1].fit
    wrong = fit.root * np.where(np.arange(fit.root.shape[1]) % 2, 1.5, 1.0)
    walk.moves[1] = ByFit(fit._replace(root=wrong, ceiling=np.inf))
    walk.weights = np.array([0.0, 1.0])
    state = walk.solver.solve(walk.reference.mean)
    draws, rates = np.empty((2000, NUM_MODES)), []
    for i in range(len(draws)):
        step = walk.step(state, rng)
        state, draws[i] = step.state, walk.coordinates(step.state)
        rates.append(step.acceptance)
    assert 0.3 < np.mean(rates) < 0.95
    effective = len(draws) / 4  # at least, by the autocorrelation at this acceptance
    np.testing.assert_allclose(draws.mean(0), 0, atol=LIMIT / np.sqrt(effective))
    np.testing.assert_allclose(
        np.cov(draws.T), np.eye(NUM_MODES), atol=LIMIT * np.sqrt(2 / effective)
    )


def test_the_ratio_is_that_of_posterior_and_fitted_densities():
    target = langevax.inverse_problem(
        lambda f: np.exp(ROWS @ (BACK @ np.asarray(f, float))),
        np.exp(DATA),
        NOISE,
        PRIOR,
    )
    reference = find_reference(target.solver, np.zeros(NUM_MODES))
    walk, rng = (
        SolverWalk(target.solver, [reference], "pcn", 0.5),
        np.random.default_rng(0),
    )
    walk.add_fit(solves_of(walk, 80, rng), [True] * 80)
    fit, here = walk.moves[1].fit, target.solver.solve(reference.mean + 0.3)
    there, log_ratio = walk.moves[1].propose(walk.solver, reference, here, rng)

    def log_posterior(z):
        predicted = np.exp(ROWS @ (np.sqrt(np.asarray(PRIOR.eigenvalues, float)) * z))
        return -np.sum((predicted - np.exp(DATA)) ** 2) / (2 * NOISE**2) - z @ z / 2

    def log_fitted(w):
        c = w @ fit.along.directions
        phi = np.prod([np.append(1.0, c)[column] for column in fit.factors.T], axis=0)
        z = fit.along.to_prior_units(c)
        psi = min(np.sum((fit.root @ phi) ** 2) / 2 + (z @ z - c @ c) / 2, fit.ceiling)
        return -psi - w @ w / 2

    expected = log_posterior(there.z) - log_posterior(here.z)
    after, before = map(reference.from_prior_units, (there.z, here.z))
    expected -= log_fitted(after) - log_fitted(before)
    assert abs(log_ratio) > 1e-3
    assert log_ratio == pytest.approx(expected, abs=1e-6)


def test_no_fit_without_solves_or_of_predictions_that_jump():
    walk, rng = linear_walk(), np.random.default_rng(0)
    assert fitted_misfit(walk.reference, walk.solver.noise, [], []) is None
    failed = [Solve(np.zeros(NUM_MODES), np.inf, None)]
    assert fitted_misfit(walk.reference, walk.solver.noise, failed, [False]) is None
    noisy = [
        solve._replace(
            residual=(residual := 9 * rng.standard_normal(2)),
            misfit=float(residual @ residual) * 2,
        )
        for solve in solves_of(walk, 100, rng)
    ]
    walk.add_fit(noisy, [True] * 100)
    assert len(walk.moves) == 1


@pytest.mark.slow
def test_acceptance_does_not_fall_with_the_number_of_modes():
    """Exponentials of the first three coefficients, of 8 modes and of 1,024."""
    rates = []
    for num_modes in (8, 1024):
        basis = spaces.Cosine(num_modes)
        prior = spaces.GaussianPrior(basis, np.arange(1.0, num_modes + 1) ** -2)
        rows = np.asarray(basis.evaluate(basis.grid), float)[:, :3].T / num_modes
        target = langevax.inverse_problem(
            lambda f, rows=rows: np.exp(rows @ np.asarray(f, float)),
            np.array([1.5, 0.8, 1.1]),
            0.3,
            prior,
        )
        rng = np.random.default_rng(0)
        reference = find_reference(target.solver, np.zeros(num_modes))
        walk = SolverWalk(target.solver, [reference], "pcn", 0.5)
        places = reference.to_prior_units(rng.standard_normal((150, num_modes)))
        walk.add_fit([walk.solver.solve(z) for z in places], [True] * 150)
        walk.weights = np.array([0.0, 1.0])
        state, accepted = walk.solver.solve(reference.mean), []
        for _ in range(150):
            step = walk.step(state, rng)
            state = step.state
            accepted.append(step.acceptance)
        rates.append(np.mean(accepted))
    assert min(rates) > 0.9
    assert abs(rates[0] - rates[1]) < 0.05
