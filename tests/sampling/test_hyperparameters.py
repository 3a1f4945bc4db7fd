"""Noise level and prior parameters in the same chain: each step and whole runs against quadrature, and checks."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import multivariate_normal, multivariate_t

import langevax
from langevax import spaces
from langevax.sampling import GaussianNoise, HierarchicalInverseProblem, InverseProblem
from langevax.sampling.hyperparameter_chains import (
    CollapsedWalk,
    InterwovenState,
    InterwovenWalk,
    LinearData,
    ProposalLaw,
    slice_step,
)
from langevax.sampling.hyperparameter_draws import find_modes
from langevax.sampling.inverse import solver_of
from langevax.sampling.reference import exact_reference
from langevax.sampling.solver import Solve
from langevax.sampling.solver_walk import SolverWalk
from tests.errorbars import LIMIT
from tests.gaussian_laws import linear_inverse_posterior
from tests.sentences import refuses

pytestmark = pytest.mark.filterwarnings("ignore::langevax.sampling.SamplingWarning")
KEY = jax.random.key(0)
BASIS = spaces.Cosine(6, 12)
PLACES = np.linspace(0.04, 0.96, 14)
BLUR = np.exp(-((PLACES[:, None] - BASIS.grid) ** 2) / (2 * 0.06**2))
BLUR /= BLUR.sum(axis=1, keepdims=True)
FUNCTIONS = np.asarray(BASIS.evaluate(BASIS.grid), float)
MATRIX = BLUR @ FUNCTIONS
DATA = np.sin(5 * PLACES) + 0.2 * np.random.default_rng(0).normal(size=len(PLACES))
NOISE, LENGTH = dist.LogNormal(-1.5, 0.6), dist.LogNormal(-1.0, 0.8)


def blur(values):
    return BLUR @ np.asarray(values, np.float64)


def blur_adjoint(values, residual):
    return BLUR.T @ residual


def deconvolution(noise=NOISE, length_scale=LENGTH, **options):
    prior = spaces.MaternPrior(BASIS, 1.5, length_scale)
    return langevax.inverse_problem(blur, DATA, noise, prior, **options)


def log_posterior(noise, length, log_prior=None):
    """Return the log density of the logarithms at a pair of numbers, the function integrated out."""
    covariance = MATRIX * spaces.spectra.matern(
        BASIS, 1.5, length
    ) @ MATRIX.T + noise**2 * np.eye(len(DATA))
    if log_prior is None:  # normal laws of the logarithms
        log_prior = (
            -(((np.log(noise) + 1.5) / 0.6) ** 2 + ((np.log(length) + 1.0) / 0.8) ** 2)
            / 2
        )
    return multivariate_normal(np.zeros(len(DATA)), covariance).logpdf(DATA) + log_prior


@functools.cache
def quadrature():
    """Means and deviations of the logarithms of noise and length scale."""
    axes = np.linspace(-3.2, 0.5, 75), np.linspace(-4.0, 2.2, 75)
    logs = np.array(
        [[log_posterior(np.exp(s), np.exp(t)) for t in axes[1]] for s in axes[0]]
    )
    return moments(logs, *axes)


def moments(logs, *axes):
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    places = np.meshgrid(*axes, indexing="ij")
    means = np.array([np.sum(weights * place) for place in places])
    return means, np.sqrt(
        [np.sum(weights * (p - m) ** 2) for p, m in zip(places, means, strict=True)]
    )


def assert_law(logarithms, mean, deviation, least_ess=400):
    """Hold draws (chain, draw, numbers) against means and deviations, by their effective number."""
    from arviz_stats.base.array import array_stats

    centred = logarithms - mean
    for values, expected, spread in (
        (centred, 0, deviation),
        (centred**2, deviation**2, None),
    ):
        ess = np.asarray(
            array_stats.ess(values, chain_axis=0, draw_axis=1, method="mean")
        )
        assert ess.min() > least_ess
        errors = (values.mean((0, 1)) - expected) / (
            (values.std((0, 1)) if spread is None else spread) / np.sqrt(ess)
        )
        assert np.abs(errors).max() < LIMIT, (values.mean((0, 1)), expected, errors)


def logarithms(draws, *names):
    return np.stack(
        [np.log(np.asarray(draws.positions[name], np.float64)) for name in names],
        axis=-1,
    )


def linear_data(target):
    solver = solver_of(target.base)
    exact, _ = exact_reference(solver, np.random.default_rng(0))
    scales = np.sqrt(np.asarray(target.base.prior.eigenvalues, np.float64))
    return solver, LinearData.of(solver, exact, scales, target.level(target.centre))


@pytest.mark.parametrize("num_data", [4, 14])
@pytest.mark.parametrize("correlated", [False, True])
def test_the_evidence_of_linear_data_is_that_of_the_dense_law(num_data, correlated):
    """Differences of it, up to the rounding of a prior in float32, with fewer data than modes and with more."""
    matrix, data = MATRIX[:num_data], DATA[:num_data]
    covariance = np.exp(
        -np.abs(np.subtract.outer(PLACES, PLACES))[:num_data, :num_data] / 0.1
    ) + np.eye(num_data)
    noise = GaussianNoise(covariance=covariance) if correlated else NOISE
    prior = spaces.MaternPrior(
        BASIS, dist.LogNormal(0.0, 0.3), LENGTH, dist.LogNormal(0.0, 0.5)
    )
    target = langevax.inverse_problem(
        lambda f: BLUR[:num_data] @ np.asarray(f, np.float64), data, noise, prior
    )
    _, linear = linear_data(target)
    differences = []
    for smoothness, length, variance, level in itertools.product(
        (0.5, 2.5), (0.1, 0.5), (0.5, 4.0), (0.1, 0.7)
    ):
        mu = spaces.spectra.matern(BASIS, smoothness, length, variance)
        level = 1.0 if correlated else level
        dense = matrix * mu @ matrix.T + (
            covariance if correlated else level**2 * np.eye(num_data)
        )
        expected = multivariate_normal(np.zeros(num_data), dense).logpdf(data)
        differences.append(
            linear.log_evidence(linear.factor(mu, level), level) - expected
        )
    assert np.ptp(differences) < 1e-5


def test_functions_given_hyperparameters_are_those_of_the_normal_posterior():
    """Mean and covariance of draws, and of the reference law, in closed form."""
    _, linear = linear_data(deconvolution())
    mu, level, rng = (
        spaces.spectra.matern(BASIS, 1.5, 0.3),
        0.3,
        np.random.default_rng(1),
    )
    exact = linear_inverse_posterior(MATRIX, DATA, level, mu)
    factor = linear.factor(mu, level)
    draws = np.array([linear.draw(factor, mu, level, rng) for _ in range(6000)])
    white = np.linalg.solve(
        np.linalg.cholesky(exact.covariance), (draws - exact.mean).T
    )
    assert np.abs(white.mean(1)).max() < LIMIT / np.sqrt(6000)
    assert np.abs(white @ white.T / 6000 - np.eye(6)).max() < LIMIT * np.sqrt(2 / 6000)
    law = linear.law(mu, level)
    root = law.stretch(np.eye(6)) * np.sqrt(mu)
    np.testing.assert_allclose(np.sqrt(mu) * law.mean, exact.mean, atol=1e-5)
    np.testing.assert_allclose(root.T @ root, exact.covariance, atol=1e-5)


@functools.cache
def interwoven():
    """Return a walk with the reference of another length scale and noise, and the exact law of functions."""
    target = deconvolution(adjoint=blur_adjoint)
    solver, linear = linear_data(target)
    rng = np.random.default_rng(0)
    law, references, _ = find_modes(target, solver, np.zeros(6), target.centre, rng)
    wrong = linear._replace(
        rows=0.9 * linear.rows, data=0.8 * linear.data
    )  # any reference is right
    function_walk = SolverWalk(solver, references, "pcn", 0.5)
    return target, linear, InterwovenWalk(target, solver, law, function_walk, wrong)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["centred", "independent", "walk"])
@pytest.mark.usefixtures(
    "unchecked_types"
)  # thousands of steps, whose types a shorter run is checked for
def test_each_step_of_hyperparameters_has_the_law_of_quadrature(kind):
    """Alternating with exact draws of the function; about a reference that is not the posterior."""
    target, linear, walk = interwoven()
    rng, u, draws = np.random.default_rng(3), np.array([-1.5, -1.0]), []
    for _ in range(2400):
        mu, level = target.variances(u), target.level(u)
        x = linear.draw(linear.factor(mu, level), mu, level, rng)
        residual = MATRIX @ x - DATA
        misfit = float(residual @ residual) / (2 * level**2)
        state = InterwovenState(u, Solve(x / np.sqrt(mu), misfit, residual))
        if kind == "centred":
            moved = walk.move_centred(state, rng)
        else:
            moved, _ = walk.move_whitened(state, rng, is_walk=kind == "walk")
        u = moved.u
        draws.append(u)
        if (
            kind == "independent" and moved is not state
        ):  # what the state holds of the function is that of its x
            residual = MATRIX @ walk.function(moved) - DATA
            misfit = residual @ residual / (2 * target.level(u) ** 2)
            np.testing.assert_allclose(moved.solve.misfit, misfit, rtol=1e-5)
    assert_law(np.array(draws).reshape(3, 800, 2), *quadrature(), least_ess=150)


@pytest.mark.parametrize(
    ("options", "algorithm", "method"),
    [
        ({}, "auto", "collapsed"),
        pytest.param({}, langevax.PCN(), "pcn", marks=pytest.mark.slow),
        pytest.param(
            {"adjoint": blur_adjoint}, langevax.PCNL(), "pcnl", marks=pytest.mark.slow
        ),
    ],
)
@pytest.mark.usefixtures(
    "unchecked_types"
)  # thousands of steps, whose types a shorter run is checked for
def test_whole_runs_have_the_law_of_quadrature(options, algorithm, method):
    draws = langevax.sample(
        deconvolution(**options),
        key=KEY,
        algorithm=algorithm,
        num_samples=500,
        num_warmup=100,
    )
    assert draws.method == method
    assert_law(logarithms(draws, "noise", "length_scale"), *quadrature())
    assert draws.max_rhat < 1.02


@pytest.mark.slow
def test_a_linear_map_in_jax_takes_no_solve_a_draw():
    target = langevax.inverse_problem(
        lambda f: jnp.asarray(BLUR, f.dtype) @ f,
        DATA,
        NOISE,
        spaces.MaternPrior(BASIS, 1.5, LENGTH),
    )
    draws = langevax.sample(target, key=KEY, num_samples=500)
    assert "function integrated out" in draws.reason
    assert draws.num_solves < 100
    assert_law(logarithms(draws, "noise", "length_scale"), *quadrature())


@pytest.mark.slow
@pytest.mark.parametrize(
    "adjoint",
    [
        pytest.param(None, marks=pytest.mark.long),
        lambda f, r: np.exp(f) * r.sum(),
    ],
)
@pytest.mark.usefixtures(
    "unchecked_types"
)  # thousands of steps, whose types a shorter run is checked for
def test_a_map_that_is_not_linear_has_the_law_of_quadrature(adjoint):
    """One coefficient, its variance and the noise: three numbers."""
    basis, data = spaces.Cosine(1), np.array([2.2, 3.1, 2.6])
    prior = spaces.MaternPrior(basis, variance=dist.HalfNormal(2.0))
    noise = dist.LogNormal(-0.5, 0.7)
    target = langevax.inverse_problem(
        lambda f: np.exp(f[0]) * np.ones(3), data, noise, prior, adjoint=adjoint
    )
    draws = langevax.sample(target, key=KEY, num_samples=700, num_warmup=200)
    assert draws.method == ("pcn" if adjoint is None else "pcnl")
    axes = np.linspace(-3, 2, 151), np.linspace(-3, 2.5, 71), np.linspace(-9, 3, 61)
    x, s, v = np.meshgrid(*axes, indexing="ij")
    mu = np.exp(v) * float(spaces.spectra.matern(basis)[0])
    square = sum((np.exp(x) - datum) ** 2 for datum in data)
    logs = -square / (2 * np.exp(2 * s)) - 3 * s - x**2 / (2 * mu) - np.log(mu) / 2
    logs += (
        -(((s + 0.5) / 0.7) ** 2) / 2 + v - np.exp(2 * v) / 8
    )  # of LogNormal and HalfNormal, in logarithms
    mean, deviation = moments(logs, *axes)
    assert_law(
        logarithms(draws, "noise", "variance"), mean[1:], deviation[1:], least_ess=100
    )
    assert_law(
        np.asarray(draws.positions["function"], np.float64),
        mean[:1],
        deviation[:1],
        least_ess=100,
    )


@pytest.mark.slow
def test_a_support_that_ends_is_not_left():
    """A uniform noise level whose likelihood has its mode above the upper end."""
    target = deconvolution(dist.Uniform(0.05, 0.15), 0.3)
    axis = np.linspace(np.log(0.05), np.log(0.15), 4001)
    logs = np.array([log_posterior(np.exp(u), 0.3, u) for u in axis[::20]])
    logs = np.interp(axis, axis[::20], logs)
    mean, deviation = moments(logs, axis)
    for algorithm in ("auto", langevax.PCN()):
        draws = langevax.sample(
            target, key=KEY, algorithm=algorithm, num_samples=300, num_warmup=100
        )
        noise = draws.positions["noise"]
        assert noise.min() > 0.05
        assert noise.max() < 0.15
        assert_law(logarithms(draws, "noise"), mean, deviation, least_ess=200)


def test_a_slice_has_the_law_of_its_density():
    rng, u, draws = np.random.default_rng(0), 0.0, []
    for _ in range(8000):
        u = slice_step(
            lambda v: -np.exp(v) + 2 * v, u, 1.0, rng
        )  # log of a Gamma(2) number
        draws.append(u)
    assert_law(
        np.array(draws).reshape(4, 2000, 1),
        np.array([0.42278434]),
        np.sqrt([0.64493407]),
    )


def test_proposals_take_the_moments_of_a_warm_up():
    """Where they have some in each direction; the ratio of proposals is that of Student's t."""
    law = ProposalLaw(np.zeros(2), np.eye(2))
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(400, 2)) @ [[0.5, 0.3], [0.0, 0.1]] + [1.0, -2.0]
    adapted = law.with_moments_of(draws)
    np.testing.assert_allclose(adapted.centre, draws.mean(0))
    covariance = adapted.root @ adapted.root.T
    np.testing.assert_allclose(covariance, np.cov(draws.T))
    assert law.with_moments_of(draws[:, :1] * np.ones(2)) is law
    u = np.array([0.7, -1.5])
    proposal, log_ratio = adapted.independent(u, rng)
    density = multivariate_t(adapted.centre, covariance, df=5)
    assert log_ratio == pytest.approx(density.logpdf(u) - density.logpdf(proposal))


