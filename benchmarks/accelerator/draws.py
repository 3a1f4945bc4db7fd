"""Draws of a posterior: `sample`, and NUTS of BlackJAX and NumPyro on the same law, all counted by effective draws.

The others begin at the mode, by Newton's method, and their log densities are sums of differences from it: a sum over
10^7 rows by itself would be known to 0.5 in float32, of which NUTS needs a hundredth.
"""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

import langevax as lx
from benchmarks.accelerator.task import Candidate, Task, Units
from benchmarks.driver import logistic
from benchmarks.sampling import effective

CHAINS, DRAWS, WARMUP, NEWTON_STEPS = (
    4,
    200,
    300,
    10,
)  # that many warm-up steps `sample` gives NUTS from a mode
NO_PEER = "no sampler comes with PyTorch; its steps of SGLD are in the table"


def task(rows: int, arrays: tuple[np.ndarray, np.ndarray]) -> Task:
    """Return the task: everything counted, tuning included, over the effective draws of the worst coordinate."""

    def candidate(
        positions: Callable[..., Any],
    ) -> Callable[[int], Callable[[], Units]]:
        def run() -> Units:
            with jax.default_matmul_precision("float32"):  # log densities are compared
                return Units(effective(np.asarray(positions(arrays))))

        return lambda _: run

    return Task(
        f"sample, logistic regression, n = {rows:,}, d = {arrays[0].shape[1]}, {CHAINS} x {DRAWS} draws",
        "an effective draw",
        (
            Candidate("langevax", candidate(by_sample)),
            Candidate("NUTS of BlackJAX", candidate(by_blackjax)),
            Candidate("NUTS of NumPyro", candidate(by_numpyro), "numpyro"),
            Candidate("PyTorch", None, reason=NO_PEER),
        ),
        once=True,
    )


def by_sample(arrays: tuple[np.ndarray, np.ndarray]) -> Any:
    """Return draws (chain, draw, coordinate) of ours, as its users call it."""
    posterior = lx.posterior(
        None, lambda w, row: -logistic(w, row), arrays, prior_precision=1.0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lx.sampling.SamplingWarning)
        options = {
            "key": random.key(0),
            "num_samples": DRAWS,
            "num_chains": CHAINS,
            "run": lx.Run(progress=False),
        }
        return lx.sample(posterior, jnp.zeros(arrays[0].shape[1]), **options).positions


@jax.jit
def mode_of(X: jax.Array, y: jax.Array) -> jax.Array:
    """Return the mode."""

    def step(_: Any, w: jax.Array) -> jax.Array:
        share = jax.nn.sigmoid(-y * (X @ w))
        curvature = X.T @ ((share * (1 - share))[:, None] * X) + jnp.eye(len(w))
        return w + jnp.linalg.solve(curvature, X.T @ (y * share) - w)

    return lax.fori_loop(0, NEWTON_STEPS, step, jnp.zeros(X.shape[1]))


def log_density_of(
    X: jax.Array, y: jax.Array, mode: jax.Array
) -> Callable[[jax.Array], jax.Array]:
    """Return the log density relative to that of the mode."""
    losses = jax.nn.softplus(-y * (X @ mode))

    def log_density(w: jax.Array) -> jax.Array:
        return (
            jnp.sum(losses - jax.nn.softplus(-y * (X @ w)))
            - (w - mode) @ (w + mode) / 2
        )

    return log_density


def by_blackjax(arrays: tuple[np.ndarray, np.ndarray]) -> Any:
    """Return draws of BlackJAX's NUTS after its window adaptation, chains side by side."""
    import blackjax

    @jax.jit
    def run(X: jax.Array, y: jax.Array, mode: jax.Array, keys: jax.Array) -> jax.Array:
        log_density = log_density_of(X, y, mode)

        def chain(key: jax.Array) -> jax.Array:
            adaptation_key, draw_key = random.split(key)
            adaptation = blackjax.window_adaptation(blackjax.nuts, log_density)
            (state, parameters), _ = adaptation.run(adaptation_key, mode, WARMUP)
            kernel = blackjax.nuts(log_density, **parameters).step

            def step(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
                state, _ = kernel(key, state)
                return state, state.position

            return lax.scan(step, state, random.split(draw_key, DRAWS))[1]

        return jax.vmap(chain)(keys)

    X, y = map(jnp.asarray, arrays)
    return run(X, y, mode_of(X, y), random.split(random.key(0), CHAINS))


def by_numpyro(arrays: tuple[np.ndarray, np.ndarray]) -> Any:
    """Return draws of NumPyro's NUTS, chains side by side."""
    import numpyro

    X, y = map(jnp.asarray, arrays)
    mode = mode_of(X, y)
    log_density = log_density_of(X, y, mode)
    options = {
        "num_chains": CHAINS,
        "chain_method": "vectorized",
        "progress_bar": False,
    }
    nuts = numpyro.infer.NUTS(potential_fn=lambda w: -log_density(w))
    sampler = numpyro.infer.MCMC(nuts, num_warmup=WARMUP, num_samples=DRAWS, **options)
    sampler.run(random.key(0), init_params=jnp.tile(mode, (CHAINS, 1)))
    return sampler.get_samples(group_by_chain=True)
