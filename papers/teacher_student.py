"""Two-phase training learns a teacher of ReLU neurons at a risk of order 1 / n, where linear estimators are stuck.

Claim: Two-phase noisy gradient descent learns a teacher of m ReLU neurons on d inputs from n rows of noise v to an
excess risk of order 1 / n, near m d v^2 / n, where kernel ridge, random features and nearest neighbours, all linear in
y, are stuck above n^-(d+2)/(2d+2).

Formula:
    E (f - f*)^2 = O(m^5 log n / n),    linear in y: Omega(n^-(d + 2) / (2 d + 2))

Source: Akiyama, Suzuki (ICLR 2023), Theorems 4.1 and 4.5, Algorithm 1.

Figure: Above: the network's points on the line m d v^2 / n, the linear estimators, in grey, far above; right, how
losses fall through both phases, bold those of the restart chosen. Below: five neurons on their way to the teacher's,
how often a restart succeeds with phase I taken apart, beside how often it finds the right signs, and the paper's own
setting, where m d > n and no training loss helps.

Here m = 5, noise 0.1, and the student has five neurons; data and estimators are those of `teacher_student_runs.py`:

excess        E (f - f*)^2 of the network and of five linear estimators at d = 10 and 20, and slopes over n >= 512
along         training loss and excess risk through both phases, and the neurons on their way
ablation      how many restarts succeed without phase I, without its noise, with other temperatures
published     the paper's own run, d = m = 50, n = 1000, and longer steps in phase II

The script is long as the claim has four experiments and six panels.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from claims import Check, Claim, Size, Variables, Verdict, variables
from langevax.figures import theme
from langevax.teacher_student import Converge, Explore
from relu_sphere import excess_risk, linear_rate, parametric_risk
from teacher_student_runs import (
    BANDWIDTHS,
    FEATURES,
    KERNELS,
    METHODS,
    NEIGHBOURS,
    NETWORK,
    NOISE,
    PAPER_CONVERGE,
    PAPER_EXPLORE,
    VARIANTS,
    ablation,
    draw_data,
    linear_estimators,
    published_run,
    star,
    train,
    trained,
)


class Settings(NamedTuple):
    """What a size measures, and what it asks for."""

    num_neurons: int
    sizes: dict[int, tuple[int, ...]]
    """n for each d."""
    draws: int
    """Of data at each n: of the network, and of linear estimators."""
    linear_draws: int
    widths: tuple[int, ...]
    """Numbers of random features to choose from."""
    tests: int
    """Inputs at which nearest neighbours are tested."""
    restarts: int
    explore: Explore
    converge: Converge
    watched: int
    """n of the trajectory and of the ablation."""
    ablation_draws: int
    ablation_restarts: int
    published: tuple[int, int]
    """m = d, and n."""
    published_draws: int
    long: Converge
    aims: dict[str, float]

    @property
    def first_dim(self) -> int:
        return next(iter(self.sizes))

    @property
    def rows(self) -> tuple[int, ...]:
        """n of the dimension with most of them."""
        return max(self.sizes.values(), key=len)


SIZES: dict[Size, Settings] = {
    "full": Settings(
        num_neurons=5,
        sizes={10: (128, 256, 512, 1024, 2048, 4096), 20: (128, 256, 512, 1024, 2048)},
        draws=8,
        linear_draws=3,
        widths=(512, 2048),
        tests=20_000,
        restarts=6,
        explore=Explore(),
        converge=Converge(),
        watched=1024,
        ablation_draws=2,
        ablation_restarts=32,
        published=(50, 1000),
        published_draws=3,
        long=Converge(0.5, 4000),
        aims={"aim_level": 1.5, "aim_separation": 10.0, "aim_slope": -0.85}
        | {"aim_linear_slope": -0.5, "aim_from": 2048, "slope_from": 512},
    ),
    "small": Settings(
        num_neurons=3,
        sizes={6: (64, 256)},
        draws=3,
        linear_draws=2,
        widths=(32, 128),
        tests=4000,
        restarts=4,
        explore=Explore(num_steps=1000),
        converge=Converge(num_steps=1500),
        watched=256,
        ablation_draws=4,
        ablation_restarts=4,
        published=(6, 100),
        published_draws=2,
        long=Converge(0.5, 1000),
        aims={"aim_level": 2.0, "aim_separation": 3.0, "aim_slope": -0.85}
        | {"aim_linear_slope": -0.85, "aim_from": 256, "slope_from": 64},
    ),
}


# ---- measure


def measure(size: Size, seed: int) -> xarray.Dataset:
    """Excess risks, a trajectory, the ablation, and the published setting."""
    settings, root = SIZES[size], jax.random.key(seed)
    measured = measure_excess(settings, root)
    parts = (measure_run, measure_ablation, measure_published)
    for stream, part in enumerate(parts, start=1):
        measured |= part(settings, jax.random.fold_in(root, stream))
    coordinates = {"estimator": list(METHODS), "variant": list(VARIANTS)}
    coordinates |= {"second_phase": ["as published", "longer steps"]}
    coordinates |= variables("dim", "inputs", dim=list(settings.sizes))
    coordinates |= variables("rows", "rows", rows=list(settings.rows))
    attributes = {"seed": seed, "noise": NOISE, "num_neurons": settings.num_neurons, "restarts": settings.restarts}
    attributes |= {"bandwidths": list(BANDWIDTHS), "features": list(settings.widths), "watched": settings.watched}
    attributes |= {"published_dim": settings.published[0], "published_size": settings.published[1]}
    return xarray.Dataset(measured, coordinates, attributes | settings.aims)


def measure_excess(settings: Settings, root: Key[Array, ""]) -> Variables:
    """Of all estimators on the same data, for each d and n."""
    m, shape = settings.num_neurons, (len(METHODS), len(settings.sizes), len(settings.rows), settings.draws)
    excess, edge, tuned, test_error = np.full(shape, np.nan), np.zeros(shape), np.full(shape, np.nan), np.zeros(shape)
    succeeded, right_signs = np.full((2, *shape[1:]), np.nan)
    cells = [(i, j, dim, n) for i, dim in enumerate(settings.sizes) for j, n in enumerate(settings.sizes[dim])]
    for i, j, dim, n in tqdm(cells, desc="teacher_student", disable=None):
        tests = draw_data(m, dim, settings.tests, jax.random.fold_in(root, 10 + dim), noise=0.0)
        for s in range(settings.draws):
            keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(root, 1000 * dim + s), n), 3)
            data = draw_data(m, dim, n, keys[0])
            runs = trained(data, keys[1], settings.restarts, settings.explore, settings.converge)
            excess[0, i, j, s] = runs.excess
            succeeded[i, j, s], right_signs[i, j, s] = runs.succeeded.mean(), runs.right_signs.mean()
            if s < settings.linear_draws:
                best = linear_estimators(data, tests, settings.widths, keys[2])
                for k, name in enumerate(METHODS[1:], start=1):
                    here = k, i, j, s
                    excess[here], test_error[here], edge[here], tuned[here] = best[name]
    known = np.isfinite(excess)
    count = known.sum(-1)
    mean = np.where(count > 0, np.where(known, excess, 0).sum(-1) / np.maximum(count, 1), np.nan)
    spread = np.sqrt(np.nansum((excess - mean[..., None]) ** 2, -1) / np.maximum(count - 1, 1))
    error = np.hypot(spread / np.sqrt(np.maximum(count, 1)), test_error.max(axis=-1))
    dims, risk = ("estimator", "dim", "rows"), "E (f - f*)^2"
    return {
        **variables((*dims, "draw"), risk, excess=excess),
        **variables(dims, risk, mean_excess=mean, mean_excess_error=np.where(count > 0, error, np.nan)),
        **variables((*dims, "draw"), "whether", on_edge=edge),
        **variables((*dims, "draw"), "bandwidth, features, or neighbours", tuned=tuned),
        **variables((*dims[1:], "draw"), "share of restarts", succeeded=succeeded, right_signs=right_signs),
    }


def measure_run(settings: Settings, key: Key[Array, ""]) -> Variables:
    """Losses of all restarts at every record, and the best restart's neurons on the plane."""
    data_key, run_key = jax.random.split(key)
    data = draw_data(settings.num_neurons, settings.first_dim, settings.watched, data_key)
    fit = train(data, run_key, settings.restarts, settings.explore, settings.converge)
    trace = fit.result.trace
    assert trace is not None
    networks, dims = trace.values["network"], ("restart", "look")
    place = star(networks.inner[fit.best], data.teacher[1])
    return {
        **variables("look", "steps", along_step=trace.steps),
        **variables((), "steps", switch=fit.switch),
        **variables(dims, "loss", along_loss=trace.values["loss"]),
        **variables(dims, "E (f - f*)^2", along_excess=excess_risk(networks, data.teacher)),
        **variables(("look", "neuron", "axis"), "teacher's lengths", place=place),
        **variables(("look", "neuron"), "sign", sign=networks.outer[fit.best]),
        **variables((), "restart", best=fit.best),
    }


