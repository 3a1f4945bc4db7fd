"""PDA, P-SDCA and fictitious play: to the exact optimum of a grid, their symmetries, their cost, their mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri

import langevax
from grid_laws import GridRisk
from langevax import MeanFieldRisk, gradients, losses, neurons
from langevax.meanfield import PDA, PSDCA, FictitiousPlay
from langevax.meanfield.psdca import _estimate_row
from langevax.problems.finite_sum import FiniteSum
from tests.jaxprs import shapes
from tests.papers import tiny
from tests.sentences import refuses
from tests.theory.grids import LOSSES

pytestmark = pytest.mark.mostly_compiling

T, RIDGE = tiny.TEMPERATURE, tiny.RIDGE
N = len(tiny.INPUTS)


def risk_of(loss="squared", neuron=None):
    inputs, targets = (
        jnp.asarray(tiny.INPUTS, jnp.float32)[:, None],
        jnp.asarray(tiny.TARGETS[loss], jnp.float32),
    )
    return MeanFieldRisk(
        neuron or neurons.Tanh(3.0),
        getattr(losses, loss),
        inputs,
        targets,
        precision=2 * RIDGE,
    )


def run(algorithm, num_steps, num_particles, loss="squared", key=0, **options):
    risk = risk_of(loss)
    start = risk.prior(T, num_particles)
    return langevax.simulate(
        algorithm, risk, start, key=jax.random.key(key), num_steps=num_steps, **options
    )


def true_gap(loss, dual):
    """D* - D(dual), by quadrature."""
    exact = tiny.exact(loss)
    best = exact.dual_objective(exact.optimal_dual())
    return best - exact.dual_objective(np.asarray(dual, np.float64))


def mean_dual(result):
    """Over the last half of the records."""
    duals = np.asarray(result.positions)
    return duals[len(duals) // 2 :].mean(0)


def dual_of(_problem, state):
    return state.dual


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_ascent_reaches_the_exact_optimum(loss):
    """M = 4000, 1600 steps where kappa is 308 and 83: a true dual gap of less than 1e-4, from 0.1 and 0.6 at dual 0."""
    result = run(PSDCA(T), 200 * N, 4000, loss, record=dual_of, record_every=N)
    assert true_gap(loss, np.zeros(N)) > 0.09
    assert true_gap(loss, mean_dual(result)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_averaging_reaches_the_exact_optimum(loss):
    """N = 2000, 400 rounds of ten steps: below 1e-4, the step's bias and the noise of the cloud included."""
    assert true_gap(loss, run(PDA(0.1, T), 400, 2000, loss).state.dual) < 1e-4


@pytest.mark.slow
def test_fictitious_play_reaches_the_exact_optimum():
    result = run(FictitiousPlay(0.1, T), 300, 2000, record=dual_of, record_every=5)
    assert true_gap("squared", mean_dual(result)) < 1e-4


@pytest.mark.slow
def test_the_log_partition_of_ascent_is_that_of_the_grid():
    """log E_prior exp(-V / T) at the final dual, one run of 20,000 particles, which err by 0.003."""
    exact = tiny.exact("squared")
    state = run(PSDCA(T), 10 * N, 20_000).state
    expected = exact.log_partition(
        np.asarray(state.dual, np.float64)
    ) - exact.log_partition(np.zeros(N))
    assert float(state.log_partition + state.since_refresh) == pytest.approx(
        expected, abs=0.02
    )
    assert abs(expected) > 0.1


@pytest.mark.slow
def test_a_step_from_a_cloud_that_has_collapsed_is_taken_in_part():
    """At dual -0.2 neurons stand at their bound: variance 0.04 where it is 7 at dual 0. The row pulls back, and a step
    by that variance overshoots, from D - D(0) = -1.1 to -5.4; one deviation of log weights leads to 0.06.
    """
    temperature, dual, target, spread = 0.1, -0.2, -3.0, 4.0
    ridge, axis = (
        temperature / (2 * spread**2),
        np.linspace(-8 * spread, 8 * spread, 2001),
    )
    exact = GridRisk(
        axis,
        3 * np.tanh(axis)[None],
        np.array([target]),
        ridge,
        temperature,
        *LOSSES["squared"],
    )
    risk = MeanFieldRisk(
        neurons.Tanh(3.0),
        losses.squared,
        jnp.zeros((1, 1)),
        jnp.array([target]),
        2 * ridge,
    )
    quantiles = jnp.asarray(spread * ndtri((np.arange(4000) + 0.5) / 4000), jnp.float32)
    ascent, key = PSDCA(temperature, curvature="variance"), jax.random.key(0)
    state, _ = ascent.init(risk, jnp.stack([jnp.zeros(4000), quantiles], 1), key)
    log_weights = -dual * 3 * jnp.tanh(quantiles) / temperature
    state = state._replace(dual=jnp.array([dual]), log_weights=log_weights)
    end = ascent.step(risk, state, key, jnp.int32(0))[
        0
    ]  # step 0, which refreshes nothing
    change = log_weights - end.log_weights
    weights = jax.nn.softmax(log_weights)
    assert float(jnp.sqrt(weights @ (change - weights @ change) ** 2)) == pytest.approx(
        1, abs=0.01
    )
    before, after = (
        exact.dual_objective(np.asarray(s.dual, np.float64)) for s in (state, end)
    )
    assert before < exact.dual_objective(np.zeros(1)) - 1
    assert after > exact.dual_objective(np.zeros(1)) + 0.04


