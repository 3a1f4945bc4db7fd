"""`anneal`: the laws at a fixed temperature, minima that descents miss, SciPy's habits, honest words, bad input."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from scipy.integrate import quad
from scipy.optimize import Bounds, OptimizeResult, brentq
from scipy.optimize import minimize as scipy_minimize

import langevax
from langevax import gradients
from langevax.optimize import Geometric, Logarithmic, anneal
from langevax.optimize.anneal import _frame, _polished
from langevax.optimize.basins import Tally
from langevax.optimize.search import Search, Survey, equipartition_temperature
from langevax.problems.problem import Function
from tests.errorbars import LIMIT, assert_mean
from tests.sentences import refuses, tells

pytestmark = pytest.mark.mostly_compiling

CURVATURES = np.array([1.0, 2.0, 4.0])
KEY = jax.random.key(0)
QUICK = {"key": KEY, "num_chains": 8, "num_steps": 400}


def quadratic(x):
    """Minimum 3 at (1, 1, 1)."""
    return 3 + jnp.sum(jnp.asarray(CURVATURES, x.dtype) * (x - 1) ** 2) / 2


class TwoWells(eqx.Module):
    """Of each coordinate, the left one lower; 2^d minima. Stretched by `width`, and `height` times as high."""

    width: float = 1.0
    height: float = 1.0

    def __call__(self, x):
        x = x / self.width
        return self.height * jnp.sum((x**2 - 1) ** 2 + 0.3 * x)


two_wells = TwoWells()


def walled(x):
    """A parabola, with walls at 3 that are 1,000 times as curved."""
    return jnp.sum(x**2 / 2 + 500 * jax.nn.relu(jnp.abs(x) - 3) ** 2)


def rastrigin(x):
    """d = 10 coordinates, each with minima near -3, ..., 3: 3 * 10^8 minima; the best is 0 at 0."""
    return len(x) + jnp.sum(x**2 - jnp.cos(2 * jnp.pi * x))


def bad_starts(key):
    """All coordinates of all chains on the far side."""
    return jax.random.uniform(key, (10,), jnp.float32, 2.0, 4.5)


# -- laws ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_at_a_fixed_temperature_values_lie_half_a_temperature_per_coordinate_above_the_minimum():
    """E F = F* + sum of (T / 2) / (1 - h c / 2), exactly, over 4,000 chains; twice the temperature is distinguished."""
    temperature, h = 0.4, 0.1
    result = anneal(
        quadratic,
        jnp.ones(3),
        key=jax.random.key(1),
        num_chains=4000,
        num_steps=200,
        temperature=lambda step: temperature,
        step_size=h,
    )
    above = temperature / 2 / (1 - h * CURVATURES / 2)
    ends = result.history["fun_chains"][-1]
    assert_mean(ends, 3 + above.sum(), wrong=3 + 2 * above.sum())
    assert result.temperature == pytest.approx(temperature)
    assert result.success
    assert result.fun == pytest.approx(3, abs=1e-5)


@pytest.mark.slow
def test_shares_of_basins_are_those_of_the_gibbs_law():
    """A tilted double well of barrier 2 T, 300 chains from both sides, each end by its own descent; quadrature."""
    temperature, tilt = 0.12, 0.1
    well = lambda x: x**4 / 4 - x**2 / 2 + tilt * x
    top = brentq(lambda x: x**3 - x + tilt, -0.3, 0.3)

    def share(temperature):
        mass = [
            quad(lambda x: np.exp(-well(x) / temperature), *side)[0]
            for side in ((-4, top), (top, 4))
        ]
        return mass[0] / sum(mass)

    result = anneal(
        lambda x: jnp.sum(well(x)),
        lambda key: jax.random.uniform(key, (1,), jnp.float32, -1.5, 1.5),
        key=KEY,
        num_chains=300,
        num_steps=8000,
        temperature=lambda step: temperature,
        step_size=0.05,
    )
    left, right = result.basins
    assert left.x[0] < top < right.x[0]
    assert left.share + right.share == pytest.approx(1)
    error = np.sqrt(share(temperature) * (1 - share(temperature)) / 300)
    assert abs(left.share - share(temperature)) < LIMIT * error
    assert abs(left.share - share(temperature / 2)) > 5 * error  # the test has power
    assert abs(left.share - 0.5) > 10 * error  # the starts'
    assert result.message.endswith(
        "the others in a worse basin. To be surer, raise num_steps or num_chains."
    )


def test_schedules_and_the_temperature_to_start_from():
    """Geometric and logarithmic at their ends; for a quadratic, that of the law of its starts."""
    schedule = Geometric(hot=8.0, cold=0.5, num_steps=1000)
    np.testing.assert_allclose(
        [schedule(s) for s in (0, 250, 500, 1000, 5000)], [8, 4, 2, 0.5, 0.5], rtol=1e-6
    )
    np.testing.assert_allclose(
        [Logarithmic(2.0)(s) for s in (0, 98)], 2 / np.log([2, 100]), rtol=1e-6
    )
    rows = np.random.default_rng(0).normal(size=(4000, 50)) * np.sqrt(
        0.3 / 2.0
    )  # at T = 0.3, curvature 2
    assert equipartition_temperature(np.sum(rows**2, axis=1), 50) == pytest.approx(
        0.3, rel=0.1
    )
    values = np.append(
        np.sum(rows**2, axis=1), [1e12] * 40
    )  # a few absurd ones change little
    assert equipartition_temperature(values, 50) == pytest.approx(0.3, rel=0.1)


@pytest.mark.slow
def test_the_temperature_falls_as_the_schedule_says():
    """By 1000 by default, to the end of a pair, logarithmically, or by a schedule of optax."""
    end = {}
    for name, options in {
        "default": {"temperature": 2.0},
        "pair": {"temperature": (2.0, 0.5)},
        "logarithmic": {"temperature": Logarithmic(2.0)},
        "own": {"temperature": optax.linear_schedule(2.0, 1.0, 400)},
    }.items():
        with jax.numpy_dtype_promotion(
            "standard"
        ):  # optax's schedules mix integers and floats
            end[name] = anneal(two_wells, jnp.zeros(2), **QUICK, **options).temperature
    last = 399  # the step of the last move
    assert end["default"] == pytest.approx(2 * 1e-3 ** (last / 400), rel=1e-5)
    assert end["pair"] == pytest.approx(2 * 0.25 ** (last / 400), rel=1e-5)
    assert end["logarithmic"] == pytest.approx(2 / np.log(2 + last), rel=1e-5)
    assert end["own"] == pytest.approx(2 - last / 400, rel=1e-5)


# -- minima -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_finds_what_descents_from_the_same_starts_miss():
    """Rastrigin's function with d = 10 from bad starts: 16 chains reach 0, the best of 16 L-BFGS-B runs 5.7."""
    box = [(-5.12, 5.12)] * 10
    result = anneal(rastrigin, bad_starts, key=KEY, bounds=box, num_steps=50_000)
    assert result.fun == pytest.approx(0, abs=1e-4)
    assert result.success
    np.testing.assert_allclose(result.x, 0, atol=1e-3)
    assert result.basins[0].share >= 2 / 16
    assert re.search(
        r"\d of 16 chains ended at the best value, the others in \d+ worse basins",
        result.message,
    )

    both = jax.jit(jax.value_and_grad(rastrigin))
    plain = lambda x: tuple(np.asarray(a, np.float64) for a in both(jnp.float32(x)))
    descents = [
        scipy_minimize(plain, x, jac=True, method="L-BFGS-B", bounds=box).fun
        for x in result.x_starts
    ]
    assert result.x_starts.min() >= 2
    assert min(descents) > 4


