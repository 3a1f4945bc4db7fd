"""The verdict on dual methods: rates against the theorems and against exact laws, gaps against the aims."""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.studies.dual_methods.runs import LOSSES, PLANE_SIZE
from langevax.studies.study import Verdict

if TYPE_CHECKING:
    import xarray

AIMS = {"P-SDCA": 1e-4, "PDA": 1e-5, "MFLD": 5e-5}
ONLINE_FROM, FULL_FROM, FULL_TO = 128, 8, 32
"""Outer iterations between which exponents are fitted: all rows seen; before the floor."""
FLOORS = 20
"""P-SDCA's rate is fitted where the exact gap is above so many floors of the particles."""
CLOSE = 0.25
"""What particles and step sizes may change of an online gap, as a logarithm."""


def jackknife(statistic: Any, *runs: np.ndarray) -> tuple[float, float]:
    """`statistic` of all runs, axis 0 of each array, and its error by leaving one out."""
    number = len(runs[0])
    without = [statistic(*(np.delete(r, i, axis=0) for r in runs)) for i in range(number)]
    return float(statistic(*runs)), float(np.sqrt(number - 1) * np.std(without))


def exponent(x: np.ndarray, gaps: np.ndarray, logs: bool) -> float:
    """Slope of log(mean gap) in x, or in log x; NaN where fewer than three points are left."""
    if len(x) < 3:
        return float("nan")
    return float(np.polyfit(np.log(x) if logs else x, np.log(gaps.mean(axis=0)), 1)[0])


