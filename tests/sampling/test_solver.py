"""Forward maps in Python: draws against closed forms and quadrature, solves that are counted or fail, and checks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.ode import odeint

import langevax
from langevax import spaces
from langevax.problems.problem import hessian_product
from langevax.sampling import HMC, GaussianNoise, SolverWarning
from langevax.sampling.inverse import solver_of
from langevax.sampling.moves import Rotation, state_at
from langevax.sampling.reference import NearReference, NormalReference, find_reference
from tests.errorbars import LIMIT
from tests.gaussian_laws import linear_inverse_posterior
from tests.sentences import refuses, warns

pytestmark = [
    pytest.mark.mostly_compiling,
    pytest.mark.filterwarnings("ignore::langevax.sampling.SamplingWarning"),
]
KEY = jax.random.key(0)
NUM_MODES, PLACES, NOISE = 24, np.linspace(0.05, 0.95, 12), 0.05
BASIS = spaces.Cosine(NUM_MODES)
PRIOR = spaces.GaussianPrior(BASIS, spaces.spectra.matern(BASIS, length_scale=0.2))
BLUR = np.exp(-((PLACES[:, None] - BASIS.grid) ** 2) / (2 * 0.05**2))
BLUR /= BLUR.sum(axis=1, keepdims=True)
DATA = np.sin(5 * PLACES) + NOISE * np.random.default_rng(0).normal(size=12)
FUNCTIONS = np.asarray(BASIS.evaluate(BASIS.grid), float)


def numpy_only(values):
    """Fail on tracers, as a compiled solver would."""
    assert type(values) is np.ndarray, "NumPy arrays alone"
    assert values.dtype == np.float64
    return values


def blur(values):
    return BLUR @ numpy_only(values)


def blur_adjoint(values, residual):
    return BLUR.T @ numpy_only(residual)


def exponential(values):
    return BLUR @ np.exp(numpy_only(values))


def exponential_adjoint(values, residual):
    return np.exp(values) * (BLUR.T @ residual)


def exact(noise=NOISE, data=DATA):
    law = linear_inverse_posterior(
        BLUR @ FUNCTIONS, data, noise, np.asarray(PRIOR.eigenvalues, float)
    )
    return law.mean, np.sqrt(np.diag(law.covariance))


def deviates(draws, mean, deviation):
    """(errors of means in standard errors, ratios of deviations) of every coordinate."""
    table = draws.summary()
    ess = np.asarray(table["ess_bulk"])
    return (
        (np.asarray(table["mean"]) - mean) / (deviation / np.sqrt(ess)),
        np.asarray(table["sd"]) / deviation,
        ess,
    )


@pytest.mark.parametrize(
    ("adjoint", "algorithm", "method", "least_ess"),
    [
        (None, "auto", "exact", 1500),
        (blur_adjoint, "auto", "exact", 1500),
        (None, langevax.PCN(), "pcn", 800),
        (blur_adjoint, langevax.PCNL(), "pcnl", 800),
        (blur_adjoint, HMC(), "hmc", 800),
    ],
)
def test_draws_are_those_of_the_exact_posterior(adjoint, algorithm, method, least_ess):
    target = langevax.inverse_problem(blur, DATA, NOISE, PRIOR, adjoint=adjoint)
    draws = langevax.sample(
        target, key=KEY, algorithm=algorithm, num_samples=500, num_warmup=30
    )
    z, ratios, ess = deviates(draws, *exact())
    assert draws.method == method
    if algorithm != "auto":
        assert type(draws.algorithm) is type(algorithm)
    assert np.abs(z).max() < LIMIT
    assert ess.min() > least_ess
    np.testing.assert_allclose(ratios, 1, atol=LIMIT / np.sqrt(2 * ess.min()))


@pytest.mark.slow
def test_a_linear_map_in_jax_is_sampled_exactly_too():
    target = langevax.inverse_problem(
        lambda f: jnp.asarray(BLUR, f.dtype) @ f, DATA, NOISE, PRIOR
    )
    assert target.solver is None
    draws = langevax.sample(target, key=KEY, num_samples=500)
    z, ratios, ess = deviates(draws, *exact())
    assert draws.method == "exact"
    assert "linear" in draws.reason
    assert np.abs(z).max() < LIMIT
    np.testing.assert_allclose(ratios, 1, atol=LIMIT / np.sqrt(2 * ess.min()))


def test_the_reference_of_a_linear_map_is_the_posterior():
    """Mean and deviations to 1e-5 of the latter, with an adjoint and without, by Gauss-Newton."""
    mean, deviation = exact()
    scales = np.sqrt(np.asarray(PRIOR.eigenvalues, float))
    for adjoint in (None, blur_adjoint):
        solver = solver_of(
            langevax.inverse_problem(blur, DATA, NOISE, PRIOR, adjoint=adjoint)
        )
        reference = find_reference(solver, np.ones(NUM_MODES))
        root = reference.stretch(np.eye(NUM_MODES))
        np.testing.assert_allclose(
            scales * reference.mean, mean, atol=2e-2 * deviation.min()
        )
        np.testing.assert_allclose(
            scales * np.sqrt(np.diag(root @ root)), deviation, rtol=5e-3
        )


def banana(values):
    """CUQIpy's cubic test problem, in the coefficients of two functions."""
    x = BACK.T @ numpy_only(values)
    return np.array([10 * x[1] - 10 * x[0] ** 3 + 5 * x[0] ** 2 + 6 * x[0]])


