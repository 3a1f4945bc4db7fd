"""`minimize`: transcripts of its steps, known minima, basins expected, SciPy's habits, honest words, and bad input."""

import math
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import Bounds, OptimizeResult

import langevax
from langevax.optimize import minimize
from langevax.optimize.basins import group_ends, tally, unseen_better
from langevax.optimize.local_search import (
    HOME,
    LBFGS_MEMORY,
    Frame,
    descent_direction,
    local_searches,
    lowest_of_cubic,
    values,
)
from langevax.optimize.newton import Derivatives, newton, newton_step
from langevax.problems.problem import Function
from tests.sentences import refuses, tells

pytestmark = pytest.mark.mostly_compiling

KEY = jax.random.key(0)
BOX = [(-5.12, 5.12)] * 2


class Well(eqx.Module):
    """A quadratic with these curvatures, lowest at `center`, where it is 3."""

    curvatures: jax.Array
    center: jax.Array

    def __call__(self, x):
        return 3 + jnp.sum(self.curvatures * (x - self.center) ** 2) / 2


def two_wells(x):
    """Of each coordinate, the left one lower; 2^d minima, the best -0.305 d at -1.036."""
    return jnp.sum((x**2 - 1) ** 2 + 0.3 * x)


def rastrigin(x):
    """Its classical barriers of 20; lowest, 0, at 0."""
    return jnp.sum(x**2 + 10 - 10 * jnp.cos(2 * jnp.pi * x))


def units(d, low=-np.inf, high=np.inf, dtype=np.float64):
    """A frame whose y is x."""
    ones = np.ones(d, dtype)
    return Frame(
        *map(
            jnp.asarray,
            (0 * ones, ones, low * ones, high * ones, low * ones, high * ones),
        )
    )


# -- local searches -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_direction_is_minus_the_inverse_of_bfgs_times_the_gradient():
    """The recursion H+ = (1 - s z / sz)^T H (1 - z s / sz) + s s / sz of dense matrices, in NumPy."""
    rng = np.random.default_rng(0)
    curvature = np.diag([1.0, 4.0, 9.0, 25.0])
    moves = np.zeros((LBFGS_MEMORY, 4))
    moves[-5:] = rng.normal(size=(5, 4))
    changes = moves @ curvature
    gradient = rng.normal(size=4)
    inverse = np.eye(4) * (moves[-1] @ changes[-1]) / (changes[-1] @ changes[-1])
    for s, z in zip(moves[-5:], changes[-5:], strict=True):
        left = np.eye(4) - np.outer(s, z) / (s @ z)
        inverse = left @ inverse @ left.T + np.outer(s, s) / (s @ z)
    with jax.enable_x64():
        arguments = (
            jnp.asarray(a) for a in (gradient, np.ones(4, bool), moves, changes)
        )
        np.testing.assert_allclose(
            descent_direction(*arguments), -inverse @ gradient, rtol=1e-10
        )


@pytest.mark.slow
def test_searches_end_at_minima_in_the_box_and_count_what_they_took():
    """On a wall where the minimum lies outside, at the center elsewhere; alone or among others is the same."""
    with jax.enable_x64():
        well = Function(Well(jnp.array([1.0, 100.0, 1e4]), jnp.array([0.5, -0.3, 4.0])))
        frame = units(3, -1.0, 1.0)
        starts = np.random.default_rng(0).uniform(-1, 1, (5, 3))
        ends = local_searches(well, frame, starts, 8, 200)
        alone = local_searches(well, frame, starts[2:3], 8, 200)
    np.testing.assert_allclose(ends.y, [[0.5, -0.3, 1.0]] * 5, atol=1e-5)
    np.testing.assert_allclose(ends.fun, 3 + 1e4 * 9 / 2, rtol=1e-9)
    assert ends.settled.all()
    assert ends.moved.all()
    assert ends.evaluations.max() < 40
    np.testing.assert_array_equal(alone.y[0], ends.y[2])
    assert alone.evaluations[0] == ends.evaluations[2]


