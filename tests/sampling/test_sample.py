"""`sample`: the posteriors of closed forms, by every dynamics and gradient; what it reports; what it refuses."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import FiniteSum, Langevin, gradients
from langevax.problems.coordinates import Raveled
from langevax.problems.problem import hessian_product
from langevax.run import Stacked
from langevax.run.start import is_draw
from langevax.sampling.methods import with_sizes
from tests.sentences import refuses, warns

pytestmark = [
    pytest.mark.mostly_compiling,
    pytest.mark.filterwarnings("ignore::langevax.sampling.SamplingWarning"),
]  # few draws, on purpose

N, D = 600, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, D)) * [1.0, 5.0, 0.2]
Y = X @ [1.0, -0.5, 2.0] + RNG.normal(size=N)
KEY = jax.random.key(0)


def log_likelihood(w, row):
    x, y = row
    return -((x @ w - y) ** 2) / 2


def regression():
    return langevax.posterior(
        None, log_likelihood, (jnp.float32(X), jnp.float32(Y)), prior_precision=1.0
    )


def exact():
    precision = X.T @ X + np.eye(D)
    return np.linalg.solve(precision, X.T @ Y), np.linalg.inv(precision)


SVRG = gradients.SVRG()


def langevin(gradient=SVRG, step_size="auto"):
    integrator = langevax.integrators.Exponential()
    return Langevin(step_size, gradient=gradient, integrator=integrator)


BY_BATCHES = langevin()


@functools.cache
def sampled(algorithm=BY_BATCHES, **options):
    """Of the regression's posterior; not to be changed by a test."""
    return langevax.sample(
        regression(),
        jnp.zeros(D),
        key=KEY,
        num_samples=700,
        algorithm=algorithm,
        **options,
    )


def assert_draws(samples, variance_bias):
    """Means within 5 Monte-Carlo errors of their chains; variances within the bias and 20 % (1,000 effective draws)."""
    mean, covariance = exact()
    flat = samples.positions.reshape(-1, D)
    table = samples.summary()
    assert table["ess_bulk"].min() > 1000
    np.testing.assert_array_less(np.abs(flat.mean(0) - mean), 5 * table["mcse_mean"])
    np.testing.assert_allclose(
        flat.var(0) / np.diagonal(covariance), 1 + variance_bias, atol=0.2
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "variance_bias"),
    [
        ({"algorithm": langevax.MALA()}, 0.0),
        ({"algorithm": "auto"}, 0.0),
        ({"algorithm": Langevin()}, 0.05),
        ({}, 0.06),
        ({"algorithm": langevin(gradients.SARAH())}, 0.06),
        ({"algorithm": langevin(gradients.ControlVariate())}, 0.06),
        ({"algorithm": langevin(gradients.SVRG(64, 20))}, 0.06),
    ],
    ids=str,
)
def test_draws_are_those_of_the_conjugate_posterior(options, variance_bias):
    """Deviations of 0.008 to 0.2, so a wrong factor of n, 2 or sqrt in noise or prior would show."""
    samples = sampled(**options)
    assert_draws(samples, variance_bias)
    assert samples.warnings == []
    assert samples.evaluations > samples.result.evaluations > 0


@pytest.mark.slow
def test_a_log_density_and_a_problem_are_sampled_too():
    """N(1, 0.25) as a function, and the same law as a problem at temperature 2."""
    options = {"key": KEY, "num_samples": 1000, "algorithm": langevax.MALA()}
    draws = [
        langevax.sample(lambda x: -2 * jnp.sum((x - 1) ** 2), jnp.zeros(2), **options),
        langevax.sample(
            FiniteSum(lambda x, a: jnp.sum(a * (x - 1) ** 2), jnp.array([3.0, 5.0])),
            jnp.zeros(2),
            temperature=2.0,
            **options,
        ),
    ]
    for samples in draws:
        flat = samples.positions.reshape(-1, 2)
        np.testing.assert_allclose(flat.mean(0), 1, atol=0.06)
        np.testing.assert_allclose(flat.var(0), 0.25, atol=0.03)


