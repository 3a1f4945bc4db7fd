"""The mean-field objective lies between two entropies, and falls exponentially along the flow.

Claim: The objective L of mean-field Langevin at temperature T, less its least value L* = L(q*), lies between
T KL(q || q*) and T KL(q || p_q), where p_q is the Gibbs law of q's own gradient. Along the flow q_t it falls
exponentially, at least at the rate 2 alpha T, alpha a log-Sobolev constant; particles follow the flow.

Formula:
    T KL(q || q*) <= L(q) - L* <= T KL(q || p_q),      L(q_t) - L* <= exp(-2 alpha T t) (L(q_0) - L*)

Source: Nitanda, Wu, Suzuki (AISTATS 2022): the entropy sandwich, and convergence in continuous time

Figure: Above: the gap is straight on a log scale and stays between both entropies. Below, left: the constants with a
closed form promise far less than the flow achieves; right: particles lie on the flow within their errors.

The reference is the Fokker-Planck equation of a neuron with one weight, on a grid (`mean_field_paths`), where
the sandwich holds to rounding at any spacing. Rates, from what the flow does to what is promised; each is at least the
next one that its proof rests on:

    late            fall of log(L - L*) at the end; to first order the slowest mode of the flow linearised at q*
    slowest         the least over time of -d log(L - L*) / dt = T^2 I(q || p_q) / (L - L*)
    path            the least over time of T I / KL(q || p_q): the largest 2 alpha T that this path would allow
    Holley-Stroock  4 ridge exp(-oscillation / T), with the data potential's oscillation along the path; at most 2 C B,
                    where |loss'| <= C and |h| <= B; and 4 C B, as printed

Beside them `MFLD` itself: outputs and risk of particles, compared with the exact law of infinitely many particles at
the same step, which differs from the flow by the error of the step. Particles cannot measure entropy, and so L.
"""

import jax
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from claims import Check, Claim, Size, Verdict, critical_value
from grid_laws import poincare_on_grid
from langevax.figures.theme import INK, METHODS, OKABE_ITO
from langevax.meanfield import MFLD
from langevax.run import simulate
from langevax.theory.mean_field import network_lsi, potential_lsi
from line_network import LineNetwork, chain_laws, linearised_rate, outputs_and_risk, quantities
from mean_field_paths import GridFlow, fisher_on_grid, fokker_planck_flow

NETWORK = LineNetwork(
    slopes=(2.0, 1.5, -1.0, -2.0, 1.0, -1.5),
    shifts=(-1.0, 0.8, -1.2, 0.5, 0.2, 1.0),
    targets=(1.0, 1.0, -1.0, 1.0, -1.0, -1.0),
    scale=1.0,
    ridge=0.2,
    temperature=0.2,
    loss="logistic",
    start_mean=-1.5,
    start_deviation=0.3,
)
SLOPE_BOUND = 1.0  # of the logistic loss
HORIZON = 16.0
GRID, FLOW_STEP = {"full": 801, "small": 401}, {"full": 0.01, "small": 0.02}
REACH = 4.5  # of the grid, 6 standard deviations of the prior
CHAIN_GRID, CHAIN_STEP = {"full": 201, "small": 141}, {"full": 0.02, "small": 0.04}
NUM_PARTICLES, NUM_RUNS = {"full": 2000, "small": 500}, {"full": 200, "small": 50}
TIMES = np.array([0.2, 0.4, 0.8, 1.6, 3.2, 6.4])
LATE = 12.0, 16.0  # times between which the late rate is measured


def particle_runs(num_particles: int, num_runs: int, step_size: float, key: jax.Array) -> np.ndarray:
    """Return (run, time, quantity) at TIMES."""
    every = round(TIMES[0] / step_size)
    result = simulate(
        MFLD(step_size=step_size, temperature=NETWORK.temperature),
        NETWORK.risk(),
        NETWORK.start(num_particles),
        key=key,
        num_steps=round(TIMES[-1] / step_size),
        num_chains=num_runs,
        record=outputs_and_risk,
        record_every=every,
    )
    return np.asarray(result.positions, float)[:, np.rint(TIMES / TIMES[0]).astype(int) - 1]


