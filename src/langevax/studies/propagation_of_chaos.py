"""N particles stand for infinitely many with an error of C / N in mean square, at all times at once.

Suzuki, Nitanda, Wu (ICLR 2023): the error of N-particle MFLD is of order 1/N uniformly in time. Nitanda (NeurIPS 2024):
(1/N) inf L^N - L* <= (1/N) 1/2 sup loss'' (1/n) sum_i Var_{q*}(h_i), L^N the free energy of N particles.

tanh (`line_network`), squared loss, from the prior: the error is E (1/n) sum_i (z_i^N(t) - z_i(t))^2, z(t) that of the
exact law of the same steps on a grid, so that no error of the step is in it; lines are the exact limit of N times it.
Particles interact through the loss, which damps what chance does to them: N independent draws of q* are much worse.
linear (`linear_clouds`): outputs, spread and free energy in closed form at every N.

Limits of error bars are those of normal or Student laws, shared over the comparisons of a kind (`CHANCE`). The exact
line is one of large N: no term for its correction, of relative order 1/N, is allowed for; from N = 32 on none was seen,
within 1 %. That half the neurons' variance bounds the free energy is held against linear neurons only.
"""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from langevax.figures import theme
from langevax.meanfield import MFLD
from langevax.run import simulate
from langevax.studies.line_network import LineNetwork, chain_laws
from langevax.studies.linear_clouds import GROUPS, QUANTITIES, RIDGE, TEMPERATURE, linear_point, regression
from langevax.studies.study import Config, Study, Verdict
from langevax.theory.mean_field import finite_particle_gap
from langevax.theory.mean_field_rates import finite_particle_gap_bound

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

TANH = LineNetwork(
    slopes=(2.0, 1.5, -1.0, -2.0, 1.0, -1.5), shifts=(-1.0, 0.8, -1.2, 0.5, 0.2, 1.0),
    targets=(1.0, 1.0, -1.0, 1.0, -1.0, -1.0), scale=1.5, ridge=RIDGE, temperature=TEMPERATURE, loss="squared",
    start_mean=0.0, start_deviation=(TEMPERATURE / (2 * RIDGE)) ** 0.5,
)  # fmt: skip
STEP_SIZE, GRID = 0.05, np.linspace(-4.5, 4.5, 161)
NUM_PARTICLES = {"full": (32, 64, 128, 256, 512, 1024), "small": (32, 64, 256)}
PARTICLES = {"full": 2**18, "small": 2**16}  # in all clouds of one N together
HORIZON = {"full": 16.0, "small": 8.0}
RECORD = 0.25  # time between two looks
SHOWN = {"full": (0.25, 1.0, 4.0, 16.0), "small": (0.25, 1.0, 8.0)}

LINEAR_PARTICLES = {"full": (2, 8, 32, 128), "small": (2, 32)}
LINEAR_CLOUDS = {"full": 8000, "small": 2000}
MARKERS, TICKS = "osD^", (0.1, 0.2, 0.5, 1.0)
CHANCE = 1e-3  # that a true claim is refused, shared over all comparisons of a kind


def outputs_of(problem: Any, state: Any) -> Any:
    """What is recorded of a cloud."""
    return problem.outputs(state.position)


def tanh_errors(num_particles: int, num_clouds: int, horizon: float, exact: np.ndarray, key: Any) -> np.ndarray:
    """(cloud, record) squared distance of the outputs to those of infinitely many particles, mean over rows."""
    every = round(RECORD / STEP_SIZE)
    result = simulate(
        MFLD(step_size=STEP_SIZE, temperature=TEMPERATURE), TANH.risk(), TANH.start(num_particles), key=key,
        num_steps=round(horizon / STEP_SIZE), num_chains=num_clouds, record=outputs_of, record_every=every,
        progress=False,
    )  # fmt: skip
    return ((np.asarray(result.positions, float) - exact[every::every]) ** 2).mean(axis=-1)