@pytest.mark.slow
@pytest.mark.parametrize("unit", [2.0**-100, 2.0**-66, 2.0**66, 2.0**100])
def test_units_of_values_change_no_search(unit):
    """Squares of the slopes are beyond float32 for all of these."""
    starts = np.random.default_rng(1).uniform(-5, 5, (4, 3))
    plain, other = (
        local_searches(
            Function(lambda x, s=s: s * rastrigin(x)),
            units(3, -5.12, 5.12, dtype=np.float32),
            starts,
            4,
            99,
        )
        for s in (1.0, unit)
    )
    np.testing.assert_array_equal(other.y, plain.y)
    np.testing.assert_array_equal(other.fun, unit * plain.fun)
    np.testing.assert_array_equal(other.settled, plain.settled)
    assert plain.settled.all()


@pytest.mark.slow
def test_a_search_stops_at_its_limit_and_where_its_target_is_out_of_reach():
    with jax.enable_x64():
        problem, frame = Function(rastrigin), units(4, -5.12, 5.12)
        starts = np.random.default_rng(1).uniform(-5, 5, (8, 4))
        whole = local_searches(problem, frame, starts, 8, 200)
        short = local_searches(problem, frame, starts, 8, 5)
        aimed = local_searches(
            problem, frame, starts, 8, 200, target=float(np.median(whole.fun))
        )
    assert short.evaluations.max() == 5
    assert not short.settled.any()
    reached = whole.fun <= np.median(whole.fun)
    np.testing.assert_array_equal(aimed.fun[reached], whole.fun[reached])
    assert aimed.evaluations[~reached].sum() < 0.8 * whole.evaluations[~reached].sum()


@pytest.mark.slow
def test_a_step_that_promises_nothing_does_not_end_a_search():
    """In a narrow valley the first curvature is a million times the one ahead: one step in it seems to gain nothing."""
    with jax.enable_x64():
        turn = jnp.array([[0.8, -0.6], [0.6, 0.8]])
        problem = Function(lambda x: jnp.sum(jnp.array([1.0, 1e6]) * (turn @ x) ** 2))
        ends = local_searches(
            problem,
            units(2, -5, 5),
            np.random.default_rng(0).uniform(-5, 5, (8, 2)),
            8,
            200,
        )
    assert ends.settled.all()
    assert ends.fun.max() < 1e-9
    assert ends.evaluations.max() < 20


@pytest.mark.slow
def test_a_search_that_comes_back_to_a_known_minimum_ends_there():
    """Those that lead elsewhere are as before."""
    with jax.enable_x64():
        problem, frame = Function(rastrigin), units(2, -5.12, 5.12)
        starts = np.array([[0.2, -0.1], [1.2, 0.9], [-0.1, 0.15]])
        whole = local_searches(problem, frame, starts, 8, 200)
        back = local_searches(problem, frame, starts, 8, 200, home=np.zeros(2))
    np.testing.assert_array_equal(back.y[1], whole.y[1])
    assert not back.settled[[0, 2]].any()
    assert (back.evaluations < whole.evaluations)[[0, 2]].all()
    assert np.linalg.norm(back.y[[0, 2]], axis=1).max() <= HOME * 2**0.5


@pytest.mark.parametrize(
    ("slope_ahead", "rise", "lowest"),
    [(4.0, 1.0, 1 / 3), (50.0, 20.0, 0.1), (0.2, 0.1, 0.5)],
)
def test_a_step_that_rises_is_shortened_to_where_a_cubic_is_lowest(
    slope_ahead, rise, lowest
):
    """Of slope -1 at 0; within a tenth and a half."""
    cubic = np.polynomial.Polynomial(
        [0, -1, 3 * rise + 2 - slope_ahead, slope_ahead - 1 - 2 * rise]
    )
    assert cubic(1) == pytest.approx(rise)
    assert cubic.deriv()(1) == pytest.approx(slope_ahead)
    at = float(lowest_of_cubic(*map(jnp.asarray, (rise, -1.0, slope_ahead))))
    roots = [
        r.real
        for r in cubic.deriv().roots()
        if abs(r.imag) < 1e-9 and cubic.deriv(2)(r.real) > 0
    ]
    assert at == pytest.approx(np.clip(roots[0], 0.1, 0.5), abs=1e-5)
    assert at == pytest.approx(lowest, abs=0.2)


@pytest.mark.slow
def test_a_search_on_a_plateau_does_not_move():
    ends = local_searches(
        Function(lambda x: 0 * jnp.sum(x)),
        units(2, dtype=np.float32),
        np.ones((3, 2)),
        4,
        100,
    )
    assert not ends.moved.any()
    np.testing.assert_array_equal(ends.evaluations, 1)


