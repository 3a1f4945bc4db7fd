"""The verdict of the study "teacher-student": the network's level and slope against those of linear estimators."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from langevax.studies.study import Claim, Verdict
from langevax.studies.teacher_student.rates import FEATURES, KERNELS, METHODS, NET
from langevax.theory.relu_sphere import linear_rate, parametric_risk

if TYPE_CHECKING:
    import xarray

PHASES = ("start", "end of phase I", "end of phase II", "longer steps")
"""Of a run in the published setting."""


def slope(dataset: "xarray.Dataset", method: str, dim: int) -> tuple[float, float]:
    """Of log excess in log n from `slope_from` rows on, a line for each draw: mean and standard error."""
    cell = dataset.excess.sel(estimator=method, dim=dim)
    cell = cell.sel(rows=dataset["rows"] >= dataset.attrs["slope_from"])
    values, n = cell.values, cell["rows"].values
    values = values[:, np.isfinite(values).any(0)]
    known = np.isfinite(values).all(1)
    slopes = np.polyfit(np.log(n[known]), np.log(np.maximum(values[known], 1e-300)), 1)[0]
    return float(slopes.mean()), float(slopes.std(ddof=1) / np.sqrt(len(slopes)))


def judge(dataset: "xarray.Dataset") -> Verdict:
    """At the first dimension: level and separation at the largest n, and slopes; the run that is watched; signs."""
    of, dim = dataset.attrs, int(dataset.dim[0])
    size = dataset["rows"].values
    last = size >= of["aim_from"]
    found = _Found.of(dataset, dim)
    slopes = {name: slope(dataset, name, dim) for name in METHODS}
    steepest = min(KERNELS, key=lambda name: slopes[name][0])
    where = f"from {size[last][0]:,} rows on" if last.sum() > 1 else f"with {size[last][0]:,} rows"
    worst, least = int(np.argmax(found.net[last])), int(np.argmin(found.apart[last]))
    worst_case = f"our aim; worst case -{linear_rate(dim):.2f}, Theorem 4.1"
    claims = (
        Claim(f"network's excess risk {where}", "order by Theorem 4.5, factor our aim", float(found.net[last][worst]),
              1.0, of["aim_level"] - 1, "at most", float(found.net_error[last][worst]), "m d v^2 / n"),
        Claim("power of n by which the network's excess risk falls", "Theorem 4.5", slopes[NET][0], -1.0,
              of["aim_slope"] + 1, "at most", slopes[NET][1]),
        Claim("steepest power of n of any kernel ridge", worst_case, slopes[steepest][0],
              of["aim_linear_slope"], 0.0, "at least", slopes[steepest][1]),
        Claim(f"excess risk of the best kernel ridge {where}", "our aim", float(found.apart[last][least]),
              of["aim_separation"], 0.0, "at least", unit="times the network's"),
        *_watched(dataset),
    )  # fmt: skip
    numbers = _numbers(dataset, found, slopes)
    return Verdict(claims, _sentence(dataset, found, slopes, numbers), numbers)


class _Found(NamedTuple):
    """At one dimension, for each number of rows."""

    net: np.ndarray
    """Mean excess risk of the network, in units of m d v^2 / n."""
    net_error: np.ndarray
    apart: np.ndarray
    """That of the best kernel ridge, in units of the network's."""
    level: np.ndarray
    """m d v^2 / n."""

    @classmethod
    def of(cls, dataset: "xarray.Dataset", dim: int) -> "_Found":
        here, attrs = dataset.sel(dim=dim), dataset.attrs
        level = np.array([parametric_risk(attrs["num_neurons"], dim, attrs["noise"] ** 2, n) for n in here["rows"]])
        net, ridge = here.mean_excess.sel(estimator=NET).values, here.mean_excess.sel(estimator=list(KERNELS))
        error = here.mean_excess_error.sel(estimator=NET).values
        return cls(net / level, error / level, ridge.min("estimator").values / net, level)


def _watched(dataset: "xarray.Dataset") -> tuple[Claim, ...]:
    """The run along which losses are looked at, and signs, which phase II cannot change."""
    of, best = dataset.attrs, int(dataset.best)
    rows, weights = of["watched"], of["num_neurons"] * int(dataset.dim[0])
    chi_squared = of["noise"] ** 2 / 2 / rows  # of one of the rows - weights directions that least squares leave
    wrong = float((dataset.success - dataset.both).max())
    return (
        Claim("training loss at the end of the run shown", "least squares: v^2 / 2 (1 - m d / n)",
              float(dataset.along_loss[best, -1]), chi_squared * (rows - weights),
              4 * chi_squared * float(np.sqrt(2 * (rows - weights)))),
        Claim("restarts that succeed with a wrong number of positive neurons, largest share",
              "exact: phase II keeps signs", wrong, 0.0, 0.0, "at most"),
    )  # fmt: skip