@pytest.mark.slow
def test_results_are_a_dict_of_function_and_hyperparameters():
    target = deconvolution()
    assert isinstance(target, HierarchicalInverseProblem)
    draws = langevax.sample(target, key=KEY, num_samples=200, num_chains=2)
    again = langevax.sample(target, key=KEY, num_samples=200, num_chains=2)
    positions = draws.positions
    shapes = {name: leaf.shape for name, leaf in positions.items()}
    assert shapes == {
        "function": (2, 200, 6),
        "noise": (2, 200),
        "length_scale": (2, 200),
    }
    jax.tree.map(np.testing.assert_array_equal, positions, again.positions)
    assert {"noise", "length_scale", "function[0]"} <= set(draws.summary().index)
    assert set(draws.to_datatree()["posterior"].data_vars) == set(positions)
    np.testing.assert_allclose(
        target.functions(positions), positions["function"] @ FUNCTIONS.T, atol=1e-4
    )
    np.testing.assert_allclose(
        target.predictions(positions), positions["function"] @ MATRIX.T, atol=1e-4
    )
    assert (
        langevax.sample(target, key=KEY, tolerance=0.3, num_samples=200).draws.shape[1]
        >= 200
    )
    longer = draws.extend(300, key=jax.random.key(1))
    assert longer.positions["noise"].shape == (2, 500)
    np.testing.assert_array_equal(
        longer.positions["noise"][:, :200], positions["noise"]
    )
    spread = target.sample_predictive(longer.positions, key=KEY) - target.predictions(
        longer.positions
    )
    np.testing.assert_allclose(
        np.mean(np.square(spread)), np.mean(longer.positions["noise"] ** 2), rtol=0.08
    )
    fixed = target.at(noise=0.2, length_scale=0.3)
    assert isinstance(fixed, InverseProblem)
    np.testing.assert_allclose(
        fixed.prior.eigenvalues, spaces.spectra.matern(BASIS, 1.5, 0.3), rtol=1e-6
    )
    assert float(fixed.noise.standard_deviation) == 0.2


