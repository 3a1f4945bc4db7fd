"""Choices of `sample`: NUTS, batches or pCNL, and the coordinates; NUTS itself; what the draws offer afterwards."""

import dataclasses
import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import FiniteSum, Langevin, gradients
from langevax.problems.coordinates import Raveled
from langevax.run import Run, Stacked
from langevax.sampling.choice import NormalFit, operations_of_row
from langevax.sampling.methods import (
    SamplingMethod,
    StepSizeBias,
    choose_batch,
    estimate_bias,
    tune_bias,
    with_sizes,
)
from langevax.sampling.modes import Exploration
from langevax.sampling.nuts import Adaptation, Stage, stages_of
from langevax.sampling.plans.minibatches import Minibatches
from langevax.sampling.preconditioning import (
    CoordinateMap,
    Pilot,
    coordinates_of,
    run_even_pilot,
    run_pilot,
)
from langevax.sampling.starts import (
    Keys,
    Lengths,
    StartNear,
    UniformStart,
)
from langevax.sampling.survey import PilotSurvey
from langevax.sampling.target import Resolved
from tests.sentences import tells

pytestmark = pytest.mark.mostly_compiling

KEY = jax.random.key(0)
RNG = np.random.default_rng(1)
N = 200
X = RNG.normal(size=(N, 2)) @ np.array([[1.0, 0.9], [0.0, 0.4]])
Y = X @ [1.0, -0.5] + RNG.normal(size=N)


def log_likelihood(w, row):
    return -((row[0] @ w - row[1]) ** 2) / 2


def regression(x):
    return langevax.posterior(
        None, log_likelihood, (jnp.float32(x), jnp.float32(Y)), prior_precision=1.0
    )


@functools.cache
def sampled():
    return langevax.sample(regression(X), jnp.zeros(2), key=KEY, num_samples=500)


@pytest.mark.slow
def test_few_rows_are_sampled_by_nuts():
    """Means to 5 Monte-Carlo errors, variances to 15 % (about 2,000 effective draws)."""
    samples = sampled()
    assert samples.method == "nuts"
    tells(samples.reason, "200")
    assert samples.warnings == []
    assert samples.result.divergences == 0
    precision = X.T @ X + np.eye(2)
    mean, covariance = np.linalg.solve(precision, X.T @ Y), np.linalg.inv(precision)
    table, flat = samples.summary(), samples.positions.reshape(-1, 2)
    assert table["ess_bulk"].min() > 1000
    np.testing.assert_array_less(np.abs(flat.mean(0) - mean), 5 * table["mcse_mean"])
    np.testing.assert_allclose(flat.var(0) / np.diagonal(covariance), 1, atol=0.15)
    assert samples.result.evaluations >= N * 4 * 500


def test_draws_go_on():
    """The first ones stay, and the step size."""
    samples = sampled()
    longer = samples.extend(300, key=jax.random.key(1))
    assert longer.positions.shape == (4, 800, 2)
    np.testing.assert_array_equal(longer.positions[:, :500], samples.positions)
    assert longer.step_size == samples.step_size
    assert longer.evaluations > samples.evaluations
    assert len(np.unique(longer.draws[0], axis=0)) > 700


def test_log_likelihoods_of_rows_go_to_arviz():
    samples = sampled()
    values = samples.log_likelihood()
    assert values.shape == (4, 500, N)
    w = samples.positions[1, 7]
    np.testing.assert_allclose(
        values[1, 7], -((X @ w - Y) ** 2) / 2, rtol=1e-3, atol=1e-4
    )
    tree = samples.to_datatree(log_likelihood=True)
    assert tree["log_likelihood"]["log_likelihood"].shape == (4, 500, N)


def offered(fit, problem, temperature):
    """The verdict on batches where the law about the mode 0 fits a normal law so well."""
    law = Resolved(problem, temperature, jnp.zeros(2), None, None, None)
    keys = Keys.of(KEY)
    coordinates = CoordinateMap((Raveled(problem, law.position),))
    pilot = Pilot(law.position, None, 0)
    exploration = Exploration(coordinates, pilot, coordinates, law.position, fit)
    start = exploration.start(temperature)
    survey = PilotSurvey(
        law,
        keys,
        exploration,
        coordinates,
        law.position,
        start,
        True,
        0,
        Lengths(1000, 4, "auto", "auto"),
        Run(),
    )
    return Minibatches().offer(
        SimpleNamespace(posterior=law, survey=survey, tolerance=None)
    )