def test_values_of_any_number_of_places():
    places = np.random.default_rng(0).normal(size=(1500, 2))
    places[7] = np.nan
    computed = values(Function(two_wells), units(2, dtype=np.float32), places)
    expected = np.sum((places**2 - 1) ** 2 + 0.3 * places, axis=1)
    np.testing.assert_allclose(
        np.delete(computed, 7), np.delete(expected, 7), rtol=1e-4, atol=1e-4
    )
    assert computed[7] == math.inf


# -- Newton's steps -----------------------------------------------------------------------------------------------


def test_a_newton_step_leads_to_the_minimum_of_a_quadratic_and_away_from_a_saddle():
    """In any units; it promises half of what the gradient and the step have in common."""
    hessian, gradient, unbound = (
        np.array([[4.0, 1.0], [1.0, 3.0]]),
        np.array([1.0, -2.0]),
        np.ones(2, bool),
    )
    step, promise = newton_step(Derivatives(0.0, gradient, hessian), unbound, 0.0)
    np.testing.assert_allclose(step, -np.linalg.solve(hessian, gradient))
    assert promise == pytest.approx(-gradient @ step / 2)
    units_of = np.array([1e6, 1e-3])
    scaled = Derivatives(
        0.0, gradient * units_of, hessian * np.outer(units_of, units_of)
    )
    damped, _ = newton_step(Derivatives(0.0, gradient, hessian), unbound, 0.7)
    np.testing.assert_allclose(newton_step(scaled, unbound, 0.7)[0] * units_of, damped)
    saddle = Derivatives(0.0, np.array([1.0, 1.0]), np.diag([2.0, -2.0]))
    np.testing.assert_allclose(newton_step(saddle, unbound, 0.0)[0], [-0.5, -0.5])
    fixed, _ = newton_step(
        Derivatives(0.0, gradient, hessian), np.array([True, False]), 0.0
    )
    np.testing.assert_allclose(fixed, [-0.25, 0.0])


def test_newtons_method_follows_a_curved_valley_to_its_end():
    with jax.enable_x64():
        problem = Function(lambda x: (1 - x[0]) ** 2 + 1e3 * (x[1] - x[0] ** 2) ** 2)
        end = newton(problem, units(2), np.array([-1.0, 1.0]), 1.0, 500)
    assert end.reached
    np.testing.assert_allclose(end.y, 1.0, rtol=1e-9)


# -- basins expected ---------------------------------------------------------------------------------------------------------


def test_it_is_the_mean_number_of_unseen_better_basins():
    """Over laws with a uniform number of basins and uniform sizes: those in which 30 searches meet exactly 3."""
    rng, searches, seen = np.random.default_rng(0), 30, 3
    better = []
    for number in rng.integers(1, 41, 20_000):
        sizes = rng.exponential(size=number)
        counts = rng.multinomial(searches, sizes / sizes.sum())
        if np.count_nonzero(counts) == seen:
            order = rng.permutation(number)  # of value, whatever the sizes
            better.append(int(np.min(order[counts > 0])))
    assert len(better) > 400
    error = np.std(better) / np.sqrt(len(better))
    assert abs(np.mean(better) - unseen_better(searches, seen)) < 4 * error
    assert unseen_better(searches, seen) == pytest.approx(3 / 25)


def test_basins_are_near_in_place_and_in_value_and_plateaus_are_basins_of_their_own():
    ys = np.array(
        [[0.0, 0.0], [1.0, 0.0], [1e-4, 0.0], [0.0, 1e-4], [2.0, 2.0], [2.0, 2.0]]
    )
    fun, moved = (
        np.array([1.0, 1.0, 1.0 + 1e-9, 1.5, 3.0, 3.0]),
        np.array([True, True, True, True, False, False]),
    )
    labels, best_ends = group_ends(ys, fun, moved, 1e-6)
    assert labels[0] == labels[2] != labels[1]
    assert len(best_ends) == 5


