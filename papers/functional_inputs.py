"""Networks that read curves reach the same certified optimum at any number of modes, at a cost in proportion to it.

Claim: Networks on curves, with weights of a trace-class Gaussian prior, are trained to the same certified optimum at
any number of modes K: dual value, acceptance of pCNL and passes stay, a pass costs in proportion to it, where explicit
Euler and MALA break down.

Formula:
    f_q(x) = int tanh(<theta, x>) q(dtheta),    min_q L(f_q) + T KL(q | N(0, C)) = max_g D(g)  for any K

Source: Nishikawa, Suzuki, Nitanda, Wu (NeurIPS 2022), PDA and P-SDCA in infinite dimensions; Cotter, Roberts, Stuart,
White (Statistical Science 2013), pCNL.

Figure: Above: dual values on one level within their errors at every number of modes, all gaps far below what an
untrained network leaves, and what cut-off curves change far below the errors. Below: pCNL is accepted alike at all of
them while both kinds of MALA stop moving; Euler's longest step falls with slope -2 where that of the schemes for
functions stays; a move's seconds grow in proportion to modes.

Weights and 60 curves are cut off after K modes of an orthonormal basis (`curve_networks.py`): what a grid that resolves
K modes would see. Measured are

dual value   D of P-SDCA with pCNL refreshes at every K; of MFLD (exponential, semi-implicit) and of PDA in its KL form
             (the same two, and pCNL) at a few K. Certified by walks from the prior with pCNL moves, each K by its own
gap          of these certificates
cut-off      D of K modes less that of the most, at one dual by common draws: what the curves themselves leave out
acceptance   of one proposal of fixed size, from the law: pCNL, MALA with a step for each coordinate, MALA with one
steps        whether explicit Euler settles below 2 / precision of the stiffest mode and grows above it
cost         passes over the rows, and seconds of a pCNL move: those of the machine, which are not judged
"""

from typing import Any, NamedTuple

import jax
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from scipy.stats import f as f_distribution
from tqdm import tqdm

from claims import Check, Claim, Size, Verdict, critical_value, variables
from curve_networks import (
    ASCENT,
    PROPOSALS,
    STEP_SIZE,
    TEMPERATURE,
    acceptances,
    curves,
    euler_limit,
    learners,
    risk_of,
    seconds_per_move,
    settles,
    trained,
    truncations,
)
from langevax.figures import theme
from langevax.meanfield import certify

BELOW, ABOVE = 0.95, 1.05  # of explicit Euler's limit
QUANTITIES = {  # of a certificate, under the dataset's names
    "dual_value": "lower_bound",
    "dual_value_error": "lower_bound_error",
    "gap": "gap",
    "gap_error": "standard_error",
    "trustworthy": "trustworthy",
    "temperatures": "temperatures",
}

FLAT = 0.05  # by how much an acceptance that is flat may differ between numbers of modes, beyond its errors
CLOSED = 0.02  # of what training gains: the largest gap that counts as closed


class Settings(NamedTuple):
    """What a size measures."""

    modes: tuple[int, ...]
    few_modes: tuple[int, ...]
    """Of the methods beside P-SDCA."""
    euler_modes: tuple[int, ...]
    ascent_particles: int
    steps: int
    """Passes of MFLD, and of the inner loops of PDA."""
    walks: int
    walk_particles: int
    particles: int = 1000
    """Of clouds, and of the moves that are timed."""


SIZES: dict[Size, Settings] = {
    "full": Settings((8, 16, 32, 64, 128, 256, 512, 1024), (8, 64, 512), (16, 64, 256, 1024), 1000, 600, 8, 2000),
    "small": Settings((8, 64), (8,), (16,), 400, 400, 4, 500),
}


# ---- measure


