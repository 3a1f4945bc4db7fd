"""Annealing by rounds: the same network trained at falling temperatures, each round from the last one's cloud.

Suzuki, Wu, Oko, Nitanda, NeurIPS 2023, where temperatures halve. In the KL form of the objective, risk + T KL(q|prior),
the prior N(0, v I) belongs to the problem and stays: its precision T / v falls with T.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jax import random
from jaxtyping import Array, Key

from langevax import checks
from langevax.algorithm import Algorithm
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run import Result, simulate


def anneal(
    algorithm: Callable[[float], Algorithm],
    risk: MeanFieldRisk,
    start: Any,
    temperatures: Sequence[float],
    *,
    key: Key[Array, ""],
    num_steps: int,
    **run: Any,
) -> list[Result]:
    """One result a round; round k has key fold_in(key, k).

    Args:
        algorithm: what trains at a temperature, such as `lambda T: MFLD(step_size, T)`.
        risk: at the last temperature; at another its precision is in proportion, which keeps the prior.
        start: of the first round: a cloud, or `risk.prior(temperatures[-1], N)`, which is the prior of every round.
        temperatures: of the rounds, such as `halving(0.1, 3)`.
        num_steps: of each round; `run` goes to `simulate` too.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.01)
        >>> rounds = langevax.meanfield.anneal(
        ...     lambda T: langevax.meanfield.MFLD(0.5, T), risk, risk.prior(0.01, 100), halving(0.01, 3),
        ...     key=jax.random.key(0), num_steps=100,
        ... )
        >>> [bool(risk.value(r.position) < 0.1) for r in rounds]
        [True, True, True]
    """
    if len(temperatures) == 0:
        raise ValueError("temperatures is empty; pass one for each round, such as halving(0.1, 3).")
    checks.number("temperatures", np.asarray(temperatures, float), positive=True)
    results: list[Result] = []
    for number, temperature in enumerate(temperatures):
        share = np.asarray(temperature / temperatures[-1], risk.inputs.dtype)
        warm = eqx.tree_at(lambda r: r.precision, risk, np.asarray(risk.precision) * share)
        begin, round_key = results[-1] if results else start, random.fold_in(key, number)
        results.append(simulate(algorithm(float(temperature)), warm, begin, key=round_key, num_steps=num_steps, **run))
    return results


def halving(last: float, rounds: int) -> list[float]:
    """`rounds` temperatures, each half of the one before, down to `last`.

    >>> halving(0.25, 3)
    [1.0, 0.5, 0.25]
    """
    checks.number("last", last, positive=True)
    checks.positive_int("rounds", rounds)
    return [last * 2.0**k for k in reversed(range(rounds))]
