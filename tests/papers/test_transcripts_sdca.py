"""The transcript of P-SDCA and its coordinate updates against what is known without them."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from tests.papers import tiny, transcripts_sdca
from tests.papers.tiny import BOUND, RIDGE, TEMPERATURE
from tests.papers.transcripts_sdca import psdca, systematic
from tests.theory.grids import LOSSES

COORDINATES = {
    "squared": transcripts_sdca.squared,
    "logistic": transcripts_sdca.logistic,
    "smoothed hinge": transcripts_sdca.smoothed_hinge,
}
CURVATURE = BOUND**2 / (8 * TEMPERATURE)


def never(t):
    raise AssertionError("no refresh was due")


def run(loss, start, rows, period, seed=0, moves=3, step_size=0.1, threshold=0.5):
    """P-SDCA with draws of a generator, or none at all where the period is None."""
    rng = np.random.default_rng(seed)
    draws = (
        lambda t: rng.uniform(),
        lambda t: rng.normal(size=(moves, *start.shape)),
        lambda t: rng.uniform(size=(moves, len(start))),
    )
    arguments = (
        tiny.INPUTS,
        tiny.TARGETS[loss],
        start,
        BOUND,
        RIDGE,
        TEMPERATURE,
        rows,
    )
    if period is None:
        period, threshold, draws = len(rows) + 1, 0.0, (never, never, never)
    network = (tiny.neuron, tiny.neuron_gradient, COORDINATES[loss])
    return psdca(*network, *arguments, period, step_size, *draws, threshold=threshold)


@pytest.mark.parametrize("loss", COORDINATES)
def test_coordinate_update_is_the_maximum_and_the_fixed_point(loss):
    """argmax_u -loss*(u) + z u - (c / 2)(u - g)^2, and g' = loss'(z - c (g' - g))."""
    _, derivative, conjugate = LOSSES[loss]
    rng = np.random.default_rng(0)
    for _ in range(50):
        y = rng.normal() if loss == "squared" else rng.choice([-1.0, 1.0])
        z, g, c = rng.normal(scale=3), -y * rng.uniform(), rng.uniform(0.01, 30)
        new = COORDINATES[loss](z, g, y, c)
        assert new == pytest.approx(derivative(z - c * (new - g), y), abs=1e-12)
        bounds = (
            (-20, 20) if loss == "squared" else sorted((-y * 1e-12, -y * (1 - 1e-12)))
        )
        maximum = minimize_scalar(
            lambda u: conjugate(u, y) - z * u + c / 2 * (u - g) ** 2,  # noqa: B023
            bounds=bounds,
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert new == pytest.approx(maximum.x, abs=1e-5)


def test_softmax_update_is_the_fixed_point_and_that_of_two_classes_is_logistic():
    """Two classes in h (1, -1) / 2 are the logistic loss: duals g (1, -1), and the bound halves with |h|^2."""
    rng = np.random.default_rng(1)
    for _ in range(30):
        z, c, y = rng.normal(scale=3, size=4), rng.uniform(0.01, 30), rng.integers(4)
        g = rng.dirichlet(np.ones(4)) - np.eye(4)[y]
        new = transcripts_sdca.softmax(z, g, y, c)
        u = z - c * (new - g)
        expected = np.exp(u - u.max()) / np.exp(u - u.max()).sum() - np.eye(4)[y]
        np.testing.assert_allclose(new, expected, rtol=0, atol=1e-10)
        label, output, slope = 1.0 - 2 * (y % 2), rng.normal(), -rng.uniform()
        one = transcripts_sdca.logistic(output, label * slope, label, c)
        pair = np.array([1.0, -1.0])
        two = transcripts_sdca.softmax(
            output / 2 * pair, label * slope * pair, y % 2, c / 2
        )
        np.testing.assert_allclose(two, one * pair, rtol=0, atol=1e-10)


def test_resampling_is_systematic():
    weights = np.array([0.1, 0.45, 0.0, 0.25, 0.2])
    np.testing.assert_array_equal(
        systematic(weights, 0.3), [0, 1, 1, 3, 4]
    )  # at 0.06, 0.26, 0.46, 0.66, 0.86
    rng = np.random.default_rng(2)
    weights = rng.dirichlet(np.ones(50))
    times = np.bincount(systematic(weights, rng.uniform()), minlength=50)
    assert np.all(np.abs(times - 50 * weights) < 1)
    np.testing.assert_array_equal(systematic(np.full(50, 0.02), 0.5), np.arange(50))


@pytest.mark.parametrize("loss", COORDINATES)
def test_without_a_refresh_it_is_exact_sdca_on_an_even_spread_of_the_prior(loss):
    """500 quasi-random points of the prior stand for it to 3 % over a pass; and log Z to 0.01 on the way."""
    solved, rows = tiny.exact(loss), [3, 0, 7, 5, 1, 6, 2, 4]
    path = run(loss, tiny.prior_points(500), rows, None)
    dual = np.zeros(8)
    for t, i in enumerate(rows):
        assert path.log_partition[t] == pytest.approx(
            solved.log_partition(dual), abs=0.01
        )
        z = solved.outputs(solved.gibbs(dual))[i]
        dual[i] = COORDINATES[loss](z, dual[i], solved.targets[i], CURVATURE)
        np.testing.assert_allclose(
            path.dual[t + 1], dual, rtol=0, atol=0.03 * np.abs(dual).max()
        )
    assert np.ptp(path.log_weights[-1]) > 0.8  # the weights did the work


def test_log_weights_are_the_laws_ratio_since_the_last_refresh():
    """log w = (U_then - U_now) / temperature, and the running log Z holds across refreshes."""
    rows, start = np.random.default_rng(3).integers(8, size=24), tiny.prior_points(60)
    path = run("squared", start, rows, period=8)
    then, log_partition = np.zeros(8), np.log(np.pi * TEMPERATURE / RIDGE)
    for t in range(1, 25):
        theta, dual = path.particles[t], path.dual[t]
        if path.refreshed[t - 1]:
            then, log_partition = path.dual[t - 1], path.log_partition[t - 1]
        values = np.array(
            [[tiny.neuron(particle, x) for x in tiny.INPUTS] for particle in theta]
        )
        expected = values @ (then - dual) / (8 * TEMPERATURE)
        np.testing.assert_allclose(path.log_weights[t], expected, rtol=0, atol=1e-11)
        assert path.log_partition[t] == pytest.approx(
            log_partition + np.log(np.mean(np.exp(expected))), abs=1e-11
        )
        moved = not np.array_equal(path.particles[t], path.particles[t - 1])
        assert moved == path.refreshed[t - 1]


def test_refreshes_come_with_the_period_and_with_few_effective_particles():
    rows, start = np.random.default_rng(4).integers(8, size=30), tiny.prior_points(60)
    path = run("logistic", start, rows, period=8, threshold=0.9)
    for t in range(30):
        weights = np.exp(path.log_weights[t] - path.log_weights[t].max())
        few = weights.sum() ** 2 / np.sum(weights**2) < 0.9 * 60
        assert path.refreshed[t] == (t > 0 and (t % 8 == 0 or few))
        assert np.isfinite(path.accepted[t]) == path.refreshed[t]
    assert path.refreshed.sum() > 3  # both reasons occur
    assert np.all(path.accepted[path.refreshed] > 0.3)


def test_a_refresh_resamples_and_makes_metropolis_moves_for_the_law_of_that_moment():
    """Rebuilt for all particles at once, from U_g and from differences of it instead of its gradient."""
    step_size, moves, start = 1.5, 3, tiny.prior_points(60)
    path = run(
        "logistic",
        start,
        [0, 3, 5, 2, 7, 1],
        period=5,
        moves=moves,
        step_size=step_size,
    )
    dual, theta = path.dual[5], path.particles[5]
    rng = np.random.default_rng(0)
    weights = np.exp(path.log_weights[5]) / np.exp(path.log_weights[5]).sum()
    theta = theta[systematic(weights, rng.uniform())]
    xis, uniforms = rng.normal(size=(moves, 60, 2)), rng.uniform(size=(moves, 60))

    def potential(theta):
        values = 3 * np.tanh(theta[:, :1] * tiny.INPUTS + theta[:, 1:])
        return values @ dual / 8 + RIDGE * np.sum(theta**2, axis=1)

    def gradient(theta):
        nudges = 1e-5 * np.eye(2)
        return np.stack(
            [(potential(theta + e) - potential(theta - e)) / 2e-5 for e in nudges],
            axis=1,
        )

    num_accepted = 0
    for xi, uniform in zip(xis, uniforms, strict=True):
        ahead = (
            theta
            - step_size * gradient(theta)
            + np.sqrt(2 * step_size * TEMPERATURE) * xi
        )
        back = theta - ahead + step_size * gradient(ahead)
        log_ratio = (potential(theta) - potential(ahead)) / TEMPERATURE
        log_ratio += np.sum(xi**2, axis=1) / 2 - np.sum(back**2, axis=1) / (
            4 * step_size * TEMPERATURE
        )
        accept = np.log(uniform) < log_ratio
        theta, num_accepted = (
            np.where(accept[:, None], ahead, theta),
            num_accepted + accept.sum(),
        )
    np.testing.assert_allclose(path.particles[6], theta, rtol=0, atol=1e-8)
    assert path.accepted[5] == pytest.approx(num_accepted / (60 * moves))
    assert 0.2 < path.accepted[5] < 0.95


@pytest.mark.slow
def test_the_dual_climbs_to_its_optimum():
    """150 particles: within 4 % of the distance of the start, which SDCA promises for 400 steps."""
    solved = tiny.exact("logistic")
    rows = np.random.default_rng(5).integers(8, size=400)
    path = run("logistic", tiny.prior_points(150), rows, period=40)
    best = solved.dual_objective(solved.optimal_dual())
    gaps = [best - solved.dual_objective(path.dual[t]) for t in (0, 40, 400)]
    assert 0 < gaps[2] < 0.04 * gaps[0] < gaps[1]


def test_vector_outputs_are_inner_products():
    """A neuron with outputs (h, 0), and a coordinate that moves the first alone, gives the scalar run."""
    rows, start = [0, 3, 5, 3, 6, 1, 2, 7, 4, 0], tiny.prior_points(40)
    draws = (
        lambda t: 0.4,
        lambda t: np.random.default_rng(t).normal(size=(2, 40, 2)),
        lambda t: np.random.default_rng(t).uniform(size=(2, 40)),
    )
    tail = (
        tiny.INPUTS,
        tiny.TARGETS["squared"],
        start,
        BOUND,
        RIDGE,
        TEMPERATURE,
        rows,
        4,
        0.1,
        *draws,
    )
    one = psdca(tiny.neuron, tiny.neuron_gradient, transcripts_sdca.squared, *tail)
    two = psdca(
        lambda particle, x: np.array([tiny.neuron(particle, x), 0.0]),
        lambda particle, x: np.outer(tiny.neuron_gradient(particle, x), [1.0, 0.0]),
        lambda z, g, y, c: np.array([transcripts_sdca.squared(z[0], g[0], y, c), 7.0]),
        *tail,
    )
    np.testing.assert_allclose(two.dual[:, :, 0], one.dual, rtol=0, atol=1e-12)
    np.testing.assert_allclose(two.particles, one.particles, rtol=0, atol=1e-12)
    np.testing.assert_allclose(two.log_partition, one.log_partition, rtol=0, atol=1e-12)
