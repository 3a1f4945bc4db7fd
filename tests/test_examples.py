"""Every script of examples/ runs in its quick form, draws its picture, and finds what it is there to show.

Ranges are wide enough for another seed or processor and too narrow for a method that is broken.
"""

import importlib.util
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from benchmarks.curves import Series
from benchmarks.curves_and_graphs.data import DataSet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::langevax.sampling.SamplingWarning"
    ),  # as short as the tests run them
    pytest.mark.filterwarnings("ignore::langevax.predictive_law.PredictiveWarning"),
]

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = {path.stem for path in EXAMPLES.glob("*.py") if not path.stem.startswith("_")}

SHOWN = {
    "certified_network": {"score": (0.35, 0.55), "width": (0.0, 0.07)},
    "darcy": {
        "langevin: off": (0, 0.35), "langevin: sd": (0.8, 1.2),
        "inside": (0.7, 1),
    },
    "doctor_visits": {"off": (0, 0.5), "narrowest": (0.7, 1.1), "widest": (0.9, 1.4), "chronic diseases": (0.1, 0.35)},
    "feature_learning": {
        "no step: risk": (0.084, 0.104), "step 1: risk": (0.08, 0.1), "step √N: risk": (0.031, 0.0401),
        "no step: predicted": (0.094, 0.0955), "step √N: predicted": (0.038, 0.0395), "floor": (0.04, 0.0402),
    },
    "federated_digits": {
        "FLEDGE, step 0.1: above": (0, 0.02), "FLEDGE, step 0.1: accuracy": (0.92, 0.96),
        "FLEDGE, step 0.1: vectors": (770, 770), "FedAvg, step 0.1: above": (0.15, 0.3),
        "FedAvg, step 0.1: vectors": (2000, 2000),
    },
    "few_neurons": {"two phases, 5 neurons": (0.46, 0.54), "ridge regression": (0.47, 0.5)},
    "heat_equation": {"off": (0, 0.25), "narrowest": (0.85, 1.05), "widest": (0.95, 1.15)},
    "molecules": {"score": (0.8, 1), "sizes": (0.02, 2)},
    "network_weights": {
        "posterior: accuracy": (0.87, 0.93), "posterior: accuracy of one draw": (0.75, 0.87),
        "ten times colder: accuracy": (0.9, 0.95), "posterior: sure": (0.7, 0.85), "posterior: loss": (0.35, 0.5),
        "Adam: accuracy": (0.91, 0.95),
    },
    "palette": {"best": (0.0090, 0.00902), "annealed chains": (0.5, 1), "descent, same starts": (0, 0.3)},
    "posterior": {"off": (0, 0.3), "ratio": (0.9, 1.1), "SVRG-LD: error": (0, 0.6)},
    "robust_regression": {
        "KernelLangevinRegressor(loss='student'): error": (70, 82),
        "KernelLangevinRegressor(loss='student'): inside": (0.82, 0.96),
        "KernelLangevinRegressor(loss='squared'): error": (76, 90), "student: moves by": (0, 150),
        "squared: moves by": (500, 1200),
    },
    "shapes": {"basis": (0.3, 0.8), "gain": (0.1, 0.7), "unknown": (0, 0.1)},
    "argon": {"energy": (-16.5055, -16.5053), "known": (0.5, 1.01)},
    "countries": {"R2": (0.7, 0.75), "SCAFFOLD-M": (0, 0.05), "FedAvg": (0, 0.2)},
    "county_rates": {"share": (0, 0.1), "gain": (0.1, 1), "spread": (1.1, 1.6), "estimated": (1, 8), "raw": (12, 25)},
    "digit_neurons": {"accuracy": (0.95, 1), "left": (0, 10), "right": (-10, 0)},
    "doctor_counts": {"share": (0, 0.3), "loss": (0.2, 2), "unseen": (0.2, 2), "Bayes: none, off": (-0.4, -0.1)},
    "inpainting": {"error": (0.4, 0.85), "inside": (0.75, 0.97)},
    "nile": {"length: off": (0, 0.5), "length: sd": (0.7, 1.3), "noise: off": (0, 0.4), "noise: sd": (0.8, 1.2)},
    "nist_curve": {"ratio": (0.999999, 1.000001), "local": (0.05, 0.35)},
    "rare_cases": {
        "share": (0.035, 0.042), "at one half": (0.97, 1.03), "at the optimum": (0.75, 0.97),
        "over the least": (1, 1.1), "calibration": (0, 0.04), "gain over logistic": (-0.005, 0.01),
    },
    "singular_model": {
        "a x₁ + b x₂: 1000": (0.9, 1.1), "a x₁ + b x₂: 1000, errors": (0, 4), "a b x: 1000": (0.85, 1.15),
        "a b x: 1000, errors": (0, 4), "a² b² x: 1000": (0.8, 1.2), "a² b² x: 1000, errors": (0, 4),
    },
    "skewed_incomes": {
        "dollars: inside": (0.8, 1), "logarithm: inside": (0.8, 1), "dollars: below": (0.4, 0.9),
        "logarithm: below": (0, 0),
    },
    "sunspot_periods": {"worst": (0, 0.1), "second mode": (0.07, 0.09)},
    "temperature": {"chosen": (0.3, 0.55), "behind the best": (-0.05, 0.08), "coldest, training": (0.6, 1)},
    "transformer": {
        "refused": (1, 1), "learned": (2.5, 2.9), "grows": (1, 10), "errors": (0, 2),
    },
    "which_columns": {
        "score": (0.4, 0.52), "forest": (0.35, 0.48), "body mass index": (0.1, 0.3), "triglycerides": (0.08, 0.3),
        "age": (-0.02, 0.03),
    },
}  # fmt: skip
"""What a script returns, and between which two numbers it lies."""