@pytest.mark.slow
def test_scales_of_position_and_value_do_not_matter():
    """16 f(x / 4) from 4 x0: 4 x and 16 f, to the last bits; the step size is tuned to it."""
    options = QUICK | {"key": jax.random.key(3), "bounds": None}
    start = lambda key: 0.5 + jax.random.normal(key, (2,))
    one = anneal(two_wells, start, **options)
    other = anneal(TwoWells(4.0, 16.0), lambda key: 4 * start(key), **options)
    assert other.step_size == pytest.approx(one.step_size, rel=1e-5)
    assert other.temperature == pytest.approx(16 * one.temperature, rel=1e-5)
    np.testing.assert_allclose(other.x_chains, 4 * one.x_chains, rtol=1e-3)
    assert [b.share for b in other.basins] == [b.share for b in one.basins]


@pytest.mark.slow
def test_a_finite_sum_goes_by_svrg_to_the_minimum_of_full_gradients():
    """Robust location in two dimensions, 2,000 rows in two clumps of unequal size: two minima, and which is lower."""
    rng = np.random.default_rng(0)
    rows = np.concatenate(
        [rng.normal([2, 2], 0.3, (1200, 2)), rng.normal([-2, -1], 0.3, (800, 2))]
    )
    problem = langevax.FiniteSum(
        lambda x, a: -jnp.exp(-jnp.sum((x - a) ** 2) / 5), jnp.float32(rows)
    )
    options = {"key": KEY, "num_steps": 1500, "num_chains": 8}
    start = lambda key: jnp.array([-2.0, -1.0]) + 2 * jax.random.normal(key, (2,))
    svrg = anneal(problem, start, **options)
    full = anneal(problem, start, gradient=gradients.Full(), **options)
    assert svrg.success
    assert full.success
    np.testing.assert_allclose(svrg.x, full.x, atol=2e-3)
    np.testing.assert_allclose(svrg.x, [2, 2], atol=0.1)
    assert svrg.fun == pytest.approx(full.fun, rel=1e-5)
    assert full.nfev > 8 * 1500 * 2000
    assert svrg.nfev < full.nfev / 5  # some 20 epochs, the looks and the descents


