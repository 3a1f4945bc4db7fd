"""SVRG with 8 chains against 8 times one chain's minibatch step of as many component gradients.

If a refresh under `vmap` were to become a select, every step would cost a full pass and the ratio
would be of the order of n / (2 B).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.beside.case import Candidate, Case, Did
from benchmarks.driver import logistic, simulated

STEPS, CHAINS = 10_000, 8


def problem(size: int) -> lx.FiniteSum:
    """Logistic regression of 20 columns."""
    X = np.random.default_rng(0).standard_normal((size, 20)).astype(np.float32)
    return lx.FiniteSum(logistic, (X, np.sign(X[:, 0]) + np.float32(0)), precision=1 / size)


def run_of(gradient: Any, size: int, steps: int, chains: int | None) -> Callable[[], Any]:
    """So many steps of so many chains, or of one."""
    return simulated(lx.Langevin(0.05, 1 / size, gradient), problem(size), jnp.zeros(20), steps, num_chains=chains)


def chains(size: int, batch_size: int, steps: int) -> Callable[[], Any]:
    """SVRG; the full passes are a tenth of its work."""
    period = 10 * size // (2 * batch_size)
    return run_of(lx.gradients.SVRG(batch_size=batch_size, period=period), size, steps, CHAINS)


def one_chain(size: int, batch_size: int, steps: int) -> Callable[[], Did]:
    """One chain's minibatches, as if chains came one after the other."""
    run = run_of(lx.gradients.Minibatch(batch_size=2 * batch_size), size, steps, None)

    def counted() -> Did:
        run()
        return Did(steps / CHAINS)

    return counted


CASES = tuple(
    Case(
        f"SVRG-LD, 8 chains, n = {size:,}, B = {batch_size}",
        "a step of all chains",
        (
            Candidate("langevax", functools.partial(chains, size, batch_size), STEPS, "ours"),
            Candidate(
                "8 x one chain with minibatches",
                functools.partial(one_chain, size, batch_size),
                STEPS,
                "floor",
                aim=1.3,
            ),
        ),
    )
    for size, batch_size in ((10_000, 16), (100_000, 64))
)