def test_full_gradients_cost_as_much_as_batches():
    """The default period of SVRG: n rows after n / (2 B) steps of two batches."""
    problem, temperature = regression()
    estimator = with_sizes(gradients.SVRG(10), problem, jnp.zeros(D), temperature, KEY)
    assert (estimator.batch_size, estimator.period) == (10, N // 20)


@pytest.mark.slow
def test_a_result_prints_as_a_summary():
    """A line for the result, a row of a data frame for each number of the position."""
    options = {
        "num_samples": 30,
        "algorithm": Langevin(0.1, gradient=gradients.Minibatch(N)),
    }
    samples = langevax.sample(regression(), jnp.zeros(D), key=KEY, **options)
    assert samples.algorithm.gradient.batch_size == N
    text = repr(samples)
    assert text.startswith(
        "Samples(4 chains, 30 draws of 3 coordinates; langevin, Minibatch; step size 0.1; "
    )
    assert text.endswith("algorithm=Langevin was passed)")
    assert len(text) < 200
    table = samples.summary()
    assert table.columns.tolist() == [
        "mean",
        "sd",
        "mcse_mean",
        "ess_bulk",
        "ess_tail",
        "r_hat",
        "pareto_k",
    ]
    assert "position[2]" in repr(table)
    np.testing.assert_allclose(
        table.loc["position[1]", "mean"], samples.positions[..., 1].mean(), rtol=1e-6
    )


@pytest.mark.slow
def test_positions_are_pytrees_as_the_start_is():
    data = jnp.float32(Y)
    target = langevax.posterior(
        None,
        lambda p, y: -((y - p["a"] - jnp.sum(p["b"])) ** 2) / 2,
        data,
        prior_precision={"a": 1.0, "b": 2.0},
    )
    start = {"a": jnp.array(0.0), "b": jnp.zeros((2, 1))}
    samples = langevax.sample(target, start, key=KEY, num_samples=50, num_chains=3)
    assert samples.positions["b"].shape == (3, 50, 2, 1)
    assert samples.summary().index.tolist() == ["a", "b[0, 0]", "b[1, 0]"]


def test_halving_the_step_estimates_its_bias():
    """Full gradients on a normal law, h = 0.5 in units of the curvature: 1 / (1 - h/2) - 1 = 33 %, to 4.5 errors."""
    from langevax.sampling.methods import SamplingMethod, estimate_bias

    problem = FiniteSum(lambda x, a: jnp.sum((x - a) ** 2) / 2, jnp.zeros((2, 20)))
    start = Stacked(jax.random.normal(KEY, (8, 20)))
    report = estimate_bias(SamplingMethod(Langevin(), 1.0), problem, start, 0.5, KEY)
    # at half the step it is 14.3 %, so that the extrapolation says 2 (1.333 / 1.143 - 1)
    assert (
        abs(report.variance_bias - 2 * (4 / 3 / (8 / 7) - 1))
        < 4.5 * report.standard_error
        < 0.2
    )


@pytest.mark.slow
def test_minibatches_are_sized_by_their_noise_or_reported_as_too_hot():
    samples = langevax.sample(
        regression(),
        jnp.zeros(D),
        key=KEY,
        num_samples=200,
        algorithm=Langevin(0.2, gradient=gradients.Minibatch()),
    )
    assert (
        samples.positions.reshape(-1, D).var(0).max()
        < 1.5 * exact()[1].diagonal().max()
    )
    tuned = langevax.sample(
        regression(),
        jnp.zeros(D),
        key=KEY,
        num_samples=200,
        algorithm=Langevin(gradient=gradients.Minibatch(1)),
    )
    assert any("variances are off" in warning for warning in tuned.warnings)


def test_the_bias_of_a_step_that_is_passed_is_measured():
    """Explicit steps of 0.75 in units of the curvature: variances are 1 / (1 - 0.375) of the law's."""
    options = {"key": KEY, "num_samples": 200, "algorithm": Langevin(0.75)}
    with warns(langevax.sampling.SamplingWarning, "step size 0.75 NUTS"):
        samples = langevax.sample(lambda x: -2 * jnp.sum(x**2), jnp.zeros(2), **options)
    assert samples.step_size_bias.variance_bias > 0.3


def test_batches_that_save_nothing_are_refused():
    rows = jnp.float32(Y[:40])
    target = langevax.posterior(
        None, lambda m, y: -((y - m) ** 2) / 2, rows, prior_precision=1.0
    )
    with refuses(ValueError, "SVRG 40 gradients.Full()"):
        langevax.sample(target, jnp.array(0.0), key=KEY, algorithm=langevin())


def test_chains_in_two_modes_are_seen():
    """Starts of one's own, a mode at +-4 of depth that no chain leaves: R-hat says so."""

    def log_density(x):
        return jnp.logaddexp(-((x - 4) ** 2) * 2, -((x + 4) ** 2) * 2)

    start = lambda key: 4.0 * jnp.sign(jax.random.normal(key))
    with warns(langevax.sampling.SamplingWarning) as issued:
        samples = langevax.sample(
            log_density, start, key=KEY, num_samples=200, num_chains=6
        )
    ends = np.sign(samples.positions[:, -1])
    assert len(np.unique(ends)) == 2
    assert "chains disagree" in samples.warnings[0]
    assert [warning.filename for warning in issued] == [__file__]


@pytest.mark.slow
def test_arviz_reads_the_tree():
    samples = sampled()
    tree = samples.to_datatree()
    assert tree["posterior"]["position"].dims == ("chain", "draw", "position_dim_0")
    np.testing.assert_array_equal(tree["posterior"]["position"], samples.positions)
    assert tree.attrs["step_size"] == samples.step_size
    assert set(tree) == {"posterior", "sample_stats"}


@pytest.mark.slow
def test_a_raveled_problem_is_the_same_problem():
    target = langevax.posterior(
        lambda p: -jnp.sum(p["b"] ** 2),
        lambda p, y: -((y - p["a"] - jnp.sum(p["b"])) ** 4),
        jnp.float32(Y[:9]),
        prior_precision={"a": 1.0, "b": 2.0},
    ).problem
    position = {"a": jnp.array(0.3), "b": jnp.array([[1.0], [-2.0]])}
    flat = Raveled(target, position)
    vector = flat.from_position(position)
    indices = jnp.array([1, 5], jnp.int32)
    np.testing.assert_allclose(
        flat.potential(vector), target.potential(position), rtol=1e-6
    )
    for of_vector, of_tree in (
        (flat.potential_gradient(vector), target.potential_gradient(position)),
        (flat.gradient_at(vector, indices), target.gradient_at(position, indices)),
    ):
        np.testing.assert_allclose(of_vector, flat.from_position(of_tree), rtol=1e-5)
    assert flat.gradients_at(vector, indices).shape == (2, 3)
    assert jax.tree.structure(flat.to_position(vector)) == jax.tree.structure(position)


@pytest.mark.parametrize(
    ("options", "error", "facts"),
    [
        ({"key": jax.random.PRNGKey(0)}, TypeError, "key"),
        (
            {"start": jnp.zeros(D, jnp.int32)},
            TypeError,
            "start int32",
        ),
        ({"start": jnp.full(D, jnp.nan)}, ValueError, ""),
        ({"num_samples": 1}, ValueError, "num_samples 2"),
        (
            {"algorithm": "hamiltonian"},
            TypeError,
            "NUTS MALA Langevin 'hamiltonian'",
        ),
        (
            {"algorithm": langevax.Underdamped(0.1, 1.0, friction=1.0)},
            TypeError,
            "Underdamped langevax.simulate",
        ),
        ({"algorithm": langevax.MALA(0.1, 1.0)}, ValueError, "temperature 'auto'"),
        ({"algorithm": langevax.MALA(lambda step: 0.1)}, ValueError, "step_size"),
        (
            {"algorithm": langevin(gradients.ControlVariate(8, jnp.zeros(D)))},
            ValueError,
            "center 'auto'",
        ),
        ({"temperature": 0.1}, ValueError, "temperature"),
        ({"num_warmup": 0}, ValueError, "num_warmup 1"),
        (
            {"thinning": "often"},
            TypeError,
            "thinning 'auto' 'often'",
        ),
        (
            {"algorithm": langevin(gradients.SVRG(10_000))},
            ValueError,
            "batch_size 10000 600",
        ),
        ({"preconditioner": "sparse"}, ValueError, "preconditioner"),
        ({"algorithm": Langevin(1e3)}, langevax.DivergenceError, "step"),
        (
            {"target": lambda x: jnp.inf * jnp.sum(x)},
            ValueError,
            "",
        ),
        (
            {
                "target": lambda x: -jnp.sqrt(jnp.abs(x - 1e-30)).sum(),
                "algorithm": Langevin(),
            },
            ValueError,
            "langevax.NUTS()",
        ),
        (
            {"target": lambda x: -jnp.abs(x).sum(), "algorithm": Langevin()},
            ValueError,
            "",
        ),
        (
            {"algorithm": langevax.NUTS(0.1)},
            ValueError,
            "",
        ),
        (
            {"algorithm": langevax.sampling.HMC()},
            ValueError,
            "HMC langevax.inverse_problem NUTS",
        ),
        (
            {"target": lambda x: -jnp.sum(x**2), "algorithm": langevax.PCN()},
            ValueError,
            "PCN MALA",
        ),
        (
            {"start": langevax.run.Stacked(jnp.zeros((4, D)))},
            TypeError,
            "start",
        ),
        (
            {
                "target": lambda x: -jnp.sum((x - 5005) ** 2) / 2e-6,
                "start": jnp.full(2, 5000.0),
            },
            ValueError,
            "position[0] 5005 float32",
        ),
        ({"target": lambda x: x}, ValueError, ""),
        (
            {"target": lambda x: -jnp.sum(x**2), "algorithm": langevin()},
            ValueError,
            "SVRG",
        ),
        (
            {"target": 3.0},
            TypeError,
            "target",
        ),
        (
            {"target": FiniteSum(lambda x, a: jnp.sum(x) * a, jnp.ones(3))},
            ValueError,
            "temperature",
        ),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else None
    ),  # no addresses: processes must agree on names
)
def test_mistakes_are_named(options, error, facts):
    arguments = {
        "target": regression(),
        "start": jnp.zeros(D),
        "key": KEY,
        "num_samples": 20,
    } | options
    with refuses(error, facts):
        langevax.sample(arguments.pop("target"), arguments.pop("start"), **arguments)


@pytest.mark.slow
def test_rows_mapped_from_disk_give_the_same_draws(tmp_path):
    """Bit for bit, float32."""
    arrays = {"x": np.float32(X), "y": np.float32(Y)}
    rows = langevax.data.write_rows(
        tmp_path / "table.rows",
        [
            {k: a[:250] for k, a in arrays.items()},
            {k: a[250:] for k, a in arrays.items()},
        ],
    )
    options = {"key": KEY, "num_samples": 20, "algorithm": langevin(step_size=0.1)}
    draws = [
        langevax.sample(
            langevax.posterior(None, log_likelihood, data, prior_precision=1.0),
            jnp.zeros(D),
            **options,
        )
        for data in ((rows["x"], rows["y"]), (jnp.float32(X), jnp.float32(Y)))
    ]
    np.testing.assert_array_equal(draws[0].positions, draws[1].positions)


def test_sampling_belongs_outside_of_jit():
    with refuses(TypeError, "jax.jit"):
        jax.jit(lambda key: langevax.sample(regression(), jnp.zeros(D), key=key).draws)(
            KEY
        )


def of_all_rows(mean, row):
    return -jnp.sum((Y - mean) ** 2) / 2


def of_a_mean(position, row):
    return -((row - position["mean"]) ** 2) / 2


@pytest.mark.parametrize(
    ("likelihood", "start", "facts"),
    [
        (of_all_rows, jnp.zeros(()), "log_likelihood row 600 times"),
        (of_a_mean, {"mean": 0.0, "men": 0.0}, "start['men']"),
        (of_a_mean, {"men": 0.0}, "start ['men'] 'mean'"),
    ],
)
@pytest.mark.filterwarnings("ignore:log_likelihood reads Y")
def test_what_a_log_density_leaves_out_is_refused(likelihood, start, facts):
    target = langevax.posterior(None, likelihood, jnp.float32(Y), prior_precision=1.0)
    with refuses(ValueError, facts):
        langevax.sample(target, start, key=KEY)


def test_arrays_of_all_rows_in_a_likelihood_are_named_unless_rows_have_an_index():
    with warns(UserWarning, "log_likelihood reads Y 600"):
        langevax.posterior(None, of_all_rows, jnp.float32(Y), prior_precision=1.0)
    langevax.posterior(None, of_all_rows, jnp.arange(N), prior_precision=1.0)


def test_a_network_that_can_be_called_is_a_position():
    """A layer, and the arrays of a network, of which `langevax.simulate` and `minimize` start as well."""
    layer = eqx.nn.Linear(1, 1, key=KEY)
    likelihood = lambda layer, row: -jnp.sum((row[1:] - layer(row[:1])) ** 2) / 2
    rows = jnp.float32(X[:50, :2])
    target = langevax.posterior(None, likelihood, rows, prior_precision=1.0)
    draws = langevax.sample(target, layer, key=KEY, num_samples=20)
    assert draws.positions.weight.shape == (4, 20, 1, 1)
    held = langevax.simulate(
        Langevin(0.1, 0.0), target.problem, layer, key=KEY, num_steps=1
    )
    assert held.position.weight.shape == (1, 1)
    end = langevax.minimize(target.problem.potential, layer, key=KEY)
    assert end.x.bias.shape == (1,)
    assert not is_draw(eqx.filter(eqx.nn.MLP(1, 1, 2, 1, key=KEY), eqx.is_array))
    assert is_draw(layer.__call__)
    assert is_draw(jax.tree_util.Partial(lambda a, key: a, jnp.ones(2)))


def test_second_derivatives_that_jax_lacks_are_differences_and_it_is_said():
    """The shape of a gamma law, as in a row that is censored: JAX has no derivative of the derivative by it."""
    shape = lambda a: jnp.log(jax.scipy.special.gammaincc(jnp.exp(a), 1.5))
    problem = langevax.Function(lambda a: -shape(a) + a**2 / 2)
    with warns(UserWarning, "igamma_grad_a differences gradients"):
        curvature = hessian_product(problem, jnp.float32(0.3), jnp.float32(1.0))
    slope = jax.grad(problem.value)
    known = (slope(0.35) - slope(0.25)) / 0.1
    np.testing.assert_allclose(curvature, known, rtol=0.01)
