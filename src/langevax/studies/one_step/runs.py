"""What the study "one-step" measures and what it holds beside it, panel by panel."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax import random

from langevax.teacher_student import simulate_one_step
from langevax.theory.feature_learning import activation, improvement, kernel_floor, risk_one_step, spectrum_one_step

STEPS = ("none", "1", "sqrt(N)")
GAIN_STEPS = (1.0, 3.0)
SPECTRUM_STEP = 6.0
LONG_RATIO = 8.0
"""n / d of the last two panels."""
GAIN_RATIO, GAIN_RIDGE = 5.0, 1e-2
POWERS = {"full": tuple(float(power) for power in np.linspace(0, 0.5, 6)), "small": (0.0, 0.5)}


class Setting(NamedTuple):
    """The study's options."""

    student: str
    teacher: str
    samples_per_dim: tuple[float, ...]
    neurons_per_dim: float
    widths: tuple[float, ...]
    ridge: float
    noise: float
    dim: int
    num_runs: int
    fine: int
    num_test: int


_COMMON = {"student": "erf", "teacher": "erf", "neurons_per_dim": 2.0, "ridge": 1e-3, "noise": 0.1}
DEFAULTS: dict[str, dict[str, Any]] = {
    "full": _COMMON
    | {"samples_per_dim": (0.5, 1.0, 3.0, 4.0, 6.0, 8.0, 10.0), "widths": (0.5, 1.0, 1.5, 2.0, 3.0), "dim": 512}
    | {"num_runs": 12, "fine": 48, "num_test": 4096},
    "small": _COMMON
    | {"samples_per_dim": (1.0, 10.0), "widths": (0.5, 2.0), "dim": 96, "num_runs": 6, "fine": 8, "num_test": 2048},
}

Part = tuple[dict[str, Any], dict[str, Any]]
Done = Callable[[int], Any]


def simulated(setting: Setting, key: Any, **changed: Any) -> Any:
    """`simulate_one_step` at the setting, but for what is changed."""
    options = {
        "dim": setting.dim, "neurons_per_dim": setting.neurons_per_dim, "ridge": setting.ridge,
        "noise": setting.noise, "num_runs": setting.num_runs, "num_test": setting.num_test,
        "student": activation(setting.student).traced, "teacher": activation(setting.teacher).traced,
    }  # fmt: skip
    return simulate_one_step(key=key, **(options | changed))


def predicted(setting: Setting, ratio: Any, step_size: Any, finite: bool) -> np.ndarray:
    """The risk by theory, for `finite` the unified form at the number of neurons that is simulated."""
    neurons = round(setting.neurons_per_dim * setting.dim) if finite else None
    found = risk_one_step(
        ratio, setting.neurons_per_dim, setting.ridge, step_size, setting.student, setting.teacher, setting.noise,
        num_neurons=neurons,
    )  # fmt: skip
    return np.asarray(found)


def samples(setting: Setting, key: Any, done: Done) -> Part:
    """Risk against n / d for three steps; draws are the same for all of them."""
    ratios = np.array(setting.samples_per_dim)
    sizes = np.array([0.0, 1.0, round(setting.neurons_per_dim * setting.dim) ** 0.5])
    fine = np.geomspace(ratios.min(), ratios.max(), setting.fine)
    risk = np.empty((len(sizes), len(ratios), setting.num_runs))
    for i, size in enumerate(sizes):
        for j, ratio in enumerate(ratios):
            runs = simulated(setting, random.fold_in(key, j), step_size=float(size), samples_per_dim=float(ratio))
            risk[i, j] = runs.risk
            done(1)
    points, lines = ([predicted(setting, at, size, size > 1) for size in sizes] for at in (ratios, fine))
    share = {"units": "of the teacher's variance where it is 1"}
    variables = {
        "risk": (("step", "ratio", "run"), risk, share), "predicted": (("step", "ratio"), points, share),
        "line": (("step", "fine_ratio"), lines, share), "step_size": ("step", sizes, {"units": "1"}),
        "floor": ((), kernel_floor(setting.teacher), share),
    }  # fmt: skip
    return variables, {"step": list(STEPS), "ratio": ratios, "fine_ratio": fine}