@pytest.mark.slow
def test_chains_of_ascent_are_independent_and_begin_at_dual_zero():
    result = run(PSDCA(T), 3, 50, num_chains=2, record=dual_of, record_every=1)
    duals = np.asarray(result.positions)
    assert duals.shape == (2, 3, N)
    assert np.all((duals[:, 0] != 0).sum(1) == 1)
    assert np.any(duals[0] != duals[1])


def test_a_variance_far_below_the_square_of_the_mean_keeps_its_digits():
    """Deviation 1e-4 at a mean of 2.3: the difference of mean squares would be of the size of float32's rounding."""
    risk = risk_of()
    cloud = jnp.asarray([0.0, 1.0]) + 1e-4 * jax.random.normal(
        jax.random.key(0), (4000, 2)
    )
    state, _ = PSDCA(T).init(risk, cloud, jax.random.key(1))
    estimate = _estimate_row(
        risk, state._replace(log_weights=jnp.linspace(-1, 1, 4000)), jnp.int32(3)
    )
    values, weights = (
        np.asarray(estimate.values, np.float64),
        np.exp(np.linspace(-1, 1, 4000)),
    )
    expected = np.average(
        (values - np.average(values, weights=weights)) ** 2, weights=weights
    )
    assert float(estimate.variance) == pytest.approx(expected, rel=1e-4)
    assert float(estimate.effective) == pytest.approx(
        weights.mean() ** 2 / (weights**2).mean(), rel=1e-5
    )


# Symmetries.


@pytest.mark.slow
def test_a_constant_in_the_log_weights_changes_nothing():
    risk, ascent, key = risk_of(), PSDCA(T), jax.random.key(3)
    state = run(ascent, 5, 100).state
    shifted = state._replace(log_weights=state.log_weights + 7.0)
    ends = [ascent.step(risk, s, key, jnp.int32(5))[0] for s in (state, shifted)]
    np.testing.assert_allclose(ends[0].dual, ends[1].dual, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        ends[0].log_weights, ends[1].log_weights, rtol=0, atol=1e-4
    )


@pytest.mark.slow
def test_the_order_of_particles_does_not_matter_to_the_dual():
    risk, ascent, key = risk_of(), PSDCA(T), jax.random.key(3)
    state, order = run(ascent, 5, 100).state, np.random.default_rng(0).permutation(100)
    other = state._replace(
        position=state.position[order], log_weights=state.log_weights[order]
    )
    ends = [ascent.step(risk, s, key, jnp.int32(5))[0] for s in (state, other)]
    np.testing.assert_allclose(ends[0].dual, ends[1].dual, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        ends[0].log_weights[order], ends[1].log_weights, rtol=0, atol=1e-4
    )


@pytest.mark.slow
def test_a_row_of_weight_two_is_two_rows():
    """c and the change of the weights go with the row's weight; at M = 4000 errors are about 0.01."""

    def optimal_dual(rows, weights):
        inputs, targets = (
            jnp.asarray([[0.5], [-1.0]])[rows],
            jnp.asarray([3.0, -3.0])[rows],
        )
        risk = MeanFieldRisk(
            neurons.Tanh(3.0), losses.squared, inputs, targets, 2 * RIDGE, weights
        )
        options = {
            "key": jax.random.key(1),
            "num_steps": 3000,
            "record": dual_of,
            "record_every": 10,
        }
        return mean_dual(
            langevax.simulate(
                PSDCA(T, period=100), risk, risk.prior(T, 4000), **options
            )
        )

    weighted = optimal_dual(jnp.array([0, 1]), jnp.asarray([2.0, 1.0]))
    twice = optimal_dual(jnp.array([0, 0, 1]), None)
    np.testing.assert_allclose(weighted, twice[[0, 2]], atol=0.025)
    assert (
        np.max(np.abs(weighted - optimal_dual(jnp.array([0, 1]), jnp.ones(2)))) > 0.05
    )


