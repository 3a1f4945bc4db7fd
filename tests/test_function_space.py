"""Langevin dynamics in a Hilbert space against closed forms: laws, limits and invariances of Muzellec et al. (2022)."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from function_space_laws import stability_limit
from langevax import FiniteSum, Langevin, gradients, integrators, spaces
from langevax.theory.gaussian import linear_gains, stationary_variance
from tests.errorbars import assert_mean
from tests.gaussian_laws import linear_regression_law, linear_regression_posterior

INTEGRATORS = {
    "semi_implicit": integrators.SemiImplicit(),
    "exponential": integrators.Exponential(),
    "crank_nicolson": integrators.CrankNicolson(),
}
CHAINS, TEMPERATURE, STEP_SIZE = 20_000, 0.3, 0.4
POWER = spaces.GaussianPrior(spaces.Cosine(12), spaces.spectra.power(12))
PRECISION = np.asarray(POWER.precision(temperature=0.2), np.float64)
CURVATURE = 1 / np.arange(1.0, 13)  # of the loss, which sees smooth modes more

RNG = np.random.default_rng(0)
FEATURES, TARGETS = RNG.normal(size=(6, 3)), RNG.normal(size=6)
RIDGES = np.array([0.2, 1.0, 6.0])


def squares(x, row):
    phi, y = row
    return (phi @ x - y) ** 2 / 2


def regression(dtype=jnp.float32, precision=RIDGES, scale=1.0):
    rows = (
        jnp.asarray(np.sqrt(scale) * FEATURES, dtype),
        jnp.asarray(np.sqrt(scale) * TARGETS, dtype),
    )
    return FiniteSum(squares, rows, precision=jnp.asarray(precision, dtype))


def ends(langevin, target, size, steps, chains=CHAINS, seed=0):
    """(chains, size) positions after so many steps from zero."""
    key = jax.random.key(seed)
    run = langevax.simulate(
        langevin, target, jnp.zeros(size), key=key, num_steps=steps, num_chains=chains
    )
    return np.asarray(run.position, np.float64)


def settled_modes(integrator):
    """20,000 chains of twelve modes, each alone."""
    target = FiniteSum(
        lambda x, q: q @ x**2 / 2,
        jnp.asarray(CURVATURE[None], jnp.float32),
        None,
        POWER.precision(0.2),
    )
    return ends(
        Langevin(STEP_SIZE, TEMPERATURE, integrator=integrator), target, 12, 120
    )


class NoiseOutside(integrators.SemiImplicit):
    """The mistake: noise that the resolvent does not damp."""

    def gains(self, step_size, precision):
        a, b, _ = super().gains(step_size, precision)
        return integrators.Gains(a, b, jnp.sqrt(2 * step_size))


@pytest.mark.slow
@pytest.mark.parametrize("name", INTEGRATORS)
def test_each_mode_settles_at_its_variance(name):
    """Of the semi-implicit scheme T / ((p + q) (1 + h (p - q) / 2)); the target's own would be seen."""
    variance = stationary_variance(name, STEP_SIZE, PRECISION, CURVATURE, TEMPERATURE)
    if name == "semi_implicit":
        formula = (
            TEMPERATURE
            / (PRECISION + CURVATURE)
            / (1 + STEP_SIZE * (PRECISION - CURVATURE) / 2)
        )
        np.testing.assert_allclose(variance, formula, rtol=1e-12)
    assert_mean(
        settled_modes(INTEGRATORS[name]) ** 2,
        variance,
        wrong=TEMPERATURE / (PRECISION + CURVATURE),
    )


@pytest.mark.slow
def test_noise_outside_the_resolvent_is_seen():
    variance = stationary_variance(
        "semi_implicit", STEP_SIZE, PRECISION, CURVATURE, TEMPERATURE
    )
    with pytest.raises(AssertionError, match="standard errors off"):
        assert_mean(settled_modes(NoiseOutside()) ** 2, variance)


@pytest.mark.parametrize("step_size", [0.1, 1.0, 1.6])
@pytest.mark.parametrize("name", INTEGRATORS)
def test_without_noise_the_chain_ends_at_the_regularised_minimiser(name, step_size):
    """For every step size, to 1e-12 in float64, where modes mix: steps move the spread and never the mean."""
    mean, _ = linear_regression_posterior(FEATURES, TARGETS, RIDGES, 1.0)
    with jax.enable_x64():
        end = langevax.simulate(
            Langevin(step_size / 2, 0.0, integrator=INTEGRATORS[name]),
            regression(jnp.float64),
            jnp.zeros(3),
            key=jax.random.key(0),
            num_steps=3000,
        ).position
    np.testing.assert_allclose(end, mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["explicit", *INTEGRATORS])
