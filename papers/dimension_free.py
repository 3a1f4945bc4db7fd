"""However many modes a function has, the semi-implicit scheme takes the same step and mixes as fast.

Claim: Langevin dynamics on functions, semi-implicit in the prior, may take the same step and mixes in the same number
of steps however many modes N there are; explicit steps shrink like N^-2. Its bias is of order (p - 1) / p in the step
for eigenvalues k^-p, that of a cut-off N^-(p - 1).

Formula:
    x <- (I + eta A)^-1 (x - eta grad F(x) + sqrt(2 eta T) xi),    eta <= eta_0 for all N

Source: Muzellec, Sato, Massias, Suzuki (COLT 2022), eq. 3, Propositions 8 to 11, Theorem 5; Cotter, Roberts, Stuart,
White (2013) for proposals. The paper has no experiments; exact laws are ours.

Figure: Top: explicit Euler's limit falls and its steps climb with slope 2, the others are flat; modes are colder the
stiffer they are; acceptance stays for pCN and pCNL. Bottom: points on lines of the orders that are drawn;
autocorrelations of all N on each other, the mean loss at one level.

Mode k = 0, 1, ... of the prior has variance mu_k = (k + 1)^-2. Points are chains, lines exact laws. Three targets:

independent modes  with exact laws (`independent_modes.py`): stability, steps to W2 = 0.06 of the low 50 modes at each
                   scheme's best step, variances, and bias. Explicit Euler beyond N = 512 is too slow to run: there its
                   steps are those of the exact recursion.
classification     not convex: mean and autocorrelation of its loss are compared between N (`function_targets.py`).
regression         one Metropolis proposal of fixed size, from draws of the posterior.

The script is long as the claim has seven measurements and eight panels.
"""

from typing import Any, NamedTuple

import jax
import matplotlib
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from tqdm import tqdm

import function_space_laws as theory
from claims import Check, Claim, Size, Variables, Verdict, critical_value, variables
from function_targets import LAGS, PROPOSALS, acceptance, bending, exact_acceptance, mixing, smoothness
from independent_modes import (
    BIAS_CASES,
    DISTANCE,
    GROUPS,
    LOW,
    PRECISION,
    SCHEMES,
    bias_line,
    bias_point,
    distance_point,
    diverges,
    fewest_steps,
    modes,
    tail_point,
    variance_ratios,
)
from langevax.figures import theme

MODES = np.array([8, 16, 32, 64, 512, 4096, 65536])
STABILITY_MODES, STABILITY_CHAINS = {"full": (8, 64, 512, 4096), "small": (64,)}, {"full": 1, "small": 1000}
BELOW, ABOVE = 0.95, 1.05  # of a stability limit
DISTANCE_MODES: dict[Size, dict[str, tuple[int, ...]]] = {
    "full": {
        "explicit Euler": (8, 16, 32, 64, 512),
        "semi-implicit": (8, 64, 512, 4096, 65536),
        "exponential": (8, 512, 65536),
    },
    "small": {"explicit Euler": (64,), "semi-implicit": (64, 512), "exponential": (64,)},
}
DRAWS = {"full": 4e8, "small": 3e7}  # normal numbers that a measured point of W2 may take
NUM_CHAINS = {"full": 2000, "small": 1000}  # at most
VARIANCE_MODES = {"full": 256, "small": 64}
BIAS_LINE, BIAS_STEPS = np.geomspace(1e-5, 1.0, 21), {"full": (0.3, 0.1, 0.03, 0.01), "small": (0.4, 0.1)}
BIAS_MODES = {"full": 256, "small": 64}
CUTS, TAIL_CHAINS = {"full": (2, 4, 8, 16, 32), "small": (2, 8)}, {"full": 2**17, "small": 2**14}
MIXING_MODES = {"full": (16, 128, 1024, 8192), "small": (16, 256)}
MIXING_STEPS = {"full": 1600, "small": 800}
ACCEPTANCE_MODES = {"full": (16, 256, 4096, 32768), "small": (16, 1024)}
ACCEPTANCE_LINE = np.array([16, 32, 64, 128, 256, 512, 1024, 32768])
ACCEPTANCE_DRAWS = {"full": 2**24, "small": 2**20}

