"""Scores of the mean-field estimators on real tables with default settings, beside peers on the same splits.

Five-fold cross-validation (shuffled, seed 0; stratified for classes), on Friedman-1 with 20,640 rows its first fold.
Peers choose their settings inside each training part. Then: longer training against Adam on the same network,
certificates, at the chosen temperature and ten times colder; the cost of compiling; the six solvers behind the
estimators, and what a step of coordinate ascent costs. A solver's gap is that of the last fold's dual vector, averaged
over the last half of training, by walks from the prior.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    make_friedman1,
)
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import langevax as lx
from benchmarks.beside.case import Candidate, Case, RunResult
from langevax.app.evaluation.peers import peers
from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor
from langevax.sklearn.solvers import SOLVERS

Table = tuple[np.ndarray, np.ndarray]
KINDS = (MeanFieldRegressor, MeanFieldClassifier)
COMPILING = "/jax/core/compile/"


def friedman(rows: int) -> Table:
    """Friedman's first function of 5 of 8 columns, noise of standard deviation 2."""
    return make_friedman1(rows, 8, noise=2.0, random_state=0)


TABLES: dict[str, tuple[Callable[[], Table], type, int]] = {
    "diabetes": (lambda: load_diabetes(return_X_y=True), MeanFieldRegressor, 5),
    "breast cancer": (
        lambda: load_breast_cancer(return_X_y=True),
        MeanFieldClassifier,
        5,
    ),
    "digits": (lambda: load_digits(return_X_y=True), MeanFieldClassifier, 5),
    "friedman 1,000": (lambda: friedman(1000), MeanFieldRegressor, 5),
    "friedman 20,640": (lambda: friedman(20_640), MeanFieldRegressor, 1),
}


def splits(table: Table, classes: bool, folds: int) -> Iterator[tuple[np.ndarray, ...]]:
    """X and y of training and test rows, fold by fold."""
    X, y = table
    splitter = (StratifiedKFold if classes else KFold)(5, shuffle=True, random_state=0)
    for _, (train, test) in zip(range(folds), splitter.split(X, y), strict=False):
        yield X[train], y[train], X[test], y[test]


def cross_validate(
    make: Callable[[], object], table: Table, classes: bool, folds: int
) -> tuple[float, float, float]:
    """(mean score, its deviation over folds, median seconds of a fit)."""
    scores, seconds = [], []
    for X, y, X_test, y_test in splits(table, classes, folds):
        began = time.perf_counter()
        model = make().fit(X, y)
        if isinstance(model, tuple):  # of a peer, with how it chose its settings
            model = model[0]
        seconds.append(time.perf_counter() - began)
        scores.append(model.score(X_test, y_test))
    return float(np.mean(scores)), float(np.std(scores)), float(np.median(seconds))


def scores() -> None:
    """The table of scores."""
    print(f"{'table':>16}  {'method':<26} {'score':>7} {'sd':>6} {'seconds a fit':>14}")
    for name, (load, kind, folds) in TABLES.items():
        table, classes = load(), is_classifier(kind())
        rows = {"mean-field network": lambda kind=kind: kind(random_state=0)}
        rows |= {
            peer: (lambda estimator=estimator: estimator)
            for peer, estimator in peers(_task(classes)).items()
        }
        kind(random_state=0).fit(*next(splits(table, classes, 1))[:2])  # compiles
        for method, make in rows.items():
            mean, deviation, seconds = cross_validate(make, table, classes, folds)
            print(
                f"{name:>16}  {method:<26} {mean:>7.4f} {deviation:>6.4f} {seconds:>14.2f}",
                flush=True,
            )


def fits(
    make: Callable[[], Any], name: str
) -> Callable[[int], Callable[[], RunResult]]:
    """Fits of a table's training parts, each with its choice of settings, and what they score on the others."""

    def maker(steps: int) -> Callable[[], RunResult]:
        load, kind, folds = TABLES[name]
        table, classes = load(), is_classifier(kind())
        if isinstance(model := make(), KINDS):
            model.fit(*next(splits(table, classes, 1))[:2])  # compiles

        def run() -> RunResult:
            score, _, seconds = cross_validate(make, table, classes, folds)
            return RunResult(1, seconds, {"R2": score})

        return run

    return maker


def unsearched() -> Any:
    """scikit-learn's network on standardised columns and answers, with its default settings."""
    network = make_pipeline(
        StandardScaler(), MLPRegressor(max_iter=300, random_state=0)
    )
    return TransformedTargetRegressor(network, transformer=StandardScaler())


def searched() -> Any:
    """The same, with its weight decay chosen by cross-validation."""
    name = "regressor__mlpregressor__alpha"
    return GridSearchCV(unsearched(), {name: (1e-3, 0.1, 10.0)}, cv=3)


