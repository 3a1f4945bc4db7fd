"""Transformations of optax: noise of the right size in any chain, and the gradients of SVRG and SARAH."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import langevax
import langevax.optax
from langevax import FiniteSum, gradients, integrators
from langevax.gradients import batches
from langevax.theory.gaussian import stationary_variance
from tests.errorbars import assert_mean
from tests.papers import transcripts
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

KEY = jax.random.key(3)
H, T = 0.3, 0.2
CURVATURES, PRECISION = np.array([0.5, 1.0, 2.0]), 1.5
CHAINS = 20_000


def assert_close(actual, expected, tolerance=1e-12):
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=tolerance),
        actual,
        expected,
    )


def dtypes(tree):
    return [leaf.dtype for leaf in jax.tree.leaves(tree)]


def chain(optimizer, gradient, start, steps):
    """Iterates of one chain on an exact gradient, compiled."""

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    return jax.lax.scan(step, (start, optimizer.init(start)), length=steps)[1]


def noise_of(optimizer, like, steps=1):
    """Updates of the first steps where the gradient is zero, stacked."""
    state, moves = optimizer.init(like), []
    for _ in range(steps):
        updates, state = optimizer.update(jnp.zeros_like(like), state)
        moves.append(np.asarray(updates))
    return np.stack(moves)


# The law that is sampled.


@pytest.mark.parametrize(
    ("precision", "integrator", "name"),
    [
        (0.0, integrators.Exponential(), "explicit"),
        (PRECISION, integrators.Explicit(), "explicit"),
        (PRECISION, integrators.Exponential(), "exponential"),
    ],
)
def test_stationary_variance_is_that_of_the_theory(precision, integrator, name):
    """Of three modes, the last position of 20,000 chains; without the factor 2 of the noise it would be half."""

    def last(key):
        optimizer = langevax.optax.langevin(
            H, T, key=key, precision=precision, integrator=integrator
        )
        curvatures = jnp.asarray(CURVATURES, jnp.float32)
        return chain(optimizer, lambda x: curvatures * x, jnp.zeros(3), 60)[-1]

    positions = np.asarray(jax.jit(jax.vmap(last))(jax.random.split(KEY, CHAINS)))
    variance = stationary_variance(name, H, precision, CURVATURES, T)
    assert_mean(positions, 0.0)
    assert_mean(positions**2, variance, wrong=np.asarray(variance) / 2)


@pytest.mark.slow
def test_it_is_the_chain_of_simulate_with_the_same_key():
    """30 steps on a quartic with a precision for one of two leaves, noise included."""
    with jax.enable_x64():
        rows = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))
        start, precision = (
            {"a": jnp.array([0.2, 0.1]), "b": jnp.array(-1.0)},
            {"a": PRECISION, "b": 0.0},
        )
        problem = FiniteSum(
            lambda x, row: jnp.sum((x["a"] - row) ** 4) + x["b"] ** 4,
            rows,
            precision=precision,
        )
        sampler = langevax.Langevin(0.05, T, integrator=integrators.Exponential())
        result = langevax.simulate(
            sampler, problem, start, key=KEY, num_steps=30, record_every=1
        )
        optimizer = langevax.optax.langevin(0.05, T, key=KEY, precision=precision)
        assert_close(chain(optimizer, problem.gradient, start, 30), result.positions)


@pytest.mark.parametrize(
    "name", ["Explicit", "SemiImplicit", "Exponential", "CrankNicolson"]
)
def test_one_update_is_one_step_of_every_integrator(name):
    """params + updates = a params - b gradient + c sqrt(T) xi."""
    integrator, params, gradient = (
        getattr(integrators, name)(),
        np.array([0.5, -1, 2]),
        np.array([2.0, 0.3, -1]),
    )
    optimizer = langevax.optax.langevin(
        H, T, key=KEY, precision=PRECISION, integrator=integrator
    )
    updates, _ = optimizer.update(
        jnp.float32(gradient), optimizer.init(params), jnp.float32(params)
    )
    xi = noise_of(langevax.optax.langevin(0.5, 1.0, key=KEY), jnp.zeros(3))[0]
    a, b, c = (float(gain) for gain in integrator.gains(H, PRECISION))
    assert_close(
        params + np.asarray(updates),
        a * params - b * gradient + c * np.sqrt(T) * xi,
        1e-6,
    )


@pytest.mark.slow
def test_schedules_scale_the_noise_and_the_drift_of_their_step():
    """A cosine and a linear schedule, both at the step counted from 0 and down to zero."""
    h, t = optax.cosine_decay_schedule(0.1, 20), optax.linear_schedule(0.5, 0.0, 10)
    s = np.arange(25)
    expected_h, expected_t = (
        0.05 * (1 + np.cos(np.pi * np.minimum(s, 20) / 20)),
        0.5 * np.maximum(1 - s / 10, 0),
    )
    with jax.numpy_dtype_promotion(
        "standard"
    ):  # optax's schedules mix integers and floats
        noise = noise_of(langevax.optax.langevin(h, t, key=KEY), jnp.zeros(3), 25)
        xi = noise_of(langevax.optax.langevin(0.5, 1.0, key=KEY), jnp.zeros(3), 25)
        assert_close(noise, np.sqrt(2 * expected_h * expected_t)[:, None] * xi, 1e-5)
        drift = np.diff(
            chain(
                langevax.optax.langevin(h, 0.0, key=KEY),
                jnp.ones_like,
                jnp.zeros(3),
                25,
            ),
            axis=0,
        )
        assert_close(drift, np.tile(-expected_h[1:, None], 3), 1e-6)


def test_at_temperature_zero_it_is_sgd():
    gradient = jax.grad(lambda x: jnp.sum(x**4))
    ours = chain(langevax.optax.langevin(0.05, 0.0, key=KEY), gradient, jnp.ones(3), 10)
    assert_close(ours, chain(optax.sgd(0.05), gradient, jnp.ones(3), 10), 1e-6)


# Trees and dtypes.

MIXED = {
    "half": jnp.ones((2, 3), jnp.bfloat16),
    "single": jnp.ones(4, jnp.float32),
    "none": None,
    "list": [jnp.ones((), jnp.float16)],
}


@pytest.mark.parametrize(
    "precision", [0.0, {"half": 1.0, "single": 2.0, "none": 0.0, "list": 0.5}]
)
def test_every_leaf_keeps_its_dtype_and_the_state_its_own(precision):
    optimizer = langevax.optax.langevin(H, T, key=KEY, precision=precision)
    state = optimizer.init(MIXED)
    updates, after = jax.jit(optimizer.update)(MIXED, state, MIXED)
    assert dtypes(updates) == dtypes(MIXED)
    assert jax.tree.structure(updates) == jax.tree.structure(MIXED)
    assert dtypes(optax.apply_updates(MIXED, updates)) == dtypes(MIXED)
    assert dtypes(after) == dtypes(state)
    assert int(after.count) == 1
    assert all(
        np.isfinite(np.asarray(leaf, np.float32)).all()
        for leaf in jax.tree.leaves(updates)
    )


def test_float64_noise_is_float64():
    with jax.enable_x64():
        (updates,) = noise_of(langevax.optax.langevin(H, T, key=KEY), jnp.zeros(3))
        assert updates.dtype == np.float64
        assert np.abs(np.asarray(updates) - np.asarray(updates, np.float32)).max() > 0


@pytest.mark.slow
def test_bfloat16_noise_has_mean_zero_and_variance_one():
    """Of four million moves; JAX's own bfloat16 normals have mean -0.011, variance 0.994 and end at 2.9."""
    like = jnp.zeros(4_000_000, jnp.bfloat16)
    noise = np.asarray(
        noise_of(langevax.optax.langevin(0.5, 1.0, key=KEY), like)[0], np.float64
    )
    own = np.asarray(jax.random.normal(KEY, like.shape, like.dtype), np.float64)
    assert_mean(noise, 0.0, wrong=own.mean())
    assert_mean(noise**2, 1.0)
    assert np.abs(noise).max() > 4.5


