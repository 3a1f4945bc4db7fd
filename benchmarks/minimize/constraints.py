"""`minimize` under constraints beside SciPy: `python -m benchmarks minimize_constrained`.

Fifteen classical problems of 2 to 13 coordinates, on none of which a constant was chosen, most of them of the CEC
2006 collection (Liang et al., technical report, Nanyang 2006), with equalities that hold exactly. Solved means within
1e-4 of the optimum, relative to its size, with no violation above 1e-5 times one plus the size of the side. A value of
fun and constraints costs 1, a gradient 4; the budget is 10,000 for each coordinate.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

import langevax

COST = 10_000
ACCURACY, FEASIBLE = 1e-4, 1e-5
SEED = 7


class Problem(NamedTuple):
    """fun and constraints lower <= c(x) <= upper in a box."""

    fun: Callable[[jax.Array], jax.Array]
    constraint: Callable[[jax.Array], jax.Array]
    sides: tuple[Any, Any]
    box: Sequence[tuple[float, float]]
    optimum: float

    def violation(self, x: np.ndarray) -> float:
        """Return the largest violation, over one plus the size of its side."""
        values = np.asarray(self.constraint(jnp.asarray(x)))
        low, high = (
            np.broadcast_to(np.asarray(side, float), values.shape)
            for side in self.sides
        )
        sizes = 1 + np.abs(np.where(np.isfinite(high), high, low))
        return float(np.max(np.maximum(low - values, values - high) / sizes, initial=0))


def of_rows(
    *rows: Callable[[jax.Array], jax.Array],
) -> Callable[[jax.Array], jax.Array]:
    """Return one vector of several constraints."""
    return lambda x: jnp.stack([row(x) for row in rows])


BELOW, EQUAL = (-np.inf, 0.0), (0.0, 0.0)
PROBLEMS = {
    "G1": Problem(
        lambda x: 5 * jnp.sum(x[:4]) - 5 * jnp.sum(x[:4] ** 2) - jnp.sum(x[4:]),
        of_rows(
            lambda x: 2 * x[0] + 2 * x[1] + x[9] + x[10] - 10,
            lambda x: 2 * x[0] + 2 * x[2] + x[9] + x[11] - 10,
            lambda x: 2 * x[1] + 2 * x[2] + x[10] + x[11] - 10,
            lambda x: x[9] - 8 * x[0],
            lambda x: x[10] - 8 * x[1],
            lambda x: x[11] - 8 * x[2],
            lambda x: x[9] - 2 * x[3] - x[4],
            lambda x: x[10] - 2 * x[5] - x[6],
            lambda x: x[11] - 2 * x[7] - x[8],
        ),
        BELOW,
        [(0, 1)] * 9 + [(0, 100)] * 3 + [(0, 1)],
        -15.0,
    ),
    "G3": Problem(
        lambda x: -(10.0**5) * jnp.prod(x),
        lambda x: jnp.sum(x**2, keepdims=True) - 1,
        EQUAL,
        [(0, 1)] * 10,
        -1.0,
    ),
    "G4": Problem(
        lambda x: (
            5.3578547 * x[2] ** 2
            + 0.8356891 * x[0] * x[4]
            + 37.293239 * x[0]
            - 40792.141
        ),
        of_rows(
            lambda x: (
                85.334407
                + 0.0056858 * x[1] * x[4]
                + 0.0006262 * x[0] * x[3]
                - 0.0022053 * x[2] * x[4]
            ),
            lambda x: (
                80.51249
                + 0.0071317 * x[1] * x[4]
                + 0.0029955 * x[0] * x[1]
                + 0.0021813 * x[2] ** 2
            ),
            lambda x: (
                9.300961
                + 0.0047026 * x[2] * x[4]
                + 0.0012547 * x[0] * x[2]
                + 0.0019085 * x[2] * x[3]
            ),
        ),
        ([0, 90, 20], [92, 110, 25]),
        [(78, 102), (33, 45), (27, 45), (27, 45), (27, 45)],
        -30665.53867,
    ),
    "G5": Problem(
        lambda x: 3 * x[0] + 1e-6 * x[0] ** 3 + 2 * x[1] + 2e-6 / 3 * x[1] ** 3,
        of_rows(
            lambda x: x[3] - x[2],
            lambda x: (
                1000 * jnp.sin(-x[2] - 0.25)
                + 1000 * jnp.sin(-x[3] - 0.25)
                + 894.8
                - x[0]
            ),
            lambda x: (
                1000 * jnp.sin(x[2] - 0.25)
                + 1000 * jnp.sin(x[2] - x[3] - 0.25)
                + 894.8
                - x[1]
            ),
            lambda x: (
                1000 * jnp.sin(x[3] - 0.25)
                + 1000 * jnp.sin(x[3] - x[2] - 0.25)
                + 1294.8
            ),
        ),
        ([-0.55, 0, 0, 0], [0.55, 0, 0, 0]),
        [(0, 1200)] * 2 + [(-0.55, 0.55)] * 2,
        5126.4981,
    ),
    "G6": Problem(
        lambda x: (x[0] - 10) ** 3 + (x[1] - 20) ** 3,
        of_rows(
            lambda x: 100 - (x[0] - 5) ** 2 - (x[1] - 5) ** 2,
            lambda x: (x[0] - 6) ** 2 + (x[1] - 5) ** 2 - 82.81,
        ),
        BELOW,
        [(13, 100), (0, 100)],
        -6961.8138756,
    ),
    "G7": Problem(
        lambda x: (
            jnp.sum(x[:2] ** 2)
            + x[0] * x[1]
            - 14 * x[0]
            - 16 * x[1]
            + (x[2] - 10) ** 2
            + 4 * (x[3] - 5) ** 2
            + (x[4] - 3) ** 2
            + 2 * (x[5] - 1) ** 2
            + 5 * x[6] ** 2
            + 7 * (x[7] - 11) ** 2
            + 2 * (x[8] - 10) ** 2
            + (x[9] - 7) ** 2
            + 45
        ),
        of_rows(
            lambda x: 4 * x[0] + 5 * x[1] - 3 * x[6] + 9 * x[7] - 105,
            lambda x: 10 * x[0] - 8 * x[1] - 17 * x[6] + 2 * x[7],
            lambda x: -8 * x[0] + 2 * x[1] + 5 * x[8] - 2 * x[9] - 12,
            lambda x: (
                3 * (x[0] - 2) ** 2
                + 4 * (x[1] - 3) ** 2
                + 2 * x[2] ** 2
                - 7 * x[3]
                - 120
            ),
            lambda x: 5 * x[0] ** 2 + 8 * x[1] + (x[2] - 6) ** 2 - 2 * x[3] - 40,
            lambda x: (
                x[0] ** 2 + 2 * (x[1] - 2) ** 2 - 2 * x[0] * x[1] + 14 * x[4] - 6 * x[5]
            ),
            lambda x: (
                0.5 * (x[0] - 8) ** 2 + 2 * (x[1] - 4) ** 2 + 3 * x[4] ** 2 - x[5] - 30
            ),
            lambda x: -3 * x[0] + 6 * x[1] + 12 * (x[8] - 8) ** 2 - 7 * x[9],
        ),
        BELOW,
        [(-10, 10)] * 10,
        24.306209068,
    ),
    "G8": Problem(
        lambda x: (
            -(jnp.sin(2 * jnp.pi * x[0]) ** 3)
            * jnp.sin(2 * jnp.pi * x[1])
            / (x[0] ** 3 * (x[0] + x[1]))
        ),
        of_rows(lambda x: x[0] ** 2 - x[1] + 1, lambda x: 1 - x[0] + (x[1] - 4) ** 2),
        BELOW,
        [(1e-3, 10)] * 2,
        -0.0958250414,
    ),
    "G9": Problem(
        lambda x: (
            (x[0] - 10) ** 2
            + 5 * (x[1] - 12) ** 2
            + x[2] ** 4
            + 3 * (x[3] - 11) ** 2
            + 10 * x[4] ** 6
            + 7 * x[5] ** 2
            + x[6] ** 4
            - 4 * x[5] * x[6]
            - 10 * x[5]
            - 8 * x[6]
        ),
        of_rows(
            lambda x: (
                2 * x[0] ** 2 + 3 * x[1] ** 4 + x[2] + 4 * x[3] ** 2 + 5 * x[4] - 127
            ),
            lambda x: 7 * x[0] + 3 * x[1] + 10 * x[2] ** 2 + x[3] - x[4] - 282,
            lambda x: 23 * x[0] + x[1] ** 2 + 6 * x[5] ** 2 - 8 * x[6] - 196,
            lambda x: (
                4 * x[0] ** 2
                + x[1] ** 2
                - 3 * x[0] * x[1]
                + 2 * x[2] ** 2
                + 5 * x[5]
                - 11 * x[6]
            ),
        ),
        BELOW,
        [(-10, 10)] * 7,
        680.630057374,
    ),
    "G10": Problem(
        lambda x: jnp.sum(x[:3]),
        of_rows(
            lambda x: 0.0025 * (x[3] + x[5]) - 1,
            lambda x: 0.0025 * (x[4] + x[6] - x[3]) - 1,
            lambda x: 0.01 * (x[7] - x[4]) - 1,
            lambda x: -x[0] * x[5] + 833.33252 * x[3] + 100 * x[0] - 83333.333,
            lambda x: -x[1] * x[6] + 1250 * x[4] + x[1] * x[3] - 1250 * x[3],
            lambda x: -x[2] * x[7] + 1250000 + x[2] * x[4] - 2500 * x[4],
        ),
        BELOW,
        [(100, 10000)] + [(1000, 10000)] * 2 + [(10, 1000)] * 5,
        7049.24802053,
    ),
    "G11": Problem(
        lambda x: x[0] ** 2 + (x[1] - 1) ** 2,
        lambda x: x[1:] - x[0] ** 2,
        EQUAL,
        [(-1, 1)] * 2,
        0.75,
    ),
    "G13": Problem(
        lambda x: jnp.exp(jnp.prod(x)),
        of_rows(
            lambda x: jnp.sum(x**2) - 10,
            lambda x: x[1] * x[2] - 5 * x[3] * x[4],
            lambda x: x[0] ** 3 + x[1] ** 3 + 1,
        ),
        EQUAL,
        [(-2.3, 2.3)] * 2 + [(-3.2, 3.2)] * 3,
        0.0539498478,
    ),
    "G24": Problem(
        lambda x: -x[0] - x[1],
        of_rows(
            lambda x: -2 * x[0] ** 4 + 8 * x[0] ** 3 - 8 * x[0] ** 2 + x[1] - 2,
            lambda x: (
                -4 * x[0] ** 4 + 32 * x[0] ** 3 - 88 * x[0] ** 2 + 96 * x[0] + x[1] - 36
            ),
        ),
        BELOW,
        [(0, 3), (0, 4)],
        -5.50801327,
    ),
    "Gomez and Levy": Problem(
        lambda x: (
            4 * x[0] ** 2
            - 2.1 * x[0] ** 4
            + x[0] ** 6 / 3
            + x[0] * x[1]
            - 4 * x[1] ** 2
            + 4 * x[1] ** 4
        ),
        of_rows(
            lambda x: (
                2 * jnp.sin(2 * jnp.pi * x[1]) ** 2 - jnp.sin(4 * jnp.pi * x[0]) - 1.5
            )
        ),
        BELOW,
        [(-1, 0.75), (-1, 1)],
        -1.031628453,
    ),
    "spring": Problem(
        lambda x: (x[2] + 2) * x[1] * x[0] ** 2,
        of_rows(
            lambda x: 1 - x[1] ** 3 * x[2] / (71785 * x[0] ** 4),
            lambda x: (
                (4 * x[1] ** 2 - x[0] * x[1]) / (12566 * (x[1] * x[0] ** 3 - x[0] ** 4))
                + 1 / (5108 * x[0] ** 2)
                - 1
            ),
            lambda x: 1 - 140.45 * x[0] / (x[1] ** 2 * x[2]),
            lambda x: (x[0] + x[1]) / 1.5 - 1,
        ),
        BELOW,
        [(0.05, 2), (0.25, 1.3), (2, 15)],
        0.0126652328,
    ),
    "Townsend": Problem(
        lambda x: (
            -(jnp.cos((x[0] - 0.1) * x[1]) ** 2) - x[0] * jnp.sin(3 * x[0] + x[1])
        ),
        lambda x: jnp.atleast_1d(jnp.sum(x**2) - heart(jnp.arctan2(x[0], x[1]))),
        BELOW,
        [(-2.25, 2.25), (-2.5, 1.75)],
        -2.0239884,
    ),
}


def heart(angle: jax.Array) -> jax.Array:
    """Return the squared radius of Townsend's region."""
    waves = (
        2 * jnp.cos(angle)
        - jnp.cos(2 * angle) / 2
        - jnp.cos(3 * angle) / 4
        - jnp.cos(4 * angle) / 8
    )
    return waves**2 + 4 * jnp.sin(angle) ** 2