@pytest.mark.slow
def test_a_quadratic_part_is_minimised_with_the_rest():
    """value + 1/2 <x, precision x>: the minimum moves from 1 to c / (c + p)."""
    result = anneal(
        Function(lambda x: jnp.sum(2 * (x - 1) ** 2), precision=4.0),
        jnp.zeros(2),
        **QUICK,
    )
    np.testing.assert_allclose(result.x, 0.5, atol=1e-3)
    assert result.fun == pytest.approx(2.0, rel=1e-5)


def test_a_descent_stays_in_the_basin_where_it_begins():
    """10,000 wells a thousandth wide: SciPy's first trial step of length one leaves, one of the chain's own size not."""
    width, start = 1e-3, np.float64(2.3e-4)
    with jax.enable_x64():
        problem = Function(lambda x: 1 - jnp.cos(2 * jnp.pi * x[0] / width) + x[0] ** 2)
        survey = Survey(jnp.full((1, 1), start), np.ones(1), 0.0, 0.0, 0)
        step = 0.25 * (width / 2 / np.pi) ** 2
        search = Search(
            problem, survey, 1, 1, step, 1.0, gradients.Full(), None, lambda *_: False
        )
        end = _polished(search, _frame(search), search.best, step)
    assert end.reached
    assert end.best[0] == pytest.approx(0, abs=1e-9)
    plain = scipy_minimize(
        lambda x: 1 - np.cos(2 * np.pi * x[0] / width) + x[0] ** 2,
        [start],
        jac=lambda x: 2 * np.pi / width * np.sin(2 * np.pi * x / width) + 2 * x,
        method="L-BFGS-B",
    )
    assert abs(plain.x[0]) > width / 2


@pytest.mark.slow
def test_in_float64_minima_are_exact():
    with jax.enable_x64():
        result = anneal(two_wells, jnp.full(2, 0.9), step_size=0.02, **QUICK)
    assert result.x.dtype == np.float64
    np.testing.assert_allclose(4 * result.x * (result.x**2 - 1) + 0.3, 0, atol=1e-7)


