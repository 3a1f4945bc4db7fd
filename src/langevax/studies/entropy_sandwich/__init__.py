"""The mean-field objective between two entropies, and the exponential rate at which it falls.

Nitanda, Wu, Suzuki (AISTATS 2022): T the temperature, p_q the proximal Gibbs law of q, q* the optimum, L* = L(q*),

    T KL(q || q*)  <=  L(q) - L*  <=  T KL(q || p_q),        L(q_t) - L*  <=  exp(-2 alpha T t) (L(q_0) - L*)

along the flow, alpha a log-Sobolev constant of all p_q. Held against the Fokker-Planck equation of a neuron with one
weight, on a grid (`theory.mean_field_flows`), where the sandwich holds to rounding whatever the spacing. Rates, from
what the flow does to what is promised; each is at least the next that its proof rests on:

    late            the fall of log(L - L*) at the end; to first order the slowest mode of the flow linearised at q*
    slowest         the least over time of -d log(L - L*) / dt = T^2 I(q || p_q) / (L - L*)
    path            the least over time of T I / KL(q || p_q): the largest 2 alpha T that this path would allow
    Holley-Stroock  4 ridge exp(-oscillation / T), with the data potential's oscillation along the path; at most 2 C B,
                    where |loss'| <= C and |h| <= B; and 4 C B, as printed

Beside them `MFLD` itself: outputs and risk of clouds, held against the exact law of infinitely many particles at the
same step, which itself is off the flow by what one step is off. Entropy, and so L, no cloud can measure; the law can.
"""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from langevax.meanfield import MFLD
from langevax.run import simulate
from langevax.studies.entropy_sandwich.figure import draw
from langevax.studies.entropy_sandwich.verdict import judge
from langevax.studies.line_network import LineNetwork, chain_laws, linearised_rate, look_of, quantities
from langevax.studies.study import Config, Study
from langevax.theory.grid import poincare_on_grid
from langevax.theory.mean_field import network_lsi, potential_lsi
from langevax.theory.mean_field_paths import GridFlow, fisher_on_grid, fokker_planck_flow

if TYPE_CHECKING:
    import xarray

NETWORK = LineNetwork(
    slopes=(2.0, 1.5, -1.0, -2.0, 1.0, -1.5), shifts=(-1.0, 0.8, -1.2, 0.5, 0.2, 1.0),
    targets=(1.0, 1.0, -1.0, 1.0, -1.0, -1.0), scale=1.0, ridge=0.2, temperature=0.2, loss="logistic",
    start_mean=-1.5, start_deviation=0.3,
)  # fmt: skip
SLOPE_BOUND = 1.0  # of the logistic loss
HORIZON = 16.0
GRID, FLOW_STEP = {"full": 801, "small": 401}, {"full": 0.01, "small": 0.02}
REACH = 4.5  # of the grid, 6 standard deviations of the prior
CHAIN_GRID, CHAIN_STEP = {"full": 201, "small": 141}, {"full": 0.02, "small": 0.04}
NUM_PARTICLES, NUM_CLOUDS = {"full": 2000, "small": 500}, {"full": 200, "small": 50}
LOOKS = np.array([0.2, 0.4, 0.8, 1.6, 3.2, 6.4])
LATE = 12.0, 16.0  # times between which the late rate is measured


def clouds(num_particles: int, num_clouds: int, step_size: float, key: Any) -> np.ndarray:
    """(cloud, look, quantity) at LOOKS."""
    every = round(LOOKS[0] / step_size)
    result = simulate(
        MFLD(step_size=step_size, temperature=NETWORK.temperature), NETWORK.risk(), NETWORK.start(num_particles),
        key=key, num_steps=round(LOOKS[-1] / step_size), num_chains=num_clouds, record=look_of, record_every=every,
        progress=False,
    )  # fmt: skip
    return np.asarray(result.positions, float)[:, np.rint(LOOKS / LOOKS[0]).astype(int) - 1]