class Outcome(NamedTuple):
    """The place where a solver ended, and what it cost."""

    x: np.ndarray
    cost: int
    seconds: float
    said: bool | None = None
    """`success` of `minimize`."""

    def solved(self, problem: Problem) -> bool:
        """Return whether it is feasible and as low as the optimum."""
        fun = float(problem.fun(jnp.asarray(self.x)))
        return problem.violation(
            self.x
        ) <= FEASIBLE and fun <= problem.optimum + ACCURACY * max(
            abs(problem.optimum), ACCURACY
        )


def ours(problem: Problem, start: np.ndarray) -> Outcome:
    """Run `minimize`."""
    began = time.process_time()
    constraint = optimize.NonlinearConstraint(problem.constraint, *problem.sides)
    result = langevax.minimize(
        problem.fun,
        jnp.asarray(start),
        key=jax.random.key(SEED),
        bounds=problem.box,
        constraints=constraint,
        max_evaluations=COST * len(start),
    )
    cost = result.nfev + 3 * result.njev
    return Outcome(
        np.asarray(result.x), cost, time.process_time() - began, bool(result.success)
    )


def from_many_places(problem: Problem, start: np.ndarray) -> Outcome:
    """Run SLSQP from random places until the budget is spent; the lowest feasible end."""
    began, rng = time.process_time(), np.random.default_rng(SEED)
    fun, slopes = jax.jit(problem.fun), jax.jit(jax.grad(problem.fun))
    limits = optimize.NonlinearConstraint(
        jax.jit(problem.constraint),
        *problem.sides,
        jac=jax.jit(jax.jacobian(problem.constraint)),  # pyright: ignore[reportArgumentType]
    )
    low, high = np.array(problem.box, float).T
    best, lowest, cost = start, np.inf, 0
    while cost < COST * len(start):
        end = optimize.minimize(
            lambda x: float(fun(x)),
            rng.uniform(low, high),
            jac=lambda x: np.asarray(slopes(x)),
            bounds=problem.box,
            constraints=limits,
            method="SLSQP",
        )
        cost += end.nfev + 3 * end.njev
        if end.fun < lowest and problem.violation(end.x) <= FEASIBLE:
            best, lowest = end.x, end.fun
    return Outcome(best, cost, time.process_time() - began)


