"""The six solvers behind the estimators, beside peers, on the same splits; and what a step of coordinate ascent costs.

Scores are of five folds (shuffled, seed 0; stratified for classes), Friedman-1 at 20,640 rows the first of them, as in
`tables`. The gap is that of the last fold's dual vector, averaged over the last half of training: as it is, and after
the certificate's polish.
"""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import is_classifier

import langevax as lx
from benchmarks.tables import TABLES, cross_validate, splits
from benchmarks.timing import in_turns, median, ratio
from langevax.report.peers import peers
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


def coordinate_step() -> None:
    """A step of coordinate ascent between refreshes, against a full gradient step of the same cloud."""
    n, d, num_particles = 10_000, 10, 2000
    rng = np.random.default_rng(0)
    inputs = np.float32(rng.normal(size=(n, d)) / np.sqrt(d))
    risk = lx.MeanFieldRisk(lx.neurons.Tanh(), lx.losses.squared, inputs, np.tanh(3 * inputs[:, 0]), precision=1.0)
    cloud, key, steps = risk.prior(1.0, num_particles)(jax.random.key(0)), jax.random.key(1), 2000
    ascent = lx.meanfield.PSDCA(1.0, period=10**6)  # hot, so that no refresh falls into the stretch that is timed
    assert lx.simulate(ascent, risk, cloud, key=key, num_steps=steps).counts["refreshes"] == 0
    mfld = lx.meanfield.MFLD(0.1, 1.0)
    times = in_turns(
        {
            "ascent": lambda: lx.simulate(ascent, risk, cloud, key=key, num_steps=steps).state,
            "full": lambda: lx.simulate(mfld, risk, cloud, key=key, num_steps=10).state,
        },
        repeats=5,
    )
    one, whole = median(times["ascent"]) / steps * 1e6, median(times["full"]) / 10 * 1e6
    floor = _activations(risk, cloud)
    print(f"\nn = {n:,}, {num_particles} particles, d = {d}")
    print(f"  a coordinate step {one:.1f} us, a full gradient step {whole:.0f} us")
    print(f"  full / coordinate {ratio(times, 'full', 'ascent') * steps / 10:.0f}   (aim 500)")
    print(f"  the activations of one row alone, in a compiled loop: {floor:.1f} us")


def _activations(risk: lx.MeanFieldRisk, cloud: jax.Array) -> float:
    """Microseconds of one row's activations and of their weighted mean."""

    @jax.jit
    def loop(cloud: jax.Array) -> jax.Array:
        def body(row: jax.Array, total: jax.Array) -> jax.Array:
            h = jax.vmap(risk.neuron, in_axes=(0, None))(cloud, risk.inputs[row])
            return total + jax.nn.softmax(total * h) @ h

        return jax.lax.fori_loop(0, 5000, body, jnp.zeros((), cloud.dtype))

    return median(in_turns({"loop": lambda: loop(cloud).block_until_ready()}, repeats=5)["loop"]) / 5000 * 1e6


def main() -> None:
    """All of it."""
    scores()
    coordinate_step()


if __name__ == "__main__":
    main()
