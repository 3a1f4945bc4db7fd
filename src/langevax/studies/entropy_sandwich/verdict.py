"""The verdict on the entropy sandwich: entropies on their sides, rates in order, clouds on the exact law."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.chance import limit_of
from langevax.studies.study import Claim, Verdict

if TYPE_CHECKING:
    import xarray

ROUNDING = 1e-12  # of objectives, which are of order 1
PROMISES = ("path", "oscillation", "bounds", "printed")  # constants, the sharpest first
PAPER, LOSS, RATE = "Nitanda et al.", "units of the loss", "1 / time"


def judge(dataset: "xarray.Dataset") -> Verdict:
    """Entropies on their sides, the fall below its bounds, rates in order, the late one exact, clouds on the law."""
    gap, lower, upper, time = (dataset[name].values for name in ("gap", "lower", "upper", "time"))
    rate = {str(kind): float(dataset.rate.sel(kind=kind)) for kind in dataset.kind.values}
    error = float(dataset.late_error)
    promised = np.array([np.exp(-rate[name] * time) * gap[0] for name in PROMISES])
    order = np.array([rate["late"] + error, rate["slowest"], *(rate[name] for name in PROMISES)])
    ratios = [*(order[:-1] / order[1:]), rate["poincare"] / rate["oscillation"], order[0] / rate["poincare"]]
    z = ((dataset.measured - dataset.chain) / dataset.measured_error).values
    off = float(np.abs(dataset.chain - dataset.flow_at_looks).max())
    claims = (
        Claim("T KL(q || q*) over L - L*, the most of all times", f"{PAPER}, the sandwich",
              float((lower / gap).max()), 1.0, 0.0, "at most"),
        Claim("T KL(q || p_q) over L - L*, the least of all times", f"{PAPER}, the sandwich",
              float((upper / gap).min()), 1.0, 0.0, "at least"),
        Claim("duality gap less T KL(q || p_q), the farthest from nothing", "an identity of both",
              float(np.abs(dataset.duality_gap.values - upper).max()), 0.0, ROUNDING, "at most", unit=LOSS),
        Claim("rate of L - L* at late times", "slowest mode of the flow linearised at q*",
              rate["late"], rate["linearised"], error, error=error, unit=RATE),
        Claim("slowest rate of L - L* on the way, against the path's 2 alpha T", f"{PAPER}, convergence",
              rate["slowest"], rate["path"], 0.0, "at least", unit=RATE),
        Claim("L - L* over what each constant promises, the most after the start", f"{PAPER}; Holley and Stroock",
              float((gap / promised)[:, 1:].max()), 1.0, 0.0, "at most"),
        Claim("each rate over the next that its proof rests on, the least", "log-Sobolev inequalities",
              float(np.min(ratios)), 1.0, 0.0, "at least"),
        Claim(f"{z.size} outputs and risks of clouds: the farthest from their law", "exact law of the same steps",
              float(np.abs(z).max()), 0.0, limit_of(z.size, dataset.attrs["num_clouds"]), "at most",
              unit="standard errors"),
    )  # fmt: skip
    numbers = {f"rate, {name}": rate[name] for name in ("poincare", "oscillation", "bounds", "printed")}
    numbers |= {
        "largest (L - L*) / lower": float((gap / lower).max()),
        "largest upper / (L - L*)": float((upper / gap).max()),
    }
    numbers |= {"comparisons": float(z.size), "mean z^2": float(np.mean(z**2))}
    numbers |= {"the step moves outputs and risk by": off, "largest error bar": float(dataset.measured_error.max())}
    worse = {name: rate["late"] / rate[name] for name in PROMISES}
    sentence = (
        f"L - L* lies between T KL(q || q*), at least {(lower / gap).min():.2f} of it, and T KL(q || p_q), at most "
        f"{(upper / gap).max():.2f} of it, at all {len(time)} times; it falls at last at rate {rate['late']:.4f} ± "
        f"{error:.4f}, linearised {rate['linearised']:.4f}. The best constant of this path would promise "
        f"{rate['path']:.2f}; Holley and Stroock's with its oscillation promises {worse['oscillation']:.0f} times less "
        f"than there is, with the oscillation's bound {worse['bounds']:.1g}, as printed {worse['printed']:.1g}. "
        f"Clouds of MFLD: {z.size} outputs and risks within {np.abs(z).max():.1f} standard errors of the exact law at "
        f"the same step, which lies within {off:.1g} of the flow's."
    )
    return Verdict(claims, sentence, numbers)