def banana_adjoint(values, residual):
    x = BACK.T @ values
    return BACK @ (np.array([-30 * x[0] ** 2 + 10 * x[0] + 6, 10.0]) * residual[0])


PAIR = spaces.Cosine(2)
BACK = np.linalg.inv(np.asarray(PAIR.evaluate(PAIR.grid), float).T)


def banana_in_jax(values):
    x = jnp.asarray(BACK.T, values.dtype) @ values
    return jnp.stack([10 * x[1] - 10 * x[0] ** 3 + 5 * x[0] ** 2 + 6 * x[0]])


@pytest.mark.parametrize(
    ("forward", "adjoint"),
    [
        (banana, None),
        pytest.param(banana, banana_adjoint, marks=pytest.mark.long),
        pytest.param(banana_in_jax, None, marks=pytest.mark.long),
    ],
)
@pytest.mark.slow
@pytest.mark.usefixtures(
    "unchecked_types"
)  # thousands of steps, whose types shorter runs are checked for
def test_a_banana_has_the_moments_of_quadrature(forward, adjoint):
    """Moments of both coordinates, those of the far ends included; a normal law about the mode misses 40 % of them."""
    axis = np.linspace(-5, 5, 1501)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    log_density = (
        -(x**2 + y**2) / 2 - (10 * y - 10 * x**3 + 5 * x**2 + 6 * x - 1) ** 2 / 2
    )
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    target = langevax.inverse_problem(
        forward,
        np.array([1.0]),
        1.0,
        spaces.GaussianPrior(PAIR, np.ones(2)),
        adjoint=adjoint,
    )
    draws = langevax.sample(target, key=KEY, num_samples=4000)
    assert draws.summary()["ess_bulk"].min() > 150
    functions = {
        "x": lambda x, y: x,
        "y": lambda x, y: y,
        "x^2": lambda x, y: x**2,
        "y^2": lambda x, y: y**2,
    }
    for name, function in functions.items():
        values = function(*np.moveaxis(draws.positions.astype(float), -1, 0))
        truth = (density * function(x, y)).sum()
        spread = np.sqrt((density * (function(x, y) - truth) ** 2).sum())
        assert abs(values.mean() - truth) < 0.35 * spread, name
    assert draws.positions[..., 1].std() == pytest.approx(
        np.sqrt((density * y**2).sum()), rel=0.25
    )


def square_of_one(values):
    return numpy_only(values)[:1] ** 2


@pytest.mark.slow
@pytest.mark.parametrize("num_modes", [1, 24])
@pytest.mark.parametrize("forward", [square_of_one, lambda values: values[:1] ** 2])
def test_both_signs_of_a_square_are_drawn(forward, num_modes):
    """Each mode is normal to a few percent, and chains about one of them agree with each other."""
    basis = spaces.Cosine(num_modes)
    prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, length_scale=0.4))
    target = langevax.inverse_problem(forward, np.ones(1), 0.05, prior)
    draws = langevax.sample(target, key=KEY, num_samples=300)
    is_positive = np.asarray(target.functions(draws.positions))[..., 0] > 0
    assert np.abs(is_positive.mean(axis=1) - 0.5).max() < 0.2
    assert np.abs(np.diff(is_positive, axis=1)).sum(axis=1).min() > 30