@pytest.mark.parametrize(
    ("num_rows", "applies", "reason"),
    [
        (1, False, "one function"),
        (1000, False, "are cheap"),
        (20_000, False, "cost less than batches of 32 would"),
        (400_000, True, "rows are enough"),
    ],
)
def test_many_rows_are_sampled_in_batches(num_rows, applies, reason):
    """Rows of a normal law, whose gradients hardly differ from one draw to the next: the smallest batch will do."""
    problem = FiniteSum(
        lambda x, a: jnp.sum((x - a) ** 2) / 2,
        jnp.float32(RNG.normal(size=(num_rows, 2))),
    )
    verdict = offered(NormalFit(0.1, 0.1, 2), problem, 1 / num_rows)
    assert (verdict.applies, reason in verdict.reason) == (applies, True)
    for unusual in (None, NormalFit(0.1, 3.0, 2)):
        assert not offered(unusual, problem, 1 / num_rows).applies


def test_costly_rows_are_sampled_in_batches_where_as_many_cheap_ones_are_not():
    """2,000 features of every row: a thousand times the operations of the test above, of a tenth of its rows."""
    features = jnp.float32(RNG.normal(size=(2000, 2)))
    problem = FiniteSum(
        lambda x, a: jnp.mean((features @ (x - a)) ** 2) / 2,
        jnp.float32(RNG.normal(size=(40_000, 2))),
    )
    assert offered(NormalFit(0.1, 0.1, 2), problem, 1 / 40_000).applies


def test_operations_of_a_row_are_counted():
    """Two products with the row, one forward and one back, are 4 d operations; the rest does not depend on d."""
    counts = []
    for columns in (10, 50):
        rows = jnp.zeros((300, columns), jnp.float32), jnp.zeros(300, jnp.float32)
        problem = langevax.posterior(
            None, log_likelihood, rows, prior_precision=1.0
        ).problem
        counts.append(operations_of_row(problem, jnp.zeros(columns)))
    assert 3.9 < (counts[1] - counts[0]) / 40 < 4.3


def test_the_fit_tells_a_normal_law_from_others():
    """N(0, 1), and two laws whose curvature at the mode is that of N(0, 1) as well."""
    laws = {
        "normal": lambda x: jnp.sum(x**2) / 2,
        "light": lambda x: jnp.sum(x**2 + 3 * x**4) / 2,
        "steep": lambda x: jnp.sum(x**2 / 2 + 50 * x**4),
    }
    fits = {
        name: NormalFit.of(langevax.Function(law), jnp.zeros(2), 1.0, KEY)
        for name, law in laws.items()
    }
    assert fits["normal"].typical < 1e-5
    assert fits["normal"].is_close
    assert fits["normal"].is_usable
    assert not fits["light"].is_close
    assert not fits["steep"].is_usable


def test_units_replace_units_of_one():
    """Without a prior all coordinates have units, at first of 1, and both pilots are one program."""
    law = langevax.Function(
        lambda x: ((1e4 * x[0] - 1) ** 2 + (1e-3 * x[1] + 2 - x[0]) ** 2) / 2
    )
    flat = coordinates_of(law, jnp.zeros(2), 1.0)
    even, pilot = run_even_pilot(flat, jnp.zeros(2), 1.0, KEY, exact_prior=False)
    assert [type(layer) for layer in even.layers] == [
        type(layer) for layer in flat.layers
    ]
    np.testing.assert_allclose(even.problem.matrix, [1e-4, 1e3], rtol=1e-3)
    coordinates, mode = even.preconditioned(pilot)
    np.testing.assert_allclose(
        jax.hessian(coordinates.problem.potential)(mode), np.eye(2), atol=0.01
    )
    np.testing.assert_allclose(
        coordinates.to_position(mode), [1e-4, -1999.9], rtol=1e-3
    )
    again = even.with_units(np.array([4.0, 4.0]))
    np.testing.assert_allclose(again.problem.matrix, even.problem.matrix / 2)