RATIO_AT, LEAST_RATIO = 4096, 1000
FLAT = 0.05  # by how much an acceptance that is flat may differ between numbers of modes, beyond its errors
LINES = ("w2", "variance", "bias", "left_out", "acceptance")  # what is measured beside exact laws


# ---- measure


def measure(size: Size, seed: int) -> xarray.Dataset:
    """All measurements, with their exact lines."""
    root = jax.random.key(seed)
    parts = (measure_steps, measure_variances, measure_bias, measure_mixing, measure_acceptance)
    measured: Variables = {}
    for part, key in zip(tqdm(parts, desc="dimension_free", disable=None), jax.random.split(root, 5), strict=True):
        measured |= part(size, key)
    coordinates = {"scheme": list(SCHEMES), "case": list(BIAS_CASES), "proposal": list(PROPOSALS)}
    axes = {"modes": MODES, "stability_modes": STABILITY_MODES[size], "cut": CUTS[size]}
    axes |= {"mixing_modes": MIXING_MODES[size]}
    axes |= {"proposal_modes": ACCEPTANCE_MODES[size], "proposal_line_modes": ACCEPTANCE_LINE}
    for name, values in axes.items():
        coordinates |= variables(name, "modes", **{name: list(values)})
    coordinates |= variables("mode", "1", mode=np.arange(VARIANCE_MODES[size]))
    coordinates |= variables("lag", "steps", lag=LAGS) | variables("line_step", "time", line_step=BIAS_LINE)
    coordinates |= variables("step", "time", step=list(BIAS_STEPS[size]))
    attributes = {"seed": seed, "smoothness": smoothness(), "top_precision": PRECISION}
    return xarray.Dataset(measured, coordinates, attributes)


def measure_steps(size: Size, key: Key[Array, ""]) -> Variables:
    """Stability limits and steps to a distance."""
    limit, steps, step_size = np.zeros((3, len(SCHEMES), len(MODES)))
    grows = np.zeros((len(SCHEMES), len(STABILITY_MODES[size]), 2), bool)
    points = np.full((5, len(SCHEMES), len(MODES)), np.nan)
    for i, scheme in enumerate(SCHEMES):
        for j, num_modes in enumerate(MODES):
            target = modes(int(num_modes))
            limit[i, j] = theory.stability_limit(SCHEMES[scheme].name, target.precision, target.curvature)
            steps[i, j], step_size[i, j] = fewest_steps(scheme, int(num_modes))
        for j, num_modes in enumerate(STABILITY_MODES[size]):
            for k, factor in enumerate((BELOW, ABOVE)):
                chosen = float(factor * limit[i, np.searchsorted(MODES, num_modes)])
                stream = jax.random.fold_in(key, 1000 * i + 10 * j + k)
                grows[i, j, k] = diverges(scheme, num_modes, chosen, STABILITY_CHAINS[size], stream)
        for num_modes in DISTANCE_MODES[size][scheme]:
            j = int(np.searchsorted(MODES, num_modes))
            chains = min(NUM_CHAINS[size], int(DRAWS[size] / (steps[i, j] * num_modes)))
            stream = jax.random.fold_in(key, 1000 * i + 500 + j)
            points[:, i, j] = distance_point(
                scheme, num_modes, float(step_size[i, j]), int(steps[i, j]), chains, stream
            )
    dims, w2, counts = ("scheme", "modes"), points[:3], points[3:]
    return {
        **variables(dims, "time", limit=limit, best_step=step_size),
        **variables(dims, "norm of x", w2=w2[0], w2_error=w2[1], w2_exact=w2[2]),
        **variables(dims, "steps", steps=steps, chain_steps=counts[0], chain_steps_error=counts[1]),
        **variables(("scheme", "stability_modes"), "whether", grows_below=grows[..., 0], grows_above=grows[..., 1]),
    }