@pytest.mark.slow
@pytest.mark.parametrize("in_jax", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_map_is_linear_only_where_it_is_so_at_the_posterior(in_jax):
    """A sensor that saturates beyond 3 prior deviations, with a datum there: quadrature."""
    prior = spaces.GaussianPrior(spaces.Cosine(1), np.ones(1))
    forward = (
        (lambda f: jnp.minimum(f, 3.5))
        if in_jax
        else (lambda f: np.minimum(numpy_only(f), 3.5))
    )
    draws = langevax.sample(
        langevax.inverse_problem(forward, np.array([8.0]), 1.0, prior),
        key=KEY,
        num_samples=1500,
    )
    x = np.linspace(-2, 9, 20001)
    density = np.exp(-(x**2) / 2 - (np.minimum(x, 3.5) - 8) ** 2 / 2)
    mean = density @ x / density.sum()
    z, ratios, ess = deviates(
        draws, mean, np.sqrt(density @ (x - mean) ** 2 / density.sum())
    )
    assert draws.method != "exact"
    assert ess.min() > 200
    assert np.abs(z).max() < LIMIT
    np.testing.assert_allclose(ratios, 1, atol=0.1)


@pytest.mark.slow
def test_an_adjoint_that_is_nearly_right_gives_no_exact_draws():
    """1.5 % passes the dot-product test, and moves a mean by 15 deviations of the noise."""
    nearly = lambda v, r: 1.015 * blur_adjoint(v, r)
    target = langevax.inverse_problem(blur, 500 * DATA, NOISE, PRIOR, adjoint=nearly)
    draws = langevax.sample(target, key=KEY, num_samples=300)
    assert draws.method == "hmc"
    assert "an adjoint, which is off by 1.5% of what this linear map" in draws.reason
    mean, deviation = exact(data=500 * DATA)
    assert (
        np.abs((np.asarray(draws.positions).mean((0, 1)) - mean) / deviation).max()
        < 0.5
    )


@pytest.mark.slow
def test_data_are_not_rounded_to_the_type_of_predictions():
    """Counts above two levels: integers have no derivative, and 0.5 and 1.6 are not 0 and 1."""
    prior = spaces.GaussianPrior(spaces.Cosine(1), np.ones(1))
    counts = lambda f: jnp.stack([jnp.sum(f > 0), jnp.sum(f > 0.5)])
    for forward in (counts, lambda f: counts(f).astype(jnp.bfloat16)):
        target = langevax.inverse_problem(forward, np.array([1.6, 0.5]), 0.5, prior)
        assert float(target.problem.value(jnp.ones(1))) == pytest.approx(
            (0.6**2 + 0.5**2) / (2 * 2 * 0.5**2), rel=1e-3
        )
    draws = langevax.sample(
        langevax.inverse_problem(counts, np.array([1.6, 0.5]), 0.5, prior), key=KEY
    )
    assert draws.method == "pcn"


@pytest.mark.slow
@pytest.mark.parametrize(
    "adjoint", [None, lambda values, residual: np.exp(values) * residual]
)
def test_one_coefficient_has_the_law_of_quadrature(adjoint):
    """y = exp(x) + noise with a prior mean: mean and deviation within their errors."""
    prior = spaces.GaussianPrior(spaces.Cosine(1), np.array([0.8]))
    forward = lambda values: np.exp(numpy_only(values))
    target = langevax.inverse_problem(
        forward, np.array([2.0]), 0.7, prior, adjoint=adjoint, prior_mean=0.3
    )
    x = np.linspace(-6, 4, 20001)
    density = np.exp(-(x**2) / (2 * 0.8) - (np.exp(x + 0.3) - 2) ** 2 / (2 * 0.7**2))
    density /= density.sum()
    mean = density @ x
    deviation = np.sqrt(density @ (x - mean) ** 2)
    draws = langevax.sample(target, key=KEY, num_samples=1500)
    z, ratios, ess = deviates(draws, mean, deviation)
    assert ess.min() > 250
    assert np.abs(z).max() < LIMIT
    np.testing.assert_allclose(ratios, 1, atol=2 * LIMIT / np.sqrt(2 * ess.min()))
    np.testing.assert_allclose(
        target.functions(draws.positions), draws.positions + 0.3, atol=1e-5
    )
    np.testing.assert_allclose(
        target.predictions(draws.positions[:, :2]),
        np.exp(draws.positions[:, :2] + 0.3),
        1e-5,
    )


@pytest.mark.slow
@pytest.mark.parametrize("in_jax", [False, True])
def test_tails_that_draws_of_the_reference_do_not_reach_are_drawn(in_jax):
    """y = exp(x + 0.3) + noise is flat where x is small. The normal law at the mode has 4 of its deviations there.

    Chains about it alone agreed on 0.8 to 0.9 of the deviation, with 1,600 effective draws and no warning.
    """
    prior = spaces.GaussianPrior(spaces.Cosine(1), np.array([0.8]))
    forward = (lambda f: jnp.exp(f)) if in_jax else (lambda f: np.exp(numpy_only(f)))
    target = langevax.inverse_problem(
        forward, np.array([2.0]), 0.7, prior, prior_mean=0.3
    )
    draws = langevax.sample(target, key=KEY, num_samples=2000)
    x = np.linspace(-6, 4, 20001)
    density = np.exp(-(x**2) / 1.6 - (np.exp(x + 0.3) - 2) ** 2 / (2 * 0.7**2))
    density /= density.sum()
    spread = np.sqrt(density @ x**2 - (density @ x) ** 2)
    z, ratios, _ = deviates(draws, density @ x, spread)
    assert np.abs(z).max() < LIMIT
    np.testing.assert_allclose(ratios, 1, atol=0.06)


@pytest.mark.parametrize("algorithm", [langevax.PCNL(), HMC()])
def test_every_solve_is_counted(algorithm):
    calls = {"forward": 0, "adjoint": 0}

    def forward(values):
        predictions = exponential(values)
        calls["forward"] += 1
        return predictions

    def adjoint(values, residual):
        calls["adjoint"] += 1
        return exponential_adjoint(values, residual)

    target = langevax.inverse_problem(
        forward, np.exp(DATA), 0.1, PRIOR, adjoint=adjoint
    )
    assert target.solver.counts[:2] == tuple(calls.values())
    built = dict(calls)
    draws = langevax.sample(
        target, key=KEY, num_samples=20, num_warmup=10, algorithm=algorithm
    )
    spent = {name: calls[name] - built[name] for name in calls}
    assert draws.method == type(algorithm).__name__.lower()
    assert (draws.solves.forward, draws.solves.adjoint) == (
        spent["forward"] - 1,
        spent["adjoint"],
    )  # one of the start
    assert draws.num_solves == draws.evaluations == sum(spent.values()) - 1
    longer, before = draws.extend(5, key=KEY), calls["forward"]
    assert longer.positions.shape == (4, 25, NUM_MODES)
    assert (
        longer.solves.forward
        == draws.solves.forward + before - built["forward"] - spent["forward"]
    )
    if draws.method == "pcnl":  # a turn has several parts
        assert draws.result.solves == 4 * 20
        assert longer.solves.forward == draws.solves.forward + 4 * 5
    np.testing.assert_array_equal(longer.positions[:, :20], draws.positions)
    tree = draws.to_datatree()
    assert tree["sample_stats"]["solves"].shape == (4, 20)


@pytest.mark.slow
def test_a_solve_that_fails_is_a_rejected_proposal():
    """A map that raises for x > 1/2 and returns NaN or complex numbers for x < -1: the posterior is cut off there."""

    def forward(values):
        if values[0] > 0.5:
            raise RuntimeError("no convergence")
        if values[0] < -1.5:
            return np.sqrt(values + 0j)
        return values if values[0] > -1 else np.full(1, np.nan)

    prior = spaces.GaussianPrior(spaces.Cosine(1), np.ones(1))
    with warns(SolverWarning, "forward_map 4"):
        target = langevax.inverse_problem(forward, np.array([0.2]), 0.8, prior)
    draws = langevax.sample(target, key=KEY, num_samples=1500)
    x = np.linspace(-1, 0.5, 5001)
    density = np.exp(-(x**2) / 2 - (x - 0.2) ** 2 / (2 * 0.8**2))
    density /= density.sum()
    mean = density @ x
    z, ratios, ess = deviates(draws, mean, np.sqrt(density @ (x - mean) ** 2))
    assert ess.min() > 300
    assert np.abs(z).max() < LIMIT
    np.testing.assert_allclose(ratios, 1, atol=0.1)
    assert draws.solves.failed > 100
    assert any(
        "solves failed, and their proposals were rejected; the first by" in line
        for line in draws.warnings
    )


def test_correlated_noise_weighs_the_misfit():
    rng = np.random.default_rng(1)
    factor = np.tril(rng.normal(size=(12, 12))) * 0.02 + 0.1 * np.eye(12)
    covariance = factor @ factor.T
    precision = np.linalg.inv(covariance)
    x = PRIOR.sample(key=KEY)
    residual = BLUR @ FUNCTIONS @ np.asarray(x, float) - DATA
    expected = residual @ precision @ residual / (2 * 12)
    noise = GaussianNoise(covariance=covariance)
    in_python = langevax.inverse_problem(blur, DATA, noise, PRIOR, adjoint=blur_adjoint)
    in_jax = langevax.inverse_problem(
        lambda f: jnp.asarray(BLUR, f.dtype) @ f, DATA, noise, PRIOR
    )
    assert float(in_python.problem.value(x)) == pytest.approx(expected, rel=1e-4)
    assert float(in_jax.problem.value(x)) == pytest.approx(expected, rel=1e-4)
    gradient = FUNCTIONS.T @ BLUR.T @ precision @ residual / 12
    np.testing.assert_allclose(
        in_python.problem.gradient(x),
        gradient,
        rtol=1e-3,
        atol=1e-4 * abs(gradient).max(),
    )


@pytest.mark.parametrize(
    ("options", "error", "facts"),
    [
        (
            {},
            ValueError,
            "standard_deviation covariance",
        ),
        (
            {"standard_deviation": 1.0, "covariance": np.eye(2)},
            ValueError,
            "",
        ),
        ({"standard_deviation": 0.0}, ValueError, "standard_deviation 0"),
        (
            {"covariance": np.ones((2, 3))},
            ValueError,
            "covariance",
        ),
        (
            {"covariance": np.ones((2, 2))},
            ValueError,
            "covariance",
        ),
        (
            {"covariance": np.array([[1.0, 0.5], [0.0, 1.0]])},
            ValueError,
            "covariance",
        ),
    ],
)
def test_mistakes_in_the_noise_are_named(options, error, facts):
    with refuses(error, facts):
        GaussianNoise(**options).check_size((2,))


def drifting():
    state = {"calls": 0}

    def forward(values):
        state["calls"] += 1
        return blur(values) + state["calls"]

    return forward


def reusing(forward):
    """Return a solver that writes its results to one array, as compiled ones do."""
    results = np.zeros(12)

    def into_results(values):
        results[:] = forward(values)
        return results

    return into_results


def raising(values):
    numpy_only(values)
    raise ZeroDivisionError("the mesh is empty")


@pytest.mark.parametrize(
    ("options", "error", "facts"),
    [
        (
            {"forward_map": lambda v: blur(v)[:3]},
            ValueError,
            "forward_map (3,)",
        ),
        (
            {"data": DATA[:5]},
            ValueError,
            "forward_map (12,) (5,)",
        ),
        (
            {"forward_map": lambda v: blur(v) * np.nan},
            ValueError,
            "nan [0]",
        ),
        (
            {"forward_map": lambda v: blur(v) / (np.abs(v).max() < 1e-9)},
            ValueError,
            "forward_map 4",
        ),
        (
            {"forward_map": drifting()},
            ValueError,
            "forward_map 1",
        ),
        ({"forward_map": raising}, ZeroDivisionError, ""),
        (
            {"forward_map": reusing(drifting())},
            ValueError,
            "forward_map 1",
        ),
        (
            {"forward_map": lambda v: jnp.exp(1j * v[:12])},
            TypeError,
            "forward_map complex64",
        ),
        (
            {"adjoint": lambda v, r: blur_adjoint(v, r) + 0j},
            TypeError,
            "complex128",
        ),
        (
            {"forward_map": lambda v: [v[0], v[1]]},
            TypeError,
            "",
        ),
        (
            {"forward_map": lambda v: np.ma.masked_less(blur(v), 1.0)},
            ValueError,
            "nan [0]",
        ),
        ({"adjoint": 3.0}, TypeError, "adjoint None"),
        (
            {"adjoint": lambda v, r: 2 * blur_adjoint(v, r)},
            ValueError,
            "",
        ),
        (
            {"adjoint": lambda v, r: r},
            ValueError,
            "adjoint (12,) (24,)",
        ),
        (
            {"prior_mean": np.ones(3)},
            ValueError,
            "prior_mean (24,)",
        ),
        (
            {"noise": GaussianNoise(covariance=np.eye(3))},
            ValueError,
            "noise 3 12",
        ),
    ],
)
def test_mistakes_are_named_when_the_problem_is_built(options, error, facts):
    arguments = {"forward_map": blur, "data": DATA, "noise": NOISE, "prior": PRIOR}
    with np.errstate(all="ignore"), refuses(error, facts):
        langevax.inverse_problem(**(arguments | options))


def test_predictions_are_apart_where_a_solver_reuses_its_array():
    target = langevax.inverse_problem(reusing(blur), DATA, NOISE, PRIOR)
    x = np.asarray(PRIOR.sample((3,), key=KEY))
    np.testing.assert_allclose(
        target.predictions(x), x @ (BLUR @ FUNCTIONS).T, atol=1e-5
    )


def test_random_numbers_in_a_map_that_jax_traces_are_named():
    rng = np.random.default_rng(0)
    forward = lambda f: jnp.asarray(BLUR + rng.normal(size=BLUR.shape), f.dtype) @ f
    with refuses(ValueError, "forward_map"):
        langevax.inverse_problem(forward, DATA, NOISE, PRIOR)


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"algorithm": langevax.PCNL()}, "PCNL"),
        ({"algorithm": HMC()}, "HMC"),
        ({"algorithm": langevax.NUTS()}, "forward_map"),
        (
            {"run": langevax.Run(checkpoint="somewhere")},
            "cache=file inverse_problem",
        ),
        ({"start": np.zeros(3, np.float32)}, "start (24,)"),
    ],
)
def test_what_a_solver_cannot_do_is_named_by_sample(options, facts):
    target = langevax.inverse_problem(exponential, np.exp(DATA), NOISE, PRIOR)
    with refuses(ValueError, facts):
        langevax.sample(target, key=KEY, **options)


