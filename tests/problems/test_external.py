"""ExternalSum against FiniteSum with the same loss: alone, in loops, under vmap, as a client; and what it refuses."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax import ExternalSum, Federation, FiniteSum, federated
from langevax.federated import local
from langevax.federated.exchange import Periodic
from langevax.problems import host
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

N, D, USED = 11, 3, 7
BATCH = [3, 0, 3, 6]


def loss(position, row):
    x, y = row
    return (
        jnp.logaddexp(0.0, -y * (x @ position["w"] + position["b"]))
        + jnp.sum(position["w"] ** 4) / 4
    )


def value(position, rows):
    x, y = rows
    return (
        np.mean(np.logaddexp(0.0, -y * (x @ position["w"] + position["b"])))
        + np.sum(position["w"] ** 4) / 4
    )


def gradient(position, rows):
    x, y = rows
    slopes = -y / (1 + np.exp(y * (x @ position["w"] + position["b"])))
    return {"w": x.T @ slopes / len(y) + position["w"] ** 3, "b": slopes.mean()}


def rows(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(n, D))), jnp.asarray(
        np.sign(rng.normal(size=n))
    )


def position(seed=1):
    rng = np.random.default_rng(seed)
    return {"w": jnp.asarray(rng.normal(size=D)), "b": jnp.asarray(rng.normal())}


def numbers(problem, x):
    """Everything a problem says of a position."""
    both = problem.value_and_gradient(x)
    batch = problem.gradient_at(x, jnp.array(BATCH, jnp.int32))
    return (
        problem.value(x),
        problem.gradient(x),
        both,
        batch,
        problem.gradients_at(x, jnp.array(BATCH, jnp.int32)),
    )


def assert_close(actual, expected, tolerance):
    """In structure and dtypes too."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, jax.Array)
        assert a.dtype == e.dtype
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("x64", "tolerance"), [(True, 1e-12), (False, 1e-6)])
@pytest.mark.parametrize(("count", "block_size"), [(None, 100), (USED, 100), (USED, 3)])
def test_it_equals_a_finite_sum_of_the_same_loss(
    compiled, x64, tolerance, count, block_size
):
    with jax.enable_x64(x64):
        x, data = position(), rows()
        external = ExternalSum(
            gradient, data, value, count=count, block_size=block_size
        )
        actual = (eqx.filter_jit(numbers) if compiled else numbers)(external, x)
        assert_close(
            actual,
            eqx.filter_jit(numbers)(FiniteSum(loss, data, count=count), x),
            tolerance,
        )
        assert (external.max_size, int(external.size)) == (N, count or N)


@pytest.mark.slow
def test_the_quadratic_part_is_that_of_any_problem():
    x, data = position(), rows()
    external, finite = (
        ExternalSum(gradient, data, value, precision=0.5),
        FiniteSum(loss, data, precision=0.5),
    )
    assert_close(
        external.potential_and_gradient(x), finite.potential_and_gradient(x), 1e-6
    )


def test_rows_come_in_even_blocks_and_each_of_those_in_use_comes_once():
    seen = []

    def first_entries(position, rows):
        seen.append(rows.tolist())
        return np.full_like(position, rows.mean())

    problem = ExternalSum(first_entries, np.arange(12.0), count=10, block_size=4)
    assert problem.gradient(jnp.zeros(2)).tolist() == [4.5, 4.5]
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    del seen[:]
    problem.over(np.arange(9.0)).gradient(jnp.zeros(2))  # not 4, 4 and 1
    assert [len(block) for block in seen] == [3, 3, 3]


@pytest.fixture(params=["in place", "through JAX"])
def either_way(request, monkeypatch):
    """Both ways a compiled program calls the function, whatever the device."""
    if request.param == "through JAX":
        monkeypatch.setattr(
            host.lax, "platform_dependent", lambda *a, cpu, default: default(*a)
        )


@pytest.mark.slow
@pytest.mark.usefixtures("either_way")
def test_clients_side_by_side_in_a_loop_see_their_own_rows_and_no_padding():
    """Descent of three clients with 4, 1 and 5 rows of 5; the padding is NaN, which any look at it would spread."""
    counts, steps = jnp.array([4, 1, 5], jnp.int32), 3
    with jax.enable_x64():
        stacked = jax.tree.map(
            lambda *a: jnp.stack(a), *(rows(5, seed) for seed in range(3))
        )
        padding = jnp.arange(5, dtype=jnp.int32) >= counts[:, None]
        holes = (
            jnp.where(padding[..., None], jnp.nan, stacked[0]),
            jnp.where(padding, jnp.nan, stacked[1]),
        )

        def descend(problem):
            step = lambda x, _: (
                jax.tree.map(lambda a, g: a - g, x, problem.gradient(x)),
                None,
            )
            return jax.lax.scan(step, position(), length=steps)[0]

        external = jax.jit(
            jax.vmap(lambda r, n: descend(ExternalSum(gradient, r, count=n)))
        )(holes, counts)
        finite = jax.jit(jax.vmap(lambda r, n: descend(FiniteSum(loss, r, count=n))))(
            stacked, counts
        )
        assert_close(external, finite, 1e-12)


