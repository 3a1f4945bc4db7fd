"""Mean-field Langevin dynamics through `simulate` against its closed forms, symmetries and limits."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from grid_laws import GridRisk, quadrature_weights
from langevax import MeanFieldRisk, gradients, integrators, losses, neurons
from langevax.meanfield import MFLD
from langevax.run import program
from langevax.theory.gaussian import stationary_variance
from langevax.theory.mean_field import linear_optimum
from propagation_of_chaos import linear_cloud_variance
from tests.errorbars import assert_mean, z_scores
from tests.gaussian_laws import linear_flow
from tests.sentences import refuses

N, D, PARTICLES, CHAINS = 6, 2, 4, 10_000
RIDGE, TEMPERATURE = 0.25, 0.3


def regression():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(N, D))
    return inputs, inputs @ [2.0, -1.5] + 0.3 * rng.normal(size=N)


def linear_risk(dtype=jnp.float32):
    inputs, targets = regression()
    return MeanFieldRisk(
        neurons.Linear(),
        losses.squared,
        jnp.asarray(inputs, dtype),
        jnp.asarray(targets, dtype),
        precision=2 * RIDGE,
    )


def clouds(
    algorithm, num_steps, risk=None, start=None, num_particles=PARTICLES, **options
):
    """Independent clouds, started from the prior by default: (chain, particle, coordinate)."""
    risk = linear_risk() if risk is None else risk
    start = risk.prior(TEMPERATURE, num_particles) if start is None else start
    options = {"key": jax.random.key(1), "num_chains": CHAINS} | options
    return langevax.simulate(algorithm, risk, start, num_steps=num_steps, **options)


# The linear neuron with the squared loss, where all is Gaussian.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["explicit", "exponential"])
def test_linear_clouds_settle_at_the_closed_form(name):
    """10,000 clouds of four particles after 80 steps of 0.5: z-scores below 4.5.

    The cloud's mean has mean m* for any step, and the covariance of `linear_cloud_variance`; a particle has its
    variance about that mean. Distinguished: noise divided by the number of particles, ridge/2 |theta|^2, another step.
    """
    integrator = {
        "explicit": integrators.Explicit(),
        "exponential": integrators.Exponential(),
    }[name]
    inputs, targets = regression()
    optimum = linear_optimum(inputs, targets, RIDGE, TEMPERATURE)
    cloud = linear_cloud_variance(inputs, RIDGE, TEMPERATURE, PARTICLES, 0.5, name)
    theta = np.asarray(
        clouds(MFLD(0.5, TEMPERATURE, integrator=integrator), 80).position, np.float64
    )
    center = theta.mean(axis=1)
    away = center - optimum.mean
    wrong_ridge = linear_optimum(inputs, targets, RIDGE / 2, TEMPERATURE)
    assert_mean(center, optimum.mean, wrong=wrong_ridge.mean)
    assert_mean(
        np.einsum("ci,cj->cij", away, away),
        cloud.of_mean,
        wrong=PARTICLES * cloud.of_mean,
    )
    about = ((theta - center[:, None]) ** 2).mean(axis=1)
    assert_mean(about, cloud.within, wrong=cloud.within / (1 - 1 / PARTICLES))


def test_the_default_ridge_step_is_exact_for_the_spread_of_particles():
    """Exponential: a particle's variance about the mean is (1 - 1/N) T / (2 ridge) at any step; explicit is hotter."""
    exact = (1 - 1 / PARTICLES) * TEMPERATURE / (2 * RIDGE)
    inputs = regression()[0]
    assert linear_cloud_variance(
        inputs, RIDGE, TEMPERATURE, PARTICLES, 0.5, "exponential"
    ).within == pytest.approx(exact)
    theta = np.asarray(clouds(MFLD(0.5, TEMPERATURE), 80).position, np.float64)
    hotter = (1 - 1 / PARTICLES) * stationary_variance(
        "explicit", 0.5, 2 * RIDGE, 0.0, TEMPERATURE
    )
    assert_mean(theta.var(axis=1), exact, wrong=hotter)