def _numbers(dataset: "xarray.Dataset", found: _Found, slopes: dict[str, tuple[float, float]]) -> dict[str, float]:
    of, n = dataset.attrs, dataset["rows"].values
    edges = {name: float(dataset.on_edge.sel(estimator=name).sum()) for name in METHODS[1:]}
    numbers = {f"net, of m d v^2/n at n = {size}": float(r) for size, r in zip(n, found.net, strict=True)}
    numbers |= {f"kernel over net at n = {size}": float(r) for size, r in zip(n, found.apart, strict=True)}
    for name, (value, error) in slopes.items():
        if name != NET:
            numbers |= {f"slope, {name}": value, f"slope, {name}, error": error}
    for other in dataset.dim.values[1:]:
        for name in METHODS:
            value, error = slope(dataset, name, int(other))
            numbers |= {f"slope at d = {other}, {name}": value, f"slope at d = {other}, {name}, error": error}
    numbers |= {f"on the grid's edge, {name}": count for name, count in edges.items()}
    for name, grid in (("ridge, Gaussian", "bandwidths"), (FEATURES, "features")):
        tuned, tried = dataset.tuned.sel(estimator=name), np.atleast_1d(of[grid])
        numbers |= {f"{grid} at the grid's least": float((tuned == tried[0]).sum())}
        numbers |= {f"{grid} at the grid's largest": float((tuned == tried[-1]).sum())}
    for variant in dataset.variant.values:
        row = dataset.sel(variant=variant)
        numbers |= {f"success, {variant}": float(row.success), f"right signs, {variant}": float(row.signs)}
    published = dataset.published_excess.values
    switch = int(np.argmin(np.abs(dataset.published_step.values[0] - float(dataset.published_switch))))
    ends = [float(np.nanmean([run[np.isfinite(run)][-1] for run in runs])) for runs in published]
    phases = [float(published[0, :, 0].mean()), float(published[0, :, switch].mean()), *ends]
    return numbers | {f"published setting, {label}": value for label, value in zip(PHASES, phases, strict=True)}


def _sentence(
    dataset: "xarray.Dataset", found: _Found, slopes: dict[str, tuple[float, float]], numbers: dict[str, float]
) -> str:
    of, dim = dataset.attrs, int(dataset.dim[0])
    n = dataset["rows"].values
    last = n >= of["aim_from"]
    per_draw = dataset.excess.sel(dim=dim, estimator=NET).values[last] / found.level[last, None]
    at = ", ".join(f"{r:.2f} ± {e:.2f}" for r, e in zip(found.net[last], found.net_error[last], strict=True))
    rates = "; ".join(f"{name} {value:.2f} ± {error:.2f}" for name, (value, error) in slopes.items())
    rows = ", ".join(str(size) for size in n[last])
    successes = ", ".join(
        f"{v.variant.item()} {float(v.success):.2f} ± {float(v.success_error):.2f} (right signs {float(v.signs):.2f})"
        for v in (dataset.sel(variant=name) for name in dataset.variant.values)
    )
    elsewhere = "".join(
        f" At d = {other} its slope is {numbers[f'slope at d = {other}, {NET}']:.2f} ± "
        f"{numbers[f'slope at d = {other}, {NET}, error']:.2f}, that of the steepest kernel "
        f"{min(numbers[f'slope at d = {other}, {name}'] for name in KERNELS):.2f}."
        for other in dataset.dim.values[1:]
    )
    phases = [numbers[f"published setting, {label}"] for label in PHASES]
    return (
        f"At d = {dim}, n = {rows} the network's mean excess risk is {at} times m d v^2 / n, single draws "
        f"{per_draw.min():.2f} to {per_draw.max():.2f}, and {', '.join(f'{r:.1f}' for r in found.apart[last])} times "
        f"below the best kernel ridge. Slopes from n = {of['slope_from']} on: {rates} (worst case of linear estimators "
        f"-{linear_rate(dim):.2f}).{elsewhere} Restarts succeed: {successes}. In the published setting the excess risk "
        f"is {phases[0]:.2f} at the start, {phases[1]:.3f} at the switch, {phases[2]:.3f} at the end, {phases[3]:.3f} "
        f"with longer steps in phase II; that of 0 is {float(dataset.published_zero):.3f}."
    )