def measure(size: Size, seed: int) -> xarray.Dataset:
    """Every method at its numbers of modes, and what breaks beside them."""
    settings, root = SIZES[size], jax.random.key(seed)
    modes, walks, methods = settings.modes, (settings.walk_particles, settings.walks), learners(settings.steps)
    shape = len(methods), len(modes)
    columns = {name: np.full(shape, np.nan) for name in (*QUANTITIES, "evaluations", "step", "run_acceptance")}
    duals, accepted, seconds = [], np.zeros((len(PROPOSALS), len(modes), 2)), np.zeros(len(modes))
    cells = [
        (i, j, name)
        for i, name in enumerate(methods)
        for j, num_modes in enumerate(modes)
        if name == ASCENT or num_modes in settings.few_modes
    ]
    for i, j, name in tqdm(cells, desc="functional_inputs", disable=None):
        train_key, walk_key = jax.random.split(jax.random.fold_in(root, 100 * i + j))
        particles = settings.ascent_particles if name == ASCENT else settings.particles
        run = trained(methods[name], modes[j], particles, train_key)
        options = {"num_particles": walks[0], "num_replicates": walks[1], "polish": 0, "proposal": "pcnl"}
        certificate = certify(risk_of(modes[j]), run.dual, TEMPERATURE, key=walk_key, **options)
        for quantity, attribute in QUANTITIES.items():
            columns[quantity][i, j] = getattr(certificate, attribute)
        columns["evaluations"][i, j] = run.evaluations
        columns["step"][i, j], columns["run_acceptance"][i, j] = run.step_size, run.acceptance
        if name == ASCENT:
            duals.append(run.dual)
    for j, (num_modes, dual) in enumerate(zip(modes, duals, strict=True)):
        move_key, time_key = jax.random.split(jax.random.fold_in(root, 10_000 + j))
        accepted[:, j] = acceptances(num_modes, dual, settings.walk_particles, move_key)
        seconds[j] = seconds_per_move(num_modes, dual, settings.particles, time_key)
    euler, stays = settings.euler_modes, np.zeros((len(settings.euler_modes), 2), bool)
    for j, k in np.ndindex(stays.shape):
        stays[j, k] = settles(euler[j], (BELOW, ABOVE)[k], jax.random.fold_in(root, 20_000 + 2 * j + k))
    cut = truncations(modes[:-1], modes[-1], duals[-1], *walks, jax.random.fold_in(root, 30_000))

    dims, loss = ("learner", "modes"), "units of the loss"
    units = {"trustworthy": "whether", "temperatures": "steps of a walk", "evaluations": "curves seen by the cloud"}
    units |= {"step": "1", "run_acceptance": "1"}
    measured = {}
    for name, values in columns.items():
        measured |= variables(dims, units.get(name, loss), **{name: values})
    value, error = np.moveaxis(accepted, -1, 0)
    measured |= variables(("proposal", "modes"), "probability", acceptance=value, acceptance_error=error)
    measured |= variables("modes", "seconds of a move of a particle", seconds=seconds)
    measured |= variables("fewer_modes", loss, cut_off=cut[:, 0], cut_off_error=cut[:, 1])
    measured |= variables("euler_modes", "whether", settles_below=stays[:, 0], settles_above=stays[:, 1])
    measured |= variables("modes", "time", euler_limit=[euler_limit(n) for n in modes])
    measured |= variables("euler_modes", "time", euler_limit_tried=[euler_limit(n) for n in euler])
    coordinates = {"learner": list(methods), "proposal": list(PROPOSALS)}
    for name, values in {"modes": modes, "fewer_modes": modes[:-1], "euler_modes": euler}.items():
        coordinates |= variables(name, "modes", **{name: list(values)})
    untrained = float((curves()[1] ** 2).mean() / 2)  # neurons are odd: the prior's outputs are 0
    attributes = {"seed": seed, "walks": settings.walks, "step_size": STEP_SIZE, "untrained": untrained}
    return xarray.Dataset(measured, coordinates, attributes)


# ---- draw

STYLES = {  # colour, marker, and whether it is filled
    ASCENT: (theme.OKABE_ITO[0], "o", True),
    "MFLD, exponential": (*theme.METHODS["MFLD"], True),
    "MFLD, semi-implicit": (*theme.METHODS["MFLD"], False),
    "PDA, exponential": (theme.OKABE_ITO[1], "s", True),
    "PDA, semi-implicit": (theme.OKABE_ITO[1], "s", False),
    "PDA, pCNL": (theme.OKABE_ITO[4], "^", True),
}
PROPOSAL_STYLES = ((theme.OKABE_ITO[0], "o"), (theme.GREY, "x"), (theme.OKABE_ITO[3], "v"))
SPACING = 1.13  # between methods at the same number of modes, so that none hides another