def measure_variances(size: Size, key: Key[Array, ""]) -> Variables:
    """Of each mode at rest; explicit Euler is left out, as it would need another step size."""
    ratios = np.full((3, len(SCHEMES), VARIANCE_MODES[size]), np.nan)
    for i, scheme in enumerate(SCHEMES):
        if scheme != "explicit Euler":
            stream = jax.random.fold_in(key, i)
            ratios[:, i] = variance_ratios(scheme, VARIANCE_MODES[size], NUM_CHAINS[size], stream)
    dims, (value, error, exact) = ("scheme", "mode"), ratios
    return variables(dims, "target variance", variance=value, variance_error=error, variance_exact=exact)


def measure_bias(size: Size, key: Key[Array, ""]) -> Variables:
    """Of the trace in the step size, and what is cut off."""
    points = np.zeros((3, len(BIAS_CASES), len(BIAS_STEPS[size])))
    for i, case in enumerate(BIAS_CASES):
        for j, step in enumerate(BIAS_STEPS[size]):
            points[:, i, j] = bias_point(case, step, BIAS_MODES[size], jax.random.fold_in(key, 100 * i + j))
    keys = [jax.random.fold_in(key, 1000 + j) for j in range(len(CUTS[size]))]
    tails = np.array([tail_point(cut, TAIL_CHAINS[size], k) for cut, k in zip(CUTS[size], keys, strict=True)])
    # infinitely many modes: 10^6, and the integral of the others
    many = np.arange(1.0, 10**6 + 1) ** -2
    exact = [theory.galerkin_tail(many, int(n), 1.0, 1.0) + 1e-6 for n in (*MODES, *CUTS[size])]
    orders = [theory.weak_order(2), theory.weak_order(3), theory.weak_order(5), 1.0]
    square, at_cuts = "norm of x, squared", exact[len(MODES) :]
    value, error, exact_bias = points
    return {
        **variables("case", "1", order=orders),
        **variables(
            ("case", "line_step"), square, bias_line=np.array([bias_line(case, BIAS_LINE) for case in BIAS_CASES])
        ),
        **variables(("case", "step"), square, bias=value, bias_error=error, bias_exact=exact_bias),
        **variables("modes", square, left_out_line=exact[: len(MODES)]),
        **variables("cut", square, left_out=tails[:, 0], left_out_error=tails[:, 1], left_out_exact=at_cuts),
    }


def measure_mixing(size: Size, key: Key[Array, ""]) -> Variables:
    """Of the loss of the classification."""
    runs = [
        mixing(num_modes, MIXING_STEPS[size], jax.random.fold_in(key, j))
        for j, num_modes in enumerate(MIXING_MODES[size])
    ]
    share, least = bending(runs[0].position)
    correlation, loss = np.array([run.correlation for run in runs]), np.array([run.loss for run in runs])
    value, error = np.moveaxis(correlation, -1, 0)
    return {
        **variables(("mixing_modes", "lag"), "1", correlation=value, correlation_error=error),
        **variables("mixing_modes", "units of the loss", loss=loss[:, 0], loss_error=loss[:, 1]),
        **variables((), "share of positions", bent_down=share),
        **variables((), "1 / time", least_curvature=least),
    }