# -- bounds -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "bounds",
    [
        [(0.0, 0.7), (None, 0.5), (2.0, np.inf)],
        Bounds([0.0, -np.inf, 2.0], [0.7, 0.5, np.inf]),
    ],
)
def test_bounds_are_kept_by_chains_and_descents(bounds):
    """The minimum lies on three walls; float32 rounds into the box, never out of it."""
    places = []
    result = anneal(
        quadratic,
        jnp.array([0.35, 0.0, 2.0]),
        bounds=bounds,
        callback=lambda intermediate_result: places.append(
            intermediate_result.x_chains
        ),
        **QUICK,
    )
    assert result.success
    np.testing.assert_allclose(result.x, [0.7, 0.5, 2.0], rtol=1e-6)
    assert result.jac[0] < 0 < result.jac[2]  # what the walls hold
    assert float(result.x[0]) < 0.7  # the float32 next to 0.7 from below
    for x in (*places, result.x_chains, result.x_starts):
        x = np.asarray(x, np.float64)
        assert np.all((x >= [0.0, -np.inf, 2.0]) & (x <= [0.7, 0.5, np.inf]))


@pytest.mark.slow
def test_starts_fill_a_box_and_surround_x0_elsewhere():
    """Uniform on [-3, 5]; standard deviation one around 2 where a bound is missing; x0 itself is the first."""
    options = {
        "key": KEY,
        "num_chains": 2000,
        "num_steps": 1,
        "step_size": 0.1,
    }
    flat, box = (lambda x: jnp.sum(x * 1e-3)), [(-3, 5), (None, None)]
    starts = anneal(flat, jnp.array([4.0, 2.0]), bounds=box, **options).x_starts
    np.testing.assert_array_equal(starts[0], [4.0, 2.0])
    assert_mean(starts[1:, 0], 1.0, wrong=4.0)
    assert_mean((starts[1:, 0] - 1) ** 2, 64 / 12, wrong=1.0)
    assert_mean(starts[1:, 1], 2.0)
    assert_mean((starts[1:, 1] - 2) ** 2, 1.0, wrong=2.0)


# -- SciPy's habits -----------------------------------------------------------------------------------------------


def test_the_result_is_scipys_with_ours():
    result = anneal(two_wells, [0.5, 0.5], **QUICK)
    assert isinstance(result, OptimizeResult)
    assert (
        result.x.shape,
        result.jac.shape,
        result.x_chains.shape,
        result.x_starts.shape,
    ) == (
        (2,),
        (2,),
        (8, 2),
        (8, 2),
    )
    assert (result.fun_chains.shape, result.nit, result.status, result.success) == (
        (8,),
        400,
        0,
        True,
    )
    assert isinstance(result.fun, float)
    assert result.fun == result.fun_chains.min() == result.basins[0].fun
    np.testing.assert_allclose(result.x, -1.036, atol=1e-3)
    np.testing.assert_allclose(result.jac, 0, atol=1e-3)
    assert sum(basin.share for basin in result.basins) == pytest.approx(1)
    assert [basin.fun for basin in result.basins] == sorted(
        basin.fun for basin in result.basins
    )
    history = result.history
    assert {name: column.shape for name, column in history.items()} == {
        "nit": (100,),
        "nfev": (100,),
        "fun": (100,),
        "fun_chains": (100, 8),
    }
    assert np.all(np.diff(history["fun"]) <= 0)
    assert np.all(np.diff(history["nfev"]) == 8 * (4 + 1))  # four steps and a look
    survey = 32 * (2 + 2 * 30)  # values, gradients, curvatures
    assert history["nfev"][0] == survey + 40
    assert result.nfev > history["nfev"][-1] + 8
    assert "message" in repr(result)


def test_a_callback_that_returns_a_number_is_refused():
    with refuses(TypeError, "callback None 1 True"):
        anneal(two_wells, jnp.ones(2), callback=lambda x: 1, **QUICK)