def judge(dataset: "xarray.Dataset") -> Verdict:
    """Rates against the theorems and against exact laws; gaps against the aims."""
    numbers: dict[str, float] = {}
    good: dict[str, bool] = {}

    def keep(name: str, value: float, error: float) -> tuple[float, float]:
        numbers[name], numbers[f"{name}, error"] = value, error
        return value, error

    def at_end(loss: str, name: str) -> tuple[float, float]:
        values = dataset.gap.sel(loss=loss, learner=name).isel(record=-1).values
        return keep(f"{name}, {loss}: gap", values.mean(), values.std(ddof=1) / np.sqrt(len(values)))

    said, reached = [], {}
    for loss in LOSSES:
        here = dataset.sel(loss=loss)
        steps = here.iterations.sel(learner="P-SDCA").values
        ours, exact = (here[name].sel(learner="P-SDCA").values for name in ("gap_last", "gap_exact"))
        fit = (steps >= PLANE_SIZE) & (exact.mean(axis=0) > FLOORS * ours[:, -3:].mean())
        bound = float(np.log1p(-1 / dataset.attrs[f"condition_{loss}"]))
        rate, error = keep(f"P-SDCA, {loss}: rate",
                           *jackknife(lambda g, x=steps[fit]: exponent(x, g, False), ours[:, fit]))  # fmt: skip
        off, off_error = keep(
            f"P-SDCA, {loss}: rate - exact rate",
            *jackknife(lambda g, e, x=steps[fit]: exponent(x, g, False) - exponent(x, e, False), ours[:, fit],
                       exact[:, fit]))  # fmt: skip
        numbers[f"P-SDCA, {loss}: rate promised"] = bound
        good[f"rate {loss}"] = rate <= bound + 2 * error and abs(off) <= max(3 * off_error, 0.05 * abs(rate))
        said.append(f"{np.exp(rate):.4f} ± {np.exp(rate) * error:.4f} a step ({loss}, promised {np.exp(bound):.4f})")
        for name in ("online PDA, 10 inner", "online PDA, 1 inner", "PDA, 10 inner"):
            rounds, online = here.iterations.sel(learner=name).values, name.startswith("online")
            part = (rounds >= (ONLINE_FROM if online else FULL_FROM)) & (online | (rounds <= FULL_TO))
            gaps, laws = (here[kind].sel(learner=name).values[:, part] for kind in ("gap", "gap_exact"))
            slope, error = keep(f"{name}, {loss}: exponent",
                                *jackknife(lambda g, x=rounds[part]: exponent(x, g, True), gaps))  # fmt: skip
            numbers[f"{name}, {loss}: exact exponent"] = exponent(rounds[part], laws, True)
            good[f"exponent {name} {loss}"] = slope <= -1 + 2 * error
            if online:  # the ratio is that of the last quarter, where the inner loops keep up
                late, law = gaps[:, -3:], np.broadcast_to(laws, gaps.shape)[:, -3:]
                ratio = jackknife(lambda g, e: float(np.log(g.mean() / e.mean())), late, law)
                off, off_error = keep(f"{name}, {loss}: log(gap / exact gap)", *ratio)
                good[f"law {name} {loss}"] = abs(off) <= CLOSE + 3 * off_error
        value, error = at_end(loss, "P-SDCA")
        good[f"aim P-SDCA {loss}"] = value + 2 * error <= AIMS["P-SDCA"]
        ten, ten_error = at_end(loss, "PDA, 10 inner")
        at_end(loss, "PDA, 1 inner")
        of_mean, law = here.gap_of_mean, here.gap_exact.sel(learner="PDA, 10 inner").values[0, -1]
        numbers[f"PDA, 10 inner, {loss}: gap of the runs' mean dual"] = float(of_mean.sel(learner="PDA, 10 inner"))
        numbers[f"PDA, 10 inner, {loss}: exact gap"] = float(law)
        numbers[f"step bias, {loss}"] = float(of_mean.sel(learner="fictitious play"))
        reached[loss] = ten + 2 * ten_error <= AIMS["PDA"]
    good["aim PDA logistic"] = reached["logistic"]
    certified = dataset.sel(certified_learner="MFLD", check=dataset.sizes["check"] - 1).isel(problem=0)
    value, error = keep("MFLD, 10-d: certified gap", float(certified.certified), float(certified.certified_error))
    good["aim MFLD"] = bool(certified.trustworthy) and value + 2 * error <= AIMS["MFLD"]

    def told(name: str, digits: str = ".1e") -> str:
        return f"{numbers[name]:{digits}} ± {numbers[f'{name}, error']:{digits}}"

    sentence = (
        f"P-SDCA's gap falls by {' and '.join(said)}, to {told('P-SDCA, squared: gap')} and "
        f"{told('P-SDCA, logistic: gap')}. Online PDA falls like T to the "
        f"{' and '.join(told(f'online PDA, 10 inner, {loss}: exponent', '.2f') for loss in LOSSES)} (10 inner steps), "
        f"{' and '.join(told(f'online PDA, 1 inner, {loss}: exponent', '.2f') for loss in LOSSES)} (one), with all "
        f"rows {' and '.join(told(f'PDA, 10 inner, {loss}: exponent', '.2f') for loss in LOSSES)}; "
        f"after 128 rounds of 10 inner steps it is at {told('PDA, 10 inner, squared: gap')} and "
        f"{told('PDA, 10 inner, logistic: gap')}, of which "
        f"{numbers['PDA, 10 inner, squared: exact gap']:.1e} and {numbers['PDA, 10 inner, logistic: exact gap']:.1e} "
        f"are the exact law's; after 704 rounds of one step, as many gradients, at "
        f"{told('PDA, 1 inner, squared: gap')} and {told('PDA, 1 inner, logistic: gap')}. "
        f"MFLD's averaged dual in 10 dimensions is certified within {told('MFLD, 10-d: certified gap')}."
    )
    missed = [loss for loss in LOSSES if not reached[loss]]
    sentence += f" Missed, with 10 inner steps and {' and '.join(missed)} loss: {AIMS['PDA']:g}." if missed else ""
    failed = [name for name, fine in good.items() if not fine]
    sentence += f" Not as promised: {', '.join(failed)}." if failed else ""
    return Verdict((), sentence, numbers, decided=bool(not failed))