def measure_acceptance(size: Size, key: Key[Array, ""]) -> Variables:
    """Of one proposal; where none of n is accepted the error is 1 / n."""
    counts = ACCEPTANCE_MODES[size]
    points = np.zeros((3, len(PROPOSALS), len(counts)))
    lines = np.zeros((len(PROPOSALS), len(ACCEPTANCE_LINE)))
    for i, name in enumerate(PROPOSALS):
        for j, num_modes in enumerate(counts):
            chains = min(NUM_CHAINS[size], ACCEPTANCE_DRAWS[size] // num_modes)
            mean, error = acceptance(name, num_modes, chains, jax.random.fold_in(key, 10 * i + j))
            points[:, i, j] = mean, max(error, 1 / chains), exact_acceptance(name, num_modes)
        if name in ("MALA", "random walk"):
            lines[i] = [exact_acceptance(name, int(n)) for n in ACCEPTANCE_LINE]
        else:  # flat
            lines[i] = np.interp(np.log(ACCEPTANCE_LINE), np.log(counts), points[2, i])
    value, error, exact = points
    dims, unit = ("proposal", "proposal_modes"), "probability"
    measured = variables(dims, unit, acceptance=value, acceptance_error=error, acceptance_exact=exact)
    return measured | variables(("proposal", "proposal_line_modes"), unit, acceptance_line=lines)


# ---- draw


def draw(data: xarray.Dataset) -> Figure:
    """Eight panels: what N costs above, what is left of errors and of mixing below."""
    figure = Figure(figsize=(17.0, 8.0))
    panels = (draw_limits, draw_steps, draw_variances, draw_acceptance)
    panels += (draw_bias, draw_tail, draw_correlations, draw_losses)
    for axes, panel in zip(figure.subplots(2, 4).ravel(), panels, strict=True):
        panel(axes, data)
        axes.minorticks_off()
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[union-attr]
    return figure


def annotate(axes: Axes, text: str, x: float, y: float, colour: str, **options: Any) -> None:
    """A label next to what it names, in units of the data."""
    place: dict[str, Any] = {"xytext": (0, 7), "textcoords": "offset points", "color": colour}
    axes.annotate(text, (x, y), **(place | options))


def draw_points(
    axes: Axes, x: ArrayLike, row: xarray.Dataset, name: str, style: tuple[Any, str], label: str = ""
) -> None:
    """A measurement with its errors."""
    colour, marker = style
    axes.errorbar(x, row[name], row[f"{name}_error"], fmt=marker, color=colour, capsize=2, label=label)


def draw_limits(axes: Axes, data: xarray.Dataset) -> None:
    n, checked = data.modes.values, data.stability_modes.values
    for name in ("explicit Euler", "semi-implicit"):  # the exponential scheme's is within one percent of the latter's
        limit, (*_, colour, marker) = data.limit.sel(scheme=name), SCHEMES[name]
        axes.loglog(n, limit, color=colour)
        axes.plot(checked, limit.sel(modes=checked), linestyle="none", marker=marker, color=colour)
    euler, semi, _ = SCHEMES.values()
    annotate(axes, "semi-implicit, exponential", n[-1], float(data.limit[1, -1]), semi.colour, ha="right")
    annotate(axes, "explicit Euler\nslope $-2$", n[4], float(data.limit[0, 4]), euler.colour, xytext=(8, 6))
    text = "points: chains settle at 0.95 of it\nand grow at 1.05"
    axes.text(0.04, 0.05, text, transform=axes.transAxes, color=theme.LIGHT["soft"])
    axes.set(xlabel="modes $N$", ylabel="largest stable step (time)", ylim=(1e-9, 20))
    axes.set(title="Euler's step shrinks, the others' does not")


def draw_steps(axes: Axes, data: xarray.Dataset) -> None:
    n = data.modes.values
    for name, (*_, colour, marker) in SCHEMES.items():
        row = data.sel(scheme=name)
        axes.loglog(n, row.steps, color=colour)
        draw_points(axes, n, row, "chain_steps", (colour, marker))
    labels = (("explicit Euler\nslope 2", 4, (-8, 4)), ("semi-implicit", -1, (0, 7)), ("exponential", -1, (0, -15)))
    for i, (scheme, (text, j, shift)) in enumerate(zip(SCHEMES.values(), labels, strict=True)):
        annotate(axes, text, n[j], float(data.steps[i, j]), scheme.colour, ha="right", xytext=shift)
    axes.set(xlabel="modes $N$", ylabel="steps to $W_2$ = 0.06, low 50 modes", ylim=(1, 1e10))
    axes.set(title="so Euler needs more steps with every mode")


def draw_variances(axes: Axes, data: xarray.Dataset) -> None:
    k = data.mode.values + 1
    shown = np.unique(np.geomspace(1, len(k), 16).round().astype(int)) - 1
    for name in ("semi-implicit", "exponential"):
        row, (*_, colour, marker) = data.sel(scheme=name), SCHEMES[name]
        axes.semilogx(k, row.variance_exact, color=colour)
        draw_points(axes, k[shown], row.isel(mode=shown), "variance", (colour, marker))
    annotate(axes, "exponential", k[-1], 1.0, SCHEMES["exponential"].colour, ha="right", xytext=(0, 26))
    j, text, colour = len(k) // 4, "semi-implicit\n$1/(1 + h(a_k - q_k)/2)$", SCHEMES["semi-implicit"].colour
    place = {"xytext": (-14, 4), "ha": "right", "va": "top"}
    annotate(axes, text, k[j], float(data.variance_exact[1, j]), colour, **place)
    axes.set(ylim=(0, 1.3), xlabel="mode $k + 1$", ylabel="variance / target's")
    axes.set(title="Stiff modes are colder, as computed")


def draw_acceptance(axes: Axes, data: xarray.Dataset) -> None:
    for name, style in PROPOSALS.items():
        row = data.sel(proposal=name)
        axes.semilogx(data.proposal_line_modes, row.acceptance_line, color=style[0])
        draw_points(axes, data.proposal_modes, row, "acceptance", style, name)
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.42), handletextpad=0.2)
    axes.set(xlabel="modes $N$", ylabel="acceptance of one proposal", ylim=(-0.02, 0.8))
    axes.set(title="Proposals made for functions stay good")