def test_callbacks_are_called_as_scipy_does():
    states, points = [], []

    def stop_by_exception(intermediate_result):
        states.append(intermediate_result)
        if len(states) == 3:
            raise StopIteration

    result = anneal(two_wells, jnp.ones(2), callback=stop_by_exception, **QUICK)
    assert (result.nit, result.status, result.success) == (12, 99, True)
    assert result.message.startswith("Stopped by the callback after step 12 of 400.")
    assert [state.nit for state in states] == [4, 8, 12]
    assert (states[0].x_chains.shape, states[0].fun_chains.shape) == ((8, 2), (8,))
    assert states[0].fun >= states[1].fun >= states[2].fun
    assert states[0].temperature > states[2].temperature
    assert states[2].nfev == result.history["nfev"][-1]

    def stop_by_answer(x):
        points.append(x)
        return len(points) == 2

    assert anneal(two_wells, jnp.ones(2), callback=stop_by_answer, **QUICK).nit == 8
    assert points[0].shape == (2,)
    anneal(two_wells, jnp.ones(2), callback=lambda x: points.append(x), **QUICK)
    assert len(points) == 102


@pytest.mark.slow
@pytest.mark.parametrize("x0", [{"w": jnp.full((2, 2), 0.7), "b": jnp.array(0.8)}, 0.7])
def test_positions_are_any_pytree(x0):
    """With bounds, which go leaf after leaf: b first, whose wall is at 0.5."""

    def fun(x):
        return sum(jnp.sum((leaf - 0.4) ** 2) for leaf in jax.tree.leaves(x))

    size = sum(np.size(leaf) for leaf in jax.tree.leaves(x0))
    result = anneal(
        fun, x0, bounds=[(0.5, 2), *[(-1, 1)] * (size - 1)], step_size=0.1, **QUICK
    )
    for tree, lead in (
        (result.x, ()),
        (result.jac, ()),
        (result.basins[0].x, ()),
        (result.x_chains, (8,)),
        (result.x_starts, (8,)),
    ):
        assert jax.tree.structure(tree) == jax.tree.structure(x0)
        shapes = jax.tree.map(
            lambda leaf, like, lead=lead: leaf.shape == (*lead, *np.shape(like)),
            tree,
            x0,
        )
        assert all(jax.tree.leaves(shapes))
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(result.x)])
    np.testing.assert_allclose(flat, [0.5, *[0.4] * (size - 1)], atol=1e-3)


@pytest.mark.slow
def test_two_calls_of_one_shape_compile_once():
    """Whatever the key, the start, the temperature, the bounds, the steps, or how often the step is halved."""
    traces = []

    def counted(x):
        traces.append(x)
        return jnp.sum(x**4 - x**2)

    options = QUICK | {"bounds": [(-3, 3)] * 2}
    anneal(counted, jnp.array([0.1, 0.2]), **options)
    first = len(traces)
    anneal(
        counted,
        jnp.array([0.5, 0.7]),
        **options | {"key": jax.random.key(5), "num_steps": 300, "temperature": 0.7},
    )
    anneal(
        counted,
        jnp.array([0.5, 0.7]),
        **options | {"bounds": [(-2, 4)] * 2, "temperature": (3.0, 0.1)},
    )
    assert len(traces) <= first + 4  # two each, which ask for shapes alone


def test_the_key_decides():
    one, same = (
        anneal(two_wells, jnp.ones(2), **QUICK | {"key": jax.random.key(7)})
        for _ in range(2)
    )
    other = anneal(two_wells, jnp.ones(2), **QUICK | {"key": jax.random.key(8)})
    np.testing.assert_array_equal(one.x_chains, same.x_chains)
    assert not np.array_equal(one.x_starts, other.x_starts)


# -- honest words -------------------------------------------------------------------------------------------------


def test_chains_that_diverge_end_the_run():
    """Chains that diverge with it end the run; the best place until then is polished, and success is False."""
    result = anneal(walled, jnp.zeros(3), step_size=1.9, temperature=4.0, **QUICK)
    assert (result.success, result.status, result.step_size) == (False, 1, 1.9)
    assert re.match(
        r"Chains diverged at step \d+ with step_size=1\.9; pass a smaller one",
        result.message,
    )
    assert result.fun == pytest.approx(0, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fun", "words", "slope"),
    [
        (lambda x: jnp.sum(jnp.abs(x) + 0.3 * x), "kink", ""),
        (jnp.sum, "unbounded below", "1.41"),
    ],
)
def test_a_point_that_is_not_a_minimum_is_not_a_success(fun, words, slope):
    result = anneal(fun, jnp.ones(2), **QUICK)
    assert (result.success, result.status) == (False, 2)
    tells(result.message, slope)
    assert words in result.message
    assert "chains ended" not in result.message


