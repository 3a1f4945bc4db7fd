"""Inverse problems: draws of functions against exact posteriors, whatever the dynamics and the number of modes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import spaces
from langevax.sampling.preconditioning import coordinates_of, run_pilot
from langevax.sampling.samples import MAX_RHAT
from tests.errorbars import LIMIT
from tests.gaussian_laws import linear_inverse_posterior
from tests.sentences import refuses


def langevin(step_size):
    """Full gradients; the prior is integrated exactly."""
    integrator = langevax.integrators.Exponential()
    return langevax.Langevin(step_size, integrator=integrator)


pytestmark = [
    pytest.mark.mostly_compiling,
    pytest.mark.filterwarnings("ignore::langevax.sampling.SamplingWarning"),
]
KEY = jax.random.key(0)
PLACES, WIDTH, NOISE = np.linspace(0.05, 0.95, 20), 0.05, 0.05
DATA = np.sin(5 * PLACES) + NOISE * np.random.default_rng(0).normal(size=20)


def blur(num_points):
    """(20, grid) running means of a function, heavier in the middle."""
    grid = (np.arange(num_points) + 0.5) / num_points
    weights = np.exp(-((PLACES[:, None] - grid) ** 2) / (2 * WIDTH**2))
    return weights / weights.sum(axis=1, keepdims=True)


def deconvolution(num_modes, link=jnp.array, noise=NOISE):
    basis = spaces.Cosine(num_modes)
    prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, length_scale=0.2))
    matrix = blur(num_modes)
    return langevax.inverse_problem(
        lambda f: jnp.asarray(matrix, f.dtype) @ link(f), DATA, noise, prior
    )


linear = functools.cache(
    deconvolution
)  # of one forward map, so that its programs are compiled once


def exact(num_modes):
    """Mean and deviations of the coefficients given the data."""
    prior = linear(num_modes).prior
    matrix = blur(num_modes) @ np.asarray(prior.basis.evaluate(prior.basis.grid), float)
    law = linear_inverse_posterior(
        matrix, DATA, NOISE, np.asarray(prior.eigenvalues, float)
    )
    return law.mean, np.sqrt(np.diag(law.covariance))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_modes", "algorithm"),
    [
        (40, langevin(0.1)),
        (40, langevax.MALA()),
        (40, langevax.PCN()),
        (600, langevin(0.1)),
        (600, langevax.PCNL()),
    ],
)
def test_draws_are_those_of_the_exact_posterior(num_modes, algorithm):
    """Means of the first ten coefficients within errors by effective draws, spreads within 15 %."""
    mean, deviation = exact(num_modes)
    is_pcn = isinstance(algorithm, langevax.PCN)
    number = 1000 if is_pcn else 250  # without gradients it takes several times as long
    draws = langevax.sample(
        linear(num_modes),
        key=KEY,
        algorithm=algorithm,
        num_samples=number,
        run=langevax.Run(progress=False),
    )
    assert draws.positions.shape == (4, number, num_modes)
    table = draws.summary()
    z = (table["mean"] - mean) / (deviation / np.sqrt(table["ess_bulk"]))
    assert np.abs(z[:10]).max() < LIMIT
    assert table["ess_bulk"][:10].min() > 100
    np.testing.assert_allclose(table["sd"][:10], deviation[:10], rtol=0.15)
    np.testing.assert_allclose(
        table["sd"][-10:].mean() / deviation[-10:].mean(), 1, atol=0.05
    )  # what no datum sees
    prior = np.sqrt(np.asarray(linear(num_modes).prior.eigenvalues))
    assert prior[0] > 3 * deviation[0]


@pytest.mark.slow
def test_independent_draws_are_not_said_to_disagree():
    """The worst R-hat of 40 numbers exceeds the limit by chance, as it does for draws of NumPy's normal law."""
    draws = langevax.sample(
        linear(40), key=KEY, num_samples=60, run=langevax.Run(progress=False)
    )
    assert draws.method == "exact"
    assert draws.max_rhat > MAX_RHAT
    assert draws.warnings == []


def test_functions_and_predictions_are_on_the_grid_and_like_the_data():
    target = linear(40)
    positions = target.prior.sample((2, 3), key=KEY)
    functions = target.functions(positions)
    assert functions.shape == (2, 3, 40)
    np.testing.assert_allclose(
        target.predictions(positions),
        functions @ blur(40).T.astype(np.float32),
        atol=1e-5,
    )


