"""`simulate` against a `lax.scan` written by hand for the one case: the same numbers, so the same work.

By hand twice: with JAX's own keys, as one would write it, and with keys unrolled as `simulate` unrolls them, so that
what is left is the driver.

Then steps of gradient estimators: SVRG with eight chains, whose floor is one chain's minibatches, as if chains came one
after the other; and SLEDGE against SARAH, whose floor is two gathers of b rows and two gradients at them. Copying a
table would cost n d numbers a step, here 20 MB: a hundred times a step or more. SARAH takes no full pass in between, so
that the bare steps are compared. `sledge_step` also measures SLEDGE's error over 40,000 steps.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

import langevax as lx
from benchmarks.beside.case import Candidate, Case, RunResult
from benchmarks.beside.measure import in_turns, median, ratio
from benchmarks.mfld_torch import table
from langevax.gradients import batches
from langevax.keys import unrolled

STEP, RIDGE, TEMPERATURE = 0.05, 1e-3, 1e-3

Keys = Callable[[jax.Array], jax.Array] | None
"""What a scan by hand makes of its key; None for a run of `simulate`."""


def breast_cancer() -> tuple[jax.Array, jax.Array]:
    """Standardised features with a constant, labels -1 and +1."""
    features, labels = load_breast_cancer(return_X_y=True)
    rows = np.column_stack(
        [StandardScaler().fit_transform(features), np.ones(len(features))]
    )
    return jnp.asarray(rows, jnp.float32), jnp.asarray(2 * labels - 1, jnp.float32)


def logistic(w: jax.Array, row: tuple[jax.Array, jax.Array]) -> jax.Array:
    """The loss of one patient."""
    return jax.nn.softplus(-row[1] * (row[0] @ w))


@functools.partial(jax.jit, static_argnames="steps")
def langevin_by_hand(X, y, start, key, steps):
    """Full-gradient Langevin on the logistic risk."""

    def risk(w):
        return jnp.mean(jax.nn.softplus(-y * (X @ w)))

    def body(w, step):
        _, noise_key = random.split(random.fold_in(key, step))
        noise = random.normal(noise_key, w.shape, w.dtype)
        return (1 - STEP * RIDGE) * w - STEP * jax.grad(risk)(w) + jnp.sqrt(
            2 * STEP * TEMPERATURE
        ) * noise, None

    return lax.scan(body, start, jnp.arange(steps, dtype=jnp.int32))[0]


@functools.partial(jax.jit, static_argnames=("steps", "batch_size", "period"))
def svrg_by_hand(X, y, starts, key, steps, batch_size, period):
    """SVRG-LD with replacement, a batch of chains, a full pass under a condition that all chains share."""

    def risk(w, X, y):
        return jnp.mean(jax.nn.softplus(-y * (X @ w)))

    gradient = jax.grad(risk)

    def body(carry, step):
        keys = random.split(random.fold_in(key, step), len(starts))

        def refresh(carry):
            w, _, _ = carry
            full = jax.vmap(lambda w: gradient(w, X, y))(w)
            return full, w, full

        def correct(carry):
            def one(w, anchor, full, key):
                batch_key, places = (
                    random.split(key)[0],
                    jnp.arange(batch_size, dtype=jnp.int32),
                )
                rows = batches.permuted(batch_key, places, jnp.int32(len(y)))
                return (
                    gradient(w, X[rows], y[rows])
                    - gradient(anchor, X[rows], y[rows])
                    + full
                )

            w, anchor, full = carry
            return jax.vmap(one)(w, anchor, full, keys), anchor, full

        v, anchor, full = lax.cond(step % period == 0, refresh, correct, carry)
        noise = jax.vmap(
            lambda key: random.normal(
                random.split(key)[1], starts.shape[1:], jnp.float32
            )
        )(keys)
        w = (
            (1 - STEP * RIDGE) * carry[0]
            - STEP * v
            + jnp.sqrt(2 * STEP * TEMPERATURE) * noise
        )
        return (w, anchor, full), None

    return lax.scan(body, (starts, starts, starts), jnp.arange(steps, dtype=jnp.int32))[
        0
    ][0]


@functools.partial(jax.jit, static_argnames="steps")
def mfld_by_hand(X, y, cloud, key, steps):
    """Mean-field Langevin, exact in the ridge."""
    decay = jnp.exp(-STEP * RIDGE)
    drift, spread = (
        -jnp.expm1(-STEP * RIDGE) / RIDGE,
        jnp.sqrt(-jnp.expm1(-2 * STEP * RIDGE) / RIDGE),
    )

    def body(cloud, step):
        _, noise_key = random.split(random.fold_in(key, step))
        noise = random.normal(noise_key, cloud.shape, cloud.dtype)
        hidden = jnp.tanh(cloud[:, :-1] @ X.T + cloud[:, -1:])
        slopes = (hidden.mean(0) - y) * (1 - hidden**2) / len(y)
        gradient = jnp.column_stack([slopes @ X, slopes.sum(1)])
        return decay * cloud - drift * gradient + spread * jnp.sqrt(
            TEMPERATURE
        ) * noise, None

    return lax.scan(body, cloud, jnp.arange(steps, dtype=jnp.int32))[0]


def simulated(
    algorithm: Any, problem: Any, start: jax.Array, steps: int, **options: Any
) -> Callable[[], jax.Array]:
    """A run of `simulate`."""
    return lambda: (
        lx.simulate(
            algorithm,
            problem,
            start,
            key=random.key(0),
            num_steps=steps,
            run=lx.Run(progress=False),
            **options,
        ).position
    )


def posterior() -> lx.FiniteSum:
    """Logistic regression with a ridge."""
    return lx.FiniteSum(logistic, breast_cancer(), precision=RIDGE)


def langevin(steps: int, keys: Keys = None) -> Callable[[], jax.Array]:
    """Full gradients, one chain."""
    X, y = breast_cancer()
    start = jnp.zeros(X.shape[1], jnp.float32)
    if keys is not None:
        return lambda: langevin_by_hand(
            X, y, start, keys(random.key(0)), steps
        ).block_until_ready()
    return simulated(lx.Langevin(STEP, TEMPERATURE), posterior(), start, steps)


def svrg(steps: int, keys: Keys = None) -> Callable[[], jax.Array]:
    """Eight chains."""
    X, y = breast_cancer()
    if keys is not None:
        chains = jnp.zeros((8, X.shape[1]), jnp.float32)
        return lambda: svrg_by_hand(
            X, y, chains, keys(random.key(0)), steps, 16, 100
        ).block_until_ready()
    gradient = lx.gradients.SVRG(batch_size=16, period=100)
    start = jnp.zeros(X.shape[1], jnp.float32)
    return simulated(
        lx.Langevin(STEP, TEMPERATURE, gradient),
        posterior(),
        start,
        steps,
        num_chains=8,
    )


def mfld(steps: int, keys: Keys = None) -> Callable[[], jax.Array]:
    """A mean-field cloud."""
    inputs, targets = map(jnp.asarray, table(442, 10))
    cloud = 0.3 * random.normal(random.key(0), (1024, 11), jnp.float32)
    if keys is not None:
        return lambda: mfld_by_hand(
            inputs, targets, cloud, keys(random.key(0)), steps
        ).block_until_ready()
    risk = lx.MeanFieldRisk(
        lx.neurons.Tanh(), lx.losses.squared, inputs, targets, precision=RIDGE
    )
    return simulated(lx.meanfield.MFLD(STEP, TEMPERATURE), risk, cloud, steps)


def as_it_is(key: jax.Array) -> jax.Array:
    """JAX's own key."""
    return key


