"""Contents of two reports, from real tables and a small network trained here in NumPy."""

import dataclasses

import numpy as np
from sklearn.datasets import load_diabetes, load_wine

from langevax.app.evaluation.certainty import Coverage, calibration_of
from langevax.app.evaluation.comparison import BASE, OURS, Comparison, Score
from langevax.app.evaluation.holdout import Relevance
from langevax.app.evaluation.metrics import METRICS, measure
from langevax.app.report import summary
from langevax.app.report.contents import (
    ColumnReading,
    CoolingContents,
    CurveContents,
    FitContents,
    FunctionBand,
    TableReading,
)

STEPS = 300
SETTINGS = {
    "command": {"test_share": 0.3, "seed": 0},
    "network": {
        "num_particles": 512,
        "temperature": 0.0031,
        "step_size": 0.1,
        "num_steps": 20000,
        "output_scale": 4.0,
    },
}
VERSIONS = {"langevax": "0.2.0", "jax": "0.10.2", "numpy": "2.4.6", "python": "3.11.9"}


def standardised(table):
    return (table - table.mean(0)) / table.std(0)


def train(inputs, targets, num_particles=120, seed=0, scale=5.0):
    """Noisy gradient descent of a two-layer tanh network, as a function of points."""
    rng = np.random.default_rng(seed)
    size, width, outputs = len(inputs), inputs.shape[1], targets.shape[1]
    inner, outer = (
        rng.normal(size=(num_particles, width)),
        rng.normal(size=(num_particles, outputs)),
    )
    for _ in range(STEPS):
        hidden = np.tanh(inputs @ inner.T)
        error = scale * hidden @ outer / num_particles - targets
        slope = (error @ outer.T) * (1 - hidden**2)
        inner += -0.15 * (
            scale * slope.T @ inputs / size + 0.02 * inner
        ) + 0.05 * rng.normal(size=inner.shape)
        outer += -0.15 * (
            scale * hidden.T @ error / size + 0.02 * outer
        ) + 0.05 * rng.normal(size=outer.shape)

    return lambda points: scale * np.tanh(points @ inner.T) @ outer / num_particles


def compared(task, observed, outputs, others):
    """A network on two folds, beside the base rate and outputs of other methods by name."""
    if task == "regression":
        base = np.full(len(observed), observed.mean())
    else:
        base = np.tile(
            np.bincount(observed, minlength=outputs.shape[1]) / len(observed),
            (len(observed), 1),
        )
    methods = {OURS: outputs, BASE[task]: base, **others}
    fold = np.arange(len(observed)) % 2
    measured = [
        measure(metric, observed, list(methods.values()), fold, 0)
        for metric in METRICS[task]
    ]
    scores = [
        Score(
            name, tuple(one[i] for one in measured), 1.5 * i, i == 0, "defaults", i == 1
        )
        for i, name in enumerate(methods)
    ]
    return Comparison(np.arange(len(observed)), fold, observed, outputs, tuple(scores))


