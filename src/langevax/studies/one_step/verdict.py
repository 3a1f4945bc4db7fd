"""The verdict of the study "one-step": points beside their lines, and who is below the floor."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.one_step.runs import LONG_RATIO, SPECTRUM_STEP
from langevax.studies.study import Claim, Verdict

if TYPE_CHECKING:
    import xarray

MEAN, MOST = 0.03, 0.07  # relative deviations from theory: their mean, and the largest
ERRORS = 3.5  # standard errors that a paired gain may be off
SPECTRUM = 0.03  # relative, beyond two standard errors
PAPER = "Ba et al."


def judge(dataset: "xarray.Dataset") -> Verdict:
    """Everything is judged: a prediction is a number, and so is its measurement."""
    off, error = deviations(dataset.risk, dataset.predicted)
    power_off, power_error = deviations(dataset.power_risk, dataset.power_predicted)
    small, large = off[:2].ravel(), np.concatenate([off[2], power_off])
    noise = max(float(error.mean()), float(power_error.mean()))  # of the measurement itself
    means = float(np.abs(small).mean()), float(np.abs(large).mean())
    points, errors = np.concatenate([small, large]), np.concatenate([error.ravel(), power_error])
    far = int(np.argmax(np.abs(points)))
    gain = dataset.gain.mean("run") - dataset.gain_predicted
    gain_off = float(np.abs(gain / dataset.gain.std("run", ddof=1)).max()) * np.sqrt(dataset.sizes["run"])
    claims = (
        _large_step(dataset, MOST + 2 * noise),
        Claim(
            "relative distance of mean risks from their lines, the worse form", "closed and unified form",
            max(means), 0.0, MEAN + noise, "at most",
        ),
        Claim(
            "relative distance of the point farthest from its line", "closed and unified form",
            float(np.abs(points[far])), 0.0, MOST + 2 * noise, "at most", float(errors[far]),
        ),
        Claim(
            "what a small step gains: the point farthest from its line", f"{PAPER}, Theorem 5",
            gain_off, 0.0, ERRORS, "at most", unit="standard errors",
        ),
        *_floor(dataset),
        _against_gaussian(dataset, MOST + 2 * noise),
        *_spectrum(dataset),
    )  # fmt: skip
    numbers = {
        "closed, mean deviation": means[0], "closed, largest": float(np.abs(small).max()),
        "unified, mean deviation": means[1], "unified, largest": float(np.abs(large).max()),
        "standard error of a point, mean": noise,
    }  # fmt: skip
    return Verdict(claims, _sentence(dataset, numbers, gain_off), numbers)


def _large_step(dataset: "xarray.Dataset", tolerance: float) -> Claim:
    last = dataset.sel(step="sqrt(N)").isel(ratio=-1)
    measured, predicted = _mean(last.risk), float(last.predicted)
    about = f"risk after the large step with {float(last.ratio):g} d rows"
    return Claim(about, "unified form", measured[0], predicted, tolerance * predicted, error=measured[1])


def _floor(dataset: "xarray.Dataset") -> tuple[Claim, ...]:
    """Not every teacher's floor is passed: where the prediction does not, nothing is claimed of large steps."""
    floor, theorem = float(dataset.floor), f"{PAPER}, Proposition 1 and Fact 4"
    lazy, large = _least(dataset.risk.sel(step=["none", "1"])), _least(dataset.risk.sel(step=["sqrt(N)"]))
    claims = (
        Claim(
            "least risk without a step or with a small one: above the floor",
            theorem,
            lazy[0],
            floor,
            0.0,
            "at least",
            lazy[1],
        ),
    )
    if _expected(dataset) or large[0] < floor:
        about = "least risk after the large step: below the floor"
        claims += (Claim(about, f"{PAPER}, Theorem 7 and Corollary 8", large[0], floor, 0.0, "at most", large[1]),)
    return claims