def measure_ablation(settings: Settings, key: Key[Array, ""]) -> Variables:
    """Restarts that succeed with phase I taken apart."""
    counts = np.zeros((len(VARIANTS), 3))
    for s in range(settings.ablation_draws):
        data_key, run_key = jax.random.split(jax.random.fold_in(key, s))
        data = draw_data(settings.num_neurons, settings.first_dim, settings.watched, data_key)
        counts += ablation(data, run_key, settings.ablation_restarts, settings.explore, settings.converge)
    runs = settings.ablation_draws * settings.ablation_restarts
    success, signs, both = (counts / runs).T
    error = np.sqrt((counts + 1) * (runs - counts + 1) / (runs + 2) ** 2 / (runs + 3))  # of the posterior: never 0
    measured = variables("variant", "share of restarts", success=success, signs=signs, both=both)
    measured |= variables("variant", "share of restarts", success_error=error[:, 0], signs_error=error[:, 1])
    return measured | variables((), "restarts", runs=runs)


def measure_published(settings: Settings, key: Key[Array, ""]) -> Variables:
    """The paper's setting, with its phase II and with longer steps; NaN where one of them has no records."""
    keys = [jax.random.fold_in(key, s) for s in range(settings.published_draws)]
    runs = [[published_run(*settings.published, k, second) for k in keys] for second in (PAPER_CONVERGE, settings.long)]
    longest = max(len(of_phase[0].step) for of_phase in runs)

    def padded(values: np.ndarray) -> np.ndarray:
        return np.append(np.asarray(values, float), np.full(longest - len(values), np.nan))

    dims = ("second_phase", "published_draw", "published_look")
    steps = [padded(of_phase[0].step) for of_phase in runs]
    loss, excess = ([[padded(getattr(r, name)) for r in of_phase] for of_phase in runs] for name in ("loss", "excess"))
    return {
        **variables(("second_phase", "published_look"), "steps", published_step=steps),
        **variables(dims, "loss", published_loss=loss),
        **variables(dims, "E (f - f*)^2", published_excess=excess),
        **variables((), "E f*^2", published_zero=runs[0][0].zero),
        **variables((), "steps", published_switch=PAPER_EXPLORE.num_steps),
    }


