"""The verdict of the study "functional-inputs": one dual value for all numbers of modes, and what does not stay."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.functional_inputs.runs import ASCENT, PROPOSALS
from langevax.studies.propagation_of_chaos import limit_of
from langevax.studies.study import Verdict

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
    return float(row.dual_value.mean()), one, one / np.sqrt(row.sizes["modes"])


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
    from scipy.stats import f

    row, modes, walks = dataset.sel(learner=ASCENT), dataset.modes.values, dataset.attrs["walks"]
    mean, one, of_mean = common_value(dataset)
    count, freedom = len(modes), len(modes) * (walks - 1)
    z = (row.dual_value.values - mean) / (one * np.sqrt(1 - 1 / count))
    allowed = limit_of(count, freedom + 1)
    ratio = float(row.dual_value.values.var(ddof=1)) / one**2
    chance = float(f.sf(ratio, count - 1, freedom))
    rest = others(dataset)
    too_high, too_low = rest["excess"] / rest["error"], (-rest["excess"] - rest["room"]) / rest["error"]
    other_allowed = limit_of(2 * len(too_high), freedom + 1)
    left = dataset.attrs["untrained"] - mean
    gaps, worst = row.gap.values, float(dataset.gap.max())
    shifts = np.abs(dataset.cut_off.values) + 3 * dataset.cut_off_error.values
    holds = bool(np.abs(z).max() < allowed and max(too_high.max(), too_low.max()) < other_allowed)
    holds &= bool(worst < CLOSED * left and (dataset.trustworthy.fillna(1.0) == 1).all() and shifts.max() < one)

    flat, own, single = (dataset.sel(proposal=name) for name in PROPOSALS)
    spread, error = np.ptp(flat.acceptance.values), float(flat.acceptance_error.max())
    holds &= bool(spread < FLAT + 4 * error and float(flat.acceptance.min()) > 0.4)
    holds &= bool((single.acceptance[-1] < 0.01) and float(own.acceptance[-1]) < 0.5 * float(flat.acceptance[-1]))
    holds &= bool(dataset.settles_below.all() and not dataset.settles_above.any())
    passes = row.evaluations.values
    holds &= bool(np.ptp(passes) < 0.2 * passes.mean())
    large = modes >= 64
    growth = (
        float(np.polyfit(np.log(modes[large]), np.log(dataset.seconds.values[large]), 1)[0])
        if large.sum() > 1
        else np.nan
    )

    numbers = {"D": mean, "D, error": of_mean, "error of one D": one}
    numbers |= {"largest |z|": float(np.abs(z).max()), "allowed |z|": allowed, "chance of a larger spread of D": chance}
    numbers |= {"largest gap, P-SDCA": float(gaps.max()), "largest gap": worst}
    numbers |= {"others above, in errors": float(too_high.max()), "others below their gaps": float(too_low.max())}
    numbers |= {"allowed for others": other_allowed, "largest cut-off": float(np.abs(dataset.cut_off).max())}
    last = dataset.acceptance[:, -1]
    numbers |= {f"acceptance at {modes[-1]} modes, {n}": float(last.sel(proposal=n)) for n in PROPOSALS}
    numbers |= {"spread of pCNL's acceptance": float(spread), "exponent of seconds in modes": growth}
    euler = float(dataset.attrs["step_size"] / dataset.euler_limit[-1])
    numbers |= {"steps of Euler for one of the others": euler}
    each = _pairs(row.dual_value.values, row.dual_value_error.values, 5)
    ends = dataset.isel(modes=[0, -1])
    accepted = "; ".join(
        f"{n} {_pairs(ends.acceptance.sel(proposal=n).values, ends.acceptance_error.sel(proposal=n).values, 3)}"
        for n in PROPOSALS
    )
    widest = f"{gaps.max():.1e} ± {float(row.gap_error[int(gaps.argmax())]):.1e}"
    sentence = (
        f"D of P-SDCA for K = {modes[0]} to {modes[-1]} modes: {each}; in common {mean:.5f} ± {of_mean:.5f}, the "
        f"farthest {np.abs(z).max():.1f} standard errors off (allowed {allowed:.1f}; a wider spread has a chance of "
        f"{chance:.2f}). Its certified gaps are at most {widest}, those of all methods at most {worst:.1e}, "
        f"{100 * worst / left:.2g} % of what training gains; MFLD and PDA, in {len(too_high)} runs, lie at most "
        f"{too_high.max():.1f} errors above and {max(too_low.max(), 0):.1f} below what their gaps allow. Cutting the "
        f"curves off changes D by {np.abs(dataset.cut_off.values).max():.1e} at most. Accepted at {modes[0]} and "
        f"{modes[-1]} modes: {accepted}. Explicit Euler settles below 2 / precision and grows above, so that at "
        f"{modes[-1]} modes it takes {euler:,.0f} steps for one of the others. P-SDCA passes over {passes.min():,.0f} "
        f"to {passes.max():,.0f} curves at any K; seconds of a move grow like K^{growth:.2f} from 64 modes on."
    )
    return Verdict(claims=(), decided=bool(holds), sentence=sentence, numbers=numbers)


def _pairs(values: np.ndarray, errors: np.ndarray, digits: int) -> str:
    return ", ".join(f"{v:.{digits}f} ± {e:.{digits}f}" for v, e in zip(values, errors, strict=True))
