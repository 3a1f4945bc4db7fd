"""`minimize` with gradients: NIST's regressions, `python -m benchmarks minimize`, and problems with constraints.

Of NIST's 27 nonlinear regressions (`nist`), from both starts, in float64, without bounds: whether the certified sum of
squares is reached within 10,000 evaluations for each coordinate. `python -m benchmarks minimize_constrained` prints the
table of `constraints`. Functions without gradients are in `python -m benchmarks bbob`.
"""

import warnings
from collections.abc import Sequence

import jax
import jax.numpy as jnp

import langevax as lx
from benchmarks.minimize import constraints
from benchmarks.minimize.nist import regressions

CALLS = 10_000
"""For each coordinate."""


def main() -> None:
    """Print how many regressions are solved from each start."""
    with jax.enable_x64(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in (1, 2):
            missed, solved = [], 0
            for problem in regressions():
                start = jnp.array(problem.starts[number - 1])
                budget = CALLS * len(start)
                in_jax = jax.tree.map(
                    lambda leaf: leaf if isinstance(leaf, str) else jnp.asarray(leaf),
                    problem,
                )
                result = lx.minimize(
                    in_jax, start, key=jax.random.key(0), max_evaluations=budget
                )
                solved += problem.solved(result.fun)
                if not problem.solved(result.fun):
                    missed.append(problem.name)
            print(f"NIST from start {number}: {solved}; missed: {missed or '-'}")


def constrained(arguments: Sequence[str] = ()) -> None:
    """Print the table of problems with constraints (`constraints`)."""
    constraints.main(arguments)