def test_leaves_without_a_gradient_are_passed_over():
    """None where params has an integer or a function, as `equinox.filter_grad` gives; and what optax masks."""
    params = {"w": jnp.ones(2), "steps": jnp.array(3), "activation": jax.nn.relu}
    grads = {"w": jnp.ones(2), "steps": None, "activation": None}
    for precision in (0.0, PRECISION):
        optimizer = langevax.optax.langevin(H, T, key=KEY, precision=precision)
        updates, _ = optimizer.update(grads, optimizer.init(params), params)
        assert updates["steps"] is None
        assert updates["activation"] is None
    masked = optax.masked(
        langevax.optax.langevin(H, T, key=KEY), {"a": True, "b": False}
    )
    updates, _ = masked.update(
        params := {"a": jnp.ones(2), "b": jnp.ones(2)}, masked.init(params)
    )
    np.testing.assert_array_equal(updates["b"], params["b"])
    assert np.abs(updates["a"] - params["a"]).min() > 0


# In optax's company.


def test_clipping_and_weight_decay_before_it_leave_the_noise_alone():
    grads, params = (
        {"a": jnp.array([3.0, 4.0, 0.0])},
        {"a": jnp.array([1.0, -2.0, 3.0])},
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.add_decayed_weights(0.5),
        langevax.optax.langevin(H, T, key=KEY),
    )
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    noise = noise_of(langevax.optax.langevin(H, T, key=KEY), params["a"])[0]
    assert_close(
        updates["a"],
        -H * (np.array([0.6, 0.8, 0.0]) + 0.5 * np.array([1.0, -2.0, 3.0])) + noise,
        1e-6,
    )