def test_linear_clouds_follow_the_flow():
    """From particles at N(a, C) with step 0.01 to time 1: mean and spread of particles, give or take 2 %.

    The linear neuron's cloud follows the flow of infinitely many particles, whatever their number: its mean in the
    mean, and their spread about it, which sees no data. Both are distinguished from the start.
    """
    inputs, targets = regression()
    start_mean, start_variance = np.array([2.0, 1.0]), 0.1

    def draw(key):
        normal = jax.random.normal(key, (PARTICLES, D), jnp.float32)
        return jnp.asarray(start_mean, jnp.float32) + start_variance**0.5 * normal

    start_law = start_mean, start_variance * np.eye(D)
    flow = linear_flow(
        inputs, targets, RIDGE, TEMPERATURE, *start_law, np.array([0.0, 1.0])
    )
    theta = np.asarray(
        clouds(MFLD(0.01, TEMPERATURE), 100, start=draw).position, np.float64
    )
    assert_mean(theta.mean(axis=1), flow.mean[1], slack=0.02, wrong=start_mean)
    covariance = np.diag(flow.covariance[1])
    assert_mean(
        theta.var(axis=1, ddof=1),
        covariance,
        slack=0.02 * covariance,
        wrong=start_variance,
    )


# Variance reduction in a cloud.


def tanh_risk(targets=None, dtype=jnp.float32, precision=2 * RIDGE):
    inputs, numbers = regression()
    return MeanFieldRisk(
        neurons.Tanh(2.0),
        losses.squared,
        jnp.asarray(inputs, dtype),
        jnp.asarray(numbers if targets is None else targets, dtype),
        precision=precision,
    )


@pytest.mark.slow
def test_at_an_anchor_step_svrg_is_the_full_gradient_exactly():
    """Bit for bit, at steps 0 and m, whatever anchor came before; and not at others."""
    risk, svrg = tanh_risk(), gradients.SVRG(2, 3)
    clouds = jax.random.normal(jax.random.key(0), (2, PARTICLES, D + 1))
    estimate = eqx.filter_jit(
        lambda cloud, state, step: svrg.estimate(
            risk, cloud, state, jax.random.key(1), step
        )
    )
    gradient = eqx.filter_jit(risk.gradient)
    state, _ = svrg.init(risk, clouds[0])
    for step in (0, 3):
        v, following, _ = estimate(
            clouds[1], svrg.init(risk, clouds[0])[0], jnp.int32(step)
        )
        np.testing.assert_array_equal(v, gradient(clouds[1]))
        np.testing.assert_array_equal(following.position, clouds[1])
    _, state, _ = estimate(clouds[0], state, jnp.int32(0))
    v, _, _ = estimate(clouds[1], state, jnp.int32(1))
    assert np.abs(v - gradient(clouds[1])).max() > 1e-3


def path_of(risk, start, temperature=0.0, estimator=gradients.Full()):  # noqa: B008 - immutable
    algorithm = MFLD(0.3, temperature, estimator)
    result = langevax.simulate(
        algorithm, risk, start, key=jax.random.key(0), num_steps=20, record_every=1
    )
    return np.asarray(result.positions)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [gradients.SVRG(N, 4), gradients.SVRG(2, 1)])
def test_with_full_batches_or_period_one_svrg_is_mfld(estimator):
    """The same noisy cloud, to 1e-13 in float64."""
    with jax.enable_x64():
        risk, start = (
            tanh_risk(dtype=jnp.float64),
            jax.random.normal(jax.random.key(3), (PARTICLES, D + 1)),
        )
        plain = path_of(risk, start, TEMPERATURE)
        np.testing.assert_allclose(
            path_of(risk, start, TEMPERATURE, estimator), plain, rtol=0, atol=1e-13
        )
        assert np.ptp(plain) > 1