def draw(data: xarray.Dataset) -> Figure:
    """Six panels: values, gaps and cut-off above; proposals, steps and seconds below."""
    figure = Figure(figsize=(14.0, 8.0))
    panels, modes = (draw_values, draw_gaps, draw_cut_off, draw_acceptance, draw_steps, draw_seconds), data.modes.values
    for axes, panel in zip(figure.subplots(2, 3).ravel(), panels, strict=True):
        axes.set_xscale("log", base=2)
        panel(axes, data)
        axes.set_xticks(modes, [str(n) for n in modes])
        axes.minorticks_off()
        axes.set(xlabel="modes $K$", xlim=(modes[0] / 1.7, modes[-1] * 1.7))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), handletextpad=0.3)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[union-attr]
    return figure


def label(axes: Axes, text: str, x: float, y: float, colour: str = theme.INK, **options: Any) -> None:
    """In shares of the axes."""
    axes.text(x, y, text, transform=axes.transAxes, color=colour, **options)


def draw_methods(axes: Axes, data: xarray.Dataset, quantity: str, scale: float) -> None:
    """Every method's points, side by side."""
    for place, (name, (colour, marker, filled)) in zip((0, -2, -1, 1, 2, 3), STYLES.items(), strict=True):
        row, x = data.sel(learner=name), data.modes * SPACING**place
        face, error = colour if filled else theme.LIGHT["paper"], scale * row[f"{quantity}_error"]
        style: dict[str, Any] = {"color": colour, "markerfacecolor": face, "capsize": 2, "zorder": 3}
        axes.errorbar(x, scale * row[quantity], error, fmt=marker, label=name, **style)


def draw_values(axes: Axes, data: xarray.Dataset) -> None:
    (mean, _, error), colour = common_value(data), theme.OKABE_ITO[0]
    axes.axhspan(mean - error, mean + error, color=theme.faint(colour), linewidth=0)
    axes.axhline(mean, color=colour, linewidth=0.9)
    draw_methods(axes, data, "dual_value", 1.0)
    label(axes, f"band: P-SDCA's mean, {mean:.5f} ± {error:.5f}", 0.03, 0.04, colour)
    low, high = axes.get_ylim()
    axes.set(ylim=(low - 0.15 * (high - low), high), ylabel="dual value $D$ (units of the loss)")
    axes.set(title="One optimum at any number of modes")


def draw_gaps(axes: Axes, data: xarray.Dataset) -> None:
    draw_methods(axes, data, "gap", 1e4)
    axes.axhline(0, color=theme.INK, linewidth=0.8)
    left = 1e4 * (float(data.attrs["untrained"]) - common_value(data)[0])
    label(axes, f"untrained: {left:,.0f}, above this picture", 0.97, 0.95, theme.GREY, ha="right", va="top")
    axes.set(ylim=(None, 1.25 * axes.get_ylim()[1]), ylabel="certified gap, $10^{-4}$")
    axes.set(title="Certified close to it by every method")


def draw_cut_off(axes: Axes, data: xarray.Dataset) -> None:
    error, colour = common_value(data)[1], theme.OKABE_ITO[0]
    largest = np.abs(data.cut_off.values) + 2 * data.cut_off_error.values
    axes.semilogy(data.fewer_modes, largest, "v", color=colour)
    axes.axhline(error, color=theme.GREY, linewidth=1.2)
    place: dict[str, Any] = {"xytext": (0, -13), "textcoords": "offset points"}
    axes.annotate("error of one measured $D$", (float(data.modes[0]), error), color=theme.GREY, **place)
    label(axes, "two standard errors added", 0.97, 0.95, colour, ha="right", va="top")
    name = f"$|D_K - D_{{{int(data.modes[-1])}}}|$"
    axes.set(ylim=(None, 20 * error), ylabel=f"{name} at most, by common draws")
    axes.set(title="Curves lose nothing by the cut-off")


