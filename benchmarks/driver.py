"""`simulate` against a `lax.scan` written by hand for the one case: the same numbers, so the same work."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

import langevax as lx
from benchmarks.mfld_step import table
from benchmarks.timing import in_turns, median, ratio

STEP, RIDGE, TEMPERATURE = 0.05, 1e-3, 1e-3


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
    drift, spread = (1 - decay) / RIDGE, jnp.sqrt((1 - decay**2) / RIDGE)

    def body(cloud, step):
        _, noise_key = random.split(random.fold_in(key, step))
        noise = random.normal(noise_key, cloud.shape, cloud.dtype)
        hidden = jnp.tanh(cloud[:, :-1] @ X.T + cloud[:, -1:])
        pull = (hidden.mean(0) - y) * (1 - hidden**2) / len(y)
        gradient = jnp.column_stack([pull @ X, pull.sum(1)])
        return decay * cloud - drift * gradient + spread * jnp.sqrt(TEMPERATURE) * noise, None

    return lax.scan(body, cloud, jnp.arange(steps, dtype=jnp.int32))[0]


def main() -> None:
    """Print microseconds per step, and the ratio of calls made in turns."""
    key = random.key(0)
    X, y = breast_cancer()
    posterior = lx.FiniteSum(logistic, (X, y), precision=RIDGE)
    inputs, targets = table(442, 10)
    risk = lx.MeanFieldRisk(lx.neurons.Tanh(), lx.losses.squared, inputs, targets, precision=RIDGE)
    cloud = 0.3 * random.normal(key, (1024, 11), jnp.float32)
    start = jnp.zeros(X.shape[1], jnp.float32)
    chains = jnp.zeros((8, X.shape[1]), jnp.float32)
    svrg = lx.gradients.SVRG(batch_size=16, period=100, replace=True)

    def driver(algorithm, problem, start, steps, **keywords):
        return lambda: lx.simulate(algorithm, problem, start, key=key, num_steps=steps, **keywords)

    cases = {
        "Langevin, breast cancer": (
            100_000,
            lambda s: driver(lx.Langevin(STEP, TEMPERATURE), posterior, start, s),
            lambda s: lambda: langevin_by_hand(X, y, start, key, s).block_until_ready(),
        ),
        "SVRG-LD, 8 chains": (
            50_000,
            lambda s: driver(lx.Langevin(STEP, TEMPERATURE, svrg), posterior, start, s, num_chains=8),
            lambda s: lambda: svrg_by_hand(X, y, chains, key, s, 16, 100).block_until_ready(),
        ),
        "MFLD (442, 10, 1024)": (
            1_000,
            lambda s: driver(lx.meanfield.MFLD(STEP, TEMPERATURE), risk, cloud, s),
            lambda s: lambda: mfld_by_hand(risk.inputs, risk.targets, cloud, key, s).block_until_ready(),
        ),
    }
    print(f"{'simulate against a hand-written scan':<38} {'simulate':>10} {'by hand':>10} {'ratio':>6}")
    for name, (steps, ours, by_hand) in cases.items():
        times = in_turns({"ours": ours(steps), "hand": by_hand(steps)})
        first, second = (median(times[which]) / steps * 1e6 for which in ("ours", "hand"))
        print(f"{name:<38} {first:>8.1f}us {second:>8.1f}us {ratio(times, 'ours', 'hand'):>6.2f}")


if __name__ == "__main__":
    main()