METHODS = {
    "FedAvg": federated.FedAvg(0.1, 3, batch_size=2),
    "SCAFFOLD": federated.SCAFFOLD(0.1, 3, batch_size=2),
    "MimeSGD": federated.MimeSGD(0.1, 3, batch_size=2),
    "FLEDGE": federated.FLEDGE(0.1, 3, batch_size=2),
}


def exchanges_of(method, clients):
    for exchange in (*method.initial_exchanges(), *method.exchanges(clients)):
        yield from (
            (exchange.first, exchange.otherwise)
            if isinstance(exchange, Periodic)
            else (exchange,)
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", list(METHODS))
def test_a_client_replies_as_one_with_a_loss_of_jax(name):
    """To every message of a method, from 7 of 11 rows, with the same memory afterwards."""
    with jax.enable_x64():
        method, x, data = METHODS[name], position(), rows()
        clients = Federation(loss, jax.tree.map(lambda a: a[None], data)).clients
        server = method.server(x, clients)
        memory = jax.tree.map(
            lambda m: jnp.zeros(m.shape, m.dtype) + m, method.memory(x)
        )

        @eqx.filter_jit
        def replies(client):
            answers = []
            for number, exchange in enumerate(exchanges_of(method, clients)):
                message, key = (
                    exchange.message(server, jnp.int32(0)),
                    jax.random.key(number),
                )
                own_memory = memory if exchange.uses_memory else ()
                answers.append(
                    exchange.reply(client, own_memory, message, key, jnp.int32(0))
                )
            return answers

        expected = replies(FiniteSum(loss, data, count=USED))
        assert_close(replies(ExternalSum(gradient, data, count=USED)), expected, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "function"), [(ExternalSum, gradient), (FiniteSum, loss)]
)
def test_a_batch_of_more_rows_than_a_client_has_is_all_of_them(kind, function):
    """The places beyond them are filled up and not counted."""
    client = kind(function, rows(), count=3)
    part = local.batch(client, jax.random.key(0), 5)
    assert (type(part), part.max_size, int(part.size)) == (type(client), 5, 3)
    assert_close(part.gradient(position()), client.gradient(position()), 1e-6)


@pytest.mark.slow
def test_a_whole_run_is_that_of_clients_with_a_loss_of_jax():
    class Externals(Federation):
        def client_of(self, rows, count):
            return ExternalSum(gradient, rows, count=count if self.padded else None)

    fedavg = federated.FedAvg(0.1, 3, batch_size=2, clients_per_round=2)
    with jax.enable_x64():
        clients = [rows(n, seed) for seed, n in enumerate((5, 2, 4))]
        ends = [
            langevax.simulate(
                fedavg,
                kind.of(loss, clients),
                position(),
                key=jax.random.key(0),
                num_steps=3,
            ).position
            for kind in (Externals, Federation)
        ]
        assert_close(*ends, 1e-12)


@pytest.mark.slow
def test_chains_of_langevin_dynamics_are_those_of_the_loss():
    sgld = langevax.Langevin(0.1, 0.01, langevax.gradients.Minibatch(batch_size=2))
    with jax.enable_x64():
        ends = [
            langevax.simulate(
                sgld, p, position(), key=jax.random.key(0), num_steps=4, num_chains=2
            ).position
            for p in (ExternalSum(gradient, rows()), FiniteSum(loss, rows()))
        ]
        assert_close(*ends, 1e-12)


def test_other_rows_and_the_same_functions_are_the_same_program():
    traces = []

    @eqx.filter_jit
    def compiled(problem, x):
        traces.append(1)
        return problem.gradient(x)

    x, problem = position(), ExternalSum(gradient, rows(), value, block_size=5)
    for seed in range(3):
        other = problem.over(rows(seed=seed), count=3 + seed)
        assert (other.value_function, other.block_size) == (value, 5)
        assert_close(
            compiled(other, x),
            FiniteSum(loss, rows(seed=seed), count=3 + seed).gradient(x),
            1e-6,
        )
    assert len(traces) == 1


@pytest.mark.usefixtures("either_way")
def test_the_function_may_keep_and_overwrite_what_it_is_given():
    calls = []

    def careless(x, rows):
        gradient = x - rows.mean(axis=0)
        calls.append((x, rows))
        x += 100
        rows *= 0
        return gradient

    x, data = jnp.array([1.0, 2.0]), jnp.ones((6, 2))
    problem = ExternalSum(careless, data, block_size=3)
    compiled = eqx.filter_jit(problem.gradient)(x)
    for gradient in (
        problem.gradient(x),
        compiled,
        problem.gradients_at(x, jnp.array([0, 1])),
    ):
        np.testing.assert_array_equal(gradient, np.broadcast_to([0, 1], gradient.shape))
    assert (x.tolist(), data.sum()) == ([1, 2], 12)
    assert all(np.array_equal(x, [101, 102]) and not rows.any() for x, rows in calls)