def test_starts_without_a_value_are_refused():
    """log x at x0 = 2, where half of the places drawn are negative."""
    with refuses(ValueError, "fun nan 32 x0"):
        anneal(
            lambda x: jnp.sum(x - jnp.log(x)),
            jnp.full(1, 0.3),
            bounds=[(-0.5, np.inf)],
            **QUICK,
        )


@pytest.mark.parametrize(
    ("counted", "words"),
    [
        (Tally(3, 1, 3), "3 of 3 chains ended at the best value."),
        (
            Tally(3, 2, 2),
            "2 of 3 chains ended at the best value, the others in a worse basin.",
        ),
        (
            Tally(3, 2, 0),
            "0 of 3 chains ended at the best value, the others in 2 worse basins.",
        ),
        (Tally(1, 1, 1), "1 of 1 chain ended at the best value."),
    ],
)
def test_the_message_says_how_far_chains_agree(counted, words):
    assert counted.sentence("chain", "chains") == words


# -- bad input ----------------------------------------------------------------------------------------------------


def refused(fun=two_wells, x0=(0.5, 0.5), **options):
    return lambda: anneal(
        fun, jnp.asarray(x0) if isinstance(x0, tuple) else x0, **{"key": KEY} | options
    )


REFUSED = {
    "no key": (
        refused(key=None),
        TypeError,
        "key NoneType jax.random.key(seed)",
    ),
    "a seed": (
        refused(key=0),
        TypeError,
        "key jax.random.key(seed)",
    ),
    "an old key": (
        refused(key=np.zeros(2, np.uint32)),
        TypeError,
        "key",
    ),
    "keys": (
        refused(key=jax.random.split(jax.random.key(0))),
        ValueError,
        "key",
    ),
    "a float seed": (refused(key=1.5), TypeError, "key"),
    "fun that is not a function": (
        refused(fun=3.0),
        TypeError,
        "fun langevax.Problem",
    ),
    "fun that is not scalar": (
        refused(fun=lambda x: x**2),
        ValueError,
        "fun (2,)",
    ),
    "fun that is whole": (
        refused(fun=lambda x: jnp.sum(x).astype(int)),
        TypeError,
        "fun",
    ),
    "fun in NumPy": (
        refused(fun=lambda x: np.sum(np.asarray(x))),
        TypeError,
        "fun JAX",
    ),
    "fun of floats": (
        refused(fun=lambda x: float(x[0])),
        TypeError,
        "jax.numpy",
    ),
    "fun that is NaN": (
        refused(fun=lambda x: jnp.sum(jnp.log(x - 1))),
        ValueError,
        "fun x0 nan",
    ),
    "a gradient that is NaN": (
        refused(fun=lambda x: jnp.sum(jnp.sqrt(x)), x0=(0.0, 1.0)),
        ValueError,
        "x0 inf",
    ),
    "fun that is NaN at every start": (
        refused(
            fun=lambda x: jnp.sum(jnp.log(x)),
            x0=lambda key: -jax.random.uniform(key, (2,)),
        ),
        ValueError,
        "fun 32 x0",
    ),
    "a measure": (
        refused(
            fun=langevax.MeanFieldRisk(
                langevax.neurons.Tanh(),
                langevax.losses.squared,
                np.ones((3, 1)),
                np.ones(3),
            ),
        ),
        TypeError,
        "fun MeanFieldRisk",
    ),
    "a whole x0": (
        refused(x0=(1, 2)),
        TypeError,
        "x0 int32 x0.astype(float)",
    ),
    "a list of flags": (
        refused(x0=[True, False]),
        TypeError,
        "x0",
    ),
    "x0 that is NaN": (
        refused(x0=(0.0, np.nan)),
        ValueError,
        "x0[1] nan 1",
    ),
    "x0 that is text": (
        refused(x0="here"),
        TypeError,
        "x0 'here'",
    ),
    "no x0": (refused(x0=None), ValueError, "x0 None"),
    "an empty x0": (refused(x0=jnp.zeros(0)), ValueError, "x0 (0,)"),
    "x0 of two dtypes": (
        refused(x0={"a": jnp.zeros(1), "b": jnp.zeros(1, jnp.float16)}),
        TypeError,
        "x0",
    ),
    "x0 outside": (
        refused(bounds=[(0, 1), (1, 2)]),
        ValueError,
        "x0[1] 0.5 bounds[1] 1.0 2.0",
    ),
    "starts outside": (
        refused(x0=lambda key: 3 + jax.random.uniform(key, (2,)), bounds=[(0, 1)] * 2),
        ValueError,
        "bounds[0] 0.0 1.0",
    ),
    "bounds upside down": (
        refused(bounds=[(0, 1), (2, -2)]),
        ValueError,
        "bounds[1] 2.0 -2.0",
    ),
    "bounds that meet": (
        refused(bounds=[(0, 1), (0.5, 0.5)]),
        ValueError,
        "bounds[1] 0.5",
    ),
    "bounds of NaN": (
        refused(bounds=[(0, np.nan), (0, 1)]),
        ValueError,
        "bounds[0] 0.0 nan",
    ),
    "bounds too near": (
        refused(bounds=[(0, 1), (0.5, 0.5 + 1e-12)]),
        ValueError,
        "float32",
    ),
    "too few bounds": (
        refused(bounds=[(0, 1)]),
        ValueError,
        "bounds 1 x0 2",
    ),
    "bounds that are none": (
        refused(bounds=3.0),
        TypeError,
        "bounds scipy.optimize.Bounds",
    ),
    "bounds that do not fit": (
        refused(bounds=Bounds([0] * 3, [1] * 3)),
        ValueError,
        "(2,)",
    ),
    "no chains": (
        refused(num_chains=0),
        ValueError,
        "num_chains 1 0",
    ),
    "no steps": (
        refused(num_steps=0),
        ValueError,
        "num_steps 1 0",
    ),
    "steps that are not whole": (
        refused(num_steps=1e3),
        TypeError,
        "num_steps 1000.0",
    ),
    "a negative temperature": (
        refused(temperature=-1.0),
        ValueError,
        "temperature 0 -1.0",
    ),
    "a text for a temperature": (
        refused(temperature="cold"),
        TypeError,
        "temperature",
    ),
    "temperatures": (
        refused(temperature=jnp.ones(3)),
        ValueError,
        "temperature",
    ),
    "a pair that ends at zero": (
        refused(temperature=(1.0, 0.0)),
        ValueError,
        "temperature[1] 0",
    ),
    "three temperatures": (
        refused(temperature=(1.0, 0.1, 0.01)),
        ValueError,
        "",
    ),
    "a constant": (
        refused(fun=lambda x: 0.0 * jnp.sum(x) + 7),
        ValueError,
        "7",
    ),
    "another step size": (
        refused(step_size="theorem"),
        TypeError,
        "step_size 'auto' 'theorem'",
    ),
    "a step size of zero": (
        refused(step_size=0.0),
        ValueError,
        "step_size 0 0.0",
    ),
    "nothing to tune": (
        refused(fun=lambda x: 0.0 * jnp.sum(x), temperature=lambda step: 0.0),
        ValueError,
        "step_size='auto'",
    ),
    "a gradient that is a function": (
        refused(gradient=jax.grad(two_wells)),
        TypeError,
        "gradient langevax.gradients",
    ),
    "a batch that is too large": (
        refused(gradient=gradients.Minibatch(3)),
        ValueError,
        "batch_size 3 1",
    ),
    "a callback that is not a function": (
        refused(callback=3),
        TypeError,
        "callback callback(intermediate_result)",
    ),
}


@pytest.fixture
def without_annotation_checks():
    """Turn annotation checks off, which users do not have."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("without_annotation_checks")
@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_named(name):
    call, error, facts = REFUSED[name]
    with refuses(error, facts, varies=name == "a gradient that turns NaN"):
        call()