def draw_acceptance(axes: Axes, data: xarray.Dataset) -> None:
    for name, (colour, marker) in zip(PROPOSALS, PROPOSAL_STYLES, strict=True):
        row, style = data.sel(proposal=name), {"color": colour, "capsize": 2, "linewidth": 0.9}
        axes.errorbar(data.modes, row.acceptance, row.acceptance_error, fmt=f"{marker}:", label=name, **style)
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.6), handletextpad=0.4)
    axes.set(ylabel="acceptance of one proposal", ylim=(-0.03, 1.0), title="pCNL moves at any of them, MALA stops")


def draw_steps(axes: Axes, data: xarray.Dataset) -> None:
    (colour, marker), (ours, our_marker) = theme.METHODS["LD"], theme.METHODS["MFLD"]
    n, limit, paper = data.modes.values, data.euler_limit.values, theme.LIGHT["paper"]
    axes.semilogy(n, limit, color=colour)
    axes.fill_between(n, limit, 1e3, color=theme.faint(colour), linewidth=0)
    below, above = data.settles_below.values, ~data.settles_above.values
    for chosen, face, share, shift in ((below, colour, BELOW, 1.0), (above, paper, ABOVE, 1.14)):
        text = f"{share:g} of it: {'settles' if share < 1 else 'grows'}"  # shifted: five percent could not be seen
        x, y = data.euler_modes[chosen] * shift, share * data.euler_limit_tried[chosen]
        axes.plot(x, y, marker, color=colour, markerfacecolor=face, label=text)
    known = n[np.isfinite(data.dual_value.sel(learner="MFLD, exponential").values)]
    axes.axhline(STEP_SIZE, color=ours)
    axes.plot(known, np.full(len(known), STEP_SIZE), our_marker, color=ours)
    place: dict[str, Any] = {"xytext": (0, 7), "textcoords": "offset points", "ha": "right"}
    axes.annotate("exponential, semi-implicit: as run", (n[-1], STEP_SIZE), color=ours, **place)
    label(axes, "line: explicit Euler's longest, slope $-2$", 0.04, 0.16)
    axes.legend(loc="lower left", handletextpad=0.2, ncols=2, columnspacing=0.8)
    axes.set(ylim=(0.02 * limit[-1], 20 * max(STEP_SIZE, limit[0])), ylabel="step size $h$")
    axes.set(title="Euler's step falls, that of functions stays")


def draw_seconds(axes: Axes, data: xarray.Dataset) -> None:
    n, seconds = data.modes.values, 1e6 * data.seconds.values
    axes.semilogy(n, seconds[-1] * n / n[-1], color=theme.INK, linewidth=0.9)
    axes.semilogy(n, seconds, "o", color=theme.OKABE_ITO[0])
    label(axes, "line: slope 1", 0.04, 0.94, va="top")
    passes = data.evaluations.sel(learner=ASCENT).values
    text = f"P-SDCA: {passes.min():,.0f} to {passes.max():,.0f} curves\nseen by the cloud at any $K$"
    label(axes, text, 0.97, 0.06, theme.OKABE_ITO[0], ha="right")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(ylabel="microseconds of one particle's move", title="Cost grows in proportion")


# ---- judge


def common_value(data: xarray.Dataset) -> tuple[float, float, float]:
    """Of P-SDCA's D over all numbers of modes: the mean, the error of one of them, and that of the mean.

    The errors of single ones are from few walks; all are about as large, so that their mean square is much surer.
    """
    row = data.sel(learner=ASCENT)
    one = float(np.sqrt((row.dual_value_error**2).mean()))
    return float(row.dual_value.mean()), one, one / float(np.sqrt(row.sizes["modes"]))


def degrees_of_freedom(data: xarray.Dataset) -> int:
    """Of the errors of all D together."""
    return len(data.modes) * (data.attrs["walks"] - 1)