def test_weight_decay_before_it_is_a_precision_treated_explicitly():
    grads, params = jnp.array([3.0, 4.0, 0.0]), jnp.array([1.0, -2.0, 3.0])
    decayed = optax.chain(
        optax.add_decayed_weights(PRECISION), langevax.optax.langevin(H, T, key=KEY)
    )
    precise = langevax.optax.langevin(
        H, T, key=KEY, precision=PRECISION, integrator=integrators.Explicit()
    )
    updates = [
        optimizer.update(grads, optimizer.init(params), params)[0]
        for optimizer in (decayed, precise)
    ]
    np.testing.assert_allclose(*updates, rtol=1e-6)


def test_a_jitted_step_is_compiled_once_whatever_the_step_and_the_key():
    traces = []

    @jax.jit
    def step(params, state):
        traces.append(1)
        updates, state = langevax.optax.langevin(H, T, key=KEY).update(
            params, state, params
        )
        return optax.apply_updates(params, updates), state

    for seed in range(2):
        params = jnp.ones(3)
        state = langevax.optax.langevin(H, T, key=jax.random.key(seed)).init(params)
        for _ in range(5):
            params, state = step(params, state)
    assert len(traces) == 1


def test_the_state_can_be_donated_and_made_again():
    optimizer = optax.chain(
        langevax.optax.svrg(2), langevax.optax.langevin(H, T, key=KEY)
    )

    def step(params, state):
        functions = {"value_fn": jnp.sum, "full_value_fn": jnp.sum}
        updates, state = optimizer.update(
            jax.grad(jnp.sum)(params), state, params, **functions
        )
        return optax.apply_updates(params, updates), state

    run = jax.jit(step, donate_argnums=(0, 1))
    ends = []
    for _ in range(2):
        params = jnp.ones(3)
        state = optimizer.init(params)
        for _ in range(3):
            params, state = run(params, state)
        ends.append(np.asarray(params))
    np.testing.assert_array_equal(*ends)


def test_step_size_and_temperature_can_be_injected():
    """`optax.inject_hyperparams` keeps them in the state, where a training loop may change them."""
    optimizer = optax.inject_hyperparams(langevax.optax.langevin)(
        step_size=H, temperature=T, key=KEY
    )
    params = jnp.zeros(3)
    state = optimizer.init(params)
    plain, _ = optimizer.update(params, state, params)
    state.hyperparams["temperature"] = jnp.float32(4 * T)
    hotter, _ = optimizer.update(params, state, params)
    assert_close(
        plain, noise_of(langevax.optax.langevin(H, T, key=KEY), params)[0], 1e-6
    )
    assert_close(hotter, 2 * plain, 1e-6)


# Variance-reduced gradients.

N, B, PERIOD, STEPS = 7, 2, 4, 10
ROWS = np.random.default_rng(1).normal(size=(N, 3))
START = np.array([0.5, -1.0, 0.3])
INDICES = np.random.default_rng(2).integers(N, size=(STEPS, B))
ESTIMATORS = {"svrg": gradients.SVRG, "sarah": gradients.SARAH}


def quartic(x, row):
    return jnp.sum((x - row) ** 4) / 4


def loss(x, rows):
    return jnp.mean(jax.vmap(quartic, (None, 0))(x, rows))


def reduced(reduce, indices, key=KEY, full_loss=loss):
    """Iterates of the chain that `reduce` and `langevin` make, start left out, on the batches of `indices`."""
    data = jnp.asarray(ROWS, jnp.result_type(float))
    optimizer = optax.chain(reduce, langevax.optax.langevin(0.05, T, key=key))

    def step(carry, batch):
        params, state = carry
        grads = jax.grad(loss)(params, data[batch])
        functions = {
            "value_fn": lambda x: loss(x, data[batch]),
            "full_value_fn": lambda x: full_loss(x, data),
        }
        updates, state = optimizer.update(
            grads, state, params, **functions, unrelated="passed over"
        )
        params = optax.apply_updates(params, updates)
        return (params, state), params

    start = jnp.asarray(START, data.dtype)
    return jax.lax.scan(step, (start, optimizer.init(start)), indices)[1]