@pytest.mark.slow
def test_raw_columns_get_units_before_directions():
    """Curvatures of 1e14 to 1: in the pilot's coordinates all are 1, to 5 % in float32."""
    problem, temperature = regression(X * [1e4, 1e-3])
    flat = coordinates_of(problem, jnp.zeros(2), temperature)
    even, pilot = run_even_pilot(
        flat, jnp.zeros(2), temperature, KEY, exact_prior=False
    )
    coordinates, mode = even.preconditioned(pilot)
    hessian = jax.hessian(coordinates.problem.potential)(mode)
    np.testing.assert_allclose(hessian, np.eye(2), atol=0.05)
    exact = np.linalg.solve(
        (X * [1e4, 1e-3]).T @ (X * [1e4, 1e-3]) + np.eye(2), (X * [1e4, 1e-3]).T @ Y
    )
    np.testing.assert_allclose(coordinates.to_position(mode), exact, rtol=1e-3)
    indices = jnp.arange(7, dtype=jnp.int32)
    whole = jnp.mean(coordinates.problem.gradients_at(mode, indices), axis=0)
    np.testing.assert_allclose(
        coordinates.problem.gradient_at(mode, indices), whole, rtol=1e-3
    )


@pytest.mark.slow
def test_plain_minibatches_are_as_large_as_their_own_noise_asks():
    """At T = 1/n all rows, where changes of gradients between two draws ask for fewer."""
    problem, temperature = regression(X)
    pilot = run_pilot(problem, jnp.zeros(2), temperature, KEY)
    white = langevax.affine(problem, pilot.scales)
    mode = white.from_position(pilot.mode)
    sizes = [
        with_sizes(gradient, white, mode, temperature, KEY).batch_size
        for gradient in (gradients.Minibatch(), gradients.SVRG(period=9))
    ]
    assert sizes[0] == N
    assert sizes[1] < N


@pytest.mark.slow
def test_one_stiff_coordinate_of_sixty_is_reported():
    """Curvature 8 at a step of 0.1: its variance is 1 / (1 - 0.4) = 1.67 times the truth, the mean over all 1.01."""
    loss = lambda x, curvature: jnp.sum(curvature * x**2) / 2
    start = Stacked(jax.random.normal(KEY, (4, 60)))
    method = SamplingMethod(Langevin(), 1.0)
    curvatures = np.ones((2, 60), np.float32)
    small = estimate_bias(
        method, FiniteSum(loss, jnp.asarray(curvatures)), start, 0.1, KEY
    )
    curvatures[:, 17] = 8.0
    bias = estimate_bias(
        method, FiniteSum(loss, jnp.asarray(curvatures)), start, 0.1, KEY
    )
    assert bias.worst == 17
    assert bias.worst_excess > 0.1
    assert small.worst_excess < 0.1
    assert small.standard_error < 0.01
    assert (
        abs(small.variance_bias - 2 * ((1 / 0.95) / (1 / 0.975) - 1))
        < 4 * small.standard_error
    )


def test_a_bias_that_is_lost_in_its_error_is_not_accepted():
    """One coordinate and noisy batches: at a step of 0.25, 100 draws show a bias of 14 % that errs by 10 %."""
    rows = jnp.asarray(
        0.3 * np.random.default_rng(0).normal(size=(400, 1)), jnp.float32
    )
    problem = FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, rows)
    start = Stacked(0.05 * jax.random.normal(KEY, (4, 1)))
    method = SamplingMethod(Langevin(gradient=gradients.Minibatch(40)), 1 / 400)
    bias = tune_bias(method, problem, start, 0.25, KEY)
    assert bias.is_resolved
    assert bias.standard_error <= 0.025
    assert abs(bias.variance_bias) < 0.05
    assert bias.step_size < 0.25


