"""The verdict of the study "functional-inputs": one dual value for all numbers of modes, and what does not stay."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.chance import limit_of
from langevax.studies.functional_inputs.runs import ASCENT, PROPOSALS
from langevax.studies.study import Claim, Verdict

if TYPE_CHECKING:
    import xarray

FLAT = 0.05  # by how much an acceptance that is flat may differ between numbers of modes, beyond its errors
CLOSED = 0.02  # of what training gains: the largest gap that counts as closed


def common_value(dataset: "xarray.Dataset") -> tuple[float, float, float]:
    """Of P-SDCA's D over all numbers of modes: the mean, the error of one of them, and that of the mean.

    The errors of single ones are from few walks; all are about as large, so that their mean square is much surer.
    """
    row = dataset.sel(learner=ASCENT)
    one = float(np.sqrt((row.dual_value_error**2).mean()))
    return float(row.dual_value.mean()), one, one / float(np.sqrt(row.sizes["modes"]))


def others(dataset: "xarray.Dataset") -> dict[str, np.ndarray]:
    """Of every other measurement: D less the common value, its error, and its gap, by which D may lie lower."""
    mean, one, of_mean = common_value(dataset)
    rest = dataset.sel(learner=[name for name in dataset.learner.values if name != ASCENT])
    known = np.isfinite(rest.dual_value.values)
    gap, gap_error = rest.gap.values[known], rest.gap_error.values[known]
    return {
        "excess": rest.dual_value.values[known] - mean,
        "error": np.full(int(known.sum()), np.hypot(one, of_mean)),
        "room": gap + 3 * gap_error,
    }


def judge(dataset: "xarray.Dataset") -> Verdict:
    """Values agree, gaps are closed, pCNL is flat, MALA and Euler are not; seconds are told and not judged."""
    claims = *_optimum(dataset), *_proposals(dataset), *_costs(dataset)
    numbers = _numbers(dataset)
    return Verdict(claims, _sentence(dataset, numbers), numbers)


def _optimum(dataset: "xarray.Dataset") -> tuple[Claim, ...]:
    """One value at all numbers of modes and by all methods, certified; a gap that is not to be trusted is endless."""
    row, modes, freedom = dataset.sel(learner=ASCENT), dataset.modes.values, _freedom(dataset)
    mean, one, _ = common_value(dataset)
    far = int(np.argmax(np.abs(row.dual_value.values - mean)))
    error = one * float(np.sqrt(1 - 1 / len(modes)))
    off = _beyond(others(dataset))
    left = dataset.attrs["untrained"] - mean
    gap = dataset.gap.where(dataset.trustworthy.fillna(1.0) == 1, np.inf).values
    worst = np.unravel_index(np.nanargmax(gap), gap.shape)
    shift = np.abs(dataset.cut_off.values) + 3 * dataset.cut_off_error.values
    return (
        Claim(f"certified optimum with {modes[far]} modes, the farthest from its mean over all", "exact: no K in it",
              float(row.dual_value[far]), mean, limit_of(len(modes), freedom + 1) * error, error=error,
              unit="units of the loss"),
        Claim("optima by other methods, the farthest beyond what its gap allows", "duality",
              float(max(off["above"].max(), off["below"].max())), 0.0, limit_of(2 * len(off["above"]), freedom + 1),
              "at most", unit="standard errors"),
        Claim("largest certified gap of all methods", "0 at the optimum; 2 % is our aim", float(gap[worst]) / left, 0.0,
              CLOSED, "at most", float(dataset.gap_error.values[worst]) / left, "of what training gains"),
        Claim("what cutting curves off changes, three errors added, beside an optimum's error", "common draws",
              float(shift.max()), one, 0.0, "at most", unit="units of the loss"),
    )  # fmt: skip


def _proposals(dataset: "xarray.Dataset") -> tuple[Claim, ...]:
    paper, modes = "Cotter et al. 2013", dataset.modes.values
    flat, own, single = (dataset.sel(proposal=name) for name in PROPOSALS)
    error = float(flat.acceptance_error.max())
    last = [float(row.acceptance[-1]) for row in (flat, own, single)]
    most = f"with {modes[-1]:,} modes"
    return (
        Claim(f"change of pCNL's acceptance from {modes[0]} to {modes[-1]:,} modes", paper,
              float(np.ptp(flat.acceptance.values)), 0.0, FLAT + 4 * error, "at most", error),
        Claim("least acceptance of pCNL, any number of modes", "our aim", float(flat.acceptance.min()), 0.4, 0.0,
              "at least", error),
        Claim(f"acceptance of MALA, one step size, {most}", paper, last[2], 0.0, 0.01, "at most",
              float(single.acceptance_error[-1])),
        Claim(f"acceptance of MALA, own step sizes, {most}, below half of pCNL's", "our aim", last[1],
              0.5 * last[0], 0.0, "at most", float(own.acceptance_error[-1])),
    )  # fmt: skip


def _costs(dataset: "xarray.Dataset") -> tuple[Claim, ...]:
    wrong = float((~dataset.settles_below.astype(bool)).sum() + dataset.settles_above.sum())
    passes = dataset.evaluations.sel(learner=ASCENT).values
    return (
        Claim("runs of explicit Euler that grow below 2 / precision or settle above", "exact: the stiffest mode", wrong,
              0.0, 0.0, "at most", unit="runs"),
        Claim("spread of P-SDCA's passes over numbers of modes, relative", "our aim",
              float(np.ptp(passes) / passes.mean()), 0.0, 0.2, "at most"),
    )  # fmt: skip


def _freedom(dataset: "xarray.Dataset") -> int:
    """Of the errors of all D together."""
    return len(dataset.modes) * (dataset.attrs["walks"] - 1)


def _beyond(rest: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Standard errors by which others lie above the common value, or farther below than their gaps allow."""
    return {"above": rest["excess"] / rest["error"], "below": (-rest["excess"] - rest["room"]) / rest["error"]}