def test_steps_are_stable_up_to_the_limit_and_not_beyond(name):
    """Without noise, from (1, ..., 1), 2 % below and above the limit: the stiffest mode's for the explicit scheme."""
    scheme = integrators.Explicit() if name == "explicit" else INTEGRATORS[name]
    curvature = np.array([1.5, 0.7, 0.3])
    precision = np.array([0.2, 40.0, 900.0])
    limit = stability_limit(name, precision, curvature)
    assert limit == pytest.approx(
        {"explicit": 2 / 900.3, "semi_implicit": 2 / 1.3}.get(name, limit)
    )
    target = FiniteSum(
        lambda x, q: q @ x**2 / 2,
        jnp.asarray(curvature[None], jnp.float32),
        None,
        precision,
    )
    for factor, settles in ((0.98, True), (1.02, False)):
        chain = Langevin(factor * limit, 0.0, integrator=scheme)
        start, key = jnp.ones(3), jax.random.key(0)
        middle, end = (
            np.abs(
                langevax.simulate(
                    chain, target, start, key=key, num_steps=steps
                ).position
            ).max()
            for steps in (200, 400)
        )
        assert (end < middle) == settles


@pytest.mark.slow
@pytest.mark.parametrize("name", ["semi_implicit", "exponential"])
def test_modes_that_mix_settle_at_their_covariance(name):
    """Sigma = R Sigma R^T + T diag(c^2), R = I - diag(b) (H + P); not the target's covariance."""
    law = linear_regression_law(FEATURES, TARGETS, RIDGES, TEMPERATURE, STEP_SIZE, name)
    x = ends(
        Langevin(STEP_SIZE, TEMPERATURE, integrator=INTEGRATORS[name]),
        regression(),
        3,
        60,
    )
    assert_mean(x, law.mean)
    target = linear_regression_posterior(
        FEATURES, TARGETS, RIDGES, TEMPERATURE
    ).covariance
    assert_mean(
        (x - law.mean)[:, :, None] * (x - law.mean)[:, None, :],
        law.covariance,
        wrong=target,
    )


@pytest.mark.slow
def test_minibatches_settle_at_their_own_law():
    """Batches of 2 of 6 rows in the semi-implicit step: first and second moments from all 15 batches, exactly."""
    b, c2 = linear_gains("semi_implicit", STEP_SIZE, RIDGES)
    parts = []
    for batch in itertools.combinations(range(6), 2):
        phi, y = FEATURES[list(batch)], TARGETS[list(batch)]
        parts.append(
            (
                np.eye(3) - b[:, None] * (phi.T @ phi / 2 + np.diag(RIDGES)),
                b * (phi.T @ y / 2),
            )
        )
    R, r = (
        np.mean([p[0] for p in parts], axis=0),
        np.mean([p[1] for p in parts], axis=0),
    )
    mean = np.linalg.solve(np.eye(3) - R, r)
    mixed = [np.outer(A @ mean, s) for A, s in parts]
    constant = np.mean(
        [m + m.T + np.outer(s, s) for m, (_, s) in zip(mixed, parts, strict=True)],
        axis=0,
    )
    constant += TEMPERATURE * np.diag(c2)
    kron = np.mean([np.kron(A, A) for A, _ in parts], axis=0)
    second = np.linalg.solve(np.eye(9) - kron, constant.ravel()).reshape(3, 3)

    chain = Langevin(
        STEP_SIZE, TEMPERATURE, gradients.Minibatch(2), integrators.SemiImplicit()
    )
    x = ends(chain, regression(), 3, 60)
    assert_mean(x, mean)
    full = linear_regression_law(
        FEATURES, TARGETS, RIDGES, TEMPERATURE, STEP_SIZE, "semi_implicit"
    )
    wrong = full.covariance + np.outer(full.mean, full.mean)
    assert_mean(x[:, :, None] * x[:, None, :], second, wrong=wrong)