def measure(config: Config, progress: bool | None = None) -> "xarray.Dataset":
    """The exact limit, clouds of tanh particles, clouds of linear particles."""
    import xarray
    from tqdm import tqdm

    size, seed = config.size, config.seed
    counts, linear_counts, horizon = NUM_PARTICLES[size], LINEAR_PARTICLES[size], HORIZON[size]
    keys = jax.random.split(jax.random.key(seed), len(counts) + len(linear_counts))
    bar = tqdm(total=len(keys) + 1, desc="propagation-of-chaos", disable=None if progress is None else not progress)
    laws = chain_laws(TANH, GRID, STEP_SIZE, round(horizon / STEP_SIZE), fluctuations=True)
    risk = TANH.grid_risk(GRID)
    independent = np.diag(risk.covariance(risk.gibbs(risk.optimal_dual()))).mean()
    bar.update()
    error, error_error, drift, rest = [], [], [], []
    times = RECORD * np.arange(1, round(horizon / RECORD) + 1)
    late = times > horizon / 2
    ramp = (times[late] - times[late].mean()) / ((times[late] - times[late].mean()) ** 2).sum()
    for count, key in zip(counts, keys, strict=False):
        each = tanh_errors(count, PARTICLES[size] // count, horizon, laws.outputs, key)
        error.append(each.mean(axis=0))
        error_error.append(each.std(axis=0, ddof=1) / np.sqrt(len(each)))
        slopes = each[:, late] @ ramp  # of one cloud: its looks are not independent, clouds are
        drift.append((slopes.mean(), slopes.std(ddof=1) / np.sqrt(len(each))))
        rest.append((each[:, late].mean(), each[:, late].mean(axis=1).std(ddof=1) / np.sqrt(len(each))))
        bar.update()
    linear = []
    for count, key in zip(linear_counts, keys[len(counts) :], strict=True):
        linear.append(linear_point(count, LINEAR_CLOUDS[size], seed, key))
        bar.update()
    bar.close()
    limit = laws.fluctuation.mean(axis=1)
    inputs = regression(seed)[0]
    variances = TEMPERATURE / (2 * RIDGE) * (inputs**2).sum(axis=1)
    bounds = [finite_particle_gap_bound(variances, 1.0, count) for count in linear_counts]
    formula = [finite_particle_gap(inputs, RIDGE, TEMPERATURE, count) for count in linear_counts]
    points, squared = ("num_particles", "time"), {"units": "1 (output squared)"}
    mixed, rate = {"units": "those of the quantity"}, {"units": "1 (output squared) / time"}
    columns = np.array(linear)
    variables = {
        "error": (points, np.array(error), squared),
        "error_error": (points, np.array(error_error), squared),
        "limit": ("time", limit[round(RECORD / STEP_SIZE) :: round(RECORD / STEP_SIZE)], squared),
        "independent": ((), independent, squared),
        "drift": ("num_particles", np.array(drift)[:, 0], rate),
        "drift_error": ("num_particles", np.array(drift)[:, 1], rate),
        "rest": ("num_particles", np.array(rest)[:, 0], squared),
        "rest_error": ("num_particles", np.array(rest)[:, 1], squared),
        "linear": (("linear_particles", "quantity"), columns[..., 0], mixed),
        "linear_error": (("linear_particles", "quantity"), columns[..., 1], mixed),
        "linear_exact": (("linear_particles", "quantity"), columns[..., 2], mixed),
        "energy_formula": ("linear_particles", np.array(formula), {"units": "1 (of the loss)"}),
        "energy_bound": ("linear_particles", np.array(bounds), {"units": "1 (of the loss)"}),
    }
    coordinates = {
        "num_particles": ("num_particles", list(counts), {"units": "particles"}),
        "linear_particles": ("linear_particles", list(linear_counts), {"units": "particles"}),
        "time": ("time", times, {"units": "time"}),
        "quantity": list(QUANTITIES),
    }
    return xarray.Dataset(variables, coordinates, {"particles": PARTICLES[size], "seed": seed, "shown": SHOWN[size]})


def limit_of(comparisons: int, replicates: float = np.inf) -> float:
    """Standard errors, from so many replicates, that a true claim exceeds in one of `comparisons` by CHANCE."""
    from scipy.stats import t

    return float(t.isf(CHANCE / (2 * comparisons), replicates - 1))


def slope(row: "xarray.Dataset") -> tuple[float, float]:
    """Exponent of the error in N at one time, by weighted least squares, and its standard error."""
    x, y = np.log(row.num_particles.values), np.log(row.error.values)
    weight = (row.error / row.error_error).values ** 2
    x = x - weight @ x / weight.sum()
    return float((weight * x) @ y / (weight @ x**2)), float(1 / np.sqrt(weight @ x**2))


def shown_times(dataset: "xarray.Dataset") -> "xarray.Dataset":
    """The dataset at the times that are drawn and judged."""
    return dataset.sel(time=list(dataset.attrs["shown"]))


def draw(dataset: "xarray.Dataset") -> "Figure":
    """Errors against N, scaled errors against time, and what is exact at every N."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(13.0, 4.4))
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.15, 1))
        _draw_errors(left, dataset)
        _draw_times(middle, dataset)
        _draw_linear(right, dataset)
    return figure


def _draw_errors(axes: Any, dataset: "xarray.Dataset") -> None:
    import matplotlib

    shown, count = shown_times(dataset), dataset.num_particles.values
    shades = matplotlib.colormaps[theme.SEQUENTIAL](np.linspace(0, 0.85, shown.sizes["time"]))
    axes.loglog(count, float(dataset.independent) / count, color=theme.GREY, linewidth=1.2)
    axes.text(
        0.97, 0.97, "grey: independent draws of $q^*$", transform=axes.transAxes, color=theme.GREY, ha="right", va="top"
    )
    for i, (shade, marker) in enumerate(zip(shades, MARKERS, strict=False)):
        row = shown.isel(time=i)
        axes.loglog(count, float(row.limit) / count, color=shade)
        axes.errorbar(count, row.error, row.error_error, fmt=marker, color=shade, capsize=2,
                      label=f"t = {float(row.time):g}: slope {slope(row)[0]:.3f} ± {slope(row)[1]:.3f}")  # fmt: skip
    axes.legend(loc="lower left", fontsize=9, handletextpad=0.4)
    axes.set(xlabel="particles $N$", ylabel="mean squared error of outputs", title="tanh: slope $-1$ at every time")
    axes.set_xticks(count, [str(n) for n in count])
    axes.set_ylim(0.12 * float(shown.limit.min()) / count[-1], None)
    axes.minorticks_off()


def _draw_times(axes: Any, dataset: "xarray.Dataset") -> None:
    counts = dataset.num_particles.values
    chosen = counts[[0, len(counts) // 2, -1]]
    time, limit = dataset.time.values, dataset.limit.values
    axes.semilogy(time, limit, color=theme.INK)
    every = max(1, len(time) // 16)
    for k, (n, marker, colour) in enumerate(zip(chosen, MARKERS, theme.OKABE_ITO, strict=False)):
        row = dataset.sel(num_particles=n).isel(time=slice(k * every // 3, None, every))
        axes.errorbar(row.time, n * row.error, n * row.error_error, fmt=marker, color=colour, capsize=2,
                      label=f"N = {n}")  # fmt: skip
    axes.axhline(float(dataset.independent), color=theme.GREY, linewidth=1.2)
    axes.annotate("independent draws of $q^*$", (time[-1], float(dataset.independent)), xytext=(0, -14), ha="right",
                  textcoords="offset points", color=theme.GREY)  # fmt: skip
    axes.annotate("line: exact, $N \\to \\infty$", (time[-1], limit[-1]), xytext=(0, -28), ha="right",
                  textcoords="offset points", color=theme.INK)  # fmt: skip
    axes.legend(loc="center right", fontsize=9, handletextpad=0.4)
    axes.set(xlabel="time (steps x step size)", ylabel="$N$ x mean squared error", title="and it does not grow")
    axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.set_ylim(0.6 * limit.min(), 1.4 * float(dataset.independent))


def _draw_linear(axes: Any, dataset: "xarray.Dataset") -> None:
    counts = dataset.linear_particles.values
    for quantity, shift, marker, colour in zip(QUANTITIES, (0.85, 1.0, 1.18), MARKERS, theme.OKABE_ITO, strict=False):
        row = dataset.sel(quantity=quantity)
        axes.errorbar(counts * shift, row.linear / row.linear_exact, row.linear_error / row.linear_exact, fmt=marker,
                      color=colour, capsize=2, label=quantity)  # fmt: skip
    axes.axhline(1, color=theme.INK)
    bound = float((dataset.energy_bound / dataset.linear_exact.sel(quantity="free energy")).mean())
    axes.text(0.03, 0.95, f"Nitanda's bound of the free energy:\n{bound:.2f}, above this picture", va="top",
              transform=axes.transAxes, color=theme.OKABE_ITO[2])  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.minorticks_off()
    reach = 1.6 * float(
        (abs(dataset.linear / dataset.linear_exact - 1) + dataset.linear_error / dataset.linear_exact).max()
    )
    axes.set_ylim(1 - 1.6 * reach, 1 + 1.3 * reach)
    axes.legend(loc="lower right", fontsize=9, handletextpad=0.4)
    axes.set(xlabel="particles $N$", ylabel="measured / exact", title="linear: closed forms at every $N$")


def judge(dataset: "xarray.Dataset") -> Verdict:
    """Slopes of -1, points on the exact limit, no growth, linear clouds at their closed forms, less than iid draws."""
    shown, numbers = shown_times(dataset), {}
    slopes = [slope(shown.isel(time=i)) for i in range(shown.sizes["time"])]
    z = {
        "slope": np.array([(value + 1) / error for value, error in slopes]),
        "limit": ((shown.error * shown.num_particles - shown.limit) / (shown.error_error * shown.num_particles)).values,
        "linear": ((dataset.linear - dataset.linear_exact) / dataset.linear_error).values,
    }
    growth = (dataset.drift / dataset.drift_error).values
    scaled, scaled_error = dataset.rest * dataset.num_particles, dataset.rest_error * dataset.num_particles
    weight = (1 / scaled_error**2).values
    rest, rest_error = float(weight @ scaled.values / weight.sum()), float(weight.sum() ** -0.5)
    change = (dataset.drift * dataset.num_particles).values @ weight / weight.sum() / rest
    change_error = float(np.sqrt((((dataset.drift_error * dataset.num_particles).values * weight) ** 2).sum()))
    change_error /= weight.sum() * rest
    ratio, ratio_error = float(dataset.independent) / rest, float(dataset.independent) / rest**2 * rest_error
    energy = dataset.sel(quantity="free energy")
    room = ((energy.energy_bound - energy.linear) / energy.linear_error).values
    allowed = {name: limit_of(v.size, GROUPS if name == "linear" else np.inf) for name, v in z.items()}
    holds = all(np.abs(values).max() < allowed[name] for name, values in z.items())
    holds &= growth.max() < limit_of(growth.size) and room.min() > limit_of(room.size, GROUPS)
    holds &= bool((scaled + limit_of(len(scaled)) * scaled_error < dataset.independent).all())
    for (value, error), time in zip(slopes, shown.time.values, strict=True):
        numbers |= {f"slope at t = {time:g}": value, f"slope error at t = {time:g}": error}
    numbers |= {f"largest |z|, {name}": float(np.abs(values).max()) for name, values in z.items()}
    numbers |= {f"allowed |z|, {name}": value for name, value in allowed.items()}
    numbers |= {"largest growth, in standard errors": float(growth.max()), "N x error at rest": rest}
    numbers |= {"growth per time, of the error at rest": float(change), "growth, error": float(change_error)}
    numbers |= {"N x error at rest, error": rest_error, "N x error of independent draws": float(dataset.independent)}
    numbers |= {"independent / interacting": ratio, "independent / interacting, error": ratio_error}
    bound = float((energy.energy_bound / energy.linear).min())
    moved = float(abs(energy.linear_exact / energy.energy_formula - 1).max())
    numbers |= {"smallest bound / free energy": bound, "the step moves the free energy by": moved}
    low, high = dataset.num_particles.values[[0, -1]]
    told = ", ".join(f"{value:.3f} ± {error:.3f}" for value, error in slopes)
    sentence = (
        f"From N = {low} to {high} the squared error falls with exponents {told} at times "
        f"{', '.join(f'{t:g}' for t in shown.time.values)}, and N times it stays: {rest:.4f} ± {rest_error:.4f} at "
        f"rest, exact limit {float(dataset.limit[-1]):.4f}, no point further than {np.abs(z['limit']).max():.1f} "
        f"standard errors from it; it changes by {100 * change:.2f} ± {100 * change_error:.2f} % per "
        f"unit of time. N independent draws of q* would have {ratio:.2f} ± {ratio_error:.2f} times as much. "
        f"Linear clouds: all {z['linear'].size} ratios within {np.abs(z['linear']).max():.1f} standard errors of "
        f"exact; Nitanda's bound is {bound:.2f} times the free energy it bounds."
    )
    return Verdict(claims=(), decided=bool(holds), sentence=sentence, numbers=numbers)


STUDY = Study(
    name="propagation-of-chaos",
    part="algorithm",
    claim=(
        "N particles of MFLD differ from infinitely many by C / N in mean square, with one C for all times; the "
        "free energy of N particles lies above the optimum by at most half the neurons' variance under q*, over N."
    ),
    formula=r"\sup_t \ E\, | f_{N,t} - f_t |^2 \le \frac{C}{N}",
    source=(
        "Suzuki, Nitanda, Wu (ICLR 2023), uniform in time; Nitanda (NeurIPS 2024), the bound; the exact limit and "
        "formulas at finite N are ours"
    ),
    measure=measure,
    draw=draw,
    judge=judge,
    see=(
        "Left: points lie on lines of slope -1 at every time, far below independent draws (grey). Middle: N times the "
        "error falls to a level and stays there, the same for every N. Right: linear clouds at their closed forms."
    ),
)
