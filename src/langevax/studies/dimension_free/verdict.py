"""The verdict of the study "dimension-free": every point on its line, every order as promised, nothing that knows N."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.studies.dimension_free.modes import DISTANCE, LOW
from langevax.studies.propagation_of_chaos import limit_of
from langevax.studies.study import Verdict
from langevax.studies.variance_reduction import GROUPS

if TYPE_CHECKING:
    import xarray

RATIO_AT, LEAST_RATIO = 4096, 1000
FLAT = 0.05  # by how much an acceptance that is flat may differ between numbers of modes, beyond its errors


def slope(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Of log y in log x by weighted least squares, and its standard error."""
    weight, across, up = (y / error) ** 2, np.log(x), np.log(y)
    across = across - weight @ across / weight.sum()
    return float((weight * across) @ up / (weight @ across**2)), float(1 / np.sqrt(weight @ across**2))


def scores(dataset: "xarray.Dataset") -> dict[str, np.ndarray]:
    """Standard errors by which each measurement misses what it should be."""

    def of(name: str, exact: Any = None) -> np.ndarray:
        exact = dataset[f"{name}_exact"] if exact is None else exact
        z = ((dataset[name] - exact) / dataset[f"{name}_error"]).values.ravel()
        return z[np.isfinite(z)]

    def common(name: str) -> Any:
        weight = 1 / dataset[f"{name}_error"] ** 2
        return (dataset[name] * weight).sum("mixing_modes") / weight.sum("mixing_modes")

    found = {name: of(name) for name in ("w2", "variance", "bias", "left_out", "acceptance")}
    return found | {name: of(name, common(name)) for name in ("loss", "correlation")}


def judge(dataset: "xarray.Dataset") -> Verdict:
    """Limits bracketed, points on their lines, orders as promised, the same mixing and acceptance for all N."""
    z = scores(dataset)
    # jackknife errors have the degrees of freedom of its groups
    allowed = {name: limit_of(v.size, GROUPS if name in ("w2", "correlation") else np.inf) for name, v in z.items()}
    numbers = {f"largest |z|, {name}": float(np.abs(v).max()) for name, v in z.items()}
    numbers |= {f"allowed |z|, {name}": value for name, value in allowed.items()}
    holds = all(np.abs(v).max() < allowed[name] for name, v in z.items())
    holds &= bool((~dataset.grows_below).all() and dataset.grows_above.all())

    limit, modes = dataset.limit.values, dataset.modes.values
    semi, euler = dataset.sel(scheme="semi-implicit"), dataset.sel(scheme="explicit Euler")
    fall = float(np.polyfit(np.log(modes[-4:]), np.log(limit[0, -4:]), 1)[0])
    holds &= abs(fall + 2) < 0.01 and bool(np.ptp(limit[1:], axis=1).max() < 1e-6)
    known = modes[np.isfinite(semi.w2.values) & (modes <= RATIO_AT)][-1]
    steps, error = (float(semi[name].sel(modes=known)) for name in ("chain_steps", "chain_steps_error"))
    slow = float(euler.steps.sel(modes=RATIO_AT))
    ratio, ratio_error = slow / steps, slow / steps**2 * error
    holds &= slow / (steps + 3 * error) >= LEAST_RATIO
    numbers |= {"exponent of Euler's limit": fall, "limit, semi-implicit": float(limit[1, -1])}
    numbers |= {f"steps of Euler at N = {RATIO_AT}": slow, "steps, semi-implicit": steps, "steps, error": error}
    numbers |= {f"steps ratio at N = {RATIO_AT}": ratio, "steps ratio, error": ratio_error}

    told = []
    for case in dataset.case.values:
        row, name = dataset.sel(case=case), str(case)
        exact = float(np.log(row.bias_line[1] / row.bias_line[0]) / np.log(row.line_step[1] / row.line_step[0]))
        found, found_error = slope(row.step.values, row.bias.values, row.bias_error.values)
        holds &= abs(exact - float(row.order)) < 0.02
        numbers |= {f"order, {name}": exact, f"slope of chains, {name}": found, f"error of slope, {name}": found_error}
        there = slope(row.step.values, row.bias_exact.values, row.bias_error.values)[0]
        told.append(f"{exact:.3f} ({float(row.order):.3f}); chains {found:.3f} ± {found_error:.3f} ({there:.3f})")
    tail = float(np.polyfit(np.log(modes[3:]), np.log(dataset.left_out_line.values[3:]), 1)[0])
    tail_chains, tail_error = slope(dataset.cut.values, dataset.left_out.values, dataset.left_out_error.values)
    tail_there = slope(dataset.cut.values, dataset.left_out_exact.values, dataset.left_out_error.values)[0]
    holds &= abs(tail + 1) < 0.02
    numbers |= {"share of positions where it bends down": float(dataset.bent_down)}
    numbers |= {
        "order of the cut-off": tail,
        "slope of the cut-off, chains": tail_chains,
        "error of slope, cut-off": tail_error,
    }

    holds &= float(dataset.bent_down) > 0.05 and dataset.attrs["smoothness"] > 10 * dataset.attrs["top_precision"]
    flat, moving = dataset.acceptance.sel(proposal=["pCN", "pCNL"]), dataset.sel(proposal=["MALA", "random walk"])
    spread = (flat.max("proposal_modes") - flat.min("proposal_modes")).values
    errors = dataset.acceptance_error.sel(proposal=["pCN", "pCNL"]).max("proposal_modes").values
    holds &= bool((spread < FLAT + 4 * errors).all() and float(flat.min()) > 0.2)
    holds &= bool((moving.acceptance.isel(proposal_modes=-1) < 0.01).all())
    least, most = (int(dataset.mixing_modes[k]) for k in (0, -1))
    losses = ", ".join(
        f"{v:.4f} ± {e:.4f}" for v, e in zip(dataset.loss.values, dataset.loss_error.values, strict=True)
    )
    last = dataset.isel(proposal_modes=-1)
    accepted = ", ".join(
        f"{m} {float(last.acceptance.sel(proposal=m)):.3f} ± {float(last.acceptance_error.sel(proposal=m)):.3f}"
        for m in dataset.proposal.values
    )
    few = f"{steps:.0f} ± {error:.0f}, {ratio:,.0f} ± {ratio_error:,.0f} times fewer"
    cut = f"{tail:.2f} (-1); chains {tail_chains:.2f} ± {tail_error:.2f} ({tail_there:.2f})"
    sentence = (
        f"With {RATIO_AT} modes explicit Euler takes {slow:,.0f} steps to W2 = {DISTANCE:g} of the low {LOW} (by its "
        f"exact recursion), chains of the semi-implicit scheme (of {known} modes) {few}, and no more at any N: its "
        f"limit stays {limit[1, -1]:.2f}, Euler's falls like N^{fall:.2f}. Orders of the trace's bias at small steps, "
        f"and slopes of chains at larger ones (in brackets what they should be), for p = 2, 3, 5 and the exponential "
        f"scheme: {'; '.join(told)}. Of the cut-off: {cut}. Where the potential bends down at "
        f"{100 * float(dataset.bent_down):.0f} % of positions, the mean loss is {losses} for N from {least} to {most}, "
        f"and autocorrelations agree within {np.abs(z['correlation']).max():.1f} standard errors. "
        f"Accepted at N = {int(last.proposal_modes)}: {accepted}."
    )
    return Verdict(claims=(), decided=bool(holds), sentence=sentence, numbers=numbers)