def test_copies_of_a_minimum_count_as_one_unless_the_best_value_is_rarer_than_the_next():
    """Searches end at 1 (three times, within rounding), at 1.5 (two copies), at 1.5001, and two stay on a plateau."""
    fun = np.array([1.0, 1.5, 1.0 + 1e-9, 1.5 - 1e-9, 3.0, 3.0, 1.0, 1.5001])
    moved = np.array([True, True, True, True, False, False, True, True])
    ys = np.arange(8.0)[:, None]
    assert tally(ys, fun, moved, 1e-6, 1.0) == (8, 5, 3)
    assert tally(ys[1:6], fun[1:6], moved[1:6], 1e-6, 1.0) == (5, 5, 1)
    assert (
        tally(ys, fun, moved, 1e-6, 0.5).expected_better == math.inf
    )  # none of these saw the best
    assert tally(ys[:0], fun[:0], moved[:0], 1e-6, 0.5) == (0, 0, 0)


# -- minima -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_few_basins_are_all_found_and_the_promise_is_met():
    result = minimize(two_wells, jnp.full(2, 0.9), key=KEY, bounds=[(-2.0, 2.0)] * 2)
    assert isinstance(result, OptimizeResult)
    assert (result.success, result.status) == (True, 0)
    np.testing.assert_allclose(result.x, -1.0356, atol=1e-3)
    assert result.basins[0].fun == pytest.approx(-0.6109, abs=2e-3)
    assert sum(basin.share for basin in result.basins) == pytest.approx(1)
    assert result.expected_better_basins <= 0.1
    words = r"Searches agree on the best basin: the expected number of unseen better basins is 0\.\d+ \(at most 0.1 was asked\)"
    assert re.match(words, result.message)
    assert result.history["fun"][-1] == pytest.approx(result.fun, abs=1e-5)
    assert np.all(np.diff(result.history["nfev"]) > 0)
    assert result.nit > 11 * 3 + 2  # the two of one value may count as one
    assert result.nfev > result.njev > result.nit
    surer = minimize(
        two_wells,
        jnp.full(2, 0.9),
        key=KEY,
        bounds=[(-2.0, 2.0)] * 2,
        max_better_basins=0.01,
    )
    assert surer.expected_better_basins <= 0.01
    assert surer.nit > 3 / 0.01
    words = r"\d+ of \d+ local searches ended at the best value, the others in [23] worse basins\."
    assert re.search(words, surer.message)
    assert [basin.fun for basin in surer.basins] == pytest.approx(
        [-0.6109, -0.0113, -0.0113, 0.5883], abs=2e-3
    )


@pytest.mark.slow
def test_a_circle_of_minima_is_one_minimum():
    """Two circles, the inner one lower: every end is a place of its own, but there are two values."""
    rings = lambda x: (
        (jnp.sum(x**2) - 1) ** 2 * (jnp.sum(x**2) - 9) ** 2 / 40 + jnp.sum(x**2) / 10
    )
    result = minimize(rings, jnp.array([2.0, 1.0]), key=KEY, bounds=[(-4.0, 4.0)] * 2)
    assert result.success
    assert np.linalg.norm(result.x) == pytest.approx(1, abs=0.05)
    tells(result.message)
    assert len(result.basins) > 10


@pytest.mark.slow
def test_agreement_is_doubted_by_as_many_hops_from_the_best():
    """All searches end in one well, and so do the hops that try to refute it."""
    well = Well(jnp.array([1.0, 4.0]), jnp.array([1.0, -1.0]))
    result = minimize(well, jnp.zeros(2), key=KEY, bounds=[(-4.0, 4.0)] * 2)
    counted = re.search(
        r"(\d+) of \1 local searches ended at the best value\.", result.message
    )
    assert result.success
    assert counted is not None
    assert result.nit == 1 + 2 * int(counted[1])


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.slow
def test_many_deep_wells_are_crossed_whatever_the_axes(rotated):
    """Classical Rastrigin, 10^4 minima in four dimensions: 20,000 evaluations where chains fail with millions."""
    turn = (
        np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
        if rotated
        else np.eye(4)
    )
    rotation = jnp.asarray(turn, jnp.float32)
    result = minimize(
        lambda x: rastrigin(rotation @ (x - 0.3)),
        jnp.full(4, 4.0),
        key=KEY,
        bounds=[(-5.12, 5.12)] * 4,
        max_evaluations=20_000,
    )
    assert result.fun == pytest.approx(0, abs=1e-4)
    assert result.nfev + 3 * result.njev < 22_000