# ---- draw

OURS, LOSS = theme.OKABE_ITO[0], theme.OKABE_ITO[1]
STYLES = {  # colour, marker, and its filling
    NETWORK: (OURS, "o", OURS),
    "ridge, neural tangent": (theme.GREY, "s", theme.GREY),
    "ridge, arc-cosine": (theme.GREY, "D", theme.LIGHT["paper"]),
    "ridge, Gaussian": (theme.GREY, "^", theme.GREY),
    FEATURES: (theme.GREY, "v", theme.LIGHT["paper"]),
    NEIGHBOURS: (theme.GREY, "x", theme.GREY),
}
SPACING = 1.045  # between linear estimators at the same n, so that none hides another


def draw(data: xarray.Dataset) -> Figure:
    """Six panels: rates at each dimension and a run above; neurons, ablation and the published setting below."""
    figure = Figure(figsize=(14.5, 8.8))
    grid, dims = figure.add_gridspec(2, 6), data.dim.values
    width = 4 // len(dims)
    for k, dim in enumerate(dims):
        draw_rates(figure.add_subplot(grid[0, width * k : width * (k + 1)]), data, int(dim))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    place = {"loc": "outside upper center", "ncols": len(labels), "handletextpad": 0.3, "columnspacing": 1.6}
    figure.legend(handles, labels, **place)
    draw_run(figure.add_subplot(grid[0, 4:]), data)
    for k, panel in enumerate((draw_neurons, draw_ablation, draw_published)):
        panel(figure.add_subplot(grid[1, 2 * k : 2 * k + 2]), data)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[union-attr]
    return figure