def test_a_turn_of_hamiltonian_dynamics_is_at_most_a_quarter():
    with refuses(ValueError, "step_size 1.571 2.5"):
        HMC(2.5)


def test_a_checkpoint_of_hamiltonian_dynamics_on_a_map_in_jax_is_refused_with_the_dynamics_that_save():
    target = langevax.inverse_problem(
        lambda f: jnp.exp(jnp.asarray(BLUR, f.dtype) @ f), np.exp(DATA), NOISE, PRIOR
    )
    with refuses(ValueError, "algorithm=langevax.PCNL()"):
        langevax.sample(
            target, key=KEY, algorithm=HMC(), run=langevax.Run(checkpoint="somewhere")
        )


@pytest.mark.slow
def test_a_callback_is_a_solver_with_the_adjoint_of_its_custom_derivative():
    def call(matrix, values):
        like = jax.ShapeDtypeStruct((len(matrix),), np.float32)
        return jax.pure_callback(
            lambda a: (matrix @ np.asarray(a)).astype(np.float32), like, values
        )

    plain = langevax.inverse_problem(lambda f: call(BLUR, f), DATA, NOISE, PRIOR)
    assert plain.solver.adjoint is None

    @jax.custom_vjp
    def forward(values):
        return call(BLUR, values)

    forward.defvjp(lambda f: (call(BLUR, f), None), lambda _, r: (call(BLUR.T, r),))
    target = langevax.inverse_problem(forward, DATA, NOISE, PRIOR)
    values, residual = np.ones(NUM_MODES), DATA
    np.testing.assert_allclose(
        target.solver.adjoint(values, residual), BLUR.T @ residual, rtol=1e-5
    )
    draws = langevax.sample(
        target, key=KEY, num_samples=100, algorithm=langevax.PCNL(), num_warmup=20
    )
    assert np.abs(deviates(draws, *exact())[0]).max() < LIMIT