def test_a_promise_that_is_not_met_is_no_success():
    """At the minimum after 3,000 evaluations, but too few searches agree."""
    result = minimize(
        rastrigin, jnp.full(2, 4.0), key=KEY, bounds=BOX, max_evaluations=3000
    )
    assert (result.success, result.status) == (False, 1)
    assert result.expected_better_basins > 0.1
    assert result.message.startswith(
        "Spent the 3,000 evaluations before searches agreed on the best basin:"
    )
    assert result.message.endswith("Raise max_evaluations to be surer.")


@pytest.mark.slow
def test_a_needle_on_a_plateau_is_found():
    """Easom's function, which is flat at nearly all starts."""
    easom = lambda x: -jnp.prod(jnp.cos(x)) * jnp.exp(-jnp.sum((x - jnp.pi) ** 2))
    result = minimize(easom, jnp.full(2, -50.0), key=KEY, bounds=[(-100.0, 100.0)] * 2)
    assert result.fun == pytest.approx(-1, abs=1e-5)
    np.testing.assert_allclose(result.x, np.pi, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "bounds",
    [
        [(0.0, 0.7), (None, 0.5), (2.0, np.inf)],
        Bounds([0, -np.inf, 2], [0.7, 0.5, np.inf]),
    ],
)
def test_minima_on_walls(bounds):
    """float32 rounds into the box, never out of it."""
    well = Well(jnp.array([1.0, 2.0, 4.0]), jnp.ones(3))
    result = minimize(well, jnp.array([0.35, 0.0, 2.0]), key=KEY, bounds=bounds)
    assert result.success
    np.testing.assert_allclose(result.x, [0.7, 0.5, 2.0], rtol=1e-6)
    assert result.jac[0] < 0 < result.jac[2]
    assert float(result.x[0]) <= 0.7


@pytest.mark.slow
def test_units_of_coordinates_do_not_matter_without_bounds():
    """x0 sets them: coordinates of 1e-6 and 1e6, whose well is at twice x0."""
    with jax.enable_x64():
        x0 = jnp.array([1e-6, 1e6])
        result = minimize(lambda x: two_wells(x / x0 - 3.0), x0, key=KEY)
    assert result.success
    np.testing.assert_allclose(result.x, [1.9644e-6, 1.9644e6], rtol=1e-3)


class Counted:
    """A function of NumPy arrays that counts its calls, and fails where the first coordinate is above `edge`."""

    def __init__(self, fun, edge=np.inf):
        self.fun, self.edge, self.calls = fun, edge, 0

    def __call__(self, x):
        self.calls += 1
        assert type(x) is np.ndarray
        assert x.dtype == np.float64
        if x[0] > self.edge:
            raise ArithmeticError("a pump is too fast")
        value = float(self.fun(x))
        x[:] = np.nan  # a function may overwrite its argument
        return value


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def by_values(fun, d=5, **options):
    pytest.importorskip("cma")
    options = {"bounds": [(-5.0, 5.0)] * d, "use_gradients": False} | options
    return minimize(fun, np.full(d, -1.0), key=KEY, **options)


@pytest.mark.parametrize("budget", [1, 9, 2_000])
def test_a_function_of_numpy_is_called_as_often_as_is_counted(budget):
    fun = Counted(rosenbrock)
    result = by_values(fun, max_evaluations=budget)
    assert fun.calls == result.nfev == budget
    assert result.njev == 0
    assert "jac" not in result
    assert result.history["nfev"].max(initial=0) <= budget


def test_values_alone_lead_to_a_minimum_to_rounding_and_agree():
    fun = Counted(lambda x: np.sum(np.array([1, 1e4]) * (x - 1.25) ** 2))
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    result = by_values(fun, 2)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert result.success
    assert fun.calls == result.nfev < 20_000
    assert result.x.dtype == np.float64
    np.testing.assert_allclose(result.x, 1.25, atol=1e-8)
    assert (result.expected_better_basins, result.missable_share) == (0.1, 3 / 13)
    assert re.search("13 of 13 evolutions ended at the best value", result.message)


def test_a_place_where_the_function_raises_counts_as_nan_and_is_named():
    fun = Counted(lambda x: np.sum((x - 0.5) ** 2), edge=1.0)
    result = by_values(fun, 2, max_evaluations=600)
    nan = lambda x: np.nan if x[0] > 1 else np.sum((x - 0.5) ** 2)
    assert result.fun == by_values(nan, 2, max_evaluations=600).fun < 1e-9
    assert fun.calls == result.nfev == 600
    counts = re.search(
        r"raised at (\d+) places, which count as NaN; first", result.message
    )
    assert 0 < int(counts[1]) < 600
    assert result.message.endswith("ArithmeticError: a pump is too fast")
    with pytest.raises(ArithmeticError):  # at x0
        by_values(Counted(np.sum, edge=-2.0))