TABLE_CASES = tuple(
    Case(
        f"fitting a table: {name}",
        "a fit, settings chosen in it",
        (
            Candidate(
                "langevax, MeanFieldRegressor",
                fits(lambda: MeanFieldRegressor(random_state=0), name),
                role="ours",
            ),
            Candidate(
                "scikit-learn's MLP, decay searched",
                fits(searched, name),
            ),
            Candidate("scikit-learn's MLP, its defaults", fits(unsearched, name)),
        ),
        turns=2,
        warm=False,
        limit=180,
    )
    for name in ("friedman 1,000", "friedman 20,640")
)


def adam(
    X: np.ndarray,
    y: np.ndarray,
    X_test: np.ndarray,
    y_test: np.ndarray,
    steps: list[int],
) -> list[float]:
    """R2 on the test rows of the same network trained by Adam (.003) without noise, after so many steps."""
    mean, scale = X.mean(0), X.std(0) * np.sqrt(X.shape[1])
    inputs, test = (np.float32((part - mean) / scale) for part in (X, X_test))
    risk = lx.MeanFieldRisk(
        lx.neurons.TanhTanh(10.0),
        lx.losses.squared,
        inputs,
        np.float32((y - y.mean()) / y.std()),
        precision=1.0,
    )
    cloud, optimizer = risk.prior(1.0, 500)(jax.random.key(0)), optax.adam(0.003)
    state = optimizer.init(cloud)

    @jax.jit
    def step(cloud: jax.Array, state: object) -> tuple[jax.Array, object]:
        updates, state = optimizer.update(risk.gradient(cloud), state)
        return optax.apply_updates(cloud, updates), state

    scores = []
    for number in range(1, max(steps) + 1):
        cloud, state = step(cloud, state)
        if number in steps:
            prediction = y.mean() + y.std() * np.asarray(
                risk.outputs(cloud, jnp.asarray(test))
            )
            scores.append(1 - np.mean((prediction - y_test) ** 2) / np.var(y_test))
    return scores


def longer() -> None:
    """R2 after 300, 1000 and 2000 steps, five folds."""
    steps = [300, 1000, 2000]
    print(
        f"\n{'table':>16}  {'trained by':<26} "
        + " ".join(f"{n:>6} steps" for n in steps)
    )
    for name in ("diabetes", "friedman 1,000"):
        table = TABLES[name][0]()
        ours = [
            cross_validate(
                lambda n=n: MeanFieldRegressor(num_steps=n, stop=None, random_state=0),
                table,
                False,
                5,
            )[0]
            for n in steps
        ]
        theirs = np.mean(
            [adam(*split, steps) for split in splits(table, False, 5)], axis=0
        )
        for method, row in (
            ("mean-field Langevin", ours),
            ("Adam on the same network", theirs),
        ):
            print(
                f"{name:>16}  {method:<26} "
                + " ".join(f"{score:>12.3f}" for score in row),
                flush=True,
            )


NUM_CERTIFICATES = 5


def certificates() -> None:
    """The widest interval of some seeds at the chosen temperature and at a tenth of it; the first seed compiles."""
    head = f"{'of what the prior leaves':>26} {'trusted':>8} {'CPU seconds: first, others':>28}"
    print(f"\n{'table':>16} {'temperature':>12} {'widest interval':>20} {head}")
    for name in ("diabetes", "breast cancer"):
        load, kind, _ = TABLES[name]
        chosen = kind(random_state=0).fit(*load())
        colder = kind(
            random_state=0, temperature=chosen.temperature_ / 10, scaling="columns"
        ).fit(*load())
        for model in (chosen, colder):
            results = [
                model.certificate(random_state=seed) for seed in range(NUM_CERTIFICATES)
            ]
            widest = max(results, key=lambda certificate: certificate.unknown_share)
            interval = f"[{widest.lower_bound:.4f}, {widest.upper_bound:.4f}]"
            trusted = f"{sum(certificate.trustworthy for certificate in results)}/{NUM_CERTIFICATES}"
            first, *others = [certificate.cpu_seconds for certificate in results]
            print(
                f"{name:>16} {model.temperature_:>12.2g} {interval:>20} {widest.unknown_share:>26.3f} {trusted:>8} "
                f"{first:>17.1f}, {np.median(others):>9.1f}",
                flush=True,
            )


def compilation() -> None:
    """Return the cost of the first fit of a shape above the second, compilation cache off, over new shapes.

    Beside it what JAX itself says that it traced, lowered and compiled, which does not waver with the fits.
    """
    print(
        f"\n{'shape':>16} {'first fit':>10} {'second':>8} {'compilation':>12} {'by JAX':>8}"
    )
    compiling: list[float] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: (
            compiling.append(seconds) if event.startswith(COMPILING) else None
        )
    )
    rng, extra, own = np.random.default_rng(0), [], []
    for kind, rows, columns in [
        (k, n, d) for n, d in ((437, 9), (337, 14), (567, 27)) for k in KINDS
    ]:
        X = rng.normal(size=(rows, columns))
        y = X[:, 0] + rng.normal(size=rows)
        seconds = []
        compiling.clear()
        for _ in range(2):
            began = time.perf_counter()
            kind(random_state=0).fit(X, y if kind is MeanFieldRegressor else y > 0)
            seconds.append(time.perf_counter() - began)
        extra.append(seconds[0] - seconds[1])
        own.append(sum(compiling))
        shape = f"({rows}, {columns})"
        print(
            f"{shape:>16} {seconds[0]:>10.2f} {seconds[1]:>8.2f} {extra[-1]:>12.2f} {own[-1]:>8.2f}",
            flush=True,
        )
    print(f"{'median':>16} {np.median(extra):>32.2f} {np.median(own):>8.2f}")


