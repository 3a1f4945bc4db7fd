"""The verdict on propagation of chaos: errors like 1 / N at all times, clouds on exact laws, and below their bound."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.chance import limit_of
from langevax.studies.linear_clouds import GROUPS
from langevax.studies.study import Claim, Verdict

if TYPE_CHECKING:
    import xarray

UNIFORM = "Suzuki et al. (ICLR 2023)"


def slope(row: "xarray.Dataset") -> tuple[float, float]:
    """Exponent of the error in N at one time, by weighted least squares, and its standard error."""
    x, y = np.log(row.num_particles.values), np.log(row.error.values)
    weight = (row.error / row.error_error).values ** 2
    x = x - weight @ x / weight.sum()
    return float((weight * x) @ y / (weight @ x**2)), float(1 / np.sqrt(weight @ x**2))


def shown_times(dataset: "xarray.Dataset") -> "xarray.Dataset":
    """The dataset at the times that are drawn and judged."""
    return dataset.sel(time=list(dataset.attrs["shown"]))


def judge(dataset: "xarray.Dataset") -> Verdict:
    """Slopes of -1, points on the exact limit, no growth, linear clouds at their closed forms, less than iid draws."""
    shown = shown_times(dataset)
    slopes = [slope(shown.isel(time=i)) for i in range(shown.sizes["time"])]
    limit = (shown.error * shown.num_particles - shown.limit) / (shown.error_error * shown.num_particles)
    linear = (dataset.linear - dataset.linear_exact) / dataset.linear_error
    growth = (dataset.drift / dataset.drift_error).values
    scaled, scaled_error = dataset.rest * dataset.num_particles, dataset.rest_error * dataset.num_particles
    independent, energy = float(dataset.independent), dataset.sel(quantity="free energy")
    reached = scaled + limit_of(len(scaled)) * scaled_error
    high = energy.linear + limit_of(energy.linear.size, GROUPS) * energy.linear_error
    claims = tuple(
        Claim(f"power of N in the squared error at time {time:g}", f"{UNIFORM}: 1 / N", value, -1.0,
              limit_of(len(slopes)) * error, error=error)
        for (value, error), time in zip(slopes, shown.time.values, strict=True)
    )  # fmt: skip
    claims += (
        Claim("N times the squared error, all points: the farthest from its line", "exact limit of many particles",
              _largest(limit), 0.0, limit_of(limit.size), "at most", unit="standard errors"),
        Claim("growth of the squared error in time, the fastest of all N", f"{UNIFORM}: uniform in time",
              float(growth.max()), 0.0, limit_of(growth.size), "at most", unit="standard errors"),
        Claim("squared error at rest over that of independent draws, with its errors", "the loss damps chance",
              float((reached / independent).max()), 1.0, 0.0, "at most"),
        Claim(f"linear clouds, {linear.size} quantities: the farthest from closed forms", "closed forms at every N",
              _largest(linear), 0.0, limit_of(linear.size, GROUPS), "at most", unit="standard errors"),
        Claim("free energy of N particles over its bound, with its errors, the most", "Nitanda (NeurIPS 2024)",
              float((high / energy.energy_bound).max()), 1.0, 0.0, "at most"),
    )  # fmt: skip
    weight = (1 / scaled_error**2).values
    rest, rest_error = float(weight @ scaled.values / weight.sum()), float(weight.sum() ** -0.5)
    change = (dataset.drift * dataset.num_particles).values @ weight / weight.sum() / rest
    change_error = float(np.sqrt((((dataset.drift_error * dataset.num_particles).values * weight) ** 2).sum()))
    change_error /= weight.sum() * rest
    ratio, ratio_error = independent / rest, independent / rest**2 * rest_error
    numbers = {"growth per time, of the error at rest": float(change), "growth, error": change_error}
    numbers |= {"N x error at rest": rest, "N x error at rest, error": rest_error}
    numbers |= {"N x error of independent draws": independent}
    numbers |= {"independent / interacting": ratio, "independent / interacting, error": ratio_error}
    bound = float((energy.energy_bound / energy.linear).min())
    moved = float(abs(energy.linear_exact / energy.energy_formula - 1).max())
    numbers |= {"smallest bound / free energy": bound, "the step moves the free energy by": moved}
    few, many = dataset.num_particles.values[[0, -1]]
    told = ", ".join(f"{value:.3f} ± {error:.3f}" for value, error in slopes)
    sentence = (
        f"From N = {few} to {many} the squared error falls with exponents {told} at times "
        f"{', '.join(f'{t:g}' for t in shown.time.values)}, and N times it stays: {rest:.4f} ± {rest_error:.4f} at "
        f"rest, exact limit {float(dataset.limit[-1]):.4f}, no point further than {_largest(limit):.1f} "
        f"standard errors from it; it changes by {100 * change:.2f} ± {100 * change_error:.2f} % per "
        f"unit of time. N independent draws of q* would have {ratio:.2f} ± {ratio_error:.2f} times as much. "
        f"Linear clouds: all {linear.size} ratios within {_largest(linear):.1f} standard errors of "
        f"exact; Nitanda's bound is {bound:.2f} times the free energy it bounds."
    )
    return Verdict(claims, sentence, numbers)


def _largest(z: "xarray.DataArray") -> float:
    return float(np.abs(z.values).max())
