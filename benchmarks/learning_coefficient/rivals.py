"""Stochastic gradient Langevin dynamics with RMSProp: our transcription, and devinterp's own optimiser in PyTorch.

Preconditioned SGLD (Li, Chen, Carlson, Carin, AAAI 2016) as it is used for learning coefficients (Lau et al., AISTATS
2025), with the constants that devinterp has by default and steps of 1e-4: batches of 32, half of the steps discarded,
the loss of the batch recorded, and the baseline on all rows. The error bar is that of the chains.
"""

import functools
import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util, lax, random

from benchmarks.learning_coefficient.cases import Coefficient

BATCH, CHAINS, STEP_SIZE = 32, 4, 1e-4
DECAY, FLOOR = 0.99, 1e-1  # of the running mean of squares, and added to its root
CHILD, CALIBRATION = (
    Path(__file__).with_name(f"devinterp_{name}.py")
    for name in ("chains", "calibration")
)
STEP_SIZES = 3e-5, 1e-4, 3e-4
"""Of which each budget takes the best, as only the exact value tells."""
PER_BUDGET = 8
"""Stretches of half a budget of 1."""
BUDGETS = 1 / 8, 1 / 4, 1 / 2, 1, 2, 5
"""Gradients of rows, relative to langevax's."""


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


def transcription(
    case: Coefficient, temperature: float, localization: float, evaluations: int
) -> Estimate:
    """Return the estimate of our own transcription."""
    steps = steps_for(evaluations)
    return Estimate.of(of_chains(case, temperature, localization, steps, CHAINS), steps)


def of_chains(
    case: Coefficient, temperature: float, localization: float, steps: int, chains: int
) -> np.ndarray:
    """Return the estimates of single chains, from the second half of their steps."""
    settings = (
        case.loss,
        case.params,
        case.rows,
        temperature,
        localization,
        np.float32([STEP_SIZE]),
    )
    return np.asarray(_stretches(*settings, chains, steps // 2, 2), np.float64)[0, :, 1]


def errors_by_budget(
    case: Coefficient,
    temperature: float,
    localization: float,
    evaluations: int,
    seeds: int,
) -> list[list[float]]:
    """Return the root mean square of relative errors over seeds, for each step size and each of the budgets.

    An estimate is the mean of four chains, from the second half of the steps that the budget pays.
    """
    shortest = steps_for(evaluations) // PER_BUDGET // 2
    count = 2 * PER_BUDGET * int(BUDGETS[-1])
    settings = (
        case.loss,
        case.params,
        case.rows,
        temperature,
        localization,
        np.float32(STEP_SIZES),
    )
    means = np.asarray(
        _stretches(*settings, seeds * CHAINS, shortest, count), np.float64
    )
    means = means.reshape(len(STEP_SIZES), seeds, CHAINS, count).mean(2)
    exact, errors = case.exact(temperature, localization).value, []
    for budget in BUDGETS:
        half = int(budget * PER_BUDGET)
        off = means[:, :, half : 2 * half].mean(2) / exact - 1
        errors.append(np.sqrt(np.mean(off**2, axis=1)))
    return np.nan_to_num(
        np.stack(errors, axis=1), nan=np.inf
    ).tolist()  # too long steps diverge


@functools.partial(jax.jit, static_argnums=(0, 6, 7, 8))
def _stretches(
    loss: Callable[[Any, Any], jax.Array],
    params: Any,
    rows: Any,
    temperature: float,
    localization: float,
    step_sizes: np.ndarray,
    chains: int,
    length: int,
    count: int,
) -> jax.Array:
    """Return the means over stretches of so many steps: of each step size, chain and stretch."""
    flat, unravel = flatten_util.ravel_pytree(params)
    mean_loss = lambda w, rows: jnp.mean(jax.vmap(loss, (None, 0))(unravel(w), rows))
    first, size = mean_loss(flat, rows), len(jax.tree.leaves(rows)[0])

    def chain(step_size: jax.Array, key: jax.Array) -> jax.Array:
        def step(carry: Any, number: jax.Array) -> tuple[Any, None]:
            w, v, total = carry
            batch_key, noise_key = random.split(random.fold_in(key, number))
            indices = random.randint(batch_key, (BATCH,), 0, size)
            value, g = jax.value_and_grad(mean_loss)(
                w, jax.tree.map(lambda a: a[indices], rows)
            )
            v = DECAY * v + (1 - DECAY) * g * g
            metric = step_size / (FLOOR + jnp.sqrt(v))
            drift = g / temperature + localization * (w - flat)
            noise = random.normal(noise_key, w.shape)
            return (
                w - metric / 2 * drift + jnp.sqrt(metric) * noise,
                v,
                total + value - first,
            ), None

        def stretch(carry: Any, index: jax.Array) -> tuple[Any, jax.Array]:
            numbers = index * length + jnp.arange(length, dtype=jnp.int32)
            (w, v, total), _ = lax.scan(step, (*carry, jnp.zeros(())), numbers)
            return (w, v), total / length / temperature

        return lax.scan(
            stretch, (flat, jnp.zeros_like(flat)), jnp.arange(count, dtype=jnp.int32)
        )[1]

    keys = random.split(random.key(0), chains)
    return jax.vmap(
        lambda step_size: jax.vmap(lambda key: chain(step_size, key))(keys)
    )(step_sizes)


def devinterp(
    case: Coefficient,
    temperature: float,
    localization: float,
    evaluations: int,
    python: str,
) -> Estimate | str:
    """Return the estimate of devinterp in another interpreter, or a sentence that says why there is none."""
    steps = steps_for(evaluations)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.npz"
        leaves = {
            f"params{i}": leaf for i, leaf in enumerate(jax.tree.leaves(case.params))
        }
        leaves |= {
            f"rows{i}": leaf for i, leaf in enumerate(jax.tree.leaves(case.rows))
        }
        np.savez(
            path,
            allow_pickle=False,
            **{name: np.asarray(leaf) for name, leaf in leaves.items()},
        )
        numbers = (temperature, localization, steps, CHAINS, BATCH, STEP_SIZE)
        printed = _printed(python, CHILD, case.name, path, *numbers)
    return (
        printed if isinstance(printed, str) else Estimate.of(np.array(printed), steps)
    )


def calibration(powers: Sequence[int], python: str) -> Estimate | str:
    """Return what devinterp's `llc` says of half a sum of powers, or a sentence that says why there is none."""
    printed = _printed(python, CALIBRATION, *powers)
    return printed if isinstance(printed, str) else Estimate(*printed)


def _printed(python: str, script: Path, *arguments: Any) -> Any:
    """Return the JSON in the last line that a script prints, or a sentence that says why there is none."""
    done = subprocess.run(
        [python, str(script), *map(str, arguments)], capture_output=True, text=True
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return f"devinterp did not run: {lines[-1] if lines else 'no output'}"
    return json.loads(done.stdout.splitlines()[-1])