def probabilities(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def reading(names, target):
    remark = "Column 'age' holds 1 word among 442 numbers: 'unknown' in data row 4 counts as missing."
    columns = [
        ColumnReading(target, "target", "numbers", 442, 0, 0, "25 to 346, median 140.5")
    ]
    columns += [
        ColumnReading(
            name,
            "input",
            "numbers",
            441,
            1,
            0,
            "19 to 79, median 50",
            (remark,) if name == "age" else (),
        )
        for name in names
    ]
    left_out = (
        "Column 'id' is left out: it numbers the rows; use it with --read id=numbers."
    )
    columns.append(
        ColumnReading(
            "id",
            "left out",
            "numbers",
            442,
            0,
            0,
            "1 to 442, median 221.5",
            (left_out,),
        )
    )
    return TableReading(
        442,
        f"{len(names)} of numbers, as {len(names)} inputs",
        tuple(columns),
        ("Read as UTF-16.",),
    )


def certificate(trustworthy=True):
    work = (2e5, 8e6, 4e7, 4.2e7, 1.1e8, 1.3e8)
    lower, upper = (
        (0.0, 0.0, 0.0, 0.2595, 0.2612, 0.26171),
        (0.5, 0.31, 0.2641, 0.2641, 0.2627, 0.26202),
    )
    return {
        "history": tuple(zip(work, lower, upper, strict=True)),
        "lower_bound": 0.26171,
        "upper_bound": 0.26202,
        "width": 3.14e-4,
        "unknown_share": 1.3e-3 if trustworthy else 0.4,
        "prior_objective": 0.5,
        "trustworthy": trustworthy,
        "verdict": (
            "The least training objective lies between 0.2617 and 0.2620 (95 % each end)."
            if trustworthy
            else "Not certified: between 0.2617 and 0.2620, 40% of what the untrained prior leaves; raise effort."
        ),
        "num_descents": 3000,
        "work": 1_000_000,
    }


def regression(trustworthy=True, **size):
    """The diabetes table."""
    data = load_diabetes()
    inputs, target = standardised(data.data), data.target
    centre, width = target.mean(), target.std()
    train_rows, test_rows = (
        np.arange(len(target)) % 3 != 0,
        np.arange(len(target)) % 3 == 0,
    )
    outputs_of = train(
        inputs[train_rows], ((target - centre) / width)[train_rows, None], **size
    )
    observed = target[test_rows]
    predicted = centre + width * outputs_of(inputs[test_rows])[:, 0]
    comparison = compared(
        "regression",
        observed,
        predicted,
        {"linear": predicted + 4, "random forest": 0.2 * predicted + 0.8 * centre},
    )
    coverage = Coverage(0.9, 131, 148, 170.0, 230.0)
    names = tuple(data.feature_names)
    mean = np.array(
        [0.004, 0.021, 0.163, 0.072, 0.012, 0.006, 0.028, -0.003, 0.148, 0.009]
    )
    return FitContents(
        table="diabetes.csv",
        target="disease progression after one year",
        summary=summary.worth(comparison, "disease progression after one year", ()),
        comparison=comparison,
        reading=reading(names, "disease progression after one year"),
        certainty=summary.certainty(coverage, None, ()),
        calibration=None,
        optimum=summary.optimum(certificate(trustworthy), 0.0031, 294),
        certificate=certificate(trustworthy),
        relevance=Relevance(names, mean, 0.004 + 0.12 * np.abs(mean), 148),
        cooling=CoolingContents(
            temperature=np.array([4.0, 1.4, 0.49, 0.17, 0.06]),
            loss=np.array([0.5, 0.34, 0.26, 0.243, 0.25]),
            error=np.array([0.02, 0.01, 0.004, 0.0, 0.003]),
            chosen=3,
            trained_temperature=np.array([4.0, 1.4, 0.49, 0.17, 0.17]),
            trained_loss=np.array([0.49, 0.33, 0.24, 0.21, 0.212]),
        ),
        settings=SETTINGS,
        command="langevax fit diabetes.csv --target progression --seed 0 --report report.html",
        versions=VERSIONS,
    )


def classification(classes=("Barolo", "Grignolino", "Barbera"), **size):
    """The wine table."""
    data = load_wine()
    pair = [12, 9]
    inputs, labels = (
        standardised(data.data[:, pair]),
        np.minimum(data.target, len(classes) - 1),
    )
    padded = np.column_stack([inputs, np.ones(len(inputs))])
    outputs_of = train(padded, np.eye(len(classes))[labels] - 1 / len(classes), **size)
    names = tuple(data.feature_names)
    mean = np.linspace(0.21, -0.002, len(names))
    held_out = np.arange(len(labels)) % 3 == 0
    outputs = probabilities(outputs_of(padded[held_out]))
    comparison = compared(
        "classification",
        labels[held_out],
        outputs,
        {"linear": probabilities(3 * np.log(outputs))},
    )
    calibration = calibration_of(labels[held_out], outputs, tuple(classes))
    return FitContents(
        table="wine.csv",
        target="cultivar",
        summary=summary.worth(comparison, "cultivar", tuple(classes)),
        comparison=comparison,
        reading=reading(names, "cultivar"),
        certainty=summary.certainty(None, calibration, tuple(classes)),
        calibration=calibration,
        optimum=summary.optimum(certificate(), 0.0031, 118),
        certificate=certificate(),
        relevance=Relevance(names, mean, np.full(len(names), 0.012)),
        classes=tuple(classes),
        settings=SETTINGS,
        command="langevax fit wine.csv --target cultivar --seed 0 --report report.html",
        versions=VERSIONS,
    )


def on_curves(
    channels=("absorbance",),
    **size,
):
    """Functions that a network might have learned of curves."""
    contents, t = regression(**size), np.linspace(850, 1050, 40)
    bumps = np.exp(-(((t - 930) / 20) ** 2))

    def functions(label):
        ends = np.array([-1.0, 1.0])[:, None]
        return FunctionBand(
            label, t, -3 * bumps, -3 * bumps + 0.2 * ends, -3 * bumps + ends
        )

    curves = CurveContents(
        time="wavelength (nm)",
        response="fat",
        slopes=tuple(map(functions, channels)),
    )
    return dataclasses.replace(contents, curves=curves, unit="curve")