def test_a_batch_of_values_is_what_workers_get():
    fun = Counted(rosenbrock)
    sizes = []

    def many(one, positions):
        places = np.stack(list(positions))
        sizes.append(len(places))
        return np.sum(
            100 * (places[:, 1:] - places[:, :-1] ** 2) ** 2
            + (1 - places[:, :-1]) ** 2,
            axis=1,
        )

    alone = by_values(fun, max_evaluations=300)
    result = by_values(fun, max_evaluations=300, workers=many)
    assert fun.calls == 301 == 2 + sum(sizes)
    assert result.nfev == 300
    assert sizes[:2] == [8, 8]
    assert result.fun == pytest.approx(alone.fun, rel=1e-9)
    with refuses(ValueError, "workers 0 8 map"):
        by_values(fun, workers=lambda one, positions: [])


def test_positions_by_values_are_any_pytree():
    pytest.importorskip("cma")
    well = lambda p: float(np.sum((p["w"] - 2.0) ** 2) + (p["b"] + 1.0) ** 2)
    x0 = {"w": np.zeros((1, 2)), "b": np.array(0.0)}
    options = {"use_gradients": False, "max_evaluations": 1_500}
    result = minimize(well, x0, key=KEY, **options)
    np.testing.assert_allclose(result.x["w"], np.full((1, 2), 2.0), atol=1e-6)
    np.testing.assert_allclose(result.x["b"], -1.0, atol=1e-6)


def test_rows_are_counted_by_values():
    pytest.importorskip("cma")
    with jax.enable_x64():
        rows = jnp.linspace(0.0, 1.0, 7)
        problem = langevax.FiniteSum(lambda x, row: jnp.sum((x - row) ** 2), rows)
        x0 = np.zeros(2)
        options = {"use_gradients": False, "max_evaluations": 400}
        result = minimize(problem, x0, key=KEY, **options)
    assert result.nfev == 400 * 7
    np.testing.assert_allclose(result.x, 0.5, atol=1e-6)


@pytest.mark.slow
def test_a_basin_that_agreeing_searches_missed_is_smaller_than_they_say():
    """A narrow deepest well beside two broad ones, whose share is that of 400 searches."""
    centers = jnp.array([[3.0, 3, 3], [-2, -2, -2], [0, 2, -3]])
    depths, widths = jnp.array([1.0, 0.8, 0.6]), jnp.array([0.25, 1.0, 1.0])

    def wells(x):
        squares = jnp.sum((x - centers) ** 2, axis=1)
        return -jnp.sum(depths * jnp.exp(-squares / (2 * widths**2)))

    box = [(-5.0, 5.0)] * 3
    results = [
        minimize(wells, jnp.zeros(3), key=jax.random.key(seed), bounds=box)
        for seed in range(4)
    ]
    missed = [r for r in results if r.success and r.fun > -0.9]
    assert missed
    drawn = np.random.default_rng(0).uniform(-5, 5, (400, 8, 3)).astype(np.float32)
    best = np.argmin(jax.vmap(jax.vmap(wells))(drawn), axis=1)
    starts = drawn[np.arange(400), best]
    frame = units(3, -5.0, 5.0, np.float32)
    ends = local_searches(Function(wells), frame, starts, 400, 1000)
    share = np.mean(ends.fun < -0.9)
    assert all(share < r.missable_share for r in missed)
    assert all(f"less than {r.missable_share:.2%} of" in r.message for r in missed)


@pytest.mark.slow
def test_a_sum_over_rows_counts_each_row():
    """A line through rows of which two fifths belong to another: both minima, the better one."""
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-1, 1, 8000).astype(np.float32)
    slopes = np.where(np.arange(8000) < 4800, 1.0, -1.0)
    targets = np.float32(slopes * inputs + 0.05 * rng.normal(size=8000))
    welsch = lambda slope, row: 1 - jnp.exp(-((row[1] - slope * row[0]) ** 2) / 0.02)
    rows = langevax.FiniteSum(welsch, (inputs, targets))
    line = minimize(rows, jnp.array(-1.2), key=KEY, bounds=[(-3.0, 3.0)])
    assert line.x == pytest.approx(1, abs=0.01)
    assert len(line.basins) >= 2
    assert line.fun == pytest.approx(
        float(rows.potential(jnp.asarray(line.x))), abs=1e-6
    )
    assert line.nfev % 8000 == 0