@pytest.mark.slow
def test_predictive_draws_have_the_correlation_of_the_noise():
    covariance = 0.01 * (np.eye(len(DATA)) + 1)
    target = deconvolution(GaussianNoise(covariance=covariance))
    positions = {
        "function": np.zeros((4000, 6), np.float32),
        "length_scale": np.ones(4000),
    }
    spread = np.asarray(target.sample_predictive(positions, key=KEY), float)
    np.testing.assert_allclose(
        np.cov(spread.T), covariance, atol=LIMIT * 0.02 * np.sqrt(2 / 4000)
    )


def test_numbers_alone_are_a_plain_inverse_problem():
    target = deconvolution(0.2, 0.3)
    assert isinstance(target, InverseProblem)
    plain = spaces.GaussianPrior(BASIS, spaces.spectra.matern(BASIS, 1.5, 0.3))
    np.testing.assert_array_equal(target.prior.eigenvalues, plain.eigenvalues)
    assert isinstance(
        langevax.inverse_problem(blur, DATA, NOISE, plain), HierarchicalInverseProblem
    )


def test_a_map_that_departs_from_its_matrix_at_draws_is_not_sampled_as_linear():
    target = deconvolution()
    solver, linear = linear_data(target)
    walk = CollapsedWalk(target, solver, linear)
    place = np.concatenate([0.3 * np.ones(6), [-1.5, -1.0]])
    assert walk.is_linear_at(place)
    bent = solver_of(
        langevax.inverse_problem(
            lambda f: blur(np.minimum(f, 0.5)), DATA, 0.2, target.base.prior
        )
    )
    assert not CollapsedWalk(target, bent, linear).is_linear_at(place)