def late_rate(flow: GridFlow, best: float) -> float:
    """Fall of log(L - L*) per time between the two times of LATE."""
    first, last = (flow.objective[np.argmin(np.abs(flow.times - t))] - best for t in LATE)
    return float(np.log(first / last) / (LATE[1] - LATE[0]))


def measure(size: Size, seed: int) -> xarray.Dataset:
    """The flow at two steps of time, all rates, the exact law of MFLD's steps, and clouds of it."""
    bar = tqdm(total=4, desc="entropy-sandwich", disable=None)
    T, ridge = NETWORK.temperature, NETWORK.ridge
    risk = NETWORK.grid_risk(np.linspace(-REACH, REACH, GRID[size]))
    dual = risk.optimal_dual()
    best, optimum = risk.dual_objective(dual), risk.gibbs(dual)
    start, step = NETWORK.start_density(risk), FLOW_STEP[size]
    coarse, flow = (fokker_planck_flow(risk, start, s, round(HORIZON / s)) for s in (2 * step, step))
    bar.update()
    gap = flow.objective - best
    proximal = [risk.gibbs(g) for g in flow.dual]
    lower = T * np.array([risk.kl(q, optimum) for q in flow.density])
    upper = T * np.array([risk.kl(q, p) for q, p in zip(flow.density, proximal, strict=True)])
    fall = T**2 * np.array([fisher_on_grid(q, p, risk.points) for q, p in zip(flow.density, proximal, strict=True)])
    oscillation = max(float(np.ptp(g @ risk.values)) for g in flow.dual) / len(dual)
    late = late_rate(coarse, best), late_rate(flow, best)
    rates = {
        "late": 2 * late[1] - late[0],  # without the part of first order in the step
        "linearised": linearised_rate(NETWORK, risk),
        "slowest": float((fall / gap).min()),
        "poincare": 2 * T * poincare_on_grid(risk.potential(dual), risk.points, T),
        "path": float((fall / upper).min()),
        "oscillation": 2 * T * potential_lsi(ridge, T, oscillation),
        "bounds": 2 * T * potential_lsi(ridge, T, 2 * SLOPE_BOUND * NETWORK.scale),
        "printed": 2 * T * network_lsi(ridge, T, SLOPE_BOUND, NETWORK.scale),
    }
    bar.update()
    coarser, chain_step = NETWORK.grid_risk(np.linspace(-REACH, REACH, CHAIN_GRID[size])), CHAIN_STEP[size]
    laws = chain_laws(NETWORK, coarser.points, chain_step, round(HORIZON / chain_step), fluctuations=False)
    chain_gap = np.array([coarser.primal_objective(np.maximum(q, 0)) for q in laws.density])
    chain_gap -= coarser.dual_objective(coarser.optimal_dual())
    bar.update()
    runs = particle_runs(NUM_PARTICLES[size], NUM_RUNS[size], chain_step, jax.random.key(seed))
    bar.update()
    bar.close()
    shown = np.unique(np.rint(np.linspace(0, len(flow.times) - 1, 401)).astype(int))
    shown_flow = quantities(risk, flow.density)
    at = np.rint(TIMES / step).astype(int)
    extrapolated = 2 * shown_flow[at] - quantities(risk, coarse.density)[np.rint(TIMES / (2 * step)).astype(int)]
    loss, one = {"units": "1 (of the loss)"}, {"units": "1 (of the output, or of the loss)"}
    at_time, rate = ("look", "quantity"), {"units": "1 / time"}
    variables = {
        "gap": ("time", gap[shown], loss),
        "lower": ("time", lower[shown], loss),
        "upper": ("time", upper[shown], loss),
        "duality_gap": ("time", (flow.objective - flow.dual_objective)[shown], loss),
        "flow": (("time", "quantity"), shown_flow[shown], one),
        "chain_gap": ("chain_time", chain_gap, loss),
        "rate": ("kind", list(rates.values()), rate),
        "late_error": ((), abs(late[1] - late[0]), rate | {"long_name": "of the late rate, by half the step of time"}),
        "measured": (at_time, runs.mean(axis=0), one),
        "measured_error": (at_time, runs.std(axis=0, ddof=1) / np.sqrt(len(runs)), one),
        "chain": (at_time, quantities(coarser, laws.density)[np.rint(TIMES / chain_step).astype(int)], one),
        "flow_at_looks": (at_time, extrapolated, one),
    }
    units = {"units": "time"}
    coordinates = {
        "time": ("time", flow.times[shown], units),
        "chain_time": ("chain_time", chain_step * np.arange(len(chain_gap)), units),
        "look": ("look", TIMES, units),
        "quantity": [*(f"z{i + 1}" for i in range(len(dual))), "risk"],
        "kind": list(rates),
    }
    attributes = {"num_particles": NUM_PARTICLES[size], "num_clouds": NUM_RUNS[size], "seed": seed}
    return xarray.Dataset(variables, coordinates, attributes | {"step_size": chain_step, "flow_step": step})