@pytest.mark.slow
@pytest.mark.parametrize("x0", [{"w": jnp.full((2, 2), 0.7), "b": jnp.array(0.8)}, 0.7])
def test_positions_are_any_pytree(x0):
    """With bounds, which go leaf after leaf: b first, whose wall is at 0.5."""

    def fun(x):
        return sum(jnp.sum((leaf - 0.4) ** 2) for leaf in jax.tree.leaves(x))

    size = sum(np.size(leaf) for leaf in jax.tree.leaves(x0))
    result = minimize(fun, x0, key=KEY, bounds=[(0.5, 2), *[(-1, 1)] * (size - 1)])
    for tree in (result.x, result.jac, result.basins[0].x):
        assert jax.tree.structure(tree) == jax.tree.structure(x0)
        assert all(
            jax.tree.leaves(
                jax.tree.map(lambda leaf, like: leaf.shape == np.shape(like), tree, x0)
            )
        )
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(result.x)])
    np.testing.assert_allclose(flat, [0.5, *[0.4] * (size - 1)], atol=1e-3)


@pytest.mark.parametrize("x0", [[1, 2], (1, 2.0), [1, jnp.float32(2)]])
def test_whole_numbers_of_python_are_floats_as_in_scipy(x0):
    result = minimize(
        lambda x: two_wells(jnp.stack(x) if isinstance(x, list | tuple) else x),
        x0,
        key=KEY,
    )
    np.testing.assert_allclose(
        np.stack(jax.tree.leaves(result.x)).ravel(), -1.0356, atol=1e-3
    )


@pytest.mark.slow
def test_starts_may_be_drawn_by_a_function():
    result = minimize(
        two_wells,
        lambda key: jax.random.uniform(key, (2,), jnp.float32, 0.5, 1.5),
        key=KEY,
    )
    assert result.basins[0].fun == result.fun <= 0.5921


# -- SciPy's habits -----------------------------------------------------------------------------------------------


def test_callbacks_are_called_as_scipy_does():
    states, points = [], []

    def stop_by_exception(intermediate_result):
        states.append(intermediate_result)
        if len(states) == 3:
            raise StopIteration

    result = minimize(
        rastrigin, jnp.ones(2), key=KEY, bounds=BOX, callback=stop_by_exception
    )
    assert (result.status, result.success) == (99, False)
    assert result.message.startswith(
        f"Stopped by the callback after {states[2].nit} local searches: "
    )
    assert [state.nit for state in states[:2]] == [1, 4]
    assert states[2].nit == result.nit > 4  # what a scan along the axes led to
    assert states[0].fun >= states[1].fun >= states[2].fun
    assert states[2].nfev == result.history["nfev"][2]
    minimize(
        rastrigin,
        jnp.ones(2),
        key=KEY,
        bounds=BOX,
        callback=lambda x: points.append(x),
        max_evaluations=500,
    )
    assert points[0].shape == (2,)
    with refuses(TypeError, "callback None 1"):
        minimize(rastrigin, jnp.ones(2), key=KEY, bounds=BOX, callback=lambda x: 1)


@pytest.mark.slow
def test_the_key_decides():
    options = {"bounds": BOX, "max_evaluations": 2000}
    one, same = (
        minimize(rastrigin, jnp.ones(2), key=jax.random.key(7), **options)
        for _ in range(2)
    )
    other = minimize(rastrigin, jnp.ones(2), key=jax.random.key(8), **options)
    np.testing.assert_array_equal(one.history["fun"], same.history["fun"])
    assert one.nfev == same.nfev != other.nfev


@pytest.mark.slow
def test_two_calls_compile_once():
    """Whatever the key, the start, the bounds, and the budget."""
    traces = []

    def counted(x):
        traces.append(x)
        return jnp.sum(x**4 - x**2)

    minimize(counted, jnp.array([0.1, 0.2]), key=KEY, bounds=[(-3, 3)] * 2)
    first = len(traces)
    minimize(
        counted,
        jnp.array([0.5, 0.7]),
        key=jax.random.key(5),
        bounds=[(-2, 4)] * 2,
        max_evaluations=5000,
    )
    assert (
        len(traces) <= first + 2
    )  # which ask for shapes alone, and for the value at x0