# Symmetries, without noise so that paths can be compared.


def test_permuted_particles_move_permuted():
    with jax.enable_x64():
        risk, start = (
            tanh_risk(dtype=jnp.float64),
            jax.random.normal(jax.random.key(3), (PARTICLES, D + 1)),
        )
        order = np.array([2, 0, 3, 1])
        path = path_of(risk, start)
        np.testing.assert_allclose(
            path_of(risk, start[order]), path[:, order], rtol=0, atol=1e-13
        )
        assert np.abs(path - path[:, order]).max() > 0.1


def test_flipped_labels_move_flipped_particles_to_the_opposite():
    """An odd neuron: y -> -y and theta -> -theta is a symmetry; outputs and duals change sign."""
    with jax.enable_x64():
        start = jax.random.normal(jax.random.key(3), (PARTICLES, D + 1))
        risk, flipped = (
            tanh_risk(sign * regression()[1], jnp.float64) for sign in (1, -1)
        )
        path = path_of(risk, start)
        np.testing.assert_allclose(path_of(flipped, -start), -path, rtol=0, atol=1e-13)
        np.testing.assert_allclose(
            flipped.dual(-start), -risk.dual(start), rtol=0, atol=1e-13
        )
        assert np.abs(path_of(flipped, start) + path).max() > 0.1


@pytest.mark.slow
def test_flipped_labels_flip_the_law():
    """With noise, in the mean over 2,000 clouds: the outputs of the two runs are opposite, and far from zero."""
    outputs = []
    for sign, key in ((1, 0), (-1, 1)):
        risk = tanh_risk(sign * regression()[1])
        cloud = clouds(
            MFLD(0.3, TEMPERATURE), 60, risk, num_chains=2000, key=jax.random.key(key)
        ).position
        outputs.append(np.asarray(jax.jit(jax.vmap(risk.outputs))(cloud), np.float64))
    assert_mean(outputs[0] + outputs[1], 0.0)
    assert z_scores(outputs[0], 0.0).max() > 20


# Limits.


class Clipped(neurons.Tanh):
    """clip(<w, x> + b, 0, 1), which is not odd."""

    def activation(self, particle, x):
        return jnp.clip(neurons.preactivation(particle, x), 0, 1)