# ---- draw

RATES = {  # a label, and a marker: of what is measured, exact, or promised
    "late": ("late", "o"),
    "linearised": ("linearised at $q^*$", "|"),
    "slowest": ("slowest of all times", "o"),
    "poincare": ("$2T$ x Poincaré of $q^*$", "|"),
    "path": ("$2\\alpha T$ of this path", "<"),
    "oscillation": ("$2\\alpha T$, its oscillation", "<"),
    "bounds": ("$2\\alpha T$, oscillation $2CB$", "<"),
    "printed": ("$2\\alpha T$ as printed, $4CB$", "<"),
}


def draw(data: xarray.Dataset) -> Figure:
    """The fall, the sandwich relative to it, all rates, and clouds on the flow."""
    figure = Figure(figsize=(11.0, 8.6))
    grid = figure.add_gridspec(3, 2, height_ratios=(3, 1.9, 1.5))
    draw_fall(figure.add_subplot(grid[0, 0]), data)
    draw_sandwich(figure.add_subplot(grid[0, 1]), data)
    draw_rates(figure.add_subplot(grid[1:, 0]), data)
    draw_particles(figure.add_subplot(grid[1, 1]), figure.add_subplot(grid[2, 1]), data)
    return figure


def draw_fall(axes: Axes, data: xarray.Dataset) -> None:
    time, gap = data.time.values, data.gap.values
    names = {"path": "this path", "oscillation": "its oscillation", "printed": "as printed"}
    for name, label in names.items():
        bound = gap[0] * np.exp(-float(data.rate.sel(kind=name)) * time)
        axes.semilogy(time, bound, color=OKABE_ITO[1], linestyle="--", linewidth=1.2, label=f"promised, {label}")
        axes.annotate(
            label,
            (time[-1], bound[-1]),
            xytext=(5, -8 if name == "oscillation" else 3),
            va="center",
            textcoords="offset points",
            color=OKABE_ITO[1],
            annotation_clip=False,
        )
        if name == "path":
            axes.fill_between(time, bound, 3 * gap[0], color=OKABE_ITO[1], alpha=0.1, linewidth=0)
    axes.semilogy(time, gap, color=INK, label="flow")
    axes.annotate(
        "flow", (time[-1], gap[-1]), xytext=(5, 0), textcoords="offset points", va="center", annotation_clip=False
    )
    colour = METHODS["MFLD"][0]
    axes.semilogy(data.chain_time, data.chain_gap, color=colour, linestyle=":", linewidth=2.2, label="law of MFLD")
    axes.text(
        0.04,
        0.06,
        f"dotted: the law of MFLD at step {data.attrs['step_size']:g}",
        color=colour,
        transform=axes.transAxes,
    )
    axes.set(
        xlabel="time",
        ylabel="$L - L^*$ (units of the loss)",
        title="The objective falls; dashed: bounds",
        xlim=(0, time[-1]),
        ylim=(0.1 * gap[-1], 3 * gap[0]),
    )


