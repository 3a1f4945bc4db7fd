"""The six solvers behind the estimators, beside peers, on the same splits; and what a step of coordinate ascent costs.

Scores are of five folds (shuffled, seed 0; stratified for classes), Friedman-1 at 20,640 rows the first of them, as in
`tables`. The gap is that of the last fold's dual vector, averaged over the last half of training: as it is, and after
the certificate's polish.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import is_classifier

import langevax as lx
from benchmarks.beside.case import Candidate, Case
from benchmarks.tables import TABLES, cross_validate, splits
from langevax.evaluation.peers import peers
from langevax.sklearn.solvers import SOLVERS

SHOWN = ("diabetes", "breast cancer", "digits", "friedman 20,640")
CERTIFIED = ("diabetes", "breast cancer")


def scores() -> None:
    """Scores, seconds and gaps of every solver."""
    print(f"{'table':>16}  {'solver':<26} {'score':>7} {'sd':>6} {'seconds a fit':>14}   gap, unpolished    polished")
    for name in SHOWN:
        load, kind, folds = TABLES[name]
        table, classes = load(), is_classifier(kind())
        train, answers = list(splits(table, classes, folds))[-1][:2]
        for solver in SOLVERS:
            kind(solver=solver, random_state=0).fit(*next(splits(table, classes, 1))[:2])  # compiles
            mean, deviation, seconds = cross_validate(
                lambda solver=solver, kind=kind: kind(solver=solver, random_state=0), table, classes, folds
            )
            gaps = ""
            if name in CERTIFIED:
                model = kind(solver=solver, random_state=0).fit(train, answers)
                found = [model.certificate(polish=polish) for polish in (0, 2)]
                gaps = "   ".join(
                    f"{c.gap:.4f} ± {c.standard_error:.4f}{'' if c.trustworthy else ' (not trusted)'}" for c in found
                )
            print(f"{name:>16}  {solver:<26} {mean:>7.4f} {deviation:>6.4f} {seconds:>14.2f}   {gaps}", flush=True)
        for peer, estimator in peers("classification" if classes else "regression").items():
            mean, deviation, seconds = cross_validate(lambda estimator=estimator: estimator, table, classes, folds)
            print(f"{name:>16}  {peer:<26} {mean:>7.4f} {deviation:>6.4f} {seconds:>14.2f}", flush=True)


ROWS, COLUMNS, PARTICLES = 10_000, 10, 2000


def risk() -> lx.MeanFieldRisk:
    """Of the coordinate step."""
    rng = np.random.default_rng(0)
    inputs = np.float32(rng.normal(size=(ROWS, COLUMNS)) / np.sqrt(COLUMNS))
    return lx.MeanFieldRisk(lx.neurons.Tanh(), lx.losses.squared, inputs, np.tanh(3 * inputs[:, 0]), precision=1.0)


def cloud(problem: lx.MeanFieldRisk) -> jax.Array:
    """Its particles."""
    return problem.prior(1.0, PARTICLES)(jax.random.key(0))


def coordinate_steps(steps: int) -> Callable[[], Any]:
    """Coordinate ascent between refreshes."""
    problem, key = risk(), jax.random.key(1)
    ascent = lx.meanfield.PSDCA(1.0, period=10**6)  # hot, so that no refresh falls into the stretch that is timed
    start = cloud(problem)
    options = {"key": key, "num_steps": steps, "progress": False}
    assert lx.simulate(ascent, problem, start, **options).counts["refreshes"] == 0
    return lambda: lx.simulate(ascent, problem, start, **options).state


def full_steps(steps: int) -> Callable[[], Any]:
    """Full gradient steps of the same cloud."""
    problem = risk()
    start = cloud(problem)
    options = {"key": jax.random.key(1), "num_steps": steps, "progress": False}
    return lambda: lx.simulate(lx.meanfield.MFLD(0.1, 1.0), problem, start, **options).state


def activations(steps: int) -> Callable[[], Any]:
    """One row's activations and their weighted mean."""
    problem = risk()
    start = cloud(problem)

    @jax.jit
    def loop(cloud: jax.Array) -> jax.Array:
        def body(row: jax.Array, total: jax.Array) -> jax.Array:
            h = jax.vmap(problem.neuron, in_axes=(0, None))(cloud, problem.inputs[row % ROWS])
            return total + jax.nn.softmax(total * h) @ h

        return jax.lax.fori_loop(0, steps, body, jnp.zeros((), cloud.dtype))

    return lambda: loop(start).block_until_ready()


CASES = (
    Case(
        f"P-SDCA between refreshes, n = {ROWS:,}, d = {COLUMNS}, M = {PARTICLES:,}",
        "a coordinate step",
        (
            Candidate("langevax", coordinate_steps, 5000, "ours"),
            Candidate("a full gradient step of the cloud", full_steps, 10, aim=500),
            Candidate("the activations of one row alone", activations, 10_000, "floor"),
        ),
    ),
)


def main() -> None:
    """Print scores, seconds and gaps."""
    scores()


if __name__ == "__main__":
    main()