class Undefined(type(dist.LogNormal(0.0, 1.0))):
    def log_prob(self, value):
        return jnp.where(value < 1, -jnp.inf, 0.0)


@pytest.mark.parametrize(
    ("call", "facts"),
    [
        (
            lambda: deconvolution(dist.Normal(0.0, 1.0)),
            "noise 0",
        ),
        (
            lambda: deconvolution(NOISE, dist.Uniform(-1.0, 1.0)),
            "length_scale 0",
        ),
        (
            lambda: deconvolution(dist.Geometric(0.5)),
            "noise",
        ),
        (
            lambda: deconvolution(dist.LogNormal(jnp.zeros(14), 1.0)),
            "noise",
        ),
        (
            lambda: deconvolution(Undefined(0.0, 1.0)),
            "",
        ),
        (lambda: deconvolution(NOISE, -1.0), "length_scale 0"),
        (
            lambda: deconvolution(0.1).at(length_scale=1.0, noise=2.0),
            "length_scale",
        ),
        (
            lambda: langevax.sample(
                deconvolution(), key=KEY, algorithm=langevax.NUTS()
            ),
            "",
        ),
        (
            lambda: langevax.sample(
                deconvolution(), key=KEY, algorithm=langevax.PCNL()
            ),
            "",
        ),
        (
            lambda: langevax.sample(
                deconvolution(), key=KEY, algorithm=langevax.PCN(0.1)
            ),
            "step_size",
        ),
        (
            lambda: langevax.sample(
                deconvolution(), key=KEY, run=langevax.Run(checkpoint="x")
            ),
            "checkpoint",
        ),
        (
            lambda: langevax.sample(deconvolution(), jnp.zeros(6), key=KEY),
            "start",
        ),
    ],
)
def test_mistakes_are_named(call, facts):
    with refuses(ValueError, facts):
        call()
