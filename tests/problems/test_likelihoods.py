"""Likelihoods: their values, curvature and pull, and the problem they make of coefficients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

import langevax
from langevax import likelihoods, losses
from langevax.problems.likelihoods import LinearPredictor
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

SCALAR = {
    "gaussian": likelihoods.Gaussian(0.7),
    "student": likelihoods.StudentT(0.7, 3.0),
    "huber": likelihoods.Huber(0.7, 1.2),
}
each_likelihood = pytest.mark.parametrize("name", SCALAR)


def rows(count=400):
    """(z, y) in float64, residuals of all sizes."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=count) * 10 ** rng.uniform(-2, 1.5, count)
    return z, rng.normal(size=count)


@each_likelihood
def test_values_are_negative_log_densities_up_to_a_constant(name):
    with jax.enable_x64():
        z, y = rows()
        actual = np.asarray(jax.vmap(SCALAR[name])(z, y))
        density = {
            "gaussian": lambda: scipy.stats.norm(0, 0.7).logpdf(z - y),
            "student": lambda: scipy.stats.t(3.0, 0, 0.7).logpdf(z - y),
            "huber": lambda: -scipy.special.huber(1.2, (z - y) / 0.7),
        }[name]()
        np.testing.assert_allclose(np.ptp(actual + density), 0, atol=1e-9)


@each_likelihood
def test_curvature_bounds_the_second_derivative_and_is_reached(name):
    with jax.enable_x64():
        z, y = rows()
        z[0] = y[0]  # where it is greatest
        second = np.abs(jax.vmap(jax.grad(jax.grad(SCALAR[name])))(z, y))
        assert second.max() == pytest.approx(float(SCALAR[name].curvature), rel=1e-9)


@each_likelihood
def test_draws_have_the_density_of_their_likelihood(name):
    z, grid = 0.3, np.linspace(-40, 40, 80_001)
    with jax.enable_x64():
        logs = -jax.vmap(SCALAR[name], (None, 0))(jnp.asarray(z), jnp.asarray(grid))
    below = scipy.integrate.cumulative_trapezoid(np.exp(logs), grid, initial=0)
    drawn = SCALAR[name].draw(np.full(20_000, z), np.random.default_rng(0))
    shares = np.interp(np.sort(drawn), grid, below / below[-1])
    assert np.abs(shares - np.linspace(0, 1, len(drawn))).max() < 0.015  # Kolmogorov


def test_far_off_student_lets_go_and_huber_pulls_no_harder():
    z, y = jnp.asarray([1e1, 1e2, 1e3]), jnp.zeros(3)
    student, huber, gaussian = (
        np.asarray(jax.vmap(jax.grad(f))(z, y))
        for f in (
            likelihoods.StudentT(1.0),
            likelihoods.Huber(1.0),
            likelihoods.Gaussian(1.0),
        )
    )
    assert np.all(np.diff(student) < 0)
    np.testing.assert_allclose(huber, 1.345, rtol=1e-6)
    np.testing.assert_allclose(gaussian, z, rtol=1e-6)


def test_a_likelihood_trains_a_network_and_dual_methods_refuse_it():
    X = jnp.linspace(-1, 1, 8)[:, None]
    huber = likelihoods.Huber(0.5, 1.0)
    risk = langevax.MeanFieldRisk(
        langevax.neurons.Tanh(), huber, X, 2 * X[:, 0], precision=0.1
    )
    start = risk.prior(0.1, num_particles=10)
    cloud = start(jax.random.key(0))
    residual = (risk.outputs(cloud) - risk.targets) / 0.5
    np.testing.assert_allclose(
        risk.dual(cloud), np.clip(residual, -1, 1) / 0.5, rtol=1e-6
    )
    with refuses(TypeError, "Huber conjugate"):
        langevax.simulate(
            langevax.meanfield.PSDCA(0.1),
            risk,
            start,
            key=jax.random.key(1),
            num_steps=1,
        )


def test_equal_numbers_make_equal_likelihoods():
    assert likelihoods.Huber(0.5) == likelihoods.Huber(0.5)
    assert likelihoods.Huber(0.5) != likelihoods.Huber(0.6)
    assert hash(losses.logistic) == hash(losses.Logistic())


def test_the_minimum_of_gaussian_and_prior_is_ridge_regression():
    """With precision 1/(n mu): the mean of the Gaussian process with noise variance s^2."""
    rng = np.random.default_rng(1)
    Phi, y, s = rng.normal(size=(20, 3)), rng.normal(size=20), 0.3
    mu = np.array([2.0, 1.0, 0.5])
    ridge = np.linalg.solve(Phi.T @ Phi / s**2 + np.diag(1 / mu), Phi.T @ y / s**2)
    data = (jnp.asarray(Phi, jnp.float32), jnp.asarray(y, jnp.float32))
    problem = langevax.FiniteSum(
        LinearPredictor(likelihoods.Gaussian(s)), data, precision=1 / (20 * mu)
    )
    gradient = problem.potential_gradient(jnp.asarray(ridge, jnp.float32))
    scale = problem.potential_gradient(jnp.zeros(3))
    assert np.abs(gradient).max() < 1e-5 * np.abs(scale).max()


@pytest.mark.slow
def test_several_functions_share_their_features():
    Phi, y = jnp.asarray([[1.0, 2.0], [0.0, 1.0]]), jnp.asarray([2, 0])
    x = jnp.asarray([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0]])
    problem = langevax.FiniteSum(LinearPredictor(losses.softmax), (Phi, y))
    expected = -float(jnp.mean(jax.nn.log_softmax(Phi @ x)[jnp.arange(2), y]))
    assert float(problem.value(x)) == pytest.approx(expected, rel=1e-6)
    assert problem.gradient(x).shape == (2, 3)


@pytest.mark.parametrize(
    ("likelihood", "targets", "shape", "error", "facts"),
    [
        (
            likelihoods.Gaussian(1.0),
            np.zeros((3, 2)),
            (),
            ValueError,
            "(3, 2)",
        ),
        (
            likelihoods.Huber(1.0),
            np.zeros(3),
            (2,),
            ValueError,
            "2",
        ),
        (
            likelihoods.StudentT(1.0),
            np.array([1.0, np.nan]),
            (),
            ValueError,
            "targets[1] nan",
        ),
        (
            likelihoods.Gaussian(1.0),
            np.array([True, False]),
            (),
            TypeError,
            "",
        ),
    ],
)
def test_wrong_targets_are_named_with_the_remedy(
    likelihood, targets, shape, error, facts
):
    with refuses(error, facts):
        likelihood.check_targets(targets, shape)


def test_right_targets_pass():
    likelihoods.Gaussian(1.0).check_targets(np.zeros(3))


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: likelihoods.Gaussian(0.0), "noise 0 0.0"),
        (
            lambda: likelihoods.StudentT(1.0, -1.0),
            "degrees 0 -1.0",
        ),
        (
            lambda: likelihoods.Huber(1.0, np.inf),
            "threshold 0 inf",
        ),
    ],
)
def test_numbers_out_of_range_are_named(make, facts):
    with refuses(ValueError, facts):
        make()


def test_public_modules_are_imported_by_their_names():
    from langevax.likelihoods import Gaussian
    from langevax.losses import Squared
    from langevax.neurons import Tanh

    assert Gaussian is likelihoods.Gaussian
    assert Squared is langevax.losses.Squared
    assert Tanh is langevax.neurons.Tanh
