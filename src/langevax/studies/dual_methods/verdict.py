"""The verdict on dual methods: rates against the theorems and against exact laws, gaps against the aims."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.studies.dual_methods.runs import LOSSES, PLANE_SIZE
from langevax.studies.study import Claim, Verdict

if TYPE_CHECKING:
    import xarray

AIMS = {"P-SDCA": 1e-4, "PDA": 1e-5, "MFLD": 5e-5}
ONLINE_FROM, FULL_FROM, FULL_TO = 128, 8, 32
"""Outer iterations between which exponents are fitted: all rows seen; before the floor."""
FLOORS = 20
"""P-SDCA's rate is fitted where the exact gap is above so many floors of the particles."""
AVERAGED = ("online PDA, 10 inner", "online PDA, 1 inner", "PDA, 10 inner")
CLOSE = 0.25
"""What particles and step sizes may change of an online gap, as a logarithm."""
UNIT = "units of D"


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


def worst(claims: Iterable[Claim]) -> Claim:
    """The one that is nearest to failing, or fails by most: all hold where it does. Of one kind: equal units."""

    def room(claim: Claim) -> float:
        off = claim.measured - claim.predicted
        left = claim.tolerance - (abs(off) if claim.relation == "equals" else off)
        return left if np.isfinite(left) else -np.inf  # a number that is none is the worst

    return min(claims, key=room)


def judge(dataset: "xarray.Dataset") -> Verdict:
    """Rates against the theorems and against exact laws; gaps against the aims."""
    found: dict[str, tuple[float, float]] = {}
    rates = {loss: _ascent(dataset.sel(loss=loss, learner="P-SDCA"), found) for loss in LOSSES}
    for loss in LOSSES:
        for name in AVERAGED:
            _averaging(dataset.sel(loss=loss, learner=name), found)
        for name in ("P-SDCA", "PDA, 10 inner", "PDA, 1 inner"):
            gaps = dataset.gap.sel(loss=loss, learner=name).isel(record=-1).values
            found[f"{name}, {loss}: gap"] = float(gaps.mean()), float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    certified = dataset.sel(certified_learner="MFLD", check=dataset.sizes["check"] - 1).isel(problem=0)
    known = float(certified.certified) if bool(certified.trustworthy) else np.nan
    found["MFLD, 10-d: certified gap"] = float(certified.certified), float(certified.certified_error)

    claims = (
        *(
            Claim(f"what P-SDCA's log gap changes by in a step, {loss} loss", "Oko et al.: at most log(1 - 1 / kappa)",
                  rate, float(np.log1p(-1 / dataset.attrs[f"condition_{loss}"])), 2 * error, "at most", error,
                  "1 / step")
            for loss, (rate, error, _, _) in rates.items()
        ),
        worst(
            Claim(f"P-SDCA's log gap a step beside its exact law's, {loss} loss, the worse", "exact law, the same rows",
                  rate, rate - off, max(3 * error, 0.05 * abs(rate)), error=error, unit="1 / step")
            for loss, (rate, _, off, error) in rates.items()
        ),
        *(
            worst(
                Claim(f"power of T in the gap of {name}, {loss} loss, the worst case", "Nitanda et al.: 1 / T",
                      power, -1.0, 2 * error, "at most", error)
                for name in AVERAGED if name.startswith("online") == online for loss in LOSSES
                for power, error in [found[f"{name}, {loss}: exponent"]]
            )
            for online in (True, False)
        ),
        worst(
            Claim(f"log of the gap of {name} over its law's, {loss} loss, the worst case", "exact law, the same rows",
                  off, 0.0, CLOSE + 3 * error, error=error)
            for name in AVERAGED if name.startswith("online") for loss in LOSSES
            for off, error in [found[f"{name}, {loss}: log(gap / exact gap)"]]
        ),
        worst(
            Claim(f"P-SDCA's gap at the end and two errors, {loss} loss, the worse", "our aim",
                  _upper(found[f"P-SDCA, {loss}: gap"]), AIMS["P-SDCA"], 0.0, "at most", unit=UNIT)
            for loss in LOSSES
        ),
        Claim("gap of PDA, 10 inner steps, and two errors, logistic loss", "our aim",
              _upper(found["PDA, 10 inner, logistic: gap"]), AIMS["PDA"], 0.0, "at most", unit=UNIT),
        Claim("certified gap of MFLD in 10 dimensions, and two errors", "our aim",
              known + 2 * float(certified.certified_error), AIMS["MFLD"], 0.0, "at most", unit="units of P"),
    )  # fmt: skip
    numbers = {}
    for name, (value, error) in found.items():
        numbers |= {name: value, f"{name}, error": error}
    for loss in LOSSES:
        here = dataset.sel(loss=loss)
        numbers[f"PDA, 10 inner, {loss}: gap of the runs' mean dual"] = float(
            here.gap_of_mean.sel(learner="PDA, 10 inner")
        )
        numbers[f"PDA, 10 inner, {loss}: exact gap"] = float(here.gap_exact.sel(learner="PDA, 10 inner")[0, -1])
        numbers[f"step bias, {loss}"] = float(here.gap_of_mean.sel(learner="fictitious play"))
    return Verdict(claims, _sentence(dataset, rates, found, numbers), numbers)


