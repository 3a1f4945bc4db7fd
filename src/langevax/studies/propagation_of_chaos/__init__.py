"""N particles stand for infinitely many with an error of C / N in mean square, at all times at once.

Suzuki, Nitanda, Wu (ICLR 2023): the error of N-particle MFLD is of order 1/N uniformly in time. Nitanda (NeurIPS 2024):
(1/N) inf L^N - L* <= (1/N) 1/2 sup loss'' (1/n) sum_i Var_{q*}(h_i), L^N the free energy of N particles.

tanh (`line_network`), squared loss, from the prior: the error is E (1/n) sum_i (z_i^N(t) - z_i(t))^2, z(t) that of the
exact law of the same steps on a grid, so that no error of the step is in it; lines are the exact limit of N times it.
Particles interact through the loss, which damps what chance does to them: N independent draws of q* are much worse.
linear (`linear_clouds`): outputs, spread and free energy in closed form at every N.

Limits of error bars are those of normal or Student laws, shared over the comparisons of a kind (`chance.py`). The exact
line is one of large N: no term for its correction, of relative order 1/N, is allowed for; from N = 32 on none was seen,
within 1 %. That half the neurons' variance bounds the free energy is held against linear neurons only.
"""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from langevax.meanfield import MFLD
from langevax.run import simulate
from langevax.studies.line_network import LineNetwork, chain_laws
from langevax.studies.linear_clouds import QUANTITIES, RIDGE, TEMPERATURE, linear_point, regression
from langevax.studies.propagation_of_chaos.figure import draw
from langevax.studies.propagation_of_chaos.motion import move, moved
from langevax.studies.propagation_of_chaos.verdict import judge
from langevax.studies.study import Config, Study
from langevax.theory.mean_field import finite_particle_gap, finite_particle_gap_bound

if TYPE_CHECKING:
    import xarray

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
    seen = moved(seed, jax.random.fold_in(jax.random.key(seed), len(keys)))
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
        **seen,
    }
    coordinates = {
        "num_particles": ("num_particles", list(counts), {"units": "particles"}),
        "linear_particles": ("linear_particles", list(linear_counts), {"units": "particles"}),
        "time": ("time", times, {"units": "time"}),
        "quantity": list(QUANTITIES),
    }
    return xarray.Dataset(variables, coordinates, {"particles": PARTICLES[size], "seed": seed, "shown": SHOWN[size]})


STUDY = Study(
    name="propagation-of-chaos",
    part="problem",
    brief="N particles are off by C/N, at all times.",
    claim=(
        "The outputs f of N particles of MFLD differ from those of infinitely many by C / N in mean square, with one C "
        "for all times t; the free energy L^N of N particles lies above the optimum L* by at most half the neurons' "
        "variance under the optimal law q*, over N."
    ),
    formula=r"\sup_t \, E\, |f_t^N - f_t|^2 \le \frac{C}{N}, \qquad \frac{1}{N} \min L^N - L^* \le \frac{1}{2 N}\, "
    r"\text{Var}_{q^*}(h)",
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
    move=move,
)