def test_products_with_the_hessian_need_no_forward_mode():
    """Differences of gradients against the exact matrix, to 1e-3, for a problem whose gradient calls NumPy."""
    matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
    problem = langevax.ExternalSum(
        lambda w, rows: (matrix @ w).astype(w.dtype), np.zeros((1, 1)), precision=0.25
    )
    for position, direction in (
        ([0.3, -0.2], [1.0, 0.0]),
        ([300.0, 1.0], [2.0, -50.0]),
        ([0.0, 0.0], [1e-3, 0.0]),
    ):
        at, along = np.array(position, np.float32), np.array(direction, np.float32)
        expected = (matrix + 0.25 * np.eye(2)) @ along
        product = jax.jit(lambda x, u: hessian_product(problem, x, u))(at, along)
        np.testing.assert_allclose(
            product, expected, atol=2e-3 * np.abs(expected).max()
        )


TIMES = np.linspace(0, 2, 5)


def decay(parameters):
    """Half the squared misfit of a exp(-k t) to a curve of a = 1.5, k = 0.7, by a solver with `jax.custom_vjp`."""
    a, k = parameters
    times = jnp.asarray(TIMES, parameters.dtype)
    curve = odeint(lambda y, t: -k * y, a, times, rtol=1e-6, atol=1e-6, mxstep=100)
    return jnp.sum((curve - 1.5 * jnp.exp(-0.7 * times)) ** 2) / 2


