"""The verdict of the study "one-step": how far points are from lines, and who is below the floor."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.study import Verdict

if TYPE_CHECKING:
    import xarray

MEAN, MOST = 0.03, 0.07  # relative deviations from theory: their mean, and the largest
ERRORS = 3.5  # standard errors that a paired gain may be off
SPECTRUM = 0.03  # relative, beyond two standard errors


def judge(dataset: "xarray.Dataset") -> Verdict:
    """Everything is judged: a prediction is a number, and so is its measurement."""
    off, error = deviations(dataset.risk, dataset.predicted)
    power_off, power_error = deviations(dataset.power_risk, dataset.power_predicted)
    gaussian_off, _ = deviations(dataset.power_risk, dataset.power_gaussian)
    small, large = off[:2].ravel(), np.concatenate([off[2], power_off])
    gain = dataset.gain.mean("run") - dataset.gain_predicted
    gain_error = dataset.gain.std("run", ddof=1) / np.sqrt(dataset.sizes["run"])
    gain_off = np.abs(gain / gain_error).values
    outlier = float(dataset.outlier.mean() / dataset.outlier_predicted) - 1
    outlier_error = float(dataset.outlier.std("run", ddof=1) / dataset.sizes["run"] ** 0.5 / dataset.outlier_predicted)
    aligned = float(dataset.alignment.mean() / dataset.alignment_predicted) - 1
    large_risk = dataset.risk.sel(step="sqrt(N)").mean("run")
    floor = float(dataset.floor)
    lazy = float(dataset.risk.sel(step=["none", "1"]).mean("run").min())
    expected = float(dataset.predicted.sel(step="sqrt(N)").min()) < (1 - MOST) * floor  # not every teacher's is passed
    crossed = large_risk.ratio.values[large_risk.values < floor]
    noise = max(float(error.mean()), float(power_error.mean()))  # of the measurement itself
    holds = bool(
        np.abs(small).mean() <= MEAN + noise
        and np.abs(large).mean() <= MEAN + noise
        and max(np.abs(small).max(), np.abs(large).max()) <= MOST + 2 * noise
        and gain_off.max() <= ERRORS
        and abs(outlier) <= SPECTRUM + 2 * outlier_error
        and lazy > floor
        and (len(crossed) > 0 or not expected)
    )
    numbers = {
        "closed, mean deviation": float(np.abs(small).mean()), "closed, largest": float(np.abs(small).max()),
        "unified, mean deviation": float(np.abs(large).mean()), "unified, largest": float(np.abs(large).max()),
        "Gaussian form at large steps, largest": float(np.abs(gaussian_off).max()),
        "standard error of a point, mean": noise, "gain, largest in standard errors": float(gain_off.max()),
        "outlier, deviation": outlier, "outlier, standard error": outlier_error, "alignment, deviation": aligned,
        "floor": floor, "least risk of small steps": lazy, "least risk of large steps": float(large_risk.min()),
    }  # fmt: skip
    where = f"from n/d = {crossed.min():g} on" if len(crossed) else "nowhere"
    sentence = (
        f"Points are off their lines by {np.abs(small).mean():.1%} on average and {np.abs(small).max():.1%} at most "
        f"without a step and with step 1 (closed form), by {np.abs(large).mean():.1%} and {np.abs(large).max():.1%} "
        f"for larger ones (unified form), where their own standard error is {noise:.1%}; the Gaussian form is off by "
        f"up to {np.abs(gaussian_off).max():.0%} there. Gains of a small step are within {gain_off.max():.1f} standard "
        f"errors. The floor is {floor:.4f}: small steps stay above ({lazy:.4f} at best), the step sqrt(N) is below it "
        f"{where} ({float(large_risk.min()):.4f} at best). The outlier is off by {outlier:+.1%}, its squared cosine "
        f"with the teacher by {aligned:+.1%}."
    )
    return Verdict((), sentence, numbers, decided=bool(holds))


def deviations(risk: "xarray.DataArray", predicted: "xarray.DataArray") -> tuple[np.ndarray, np.ndarray]:
    """(mean over runs / prediction - 1, its standard error)."""
    mean, spread = risk.mean("run"), risk.std("run", ddof=1) / np.sqrt(risk.sizes["run"])
    return (mean / predicted - 1).values, (spread / predicted).values
