"""Local learning coefficients with known values, beside stochastic gradient Langevin dynamics with RMSProp.

Exact values at this n, temperature and localization: a normal law, quadrature on a grid, and for the network NUTS on
all rows. The other estimator is our own transcription of preconditioned SGLD (Li, Chen, Carlson, Carin, AAAI 2016) as
it is used for learning coefficients (Lau et al., AISTATS 2025): batches of 32, half of the steps discarded, the loss of
the batch recorded. Its error bar is that of its chains.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util, lax, random

import langevax as lx

N, BATCH, CHAINS, STEPS, STEP_SIZE = 1_000, 32, 4, 10_000, 1e-4
DECAY, FLOOR = 0.99, 1e-1  # of the running mean of squares, and added to its root
TEMPERATURE = float(np.log(N) / N)
COLUMNS = "case", "exact", "langevax", "row gradients", "RMSProp-SGLD", "row gradients"


class Coefficient(NamedTuple):
    """A loss at its minimum, with the exact value where there is one."""

    name: str
    loss: Callable[[Any, Any], jax.Array]
    params: Any
    rows: Any
    localization: float
    exact: float | None


def normal(dimension: int = 10) -> Coefficient:
    """Least squares with columns of different scales."""
    X = np.float32(np.random.default_rng(0).normal(size=(N, dimension)) * np.geomspace(0.3, 3, dimension))
    s = np.linalg.eigvalsh(X.T.astype(float) @ X / N)
    exact = float(np.sum(s / (s + TEMPERATURE)) / 2)
    loss = lambda w, x: (x @ w) ** 2 / 2  # noqa: E731
    return Coefficient(f"least squares, d = {dimension}", loss, jnp.zeros(dimension), jnp.asarray(X), 1.0, exact)


def by_quadrature(rise: Callable[[np.ndarray, np.ndarray], np.ndarray], centre: float, localization: float) -> float:
    """Return E rise / T for parameters (centre, centre)."""
    grid = centre + np.linspace(-8, 8, 4001) / np.sqrt(localization)
    a, b = np.meshgrid(grid, grid, indexing="ij")
    u = rise(a, b) / TEMPERATURE
    density = np.exp(-u - localization / 2 * ((a - centre) ** 2 + (b - centre) ** 2))
    return float(np.sum(density * u) / np.sum(density))


def curve() -> Coefficient:
    """y = a b x at a b = 1."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=N), jnp.float32)
    moment = float(np.mean(np.asarray(x, float) ** 2))
    exact = by_quadrature(lambda a, b: (a * b - 1) ** 2 * moment / 2, 1.0, 10.0)
    loss = lambda w, row: (w[0] * w[1] * row - row) ** 2 / 2  # noqa: E731
    return Coefficient("y = a b x", loss, jnp.ones(2), x, 10.0, exact)


def crossing() -> Coefficient:
    """x^2 y^2 at the origin."""
    exact = by_quadrature(lambda a, b: (a * b) ** 2, 0.0, 1.0)
    return Coefficient("x^2 y^2", lambda w, row: row * (w[0] * w[1]) ** 2, jnp.zeros(2), jnp.ones(N), 1.0, exact)


def network() -> Coefficient:
    """A linear network 4 x 3 x 4 at a map of rank one."""
    X = jnp.asarray(np.random.default_rng(0).normal(size=(N, 4)), jnp.float32)
    A, B = jnp.zeros((3, 4)).at[0, 0].set(1.0), jnp.zeros((4, 3)).at[0, 0].set(1.0)
    loss = lambda p, row: jnp.sum((p["B"] @ (p["A"] @ row[0]) - row[1]) ** 2) / 2  # noqa: E731
    return Coefficient("rank-1 network 4 x 3 x 4", loss, {"A": A, "B": B}, (X, X @ A.T @ B.T), 10.0, None)


@functools.partial(jax.jit, static_argnums=0)
def rmsprop_sgld(loss: Callable[[Any, Any], jax.Array], params: Any, rows: Any, localization: float) -> jax.Array:
    """Return the coefficient of each chain."""
    flat, unravel = flatten_util.ravel_pytree(params)
    mean_loss = lambda w, rows: jnp.mean(jax.vmap(loss, (None, 0))(unravel(w), rows))  # noqa: E731
    first = mean_loss(flat, rows)

    def chain(key: jax.Array) -> jax.Array:
        def step(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            w, v = carry
            batch_key, noise_key = random.split(key)
            indices = random.randint(batch_key, (BATCH,), 0, N)
            value, g = jax.value_and_grad(mean_loss)(w, jax.tree.map(lambda a: a[indices], rows))
            v = DECAY * v + (1 - DECAY) * g * g
            metric = STEP_SIZE / (FLOOR + jnp.sqrt(v))
            drift = g / TEMPERATURE + localization * (w - flat)
            noise = random.normal(noise_key, w.shape)
            return (w - metric / 2 * drift + jnp.sqrt(metric) * noise, v), value

        _, values = lax.scan(step, (flat, jnp.zeros_like(flat)), random.split(key, STEPS))
        return jnp.mean(values[STEPS // 2 :] - first) / TEMPERATURE

    return jax.vmap(chain)(random.split(random.key(0), CHAINS))


def main() -> None:
    """Print the table."""
    print(f"n = {N:,}, temperature log(n)/n; {CHAINS} chains; values with their standard errors")
    print("  ".join(f"{name:>24}" for name in COLUMNS))
    for case in (normal(), curve(), crossing(), network()):
        options = {"localization": case.localization, "num_chains": CHAINS, "progress": False}
        ours = lx.learning_coefficient(case.loss, case.params, case.rows, key=random.key(0), **options)
        exact = f"{case.exact:.4f}" if case.exact is not None else ""
        if case.exact is None:
            nuts = {**options, "batch_size": None, "num_samples": 2_000}
            reference = lx.learning_coefficient(case.loss, case.params, case.rows, key=random.key(1), **nuts)
            exact = f"{reference.value:.4f} ± {reference.standard_error:.4f}"
        others = np.asarray(rmsprop_sgld(case.loss, case.params, case.rows, case.localization))
        error = others.std(ddof=1) / np.sqrt(CHAINS)
        cells = case.name, exact, f"{ours.value:.4f} ± {ours.standard_error:.4f}", f"{ours.evaluations:,}"
        cells += f"{others.mean():.4f} ± {error:.4f}", f"{CHAINS * STEPS * BATCH:,}"
        print("  ".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