def case(
    name: str, make: Callable[[int, Keys], Callable[[], jax.Array]], steps: int
) -> Case:
    """`simulate` and the scans."""
    return Case(
        f"simulate: {name}",
        "a step",
        (
            Candidate("langevax", make, steps, "ours"),
            Candidate(
                "a scan by hand",
                functools.partial(make, keys=as_it_is),
                steps,
                "floor",
                aim=1.05,
            ),
            Candidate(
                "the same, its keys unrolled",
                functools.partial(make, keys=unrolled),
                steps,
                "floor",
                aim=1.05,
            ),
        ),
    )


CHAIN_STEPS, CHAINS = 10_000, 8


def regression(size: int) -> lx.FiniteSum:
    """Logistic regression of 20 columns."""
    X = np.random.default_rng(0).standard_normal((size, 20)).astype(np.float32)
    return lx.FiniteSum(
        logistic, (X, np.sign(X[:, 0]) + np.float32(0)), precision=1 / size
    )


def run_of(
    gradient: Any, size: int, steps: int, chains: int | None
) -> Callable[[], Any]:
    """So many steps of so many chains, or of one."""
    langevin = lx.Langevin(0.05, 1 / size, gradient)
    return simulated(
        langevin, regression(size), jnp.zeros(20), steps, num_chains=chains
    )


def eight_chains(size: int, batch_size: int, steps: int) -> Callable[[], Any]:
    """SVRG; the full passes are a tenth of its work."""
    period = 10 * size // (2 * batch_size)
    return run_of(
        lx.gradients.SVRG(batch_size=batch_size, period=period), size, steps, CHAINS
    )


def one_chain(size: int, batch_size: int, steps: int) -> Callable[[], RunResult]:
    """One chain's minibatches, as if chains came one after the other."""
    run = run_of(lx.gradients.Minibatch(batch_size=2 * batch_size), size, steps, None)

    def counted() -> RunResult:
        run()
        return RunResult(steps / CHAINS)

    return counted


