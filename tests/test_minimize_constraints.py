"""Constraints of `minimize`: known optima, SciPy's local solver from their places, honest words, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint

import langevax
from langevax.optimize import minimize, penalties
from tests.sentences import refuses, tells

pytestmark = pytest.mark.mostly_compiling

KEY = jax.random.key(0)
BOX = [(-2.0, 2.0)] * 2


def total(x):
    return jnp.sum(x)


def squares(x):
    return jnp.sum(x**2)


def quadratic(x):
    """The square of the distance from (1, 2)."""
    return (x[0] - 1) ** 2 + (x[1] - 2) ** 2


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def bird(x):
    """Mishra's."""
    waves = jnp.sin(x[1]) * jnp.exp((1 - jnp.cos(x[0])) ** 2) + jnp.cos(x[0]) * jnp.exp(
        (1 - jnp.sin(x[1])) ** 2
    )
    return waves + (x[0] - x[1]) ** 2


def keane(x):
    """Keane's bump."""
    c = jnp.cos(x)
    return -jnp.abs(jnp.sum(c**4) - 2 * jnp.prod(c**2)) / jnp.sqrt(
        x[0] ** 2 + 2 * x[1] ** 2
    )


def hock_schittkowski_71(x):
    return x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2]


ROOT = np.sqrt(0.5)
PROBLEMS = {
    # the Lagrange condition 2 (x - (1, 2)) = -l (1, 1) with x + y = 1
    "quadratic": (
        quadratic,
        [0, 0],
        [(-5, 5)] * 2,
        LinearConstraint([[1, 1]], -np.inf, 1),
        2.0,
        (0, 1),
    ),
    "disc": (
        total,
        [0, 0],
        BOX,
        NonlinearConstraint(squares, -np.inf, 1),
        -2 * ROOT,
        (-ROOT, -ROOT),
    ),
    "circle": (
        total,
        [0.5, 0],
        None,
        {"type": "eq", "fun": lambda x: squares(x) - 1},
        -2 * ROOT,
        (-ROOT, -ROOT),
    ),
    "rosenbrock": (
        rosenbrock,
        [0, 0],
        BOX,
        {"type": "ineq", "fun": lambda x: 2 - squares(x)},
        0.0,
        (1, 1),
    ),
    "bird": (
        bird,
        [-5, -5],
        [(-10, 0), (-6.5, 0)],
        [{"type": "ineq", "fun": lambda x: 25 - squares(x + 5)}],
        -106.7645367,
        (-3.1302468, -1.5821422),
    ),
    "keane": (
        keane,
        [3, 2],
        [(0, 10)] * 2,
        [
            NonlinearConstraint(jnp.prod, 0.75, np.inf),
            LinearConstraint([1, 1], -np.inf, 15),
        ],
        -0.36497975,
        (1.600860, 0.468498),
    ),
    "hs71": (
        hock_schittkowski_71,
        [1, 5, 5, 1],
        [(1, 5)] * 4,
        [
            NonlinearConstraint(jnp.prod, 25, np.inf),
            NonlinearConstraint(squares, 40, 40),
        ],
        17.0140173,
        (1, 4.7429994, 3.8211503, 1.3794082),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_known_optima_to_the_digits_of_the_books_which_slsqp_does_not_improve(name):
    fun, start, bounds, constraints, lowest, place = PROBLEMS[name]
    with jax.enable_x64():
        result = minimize(
            fun,
            jnp.asarray(start, float),
            key=KEY,
            bounds=bounds,
            constraints=constraints,
        )
        assert result.success or (name == "keane" and result.status == 1)  # many basins
        assert result.fun == pytest.approx(lowest, abs=2e-7)
        np.testing.assert_allclose(result.x, place, atol=1e-6)
        assert float(fun(jnp.asarray(result.x))) == pytest.approx(result.fun, rel=1e-12)
        np.testing.assert_allclose(
            result.jac, jax.grad(fun)(jnp.asarray(result.x)), rtol=1e-6, atol=1e-7
        )
        assert result.maxcv <= 1e-6
        assert result.nfev + 3 * result.njev <= 10_000 * len(start)
        assert result.message.startswith(
            "Penalties lead to basins, which SLSQP refines: the largest violation is"
        )
        local = scipy.optimize.minimize(
            fun,
            result.x,
            jac=jax.grad(fun),
            bounds=bounds,
            constraints=constraints,
            method="SLSQP",
        )
        assert local.fun >= result.fun - 1e-5
        best = result.basins[0]
        assert best.fun == result.fun
        assert [b.fun for b in result.basins] == sorted(b.fun for b in result.basins)
        assert all(
            b.fun == pytest.approx(float(fun(jnp.asarray(b.x))), rel=1e-12)
            for b in result.basins
        )


def test_maxcv_is_the_largest_violation_at_x():
    fun, start, bounds, constraints, *_ = PROBLEMS["disc"]
    with jax.enable_x64():
        result = minimize(
            fun,
            jnp.asarray(start, float),
            key=KEY,
            bounds=bounds,
            constraints=constraints,
        )
        assert result.maxcv == max(0.0, float(squares(jnp.asarray(result.x))) - 1)


@pytest.mark.slow
def test_float32_satisfies_constraints_to_its_own_rounding():
    fun, start, bounds, constraints, lowest, _place = PROBLEMS["disc"]
    result = minimize(
        fun,
        jnp.asarray(start, jnp.float32),
        key=KEY,
        bounds=bounds,
        constraints=constraints,
    )
    assert result.success
    assert result.maxcv < 2e-5
    assert result.fun == pytest.approx(lowest, abs=2e-5)


@pytest.mark.slow
def test_steep_constraints_are_judged_where_they_are_met_not_by_their_sizes_far_away():
    """x^10 is 1e10 at the ends of the box: a millionth of that would allow x = 1.26."""
    with jax.enable_x64():
        result = minimize(
            lambda x: x[1] ** 2 - x[0],
            jnp.zeros(2),
            key=KEY,
            bounds=[(-10, 10)] * 2,
            constraints=NonlinearConstraint(lambda x: x[0] ** 10, -np.inf, 1),
        )
    assert result.success
    np.testing.assert_allclose(result.x, [1, 0], atol=1e-5)


@pytest.mark.slow
def test_a_constraint_without_a_multiplier_is_met_as_closely():
    """x^2 = 0 has no gradient at 0, where alone it is met: the message says what the violation that is left is worth."""
    with jax.enable_x64():
        result = minimize(
            total,
            jnp.full(2, 0.5),
            key=KEY,
            bounds=BOX,
            constraints=NonlinearConstraint(lambda x: x**2, 0, 0),
        )
    np.testing.assert_allclose(result.x, 0, atol=1e-6)
    assert result.maxcv < 1e-12
    tells(result.message)


@pytest.mark.slow
def test_constraints_that_contradict_each_other_have_their_own_status():
    pair = [
        LinearConstraint([[1, 1]], -np.inf, -1),
        LinearConstraint([[1, 1]], 1, np.inf),
    ]
    result = minimize(quadratic, jnp.zeros(2), key=KEY, bounds=BOX, constraints=pair)
    assert result.status == 4
    assert not result.success
    assert not result.basins
    tells(result.message)
    side = float(jnp.sum(result.x))
    assert result.maxcv == pytest.approx(max(side + 1, 1 - side), rel=1e-5)
    assert result.maxcv < 1.5


@pytest.mark.slow
def test_functions_of_numpy():
    def fun(x):
        assert isinstance(x, np.ndarray)
        return float((1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)

    unit = {
        "type": "ineq",
        "fun": lambda x: 1 - float(np.asarray(x) @ np.asarray(x)),
    }
    result = minimize(
        fun, np.zeros(2), key=KEY, bounds=BOX, constraints=unit, use_gradients=False
    )
    assert result.success
    assert result.njev == 0
    assert result.fun == pytest.approx(0.0456748, abs=1e-6)
    local = scipy.optimize.minimize(fun, result.x, constraints=unit, method="SLSQP")
    assert local.fun >= result.fun - 1e-5


@pytest.mark.slow
def test_positions_are_pytrees_in_constraints_too():
    def fun(p):
        return (p["a"] - 1) ** 2 + jnp.sum((p["b"] - 2) ** 2)

    both = [
        {"type": "ineq", "fun": lambda p: 1 - p["a"] - p["b"][0]},
        LinearConstraint([[0, 0, 1]], 0.5, 0.5),
    ]
    with jax.enable_x64():
        start = {"a": jnp.zeros(()), "b": jnp.zeros(2)}
        result = minimize(fun, start, key=KEY, bounds=[(-5, 5)] * 3, constraints=both)
    np.testing.assert_allclose([result.x["a"], *result.x["b"]], [0, 1, 0.5], atol=1e-6)


@pytest.mark.slow
def test_refinements_compile_one_program():
    _fun, start, bounds, constraints, *_ = PROBLEMS["keane"]
    before = penalties._linearised._cached._cache_size()
    refined = penalties.Refinement.refined
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            penalties.Refinement,
            "refined",
            lambda self, y: (calls.append(1), refined(self, y))[1],
        )
        fun = lambda x: keane(x) + 0
        for key in jax.random.split(KEY):
            minimize(
                fun,
                jnp.asarray(start, jnp.float32),
                key=key,
                bounds=bounds,
                constraints=constraints,
            )
    assert len(calls) > 1
    assert penalties._linearised._cached._cache_size() - before == 1


@pytest.mark.slow
def test_no_success_and_no_overspending_on_a_small_budget():
    constraints = NonlinearConstraint(squares, -np.inf, 1)
    for budget in (60, 400):
        result = minimize(
            rosenbrock,
            jnp.zeros(2),
            key=KEY,
            bounds=BOX,
            constraints=constraints,
            max_evaluations=budget,
        )
        assert not result.success
        assert result.nfev + 3 * result.njev <= 1.5 * budget + 300


def test_a_callback_stops_it_with_a_place_that_satisfies_the_constraints():
    result = minimize(
        total,
        jnp.zeros(2),
        key=KEY,
        bounds=BOX,
        constraints=NonlinearConstraint(squares, -np.inf, 1),
        callback=lambda x: True,
    )
    assert result.status == 99
    assert not result.success
    assert result.maxcv < 1e-4


@pytest.mark.slow
def test_none_and_infinite_sides_are_no_constraints():
    for constraints in ([], (), NonlinearConstraint(squares, -np.inf, np.inf)):
        result = minimize(
            quadratic,
            jnp.zeros(2),
            key=KEY,
            bounds=BOX,
            constraints=constraints,
            max_evaluations=300,
        )
        assert "maxcv" not in result


BAD = [
    (3, TypeError, "constraints 3"),
    ([None], TypeError, "constraints[0] None"),
    (Bounds(0, 1), TypeError, ""),
    (
        {"type": "le", "fun": squares},
        ValueError,
        "constraints['type'] 'ineq' 'le'",
    ),
    ({"fun": squares}, ValueError, ""),
    ({"type": "eq", "fun": 3}, TypeError, "constraints.fun 3"),
    (
        NonlinearConstraint(squares, 2, 1),
        ValueError,
        "2.0 c(x) 1.0",
    ),
    (
        [NonlinearConstraint(squares, np.nan, 1)],
        ValueError,
        "constraints[0] nan",
    ),
    (NonlinearConstraint(squares, "a", 1), ValueError, "1"),
    (
        NonlinearConstraint(squares, 0, 1, keep_feasible=True),
        ValueError,
        "keep_feasible True",
    ),
    (
        NonlinearConstraint(lambda x: x, [0, 0, 0], 1),
        ValueError,
        "2",
    ),
    (
        LinearConstraint([[1, 1, 1]], 0, 1),
        ValueError,
        "(1, 3) x0 2",
    ),
    (
        LinearConstraint([[np.nan, 1]], 0, 1),
        ValueError,
        "",
    ),
    (
        NonlinearConstraint(lambda x: x > 0, 0, 1),
        TypeError,
        "",
    ),
    (
        NonlinearConstraint(lambda x: x.astype(complex), 0, 1),
        TypeError,
        "complex64",
    ),
    (
        NonlinearConstraint(lambda x: jnp.outer(x, x), 0, 1),
        ValueError,
        "(2, 2)",
    ),
    (
        NonlinearConstraint(lambda x: float(np.sum(x)), 0, 1),
        TypeError,
        "JAX use_gradients=False",
    ),
    (
        NonlinearConstraint(lambda x: jnp.log(x[0] - 1), 0, 1),
        ValueError,
        "constraints.fun x0 nan",
    ),
]


@pytest.mark.parametrize(("constraints", "error", "facts"), BAD)
def test_bad_constraints_end_in_a_sentence(constraints, error, facts):
    with refuses(error, facts):
        minimize(quadratic, jnp.zeros(2), key=KEY, constraints=constraints)


@pytest.mark.slow
def test_sums_over_rows_are_refused_with_the_way_that_works():
    rows = langevax.FiniteSum(lambda x, row: jnp.sum((x - row) ** 2), jnp.ones((5, 2)))
    half = LinearConstraint([[1, 1]], -np.inf, 1)
    with refuses(ValueError, "5 fun=problem.potential"):
        minimize(rows, jnp.zeros(2), key=KEY, constraints=half)
    result = minimize(
        rows.potential, jnp.zeros(2), key=KEY, bounds=BOX, constraints=half
    )
    np.testing.assert_allclose(result.x, [0.5, 0.5], atol=1e-4)
