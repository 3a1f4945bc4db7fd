"""Steps of gradient estimators: SVRG with eight chains, and SLEDGE against SARAH.

SVRG's floor is one chain's minibatches, as if chains came one after the other. The floor of SLEDGE and SARAH is two
gathers of b rows and two gradients at them. Copying a table would cost n d numbers a step, here 20 MB: a hundred times
a step or more. SARAH takes no full pass in between, so that the bare steps are compared. `sledge_step` also measures
SLEDGE's error over 40,000 steps.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.beside.case import Candidate, Case, RunResult
from benchmarks.beside.measure import in_turns, median, ratio
from benchmarks.driver import logistic, simulated

CHAIN_STEPS, CHAINS = 10_000, 8


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


def one_chain(size: int, batch_size: int, steps: int) -> Callable[[], RunResult]:
    """One chain's minibatches, as if chains came one after the other."""
    run = run_of(lx.gradients.Minibatch(batch_size=2 * batch_size), size, steps, None)

    def counted() -> RunResult:
        run()
        return RunResult(steps / CHAINS)

    return counted


CASES = tuple(
    Case(
        f"SVRG-LD, 8 chains, n = {size:,}, B = {batch_size}",
        "a step of all chains",
        (
            Candidate("langevax", functools.partial(chains, size, batch_size), CHAIN_STEPS, "ours"),
            Candidate(
                "8 x one chain with minibatches",
                functools.partial(one_chain, size, batch_size),
                CHAIN_STEPS,
                "floor",
                aim=1.3,
            ),
        ),
    )
    for size, batch_size in ((10_000, 16), (100_000, 64))
)


SIZE, DIM, BATCH = 100_000, 50, 316
STEPS = 3_000


def main() -> None:
    """Print microseconds per step, then the error along a walk of steps of one length."""
    print(f"{f'n = {SIZE:,}, d = {DIM}, b = {BATCH}':<32} {'step':>9} {'/ SARAH':>8} {'table':>10}")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((SIZE, DIM)).astype(np.float32)
    problem = lx.FiniteSum(logistic, (X, np.sign(X[:, 0]) + np.float32(0)))
    start = jnp.zeros(DIM, jnp.float32)
    estimators = {
        "SARAH": lx.gradients.SARAH(BATCH, 10 * STEPS),
        "SLEDGE, blocks": lx.gradients.SLEDGE(BATCH),
        "SLEDGE, components": lx.gradients.SLEDGE(BATCH, "components", "batch"),
        "SAGA, components": lx.gradients.SAGA(BATCH, "components", "batch"),
    }

    def run(gradient):
        langevin = lx.Langevin(0.1, 0.0, gradient)
        return lambda: lx.simulate(langevin, problem, start, key=jax.random.key(0), num_steps=STEPS)

    times = in_turns({name: run(gradient) for name, gradient in estimators.items()}, repeats=7)
    for name, gradient in estimators.items():
        table = getattr(gradient.init(problem, start)[0], "table", None)
        size = "" if table is None else f"{table.size * 4 / 1e6:.2f} MB"
        print(f"{name:<32} {median(times[name]) / STEPS * 1e6:>7.1f}us {ratio(times, name, 'SARAH'):>8.2f} {size:>10}")
    errors()


def errors(size: int = 256, batch_size: int = 4, step: float = 0.01, num_steps: int = 40_000, chains: int = 16) -> None:
    """Mean squared error over zeta^2 step^2 n / (2 b^2) in eighths of a walk; zeta = 1."""
    print(f"\nerror / prediction, n = {size}, b = {batch_size}, eighths of {num_steps:,} steps, {chains} walks")
    rng = np.random.default_rng(0)
    signs = rng.permutation(np.resize([-1.0, 1.0], size)).astype(np.float32)
    slopes = rng.normal(size=(size, 4)).astype(np.float32)
    problem = lx.FiniteSum(lambda x, row: row[0] * jnp.sum(x**2) / 2 + row[1] @ x, (signs, slopes))
    prediction = step**2 * size / (2 * batch_size**2)
    for name, estimator in {
        "SLEDGE, components": lx.gradients.SLEDGE(batch_size, "components"),
        "SLEDGE, blocks": lx.gradients.SLEDGE(batch_size),
        "SAGA": lx.gradients.SAGA(batch_size, "components"),
        "STORM": lx.gradients.STORM(batch_size, batch_size / size),
        "PAGE": lx.gradients.PAGE(batch_size),
        "SARAH without full passes": lx.gradients.SARAH(batch_size, 10 * num_steps),
    }.items():
        errors_by_step = (
            _squared_errors(estimator, problem, jnp.asarray(slopes.mean(0)), step, num_steps, chains) / prediction
        )
        eighths = errors_by_step.reshape(chains, 8, -1).mean(2)
        settled = eighths[:, 1:].mean(1)
        error = settled.std(ddof=1) / np.sqrt(chains)
        cells = " ".join(f"{value:>7.3f}" for value in eighths.mean(0))
        print(f"{name:<26} {cells}   after the first {settled.mean():.3f} +- {error:.3f}")


def _squared_errors(estimator, problem, mean_slope, step: float, num_steps: int, chains: int) -> np.ndarray:
    def one(key):
        def body(carry, number):
            x, state = carry
            batch_key, walk_key = jax.random.split(jax.random.fold_in(key, number))
            v, state, _ = estimator.estimate(problem, x, state, batch_key, number)
            direction = jax.random.normal(walk_key, x.shape, x.dtype)
            return (x + step * direction / jnp.linalg.norm(direction), state), jnp.sum((v - mean_slope) ** 2)

        x = jnp.zeros_like(mean_slope)
        numbers = jnp.arange(num_steps, dtype=jnp.int32)
        return jax.lax.scan(body, (x, estimator.init(problem, x)[0]), numbers)[1]

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), chains)))


if __name__ == "__main__":
    main()