def _task(classes: bool) -> str:
    return "classification" if classes else "regression"


def main() -> None:
    """Print all but the solvers."""
    scores()
    longer()
    certificates()
    compilation()


SHOWN = ("diabetes", "breast cancer", "digits", "friedman 20,640")
CERTIFIED = ("diabetes", "breast cancer")


def solvers() -> None:
    """Scores, seconds and gaps of every solver."""
    print(
        f"{'table':>16}  {'solver':<26} {'score':>7} {'sd':>6} {'seconds a fit':>14}   gap"
    )
    for name in SHOWN:
        load, kind, folds = TABLES[name]
        table, classes = load(), is_classifier(kind())
        train, answers = list(splits(table, classes, folds))[-1][:2]
        for solver in SOLVERS:
            kind(solver=solver, random_state=0).fit(
                *next(splits(table, classes, 1))[:2]
            )  # compiles
            mean, deviation, seconds = cross_validate(
                lambda solver=solver, kind=kind: kind(solver=solver, random_state=0),
                table,
                classes,
                folds,
            )
            gaps = ""
            if name in CERTIFIED:
                model = kind(solver=solver, random_state=0).fit(train, answers)
                risk = model.network_.exact().risk(
                    model.temperature_
                )  # without padding
                duals = model.history_["dual"]
                dual = duals[len(duals) // 2 :].mean(0)
                estimate = lx.meanfield.duality_gap(
                    risk, dual, model.temperature_, key=jax.random.key(0)
                )
                gaps = f"{estimate.gap:.4f} ± {estimate.gap_error:.4f}"
            print(
                f"{name:>16}  {solver:<26} {mean:>7.4f} {deviation:>6.4f} {seconds:>14.2f}   {gaps}",
                flush=True,
            )
        for peer, estimator in peers(
            "classification" if classes else "regression"
        ).items():
            mean, deviation, seconds = cross_validate(
                lambda estimator=estimator: estimator, table, classes, folds
            )
            print(
                f"{name:>16}  {peer:<26} {mean:>7.4f} {deviation:>6.4f} {seconds:>14.2f}",
                flush=True,
            )


ROWS, COLUMNS, PARTICLES = 10_000, 10, 2000


def risk() -> lx.MeanFieldRisk:
    """Of the coordinate step."""
    rng = np.random.default_rng(0)
    inputs = np.float32(rng.normal(size=(ROWS, COLUMNS)) / np.sqrt(COLUMNS))
    return lx.MeanFieldRisk(
        lx.neurons.Tanh(),
        lx.losses.squared,
        inputs,
        np.tanh(3 * inputs[:, 0]),
        precision=1.0,
    )


def cloud(problem: lx.MeanFieldRisk) -> jax.Array:
    """Its particles."""
    return problem.prior(1.0, PARTICLES)(jax.random.key(0))


def coordinate_steps(steps: int) -> Callable[[], Any]:
    """Coordinate ascent between refreshes."""
    problem, key = risk(), jax.random.key(1)
    ascent = lx.meanfield.PSDCA(
        1.0, period=10**6
    )  # hot, so that no refresh falls into the stretch that is timed
    start = cloud(problem)
    options = {"key": key, "num_steps": steps, "run": lx.Run(progress=False)}
    assert lx.simulate(ascent, problem, start, **options).counts["refreshes"] == 0
    return lambda: lx.simulate(ascent, problem, start, **options).state


def full_steps(steps: int) -> Callable[[], Any]:
    """Full gradient steps of the same cloud."""
    problem = risk()
    start = cloud(problem)
    options = {
        "key": jax.random.key(1),
        "num_steps": steps,
        "run": lx.Run(progress=False),
    }
    return lambda: (
        lx.simulate(lx.meanfield.MFLD(0.1, 1.0), problem, start, **options).state
    )


def activations(steps: int) -> Callable[[], Any]:
    """One row's activations and their weighted mean."""
    problem = risk()
    start = cloud(problem)

    @jax.jit
    def loop(cloud: jax.Array) -> jax.Array:
        def body(row: jax.Array, total: jax.Array) -> jax.Array:
            h = jax.vmap(problem.neuron, in_axes=(0, None))(
                cloud, problem.inputs[row % ROWS]
            )
            return total + jax.nn.softmax(total * h) @ h

        return jax.lax.fori_loop(0, steps, body, jnp.zeros((), cloud.dtype))

    return lambda: loop(start).block_until_ready()


SOLVER_CASES = (
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


CASES = SOLVER_CASES + TABLE_CASES


if __name__ == "__main__":
    main()
