"""The verdict of the study "teacher-student": the network's level and slope against those of linear estimators."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.study import Verdict
from langevax.studies.teacher_student.rates import FEATURES, KERNELS, METHODS, NET
from langevax.theory.relu_sphere import linear_rate, parametric_risk

if TYPE_CHECKING:
    import xarray


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
    """At the first dimension: level and separation at the largest n, and slopes; the rest is told."""
    of, dim = dataset.attrs, int(dataset.dim[0])
    n = dataset["rows"].values
    level = np.array([parametric_risk(of["num_neurons"], dim, of["noise"] ** 2, size) for size in n])
    here = dataset.sel(dim=dim)
    last = n >= of["aim_from"]
    net = here.mean_excess.sel(estimator=NET).values / level
    net_error = here.mean_excess_error.sel(estimator=NET).values / level
    ridge = here.mean_excess.sel(estimator=list(KERNELS)).min("estimator").values
    apart = ridge / here.mean_excess.sel(estimator=NET).values
    slopes = {name: slope(dataset, name, dim) for name in METHODS}
    kernels = min(slopes[name][0] for name in KERNELS)
    holds = bool((net[last] <= of["aim_level"]).all() and (apart[last] >= of["aim_separation"]).all())
    holds &= slopes[NET][0] < of["aim_slope"] and kernels > of["aim_linear_slope"]

    per_draw = here.excess.sel(estimator=NET).values[last] / level[last, None]
    edges = {name: float(dataset.on_edge.sel(estimator=name).sum()) for name in METHODS[1:]}
    numbers = {f"net, of m d v^2/n at n = {size}": float(r) for size, r in zip(n, net, strict=True)}
    numbers |= {f"kernel over net at n = {size}": float(r) for size, r in zip(n, apart, strict=True)}
    for name, (value, error) in slopes.items():
        numbers |= {f"slope, {name}": value, f"slope, {name}, error": error}
    others = [int(other) for other in dataset.dim.values[1:]]
    for other in others:
        for name in METHODS:
            value, error = slope(dataset, name, other)
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
    labels = ("start", "end of phase I", "end of phase II", "longer steps")
    numbers |= {f"published setting, {label}": value for label, value in zip(labels, phases, strict=True)}

    at = ", ".join(f"{r:.2f} ± {e:.2f}" for r, e in zip(net[last], net_error[last], strict=True))
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
        for other in others
    )
    sentence = (
        f"At d = {dim}, n = {rows} the network's mean excess risk is {at} times m d v^2 / n, single draws "
        f"{per_draw.min():.2f} to {per_draw.max():.2f}, and {', '.join(f'{r:.1f}' for r in apart[last])} times below "
        f"the best kernel ridge. Slopes from n = {of['slope_from']} on: {rates} (worst case of linear estimators "
        f"-{linear_rate(dim):.2f}).{elsewhere} Restarts succeed: {successes}. In the published setting the excess risk "
        f"is {phases[0]:.2f} at the start, {phases[1]:.3f} at the switch, {phases[2]:.3f} at the end, {phases[3]:.3f} "
        f"with longer steps in phase II; that of 0 is {float(dataset.published_zero):.3f}."
    )
    return Verdict(claims=(), decided=bool(holds), sentence=sentence, numbers=numbers)