def annotate(axes: Axes, text: str, x: float, y: float, colour: str, shift: tuple[int, int], va: str) -> None:
    """A label left of the end of a line, with a shift in points."""
    text = text.replace("slope -", "slope \N{MINUS SIGN}")
    place: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "va": va, "color": colour}
    axes.annotate(text, (x, y), shift, **place)


def draw_rates(axes: Axes, data: xarray.Dataset, dim: int) -> None:
    here, attributes = data.sel(dim=dim), data.attrs
    n = data["rows"].values[np.isfinite(here.mean_excess.sel(estimator=NETWORK).values)]
    here, m = here.sel(rows=n), attributes["num_neurons"]
    level = np.array([parametric_risk(m, dim, attributes["noise"] ** 2, size) for size in n])
    axes.loglog(n, level, color=theme.INK, linewidth=1.0, zorder=1, label="$m d v^2/n$")
    linear = here.mean_excess.sel(estimator=[name for name in STYLES if name != NETWORK])
    guide = 0.62 * linear.min("estimator").values[-1] * (n / n[-1]) ** -linear_rate(dim)
    axes.plot(n, guide, color=theme.GREY, linestyle="--", linewidth=1.0, zorder=1, label="linear, worst case")
    annotate(axes, f"slope -{linear_rate(dim):.2f}", n[-1], guide[-1], theme.GREY, (-6, -5), "top")
    for place, (name, (colour, marker, face)) in zip((0, -1.5, -0.5, 0.5, 1.5, 0), STYLES.items(), strict=True):
        row, style = here.sel(estimator=name), {"color": colour, "markerfacecolor": face, "elinewidth": 0.9}
        x, error = n * SPACING**place, row.mean_excess_error
        axes.errorbar(x, row.mean_excess, error, fmt=marker, label=name, capsize=2, zorder=3, **style)
    between = 1.2 * float(np.sqrt(linear.min("estimator")[-1] * linear.max("estimator")[-1]))
    for name, height, shift, side in (
        (NETWORK, 0.8 * level[-1], (-6, -5), "top"),
        ("ridge, neural tangent", between, (-6, 0), "center"),
    ):
        value, error = slope(data, name, dim)
        annotate(axes, f"slope {value:.2f} ± {error:.2f}", n[-1], height, STYLES[name][0], shift, side)
    axes.set_xticks(n, [f"{size:,}" for size in n])
    axes.minorticks_off()
    axes.set(xlabel="rows $n$", ylabel="excess risk $E(f - f^*)^2$", xlim=(n[0] / 1.25, n[-1] * 1.25))
    axes.set(ylim=(0.35 * level[-1], 2 * float(here.mean_excess.max())))
    axes.set(title=f"$d$ = {dim}, $m$ = {m}, noise {attributes['noise']:g}")


def draw_run(axes: Axes, data: xarray.Dataset) -> None:
    step, best = data.along_step.values, int(data.best)
    for restart in range(data.sizes["restart"]):
        style = {"linewidth": 1.8, "zorder": 3} if restart == best else {"linewidth": 0.7, "alpha": 0.45, "zorder": 2}
        axes.semilogy(step, data.along_loss[restart], color=LOSS, **style)
        axes.semilogy(step, data.along_excess[restart] / 2, color=OURS, **style)
    draw_switch(axes, float(data.switch))
    training, test = float(data.along_loss[best, -1]), float(data.along_excess[best, -1]) / 2
    annotate(axes, "training loss", step[-1], min(training, data.attrs["noise"] ** 2 / 2), LOSS, (0, -5), "top")
    annotate(axes, "test loss $E(f-f^*)^2/2$", step[-1], test, OURS, (0, 6), "bottom")
    axes.set(xlabel="step", ylabel="loss", ylim=(0.4 * test, None))
    axes.set(title=f"Explore, then converge: $n$ = {data.attrs['watched']:,}")


def draw_switch(axes: Axes, step: float) -> None:
    axes.axvline(step, color=theme.INK, linewidth=0.9, linestyle=":")
    place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "va": "top", "color": theme.LIGHT["soft"]}
    axes.text(step, 0.985, " switch", **place)