def drawn():
    """The batches that `simulate` draws with this key."""
    problem = FiniteSum(quartic, jnp.asarray(ROWS))
    keys = jax.vmap(lambda s: jax.random.split(jax.random.fold_in(KEY, s))[0])(
        jnp.arange(STEPS, dtype=jnp.int32)
    )
    return jax.jit(jax.vmap(lambda key: batches.draw(key, problem, B)))(keys)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["svrg", "sarah"])
def test_svrg_and_sarah_are_the_papers_algorithms_and_those_of_the_library(name):
    """Ten steps on a quartic, same batches and noise: against NumPy, and against `simulate` with its estimators."""
    with jax.enable_x64():
        indices = drawn()
        ours = reduced(getattr(langevax.optax, name)(PERIOD), indices)
        noises = noise_of(
            langevax.optax.langevin(0.5, 1.0, key=KEY), jnp.asarray(START), STEPS
        )
        paper = getattr(transcripts, f"{name}_ld")(
            lambda x, batch: ((x - ROWS[batch]) ** 3).mean(axis=0),
            N,
            START,
            0.05,
            1 / T,
            PERIOD,
            np.asarray(indices),
            np.asarray(noises),
        )
        assert_close(ours, paper[1:])
        problem = FiniteSum(quartic, jnp.asarray(ROWS))
        sampler = langevax.Langevin(0.05, T, ESTIMATORS[name](B, PERIOD))
        start = jnp.asarray(START)
        result = langevax.simulate(
            sampler, problem, start, key=KEY, num_steps=STEPS, record_every=1
        )
        assert_close(ours, result.positions)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["svrg", "sarah"])
def test_a_period_of_one_and_a_batch_of_all_are_the_full_gradient(name):
    with jax.enable_x64():
        reduce = getattr(langevax.optax, name)
        everything = jnp.tile(jnp.arange(N), (STEPS, 1))
        assert_close(reduced(reduce(1), INDICES), reduced(reduce(PERIOD), everything))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["svrg", "sarah"])
def test_the_full_loss_is_evaluated_once_a_period(name):
    """Under jit and scan; and for each of three chains, as `vmap` of the whole loop, not at every step."""
    calls = []

    def counted(x, rows):
        jax.debug.callback(lambda: calls.append(1))
        return loss(x, rows)

    run = lambda key: reduced(
        getattr(langevax.optax, name)(PERIOD), INDICES, key, counted
    )
    jax.block_until_ready(jax.jit(run)(KEY))
    jax.effects_barrier()
    assert len(calls) == 3  # steps 0, 4, 8
    jax.block_until_ready(jax.jit(jax.vmap(run))(jax.random.split(KEY, 3)))
    jax.effects_barrier()
    assert (
        len(calls) == 6
    )  # a callback without arguments is called once for all chains; at every step it would be 10


@pytest.mark.parametrize("name", ["svrg", "sarah"])
def test_reduced_gradients_have_the_dtypes_of_params(name):
    """Also where the batch's gradient was accumulated in another dtype; the state's do not change."""
    params = {key: value for key, value in MIXED.items() if key != "list"}
    grads = jax.tree.map(lambda x: jnp.ones(x.shape, jnp.float32), params)

    def value_fn(params):
        return jax.tree.reduce(
            jnp.add,
            jax.tree.map(lambda x: jnp.sum(jnp.asarray(x, jnp.float32) ** 2), params),
        )

    reduce = getattr(langevax.optax, name)(2)
    state = reduce.init(params)
    for _ in range(3):
        reduced_gradient, after = reduce.update(
            grads, state, params, value_fn=value_fn, full_value_fn=value_fn
        )
        assert dtypes(reduced_gradient) == dtypes(params)
        assert dtypes(after) == dtypes(state)
        assert jax.tree.structure(after) == jax.tree.structure(state)
        state = after


# Networks.


def train(params, loss, optimizer, steps=200):
    """Losses over all data before and after; batches of 16 of a sine."""
    inputs = jnp.linspace(-1.0, 1.0, 128)[:, None]
    targets = jnp.sin(3 * inputs[:, 0])

    def step(carry, key):
        params, state = carry
        rows = jax.random.randint(key, (16,), 0, 128)
        value_fn = lambda p: loss(p, inputs[rows], targets[rows])
        functions = {
            "value_fn": value_fn,
            "full_value_fn": lambda p: loss(p, inputs, targets),
        }
        updates, state = optimizer.update(
            jax.grad(value_fn)(params), state, params, **functions
        )
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(KEY, steps)
    (after, _), _ = jax.jit(lambda p: jax.lax.scan(step, (p, optimizer.init(p)), keys))(
        params
    )
    assert jax.tree.structure(after) == jax.tree.structure(params)
    return float(loss(params, inputs, targets)), float(loss(after, inputs, targets))


