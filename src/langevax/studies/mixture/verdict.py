"""The verdict on a mixture's posterior: each mode's spread, and no chain that crossed."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.study import Claim, Verdict

if TYPE_CHECKING:
    import xarray

TOLERANCE, SIGMAS = 0.1, 3.0  # an index is 1 within both together: discretisation at this step is 0.015 of it
ON_THE_RIDGE, WIDE = 0.05, 1.5  # chains that may be in neither mode; an index that is far from 1
REDUCED = ("SVRG-LD", "SARAH-LD")
LATE, ARRIVED = 3, 40.0  # records that are judged; half the squared distance within a mode: 9 sd (the ridge: 90)


def spread(data: "xarray.Dataset", name: str, looks: slice) -> tuple[np.ndarray, np.ndarray, int]:
    """Per mode the spread index over some records, its standard error over chains, and the chains left out.

    The index is tr(exact covariance^-1 second moment about the exact mean) / 2: 1 for exact draws, else the mean ratio
    of variances over the two principal directions. A few chains are still on the ridge between the modes when a run
    ends; they are in neither and are left out, unless they are many.
    """
    ratio, mode = data["ratio"].sel(sampler=name).values, data["mode_of"].sel(sampler=name).values[:, -1]
    arrived = np.all(ratio[:, -LATE:] < ARRIVED, axis=1)
    if arrived.mean() < 0.9:
        arrived = np.ones(len(ratio), bool)
    each = [ratio[arrived & (mode == m), looks].mean(1) for m in range(2)]
    errors = [r.std(ddof=1) / np.sqrt(len(r)) for r in each]
    return np.array([r.mean() for r in each]), np.array(errors), int((~arrived).sum())


def judge(data: "xarray.Dataset") -> Verdict:
    """SVRG-LD and SARAH-LD at 1 in both modes, SGLD far above it, and no chain that crossed."""
    chains, weight = data.attrs["chains"], float(data["exact_weight"][0])
    index, error, out = {}, {}, {}
    for name in (str(name) for name in data["sampler"].values):
        index[name], error[name], out[name] = spread(data, name, slice(-LATE, None))
    inside, mode = data["ratio"].values < ARRIVED, data["mode_of"].values
    crossed = int((inside & inside[..., -1:] & (mode != mode[..., -1:])).any(-1).sum())
    share = data["share"].values
    share_error = np.sqrt(share * (1 - share) / chains)
    claims = tuple(
        Claim(f"spread of {name}'s chains in mode {m + 1}, over the exact one", "exact law, by quadrature",
              float(index[name][m]), 1.0, TOLERANCE + SIGMAS * float(error[name][m]), error=float(error[name][m]))
        for name in REDUCED for m in range(2)
    )  # fmt: skip
    claims += (
        Claim("share of chains still between the modes, SVRG-LD's or SARAH-LD's", "our aim",
              max(out[name] for name in REDUCED) / chains, 0.0, ON_THE_RIDGE, "at most"),
        Claim("spread of SGLD's chains over the exact one, less three errors", "our aim: too wide by half at least",
              float(index["SGLD"].mean() - SIGMAS * np.linalg.norm(error["SGLD"]) / 2), WIDE, 0.0, "at least"),
        Claim("chains of all methods that crossed between the modes", "the barrier between them",
              float(crossed), 0.0, 0.0, "at most", unit="chains"),
        Claim("share in mode 1 from a leaning start, less three errors: above its weight", "no chain crosses",
              float((share - SIGMAS * share_error)[:, 1].min()), weight, 0.0, "at least"),
    )  # fmt: skip

    def told(values: np.ndarray, errors: np.ndarray, digits: int) -> str:
        return " and ".join(f"{v:.{digits}f} ± {e:.{digits}f}" for v, e in zip(values, errors, strict=True))

    used = data["gradients"].values[-1, -1]
    found = ", ".join(
        f"{name} {told(index[name], error[name], 2)} ({out[name]} left out)" for name in (*REDUCED, "SGLD")
    )
    ends = [told(*pair, 3) for pair in zip(share, share_error, strict=True)]
    sentence = (
        f"After {used:.3g} component gradients the spread index of the two modes is {found}; exact is 1, and "
        f"chains still on the ridge, of {chains}, are left out. LD, with few steps for so many gradients, is at "
        f"{index['LD'].mean():.2g}. {crossed or 'No'} chain{'s' * (crossed > 1)} crossed between the modes: from a "
        f"centred and a leaning start SVRG-LD has {ends[0]} of its chains in the mode of exact weight {weight:.3f}, "
        f"MALA {ends[1]}."
    )
    numbers = {}
    for i, j in np.ndindex(2, 2):
        which = f"{data['compared'].values[i]}_{('centred', 'leaning')[j]}"
        numbers |= {f"{which}_share": float(share[i, j]), f"{which}_share_error": float(share_error[i, j])}
        for name in ("LD", "SGLD"):
            numbers |= {f"{name}_index_{j + 1}": float(index[name][j]), f"{name}_error_{j + 1}": float(error[name][j])}
    return Verdict(claims, sentence, numbers)