def beyond_gaps(data: xarray.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors by which other methods' D is above the common value, or below it by more than its gap allows."""
    mean, one, of_mean = common_value(data)
    others = data.sel(learner=[name for name in data.learner.values if name != ASCENT])
    known = np.isfinite(others.dual_value.values)
    excess, error = others.dual_value.values[known] - mean, np.full(int(known.sum()), np.hypot(one, of_mean))
    allowed = others.gap.values[known] + 3 * others.gap_error.values[known]
    return excess / error, (-excess - allowed) / error


def judge(data: xarray.Dataset) -> Verdict:
    """Values agree, gaps are closed, pCNL is flat, MALA and Euler are not; seconds are reported and not judged."""
    row, modes, freedom = data.sel(learner=ASCENT), data.modes.values, degrees_of_freedom(data)
    mean, one, _ = common_value(data)
    far = int(np.argmax(np.abs(row.dual_value.values - mean)))
    error, loss = one * float(np.sqrt(1 - 1 / len(modes))), "units of the loss"
    statement = f"certified optimum with {modes[far]} modes, the farthest from its mean over all"
    value, tolerance = float(row.dual_value[far]), critical_value(len(modes), freedom + 1) * error
    checks = [Check(statement, "exact: no K in it", value, mean, tolerance, error=error, unit=loss)]
    above, below = beyond_gaps(data)
    statement, value = "optima by other methods, the farthest beyond what its gap allows", max(above.max(), below.max())
    allowed = critical_value(2 * len(above), freedom + 1)
    checks.append(Check(statement, "duality", float(value), 0.0, allowed, "at most", unit="standard errors"))
    left = data.attrs["untrained"] - mean  # what training gains
    gap = data.gap.where(data.trustworthy.fillna(1.0) == 1, np.inf).values  # one that is not to be trusted is endless
    worst = np.unravel_index(np.nanargmax(gap), gap.shape)
    value, error, source = float(gap[worst]) / left, float(data.gap_error.values[worst]) / left, "2 % is our aim"
    statement, source, unit = (
        "largest certified gap of all methods",
        f"0 at the optimum; {source}",
        "of what training gains",
    )
    checks.append(Check(statement, source, value, 0.0, CLOSED, "at most", error, unit))
    statement = "what cutting curves off changes, three errors added, beside an optimum's error"
    value = float((np.abs(data.cut_off.values) + 3 * data.cut_off_error.values).max())
    checks.append(Check(statement, "common draws", value, one, 0.0, "at most", unit=loss))
    checks.extend(check_proposals(data))
    wrong = float((~data.settles_below.astype(bool)).sum() + data.settles_above.sum())
    statement, source = (
        "runs of explicit Euler that grow below 2 / precision or settle above",
        "exact: the stiffest mode",
    )
    checks.append(Check(statement, source, wrong, 0.0, 0.0, "at most", unit="runs"))
    passes = row.evaluations.values
    statement, spread = "spread of P-SDCA's passes over numbers of modes, relative", np.ptp(passes) / passes.mean()
    checks.append(Check(statement, "our aim", float(spread), 0.0, 0.2, "at most"))
    numbers = all_numbers(data)
    return Verdict(tuple(checks), summary(data, numbers), numbers)


def check_proposals(data: xarray.Dataset) -> list[Check]:
    """pCNL is accepted alike at all numbers of modes; MALA is not."""
    paper, modes = "Cotter et al. 2013", data.modes.values
    pcnl, own, one = (data.sel(proposal=name) for name in PROPOSALS)
    error, change = float(pcnl.acceptance_error.max()), float(np.ptp(pcnl.acceptance.values))
    statement, most = f"change of pCNL's acceptance from {modes[0]} to {modes[-1]:,} modes", f"with {modes[-1]:,} modes"
    checks = [Check(statement, paper, change, 0.0, FLAT + 4 * error, "at most", error)]
    statement, value = "least acceptance of pCNL, any number of modes", float(pcnl.acceptance.min())
    checks.append(Check(statement, "our aim", value, 0.4, 0.0, "at least", error))
    statement, value = f"acceptance of MALA, one step size, {most}", float(one.acceptance[-1])
    checks.append(Check(statement, paper, value, 0.0, 0.01, "at most", float(one.acceptance_error[-1])))
    statement, value = f"acceptance of MALA, own step sizes, {most}, below half of pCNL's", float(own.acceptance[-1])
    half = 0.5 * float(pcnl.acceptance[-1])
    checks.append(Check(statement, "our aim", value, half, 0.0, "at most", float(own.acceptance_error[-1])))
    return checks


def all_numbers(data: xarray.Dataset) -> dict[str, float]:
    row, modes, (mean, one, of_mean) = data.sel(learner=ASCENT), data.modes.values, common_value(data)
    ratio, (above, below) = float(row.dual_value.values.var(ddof=1)) / one**2, beyond_gaps(data)
    chance = float(f_distribution.sf(ratio, len(modes) - 1, degrees_of_freedom(data)))
    numbers = {"D": mean, "D, error": of_mean, "error of one D": one, "chance of a larger spread of D": chance}
    numbers |= {"largest gap, P-SDCA": float(row.gap.max()), "largest gap": float(data.gap.max())}
    numbers |= {"others above, in errors": float(above.max()), "others below their gaps": float(below.max())}
    numbers |= {"largest cut-off": float(np.abs(data.cut_off).max())}
    large = modes >= 64
    if large.sum() > 1:
        seconds = np.log(data.seconds.values[large])
        numbers |= {"exponent of seconds in modes": float(np.polyfit(np.log(modes[large]), seconds, 1)[0])}
    return numbers | {"steps of Euler for one of the others": float(STEP_SIZE / data.euler_limit[-1])}


def summary(data: xarray.Dataset, numbers: dict[str, float]) -> str:
    row, modes, (mean, one, of_mean) = data.sel(learner=ASCENT), data.modes.values, common_value(data)
    far = np.abs(row.dual_value.values - mean).max() / (one * np.sqrt(1 - 1 / len(modes)))
    allowed = critical_value(len(modes), degrees_of_freedom(data) + 1)
    worst, share = numbers["largest gap"], 100 * numbers["largest gap"] / (data.attrs["untrained"] - mean)

    def pairs(values: xarray.DataArray, errors: xarray.DataArray, digits: int) -> str:
        both = zip(values.values, errors.values, strict=True)
        return ", ".join(f"{value:.{digits}f} ± {error:.{digits}f}" for value, error in both)

    ends, passes = data.isel(modes=[0, -1]), row.evaluations.values
    at_ends = (ends.sel(proposal=name) for name in PROPOSALS)
    accepted = "; ".join(f"{r.proposal.item()} {pairs(r.acceptance, r.acceptance_error, 3)}" for r in at_ends)
    widest = f"{numbers['largest gap, P-SDCA']:.1e} ± {float(row.gap_error[int(row.gap.values.argmax())]):.1e}"
    growth = numbers.get("exponent of seconds in modes")
    slower = "" if growth is None else f"; seconds of a move grow like K^{growth:.2f} from 64 modes on"
    return (
        f"D of P-SDCA for K = {modes[0]} to {modes[-1]} modes: {pairs(row.dual_value, row.dual_value_error, 5)}; in "
        f"common {mean:.5f} ± {of_mean:.5f}, the farthest {far:.1f} standard errors off (allowed {allowed:.1f}; a "
        f"wider spread has a chance of {numbers['chance of a larger spread of D']:.2f}). Its certified gaps are at "
        f"most {widest}, those of all methods at most {worst:.1e}, {share:.2g} % of what training gains; MFLD and PDA, "
        f"in {len(beyond_gaps(data)[0])} runs, lie at most {numbers['others above, in errors']:.1f} errors above and "
        f"{max(numbers['others below their gaps'], 0):.1f} below what their gaps allow. Cutting the curves off changes "
        f"D by {numbers['largest cut-off']:.1e} at most. Accepted at {modes[0]} and {modes[-1]} modes: {accepted}. "
        f"Explicit Euler settles below 2 / precision and grows above, so that at {modes[-1]} modes it takes "
        f"{numbers['steps of Euler for one of the others']:,.0f} steps for one of the others. P-SDCA passes over "
        f"{passes.min():,.0f} to {passes.max():,.0f} curves at any K{slower}."
    )


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