def test_a_bias_that_could_not_be_resolved_is_reported():
    options = {"num_samples": 200, "algorithm": Langevin(0.1)}
    samples = langevax.sample(
        lambda x: -jnp.sum(x**2) / 2, jnp.zeros(2), key=KEY, **options
    )
    bias = StepSizeBias(0.1, 0.02, 0.06, 100, 0, 0.02, 0.0)
    unclear = dataclasses.replace(samples, step_size_bias=bias)
    tells(unclear.warnings[-1], "variances +2.0% 6.0%")
    tells(unclear.warnings[-1])
    clear = dataclasses.replace(
        samples, step_size_bias=bias._replace(standard_error=0.01)
    )
    assert not any("variances are off" in sentence for sentence in clear.warnings)


def test_warm_up_has_stans_windows_and_a_longer_last_buffer():
    stages = np.asarray(stages_of(1000))
    assert [int((stages == stage).sum()) for stage in Stage] == [175, 820, 5, 0]
    np.testing.assert_array_equal(
        np.flatnonzero(stages == Stage.WINDOW_END) + 1, [100, 150, 250, 450, 900]
    )
    assert len(stages_of(7)) == 7


def test_warm_ups_of_any_length_are_one_program():
    traces = []

    def log_density(x):
        traces.append(x)
        return -jnp.sum(jnp.cosh(x))

    counts = []
    for num_warmup in (60, 90):
        options = {
            "key": KEY,
            "num_samples": 20,
            "num_chains": 2,
            "num_warmup": num_warmup,
        }
        with pytest.warns(langevax.sampling.SamplingWarning):
            langevax.sample(log_density, jnp.zeros(2), **options)
        counts.append(len(traces))
    assert counts[0] == counts[1] > 0


@pytest.mark.slow
def test_variances_are_those_of_the_window():
    adaptation = Adaptation.of(jnp.float32(0.5), jnp.ones(3))
    draws = jnp.float32(RNG.normal(size=(400, 3)) * [1.0, 10.0, 0.1])
    for x in draws:
        adaptation = adaptation.with_position(x)
    np.testing.assert_allclose(
        adaptation.at_window_end().variance, draws.var(0, ddof=1), rtol=0.05
    )


@pytest.mark.parametrize("target", [0.8, 0.95])
def test_the_step_size_meets_the_acceptance_asked_for(target):
    """An acceptance of exp(-h): h = -log target."""
    adaptation = Adaptation.of(jnp.float32(1.0), jnp.ones(1))
    update = jax.jit(
        lambda a, goal: a.with_acceptance(jnp.exp(-jnp.exp(a.log_step)), goal)
    )
    for _ in range(1000):
        adaptation = update(adaptation, jnp.float32(target))
    assert float(jnp.exp(adaptation.mean_log_step)) == pytest.approx(
        -np.log(target), rel=0.1
    )


@pytest.mark.slow
def test_starts_are_where_the_density_is_finite():
    half = langevax.Function(lambda x: jnp.where(jnp.all(x > 0), jnp.sum(x), jnp.inf))
    coordinates = coordinates_of(half, jnp.zeros(2), 1.0)
    uniform = UniformStart(jnp.zeros(2), coordinates)(KEY, 50)
    assert jnp.all((uniform > 0) & (uniform < 2))
    near = StartNear(half, jnp.full(2, 0.1), jnp.float32(1.0))
    positions = near(KEY, 50)
    assert jnp.all(positions > 0)
    assert len(np.unique(positions[:, 0])) > 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("log_density", "start", "deviation"),
    [
        (lambda x: -jnp.sum(jnp.abs(x)), jnp.zeros(2), np.sqrt(2)),
        (lambda x: -jnp.sum(x**4), jnp.zeros(2), np.sqrt(0.337989)),
        (lambda x: -jnp.sum((x - 5) ** 2) / 2e-6, jnp.zeros(2), 1e-3),
        (lambda x: -jnp.sum(jnp.log1p(x**2 / 5) * 3), jnp.ones(2), np.sqrt(5 / 3)),
    ],
    ids=["laplace", "quartic", "narrow", "student"],
)
def test_laws_that_are_not_normal_are_sampled(log_density, start, deviation):
    samples = langevax.sample(log_density, start, key=KEY, num_samples=2000)
    assert samples.method == "nuts"
    np.testing.assert_allclose(samples.positions.std((0, 1)), deviation, rtol=0.1)