def gains(setting: Setting, key: Any, done: Done) -> Part:
    """Risk without a small step less the risk with it, by networks of the same draws."""
    widths, steps = np.array(setting.widths), np.array(GAIN_STEPS)
    fine = np.geomspace(widths.min(), widths.max(), setting.fine)
    gain = np.empty((len(steps), len(widths), setting.num_runs))
    for j, width in enumerate(widths):
        common = {"samples_per_dim": GAIN_RATIO, "neurons_per_dim": float(width), "ridge": GAIN_RIDGE}
        without, *learnt = (
            simulated(setting, random.fold_in(key, j), step_size=float(size), **common).risk for size in (0.0, *steps)
        )
        gain[:, j] = without - np.array(learnt)
        done(3)
    points, lines = (
        improvement(GAIN_RATIO, at, GAIN_RIDGE, steps[:, None], setting.student, setting.teacher, setting.noise)
        for at in (widths, fine)
    )
    share = {"units": "of the teacher's variance where it is 1"}
    variables = {
        "gain": (("gain_step", "width", "run"), gain, share),
        "gain_predicted": (("gain_step", "width"), points, share),
        "gain_line": (("gain_step", "fine_width"), lines, share),
    }
    return variables, {"gain_step": steps, "width": widths, "fine_width": fine}


def powers(setting: Setting, exponents: tuple[float, ...], key: Any, done: Done) -> Part:
    """Risk against alpha, step_size = N^alpha, with both theories."""
    neurons = round(setting.neurons_per_dim * setting.dim)
    risk = np.empty((len(exponents), setting.num_runs))
    for i, power in enumerate(exponents):
        risk[i] = simulated(setting, key, step_size=float(neurons**power), samples_per_dim=LONG_RATIO).risk
        done(1)
    fine = np.linspace(min(exponents), max(exponents), setting.fine)
    sizes, fine_sizes = neurons ** np.array(exponents), neurons**fine
    share = {"units": "of the teacher's variance where it is 1"}
    variables = {
        "power_risk": (("power", "run"), risk, share),
        "power_predicted": ("power", predicted(setting, LONG_RATIO, sizes, True), share),
        "power_gaussian": ("power", predicted(setting, LONG_RATIO, sizes, False), share),
        "power_line": ("fine_power", predicted(setting, LONG_RATIO, fine_sizes, True), share),
        "power_gaussian_line": ("fine_power", predicted(setting, LONG_RATIO, fine_sizes, False), share),
    }
    return variables, {"power": list(exponents), "fine_power": fine}


def spectrum(setting: Setting, key: Any, done: Done) -> Part:
    """Singular values of one trained first layer; the outlier and its direction of all."""
    runs = simulated(setting, key, step_size=SPECTRUM_STEP, samples_per_dim=LONG_RATIO, spectra=True)
    done(1)
    theory = spectrum_one_step(
        setting.neurons_per_dim, SPECTRUM_STEP, setting.student, setting.teacher, setting.noise, LONG_RATIO
    )
    variables = {
        "singular_values": ("value", runs.singular_values[0], {"units": "1"}),
        "outlier": ("run", runs.singular_values[:, 0], {"units": "1"}),
        "second": ("run", runs.singular_values[:, 1], {"units": "1"}),
        "alignment": ("run", runs.leading[:, 0] ** 2, {"units": "squared cosine"}),
        "outlier_predicted": ((), theory.outlier, {"units": "1"}),
        "alignment_predicted": ((), theory.alignment, {"units": "squared cosine"}),
        "edges": ("edge", [theory.lower_edge, theory.upper_edge], {"units": "1"}),
    }
    return variables, {"edge": ["lower", "upper"]}