def case_of_chains(size: int, batch_size: int) -> Case:
    """Eight chains of SVRG and their floor."""
    ours, floor = (
        functools.partial(make, size, batch_size) for make in (eight_chains, one_chain)
    )
    return Case(
        f"SVRG-LD, 8 chains, n = {size:,}, B = {batch_size}",
        "a step of all chains",
        (
            Candidate("langevax", ours, CHAIN_STEPS, "ours"),
            Candidate(
                "8 x one chain with minibatches", floor, CHAIN_STEPS, "floor", aim=1.3
            ),
        ),
    )


CASES = (
    case("Langevin, breast cancer", langevin, 40_000),
    case("SVRG-LD, breast cancer, 8 chains", svrg, 20_000),
    case("mean-field Langevin, n = 442, d = 10, N = 1,024", mfld, 600),
    case_of_chains(10_000, 16),
    case_of_chains(100_000, 64),
)


SIZE, DIM, BATCH = 100_000, 50, 316  # of `sledge_step`
STEPS = 3_000


def sledge_step() -> None:
    """Print microseconds per step, then the error along a walk of steps of one length."""
    print(
        f"{f'n = {SIZE:,}, d = {DIM}, b = {BATCH}':<32} {'step':>9} {'/ SARAH':>8} {'table':>10}"
    )
    rng = np.random.default_rng(0)
    X = rng.standard_normal((SIZE, DIM)).astype(np.float32)
    problem = lx.FiniteSum(logistic, (X, np.sign(X[:, 0]) + np.float32(0)))
    start = jnp.zeros(DIM, jnp.float32)
    estimators = {
        "SARAH": lx.gradients.SARAH(BATCH, 10 * STEPS),
        "SLEDGE, blocks": lx.gradients.SLEDGE(BATCH),
        "SLEDGE, components": lx.gradients.SLEDGE(BATCH, "components"),
    }

    def run(gradient):
        langevin = lx.Langevin(0.1, 0.0, gradient)
        return lambda: lx.simulate(
            langevin, problem, start, key=jax.random.key(0), num_steps=STEPS
        )

    times = in_turns(
        {name: run(gradient) for name, gradient in estimators.items()}, repeats=7
    )
    for name, gradient in estimators.items():
        table = getattr(gradient.init(problem, start)[0], "table", None)
        size = "" if table is None else f"{table.size * 4 / 1e6:.2f} MB"
        print(
            f"{name:<32} {median(times[name]) / STEPS * 1e6:>7.1f}us {ratio(times, name, 'SARAH'):>8.2f} {size:>10}"
        )
    gradient_errors()


def gradient_errors(
    size: int = 256,
    batch_size: int = 4,
    step: float = 0.01,
    num_steps: int = 40_000,
    chains: int = 16,
) -> None:
    """Mean squared error over zeta^2 step^2 n / (2 b^2) in eighths of a walk; zeta = 1."""
    print(
        f"\nerror / prediction, n = {size}, b = {batch_size}, eighths of {num_steps:,} steps, {chains} walks"
    )
    rng = np.random.default_rng(0)
    signs = rng.permutation(np.resize([-1.0, 1.0], size)).astype(np.float32)
    slopes = rng.normal(size=(size, 4)).astype(np.float32)
    problem = lx.FiniteSum(
        lambda x, row: row[0] * jnp.sum(x**2) / 2 + row[1] @ x, (signs, slopes)
    )
    prediction = step**2 * size / (2 * batch_size**2)
    for name, estimator in {
        "SLEDGE, components": lx.gradients.SLEDGE(batch_size, "components"),
        "SLEDGE, blocks": lx.gradients.SLEDGE(batch_size),
        "STORM": lx.gradients.STORM(batch_size, batch_size / size),
        "SARAH without full passes": lx.gradients.SARAH(batch_size, 10 * num_steps),
    }.items():
        errors_by_step = (
            _squared_errors(
                estimator, problem, jnp.asarray(slopes.mean(0)), step, num_steps, chains
            )
            / prediction
        )
        eighths = errors_by_step.reshape(chains, 8, -1).mean(2)
        settled = eighths[:, 1:].mean(1)
        error = settled.std(ddof=1) / np.sqrt(chains)
        cells = " ".join(f"{value:>7.3f}" for value in eighths.mean(0))
        print(
            f"{name:<26} {cells}   after the first {settled.mean():.3f} +- {error:.3f}"
        )


def _squared_errors(
    estimator, problem, mean_slope, step: float, num_steps: int, chains: int
) -> np.ndarray:
    def one(key):
        def body(carry, number):
            x, state = carry
            batch_key, walk_key = jax.random.split(jax.random.fold_in(key, number))
            v, state, _ = estimator.estimate(problem, x, state, batch_key, number)
            direction = jax.random.normal(walk_key, x.shape, x.dtype)
            return (x + step * direction / jnp.linalg.norm(direction), state), jnp.sum(
                (v - mean_slope) ** 2
            )

        x = jnp.zeros_like(mean_slope)
        numbers = jnp.arange(num_steps, dtype=jnp.int32)
        return jax.lax.scan(body, (x, estimator.init(problem, x)[0]), numbers)[1]

    return np.asarray(
        jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), chains))
    )