@pytest.mark.slow
def test_solvers_of_differential_equations_have_no_forward_mode():
    """JAX says so only when it compiles. Products with the Hessian against the closed form; `sample`, `minimize`."""
    problem = langevax.Function(decay, precision=0.25)
    truth = jnp.array([1.5, 0.7])
    slopes = np.stack([np.exp(-0.7 * TIMES), -1.5 * TIMES * np.exp(-0.7 * TIMES)])
    expected = slopes @ slopes.T + 0.25 * np.eye(2)
    columns = jax.jit(
        lambda x: jnp.stack([hessian_product(problem, x, u) for u in jnp.eye(2)])
    )(truth)
    np.testing.assert_allclose(columns, expected, atol=3e-3)
    end = langevax.minimize(decay, [1.0, 1.0], key=KEY)
    assert end.success
    np.testing.assert_allclose(end.x, truth, atol=1e-3)
    options = {
        "temperature": 1e-4,
        "num_samples": 500,
        "run": langevax.Run(progress=False),
    }  # close to a normal law
    draws = langevax.sample(
        langevax.Function(decay), jnp.array([1.0, 1.0]), key=KEY, **options
    )
    positions = np.asarray(draws.positions).reshape(-1, 2)
    covariance = np.cov(positions.T)
    np.testing.assert_allclose(
        positions.mean(0), truth, atol=0.2 * np.sqrt(covariance.diagonal().max())
    )
    np.testing.assert_allclose(
        covariance, 1e-4 * np.linalg.inv(slopes @ slopes.T), rtol=0.25
    )


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", [langevax.MALA(), langevax.NUTS()], ids=type)
@pytest.mark.usefixtures(
    "unchecked_types"
)  # thousands of steps, whose types shorter runs are checked for
def test_compiled_dynamics_run_on_a_solver_too(algorithm):
    target = langevax.inverse_problem(blur, DATA, NOISE, PRIOR, adjoint=blur_adjoint)
    draws = langevax.sample(
        target,
        key=KEY,
        algorithm=algorithm,
        num_samples=200,
        num_warmup=100,
        run=langevax.Run(progress=False),
    )
    z, ratios, _ = deviates(draws, *exact())
    assert np.abs(z).max() < LIMIT
    np.testing.assert_allclose(ratios[:8], 1, atol=0.25)