def by_evolution(problem: Problem, _: np.ndarray) -> Outcome:
    """Run SciPy's differential evolution with its own handling of constraints."""
    began, fun, constraint = (
        time.process_time(),
        jax.jit(problem.fun),
        jax.jit(problem.constraint),
    )
    end = optimize.differential_evolution(
        lambda x: float(fun(x)),
        problem.box,
        constraints=optimize.NonlinearConstraint(
            lambda x: np.asarray(constraint(x)), *problem.sides
        ),
        rng=SEED,
        maxiter=COST // 15 - 1,
        tol=0,  # the whole budget
    )
    return Outcome(end.x, end.nfev, time.process_time() - began)


SOLVERS = {
    "minimize": ours,
    "SLSQP from many places": from_many_places,
    "differential_evolution": by_evolution,
}


def main(arguments: Sequence[str] = ()) -> None:
    """Print a row for each problem, and how many each solver solved."""
    print(f"| problem | d | {' | '.join(SOLVERS)} | cost, success |")
    print("|---|---|" + "---|" * (len(SOLVERS) + 1))
    solved = dict.fromkeys(SOLVERS, 0)
    with jax.enable_x64(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in arguments or PROBLEMS:
            problem = PROBLEMS[name]
            low, high = np.array(problem.box, float).T
            start = np.random.default_rng(3).uniform(low, high)
            outcomes = {solver: run(problem, start) for solver, run in SOLVERS.items()}
            for solver, outcome in outcomes.items():
                solved[solver] += outcome.solved(problem)
            cells = [
                f"{'yes' if outcome.solved(problem) else 'no'}, {outcome.seconds:.0f} s"
                for outcome in outcomes.values()
            ]
            mine = outcomes["minimize"]
            print(
                f"| {name} | {len(start)} | {' | '.join(cells)} | {mine.cost:,}, {mine.said} |",
                flush=True,
            )
    print(f"| solved | | {' | '.join(map(str, solved.values()))} | |")