WRITERS = {"curves", "tables"}
"""Scripts that write CSV and draw nothing."""


MOSTLY_COMPILING = {
    "county_rates",
    "doctor_counts",
    "doctor_visits",
    "feature_learning",
    "federated_digits",
    "few_neurons",
    "heat_equation",
    "molecules",
    "rare_cases",
    "skewed_incomes",
    "temperature",
    "which_columns",
}
"""Scripts whose quick form takes less time where XLA does not search for faster code; the others take more."""


def script(name, monkeypatch):
    """The script as a module, imported by its path as Python would run it."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "path", list(sys.path))  # scripts add to it
    spec = importlib.util.spec_from_file_location(
        f"examples_{name}", EXAMPLES / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def planted_molecules():
    """Rings of carbon with some oxygen, whose solubility falls with their size: the published ones are a download."""
    random = np.random.default_rng(0)
    sizes = random.integers(4, 20, size=120)
    rings = [
        ([(i, (i + 1) % n, "single") for i in range(n)], ["O"] + ["C"] * (n - 1))
        for n in sizes
    ]
    targets = 2 - sizes / 4 + 0.1 * random.normal(size=len(sizes))
    return DataSet(
        "planted", "graphs", "R2", rings, targets, [(np.arange(90), np.arange(90, 120))]
    )


def planted_outlines(_name):
    """Noise with a rising or a falling ramp anywhere: the published outlines are a download."""
    random, kinds = np.random.default_rng(0), np.arange(80) % 2
    X = 0.2 * random.normal(size=(80, 1, 80))
    for x, place, kind in zip(
        X[:, 0], random.integers(5, 68, size=80), kinds, strict=True
    ):
        x[place : place + 7] += np.linspace(-2, 2, 7) * (1 if kind else -1)
    labels = np.where(kinds, "rising", "falling")
    return Series("planted", X[:40], labels[:40], X[40:], labels[40:])


def test_each_script_is_tested():
    assert SHOWN.keys() | WRITERS == SCRIPTS, "give a new script its ranges in SHOWN"


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=pytest.mark.mostly_compiling if name in MOSTLY_COMPILING else ()
        )
        for name in sorted(SHOWN)
    ],
)
def test_a_script_shows_its_expected_results(name, monkeypatch, tmp_path, capsys):
    with jax.numpy_dtype_promotion("standard"):
        module = script(name, monkeypatch)
        if name == "molecules":
            monkeypatch.setattr(module, "solubility", planted_molecules)
        if name == "shapes":
            monkeypatch.setattr(module, "load", planted_outlines)
        results = module.main(quick=True, out=tmp_path / "new folder")
    wrong = {
        key: results[key]
        for key, (low, high) in SHOWN[name].items()
        if not low <= results[key] <= high
    }
    assert not wrong, {key: SHOWN[name][key] for key in wrong}
    (picture,) = (tmp_path / "new folder").iterdir()
    assert f"out/{picture.name}" in module.__doc__
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in capsys.readouterr().out


def test_tables_are_written(monkeypatch, tmp_path):
    module, shapes = script("tables", monkeypatch), {}
    for name in module.TABLES:
        module.main(name, tmp_path / "new" / f"{name}.csv")
        shapes[name] = pd.read_csv(tmp_path / "new" / f"{name}.csv").shape
    assert shapes == {
        "diabetes": (442, 11),
        "breast_cancer": (569, 31),
        "wine": (178, 14),
        "digits": (1797, 65),
    }
    assert set(pd.read_csv(tmp_path / "new" / "breast_cancer.csv")["target"]) == {
        "benign",
        "malignant",
    }
    assert pd.read_csv(tmp_path / "new" / "diabetes.csv").columns[-1] == "progression"


def test_curves_are_written(monkeypatch, tmp_path):
    module = script("curves", monkeypatch)
    grid, curves = np.linspace(850, 1050, 3), np.arange(12.0).reshape(4, 3)
    splits = [(np.arange(2), np.arange(2, 4))]
    spectra = DataSet(
        "Tecator", "curves", "RMSE", curves, np.arange(4.0), splits, {"grid": grid}
    )
    motions = DataSet(
        "GunPoint", "curves", "accuracy", curves, np.array([1, 2, 2, 1]), splits
    )
    monkeypatch.setattr(module, "tecator", lambda: spectra)
    monkeypatch.setattr(module, "gunpoint", lambda: motions)
    module.main("Tecator", tmp_path / "tecator.csv")
    module.main("GunPoint", tmp_path / "gunpoint.csv")
    tecator, gunpoint = (
        pd.read_csv(tmp_path / f"{name}.csv") for name in ("tecator", "gunpoint")
    )
    assert list(tecator.columns) == ["850", "950", "1050", "target"]
    np.testing.assert_array_equal(
        tecator.to_numpy(), np.column_stack([curves, np.arange(4)])
    )
    assert list(gunpoint["target"]) == ["gun", "point", "point", "gun"]


def test_the_command_line_of_a_script(monkeypatch, capsys):
    """--quick and --out reach `main`, and the help is the script's own text."""
    shared, calls = script("_shared", monkeypatch), []
    main = lambda quick=False, out=None: calls.append((quick, out))
    monkeypatch.setattr(sys, "argv", ["name.py", "--quick", "--out", "elsewhere"])
    shared.command(main)
    monkeypatch.setattr(sys, "argv", ["name.py"])
    shared.command(main)
    assert calls == [(True, Path("elsewhere")), (False, Path("out"))]
    monkeypatch.setattr(sys, "argv", ["name.py", "--help"])
    with pytest.raises(SystemExit):
        shared.command(main)
    assert "finds what it is there to show" in capsys.readouterr().out
