"""The mean-field objective lies between two entropies, and falls exponentially along the flow.

Claim: The objective L of mean-field Langevin at temperature T, less its least value L* = L(q*), lies between
T KL(q || q*) and T KL(q || p_q), where p_q is the Gibbs law of q's own gradient. Along the flow q_t it falls
exponentially, at least at the rate 2 alpha T, alpha a log-Sobolev constant; particles follow the flow.

Formula:
    T KL(q || q*) <= L(q) - L* <= T KL(q || p_q),      L(q_t) - L* <= exp(-2 alpha T t) (L(q_0) - L*)

Source: Nitanda, Wu, Suzuki (AISTATS 2022): the entropy sandwich, and convergence in continuous time

Figure: Left: the gap is straight on a log scale; the constants with a closed form promise far less. Right: it stays
between both entropies.

The reference is the Fokker-Planck equation of a neuron with one weight, on a grid (`grid_laws`), where the
sandwich holds to rounding. Rates, from what the flow does to what is promised, each at least the next:

    late         fall of log(L - L*) at the end; to first order the slowest mode of the flow linearised at q*
    slowest      the least over time of -d log(L - L*) / dt = T^2 I(q || p_q) / (L - L*)
    path         the least over time of T I / KL(q || p_q): the largest 2 alpha T that this path would allow
    oscillation  4 ridge exp(-oscillation / T) of Holley and Stroock, with the data potential's along the path;
    bounds       with 2 C B in its place, where |loss'| <= C and |h| <= B; and
    printed      with 4 C B

Particles cannot measure entropy, and so L: outputs and risk of `MFLD` are compared with the exact law of its steps.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array
from matplotlib.axes import Axes
from scipy.linalg import eigh

from claims import Check, Claim, Findings, Size, dataset, variables
from drawing import panels
from estimates import critical_value, mean_and_error
from grid_laws import GridRisk, fisher_on_grid, fokker_planck_flow, poincare_on_grid
from langevax.algorithm import State
from langevax.figures.theme import INK, METHODS, OKABE_ITO
from langevax.meanfield import MFLD
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run import simulate
from langevax.theory.mean_field import network_lsi, potential_lsi
from line_network import EXACT, LineNetwork, chain_laws

NETWORK = LineNetwork(
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
PARTICLES, CLOUDS = {"full": 2000, "small": 500}, {"full": 200, "small": 50}
TIMES = np.array([0.2, 0.4, 0.8, 1.6, 3.2, 6.4])
LATE = 12.0, 16.0  # times between which the late rate is measured
ROUNDING = 1e-12  # of objectives, which are of order 1
PROMISES = ("path", "oscillation", "bounds", "printed")  # constants, the sharpest first
SANDWICH = "Nitanda et al., the sandwich"


def outputs_and_risk(problem: MeanFieldRisk, state: State) -> Array:
    """Return the outputs of particles, and their risk with the ridge."""
    ridge = (
        jnp.mean(jnp.sum(state.position**2, axis=-1))
        * jnp.asarray(problem.precision, state.position.dtype)
        / 2
    )
    return jnp.append(
        problem.outputs(state.position), problem.value(state.position) + ridge
    )


def quantities(risk: GridRisk, densities: np.ndarray) -> np.ndarray:
    """Return what `outputs_and_risk` records, for laws on a grid."""
    outputs = densities @ (risk.measure * risk.values).T
    ridge = risk.ridge * densities @ (risk.measure * risk.squared_norms)
    return np.column_stack(
        [outputs, risk.loss(outputs, risk.targets).mean(axis=1) + ridge]
    )


def linearised_rate(network: LineNetwork, risk: GridRisk) -> float:
    """Rate of L - L* in the slowest mode of the flow at q*: twice the least eigenvalue of A (T + B) (derived).

    For q = q* (1 + f): d/dt (q* f) = div(q* grad(T f + sum_i loss''_i h_i <h_i, f>_{q*} / n)).
    """
    density = risk.gibbs(risk.optimal_dual())
    curvature = EXACT[network.loss].second_derivative(
        risk.outputs(density), risk.targets
    )
    dense = density > 1e-10 * density.max()  # elsewhere there is no mass to relax
    q, x, h = density[dense], risk.points[dense], risk.values[:, dense]
    mass = q * risk.measure[dense]
    conductance = np.sqrt(q[1:] * q[:-1]) / np.diff(x)
    laplacian = np.diag(np.append(conductance, 0) + np.insert(conductance, 0, 0))
    laplacian -= np.diag(conductance, 1) + np.diag(conductance, -1)
    weighted = h * mass
    middle = np.diag(len(curvature) * risk.temperature / curvature) + weighted @ h.T
    inner = np.diag(mass) - weighted.T @ np.linalg.solve(middle, weighted)
    return float(
        2
        * risk.temperature
        * eigh(laplacian, inner, eigvals_only=True, subset_by_index=[1, 1])[0]
    )


def particle_runs(
    num_particles: int, num_runs: int, step_size: float, key: jax.Array
) -> np.ndarray:
    """Return (run, time, quantity) at TIMES."""
    records = {"record": outputs_and_risk, "record_every": round(TIMES[0] / step_size)}
    chains = {
        "key": key,
        "num_steps": round(TIMES[-1] / step_size),
        "num_chains": num_runs,
    } | records
    start = NETWORK.start(num_particles)
    result = simulate(
        MFLD(step_size, NETWORK.temperature), NETWORK.risk(), start, **chains
    )
    return np.asarray(result.positions, float)[
        :, np.rint(TIMES / TIMES[0]).astype(int) - 1
    ]


def measure(size: Size, seed: int) -> xarray.Dataset:
    T, ridge, step = NETWORK.temperature, NETWORK.ridge, FLOW_STEP[size]
    risk = NETWORK.grid_risk(np.linspace(-REACH, REACH, GRID[size]))
    dual = risk.optimal_dual()
    best, optimum, start = (
        risk.dual_objective(dual),
        risk.gibbs(dual),
        NETWORK.start_density(risk),
    )
    coarse, flow = (
        fokker_planck_flow(risk, start, s, round(HORIZON / s)) for s in (2 * step, step)
    )
    gap, pairs = (
        flow.objective - best,
        [(q, risk.gibbs(g)) for q, g in zip(flow.density, flow.dual, strict=True)],
    )
    lower = T * np.array([risk.kl(q, optimum) for q in flow.density])
    upper = T * np.array([risk.kl(q, p) for q, p in pairs])
    fall = T**2 * np.array([fisher_on_grid(q, p, risk.points) for q, p in pairs])
    oscillation = max(float(np.ptp(g @ risk.values)) for g in flow.dual) / len(dual)
    falls = [
        path.objective[[np.argmin(np.abs(path.times - t)) for t in LATE]] - best
        for path in (coarse, flow)
    ]
    late = [np.log(first / last) / (LATE[1] - LATE[0]) for first, last in falls]
    rates = {
        "late": 2 * late[1] - late[0],  # without the part of first order in the step
        "linearised": linearised_rate(NETWORK, risk),
        "slowest": (fall / gap).min(),
        "2 T Poincaré of q*": 2
        * T
        * poincare_on_grid(risk.potential(dual), risk.points, T),
        "path": (fall / upper).min(),
        "oscillation": 2 * T * potential_lsi(ridge, T, oscillation),
        "bounds": 2 * T * potential_lsi(ridge, T, 2 * SLOPE_BOUND * NETWORK.scale),
        "printed": 2 * T * network_lsi(ridge, T, SLOPE_BOUND, NETWORK.scale),
    }
    coarser, chain_step = (
        NETWORK.grid_risk(np.linspace(-REACH, REACH, CHAIN_GRID[size])),
        CHAIN_STEP[size],
    )
    laws = chain_laws(
        NETWORK,
        coarser.points,
        chain_step,
        round(HORIZON / chain_step),
        fluctuations=False,
    )
    chain_gap = np.array(
        [coarser.primal_objective(np.maximum(q, 0)) for q in laws.density]
    )
    chain_gap -= coarser.dual_objective(coarser.optimal_dual())
    chain = quantities(coarser, laws.density)[np.rint(TIMES / chain_step).astype(int)]
    measured, error = mean_and_error(
        particle_runs(PARTICLES[size], CLOUDS[size], chain_step, jax.random.key(seed))
    )

    shown = np.unique(np.rint(np.linspace(0, len(flow.times) - 1, 401)).astype(int))
    paths = {
        "gap": gap,
        "lower": lower,
        "upper": upper,
        "duality_gap": flow.objective - flow.dual_objective,
    }
    output = "1 (of the output, or of the loss)"
    return dataset(
        {
            "quantity": [*(f"z{i + 1}" for i in range(len(dual))), "risk"],
            "kind": list(rates),
        }
        | {"time": (flow.times[shown], "time"), "record": (TIMES, "time")}
        | {"chain_time": (chain_step * np.arange(len(chain_gap)), "time")},
        variables(
            "time",
            "1 (of the loss)",
            **{name: path[shown] for name, path in paths.items()},
        ),
        variables("chain_time", "1 (of the loss)", chain_gap=chain_gap),
        variables("kind", "1 / time", rate=list(rates.values())),
        variables(
            "",
            "1 / time (of the late rate, by half the step of time)",
            late_error=abs(late[1] - late[0]),
        ),
        variables(
            "record quantity",
            output,
            measured=measured,
            measured_error=error,
            chain=chain,
        ),
        **{
            "num_particles": PARTICLES[size],
            "num_clouds": CLOUDS[size],
            "step_size": chain_step,
        },
    )


def draw_fall(axes: Axes, data: xarray.Dataset) -> None:
    time, gap, promised = data.time.values, data.gap.values, OKABE_ITO[1]
    labels = {
        "path": "this path",
        "oscillation": "its oscillation",
        "printed": "printed",
    }
    for (name, label), line in zip(labels.items(), ("--", "-.", ":"), strict=True):
        bound = gap[0] * np.exp(-float(data.rate.sel(kind=name)) * time)
        axes.semilogy(
            time, bound, color=promised, linestyle=line, linewidth=1.2, label=label
        )
    axes.semilogy(time, gap, color=INK, label="flow")
    label = f"law of MFLD, step {data.attrs['step_size']:g}"
    axes.semilogy(
        data.chain_time,
        data.chain_gap,
        color=METHODS["MFLD"][0],
        linestyle=":",
        linewidth=2.2,
        label=label,
    )
    axes.legend(loc="lower left")
    axes.set(xlim=(0, time[-1]), ylim=(0.1 * gap[-1], 3 * gap[0]), xlabel="time")
    axes.set(
        ylabel="$L - L^*$ (units of the loss)",
        title="The objective falls below its bounds",
    )


def draw_sandwich(axes: Axes, data: xarray.Dataset) -> None:
    time, lines = (
        data.time.values,
        (data[name].values / data.gap.values for name in ("lower", "upper")),
    )
    for line, label, style in zip(
        lines, ("q\\,||\\,q^*", "q\\,||\\,p_q"), ("--", "-."), strict=True
    ):
        axes.plot(
            time,
            line,
            color=OKABE_ITO[0],
            linestyle=style,
            label=f"$T\\,$KL$({label})$",
        )
    axes.axhline(1, color=INK, label="$L - L^*$")
    axes.legend()
    axes.set(
        xlim=(0, time[-1]),
        xlabel="time",
        ylabel="relative to $L - L^*$",
        title="It lies between two entropies",
    )


def judge(data: xarray.Dataset) -> Findings:
    gap, lower, upper = (data[name].values for name in ("gap", "lower", "upper"))
    rate = dict(zip(data.kind.values.tolist(), data.rate.values.tolist(), strict=True))
    error = float(data.late_error)
    promised = np.array(
        [np.exp(-rate[name] * data.time.values) * gap[0] for name in PROMISES]
    )
    order = np.array(
        [rate["late"] + error, rate["slowest"], *(rate[name] for name in PROMISES)]
    )
    poincare = rate["2 T Poincaré of q*"]
    ratios = [
        *(order[:-1] / order[1:]),
        poincare / rate["oscillation"],
        order[0] / poincare,
    ]
    z = ((data.measured - data.chain) / data.measured_error).values

    yield Check.at_most(
        "T KL(q || q*) over L - L*, the most of all times",
        SANDWICH,
        (lower / gap).max(),
        1,
    )
    yield Check.at_least(
        "T KL(q || p_q) over L - L*, the least of all times",
        SANDWICH,
        (upper / gap).min(),
        1,
    )
    statement, unit = (
        "duality gap less T KL(q || p_q), the farthest from nothing",
        "units of the loss",
    )
    off = np.abs(data.duality_gap.values - upper).max()
    yield Check.at_most(statement, "an identity of both", off, 0, ROUNDING, unit)
    source, late = "slowest mode of the flow linearised at q*", (rate["late"], error)
    yield Check.equals(
        "rate of L - L* at late times",
        source,
        late,
        rate["linearised"],
        error,
        "1 / time",
    )
    statement = "L - L* over what each constant promises, the most after the start"
    yield Check.at_most(
        statement,
        "Nitanda et al.; Holley and Stroock",
        (gap / promised)[:, 1:].max(),
        1,
    )
    statement = "each rate over the next that its proof rests on, the least"
    yield Check.at_least(statement, "log-Sobolev inequalities", np.min(ratios), 1)
    statement = f"{z.size} outputs and risks of clouds: the farthest from their law"
    limit = critical_value(z.size, data.attrs["num_clouds"])
    yield Check.all_within(statement, "exact law of the same steps", z, limit)

    yield "T KL(q || q*) over L - L*, the least", (lower / gap).min()
    yield "T KL(q || p_q) over L - L*, the most", (upper / gap).max()
    for kind in ("2 T Poincaré of q*", *PROMISES[1:]):
        yield f"rate of L - L*, {kind}", rate[kind]


CLAIM = Claim(
    __file__, __doc__, measure, panels((10.0, 4.6), 1, draw_fall, draw_sandwich), judge
)

if __name__ == "__main__":
    CLAIM.main()