def draw_bias(axes: Axes, data: xarray.Dataset) -> None:
    labels = ("$p$ = 2: slope 1/2", "$p$ = 3: 2/3", "$p$ = 5: 4/5", "exponential, $p$ = 2, a loss: 1")
    colours = (*(theme.OKABE_ITO[i] for i in (0, 1, 3)), SCHEMES["exponential"].colour)
    for case, colour, marker, label in zip(data.case.values, colours, "os^D", labels, strict=True):
        row = data.sel(case=case)
        axes.loglog(data.line_step, row.bias_line, color=colour)
        draw_points(axes, data.step, row, "bias", (colour, marker), label)
    axes.legend(loc="lower right", handletextpad=0.2)
    axes.set(xlabel="step size $h$ (time)", ylabel="bias of $E|x|^2$")
    axes.set(title="Order $(p-1)/p$ in the step, $\\mu_k = k^{-p}$")


def draw_tail(axes: Axes, data: xarray.Dataset) -> None:
    *_, colour, marker = SCHEMES["exponential"]
    n = np.concatenate([data.cut.values, data.modes.values])
    line = np.concatenate([data.left_out_exact.values, data.left_out_line.values])
    order = np.argsort(n)
    axes.loglog(n[order], line[order], color=colour)
    draw_points(axes, data.cut, data, "left_out", (colour, marker))
    annotate(axes, "slope $-1$", float(data.modes[3]), float(data.left_out_line[3]), colour, xytext=(8, 4))
    axes.set(xlabel="modes $N$", ylabel="left out of $E|x|^2$", title="and a cut-off leaves $1/N$, $p$ = 2")


def draw_correlations(axes: Axes, data: xarray.Dataset) -> None:
    counts = data.mixing_modes.values
    shades = matplotlib.colormaps[theme.SEQUENTIAL](np.linspace(0, 0.85, len(counts)))
    for k, (count, *style) in enumerate(zip(counts, shades, "os^D", strict=False)):
        lag = data.lag * 1.07 ** (k - (len(counts) - 1) / 2)  # apart, so that none hides another
        draw_points(axes, lag, data.sel(mixing_modes=count), "correlation", (style[0], style[1]), f"N = {count}")
    axes.legend(loc="upper right", handletextpad=0.2)
    axes.set_xscale("log")
    axes.set_xticks(data.lag.values, [str(lag) for lag in data.lag.values])
    axes.set(xlabel="lag (steps)", ylabel="autocorrelation of the loss", ylim=(0, 1.02))
    axes.set(title="No convexity: mixing does not know $N$")