def draw_sandwich(axes: Axes, data: xarray.Dataset) -> None:
    time, gap = data.time.values, data.gap.values
    lower, upper = data.lower.values / gap, data.upper.values / gap
    edge = (0.8 * lower.min(), 1.15 * upper.max())
    for line, limit, label, side in (
        (upper, edge[1], "$T\\,$KL$(q\\,||\\,p_q)$", 10),
        (lower, edge[0], "$T\\,$KL$(q\\,||\\,q^*)$", -10),
    ):
        axes.plot(time, line, color=OKABE_ITO[0], linestyle="--")
        axes.fill_between(time, line, limit, color=OKABE_ITO[0], alpha=0.1, linewidth=0)
        axes.annotate(
            label,
            (time[-1] / 2, line[len(line) // 2]),
            xytext=(0, side),
            textcoords="offset points",
            color=OKABE_ITO[0],
            ha="center",
            va="center",
        )
    axes.axhline(1, color=INK)
    axes.annotate("$L - L^*$", (time[-1] / 2, 1), xytext=(0, 8), textcoords="offset points", ha="center", va="center")
    axes.set(
        xlabel="time",
        ylabel="relative to $L - L^*$",
        title="It lies between two entropies",
        xlim=(0, time[-1]),
        ylim=edge,
    )


def draw_rates(axes: Axes, data: xarray.Dataset) -> None:
    colours = {"o": INK, "|": INK, "<": OKABE_ITO[1]}
    for row, (name, (_, marker)) in enumerate(RATES.items()):
        value = float(data.rate.sel(kind=name))
        axes.plot(value, row, marker, color=colours[marker], markersize=9 if marker == "|" else 6, markeredgewidth=1.8)
        axes.annotate(f"{value:.3g}", (value, row), xytext=(10, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(RATES)), [label for label, _ in RATES.values()])
    axes.set(
        xscale="log",
        ylim=(len(RATES) - 0.5, -0.5),
        xlabel="rate of $L - L^*$ (1 / time)",
        xlim=(0.2 * float(data.rate.min()), 60),
        title="Rates: ● measured,  | exact,  ◀ promised",
    )


def draw_particles(above: Axes, below: Axes, data: xarray.Dataset) -> None:
    chosen = ("z2", "z4", "z1", "z3", "risk")
    for name, colour, mark in zip(chosen, OKABE_ITO, "s^oDv", strict=False):
        row = data.sel(quantity=name)
        time, look = data.time.values[1:], data.look.values
        above.plot(time, row.flow.values[1:], color=colour, label=f"{name} of the flow")
        dots = {"fmt": mark, "color": colour, "capsize": 2, "label": f"{name} of clouds"}
        above.errorbar(look, row.measured, row.measured_error, **dots)
        label = "risk" if name == "risk" else f"${name[0]}_{name[1]}$"
        above.annotate(
            label,
            (time[-1], row.flow.values[-1]),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            annotation_clip=False,
        )
        shift = 1.04 ** (chosen.index(name) - 2)
        below.errorbar(look * shift, 1e3 * (row.measured - row.flow_at_looks), 1e3 * row.measured_error, **dots)
    below.axhline(0, color=INK)
    above.set(ylabel="outputs, risk", title="{num_clouds} runs of {num_particles} MFLD particles".format(**data.attrs))
    below.set(ylabel="off flow, $10^{-3}$", title="Particles less the flow")
    for axes in (above, below):
        axes.set(xscale="log", xlim=(data.look.values[0] / 1.5, data.time.values[-1]), xlabel="time")
        axes.set_xticks([0.2, 0.5, 1, 2, 5, 10], ["0.2", "0.5", "1", "2", "5", "10"])
        axes.minorticks_off()


# ---- judge

ROUNDING = 1e-12  # of objectives, which are of order 1
PROMISES = ("path", "oscillation", "bounds", "printed")  # constants, the sharpest first
PAPER, LOSS, RATE = "Nitanda et al.", "units of the loss", "1 / time"


def judge(data: xarray.Dataset) -> Verdict:
    """Entropies on their sides, the fall below its bounds, rates in order, the late one exact, clouds on the law."""
    gap, lower, upper, time = (data[name].values for name in ("gap", "lower", "upper", "time"))
    rate = {str(kind): float(data.rate.sel(kind=kind)) for kind in data.kind.values}
    error = float(data.late_error)
    promised = np.array([np.exp(-rate[name] * time) * gap[0] for name in PROMISES])
    order = np.array([rate["late"] + error, rate["slowest"], *(rate[name] for name in PROMISES)])
    ratios = [*(order[:-1] / order[1:]), rate["poincare"] / rate["oscillation"], order[0] / rate["poincare"]]
    z = ((data.measured - data.chain) / data.measured_error).values
    off = float(np.abs(data.chain - data.flow_at_looks).max())
    checks = (
        Check(
            "T KL(q || q*) over L - L*, the most of all times",
            f"{PAPER}, the sandwich",
            float((lower / gap).max()),
            1.0,
            0.0,
            "at most",
        ),
        Check(
            "T KL(q || p_q) over L - L*, the least of all times",
            f"{PAPER}, the sandwich",
            float((upper / gap).min()),
            1.0,
            0.0,
            "at least",
        ),
        Check(
            "duality gap less T KL(q || p_q), the farthest from nothing",
            "an identity of both",
            float(np.abs(data.duality_gap.values - upper).max()),
            0.0,
            ROUNDING,
            "at most",
            unit=LOSS,
        ),
        Check(
            "rate of L - L* at late times",
            "slowest mode of the flow linearised at q*",
            rate["late"],
            rate["linearised"],
            error,
            error=error,
            unit=RATE,
        ),
        Check(
            "slowest rate of L - L* on the way, against the path's 2 alpha T",
            f"{PAPER}, convergence",
            rate["slowest"],
            rate["path"],
            0.0,
            "at least",
            unit=RATE,
        ),
        Check(
            "L - L* over what each constant promises, the most after the start",
            f"{PAPER}; Holley and Stroock",
            float((gap / promised)[:, 1:].max()),
            1.0,
            0.0,
            "at most",
        ),
        Check(
            "each rate over the next that its proof rests on, the least",
            "log-Sobolev inequalities",
            float(np.min(ratios)),
            1.0,
            0.0,
            "at least",
        ),
        Check(
            f"{z.size} outputs and risks of clouds: the farthest from their law",
            "exact law of the same steps",
            float(np.abs(z).max()),
            0.0,
            critical_value(z.size, data.attrs["num_clouds"]),
            "at most",
            unit="standard errors",
        ),
    )
    numbers = {f"rate, {name}": rate[name] for name in ("poincare", "oscillation", "bounds", "printed")}
    numbers |= {
        "largest (L - L*) / lower": float((gap / lower).max()),
        "largest upper / (L - L*)": float((upper / gap).max()),
    }
    numbers |= {"comparisons": float(z.size), "mean z^2": float(np.mean(z**2))}
    numbers |= {"the step moves outputs and risk by": off, "largest error bar": float(data.measured_error.max())}
    worse = {name: rate["late"] / rate[name] for name in PROMISES}
    summary = (
        f"L - L* lies between T KL(q || q*), at least {(lower / gap).min():.2f} of it, and T KL(q || p_q), at most "
        f"{(upper / gap).max():.2f} of it, at all {len(time)} times; it falls at last at rate {rate['late']:.4f} ± "
        f"{error:.4f}, linearised {rate['linearised']:.4f}. The best constant of this path would promise "
        f"{rate['path']:.2f}; Holley and Stroock's with its oscillation promises {worse['oscillation']:.0f} times less "
        f"than there is, with the oscillation's bound {worse['bounds']:.1g}, as printed {worse['printed']:.1g}. "
        f"Clouds of MFLD: {z.size} outputs and risks within {np.abs(z).max():.1f} standard errors of the exact law at "
        f"the same step, which lies within {off:.1g} of the flow's."
    )
    return Verdict(checks, summary, numbers)


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
