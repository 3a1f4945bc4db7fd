"""The verdict of the study "dimension-free": every point on its line, every order as promised, nothing that knows N."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.studies.chance import limit_of
from langevax.studies.dimension_free.modes import DISTANCE, LOW
from langevax.studies.study import Claim, Verdict
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
    found = {name: _known(_z(dataset, name, dataset[f"{name}_exact"])) for name in LINES}
    return found | {name: _known(_z(dataset, name, _common(dataset, name))) for name in ("loss", "correlation")}


def allowed(z: dict[str, np.ndarray]) -> dict[str, float]:
    """By chance; jackknife errors have the degrees of freedom of its groups."""
    return {name: limit_of(v.size, GROUPS if name in ("w2", "correlation") else np.inf) for name, v in z.items()}


def judge(dataset: "xarray.Dataset") -> Verdict:
    """Limits bracketed, points on their lines, orders as promised, the same mixing and acceptance for all N."""
    z = scores(dataset)
    limits = allowed(z)
    share = max(float(np.abs(z[name]).max()) / limits[name] for name in LINES)
    claims = (
        *_stability(dataset),
        _steps(dataset),
        *_orders(dataset),
        Claim("farthest of all points from its exact line", "exact laws", share, 0.0, 1.0, "at most",
              unit="of what chance allows"),
        _same(dataset, "loss", "mean loss", limits["loss"]),
        _same(dataset, "correlation", "autocorrelation of the loss", limits["correlation"]),
        *_not_convex(dataset),
        *_acceptance(dataset),
    )  # fmt: skip
    numbers = {f"largest |z|, {name}": float(np.abs(v).max()) for name, v in z.items()}
    numbers |= {f"allowed |z|, {name}": value for name, value in limits.items()}
    numbers |= _slopes(dataset)
    return Verdict(claims, _sentence(dataset, numbers), numbers)


LINES = ("w2", "variance", "bias", "left_out", "acceptance")
"""What is measured beside exact laws."""


def _z(dataset: "xarray.Dataset", name: str, exact: Any) -> Any:
    return ((dataset[name] - exact) / dataset[f"{name}_error"]).values.ravel()


def _known(z: np.ndarray) -> np.ndarray:
    return z[np.isfinite(z)]


def _common(dataset: "xarray.Dataset", name: str) -> Any:
    """The mean over numbers of modes, by inverse variances."""
    weight = 1 / dataset[f"{name}_error"] ** 2
    return (dataset[name] * weight).sum("mixing_modes") / weight.sum("mixing_modes")


def _same(dataset: "xarray.Dataset", name: str, about: str, limit: float) -> Claim:
    """One that should not know N, at its point farthest from the mean over N."""
    common = _common(dataset, name)
    far = int(np.argmax(np.abs(_z(dataset, name, common))))
    point = [array.broadcast_like(dataset[name]).values.ravel()[far] for array in (dataset[name], common)]
    count = dataset.mixing_modes.broadcast_like(dataset[name]).values.ravel()[far]
    error = float(dataset[f"{name}_error"].values.ravel()[far])
    return Claim(
        f"{about} at N = {count}, the farthest from its mean over all N", "Proposition 8: no N in the rate",
        float(point[0]), float(point[1]), limit * error, error=error,
    )  # fmt: skip


def _stability(dataset: "xarray.Dataset") -> tuple[Claim, ...]:
    limit, modes = dataset.limit.values, dataset.modes.values
    wrong = float(dataset.grows_below.sum() + (~dataset.grows_above.astype(bool)).sum())
    between = f"from {modes[0]} to {modes[-1]:,} modes"
    return (
        Claim("power of N of the longest stable step, explicit Euler", "exact: 2 / stiffest precision",
              float(np.polyfit(np.log(modes[-4:]), np.log(limit[0, -4:]), 1)[0]), -2.0, 0.01),
        Claim(f"change of the longest stable step {between}, semi-implicit and exponential", "our stability limit",
              float(np.ptp(limit[1:], axis=1).max()), 0.0, 1e-6, "at most", unit="units of time"),
        Claim("chains that grow just below a limit or settle just above it", "our stability limit", wrong, 0.0, 0.0,
              "at most", unit="chains"),
    )  # fmt: skip


def few_steps(dataset: "xarray.Dataset") -> tuple[int, float, float, float]:
    """(N, steps, error) of the semi-implicit chain with most modes up to RATIO_AT, and steps of Euler at RATIO_AT."""
    semi, euler = dataset.sel(scheme="semi-implicit"), dataset.sel(scheme="explicit Euler")
    modes = dataset.modes.values
    known = int(modes[np.isfinite(semi.w2.values) & (modes <= RATIO_AT)][-1])
    steps, error = (float(semi[name].sel(modes=known)) for name in ("chain_steps", "chain_steps_error"))
    return known, steps, error, float(euler.steps.sel(modes=RATIO_AT))


def _steps(dataset: "xarray.Dataset") -> Claim:
    """As many as the measurement leaves sure."""
    _, steps, error, slow = few_steps(dataset)
    return Claim(
        f"times as many steps that explicit Euler takes, N = {RATIO_AT:,}, less three errors", "our aim",
        slow / (steps + 3 * error), LEAST_RATIO, 0.0, "at least", slow / steps**2 * error,
    )  # fmt: skip


def order_of(dataset: "xarray.Dataset", case: str) -> float:
    """Of the exact bias at the smallest steps."""
    line, step = dataset.bias_line.sel(case=case).values, dataset.line_step.values
    return float(np.log(line[1] / line[0]) / np.log(step[1] / step[0]))


def tail_order(dataset: "xarray.Dataset") -> float:
    """Of what a cut-off leaves out, at many modes."""
    return float(np.polyfit(np.log(dataset.modes.values[3:]), np.log(dataset.left_out_line.values[3:]), 1)[0])


def _orders(dataset: "xarray.Dataset") -> tuple[Claim, ...]:
    claims = tuple(
        Claim(f"power of the step in the bias: {case}", "Propositions 9 and 11" if "semi" in case else "exact law",
              order_of(dataset, case), float(dataset.order.sel(case=case)), 0.02)
        for case in map(str, dataset.case.values)
    )  # fmt: skip
    about = "power of N in what a cut-off leaves out, p = 2"
    return (*claims, Claim(about, "Propositions 9 and 11", tail_order(dataset), -1.0, 0.02))


def _not_convex(dataset: "xarray.Dataset") -> tuple[Claim, ...]:
    smoothness, top = (dataset.attrs[name] for name in ("smoothness", "top_precision"))
    return (
        Claim("share of positions where the potential bends downwards", "our aim: no convexity",
              float(dataset.bent_down), 0.05, 0.0, "at least"),
        Claim("curvature of the loss over the prior's least precision", "our aim: outside the convex case",
              float(smoothness / top), 10.0, 0.0, "at least"),
    )  # fmt: skip


def _acceptance(dataset: "xarray.Dataset") -> tuple[Claim, ...]:
    made = dataset.sel(proposal=["pCN", "pCNL"])
    spread = (made.acceptance.max("proposal_modes") - made.acceptance.min("proposal_modes")).values
    room = FLAT + 4 * made.acceptance_error.max("proposal_modes").values
    far = int(np.argmax(spread - room))
    moving = dataset.sel(proposal=["MALA", "random walk"]).acceptance.isel(proposal_modes=-1)
    most = f"{int(dataset.proposal_modes[-1]):,}"
    paper = "Cotter et al. 2013"
    return (
        Claim(f"change of {made.proposal.values[far]}'s acceptance with N, which is the larger", paper,
              float(spread[far]), 0.0, float(room[far]), "at most"),
        Claim("least acceptance of pCN and pCNL, any N", "our aim", float(made.acceptance.min()), 0.2, 0.0, "at least"),
        Claim(f"acceptance of MALA and the random walk, N = {most}, the larger", paper, float(moving.values.max()),
              0.0, 0.01, "at most"),
    )  # fmt: skip


def _slopes(dataset: "xarray.Dataset") -> dict[str, float]:
    """Of chains, at the larger steps and fewer modes that these take, and where exact laws have them."""
    numbers = {}
    for case in dataset.case.values:
        row = dataset.sel(case=case)
        found, error = slope(row.step.values, row.bias.values, row.bias_error.values)
        there = slope(row.step.values, row.bias_exact.values, row.bias_error.values)[0]
        numbers |= {f"slope of chains, {case}": found, f"error of slope, {case}": error, f"exact slope, {case}": there}
    found, error = slope(dataset.cut.values, dataset.left_out.values, dataset.left_out_error.values)
    there = slope(dataset.cut.values, dataset.left_out_exact.values, dataset.left_out_error.values)[0]
    return numbers | {
        "slope of chains, cut-off": found, "error of slope, cut-off": error, "exact slope, cut-off": there
    }  # fmt: skip


def _sentence(dataset: "xarray.Dataset", numbers: dict[str, float]) -> str:
    known, steps, error, slow = few_steps(dataset)
    few = f"{steps:.0f} ± {error:.0f}, {slow / steps:,.0f} ± {slow / steps**2 * error:,.0f} times fewer"
    limit, modes = dataset.limit.values, dataset.modes.values
    fall = float(np.polyfit(np.log(modes[-4:]), np.log(limit[0, -4:]), 1)[0])

    def chains(case: str) -> str:
        found, error, there = (numbers[f"{of}, {case}"] for of in ("slope of chains", "error of slope", "exact slope"))
        return f"{found:.3f} ± {error:.3f} ({there:.3f})"

    told = (
        f"{order_of(dataset, str(case)):.3f} ({float(dataset.order.sel(case=case)):.3f}); chains {chains(case)}"
        for case in dataset.case.values
    )
    losses = ", ".join(
        f"{v:.4f} ± {e:.4f}" for v, e in zip(dataset.loss.values, dataset.loss_error.values, strict=True)
    )
    last, (least, most) = dataset.isel(proposal_modes=-1), dataset.mixing_modes.values[[0, -1]]
    accepted = ", ".join(
        f"{m} {float(last.acceptance.sel(proposal=m)):.3f} ± {float(last.acceptance_error.sel(proposal=m)):.3f}"
        for m in dataset.proposal.values
    )
    return (
        f"With {RATIO_AT} modes explicit Euler takes {slow:,.0f} steps to W2 = {DISTANCE:g} of the low {LOW} (by its "
        f"exact recursion), chains of the semi-implicit scheme (of {known} modes) {few}, and no more at any N: its "
        f"limit stays {limit[1, -1]:.2f}, Euler's falls like N^{fall:.2f}. Orders of the trace's bias at small steps, "
        f"and slopes of chains at larger ones (in brackets what they should be), for p = 2, 3, 5 and the exponential "
        f"scheme: {'; '.join(told)}. Of the cut-off: {tail_order(dataset):.2f} (-1); chains {chains('cut-off')}. Where "
        f"the potential bends down at {100 * float(dataset.bent_down):.0f} % of positions, the mean loss is {losses} "
        f"for N from {least} to {most}, and autocorrelations agree within {numbers['largest |z|, correlation']:.1f} "
        f"standard errors. Accepted at N = {int(last.proposal_modes)}: {accepted}."
    )