# -- honest words and bad input -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_kink_is_not_a_minimum_to_rounding():
    result = minimize(
        lambda x: jnp.sum(jnp.abs(x)), jnp.ones(2), key=KEY, max_evaluations=2000
    )
    assert (result.success, result.status) == (False, 2)
    tells(result.message, "x")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fun", [jnp.sum, lambda x: -jnp.sum(x**2), lambda x: jnp.sum(x**3)]
)
def test_a_function_without_a_minimum_falls_without_end(fun):
    result = minimize(fun, jnp.ones(2), key=KEY, max_evaluations=5000)
    assert (result.success, result.status) == (False, 3)
    assert re.match(
        r"fun falls without end: at x = \[.*\] it is -.*; pass bounds\.", result.message
    )


def refused(fun=two_wells, x0=(0.5, 0.5), **options):
    return lambda: minimize(
        fun, jnp.asarray(x0) if isinstance(x0, tuple) else x0, **{"key": KEY} | options
    )


REFUSED = {
    "a seed": (
        refused(key=0),
        TypeError,
        "key jax.random.key(seed)",
    ),
    "fun that is not a function": (
        refused(fun=3.0),
        TypeError,
        "fun",
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
    "values that are NaN": (
        refused(fun=lambda x: float("nan"), use_gradients=False, x0=np.ones(2)),
        ValueError,
        "fun x0 nan",
    ),
    "fun that is NaN at every start": (
        refused(
            fun=lambda x: jnp.sum(jnp.log(x)),
            x0=lambda key: -jax.random.uniform(key, (2,)) - 1,
        ),
        ValueError,
        "fun 16",
    ),
    "a constant": (
        refused(fun=lambda x: 0.0 * jnp.sum(x) + 7),
        ValueError,
        "fun 7 x0",
    ),
    "an array of integers": (
        refused(x0=(1, 2)),
        TypeError,
        "x0 int32 x0.astype(float)",
    ),
    "x0 outside": (
        refused(bounds=[(0, 1), (1, 2)]),
        ValueError,
        "x0[1] 0.5 bounds[1] 1.0 2.0",
    ),
    "a bound that is NaN": (
        refused(bounds=[(0, 1), (0, np.nan)]),
        ValueError,
        "bounds[1] 0.0 nan None",
    ),
    "bounds upside down": (
        refused(bounds=[(0, 1), (2, -2)]),
        ValueError,
        "bounds[1] 2.0 -2.0",
    ),
    "a bound of one number": (
        refused(bounds=[(0.5, 0.5), (0, 1)]),
        ValueError,
        "bounds[0] 0.5",
    ),
    "fun without a value": (
        refused(fun=lambda x: None),
        TypeError,
        "fun None",
    ),
    "fun that is a word": (
        refused(fun=lambda x: "low"),
        TypeError,
        "fun 'low'",
    ),
    "no evaluations": (
        refused(max_evaluations=0),
        ValueError,
        "max_evaluations 1 0",
    ),
    "a part of an evaluation": (
        refused(max_evaluations=1e3),
        TypeError,
        "max_evaluations",
    ),
    "basins of nothing": (
        refused(max_better_basins=0.0),
        ValueError,
        "max_better_basins 0 0.0",
    ),
    "gradients by a word": (
        refused(use_gradients="no"),
        TypeError,
        "use_gradients",
    ),
    "an annealing": (
        refused(temperature=1.0),
        TypeError,
        "'temperature'",
    ),
}


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_named(name):
    call, error, facts = REFUSED[name]
    with refuses(error, facts):
        call()


@pytest.mark.slow
def test_progress_is_the_share_of_the_budget_and_the_lowest_value():
    seen = []
    result = minimize(
        lambda x: jnp.sum(x**2),
        jnp.ones(2),
        key=jax.random.key(0),
        run=langevax.Run(progress=lambda words, share: seen.append((words, share))),
    )
    shares = [share for _, share in seen]
    assert 0 < shares[0] <= shares[-1] <= 1
    assert shares == sorted(shares)
    assert seen[-1][0] == f"minimize: lowest {result.fun:.6g}"