def _upper(found: tuple[float, float]) -> float:
    return found[0] + 2 * found[1]


def _ascent(here: "xarray.Dataset", found: dict[str, tuple[float, float]]) -> tuple[float, float, float, float]:
    """P-SDCA's rate, its error, what it is off the exact law's rate, and the error of that."""
    loss, steps = str(here.loss.values), here.iterations.values
    ours, exact = here.gap_last.values, here.gap_exact.values
    fit = (steps >= PLANE_SIZE) & (exact.mean(axis=0) > FLOORS * ours[:, -3:].mean())
    x = steps[fit]
    rate = jackknife(lambda g: exponent(x, g, False), ours[:, fit])
    off = jackknife(lambda g, e: exponent(x, g, False) - exponent(x, e, False), ours[:, fit], exact[:, fit])
    found[f"P-SDCA, {loss}: rate - exact rate"] = off
    return *rate, *off


def _averaging(here: "xarray.Dataset", found: dict[str, tuple[float, float]]) -> None:
    """Powers of T, measured and exact, and how far online gaps are off their laws."""
    loss, name, rounds = str(here.loss.values), str(here.learner.values), here.iterations.values
    online = name.startswith("online")
    part = (rounds >= (ONLINE_FROM if online else FULL_FROM)) & (online | (rounds <= FULL_TO))
    x, gaps, exact = rounds[part], here.gap.values[:, part], here.gap_exact.values[:, part]
    found[f"{name}, {loss}: exponent"] = jackknife(lambda g: exponent(x, g, True), gaps)
    found[f"{name}, {loss}: exact exponent"] = jackknife(lambda e: exponent(x, e, True), exact)
    if online:  # the ratio is that of the last quarter, where the inner loops keep up
        late, law = gaps[:, -3:], exact[:, -3:]
        found[f"{name}, {loss}: log(gap / exact gap)"] = jackknife(
            lambda g, e: float(np.log(g.mean() / e.mean())), late, law
        )


def _sentence(
    dataset: "xarray.Dataset", rates: dict[str, Any], found: dict[str, tuple[float, float]], numbers: dict[str, float]
) -> str:
    def told(name: str, digits: str = ".1e") -> str:
        return f"{found[name][0]:{digits}} ± {found[name][1]:{digits}}"

    def both(name: str) -> str:
        return " and ".join(told(f"{name}, {loss}: exponent", ".2f") for loss in LOSSES)

    said = " and ".join(
        f"{np.exp(rate):.4f} ± {np.exp(rate) * error:.4f} a step ({loss}, promised "
        f"{1 - 1 / dataset.attrs[f'condition_{loss}']:.4f})"
        for loss, (rate, error, *_) in rates.items()
    )
    missed = [loss for loss in LOSSES if not _upper(found[f"PDA, 10 inner, {loss}: gap"]) <= AIMS["PDA"]]
    aim = f" Missed, with 10 inner steps and {' and '.join(missed)} loss: {AIMS['PDA']:g}." if missed else ""
    return (
        f"P-SDCA's gap falls by {said}, to {told('P-SDCA, squared: gap')} and {told('P-SDCA, logistic: gap')}. Online "
        f"PDA falls like T to the {both('online PDA, 10 inner')} (10 inner steps), {both('online PDA, 1 inner')} "
        f"(one), with all rows {both('PDA, 10 inner')}; "
        f"after 128 rounds of 10 inner steps it is at {told('PDA, 10 inner, squared: gap')} and "
        f"{told('PDA, 10 inner, logistic: gap')}, of which "
        f"{numbers['PDA, 10 inner, squared: exact gap']:.1e} and {numbers['PDA, 10 inner, logistic: exact gap']:.1e} "
        f"are the exact law's; after 704 rounds of one step, as many gradients, at "
        f"{told('PDA, 1 inner, squared: gap')} and {told('PDA, 1 inner, logistic: gap')}. "
        f"MFLD's averaged dual in 10 dimensions is certified within {told('MFLD, 10-d: certified gap')}.{aim}"
    )
