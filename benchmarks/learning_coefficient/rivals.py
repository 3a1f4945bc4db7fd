"""Stochastic gradient Langevin dynamics with RMSProp: our transcription, and devinterp's own optimiser in PyTorch.

Preconditioned SGLD (Li, Chen, Carlson, Carin, AAAI 2016) as it is used for learning coefficients (Lau et al., AISTATS
2025), with the constants that devinterp has by default and steps of 1e-4: batches of 32, half of the steps discarded,
the loss of the batch recorded, and the baseline on all rows. The error bar is that of the chains.
"""

import functools
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util, lax, random

from benchmarks.learning_coefficient.cases import Coefficient

BATCH, CHAINS, STEP_SIZE = 32, 4, 1e-4
DECAY, FLOOR = 0.99, 1e-1  # of the running mean of squares, and added to its root
CHILD = Path(__file__).with_name("devinterp_chains.py")


class Estimate(NamedTuple):
    """A coefficient with its standard error and what it cost."""

    value: float
    error: float
    evaluations: int

    @classmethod
    def of(cls, chains: np.ndarray, steps: int) -> "Estimate":
        error = float(chains.std(ddof=1) / np.sqrt(len(chains)))
        return cls(float(chains.mean()), error, len(chains) * steps * BATCH)


def steps_for(evaluations: int) -> int:
    """Return the steps of each chain that take about as many gradients of rows."""
    return max(2, evaluations // (CHAINS * BATCH))


def transcription(case: Coefficient, temperature: float, localization: float, evaluations: int) -> Estimate:
    """Return the estimate of our own transcription."""
    steps = steps_for(evaluations)
    chains = _chains(case.loss, case.params, case.rows, temperature, localization, steps)
    return Estimate.of(np.asarray(chains, np.float64), steps)


@functools.partial(jax.jit, static_argnums=(0, 5))
def _chains(
    loss: Callable[[Any, Any], jax.Array], params: Any, rows: Any, temperature: float, localization: float, steps: int
) -> jax.Array:
    flat, unravel = flatten_util.ravel_pytree(params)
    mean_loss = lambda w, rows: jnp.mean(jax.vmap(loss, (None, 0))(unravel(w), rows))  # noqa: E731
    first, size = mean_loss(flat, rows), len(jax.tree.leaves(rows)[0])

    def chain(key: jax.Array) -> jax.Array:
        def step(carry: Any, number: jax.Array) -> tuple[Any, None]:
            w, v, total = carry
            batch_key, noise_key = random.split(random.fold_in(key, number))
            indices = random.randint(batch_key, (BATCH,), 0, size)
            value, g = jax.value_and_grad(mean_loss)(w, jax.tree.map(lambda a: a[indices], rows))
            v = DECAY * v + (1 - DECAY) * g * g
            metric = STEP_SIZE / (FLOOR + jnp.sqrt(v))
            drift = g / temperature + localization * (w - flat)
            noise = random.normal(noise_key, w.shape)
            total = total + jnp.where(number >= steps // 2, value - first, 0.0)
            return (w - metric / 2 * drift + jnp.sqrt(metric) * noise, v, total), None

        start = flat, jnp.zeros_like(flat), jnp.zeros(())
        (_, _, total), _ = lax.scan(step, start, jnp.arange(steps, dtype=jnp.int32))
        return total / (steps - steps // 2) / temperature

    return jax.vmap(chain)(random.split(random.key(0), CHAINS))


def devinterp(
    case: Coefficient, temperature: float, localization: float, evaluations: int, python: str
) -> Estimate | str:
    """Return the estimate of devinterp in another interpreter, or a sentence that says why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.npz"
        leaves = {f"params{i}": leaf for i, leaf in enumerate(jax.tree.leaves(case.params))}
        leaves |= {f"rows{i}": leaf for i, leaf in enumerate(jax.tree.leaves(case.rows))}
        np.savez(path, allow_pickle=False, **{name: np.asarray(leaf) for name, leaf in leaves.items()})
        numbers = (temperature, localization, steps_for(evaluations), CHAINS, BATCH, STEP_SIZE)
        command = [python, str(CHILD), case.name, str(path), *map(str, numbers)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return f"devinterp did not run: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no output'}"
    return Estimate.of(np.array(json.loads(done.stdout.splitlines()[-1])), steps_for(evaluations))