def draw_neurons(axes: Axes, data: xarray.Dataset) -> None:
    m, place, sign = data.attrs["num_neurons"], data.place.values, data.sign.values
    first = int(np.sum(data.along_step.values <= float(data.switch)))
    for j in range(m):
        colour, marker = (OURS, "^") if sign[-1, j] > 0 else (LOSS, "v")
        axes.plot(*place[:first, j].T, color=colour, linewidth=0.6, alpha=0.55, zorder=2)
        axes.plot(*place[max(first - 1, 0) :, j].T, color=colour, linewidth=2.2, zorder=3)
        axes.plot(*place[0, j], "o", color=colour, markersize=4, markerfacecolor=theme.LIGHT["paper"], zorder=4)
        axes.plot(*place[-1, j], marker, color=colour, markersize=6, zorder=5)
    for j, corner in enumerate(star(np.eye(m), np.eye(m))):
        colour, text = (OURS, "+") if j < -(-m // 2) else (LOSS, "\N{MINUS SIGN}")
        axes.plot([0, corner[0]], [0, corner[1]], color=theme.LIGHT["grid"], linewidth=1.0, zorder=0)
        axes.plot(*corner, "o", markersize=13, markerfacecolor="none", markeredgecolor=theme.INK, zorder=4)
        axes.text(1.27 * corner[0], 1.27 * corner[1], text, ha="center", va="center", color=colour, fontsize=13)
    axes.margins(0.25)  # for the signs
    axes.set_aspect("equal", "datalim")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="picture of $\\mathbb{R}^d$ with the teacher's neurons (rings) on a circle", xticks=[], yticks=[])
    axes.set(title="Neurons move onto the teacher's")
    style = {"color": theme.LIGHT["soft"], "ha": "center", "va": "bottom", "fontsize": 9}
    legend = "○ early   thin: phase I   thick: phase II   ▲ ▼ end"
    axes.text(0.5, -0.01, legend, transform=axes.transAxes, **style)


def draw_ablation(axes: Axes, data: xarray.Dataset) -> None:
    rows = np.arange(data.sizes["variant"])[::-1]
    for shift, name, colour, marker, face, label in (
        (0.13, "success", OURS, "o", OURS, "succeeded"),
        (-0.13, "signs", theme.OKABE_ITO[2], "s", theme.LIGHT["paper"], "right number of positive neurons"),
    ):
        style = {"fmt": marker, "color": colour, "markerfacecolor": face, "capsize": 2, "label": label}
        axes.errorbar(data[name], rows + shift, xerr=data[f"{name}_error"], **style)
    axes.set_yticks(rows, list(data.variant.values))
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="upper left", handletextpad=0.2)
    axes.set(xlim=(0, 1), ylim=(-0.5, len(rows) + 0.5), xlabel="share of restarts")
    axes.set(title=f"What phase I is for ({int(data.runs)} restarts each)")


def draw_published(axes: Axes, data: xarray.Dataset) -> None:
    for k, line in enumerate(("-", "--")):
        for run in range(data.sizes["published_draw"]):
            for values, colour in ((data.published_loss, LOSS), (data.published_excess / 2, OURS)):
                axes.semilogy(data.published_step[k], values[k, run], line, color=colour, linewidth=1.1)
    draw_switch(axes, float(data.published_switch))
    zero = float(data.published_zero) / 2
    axes.axhline(zero, color=theme.GREY, linewidth=0.9)
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "bottom"}
    axes.text(0.99, zero, "test loss of $f$ = 0", color=theme.GREY, **place)
    m, n = data.attrs["published_dim"], data.attrs["published_size"]
    axes.set(xlabel="step", ylabel="loss", title=f"The paper's setting: $d = m$ = {m}, $n$ = {n:,}")
    low, high = axes.get_ylim()
    axes.set_ylim(low / (high / low) ** 0.3, high)  # for the labels
    labels = {"test": OURS, "training": LOSS, "dashed: longer steps in phase II": theme.INK}
    for k, (text, colour) in enumerate(labels.items()):
        axes.text(0.02, 0.17 - 0.06 * k, text, transform=axes.transAxes, color=colour)


# ---- judge

