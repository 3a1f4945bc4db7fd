"""Two-phase training learns a teacher of ReLU neurons at a risk of order 1 / n, where linear estimators are stuck.

Claim: Two-phase noisy gradient descent learns a teacher of m ReLU neurons on d inputs from n rows of noise v to an
excess risk of order 1 / n, near m d v^2 / n, where kernel ridge, random features and nearest neighbours, all linear in
y, are stuck above n^-(d+2)/(2d+2).

Formula:
    E (f - f*)^2 = O(m^5 log n / n),    linear in y: Omega(n^-(d + 2) / (2 d + 2))

Source: Akiyama, Suzuki (ICLR 2023), Theorems 4.1 and 4.5, Algorithm 1.

Figure: The network's points on the line m d v^2 / n, the linear estimators, in grey, far above; how losses fall through
both phases, bold those of the restart chosen; and how often a restart succeeds with phase I taken apart, beside how
often it finds the right signs.

Data are y = f*(x) + noise with f* an orthogonal network of m ReLUs, half of them positive, rounded up, x uniform on the
sphere of R^d; m = 5, and so many neurons has the student. Estimators that are linear in y are those of
`relu_sphere.py`, tuned by their own excess risk on test inputs, in their favour. Risks of networks are exact. The
paper's own run, of d = m = 50 and n = 1000, has m d > n and is not repeated here.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics.pairwise import rbf_kernel
from tqdm import tqdm

import relu_sphere as sphere
from claims import Check, Claim, Findings, Size, Variables, dataset, variables
from drawing import panels, points, ticks
from estimates import mean_and_error
from langevax.figures.theme import GREY, INK, LIGHT, OKABE_ITO
from langevax.teacher_student import (
    Converge,
    Explore,
    ReLUNetwork,
    orthogonal_teacher,
    teach,
    two_phase,
)
from langevax.teacher_student.networks import on_sphere
from langevax.teacher_student.two_phase import TwoPhaseFit

NOISE = 0.1
PENALTIES, SMALL_PENALTIES = (
    np.logspace(-4, 1, 21),
    np.logspace(-7, 1, 33),
)  # wide Gaussians want little
OURS, LOSS, PAPER = OKABE_ITO[0], OKABE_ITO[1], LIGHT["paper"]
STYLES = {  # colour, marker, its filling, and its place among linear estimators at the same n
    "two-phase network": (OURS, "o", OURS, 0),
    "ridge, neural tangent": (GREY, "s", GREY, -1.5),
    "ridge, arc-cosine": (GREY, "D", PAPER, -0.5),
    "ridge, Gaussian": (GREY, "^", GREY, 0.5),
    "random features": (GREY, "v", PAPER, 1.5),
    "nearest neighbours": (GREY, "x", GREY, 0),
}
METHODS = tuple(STYLES)
NETWORK, LINEAR, KERNELS = METHODS[0], METHODS[1:], METHODS[1:4]
GAUSSIANS = [
    partial(rbf_kernel, gamma=1 / (2 * width**2)) for width in (1.0, 4.0, 16.0)
]
RECORDS = 220  # of every run, so that one program serves all
SUCCESS = 3.0  # a run has succeeded that ends below so many times m d v^2 / n; those that fail are ten times above
RISK, SHARE = "E (f - f*)^2", "share of restarts"

VARIANTS: dict[str, Callable[[Explore], Explore]] = {  # of phase I
    "no phase I": lambda explore: replace(explore, num_steps=0),
    "phase I without noise": lambda explore: replace(explore, temperature=0.0),
    "fixed temperature": lambda explore: replace(explore, annealing=1.0),
    "annealed": lambda explore: explore,
    "annealed, 4 x longer": lambda explore: replace(
        explore, num_steps=4 * explore.num_steps
    ),
}


class Settings(NamedTuple):
    """Settings of a size; by default those of the full one."""

    sizes: dict[int, tuple[int, ...]]  # n for each d
    aims: dict[str, float]
    num_neurons: int = 5
    draws: tuple[int, int] = (
        8,
        3,
    )  # of data at each n: of the network, and of linear estimators
    widths: tuple[int, ...] = (512, 2048)  # numbers of random features to choose from
    tests: int = 20_000  # inputs at which linear estimators are tested
    restarts: int = 6
    explore: Explore = Explore()
    converge: Converge = Converge()
    watched: int = 1024  # n of the trajectory and of the ablation
    ablation: tuple[int, int] = (2, 32)  # draws, and restarts of each

    def draw(
        self, dim: int, size: int, key: Key[Array, ""], noise: float = NOISE
    ) -> tuple[ReLUNetwork, sphere.Rows]:
        """The orthogonal teacher with half of its neurons positive, rounded up, and rows of it, in float64."""
        with jax.enable_x64():
            teacher = orthogonal_teacher(self.num_neurons, dim, dtype=jnp.float64)
            inputs, targets = teach(teacher, size, noise, key=key)
            return teacher, (np.asarray(inputs), np.asarray(targets))

    def train(
        self, rows: sphere.Rows, key: Key[Array, ""], explore: Explore, restarts: int
    ) -> TwoPhaseFit:
        """Train in float32, with about RECORDS records."""
        inputs, targets = (array.astype(np.float32) for array in rows)
        every = max(1, (explore.num_steps + self.converge.num_steps) // RECORDS)
        phases = {
            "explore": explore,
            "converge": self.converge,
            "num_restarts": restarts,
            "record_every": every,
        }
        return two_phase(inputs, targets, self.num_neurons, key=key, **phases)


SIZES: dict[Size, Settings] = {
    "full": Settings(
        sizes={10: (128, 256, 512, 1024, 2048, 4096), 20: (128, 256, 512, 1024, 2048)},
        aims={"aim_level": 1.5, "aim_separation": 10.0, "aim_slope": -0.85}
        | {"aim_linear_slope": -0.5, "aim_from": 2048, "slope_from": 512},
    ),
    "small": Settings(
        sizes={6: (64, 256)},
        aims={"aim_level": 2.0, "aim_separation": 3.0, "aim_slope": -0.85}
        | {"aim_linear_slope": -0.85, "aim_from": 256, "slope_from": 64},
        num_neurons=3,
        draws=(3, 2),
        widths=(32, 128),
        restarts=4,
        explore=Explore(num_steps=1000),
        converge=Converge(num_steps=1500),
        watched=256,
        ablation=(4, 4),
    ),
}


def measure(size: Size, seed: int) -> xarray.Dataset:
    settings, root = SIZES[size], jax.random.key(seed)
    return dataset(
        {
            "estimator": list(METHODS),
            "variant": list(VARIANTS),
            "dim": (list(settings.sizes), "inputs"),
        }
        | {"rows": (max(settings.sizes.values(), key=len), "rows")},
        measure_excess(settings, root),
        measure_run(settings, jax.random.fold_in(root, 1)),
        measure_ablation(settings, jax.random.fold_in(root, 2)),
        **{
            "noise": NOISE,
            "num_neurons": settings.num_neurons,
            "watched": settings.watched,
        },
        **settings.aims,
    )


def measure_excess(settings: Settings, root: Key[Array, ""]) -> Variables:
    shape = (
        len(METHODS),
        len(settings.sizes),
        max(map(len, settings.sizes.values())),
        settings.draws[0],
    )
    excess, edge, test_error = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape)
    cells = [
        (i, j, dim, n)
        for i, dim in enumerate(settings.sizes)
        for j, n in enumerate(settings.sizes[dim])
    ]
    for i, j, dim, n in tqdm(cells, desc="teacher_student", disable=None):
        _, tests = settings.draw(
            dim, settings.tests, jax.random.fold_in(root, 10 + dim), noise=0.0
        )
        for s in range(settings.draws[0]):
            keys = jax.random.split(
                jax.random.fold_in(jax.random.fold_in(root, 1000 * dim + s), n), 3
            )
            teacher, rows = settings.draw(dim, n, keys[0])
            fit = settings.train(rows, keys[1], settings.explore, settings.restarts)
            excess[0, i, j, s] = sphere.excess_risk(fit.network, teacher)
            if s >= settings.draws[1]:
                continue
            drawn = np.asarray(
                on_sphere(keys[2], max(settings.widths), dim), np.float64
            )
            features = [
                sphere.relu_features(drawn[:width]) for width in settings.widths
            ]
            fits = [
                sphere.tuned_ridge([sphere.neural_tangent], PENALTIES, rows, tests),
                sphere.tuned_ridge([sphere.arc_cosine], PENALTIES, rows, tests),
                sphere.tuned_ridge(GAUSSIANS, SMALL_PENALTIES, rows, tests),
                sphere.tuned_ridge(features, SMALL_PENALTIES, rows, tests),
                sphere.tuned_neighbors(rows, tests),
            ]
            excess[1:, i, j, s], test_error[1:, i, j, s], edge[1:, i, j, s] = zip(
                *fits, strict=True
            )
    dims = "estimator dim rows"
    risks = xarray.DataArray(
        excess, dims=f"{dims} draw".split()
    )  # its statistics leave out what was not drawn
    spread = risks.std("draw", ddof=1) / np.sqrt(risks.count("draw"))
    return {
        **variables(f"{dims} draw", RISK, excess=excess),
        **variables(
            dims,
            RISK,
            mean_excess=risks.mean("draw"),
            mean_excess_error=np.hypot(spread, test_error.max(-1)),
        ),
        **variables(f"{dims} draw", "whether", on_edge=edge),
    }


def measure_run(settings: Settings, key: Key[Array, ""]) -> Variables:
    data_key, run_key = jax.random.split(key)
    teacher, rows = settings.draw(
        next(iter(settings.sizes)), settings.watched, data_key
    )
    fit = settings.train(rows, run_key, settings.explore, settings.restarts)
    trace: Any = fit.result.trace
    return {
        **variables("record", "steps", along_step=trace.steps),
        **variables("", "steps", switch=fit.switch),
        **variables("restart record", "loss", along_loss=trace.values["loss"]),
        **variables(
            "restart record",
            RISK,
            along_excess=sphere.excess_risk(trace.values["network"], teacher),
        ),
        **variables("", "restart", best=fit.best),
    }


def measure_ablation(settings: Settings, key: Key[Array, ""]) -> Variables:
    """Restarts that succeed with phase I taken apart."""
    (draws, restarts), dim = settings.ablation, next(iter(settings.sizes))
    level = SUCCESS * sphere.parametric_risk(
        settings.num_neurons, dim, NOISE**2, settings.watched
    )
    counts = np.zeros((len(VARIANTS), 3))
    for s in range(draws):
        data_key, run_key = jax.random.split(jax.random.fold_in(key, s))
        teacher, rows = settings.draw(dim, settings.watched, data_key)
        for count, change in zip(counts, VARIANTS.values(), strict=True):
            fit = settings.train(rows, run_key, change(settings.explore), restarts)
            succeeded = sphere.excess_risk(fit.result.position, teacher) < level
            right_signs = fit.num_positive == np.sum(np.asarray(teacher.outer) > 0)
            count += succeeded.sum(), right_signs.sum(), (succeeded & right_signs).sum()
    runs = draws * restarts
    success, signs, both = (counts / runs).T
    error = np.sqrt(
        (counts + 1) * (runs - counts + 1) / (runs + 2) ** 2 / (runs + 3)
    )  # of the posterior: never 0
    measured = variables("variant", SHARE, success=success, signs=signs, both=both)
    measured |= variables(
        "variant", SHARE, success_error=error[:, 0], signs_error=error[:, 1]
    )
    return measured | variables("", "restarts", runs=runs)


def draw(data: xarray.Dataset) -> Figure:
    rates, rows = (
        (partial(draw_rates, dim=int(dim)) for dim in data.dim.values),
        data.sizes["dim"],
    )
    size = 5.0 * (2 + rows) / rows, 4.8 * rows
    return panels(size, rows, *rates, draw_run, draw_ablation, legend_of=0, ncols=4)(
        data
    )


def draw_rates(axes: Axes, data: xarray.Dataset, dim: int) -> None:
    n = data["rows"].values[
        np.isfinite(data.mean_excess.sel(dim=dim, estimator=NETWORK).values)
    ]
    here, m = data.sel(dim=dim, rows=n), data.attrs["num_neurons"]
    least_squares = sphere.parametric_risk(m, dim, data.attrs["noise"] ** 2, 1) / n
    axes.loglog(
        n, least_squares, color=INK, linewidth=1.0, zorder=1, label="$m d v^2/n$"
    )
    linear = here.mean_excess.sel(estimator=list(LINEAR))
    worst = (
        0.62
        * linear.min("estimator").values[-1]
        * (n / n[-1]) ** -sphere.linear_rate(dim)
    )
    axes.plot(
        n,
        worst,
        color=GREY,
        linestyle="--",
        linewidth=1.0,
        zorder=1,
        label="linear, worst case",
    )
    for name, (colour, marker, face, place) in STYLES.items():
        row = here.sel(estimator=name)  # apart, so that none hides another
        measured = row.mean_excess, row.mean_excess_error
        points(
            axes,
            n * 1.045**place,
            measured,
            (colour, marker),
            name,
            markerfacecolor=face,
            zorder=3,
        )
    ticks(axes, n)
    axes.set(
        xlabel="rows $n$",
        ylabel="excess risk $E(f - f^*)^2$",
        xlim=(n[0] / 1.25, n[-1] * 1.25),
    )
    axes.set(title=f"$d$ = {dim}, $m$ = {m}, noise {data.attrs['noise']:g}")


def draw_run(axes: Axes, data: xarray.Dataset) -> None:
    step, best = data.along_step.values, int(data.best)
    labels = "training loss", "test loss $E(f-f^*)^2/2$"
    for values, colour, label in zip(
        (data.along_loss, data.along_excess / 2), (LOSS, OURS), labels, strict=True
    ):
        axes.semilogy(step, values.T, color=colour, linewidth=0.7, alpha=0.45)
        axes.semilogy(step, values[best], color=colour, linewidth=1.8, label=label)
    axes.axvline(float(data.switch), color=INK, linewidth=0.9, linestyle=":")
    axes.legend(loc="upper right")
    axes.set(xlabel="step, dotted: the switch", ylabel="loss")
    axes.set(title=f"Explore, then converge: $n$ = {data.attrs['watched']:,}")


def draw_ablation(axes: Axes, data: xarray.Dataset) -> None:
    rows = np.arange(data.sizes["variant"])[::-1]
    labels = {"success": "succeeded", "signs": "right number of positive neurons"}
    for (name, label), colour, marker, shift in zip(
        labels.items(), OKABE_ITO[::2], "os", (0.13, -0.13), strict=False
    ):
        error = data[f"{name}_error"]
        axes.errorbar(
            data[name], rows + shift, xerr=error, fmt=marker, color=colour, label=label
        )
    axes.set_yticks(rows, list(data.variant.values))
    axes.legend(loc="upper left", handletextpad=0.2)
    axes.set(xlim=(0, 1), ylim=(-0.5, len(rows) + 0.5), xlabel="share of restarts")
    axes.set(title=f"What phase I is for ({int(data.runs)} restarts each)")


def slope(data: xarray.Dataset, method: str, dim: int) -> tuple[float, float]:
    """Of log excess in log n from `slope_from` rows on, a line for each draw: mean and standard error."""
    cell = data.excess.sel(
        estimator=method, dim=dim, rows=data["rows"] >= data.attrs["slope_from"]
    )
    values, n = cell.values, cell["rows"].values
    values = values[:, np.isfinite(values).any(0)]
    known = np.isfinite(values).all(1)
    slopes = np.polyfit(np.log(n[known]), np.log(np.maximum(values[known], 1e-300)), 1)[
        0
    ]
    return mean_and_error(slopes)


def judge(data: xarray.Dataset) -> Findings:
    aims, dim, n, here = (
        data.attrs,
        int(data.dim[0]),
        data["rows"].values,
        data.isel(dim=0),
    )
    least_squares = (
        sphere.parametric_risk(aims["num_neurons"], dim, aims["noise"] ** 2, 1) / n
    )
    network = here.mean_excess.sel(estimator=NETWORK).values
    network_error = here.mean_excess_error.sel(estimator=NETWORK).values / least_squares
    ratio = (
        here.mean_excess.sel(estimator=list(KERNELS)).min("estimator").values / network
    )
    network = network / least_squares
    last, slopes = (
        n >= aims["aim_from"],
        {name: slope(data, name, dim) for name in METHODS},
    )
    where = (
        f"from {n[last][0]:,} rows on"
        if last.sum() > 1
        else f"with {n[last][0]:,} rows"
    )
    worst, unit = int(np.argmax(network[last])), "m d v^2 / n"

    statement, source = (
        f"network's excess risk {where}",
        "order by Theorem 4.5, factor our aim",
    )
    value = network[last][worst], network_error[last][worst]
    yield Check.at_most(statement, source, value, 1.0, aims["aim_level"] - 1, unit)
    statement = "power of n by which the network's excess risk falls"
    yield Check.at_most(
        statement, "Theorem 4.5", slopes[NETWORK], -1.0, aims["aim_slope"] + 1
    )
    statement = "steepest power of n of any kernel ridge"
    source = f"our aim; worst case -{sphere.linear_rate(dim):.2f}, Theorem 4.1"
    steepest = min((slopes[name] for name in KERNELS), key=lambda pair: pair[0])
    yield Check.at_least(statement, source, steepest, aims["aim_linear_slope"])
    statement, unit = (
        f"excess risk of the best kernel ridge {where}",
        "times the network's",
    )
    yield Check.at_least(
        statement, "our aim", ratio[last].min(), aims["aim_separation"], unit=unit
    )
    statement, source = (
        "training loss at the end of the run shown",
        "least squares: v^2 / 2 (1 - m d / n)",
    )
    watched, freedom = aims["watched"], aims["watched"] - aims["num_neurons"] * dim
    chi_squared = (
        aims["noise"] ** 2 / 2 / watched
    )  # of one of the directions that least squares leave
    loss, tolerance = (
        data.along_loss[int(data.best), -1],
        4 * chi_squared * float(np.sqrt(2 * freedom)),
    )
    yield Check.equals(statement, source, loss, chi_squared * freedom, tolerance)
    statement = (
        "restarts that succeed with a wrong number of positive neurons, largest share"
    )
    yield Check.at_most(
        statement, "exact: phase II keeps signs", (data.success - data.both).max(), 0.0
    )

    for k, size in enumerate(n):
        yield (
            f"excess risk of the network over m d v^2 / n, n = {size}",
            (network[k], network_error[k]),
        )
        yield (
            f"excess risk of the best kernel ridge over the network's, n = {size}",
            ratio[k],
        )
    for dim, name in itertools.product(data.dim.values, METHODS):
        yield f"power of n, d = {dim}, {name}", slope(data, name, int(dim))
    yield "linear fits on the edge of their grid", data.on_edge.sum()
    for variant in data.variant.values:
        row = data.sel(variant=variant)
        yield (
            f"share of restarts that succeed, {variant}",
            (row.success, row.success_error),
        )
        yield f"share with right signs, {variant}", (row.signs, row.signs_error)


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