def _numbers(dataset: "xarray.Dataset") -> dict[str, float]:
    from scipy.stats import f

    row, modes = dataset.sel(learner=ASCENT), dataset.modes.values
    mean, one, of_mean = common_value(dataset)
    ratio = float(row.dual_value.values.var(ddof=1)) / one**2
    off = _beyond(others(dataset))
    numbers = {"D": mean, "D, error": of_mean, "error of one D": one}
    numbers |= {"chance of a larger spread of D": float(f.sf(ratio, len(modes) - 1, _freedom(dataset)))}
    numbers |= {"largest gap, P-SDCA": float(row.gap.max()), "largest gap": float(dataset.gap.max())}
    numbers |= {"others above, in errors": float(off["above"].max())}
    numbers |= {"others below their gaps": float(off["below"].max())}
    numbers |= {"largest cut-off": float(np.abs(dataset.cut_off).max())}
    large = modes >= 64
    if large.sum() > 1:
        seconds = np.log(dataset.seconds.values[large])
        numbers |= {"exponent of seconds in modes": float(np.polyfit(np.log(modes[large]), seconds, 1)[0])}
    euler = float(dataset.attrs["step_size"] / dataset.euler_limit[-1])
    return numbers | {"steps of Euler for one of the others": euler}


def _sentence(dataset: "xarray.Dataset", numbers: dict[str, float]) -> str:
    row, modes, (mean, one, of_mean) = dataset.sel(learner=ASCENT), dataset.modes.values, common_value(dataset)
    far = np.abs(row.dual_value.values - mean).max() / (one * np.sqrt(1 - 1 / len(modes)))
    worst, left = numbers["largest gap"], dataset.attrs["untrained"] - mean
    each = _pairs(row.dual_value.values, row.dual_value_error.values, 5)
    ends, passes = dataset.isel(modes=[0, -1]), row.evaluations.values
    accepted = "; ".join(
        f"{n} {_pairs(ends.acceptance.sel(proposal=n).values, ends.acceptance_error.sel(proposal=n).values, 3)}"
        for n in PROPOSALS
    )
    widest = f"{numbers['largest gap, P-SDCA']:.1e} ± {float(row.gap_error[int(row.gap.values.argmax())]):.1e}"
    growth = numbers.get("exponent of seconds in modes")
    slower = "" if growth is None else f"; seconds of a move grow like K^{growth:.2f} from 64 modes on"
    return (
        f"D of P-SDCA for K = {modes[0]} to {modes[-1]} modes: {each}; in common {mean:.5f} ± {of_mean:.5f}, the "
        f"farthest {far:.1f} standard errors off (allowed {limit_of(len(modes), _freedom(dataset) + 1):.1f}; a wider "
        f"spread has a chance of {numbers['chance of a larger spread of D']:.2f}). Its certified gaps are at most "
        f"{widest}, those of all methods at most {worst:.1e}, {100 * worst / left:.2g} % of what training gains; MFLD "
        f"and PDA, in {len(others(dataset)['excess'])} runs, lie at most {numbers['others above, in errors']:.1f} "
        f"errors above and {max(numbers['others below their gaps'], 0):.1f} below what their gaps allow. Cutting the "
        f"curves off changes D by {numbers['largest cut-off']:.1e} at most. Accepted at {modes[0]} and {modes[-1]} "
        f"modes: {accepted}. Explicit Euler settles below 2 / precision and grows above, so that at {modes[-1]} modes "
        f"it takes {numbers['steps of Euler for one of the others']:,.0f} steps for one of the others. P-SDCA passes "
        f"over {passes.min():,.0f} to {passes.max():,.0f} curves at any K{slower}."
    )


def _pairs(values: np.ndarray, errors: np.ndarray, digits: int) -> str:
    return ", ".join(f"{v:.{digits}f} ± {e:.{digits}f}" for v, e in zip(values, errors, strict=True))