def draw_losses(axes: Axes, data: xarray.Dataset) -> None:
    counts = data.mixing_modes.values
    shades = matplotlib.colormaps[theme.SEQUENTIAL](np.linspace(0, 0.85, len(counts)))
    for count, shade, marker in zip(counts, shades, "os^D", strict=False):
        draw_points(axes, count, data.sel(mixing_modes=count), "loss", (shade, marker))
    mean, reach = float(mean_over_modes(data, "loss")), 5 * float(data.loss_error.max())
    axes.axhline(mean, color=theme.GREY, linewidth=0.9)
    axes.text(0.03, 0.05, "grey: mean over all $N$", transform=axes.transAxes, color=theme.GREY)
    axes.set(xscale="log", xlim=(counts[0] / 2, counts[-1] * 2), ylim=(mean - reach, mean + reach))
    axes.set(xlabel="modes $N$", ylabel="mean loss", title="nor does the mean loss")


# ---- judge


def weighted_slope(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Of log y in log x by weighted least squares, and its standard error."""
    weight, across, up = (y / error) ** 2, np.log(x), np.log(y)
    across = across - weight @ across / weight.sum()
    return float((weight * across) @ up / (weight @ across**2)), float(1 / np.sqrt(weight @ across**2))


def mean_over_modes(data: xarray.Dataset, name: str) -> xarray.DataArray:
    """By inverse variances."""
    weight = 1 / data[f"{name}_error"] ** 2
    return (data[name] * weight).sum("mixing_modes") / weight.sum("mixing_modes")


def z_scores(data: xarray.Dataset, name: str) -> xarray.DataArray:
    """Standard errors by which a measurement misses its exact law, or the mean over all N where there is none."""
    expected = data[f"{name}_exact"] if name in LINES else mean_over_modes(data, name)
    return (data[name] - expected) / data[f"{name}_error"]


def judge(data: xarray.Dataset) -> Verdict:
    """Limits bracketed, points on their lines, orders as promised, the same mixing and acceptance for all N."""
    z = {name: z_scores(data, name).values.ravel() for name in (*LINES, "loss", "correlation")}
    z = {name: values[np.isfinite(values)] for name, values in z.items()}
    replicates = {name: GROUPS if name in ("w2", "correlation") else np.inf for name in z}  # of the jackknife
    limits = {name: critical_value(values.size, replicates[name]) for name, values in z.items()}
    share = max(float(np.abs(z[name]).max()) / limits[name] for name in LINES)
    statement, unit = "farthest of all points from its exact line", "of what chance allows"
    checks = [*check_stability(data), check_steps(data), *check_orders(data)]
    checks.append(Check(statement, "exact laws", share, 0.0, 1.0, "at most", unit=unit))
    checks.append(check_same(data, "loss", "mean loss", limits["loss"]))
    checks.append(check_same(data, "correlation", "autocorrelation of the loss", limits["correlation"]))
    statement, source = "share of positions where the potential bends downwards", "our aim: no convexity"
    checks.append(Check(statement, source, float(data.bent_down), 0.05, 0.0, "at least"))
    statement, source = "curvature of the loss over the prior's least precision", "our aim: outside the convex case"
    value = float(data.attrs["smoothness"] / data.attrs["top_precision"])
    checks.append(Check(statement, source, value, 10.0, 0.0, "at least"))
    checks.extend(check_acceptance(data))
    numbers = {f"largest |z|, {name}": float(np.abs(values).max()) for name, values in z.items()}
    numbers |= {f"allowed |z|, {name}": value for name, value in limits.items()}
    for case in data.case.values:
        row = data.sel(case=case)
        numbers |= slopes(str(case), row.step, row.bias, row.bias_error, row.bias_exact)
    numbers |= slopes("cut-off", data.cut, data.left_out, data.left_out_error, data.left_out_exact)
    return Verdict(tuple(checks), summary(data, numbers), numbers)


def slopes(name: str, x: xarray.DataArray, y: xarray.DataArray, error: Any, exact: Any) -> dict[str, float]:
    """Of chains, at the larger steps and fewer modes that these take, and where exact laws have them."""
    slope, slope_error = weighted_slope(x.values, y.values, error.values)
    expected = weighted_slope(x.values, exact.values, error.values)[0]
    values = {f"slope of chains, {name}": slope, f"error of slope, {name}": slope_error}
    return values | {f"exact slope, {name}": expected}


def euler_order(data: xarray.Dataset) -> float:
    """Power of N in explicit Euler's limit, at many modes."""
    return float(np.polyfit(np.log(data.modes.values[-4:]), np.log(data.limit.values[0, -4:]), 1)[0])


def check_stability(data: xarray.Dataset) -> list[Check]:
    source, modes = "our stability limit", data.modes.values
    wrong = float(data.grows_below.sum() + (~data.grows_above.astype(bool)).sum())
    change = float(np.ptp(data.limit.values[1:], axis=1).max())
    statement = (
        f"change of the longest stable step from {modes[0]} to {modes[-1]:,} modes, semi-implicit and exponential"
    )
    flat = Check(statement, source, change, 0.0, 1e-6, "at most", unit="units of time")
    statement = "power of N of the longest stable step, explicit Euler"
    euler = Check(statement, "exact: 2 / stiffest precision", euler_order(data), -2.0, 0.01)
    statement = "chains that grow just below a limit or settle just above it"
    return [euler, flat, Check(statement, source, wrong, 0.0, 0.0, "at most", unit="chains")]


class FewSteps(NamedTuple):
    """Steps of the semi-implicit chain with most modes up to RATIO_AT, and of explicit Euler at RATIO_AT."""

    num_modes: int
    steps: float
    error: float
    euler: float


def few_steps(data: xarray.Dataset) -> FewSteps:
    semi, euler = data.sel(scheme="semi-implicit"), data.sel(scheme="explicit Euler")
    modes = data.modes.values
    num_modes = int(modes[np.isfinite(semi.w2.values) & (modes <= RATIO_AT)][-1])
    steps, error = (float(semi[name].sel(modes=num_modes)) for name in ("chain_steps", "chain_steps_error"))
    return FewSteps(num_modes, steps, error, float(euler.steps.sel(modes=RATIO_AT)))


def check_steps(data: xarray.Dataset) -> Check:
    _, steps, error, euler = few_steps(data)
    statement = f"times as many steps that explicit Euler takes, N = {RATIO_AT:,}, less three errors"
    ratio, ratio_error = euler / (steps + 3 * error), euler / steps**2 * error
    return Check(statement, "our aim", ratio, LEAST_RATIO, 0.0, "at least", ratio_error)


def order_of(data: xarray.Dataset, case: str) -> float:
    """Of the exact bias at the smallest steps."""
    line, step = data.bias_line.sel(case=case).values, data.line_step.values
    return float(np.log(line[1] / line[0]) / np.log(step[1] / step[0]))


def tail_order(data: xarray.Dataset) -> float:
    """Of what a cut-off leaves out, at many modes."""
    return float(np.polyfit(np.log(data.modes.values[3:]), np.log(data.left_out_line.values[3:]), 1)[0])


def check_orders(data: xarray.Dataset) -> list[Check]:
    checks = []
    for case in map(str, data.case.values):
        source = "Propositions 9 and 11" if "semi" in case else "exact law"
        order, expected = order_of(data, case), float(data.order.sel(case=case))
        checks.append(Check(f"power of the step in the bias: {case}", source, order, expected, 0.02))
    statement = "power of N in what a cut-off leaves out, p = 2"
    return [*checks, Check(statement, "Propositions 9 and 11", tail_order(data), -1.0, 0.02)]


def check_same(data: xarray.Dataset, name: str, about: str, limit: float) -> Check:
    """One that should not know N, at its point farthest from the mean over N."""
    z, common = z_scores(data, name).values, mean_over_modes(data, name).values
    far = np.unravel_index(int(np.argmax(np.abs(z))), z.shape)
    statement = f"{about} at N = {data.mixing_modes.values[far[0]]}, the farthest from its mean over all N"
    value, expected, error = (
        float(data[name].values[far]),
        float(common[far[1:]]),
        float(data[f"{name}_error"].values[far]),
    )
    return Check(statement, "Proposition 8: no N in the rate", value, expected, limit * error, error=error)


def check_acceptance(data: xarray.Dataset) -> list[Check]:
    flat, paper = data.sel(proposal=["pCN", "pCNL"]), "Cotter et al. 2013"
    spread = (flat.acceptance.max("proposal_modes") - flat.acceptance.min("proposal_modes")).values
    allowed = FLAT + 4 * flat.acceptance_error.max("proposal_modes").values
    far = int(np.argmax(spread - allowed))
    statement = f"change of {flat.proposal.values[far]}'s acceptance with N, which is the larger"
    change = Check(statement, paper, float(spread[far]), 0.0, float(allowed[far]), "at most")
    least, statement = float(flat.acceptance.min()), "least acceptance of pCN and pCNL, any N"
    largest = data.sel(proposal=["MALA", "random walk"]).acceptance.isel(proposal_modes=-1).values.max()
    most = f"acceptance of MALA and the random walk, N = {int(data.proposal_modes[-1]):,}, the larger"
    moving = Check(most, paper, float(largest), 0.0, 0.01, "at most")
    return [change, Check(statement, "our aim", least, 0.2, 0.0, "at least"), moving]


def summary(data: xarray.Dataset, numbers: dict[str, float]) -> str:
    num_modes, steps, error, euler = few_steps(data)
    few = f"{steps:.0f} ± {error:.0f}, {euler / steps:,.0f} ± {euler / steps**2 * error:,.0f} times fewer"

    def chains(case: str) -> str:
        names = ("slope of chains", "error of slope", "exact slope")
        slope, slope_error, expected = (numbers[f"{name}, {case}"] for name in names)
        return f"{slope:.3f} ± {slope_error:.3f} ({expected:.3f})"

    orders = "; ".join(
        f"{order_of(data, case):.3f} ({float(data.order.sel(case=case)):.3f}); chains {chains(case)}"
        for case in map(str, data.case.values)
    )
    losses = ", ".join(f"{v:.4f} ± {e:.4f}" for v, e in zip(data.loss.values, data.loss_error.values, strict=True))
    last, (least, most) = data.isel(proposal_modes=-1), data.mixing_modes.values[[0, -1]]
    pairs = zip(last.proposal.values, last.acceptance.values, last.acceptance_error.values, strict=True)
    accepted = ", ".join(f"{name} {value:.3f} ± {value_error:.3f}" for name, value, value_error in pairs)
    return (
        f"With {RATIO_AT} modes explicit Euler takes {euler:,.0f} steps to W2 = {DISTANCE:g} of the low {LOW} (by its "
        f"exact recursion), chains of the semi-implicit scheme (of {num_modes} modes) {few}, and no more at any N: its "
        f"limit stays {data.limit.values[1, -1]:.2f}, Euler's falls like N^{euler_order(data):.2f}. Orders of the "
        f"trace's bias at small steps, and slopes of chains at larger ones (in brackets what they should be), for p = "
        f"2, 3, 5 and the exponential scheme: {orders}. Of the cut-off: {tail_order(data):.2f} (-1); chains "
        f"{chains('cut-off')}. Where the potential bends down at {100 * float(data.bent_down):.0f} % of positions, the "
        f"mean loss is {losses} for N from {least} to {most}, and autocorrelations agree within "
        f"{numbers['largest |z|, correlation']:.1f} standard errors. Accepted at N = {int(last.proposal_modes)}: "
        f"{accepted}."
    )


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
