"""FiniteSum against plain whole-array formulas and autodiff: value, gradients, weights, padding, blocks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import FiniteSum, trees
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

N, D, USED = 11, 3, 7
BATCH = [3, 0, 3, 6]

call = eqx.filter_jit(lambda function, *arguments: function(*arguments))


def logistic(position, row):
    x, y = row
    return jnp.logaddexp(0.0, -y * (x @ position["w"] + position["b"]))


def regularizer(position):
    return jnp.sum(position["w"] ** 4) / 4 + jnp.sin(position["b"])


def rows(seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(N, D))), jnp.asarray(
        np.sign(rng.normal(size=N))
    )


def position(seed=1):
    rng = np.random.default_rng(seed)
    return {"w": jnp.asarray(rng.normal(size=D)), "b": jnp.asarray(rng.normal())}


@eqx.filter_jit
def numbers(problem, x):
    """Everything a problem says of a position, in one program."""
    value, gradient = problem.value_and_gradient(x)
    potential, potential_gradient = problem.potential_and_gradient(x)
    return {
        "value": (problem.value(x), value),
        "gradient": (problem.gradient(x), gradient),
        "batch": problem.gradient_at(x, jnp.array(BATCH, jnp.int32)),
        "components": problem.gradients_at(x, jnp.arange(USED, dtype=jnp.int32)),
        "potential": (problem.potential(x), potential),
        "potential_gradient": (problem.potential_gradient(x), potential_gradient),
    }


@jax.jit
def row_losses(x, data):
    """The loss of each row without the regularizer, as a formula on all rows at once, and its Jacobian."""

    def losses(x):
        return jnp.logaddexp(0.0, -data[1] * (data[0] @ x["w"] + x["b"]))

    return losses(x), jax.jacrev(losses)(x), jax.value_and_grad(regularizer)(x)


def expected(x, data, weights=None):
    """`numbers`, precision left out, from `row_losses` by NumPy; weights are scaled to mean one."""
    values, jacobian, (extra, extra_gradient) = jax.tree.map(
        np.asarray, row_losses(x, data)
    )
    weights = (
        np.ones(len(values))
        if weights is None
        else weights * len(values) / np.sum(weights)
    )
    components = jax.tree.map(
        lambda j, e: weights.reshape(-1, *(1,) * (j.ndim - 1)) * j + e,
        jacobian,
        extra_gradient,
    )
    mean = lambda rows: jax.tree.map(lambda c: c[rows].mean(axis=0), components)
    return {
        "value": 2 * (np.mean(weights * values) + extra,),
        "gradient": 2 * (mean(slice(None)),),
        "batch": mean(BATCH),
        "components": jax.tree.map(lambda c: c[:USED], components),
    }


def assert_close(actual, expected, tolerance=1e-13):
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance),
        actual,
        expected,
    )


def assert_agree(measured, expected, tolerance=1e-13):
    assert_close({name: measured[name] for name in expected}, expected, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_values_and_gradients_are_means_over_rows_plus_the_regularizer(weighted):
    """On the whole, on a batch in which a row may come twice, and on single rows; weights are scaled to mean one."""
    with jax.enable_x64():
        data, x = rows(), position()
        weights = np.random.default_rng(2).uniform(size=N) if weighted else None
        problem = FiniteSum(logistic, data, regularizer, weights=weights)
        assert_agree(numbers(problem, x), expected(x, data, weights))
        assert problem.size == problem.max_size == N


def test_the_regularizer_counts_in_full_in_every_component():
    """Not 1/n of it: a batch of any size carries it once."""
    data, x = rows(), position()
    with_it, without = FiniteSum(logistic, data, regularizer), FiniteSum(logistic, data)

    def extras(x):
        batch = trees.subtract(
            *(p.gradient_at(x, jnp.array([0, 5, 5])) for p in (with_it, without))
        )
        components = trees.subtract(
            *(p.gradients_at(x, jnp.array([7, 2])) for p in (with_it, without))
        )
        return jax.grad(regularizer)(x), batch, components

    extra, batch, components = call(extras, x)
    assert_close(batch, extra, 1e-5)
    assert_close(
        components,
        jax.tree.map(lambda e: np.broadcast_to(e, (2, *e.shape)), extra),
        1e-5,
    )


@pytest.mark.slow
def test_the_potential_is_the_value_and_half_the_precision_times_the_square():
    with jax.enable_x64():
        data, x = rows(), position()
        precision = {"w": np.array([0.5, 2.0, 0.0]), "b": np.array(3.0)}
        measured, plain = (
            numbers(FiniteSum(logistic, data, regularizer, precision), x),
            expected(x, data),
        )
        assert_agree(measured, plain)  # which leave the quadratic part out
        quadratic = (
            0.5 * x["w"][0] ** 2 + 2.0 * x["w"][1] ** 2 + 3.0 * x["b"] ** 2
        ) / 2
        assert_close(measured["potential"], 2 * (plain["value"][0] + quadratic,))
        gradient = jax.tree.map(
            lambda g, p, x: g + p * x, plain["gradient"][0], precision, x
        )
        assert_close(measured["potential_gradient"], 2 * (gradient,))


def test_integer_weights_are_repeated_rows():
    with jax.enable_x64():
        data, x = rows(), position()
        repeats = np.array([1, 0, 2, 1, 3, 0, 0, 1, 1, 5, 1])
        repeated = jax.tree.map(
            lambda a: jnp.asarray(np.repeat(a, repeats, axis=0)), data
        )
        measured, plain = (
            numbers(FiniteSum(logistic, data, regularizer, weights=repeats), x),
            expected(x, repeated),
        )
        assert_close(measured["value"], plain["value"])
        assert_close(measured["gradient"], plain["gradient"])


@pytest.mark.parametrize(("weighted", "block_size"), [(False, 4), (True, 16384)])
def test_padding_does_not_matter(weighted, block_size):
    """Seven rows in use of eleven, the others junk; the weights of junk rows do not matter either."""
    with jax.enable_x64():
        data, x = rows(), position()
        weights = np.random.default_rng(2).uniform(0.1, 1, size=N) if weighted else None
        used = expected(
            x,
            jax.tree.map(lambda a: a[:USED], data),
            None if weights is None else weights[:USED],
        )
        for junk in (0.0, -1e6):
            padded = jax.tree.map(lambda a, junk=junk: a.at[USED:].set(junk), data)
            if weights is not None:
                weights[USED:] = abs(junk)
            problem = FiniteSum(
                logistic,
                padded,
                regularizer,
                weights=weights,
                count=USED,
                block_size=block_size,
            )
            assert_agree(numbers(problem, x), used, 1e-9)
            assert int(problem.size) == USED


def test_another_count_is_the_same_program():
    """Through `simulate`, with count, weights, precision and step size all changed: the loss is traced once."""
    traced = 0

    def loss(x, row):
        nonlocal traced
        traced += 1
        return row * x

    def run(count, weights, precision, step_size):
        problem = FiniteSum(
            loss,
            np.arange(6, dtype=np.float32),
            None,
            precision,
            weights=weights,
            count=count,
        )
        langevin = langevax.Langevin(step_size, 0.0)
        result = langevax.simulate(
            langevin, problem, jnp.zeros(()), key=jax.random.key(0), num_steps=5
        )
        return result.evaluations, float(result.position)

    ones = np.ones(6, np.float32)
    assert run(6, ones, 0.0, 0.1) == (30, pytest.approx(-5 * 0.1 * 2.5))
    first = traced
    assert first > 0
    assert run(3, ones, 0.0, 0.2) == (15, pytest.approx(-5 * 0.2 * 1.0))
    assert run(2, np.arange(6.0), 0.5, 0.2)[0] == 10
    assert traced == first


@pytest.mark.parametrize(
    ("block_size", "enabled", "tolerance"),
    [(1, True, 1e-14), (4, True, 1e-14), (4, False, 2e-6)],
)
def test_numbers_do_not_depend_on_the_block(block_size, enabled, tolerance):
    """To rounding in float32 and float64: blocks of one row, and blocks with a remainder."""
    with jax.enable_x64(enabled):
        data, x = rows(), position()
        problem = FiniteSum(logistic, data, regularizer, block_size=block_size)
        value, gradient = call(problem.value_and_gradient, x)
        plain = expected(x, data)
        assert_close(
            (value, gradient), (plain["value"][0], plain["gradient"][0]), tolerance
        )
        assert gradient["w"].dtype == (jnp.float64 if enabled else jnp.float32)


def test_a_gradient_has_the_positions_dtype():
    """float16 positions on float32 rows are the user's loss to promote; here it casts the row down."""
    problem = FiniteSum(
        lambda x, row: jnp.sum(x * row.astype(x.dtype)), jnp.ones((4, 2)), precision=1.0
    )
    assert call(problem.gradient, jnp.ones(2, jnp.float16)).dtype == jnp.float16
    assert (
        call(problem.potential_gradient, jnp.ones(2, jnp.float16)).dtype == jnp.float16
    )