def test_coordinates_of_a_reference_have_the_potential_of_the_posterior():
    """value(w) is the potential at z, its gradient by JAX, and the two maps are inverse to each other."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(5, 2)))[0]
    reference = NormalReference(rng.normal(size=5), directions, np.array([0.2, 0.6]))
    problem = langevax.Function(lambda z: jnp.sum(jnp.sin(z)), precision=0.1)
    near = NearReference(problem, reference)
    w = rng.normal(size=5).astype(np.float32)
    z = reference.to_prior_units(w)
    np.testing.assert_allclose(near.to_position(w), z, rtol=1e-5)
    np.testing.assert_allclose(near.from_position(z.astype(np.float32)), w, rtol=1e-4)
    np.testing.assert_allclose(reference.from_prior_units(z), w, rtol=1e-5)
    assert float(near.potential(w)) == pytest.approx(
        np.sin(z).sum() + 0.05 * z @ z, rel=1e-5
    )
    np.testing.assert_allclose(
        near.gradient(w), jax.grad(near.value)(w), rtol=1e-4, atol=1e-5
    )
    root = reference.in_all_directions().stretch(np.eye(5))
    np.testing.assert_allclose(root, reference.stretch(np.eye(5)), atol=1e-12)


def test_a_reference_with_the_moments_of_draws_has_the_slope_of_its_own_psi():
    target = langevax.inverse_problem(
        exponential, np.exp(DATA), 0.1, PRIOR, adjoint=exponential_adjoint
    )
    rng = np.random.default_rng(0)
    first = find_reference(target.solver, np.zeros(NUM_MODES))
    draws = first.to_prior_units(1.5 * rng.standard_normal((400, NUM_MODES)))
    second = first.with_moments_of(draws)
    covariance = np.cov(draws @ first.directions, rowvar=False)
    root = second.stretch(np.eye(NUM_MODES))
    np.testing.assert_allclose(
        first.directions.T @ root @ root @ first.directions,
        covariance,
        atol=0.3 * covariance.max(),
    )
    solver = target.solver
    w, _, slope = state_at(second, solver.with_gradient(solver.solve(draws[0])))
    step = 1e-4 * rng.standard_normal(NUM_MODES)
    ahead, behind = (
        state_at(second, solver.solve(second.to_prior_units(w + sign * step))).value
        for sign in (1, -1)
    )
    assert ahead - behind == pytest.approx(2 * slope @ step, rel=1e-5)


def test_a_turn_keeps_the_energy_and_comes_back():
    """The error of the energy over as many parts falls as h^3, and a turn from its end ends at the start."""
    target = langevax.inverse_problem(
        exponential, np.exp(DATA), 0.1, PRIOR, adjoint=exponential_adjoint
    )
    reference = find_reference(target.solver, np.zeros(NUM_MODES))
    solver = target.solver
    w = np.random.default_rng(1).standard_normal(NUM_MODES)
    here = solver.with_gradient(solver.solve(reference.to_prior_units(w)))
    errors = [
        abs(Rotation(h).propose(solver, reference, here, np.random.default_rng(2))[1])
        for h in (0.02, 0.01)
    ]
    assert 0 < errors[1] < 0.01
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.2)

    class Given:
        """Random numbers for a turn of one part."""

        def __init__(self, velocity):
            self.velocity = velocity

        def standard_normal(self, _):
            return self.velocity

        def integers(self, low, high):
            assert (low, high) == (1, 4)  # of two parts on average
            return 1

    h, v = 0.9, np.random.default_rng(3).standard_normal(NUM_MODES)
    arrival, log_ratio = Rotation(h).propose(solver, reference, here, Given(v))
    start, end = state_at(reference, here), state_at(reference, arrival)
    kicked = v - h / 2 * start.gradient
    np.testing.assert_allclose(
        end.position, np.cos(h) * start.position + np.sin(h) * kicked
    )
    arrived = np.cos(h) * kicked - np.sin(h) * start.position - h / 2 * end.gradient
    energies = [
        state.value + (state.position @ state.position + speed @ speed) / 2
        for state, speed in ((start, v), (end, arrived))
    ]
    assert log_ratio == pytest.approx(energies[0] - energies[1])
    back, other = Rotation(h).propose(solver, reference, arrival, Given(-arrived))
    np.testing.assert_allclose(back.z, here.z, atol=1e-9)
    assert other == pytest.approx(-log_ratio)