PHASES = ("start", "end of phase I", "end of phase II", "longer steps")  # of a run in the published setting


def slope(data: xarray.Dataset, method: str, dim: int) -> tuple[float, float]:
    """Of log excess in log n from `slope_from` rows on, a line for each draw: mean and standard error."""
    cell = data.excess.sel(estimator=method, dim=dim)
    cell = cell.sel(rows=data["rows"] >= data.attrs["slope_from"])
    values, n = cell.values, cell["rows"].values
    values = values[:, np.isfinite(values).any(0)]
    known = np.isfinite(values).all(1)
    slopes = np.polyfit(np.log(n[known]), np.log(np.maximum(values[known], 1e-300)), 1)[0]
    return float(slopes.mean()), float(slopes.std(ddof=1) / np.sqrt(len(slopes)))


class Risks(NamedTuple):
    """At one dimension, for each number of rows."""

    network: np.ndarray
    """Mean excess risk of the network, in units of m d v^2 / n."""
    network_error: np.ndarray
    ratio: np.ndarray
    """That of the best kernel ridge, in units of the network's."""
    level: np.ndarray
    """m d v^2 / n."""


def risks_at(data: xarray.Dataset, dim: int) -> Risks:
    here, attributes = data.sel(dim=dim), data.attrs
    noise_variance = attributes["noise"] ** 2
    level = np.array([parametric_risk(attributes["num_neurons"], dim, noise_variance, n) for n in here["rows"]])
    network, ridge = here.mean_excess.sel(estimator=NETWORK).values, here.mean_excess.sel(estimator=list(KERNELS))
    error = here.mean_excess_error.sel(estimator=NETWORK).values
    return Risks(network / level, error / level, ridge.min("estimator").values / network, level)


def judge(data: xarray.Dataset) -> Verdict:
    """At the first dimension: level and separation at the largest n, and slopes; the run that is watched; signs."""
    aims, dim, size = data.attrs, int(data.dim[0]), data["rows"].values
    last, risks = size >= aims["aim_from"], risks_at(data, dim)
    slopes = {name: slope(data, name, dim) for name in METHODS}
    where = f"from {size[last][0]:,} rows on" if last.sum() > 1 else f"with {size[last][0]:,} rows"
    worst, least = int(np.argmax(risks.network[last])), int(np.argmin(risks.ratio[last]))

    statement, source = f"network's excess risk {where}", "order by Theorem 4.5, factor our aim"
    value, error = float(risks.network[last][worst]), float(risks.network_error[last][worst])
    checks = [Check(statement, source, value, 1.0, aims["aim_level"] - 1, "at most", error, "m d v^2 / n")]
    statement, (value, error) = "power of n by which the network's excess risk falls", slopes[NETWORK]
    checks.append(Check(statement, "Theorem 4.5", value, -1.0, aims["aim_slope"] + 1, "at most", error))
    statement, source = "steepest power of n of any kernel ridge", f"our aim; worst case -{linear_rate(dim):.2f}"
    value, error = min((slopes[name] for name in KERNELS), key=lambda pair: pair[0])
    source = f"{source}, Theorem 4.1"
    checks.append(Check(statement, source, value, aims["aim_linear_slope"], 0.0, "at least", error))
    statement, value = f"excess risk of the best kernel ridge {where}", float(risks.ratio[last][least])
    unit = "times the network's"
    checks.append(Check(statement, "our aim", value, aims["aim_separation"], 0.0, "at least", unit=unit))
    n, weights = aims["watched"], aims["num_neurons"] * dim
    chi_squared = aims["noise"] ** 2 / 2 / n  # of one of the n - weights directions that least squares leave
    statement, value = "training loss at the end of the run shown", float(data.along_loss[int(data.best), -1])
    tolerance = 4 * chi_squared * float(np.sqrt(2 * (n - weights)))
    source = "least squares: v^2 / 2 (1 - m d / n)"
    checks.append(Check(statement, source, value, chi_squared * (n - weights), tolerance))
    statement = "restarts that succeed with a wrong number of positive neurons, largest share"
    wrong = float((data.success - data.both).max())
    checks.append(Check(statement, "exact: phase II keeps signs", wrong, 0.0, 0.0, "at most"))
    numbers = all_numbers(data, risks, slopes)
    return Verdict(tuple(checks), summary(data, risks, slopes, numbers), numbers)