@pytest.mark.parametrize(
    ("arguments", "error", "facts"),
    [
        ({"data": ()}, ValueError, "data"),
        ({"data": np.zeros((0, 2))}, ValueError, "empty"),
        ({"data": (np.zeros(3), np.zeros(4))}, ValueError, ""),
        ({"data": np.array([1.0, np.nan])}, ValueError, "data[1] nan"),
        ({"precision": -1.0}, ValueError, "precision"),
        ({"precision": {"w": 1.0, "b": np.inf}}, ValueError, "precision"),
        ({"weights": [1.0]}, ValueError, "weights"),
        ({"count": 5}, ValueError, "count"),
        ({"block_size": 0}, ValueError, "block_size"),
    ],
)
def test_a_mistake_is_named(arguments, error, facts):
    good = {"loss": lambda x, row: x * row, "data": np.ones(4, np.float32)}
    with refuses(error, facts):
        FiniteSum(**(good | arguments))


def test_a_loss_that_is_not_scalar_is_named_at_first_use():
    with refuses(ValueError):
        FiniteSum(lambda x, row: x * row, jnp.ones((4, 2))).value(jnp.ones(2))


@pytest.mark.slow
def test_a_sum_over_other_rows_keeps_loss_regularizer_precision_and_blocks():
    with jax.enable_x64():
        x, other = position(), rows(seed=5)
        problem = FiniteSum(logistic, rows(), regularizer, precision=0.5, block_size=3)
        measured = problem.over(other, USED)
        assert_agree(
            numbers(measured, x),
            numbers(FiniteSum(logistic, other, regularizer, 0.5, count=USED), x),
        )
        assert (measured.block_size, measured.size, problem.over(other).size) == (
            3,
            USED,
            N,
        )