@pytest.mark.slow
def test_an_equinox_network_learns():
    model = eqx.nn.MLP(1, "scalar", 16, 1, jax.nn.tanh, key=KEY)
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def loss(params, inputs, targets):
        return jnp.mean((jax.vmap(eqx.combine(params, static))(inputs) - targets) ** 2)

    optimizer = optax.chain(
        langevax.optax.svrg(20),
        langevax.optax.langevin(0.1, 1e-4, key=KEY, precision=1e-3),
    )
    before, after = train(params, loss, optimizer)
    assert after < 0.25 * before


@pytest.mark.slow
def test_a_flax_network_learns():
    linen = pytest.importorskip("flax.linen")
    model = linen.Sequential([linen.Dense(16), jax.nn.tanh, linen.Dense(1)])
    params = model.init(KEY, jnp.zeros((1, 1)))

    def loss(params, inputs, targets):
        return jnp.mean((model.apply(params, inputs)[:, 0] - targets) ** 2)

    optimizer = optax.chain(
        langevax.optax.svrg(20),
        langevax.optax.langevin(0.1, 1e-4, key=KEY, precision=1e-3),
    )
    before, after = train(params, loss, optimizer)
    assert after < 0.25 * before


# Mistakes.


@pytest.mark.parametrize(
    ("arguments", "error", "facts"),
    [
        (
            {"step_size": np.nan},
            ValueError,
            "step_size 0 nan",
        ),
        ({"step_size": 0.0}, ValueError, "step_size 0 0.0"),
        (
            {"step_size": "small"},
            TypeError,
            "step_size 'small'",
        ),
        (
            {"step_size": jnp.ones(3)},
            ValueError,
            "step_size (3,)",
        ),
        (
            {"temperature": -1.0},
            ValueError,
            "temperature 0 -1.0",
        ),
        ({"temperature": np.inf}, ValueError, "temperature"),
        (
            {"precision": {"a": -1.0}},
            ValueError,
            "precision 0 -1.0",
        ),
        (
            {"key": None},
            TypeError,
            "key NoneType jax.random.key(seed)",
        ),
        (
            {"key": 0},
            TypeError,
            "key jax.random.key(seed)",
        ),
        (
            {"key": jax.random.PRNGKey(0)},
            TypeError,
            "uint32 jax.random.wrap_key_data",
        ),
        (
            {"key": jax.random.split(KEY, 3)},
            ValueError,
            "key (3,)",
        ),
    ],
)
def test_a_mistaken_argument_is_named(arguments, error, facts, unchecked_types):
    with refuses(error, facts):
        langevax.optax.langevin(
            **({"step_size": H, "temperature": T, "key": KEY} | arguments)
        )


def test_there_is_no_default_key():
    with refuses(TypeError, "key"):
        langevax.optax.langevin(H, T)  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("make", [langevax.optax.svrg, langevax.optax.sarah])
def test_a_mistaken_period_or_missing_function_is_named(make, unchecked_types):
    with refuses(ValueError, "period 1 0"):
        make(0)
    with refuses(TypeError, "period 2.5"):
        make(2.5)
    params = jnp.ones(2)
    optimizer = optax.chain(make(2), langevax.optax.langevin(H, T, key=KEY))
    state = optimizer.init(params)
    both = {"value_fn": jnp.sum, "full_value_fn": jnp.sum}
    with refuses(ValueError, "params None"):
        optimizer.update(params, state, **both)
    for missing in both:
        others = {name: function for name, function in both.items() if name != missing}
        facts = f"{missing} None {missing}=lambda"
        with refuses(TypeError, facts):
            optimizer.update(params, state, params, **others)


def test_a_precision_asks_for_params():
    optimizer = langevax.optax.langevin(H, T, key=KEY, precision=PRECISION)
    with refuses(ValueError, "params None"):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))


@pytest.mark.parametrize(
    "leaf", [jnp.arange(3), jnp.ones(2, jnp.complex64), np.zeros(2, jax.dtypes.float0)]
)
def test_a_gradient_that_is_not_real_and_floating_is_named(leaf):
    optimizer = langevax.optax.langevin(H, T, key=KEY)
    with refuses(TypeError, "updates['a']"):
        optimizer.update({"a": leaf}, optimizer.init({"a": leaf}))