@pytest.mark.slow
def test_where_a_hierarchy_has_no_mode_chains_start_elsewhere():
    """Sixty groups of which the likeliest are alike: the density rises without end, by d a unit of log scale there."""
    effects = lambda x: jnp.sum((x[:-1] / jnp.exp(x[-1])) ** 2) / 2
    potential = lambda x: effects(x) + 59 * x[-1] + jnp.sum(x[:-1] ** 2) / 2
    in_peak = jnp.zeros(61).at[-1].set(-5)
    fit = NormalFit.of(langevax.Function(potential), in_peak, 1.0, KEY)
    np.testing.assert_allclose(fit.step, 59, rtol=0.02)
    assert not fit._replace(typical=0.0).is_usable


def with_a_rare_column(n, d):
    """Rows of which five alone have a last column, and labels of a logistic regression."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    x[:, -1] = 0
    rare = rng.choice(n, 5, replace=False)
    x[rare, -1] = [1, 1, -1, 1, 2]
    y = np.where(rng.random(n) < 1 / (1 + np.exp(-x.sum(1) / 2)), 1, -1)
    y[rare] = [1, 1, -1, -1, 1]
    target = langevax.posterior(
        None,
        lambda w, row: -jax.nn.softplus(-row[1] * (row[0] @ w)),
        (jnp.float32(x), jnp.float32(y)),
        prior_precision=1.0,
    )
    return target, x, y, rare


@pytest.mark.slow
def test_rows_that_alone_inform_a_coordinate_are_in_every_step():
    """Those rows and no others; where they may not be, batches are larger, and of Gaussian rows there are none."""
    target, _, _, rare = with_a_rare_column(4000, 3)
    mode = run_pilot(target.problem, jnp.zeros(3), target.temperature, KEY)
    white = langevax.affine(target.problem, mode.scales)
    law = white, white.from_position(mode.mode), target.temperature, KEY
    apart = choose_batch(*law, most_in_every=4000)
    assert sorted(np.asarray(apart.every)) == sorted(rare)
    alike = choose_batch(*law)
    assert len(alike.every) == 0
    assert alike.size > 4 * apart.size
    target, *_ = with_a_rare_column(4000, 3)
    wide = eqx_without_last(target.problem)
    pilot = run_pilot(wide, jnp.zeros(2), target.temperature, KEY)
    white = langevax.affine(wide, pilot.scales)
    mode = white.from_position(pilot.mode)
    law = white, mode, target.temperature, KEY
    assert len(choose_batch(*law, most_in_every=4000).every) == 0


def eqx_without_last(problem):
    x, y = problem.data
    data = x[:, :-1], y
    return FiniteSum(problem.loss, data, precision=problem.precision)


@pytest.mark.slow
def test_a_column_that_five_rows_alone_inform_is_drawn_by_batches():
    """Its deviation is that of the normalised density on a grid, given the others, to 10 %; uniform batches gave 70 % more."""
    target, x, y, rare = with_a_rare_column(20_000, 4)
    batches = Langevin(gradient=gradients.SVRG())
    samples = langevax.sample(
        target, jnp.zeros(4), key=KEY, algorithm=batches, run=Run(progress=False)
    )
    assert samples.warnings == []
    w = np.linspace(-8, 10, 4001)
    others = x[rare, :-1] @ samples.positions[..., :-1].mean((0, 1))
    logits = others[:, None] + x[rare, -1:] * w
    density = np.exp(-(w**2) / 2 - np.logaddexp(0, -y[rare, None] * logits).sum(0))
    density /= density.sum()
    mean = density @ w
    deviation = np.sqrt(density @ (w - mean) ** 2)
    last = samples.positions[..., -1]
    np.testing.assert_allclose(last.std(), deviation, rtol=0.1)
    np.testing.assert_allclose(last.mean(), mean, atol=0.15 * deviation)