# Cost.


def test_a_coordinate_step_never_holds_neurons_times_rows():
    """Between refreshes O(M d): nothing of M x n numbers is computed, in a block or whole, outside the refresh."""
    rows, particles = 97, 53
    risk = MeanFieldRisk(
        neurons.Tanh(1.0),
        losses.squared,
        jnp.ones((rows, 2)),
        jnp.zeros(rows),
        precision=2 * RIDGE,
    )
    ascent = PSDCA(T)
    state, _ = ascent.init(
        risk, risk.prior(T, particles)(jax.random.key(0)), jax.random.key(1)
    )
    row = jnp.int32(3)
    computed = shapes(
        jax.make_jaxpr(
            lambda s: ascent._ascended(
                risk, s, _estimate_row(risk, s, row), s.dual[3], row
            )
        )(state)
    )
    assert max(int(np.prod(shape)) for shape in computed) <= particles * 3 + rows


@pytest.mark.slow
def test_evaluations_count_rows_times_the_network():
    assert run(PSDCA(T, num_inner_steps=2, period=4), 9, 50).evaluations == 9 + 2 * (
        3 * N + 1
    )  # the row seen once more
    assert run(PDA(0.1, T, num_inner_steps=3), 5, 20).evaluations == 5 * (1 + 3) * N
    assert (
        run(
            PDA(
                0.1, T, num_inner_steps=3, batch_size=2, gradient=gradients.Minibatch(4)
            ),
            5,
            20,
        ).evaluations
        == 5 * 14
    )
    assert (
        run(FictitiousPlay(0.1, T, num_inner_steps=3), 5, 20).evaluations
        == N + 5 * 4 * N
    )


# Mistakes.


@pytest.mark.parametrize(
    ("make", "error", "facts"),
    [
        (
            lambda: PSDCA(lambda step: 0.1),
            TypeError,
            "temperature",
        ),
        (lambda: PSDCA(0.0), ValueError, "temperature 0"),
        (
            lambda: PSDCA(T, num_inner_steps=0),
            ValueError,
            "num_inner_steps 1",
        ),
        (lambda: PSDCA(T, period=0), ValueError, "period 1"),
        (
            lambda: PDA(0.1, lambda step: 0.1),
            TypeError,
            "temperature",
        ),
        (lambda: PDA(0.0, T), ValueError, "step_size 0"),
        (
            lambda: PDA(0.1, T, num_inner_steps=0),
            ValueError,
            "num_inner_steps 1",
        ),
        (
            lambda: PDA(0.1, T, growth=-1.0),
            ValueError,
            "growth 0",
        ),
        (
            lambda: FictitiousPlay(0.1, T, rate=1.5),
            ValueError,
            "rate 0 1 1.5",
        ),
        (
            lambda: FictitiousPlay(0.1, T, rate=0.0),
            ValueError,
            "rate 0",
        ),
        (
            lambda: run(PDA(0.1, T, batch_size=9), 1, 5),
            ValueError,
            "batch_size 9 8",
        ),
    ],
)
def test_a_mistake_is_named(make, error, facts):
    with refuses(error, facts):
        make()


@pytest.mark.parametrize("algorithm", [PSDCA(T), PDA(0.1, T), FictitiousPlay(0.1, T)])
def test_a_problem_without_a_dual_is_refused(algorithm):
    problem = FiniteSum(lambda x, a: jnp.sum((x - a) ** 2), jnp.ones((4, 2)))
    with refuses(TypeError, "MeanFieldRisk"):
        langevax.simulate(
            algorithm, problem, jnp.zeros(2), key=jax.random.key(0), num_steps=1
        )


def test_ascent_without_a_bound_is_refused():
    risk = risk_of(neuron=neurons.Linear())
    with refuses(ValueError):
        langevax.simulate(
            PSDCA(T), risk, risk.prior(T, 10), key=jax.random.key(0), num_steps=1
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "algorithm",
    [
        PSDCA(T, num_inner_steps=2),
        PDA(0.1, T, num_inner_steps=2),
        FictitiousPlay(0.1, T),
    ],
)
def test_a_saved_run_resumes_bit_for_bit(algorithm, tmp_path):
    uninterrupted = run(algorithm, 20, 30).state
    run(algorithm, 11, 30, run=langevax.Run(checkpoint=tmp_path))
    resumed = run(
        algorithm, 20, 30, run=langevax.Run(checkpoint=tmp_path, resume=True)
    ).state
    jax.tree.map(np.testing.assert_array_equal, uninterrupted, resumed)