def late_rate(flow: GridFlow, best: float) -> float:
    """Fall of log(L - L*) per time between the two times of LATE."""
    first, last = (flow.objective[np.argmin(np.abs(flow.times - t))] - best for t in LATE)
    return float(np.log(first / last) / (LATE[1] - LATE[0]))


def measure(config: Config, progress: bool | None = None) -> "xarray.Dataset":
    """The flow at two steps of time, all rates, the exact law of MFLD's steps, and clouds of it."""
    import xarray
    from tqdm import tqdm

    size, seed = config.size, config.seed
    bar = tqdm(total=4, desc="entropy-sandwich", disable=None if progress is None else not progress)
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
    each = clouds(NUM_PARTICLES[size], NUM_CLOUDS[size], chain_step, jax.random.key(seed))
    bar.update()
    bar.close()
    shown = np.unique(np.rint(np.linspace(0, len(flow.times) - 1, 401)).astype(int))
    shown_flow = quantities(risk, flow.density)
    at = np.rint(LOOKS / step).astype(int)
    extrapolated = 2 * shown_flow[at] - quantities(risk, coarse.density)[np.rint(LOOKS / (2 * step)).astype(int)]
    loss, one = {"units": "1 (of the loss)"}, {"units": "1 (of the output, or of the loss)"}
    look, rate = ("look", "quantity"), {"units": "1 / time"}
    variables = {
        "gap": ("time", gap[shown], loss),
        "lower": ("time", lower[shown], loss),
        "upper": ("time", upper[shown], loss),
        "duality_gap": ("time", (flow.objective - flow.dual_objective)[shown], loss),
        "flow": (("time", "quantity"), shown_flow[shown], one),
        "chain_gap": ("chain_time", chain_gap, loss),
        "rate": ("kind", list(rates.values()), rate),
        "late_error": ((), abs(late[1] - late[0]), rate | {"long_name": "of the late rate, by half the step of time"}),
        "measured": (look, each.mean(axis=0), one),
        "measured_error": (look, each.std(axis=0, ddof=1) / np.sqrt(len(each)), one),
        "chain": (look, quantities(coarser, laws.density)[np.rint(LOOKS / chain_step).astype(int)], one),
        "flow_at_looks": (look, extrapolated, one),
    }
    units = {"units": "time"}
    coordinates = {
        "time": ("time", flow.times[shown], units),
        "chain_time": ("chain_time", chain_step * np.arange(len(chain_gap)), units),
        "look": ("look", LOOKS, units),
        "quantity": [*(f"z{i + 1}" for i in range(len(dual))), "risk"],
        "kind": list(rates),
    }
    attributes = {"num_particles": NUM_PARTICLES[size], "num_clouds": NUM_CLOUDS[size], "seed": seed}
    return xarray.Dataset(variables, coordinates, attributes | {"step_size": chain_step, "flow_step": step})


STUDY = Study(
    name="entropy-sandwich",
    part="problem",
    brief="The gap to the optimum lies between two entropies.",
    claim=(
        "The objective L of mean-field Langevin at temperature T, less its least value L* = L(q*), lies between "
        "T KL(q || q*) and T KL(q || p_q), where p_q is the Gibbs law that q's own gradient has. Along the flow q_t it "
        "falls exponentially, at least at the rate 2 alpha T, alpha a log-Sobolev constant; particles follow the flow."
    ),
    formula=r"T\, \text{KL}(q \| q^*) \le L(q) - L^* \le T\, \text{KL}(q \| p_q), "
    r"\qquad L(q_t) - L^* \le e^{-2 \alpha T t} \left(L(q_0) - L^*\right)",
    source="Nitanda, Wu, Suzuki (AISTATS 2022): the entropy sandwich, and convergence in continuous time",
    measure=measure,
    draw=draw,
    judge=judge,
    see=(
        "Above: the gap is straight on a log scale and stays between both entropies. Below, left: the constants that "
        "can be had in closed form promise far less than the flow does; right: clouds lie on the flow, to their error."
    ),
)