def test_weights_are_those_of_their_own_rows():
    with refuses(ValueError, "weights"):
        FiniteSum(logistic, rows(), weights=np.ones(N)).over(rows())


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (
            lambda wide: FiniteSum(logistic, {"id": wide}),
            "data['id'][2 0 8589934597 JAX int32",
        ),
        (
            lambda wide: FiniteSum(logistic, -wide),
            "data[2 0 -8589934597 enable_x64",
        ),
        (
            lambda wide: FiniteSum(logistic, wide.astype(np.uint64)),
            "data[2 0 8589934597 uint32",
        ),
        (
            lambda wide: langevax.Federation(logistic, wide[None]),
            "data[0 2 0 8589934597",
        ),
        (
            lambda wide: mean_field(wide.tolist(), np.zeros(3)),
            "inputs[2 0 8589934597",
        ),
        (
            lambda wide: mean_field(np.zeros((3, 1)), wide[:, 0]),
            "targets[2] 8589934597",
        ),
        (
            lambda wide: mean_field(np.zeros((3, 1)), np.zeros(3)).outputs(
                jnp.zeros((4, 2)), wide
            ),
            "inputs[2 0",
        ),
    ],
    ids=["path", "negative", "unsigned", "federation", "list", "targets", "outputs"],
)
def test_an_integer_that_would_be_cut_is_named(make, facts):
    with refuses(ValueError, facts):
        make(np.array([[1], [2**31 - 1], [2**33 + 5]]))


def test_integers_that_fit_are_kept():
    ends = np.array([-(2**31), 2**31 - 1])
    assert FiniteSum(logistic, ends).data.tolist() == ends.tolist()
    with jax.enable_x64():
        assert FiniteSum(logistic, ends * 4).data.tolist() == (ends * 4).tolist()


def mean_field(inputs, targets):
    return langevax.MeanFieldRisk(
        langevax.neurons.Tanh(), langevax.losses.squared, inputs, targets
    )


@pytest.mark.slow
@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 2, 30)])
def test_rows_apart_are_in_every_batch_of_the_same_potential(weights):
    """Against the problem itself; a batch of the other rows has the gradients of those apart, and of no other."""
    rng = np.random.default_rng(0)
    data = jnp.float32(rng.normal(size=(30, 2)))
    loss = lambda x, row: jnp.sum((row * x - 1) ** 4)
    ridge = lambda x: jnp.sum(x**4)
    problem = langevax.FiniteSum(loss, data, ridge, 0.3, weights)
    every = jnp.array([3, 7], jnp.int32)
    apart = problem.with_rows_apart(every)
    x = jnp.array([0.4, -0.9])
    for name in ("potential", "potential_gradient"):
        np.testing.assert_allclose(
            getattr(apart, name)(x), getattr(problem, name)(x), rtol=1e-5
        )
    shares = np.ones(30) if weights is None else weights / weights.mean()
    slopes = np.stack([jax.grad(loss)(x, row) for row in data])
    always = (shares[[3, 7], None] * slopes[[3, 7]]).sum(0) / 30
    always = always + np.asarray(jax.grad(ridge)(x))
    np.testing.assert_allclose(apart.gradient_at(x, every), always, rtol=1e-4)
    one = jnp.array([5], jnp.int32)
    np.testing.assert_allclose(
        apart.gradient_at(x, one), always + shares[5] * slopes[5], rtol=1e-4
    )
    all_rows = jnp.arange(30, dtype=jnp.int32)
    np.testing.assert_allclose(
        apart.gradients_at(x, all_rows).mean(0), problem.gradient(x), rtol=1e-4
    )