@pytest.mark.slow
def test_the_law_is_likelihood_times_prior():
    """potential / temperature against -log of both, up to a constant, to 1e-10 in float64; noise by datum."""
    noises = np.linspace(0.05, 0.2, 20)
    with jax.enable_x64():
        target = deconvolution(40, jnp.exp, noises)
        x, other = (target.prior.sample(key=jax.random.key(seed)) for seed in (0, 1))
        energy = lambda x: float(target.problem.potential(x)) / target.temperature

        def expected(x):
            predicted = np.asarray(target.predictions(x[None]))[0]
            misfit = np.sum((predicted - DATA) ** 2 / (2 * noises**2))
            return (
                misfit
                + np.sum(np.asarray(x) ** 2 / np.asarray(target.prior.eigenvalues)) / 2
            )

        assert energy(x) - energy(other) == pytest.approx(
            expected(x) - expected(other), rel=1e-6
        )
    assert target.temperature == 1 / 20


@pytest.mark.slow
def test_a_forward_map_that_is_not_linear_agrees_with_pcn():
    """The exponential of the function, blurred: Langevin against pCN, which is exact and takes no gradient."""
    target = deconvolution(40, jnp.exp, noise=0.2)
    tables = {}
    of_pcn = (8 * 0.3) ** 0.5 / 2.3  # moves as far as a step of 0.3
    for algorithm in (langevax.PCN(of_pcn), langevin(0.05)):
        draws = langevax.sample(
            target,
            key=KEY,
            algorithm=algorithm,
            num_samples=500,
            run=langevax.Run(progress=False),
        )
        tables[type(algorithm).__name__] = draws.summary()
    reference = tables.pop("PCN")
    for name, table in tables.items():
        error = np.hypot(table["mcse_mean"], reference["mcse_mean"])
        assert (np.abs(table["mean"] - reference["mean"]) / error)[:6].max() < LIMIT, (
            name
        )
        np.testing.assert_allclose(
            table["sd"][:6], reference["sd"][:6], rtol=0.2, err_msg=name
        )


def test_coordinates_are_round_whatever_the_modes():
    """In units of the prior, and turned to what data inform: the curvature is 1 in every direction, to 3 %."""
    for num_modes in (40, 600):
        target = linear(num_modes)
        flat = coordinates_of(target.problem, target.start, target.temperature)
        pilot = run_pilot(
            flat.problem,
            flat.from_position(target.start),
            target.temperature,
            KEY,
        )
        coordinates, _ = flat.preconditioned(pilot)
        at, slope = (
            jnp.zeros(num_modes, jnp.float32),
            coordinates.problem.potential_gradient,
        )
        hessian = jax.jit(
            jax.vmap(lambda u, at=at, slope=slope: jax.jvp(slope, (at,), (u,))[1])
        )(np.eye(num_modes, dtype="f"))
        curvatures = np.linalg.eigvalsh((hessian + hessian.T) / 2)
        np.testing.assert_allclose(curvatures, 1, atol=0.035)
        position = target.prior.sample(key=KEY)
        np.testing.assert_allclose(
            coordinates.to_position(coordinates.from_position(position)),
            position,
            atol=2e-5,
        )


@pytest.mark.parametrize(
    ("options", "error", "facts"),
    [
        ({"forward_map": 3.0}, TypeError, "forward_map"),
        (
            {"prior": 1.0},
            TypeError,
            "prior MaternPrior",
        ),
        ({"data": []}, ValueError, "data"),
        (
            {"data": [1.0, np.nan]},
            ValueError,
            "data[1] nan",
        ),
        ({"noise": 0.0}, ValueError, "noise 0"),
        (
            {"noise": [0.1, 0.1, 0.1]},
            ValueError,
            "noise (2,)",
        ),
    ],
)
def test_mistakes_are_named(options, error, facts):
    basis = spaces.Cosine(4)
    arguments = {
        "forward_map": lambda values: values[:2],
        "data": [1.0, 2.0],
        "noise": 0.1,
        "prior": spaces.GaussianPrior(basis, spaces.spectra.power(4)),
    }
    arrays = {
        name: np.asarray(value) if isinstance(value, list) else value
        for name, value in options.items()
    }
    with refuses(error, facts):
        langevax.inverse_problem(**(arguments | arrays))


def test_a_forward_map_of_another_shape_is_named_at_once():
    basis = spaces.Cosine(4)
    prior = spaces.GaussianPrior(basis, spaces.spectra.power(4))
    with refuses(ValueError, "forward_map (4,) (2,)"):
        langevax.inverse_problem(lambda values: values, np.ones(2), 0.1, prior)


def test_a_target_without_a_start_needs_one():
    with refuses(ValueError, "start"):
        langevax.sample(lambda x: -jnp.sum(x**2), key=KEY)


@pytest.mark.slow
def test_without_a_preconditioner_every_mode_steps_alike():
    draws = langevax.sample(
        linear(40),
        key=KEY,
        algorithm=langevax.PCNL(),
        preconditioner=None,
        num_samples=50,
        thinning=2,
        run=langevax.Run(progress=False),
    )
    assert draws.positions.shape == (4, 50, 40)
    assert np.ndim(draws.algorithm.step_size) == 0
    assert draws.step_size < 0.05  # as short as the most informed mode needs