def _against_gaussian(dataset: "xarray.Dataset", tolerance: float) -> Claim:
    """The Gaussian form is proved for small steps alone: by how much it misses the longest is a prediction too."""
    last = dataset.isel(power=-1)
    form, measured = float(last.power_gaussian), _mean(last.power_risk)
    predicted = float(last.power_predicted) / form
    return Claim(
        "risk after the longest step, as a share of the Gaussian form's", "unified form",
        measured[0] / form, predicted, tolerance * predicted, error=measured[1] / form,
    )  # fmt: skip


def _spectrum(dataset: "xarray.Dataset") -> tuple[Claim, ...]:
    """The outlier's place, and how much of the teacher its direction knows."""
    found = []
    for name, about, unit in (
        ("outlier", f"singular value that leaves the bulk, step {SPECTRUM_STEP:g}", ""),
        ("alignment", "squared cosine of its direction with the teacher's", ""),
    ):
        (measured, error), predicted = _mean(dataset[name]), float(dataset[f"{name}_predicted"])
        allowed = SPECTRUM * predicted + 2 * error
        found.append(Claim(about, f"{PAPER}, Proposition 2", measured, predicted, allowed, error=error, unit=unit))
    return tuple(found)


def _sentence(dataset: "xarray.Dataset", numbers: dict[str, float], gain_off: float) -> str:
    floor, large_risk = float(dataset.floor), dataset.risk.sel(step="sqrt(N)").mean("run")
    lazy = float(dataset.risk.sel(step=["none", "1"]).mean("run").min())
    crossed = large_risk.ratio.values[large_risk.values < floor]
    where = f"from n/d = {crossed.min():g} on" if len(crossed) else "nowhere"
    gaussian_off, _ = deviations(dataset.power_risk, dataset.power_gaussian)
    outlier, aligned = (float(dataset[n].mean() / dataset[f"{n}_predicted"]) - 1 for n in ("outlier", "alignment"))
    return (
        f"Points are off their lines by {numbers['closed, mean deviation']:.1%} on average and "
        f"{numbers['closed, largest']:.1%} at most without a step and with step 1 (closed form), by "
        f"{numbers['unified, mean deviation']:.1%} and {numbers['unified, largest']:.1%} for larger ones (unified "
        f"form), where their own standard error is {numbers['standard error of a point, mean']:.1%}; at n/d = "
        f"{LONG_RATIO:g} the Gaussian form is off by up to {np.abs(gaussian_off).max():.0%}. Gains of a small step are "
        f"within {gain_off:.1f} standard errors. The floor is {floor:.4f}: small steps stay above ({lazy:.4f} at "
        f"best), the step sqrt(N) is below it {where} ({float(large_risk.min()):.4f} at best). The outlier is off by "
        f"{outlier:+.1%}, its squared cosine with the teacher by {aligned:+.1%}."
    )


def _expected(dataset: "xarray.Dataset") -> bool:
    """Whether the floor is passed by prediction, by more than predictions may be off."""
    return float(dataset.predicted.sel(step="sqrt(N)").min()) < (1 - MOST) * float(dataset.floor)


def _mean(values: "xarray.DataArray") -> tuple[float, float]:
    """Over runs, and its standard error."""
    return float(values.mean("run")), float(values.std("run", ddof=1)) / np.sqrt(values.sizes["run"])


def _least(risk: "xarray.DataArray") -> tuple[float, float]:
    """The least mean of all points, and its standard error."""
    points = risk.stack(point=("step", "ratio"))
    return _mean(points.isel(point=int(np.argmin(points.mean("run").values))))


def deviations(risk: "xarray.DataArray", predicted: "xarray.DataArray") -> tuple[np.ndarray, np.ndarray]:
    """(mean over runs / prediction - 1, its standard error)."""
    mean, spread = risk.mean("run"), risk.std("run", ddof=1) / np.sqrt(risk.sizes["run"])
    return (mean / predicted - 1).values, (spread / predicted).values
