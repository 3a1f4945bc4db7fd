"""`simulate` against a `lax.scan` written by hand for the one case: the same numbers, so the same work.

By hand twice: with JAX's own keys, as one would write it, and with keys unrolled as `simulate` unrolls them, so that
what is left is the driver.
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
from benchmarks.beside.case import Candidate, Case
from benchmarks.mfld_torch import table
from langevax.keys import unrolled

STEP, RIDGE, TEMPERATURE = 0.05, 1e-3, 1e-3

Keys = Callable[[jax.Array], jax.Array] | None
"""What a scan by hand makes of its key; None for a run of `simulate`."""


def breast_cancer() -> tuple[jax.Array, jax.Array]:
    """Standardised features with a constant, labels -1 and +1."""
    features, labels = load_breast_cancer(return_X_y=True)
    rows = np.column_stack([StandardScaler().fit_transform(features), np.ones(len(features))])
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
        return (1 - STEP * RIDGE) * w - STEP * jax.grad(risk)(w) + jnp.sqrt(2 * STEP * TEMPERATURE) * noise, None

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
                rows = random.randint(random.split(key)[0], (batch_size,), 0, len(y), jnp.int32)
                return gradient(w, X[rows], y[rows]) - gradient(anchor, X[rows], y[rows]) + full

            w, anchor, full = carry
            return jax.vmap(one)(w, anchor, full, keys), anchor, full

        v, anchor, full = lax.cond(step % period == 0, refresh, correct, carry)
        noise = jax.vmap(lambda key: random.normal(random.split(key)[1], starts.shape[1:], jnp.float32))(keys)
        w = (1 - STEP * RIDGE) * carry[0] - STEP * v + jnp.sqrt(2 * STEP * TEMPERATURE) * noise
        return (w, anchor, full), None

    return lax.scan(body, (starts, starts, starts), jnp.arange(steps, dtype=jnp.int32))[0][0]


@functools.partial(jax.jit, static_argnames="steps")
def mfld_by_hand(X, y, cloud, key, steps):
    """Mean-field Langevin, exact in the ridge."""
    decay = jnp.exp(-STEP * RIDGE)
    drift, spread = -jnp.expm1(-STEP * RIDGE) / RIDGE, jnp.sqrt(-jnp.expm1(-2 * STEP * RIDGE) / RIDGE)

    def body(cloud, step):
        _, noise_key = random.split(random.fold_in(key, step))
        noise = random.normal(noise_key, cloud.shape, cloud.dtype)
        hidden = jnp.tanh(cloud[:, :-1] @ X.T + cloud[:, -1:])
        pull = (hidden.mean(0) - y) * (1 - hidden**2) / len(y)
        gradient = jnp.column_stack([pull @ X, pull.sum(1)])
        return decay * cloud - drift * gradient + spread * jnp.sqrt(TEMPERATURE) * noise, None

    return lax.scan(body, cloud, jnp.arange(steps, dtype=jnp.int32))[0]


def simulated(algorithm: Any, problem: Any, start: jax.Array, steps: int, **options: Any) -> Callable[[], jax.Array]:
    """A run of `simulate`."""
    return lambda: (
        lx.simulate(algorithm, problem, start, key=random.key(0), num_steps=steps, progress=False, **options).position
    )


def posterior() -> lx.FiniteSum:
    """Logistic regression with a ridge."""
    return lx.FiniteSum(logistic, breast_cancer(), precision=RIDGE)


def langevin(steps: int, keys: Keys = None) -> Callable[[], jax.Array]:
    """Full gradients, one chain."""
    X, y = breast_cancer()
    start = jnp.zeros(X.shape[1], jnp.float32)
    if keys is not None:
        return lambda: langevin_by_hand(X, y, start, keys(random.key(0)), steps).block_until_ready()
    return simulated(lx.Langevin(STEP, TEMPERATURE), posterior(), start, steps)


def svrg(steps: int, keys: Keys = None) -> Callable[[], jax.Array]:
    """Eight chains."""
    X, y = breast_cancer()
    if keys is not None:
        chains = jnp.zeros((8, X.shape[1]), jnp.float32)
        return lambda: svrg_by_hand(X, y, chains, keys(random.key(0)), steps, 16, 100).block_until_ready()
    gradient = lx.gradients.SVRG(batch_size=16, period=100, replace=True)
    start = jnp.zeros(X.shape[1], jnp.float32)
    return simulated(lx.Langevin(STEP, TEMPERATURE, gradient), posterior(), start, steps, num_chains=8)


def mfld(steps: int, keys: Keys = None) -> Callable[[], jax.Array]:
    """A mean-field cloud."""
    inputs, targets = map(jnp.asarray, table(442, 10))
    cloud = 0.3 * random.normal(random.key(0), (1024, 11), jnp.float32)
    if keys is not None:
        return lambda: mfld_by_hand(inputs, targets, cloud, keys(random.key(0)), steps).block_until_ready()
    risk = lx.MeanFieldRisk(lx.neurons.Tanh(), lx.losses.squared, inputs, targets, precision=RIDGE)
    return simulated(lx.meanfield.MFLD(STEP, TEMPERATURE), risk, cloud, steps)


def as_it_is(key: jax.Array) -> jax.Array:
    """JAX's own key."""
    return key


def case(name: str, make: Callable[[int, Keys], Callable[[], jax.Array]], steps: int) -> Case:
    """`simulate` and the scans."""
    return Case(
        f"simulate: {name}",
        "a step",
        (
            Candidate("langevax", make, steps, "ours"),
            Candidate("a scan by hand", functools.partial(make, keys=as_it_is), steps, "floor", aim=1.05),
            Candidate("the same, its keys unrolled", functools.partial(make, keys=unrolled), steps, "floor", aim=1.05),
        ),
    )


CASES = (
    case("Langevin, breast cancer", langevin, 40_000),
    case("SVRG-LD, breast cancer, 8 chains", svrg, 20_000),
    case("mean-field Langevin, n = 442, d = 10, N = 1,024", mfld, 600),
)
