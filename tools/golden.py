"""Golden results: `python -m tools.golden [--record] [PART ...]`; without `--record` they are compared with golden.json.

Draws for fixed keys, fits, certificates, federated rounds and the numbers of a report, each a short list of numbers.
A change that does not mean to alter results leaves every one of them within the last digits of float32; one that does
records them anew and says so in its commit. The numbers belong to one kind of processor and one version of JAX: on
another, record them from the commit before the change.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import sklearn.datasets

import langevax as lx
from tools.packages import ROOT

FILE = Path(__file__).with_suffix(".json")
TOLERANCE = 1e-5
"""Largest relative difference, of float32 results that are computed in another order."""
KEY = jax.random.key(7)

Numbers = Iterator[tuple[str, object]]
PARTS: dict[str, Callable[[], Numbers]] = {}


def part(function: Callable[[], Numbers]) -> Callable[[], Numbers]:
    """Enter a function among the parts, under its name."""
    PARTS[function.__name__] = function
    return function


def _rows(size: int = 60) -> tuple[jnp.ndarray, jnp.ndarray]:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(size, 3)).astype(np.float32)
    noise = 0.1 * generator.normal(size=size)
    targets = features @ [1.0, -2.0, 0.5] + np.sin(features[:, 0]) + noise
    return jnp.asarray(features), jnp.asarray(targets, jnp.float32)


def _loss(position: jax.Array, row: tuple[jax.Array, jax.Array]) -> jax.Array:
    return jnp.log1p((row[0] @ position - row[1]) ** 2)


@part
def samplers() -> Numbers:
    """Return where each algorithm of R^d and each gradient estimator ends."""
    problem = lx.FiniteSum(_loss, _rows(), precision=0.1)
    start = jnp.zeros(3)
    sizes = {"step_size": 0.05, "temperature": 0.1}
    estimators = {
        "full": lx.gradients.Full(),
        "minibatch": lx.gradients.Minibatch(batch_size=8),
        "svrg": lx.gradients.SVRG(batch_size=8, period=5),
        "sarah": lx.gradients.SARAH(batch_size=8, period=5),
        "sledge": lx.gradients.SLEDGE(batch_size=8),
        "storm": lx.gradients.STORM(batch_size=8, momentum=0.1),
    }
    algorithms = {
        f"langevin, {name}": lx.Langevin(**sizes, gradient=gradient)
        for name, gradient in estimators.items()
    }
    for name in ("SemiImplicit", "Exponential", "CrankNicolson"):
        integrator = getattr(lx.integrators, name)()
        algorithms[name] = lx.Langevin(**sizes, integrator=integrator)
    algorithms["mala"] = lx.MALA(**sizes)
    algorithms["pcn"] = lx.PCN(**sizes)
    algorithms["pcnl"] = lx.PCNL(**sizes)
    algorithms["underdamped"] = lx.Underdamped(**sizes, friction=1.0)
    for name, algorithm in algorithms.items():
        result = lx.simulate(algorithm, problem, start, key=KEY, num_steps=40)
        yield name, result.position


@part
def networks() -> Numbers:
    """Return outputs of mean-field algorithms, and an interval of the optimum."""
    inputs, targets = _rows()
    risk = lx.MeanFieldRisk(
        lx.neurons.Tanh(3.0), lx.losses.squared, inputs, targets, precision=1.0
    )
    sizes = {"step_size": 0.05, "temperature": 0.1}
    algorithms = {
        "mfld": lx.meanfield.MFLD(**sizes),
        "pda": lx.meanfield.PDA(**sizes),
        "fictitious play": lx.meanfield.FictitiousPlay(**sizes),
        "psdca": lx.meanfield.PSDCA(temperature=0.1),
    }
    start = jax.random.normal(KEY, (16, 4))
    for name, algorithm in algorithms.items():
        result = lx.simulate(algorithm, risk, start, key=KEY, num_steps=20)
        yield name, result.position[:3]
    certificate = lx.meanfield.certify(
        risk, 0.1, key=KEY, effort=1e7, clouds=[start], run=lx.Run(progress=False)
    )
    yield "certificate", [certificate.lower_bound, certificate.upper_bound]


@part
def federated() -> Numbers:
    """Return where each federated method is after three rounds, and the bytes it sent."""
    features, targets = _rows()
    problem = lx.Federation(_loss, (features.reshape(6, 10, 3), targets.reshape(6, 10)))
    settings = {"step_size": 0.05, "num_local_steps": 3}
    names = "FedAvg FedProx FedDyn SCAFFOLD SCAFFOLDM MimeSGD BVRLSGD BVRLPSGD FLEDGE"
    for name in names.split():
        method = getattr(lx.federated, name)(**settings)
        result = lx.simulate(method, problem, jnp.zeros(3), key=KEY, num_steps=3)
        yield name, [*result.position, float(result.bytes)]


@part
def sampling() -> Numbers:
    """Return means and standard deviations of draws, and what they cost."""
    features, targets = _rows()
    labels = (targets > 0).astype(jnp.float32)
    models = {
        "normal": lambda position, row: -((row[0] @ position - row[1]) ** 2) / 2,
        "logistic": lambda position, row: (
            -jnp.logaddexp(0.0, (1 - 2 * row[1]) * (row[0] @ position))
        ),
    }
    for name, log_likelihood in models.items():
        rows = (features, targets if name == "normal" else labels)
        target = lx.posterior(None, log_likelihood, rows, prior_precision=1.0)
        samples = lx.sample(
            target, jnp.zeros(3), key=KEY, num_samples=200, run=lx.Run(progress=False)
        )
        draws = np.asarray(samples.positions).reshape(-1, 3)
        yield name, [*draws.mean(0), *draws.std(0)]


@part
def minimum() -> Numbers:
    """Return the minimum of a function with many, and its evaluations."""

    def rastrigin(x: jax.Array) -> jax.Array:
        return jnp.sum(x**2 - 3 * jnp.cos(2 * jnp.pi * x) + 3)

    result = lx.minimize(rastrigin, jnp.array([2.2, -1.3]), key=KEY)
    yield "rastrigin", [*np.ravel(result.x), result.fun, result.nfev]


@part
def estimators() -> Numbers:
    """Return predictions of the estimators on real tables."""
    diabetes = sklearn.datasets.load_diabetes(return_X_y=True)
    cancer = sklearn.datasets.load_breast_cancer(return_X_y=True)
    fits = {
        "MeanFieldRegressor": (diabetes, {}),
        "MeanFieldClassifier": (cancer, {}),
        "KernelLangevinRegressor": (diabetes, {}),
        "TwoPhaseReLURegressor": (diabetes, {}),
        "PredictiveRegressor": (diabetes, {}),
    }
    for name, ((inputs, targets), settings) in fits.items():
        model = getattr(lx.sklearn, name)(random_state=0, **settings)
        model.fit(inputs[:200], targets[:200])
        classes = hasattr(model, "predict_proba")
        predict = model.predict_proba if classes else model.predict
        yield name, np.ravel(predict(inputs[200:]))[:6]


@part
def command() -> Numbers:
    """Return the scores that `langevax fit` reports of a table."""
    from typer.testing import CliRunner

    from langevax.app.main import app

    table = ROOT / "examples" / "data" / "concrete.csv"
    with tempfile.TemporaryDirectory() as folder:
        words = ["fit", str(table), "--target", "compressive_strength"]
        words += ["--num-particles", "50", "--num-steps", "100", "--skip", "peers"]
        words += ["--out", f"{folder}/fit"]
        CliRunner().invoke(app, words, catch_exceptions=False)
        result = json.loads(Path(folder, "fit", "result.json").read_text())
    yield "concrete", [score["value"] for score in result["scores"]]


def flat(value: object) -> list[float]:
    """Return the numbers of a value in a list."""
    return [float(number) for number in np.ravel(np.asarray(value, np.float64))]


def main(words: list[str] | None = None) -> int:
    """Record the parts, or print what differs; 1 where something does."""
    parser = argparse.ArgumentParser(prog="python -m tools.golden", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--record", action="store_true", help="write golden.json")
    options = parser.parse_args(words)
    recorded = json.loads(FILE.read_text()) if FILE.is_file() else {}
    changed = 0
    for name in options.parts or PARTS:
        numbers = {key: flat(value) for key, value in PARTS[name]()}
        if options.record:
            recorded[name] = numbers
            FILE.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
        for key, values in numbers.items():
            before = recorded.get(name, {}).get(key, [])
            same = len(before) == len(values) and np.allclose(
                values, before, rtol=TOLERANCE, atol=TOLERANCE
            )
            changed += not same
            print(f"{'same' if same else 'CHANGED':8} {name}: {key}", flush=True)
            if not same:
                print(f"         was {before}\n         is  {values}")
    return int(changed > 0)


if __name__ == "__main__":
    sys.exit(main())