@pytest.mark.slow
def test_a_hot_network_with_its_ridge_in_proportion_is_the_prior():
    """temperature, ridge -> infinity at a fixed ratio: outputs -> E_prior h, of a neuron that is not odd.

    At temperature 10^4 within 4.5 errors of it; at 0.3 the same ratio is pulled to the targets, 10 errors off.
    """
    inputs = regression()[0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    scale = np.sqrt(TEMPERATURE / (2 * RIDGE) * (np.sum(inputs**2, axis=1) + 1))
    of_prior = np.clip(scale[:, None] * nodes, 0, 1) @ weights / weights.sum()
    for factor, near in ((1.0, False), (1e4, True)):
        risk = MeanFieldRisk(
            Clipped(),
            losses.squared,
            jnp.asarray(inputs, jnp.float32),
            jnp.full(N, 3.0),
            precision=2 * RIDGE * factor,
        )
        theta = clouds(
            MFLD(0.3, TEMPERATURE * factor), 30, risk, num_chains=2000
        ).position
        outputs = np.asarray(jax.jit(jax.vmap(risk.outputs))(theta), np.float64)
        if near:
            # the quadrature of the kink is good to 1e-3, a tenth of a standard error
            assert_mean(outputs, of_prior)
        else:
            assert z_scores(outputs, of_prior).max() > 10


# Duality on a one-dimensional grid, with the library's losses.

BEND = np.array([0.8, -1.5, 2.0, 0.4, -0.7])


class Bend(neurons.Neuron):
    """h = tanh(theta x), one coordinate."""

    def __call__(self, particle, x):
        return jnp.tanh(particle[0] * x[0])

    def slope_bounds(self, second_moments):
        return second_moments

    def particle_size(self, num_features):
        return 1

    @property
    def output_shape(self):
        return ()

    @property
    def bound(self):
        return 1.0


def on_rows(method):
    """A method of a loss as a NumPy function of (n,) arrays, in float64."""
    mapped = jax.jit(jax.vmap(method))

    def function(z, y):
        with jax.enable_x64():
            return np.asarray(mapped(jnp.asarray(z), jnp.asarray(y)))

    return function


def grid_risk(loss, temperature=0.1):
    grid = np.linspace(-6, 6, 241)
    values = np.tanh(BEND[:, None] * grid)
    targets = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    parts = (on_rows(method) for method in (loss, loss.derivative, loss.conjugate))
    return GridRisk(grid, values, targets, 0.2, temperature, *parts)


LOSSES = pytest.mark.parametrize(
    "loss", [losses.squared, losses.logistic, losses.smoothed_hinge]
)


def laws(grid, seed=0):
    """Five densities: mixtures of bumps."""
    rng = np.random.default_rng(seed)
    for _ in range(5):
        bumps = np.exp(
            -((grid - rng.normal(scale=2, size=(3, 1))) ** 2)
            / rng.uniform(0.5, 3, size=(3, 1))
        )
        density = rng.dirichlet(np.ones(3)) @ bumps + 1e-6
        yield density / (quadrature_weights(grid) @ density)


@LOSSES
def test_the_librarys_losses_obey_the_entropy_sandwich(loss):
    """T KL(q || q*) <= P(q) - P(q*) <= T KL(q || p_q), and P(q) - D(g_q) = T KL(q || p_q)."""
    risk = grid_risk(loss)
    dual = risk.optimal_dual()
    optimum, best = risk.gibbs(dual), risk.dual_objective(dual)
    assert risk.primal_objective(optimum) == pytest.approx(best, abs=1e-11)
    for density in laws(risk.points):
        own = risk.dual_of(density)
        primal, to_own_gibbs = (
            risk.primal_objective(density),
            risk.kl(density, risk.gibbs(own)),
        )
        assert primal - risk.dual_objective(own) == pytest.approx(
            risk.temperature * to_own_gibbs, abs=1e-11
        )
        lower = risk.temperature * risk.kl(density, optimum)
        assert 1e-3 < lower <= primal - best + 1e-11
        assert primal - best <= risk.temperature * to_own_gibbs + 1e-11


@LOSSES
def test_the_mean_fenchel_young_gap_is_the_duality_gap(loss):
    """(1/n) sum FY(z_i, g_i) at z = E_{p_g} h is P(p_g) - D(g), for any feasible dual."""
    risk, rng = grid_risk(loss), np.random.default_rng(1)
    for _ in range(5):
        dual = -risk.targets * rng.uniform(0.05, 0.95, size=len(BEND))
        law = risk.gibbs(dual)
        gap = risk.primal_objective(law) - risk.dual_objective(dual)
        with jax.enable_x64():
            rows = [jnp.asarray(a) for a in (risk.outputs(law), dual, risk.targets)]
            gaps = np.asarray(jax.vmap(loss.fenchel_young)(*rows))
        assert gaps.mean() == pytest.approx(gap, abs=1e-11)
        assert gap > 1e-4


@pytest.mark.slow
def test_a_large_cloud_has_the_outputs_and_the_law_of_the_optimum():
    """MFLD with 500 tanh neurons and the logistic loss against the grid: outputs give or take 0.005, E theta^2 2 %.

    The slack is for the step of 0.05 and for 1/500. Distinguished: the optimum at twice the temperature, and the prior.
    """
    solved = grid_risk(losses.logistic)
    optimum = solved.gibbs(solved.optimal_dual())
    risk = MeanFieldRisk(
        Bend(),
        losses.logistic,
        jnp.asarray(BEND[:, None], jnp.float32),
        jnp.asarray(solved.targets, jnp.float32),
        precision=2 * solved.ridge,
    )
    run = clouds(
        MFLD(0.05, solved.temperature),
        600,
        risk,
        start=risk.prior(solved.temperature, 500),
        num_chains=64,
    )
    outputs = np.asarray(jax.jit(jax.vmap(risk.outputs))(run.position), np.float64)
    hot = grid_risk(losses.logistic, 2 * solved.temperature)
    hot_outputs = hot.outputs(hot.gibbs(hot.optimal_dual()))
    assert_mean(outputs, solved.outputs(optimum), slack=0.005, wrong=hot_outputs)
    squares = np.mean(np.asarray(run.position, np.float64) ** 2, axis=(1, 2))
    second = solved.measure @ (optimum * solved.squared_norms)
    assert_mean(
        squares,
        second,
        slack=0.02 * second,
        wrong=solved.temperature / (2 * solved.ridge),
    )


def test_noise_is_drawn_beside_the_mean_and_not_beside_a_product():
    """The draw waits for no product and no product for it, so that XLA's schedule decides what it shares its time with.

    In JAX 0.10 that is the mean: beside a product, which then has one core of two, it cost a fifth of a step. The
    scheduler of JAX 0.12 issues the draw last, whatever the length of the chain of keys before it.
    """
    inputs = np.random.default_rng(0).standard_normal((442, 10)).astype(np.float32)
    problem = MeanFieldRisk(
        neurons.Tanh(), losses.squared, inputs, inputs[:, 0], precision=0.01
    )
    mfld = MFLD(0.1, 0.01)
    parts, one = program.RunParts(mfld, problem, jax.random.key(0)), jnp.int32(1)
    cloud = jnp.ones((1024, 11), jnp.float32)
    carry = program.begin(parts, cloud)
    compiled = (
        program.advance.lower(program.Chunk(parts, one, one), carry, None)
        .compile()
        .compiled
    )
    (step,) = (
        part for part in compiled.as_text().split("\n\n") if " conditional(" in part
    )
    operations = dict(re.findall(r"(%[\w.-]+) = (.*)", step))
    (draw,) = (name for name, text in operations.items() if " conditional(" in text)
    activations = {
        name for name, text in operations.items() if text.startswith("f32[1024,442]")
    }
    gradient = next(
        name
        for name, text in operations.items()
        if text.startswith("f32[1024,16]") and "fusion(" in text
    )
    assert len(activations) == 3  # before and after the activation function, and slopes
    assert not activations & inputs_of(operations, draw)
    assert activations < inputs_of(operations, gradient)
    assert draw not in inputs_of(operations, gradient)
    if jax.__version_info__ < (0, 11):
        order = list(operations)
        assert order.index(draw) < max(map(order.index, activations))


def inputs_of(operations, name):
    """Return the operations of a computation whose results enter the operation `name`, directly or not."""
    direct = operations.keys() & set(re.findall(r"%[\w.-]+", operations[name])) - {name}
    return direct.union(*(inputs_of(operations, other) for other in direct))


@pytest.mark.slow
def test_a_cloud_beyond_memory_is_refused():
    """Two billion particles: named with the memory they need, before anything is allocated."""
    risk = MeanFieldRisk(
        neurons.Tanh(),
        losses.squared,
        np.ones((2, 99), np.float32),
        np.zeros(2, np.float32),
        1.0,
    )
    with refuses(ValueError, "num_particles 2000000000 800", varies=True):
        risk.prior(0.1, 2 * 10**9)
    with refuses(ValueError, "num_particles 2147483647 10000000000000"):
        langevax.sklearn.MeanFieldRegressor(num_particles=10**13).fit(
            np.ones((4, 1)), np.arange(4.0)
        )