@pytest.mark.usefixtures("either_way")
def test_float64_results_are_rounded_and_what_is_not_finite_is_passed_on():
    """Also what is beyond float32, without a warning."""
    x, wide = jnp.zeros(4, jnp.float32), np.array([1 / 3, np.nan, -np.inf, 1e300])
    problem = ExternalSum(
        lambda x, rows: wide, jnp.ones((2, 1)), lambda x, rows: np.float64(1e300)
    )
    for wrapped in (lambda f: f, eqx.filter_jit):
        actual, beyond = wrapped(problem.gradient)(x), wrapped(problem.value)(x)
        assert actual.dtype == beyond.dtype == jnp.float32
        np.testing.assert_array_equal(
            actual, np.array([1 / 3, np.nan, -np.inf, np.inf], np.float32)
        )
        assert beyond == np.inf


def test_a_float64_position_of_numpy_is_rounded_as_jax_does():
    gradient = eqx.filter_jit(lambda problem: problem.gradient(np.ones(2)))(
        ExternalSum(lambda x, rows: x, jnp.ones(3))
    )
    assert (gradient.dtype, gradient.tolist()) == (jnp.float32, [1, 1])


def test_threads_take_turns():
    inside, most = [], []

    def slow(x, rows):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return x

    problem = ExternalSum(slow, jnp.ones(2))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(problem.gradient, [jnp.ones(3)] * 4))
    assert most == [1] * 4


def integers(x, rows):
    return {"w": np.zeros(D, int), "b": 0.0}


WRONG = {
    "another structure": (
        lambda x, rows: x["w"],
        "gradient 'w'",
    ),
    "nothing": (
        lambda x, rows: None,
        "gradient",
    ),
    "a sum's shape": (
        lambda x, rows: {"w": np.zeros((len(rows[1]), D)), "b": 0.0},
        "gradient['w'] (11, 3) (3,)",
    ),
    "integers": (
        integers,
        "gradient['w'] int64 (float32)",
    ),
    "its own mistake": (lambda x, rows: x["v"], "'v'"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_results_that_are_not_gradients_are_refused(name):
    function, facts = WRONG[name]
    problem, x = ExternalSum(function, rows()), position()
    for method in (problem.gradient, lambda x: problem.gradients_at(x, jnp.array([1]))):
        if "shape" in name and method != problem.gradient:
            continue  # the shape names the rows
        with refuses((ValueError, KeyError), facts):
            method(x)
        with refuses(jax.errors.JaxRuntimeError, facts) as caught:
            jax.block_until_ready(eqx.filter_jit(method)(x))
        assert str(caught.value).strip().splitlines()[-1].split(":")[0] in (
            "ValueError",
            "KeyError",
        )


@pytest.mark.parametrize("value", [np.zeros(3), 1, None])
def test_values_that_are_not_scalars_are_refused(value):
    problem = ExternalSum(gradient, rows(), lambda x, rows: value)
    with refuses(ValueError, "value"):
        problem.value(position())


def test_missing_values_are_requested():
    problem = ExternalSum(gradient, rows())
    for method in (
        problem.value,
        problem.value_and_gradient,
        eqx.filter_jit(problem.value),
    ):
        with refuses(ValueError, "value=function(position"):
            method(position())


@pytest.mark.parametrize(
    ("arguments", "error", "facts"),
    [
        ((None, jnp.ones(2)), TypeError, "gradient"),
        ((gradient, jnp.ones(2), 3.0), TypeError, "value"),
        ((gradient, jnp.array([1.0, jnp.nan])), ValueError, "data[1] nan"),
        ((gradient, jnp.ones((0, 2))), ValueError, "data"),
        (
            (gradient, jnp.ones(2), value, -1.0),
            ValueError,
            "precision 0",
        ),
        ((gradient, jnp.ones(2), value, 0.0, 3), ValueError, "count"),
        (
            (gradient, jnp.ones(2), value, 0.0, None, 0),
            ValueError,
            "block_size 1",
        ),
    ],
)
def test_invalid_arguments_are_refused(arguments, error, facts):
    with refuses(error, facts):
        ExternalSum(*arguments)


def test_its_loss_is_refused_as_not_jax():
    with refuses(TypeError, "ExternalSum JAX"):
        ExternalSum(gradient, rows()).loss(position(), None)


MANY_UNDER_WAY = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp, numpy as np, langevax

problem = langevax.ExternalSum(lambda x, rows: x - rows.mean(axis=0), np.ones((2, 10**6), np.float32))
run = jax.jit(lambda x: jax.lax.scan(lambda x, _: (x - problem.gradient(x), None), x, length=5)[0])
x = jnp.ones(10**6)
for end in [run(x * i) for i in range(6)]:  # not yet computed: programs that wait for numbers run in JAX's own thread
    assert (np.asarray(end) == 1).all()
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(__import__("os"), "sched_setaffinity"),
    reason="this system pins no process to a CPU",
)
def test_large_arrays_and_many_programs_on_one_cpu_do_not_wait_for_each_other():
    subprocess.run([sys.executable, "-c", MANY_UNDER_WAY], check=True, timeout=300)