def all_numbers(data: xarray.Dataset, risks: Risks, slopes: dict[str, tuple[float, float]]) -> dict[str, float]:
    """At every n and every dimension; at grids' edges; of variants of phase I; and in the published setting."""
    n = data["rows"].values
    numbers = {f"net, of m d v^2/n at n = {size}": float(r) for size, r in zip(n, risks.network, strict=True)}
    numbers |= {f"kernel over net at n = {size}": float(r) for size, r in zip(n, risks.ratio, strict=True)}
    for name in METHODS[1:]:
        numbers |= {f"slope, {name}": slopes[name][0], f"slope, {name}, error": slopes[name][1]}
        numbers |= {f"on the grid's edge, {name}": float(data.on_edge.sel(estimator=name).sum())}
    for other in data.dim.values[1:]:
        for name in METHODS:
            value, error = slope(data, name, int(other))
            numbers |= {f"slope at d = {other}, {name}": value, f"slope at d = {other}, {name}, error": error}
    for name, grid in (("ridge, Gaussian", "bandwidths"), (FEATURES, "features")):
        tuned, values = data.tuned.sel(estimator=name), np.atleast_1d(data.attrs[grid])
        numbers |= {f"{grid} at the grid's least": float((tuned == values[0]).sum())}
        numbers |= {f"{grid} at the grid's largest": float((tuned == values[-1]).sum())}
    for variant in data.variant.values:
        row = data.sel(variant=variant)
        numbers |= {f"success, {variant}": float(row.success), f"right signs, {variant}": float(row.signs)}
    published = data.published_excess.values
    switch = int(np.argmin(np.abs(data.published_step.values[0] - float(data.published_switch))))
    ends = [float(np.nanmean([run[np.isfinite(run)][-1] for run in runs])) for runs in published]
    phases = [float(published[0, :, 0].mean()), float(published[0, :, switch].mean()), *ends]
    return numbers | {f"published setting, {label}": value for label, value in zip(PHASES, phases, strict=True)}


def summary(
    data: xarray.Dataset, risks: Risks, slopes: dict[str, tuple[float, float]], numbers: dict[str, float]
) -> str:
    dim, n = int(data.dim[0]), data["rows"].values
    last = n >= data.attrs["aim_from"]
    per_draw = data.excess.sel(dim=dim, estimator=NETWORK).values[last] / risks.level[last, None]
    levels = ", ".join(
        f"{r:.2f} ± {e:.2f}" for r, e in zip(risks.network[last], risks.network_error[last], strict=True)
    )
    rates = "; ".join(f"{name} {value:.2f} ± {error:.2f}" for name, (value, error) in slopes.items())
    rows = ", ".join(str(size) for size in n[last])
    successes = ", ".join(
        f"{v.variant.item()} {float(v.success):.2f} ± {float(v.success_error):.2f} (right signs {float(v.signs):.2f})"
        for v in (data.sel(variant=name) for name in data.variant.values)
    )
    others = "".join(
        f" At d = {other} its slope is {numbers[f'slope at d = {other}, {NETWORK}']:.2f} ± "
        f"{numbers[f'slope at d = {other}, {NETWORK}, error']:.2f}, that of the steepest kernel "
        f"{min(numbers[f'slope at d = {other}, {name}'] for name in KERNELS):.2f}."
        for other in data.dim.values[1:]
    )
    start, switch, end, longer = (numbers[f"published setting, {label}"] for label in PHASES)
    return (
        f"At d = {dim}, n = {rows} the network's mean excess risk is {levels} times m d v^2 / n, single draws "
        f"{per_draw.min():.2f} to {per_draw.max():.2f}, and {', '.join(f'{r:.1f}' for r in risks.ratio[last])} times "
        f"below the best kernel ridge. Slopes from n = {data.attrs['slope_from']} on: {rates} (worst case of linear "
        f"estimators -{linear_rate(dim):.2f}).{others} Restarts succeed: {successes}. In the published setting the "
        f"excess risk is {start:.2f} at the start, {switch:.3f} at the switch, {end:.3f} at the end, {longer:.3f} with "
        f"longer steps in phase II; that of 0 is {float(data.published_zero):.3f}."
    )


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