@pytest.mark.slow
@pytest.mark.parametrize(
    "gradient", [gradients.SVRG(2, 5), gradients.SARAH(2, 5)], ids=["svrg", "sarah"]
)
def test_variance_reduced_steps_of_one_curvature_are_the_full_ones(gradient):
    """Components that differ by a linear term only: the differences cancel, path by path, to 1e-12 in float64."""
    with jax.enable_x64():
        rows = jnp.asarray(RNG.normal(size=(8, 12)))
        target = FiniteSum(
            lambda x, c: jnp.sum((x - c) ** 2) / 2, rows, None, jnp.asarray(PRECISION)
        )
        paths = [
            langevax.simulate(
                Langevin(STEP_SIZE, TEMPERATURE, estimator, integrators.SemiImplicit()),
                target,
                jnp.zeros(12),
                key=jax.random.key(0),
                num_steps=30,
                record_every=1,
            ).positions
            for estimator in (gradient, gradients.Full())
        ]
    np.testing.assert_allclose(*paths, rtol=0, atol=1e-12)
    assert len(np.unique(paths[0])) > 300


def test_the_posterior_mean_is_that_of_gaussian_process_regression():
    """All eigenfunctions of the kernel, ridge = temperature = 1/n, noise in the loss: to 1e-10 at new points."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    points, noise = np.sort(RNG.uniform(size=(10, 1)), axis=0), 0.3
    y, new = np.sin(5 * points[:, 0]), np.linspace(0, 1, 7)[:, None]
    kernel = Matern(length_scale=0.4, nu=1.5)
    expected = (
        GaussianProcessRegressor(kernel, alpha=noise**2, optimizer=None)
        .fit(points, y)
        .predict(new)
    )
    with jax.enable_x64():
        basis = spaces.KernelEigenbasis(kernel, points)
        prior = spaces.GaussianPrior(basis, basis.eigenvalues)
        rows = basis.evaluate(points) / noise, jnp.asarray(y / noise)
        target = FiniteSum(
            squares, rows, precision=prior.precision(temperature=1 / len(y))
        )
        end = langevax.simulate(
            Langevin(1.5 * noise**2, 0.0, integrator=integrators.SemiImplicit()),
            target,
            jnp.zeros(basis.num_modes),
            key=jax.random.key(0),
            num_steps=2000,
        ).position
        values = np.asarray(basis.at(end, new))
    assert basis.num_modes == 10
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-10)


def test_rescaling_the_inverse_temperature_leaves_paths_as_they_are():
    """(loss, ridge, step, beta) and (beta loss, beta ridge, step / beta, 1): to 1e-13 in float64."""
    beta = 7.0
    with jax.enable_x64():
        paths = [
            langevax.simulate(
                Langevin(step_size, temperature, integrator=integrators.SemiImplicit()),
                regression(jnp.float64, precision, scale),
                jnp.zeros(3),
                key=jax.random.key(0),
                num_steps=50,
                record_every=1,
            ).positions
            for step_size, temperature, precision, scale in (
                (0.3, 1 / beta, RIDGES, 1.0),
                (0.3 / beta, 1.0, beta * RIDGES, beta),
            )
        ]
    np.testing.assert_allclose(*paths, rtol=0, atol=1e-13)


@pytest.mark.slow
def test_the_cost_of_a_smooth_functional_does_not_depend_on_the_modes():
    """The same steps reach the same law of the first modes at 8 and at 8192 modes, within Monte-Carlo error."""
    costs = []
    for num_modes in (8, 8192):
        prior = spaces.GaussianPrior(
            spaces.Cosine(num_modes), spaces.spectra.power(num_modes)
        )
        target = FiniteSum(
            lambda x, y: (x[0] + x[1] - y) ** 2 / 2,
            jnp.ones(3),
            precision=prior.precision(0.1),
        )
        chain = Langevin(0.5, 0.1, integrator=integrators.SemiImplicit())
        x = ends(chain, target, num_modes, 40, chains=400)
        costs.append(x[:, :2])
    spread = np.sqrt(np.var(costs[0], axis=0) / 400 + np.var(costs[1], axis=0) / 400)
    assert np.all(np.abs(costs[0].mean(0) - costs[1].mean(0)) < 4.5 * spread)
    ratio = np.var(costs[1], axis=0) / np.var(costs[0], axis=0)
    assert np.all(np.abs(ratio - 1) < 4.5 * 2 / np.sqrt(400))
