"""Networks that read curves reach the same certified optimum at any number of modes, at a cost in proportion to it.

Claim: Networks on curves, with weights of a trace-class Gaussian prior, are trained to the same certified optimum at
any number of modes K: dual value, acceptance of pCNL and passes stay, a pass costs in proportion to it, where explicit
Euler and MALA break down.

Formula:
    f_q(x) = int tanh(<theta, x>) q(dtheta),    min_q L(f_q) + T KL(q | N(0, C)) = max_g D(g)  for any K

Source: Nishikawa, Suzuki, Nitanda, Wu (NeurIPS 2022), PDA and P-SDCA in infinite dimensions; Cotter, Roberts, Stuart,
White (Statistical Science 2013), pCNL.

Figure: Left: dual values on one level within their errors at every number of modes. Right: pCNL is accepted alike at
all of them while both kinds of MALA stop moving.

A curve is x = sum_k x_k f_k in an orthonormal basis, a weight theta = sum_k theta_k f_k, so that K modes of both are
what a grid that resolves K modes would see; all K see the same 60 curves. Neurons are tanh(<theta, x> + b) with theta ~
N(0, diag(k^-2)). Dual values and gaps are estimated by walks from the prior, which hold if those met all
modes. The seconds of proposals are those of the machine, and not judged.
"""

import timeit
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes

from claims import Check, Claim, Findings, Size, dataset, sweep, variables
from drawing import note, panels, points, ticks
from estimates import critical_value, exponent, mean_and_error
from langevax.algorithm import Algorithm
from langevax.figures import theme
from langevax.integrators import Explicit, SemiImplicit
from langevax.log_weights import systematic
from langevax.meanfield import MFLD, PDA, PSDCA, duality_gap
from langevax.meanfield.clouds import Clouds
from langevax.meanfield.gibbs_law import GibbsLaw
from langevax.meanfield.moves import prior_shares
from langevax.meanfield.walks import plan_along, walk
from langevax.problems import losses, neurons
from langevax.problems.coordinates import affine
from langevax.problems.mean_field import MeanFieldRisk
from langevax.problems.problem import Problem
from langevax.run import DivergenceError, simulate
from langevax.samplers import MALA, PCNL, MALAState, PCNLState
from line_network import dual_of

NUM_CURVES, MOST_MODES, TEMPERATURE = 60, 1024, 0.03
DECAY = 2.0  # variances of weights c_k = k^-2; curves x_k of size k^-2, whose second derivative is square integrable
STEP_SIZE = 0.5  # of the schemes for functions
PASSES, MOVES = 20, 8  # of P-SDCA, each of NUM_CURVES steps, and of its refreshes
PROPOSAL = 0.5  # step of pCNL and of MALA with own steps, in each coordinate's own unit
MALA_STEP = 0.02  # of MALA with one for all, that of a unit variance
ASCENT = "P-SDCA, pCNL"
BLUE = theme.OKABE_ITO[0]
PROPOSALS = {
    "pCNL": (BLUE, "o:"),
    "MALA, own steps": (theme.GREY, "x:"),
    "MALA, one step": (theme.OKABE_ITO[3], "v:"),
}
QUANTITIES = {
    "dual_value": "bound",
    "dual_value_error": "bound_error",
    "gap": "gap",
    "gap_error": "gap_error",
}
BELOW, ABOVE = 0.95, 1.05  # of explicit Euler's limit
HUGE = (
    100  # times the prior's scale: MFLD by explicit Euler that stays below it settles
)
MOST_LAWS = 50  # lengths of walks beyond which a gap counts as infinite
FLAT = 0.05  # by how much an acceptance that is flat may differ between numbers of modes, beyond its errors
CLOSED = 0.02  # of what training gains: the largest gap that counts as closed
PARTICLES = 1000  # of clouds


class Settings(NamedTuple):
    modes: tuple[int, ...]
    few_modes: tuple[int, ...]  # of the methods beside P-SDCA
    euler_modes: tuple[int, ...]
    ascent_particles: int
    steps: int  # passes of MFLD, and of the inner loops of PDA
    walks: int
    walk_particles: int


SIZES: dict[Size, Settings] = {
    "full": Settings(
        (8, 16, 32, 64, 128, 256, 512, 1024),
        (8, 64, 512),
        (16, 64, 256, 1024),
        1000,
        600,
        8,
        2000,
    ),
    "small": Settings((8, 64), (8,), (16,), 400, 400, 4, 500),
}


def curves() -> tuple[np.ndarray, np.ndarray]:
    """(60, 1024) coefficients and the targets, a wave in the first mode with a jump in the second."""
    rng = np.random.default_rng(0)
    x = (
        rng.normal(size=(NUM_CURVES, MOST_MODES))
        * np.arange(1.0, MOST_MODES + 1) ** -DECAY
    )
    return x, np.sin(2 * x[:, 0]) + 0.3 * np.where(x[:, 1] > 0, 1.0, -1.0)


def risk_of(num_modes: int) -> MeanFieldRisk:
    """Neurons tanh(<theta, x> + b), squared loss, theta ~ N(0, diag(k^-2)), b ~ N(0, 1) at TEMPERATURE."""
    x, y = curves()
    inverse_variance = np.append(np.arange(1.0, num_modes + 1) ** DECAY, 1.0)
    precision = jnp.asarray(TEMPERATURE * inverse_variance, jnp.float32)
    return MeanFieldRisk(
        neurons.Tanh(1.0),
        losses.squared,
        np.float32(x[:, :num_modes]),
        np.float32(y),
        precision,
    )


def learners(steps: int) -> dict[str, tuple[Algorithm, int, int]]:
    """P-SDCA, and four on fewer numbers of modes with about `steps` passes: method, steps, every how many are recorded.

    A dual is the mean over the later half of the records; that of PDA, an average already, is recorded at the end.
    """
    semi, rounds = SemiImplicit(), steps // 10
    ascent = PSDCA(TEMPERATURE, MOVES, curvature="variance", proposal="pcnl")
    return {
        ASCENT: (ascent, PASSES * NUM_CURVES, NUM_CURVES),
        "MFLD, exponential": (MFLD(STEP_SIZE, TEMPERATURE), steps, 5),
        "MFLD, semi-implicit": (
            MFLD(STEP_SIZE, TEMPERATURE, integrator=semi),
            steps,
            5,
        ),
        "PDA, exponential": (PDA(STEP_SIZE, TEMPERATURE), rounds, rounds),
        "PDA, semi-implicit": (
            PDA(STEP_SIZE, TEMPERATURE, integrator=semi),
            rounds,
            rounds,
        ),
    }


def draws(
    num_modes: int, dual: Array, num_particles: int, key: Key[Array, ""]
) -> Float[Array, "particles modes"]:
    """Of the law of a dual, by a walk from the prior."""
    law = GibbsLaw.of(risk_of(num_modes), TEMPERATURE)
    with closing(Clouds(law, NUM_CURVES, key)) as clouds:
        plan = plan_along(clouds, [law.tilt(dual, TEMPERATURE)], num_particles)
        walked = walk(clouds, plan, 1, num_particles)
    chosen = systematic(walked.log_weights[0], 0.5)
    return jnp.asarray(walked.clouds[0][chosen]) * law.deviations


@eqx.filter_jit
def potentials(
    risk: MeanFieldRisk, dual: Array, particles: Array
) -> Float[Array, " particles"]:
    return jax.vmap(risk.of_one_particle(dual).value)(particles)


def truncation(
    few: int,
    most: int,
    dual: np.ndarray,
    num_particles: int,
    num_walks: int,
    key: Key[Array, ""],
) -> tuple[float, float]:
    """D of few modes less D of most at one dual, and its error, by common draws of independent walks.

    Z_few / Z_most is the mean of exp(-(V_few - V_most) / T) over the law of most modes, whose exponent is small.
    """
    changes, g = [], jnp.asarray(dual, jnp.float32)
    for walk_key in jax.random.split(key, num_walks):
        particles = draws(most, g, num_particles, walk_key)
        cut = jnp.concatenate(
            [particles[:, :few], particles[:, -1:]], axis=1
        )  # modes first, the bias last
        excess = potentials(risk_of(few), g, cut) - potentials(
            risk_of(most), g, particles
        )
        changes.append(
            -TEMPERATURE
            * np.log1p(np.mean(np.expm1(-np.asarray(excess, np.float64) / TEMPERATURE)))
        )
    return mean_and_error(changes)


@eqx.filter_jit
def proposed(
    risk: MeanFieldRisk, dual: Array, particles: Array, key: Key[Array, ""]
) -> Float[Array, "proposals particles"]:
    """Probabilities of one proposal of each kind, from particles of the law."""
    temperature, keys = jnp.float32(TEMPERATURE), jax.random.split(key, len(particles))
    problem, step = risk.of_one_particle(dual), jnp.int32(0)
    functions = PCNLState(particles, *jax.vmap(problem.value_and_gradient)(particles))
    states = MALAState(particles, *jax.vmap(problem.potential_and_gradient)(particles))
    scale = jnp.sqrt(temperature / jnp.mean(states.gradient**2, axis=0))
    preconditioned = affine(problem, scale)  # as `meanfield.moves` moves
    scaled = MALAState(
        states.position / scale, states.potential, states.gradient * scale
    )
    pcnl = PCNL(PROPOSAL * prior_shares(problem, functions, temperature), temperature)
    own, one = MALA(PROPOSAL, TEMPERATURE), MALA(MALA_STEP / TEMPERATURE, TEMPERATURE)

    def accepted(
        algorithm: Algorithm, target: Problem, states: PCNLState | MALAState
    ) -> Float[Array, " particles"]:
        return jax.vmap(
            lambda s, k: algorithm.step(target, s, k, step)[1]["acceptance"]
        )(states, keys)

    rows = (
        accepted(pcnl, problem, functions),
        accepted(own, preconditioned, scaled),
        accepted(one, problem, states),
    )
    return jnp.stack(rows)


def euler_limit(num_modes: int) -> float:
    """The step beyond which explicit Euler grows in the stiffest mode, which the data do not see: 2 / precision."""
    return 2 / (TEMPERATURE * float(num_modes) ** DECAY)


def measure(size: Size, seed: int) -> xarray.Dataset:
    settings, root = SIZES[size], jax.random.key(seed)
    modes, walks, methods = (
        settings.modes,
        (settings.walk_particles, settings.walks),
        learners(settings.steps),
    )
    optimal: dict[int, np.ndarray] = {}  # duals of P-SDCA, by modes

    def optimum(i: int, j: int) -> dict[str, Any]:
        (name, (algorithm, num_steps, every)), risk = (
            list(methods.items())[i],
            risk_of(modes[j]),
        )
        if name != ASCENT and modes[j] not in settings.few_modes:
            return dict.fromkeys((*QUANTITIES, "evaluations"), np.nan)
        train_key, walk_key = jax.random.split(jax.random.fold_in(root, 100 * i + j))
        start = risk.prior(
            TEMPERATURE, settings.ascent_particles if name == ASCENT else PARTICLES
        )
        options = {"num_steps": num_steps, "record": dual_of, "record_every": every}
        result = simulate(algorithm, risk, start, key=train_key, **options)
        duals = np.asarray(result.positions, np.float64)
        dual = duals[len(duals) // 2 :].mean(axis=0)
        if name == ASCENT:
            optimal[modes[j]] = dual
        options = {"num_particles": walks[0], "num_replicates": walks[1]}
        estimate = duality_gap(risk, dual, TEMPERATURE, key=walk_key, **options)
        quantities = {
            quantity: float(getattr(estimate, part))
            for quantity, part in QUANTITIES.items()
        }
        if estimate.num_laws > MOST_LAWS:
            quantities["gap"] = np.inf
        return quantities | {"evaluations": float(result.evaluations)}

    def proposal(j: int) -> dict[str, Any]:
        walk_key, accept_key = jax.random.split(
            jax.random.split(jax.random.fold_in(root, 10_000 + j))[0]
        )
        dual, count = (
            jnp.asarray(optimal[modes[j]], jnp.float32),
            settings.walk_particles,
        )
        once = partial(
            proposed,
            risk_of(modes[j]),
            dual,
            draws(modes[j], dual, count, walk_key),
            accept_key,
        )
        accepted, error = mean_and_error(np.asarray(once(), np.float64).T)
        seconds = (
            min(
                timeit.repeat(lambda: jax.block_until_ready(once()), number=1, repeat=5)
            )
            / count
        )
        # where none is accepted, the error is one in all
        return {
            "acceptance": accepted,
            "acceptance_error": np.maximum(error, 1 / count),
            "seconds": seconds,
        }

    def euler(j: int, k: int) -> dict[str, bool]:
        num_modes, key = (
            settings.euler_modes[j],
            jax.random.fold_in(root, 20_000 + 2 * j + k),
        )
        risk, step_size = risk_of(num_modes), (BELOW, ABOVE)[k] * euler_limit(num_modes)
        algorithm = MFLD(step_size, TEMPERATURE, integrator=Explicit())
        try:
            result = simulate(
                algorithm, risk, risk.prior(TEMPERATURE, 64), key=key, num_steps=300
            )
        except DivergenceError:
            return {"settles": False}
        stiffest = np.asarray(result.position, np.float64)[
            :, num_modes - 1
        ] * num_modes ** (DECAY / 2)
        return {"settles": bool(np.sqrt(np.mean(stiffest**2)) < HUGE)}

    optima = sweep(optimum, range(len(methods)), range(len(modes)))
    evaluations = optima.pop("evaluations")
    moves = sweep(proposal, range(len(modes)))
    settled = sweep(euler, range(len(settings.euler_modes)), range(2))["settles"]
    cut_key, ends = jax.random.fold_in(root, 30_000), (modes[0], modes[-1])
    cut_off, cut_off_error = truncation(*ends, optimal[modes[-1]], *walks, cut_key)
    return dataset(
        {
            "learner": list(methods),
            "proposal": list(PROPOSALS),
            "modes": (modes, "modes"),
        }
        | {"euler_modes": (settings.euler_modes, "modes")},
        variables("learner modes", "units of the loss", **optima),
        variables("learner modes", "curves seen by the cloud", evaluations=evaluations),
        variables(
            "modes", "seconds of a particle's proposals", seconds=moves.pop("seconds")
        ),
        variables("modes proposal", "probability", **moves),
        variables(
            "", "units of the loss", cut_off=cut_off, cut_off_error=cut_off_error
        ),
        variables(
            "euler_modes",
            "whether",
            settles_below=settled[:, 0],
            settles_above=settled[:, 1],
        ),
        untrained=float(
            (curves()[1] ** 2).mean() / 2
        ),  # neurons are odd: the prior's outputs are 0
        walks=settings.walks,
        seed=seed,
    )


def draw_values(axes: Axes, data: xarray.Dataset) -> None:
    mean, _, error = common_value(data)
    axes.axhspan(mean - error, mean + error, color=theme.faint(BLUE), linewidth=0)
    axes.axhline(mean, color=BLUE, linewidth=0.9)
    for k, style in enumerate(zip(theme.OKABE_ITO, "osD^vP", strict=False)):
        row = data.isel(learner=k)
        measured, label = (row.dual_value, row.dual_value_error), row.learner.item()
        points(axes, data.modes * 1.13 ** (k - 2), measured, style, label, zorder=3)
    note(axes, f"band: P-SDCA's mean, {mean:.5f} ± {error:.5f}", 0.03, 0.04, BLUE)
    low, high = axes.get_ylim()
    axes.set(
        ylim=(low - 0.15 * (high - low), high),
        ylabel="dual value $D$ (units of the loss)",
    )
    axes.set(title="One optimum at any number of modes")
    label_modes(axes, data)


def label_modes(axes: Axes, data: xarray.Dataset) -> None:
    ticks(axes, data.modes)
    axes.set(xlabel="modes $K$", xlim=(data.modes[0] / 1.7, data.modes[-1] * 1.7))


def draw_acceptance(axes: Axes, data: xarray.Dataset) -> None:
    for name, style in PROPOSALS.items():
        row = data.sel(proposal=name)
        points(
            axes,
            data.modes,
            (row.acceptance, row.acceptance_error),
            style,
            name,
            linewidth=0.9,
        )
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.6), handletextpad=0.4)
    axes.set(
        ylabel="acceptance of one proposal",
        ylim=(-0.03, 1.0),
        title="pCNL moves at any of them, MALA stops",
    )
    label_modes(axes, data)


def common_value(data: xarray.Dataset) -> tuple[float, float, float]:
    """Of P-SDCA's D over all numbers of modes: the mean, the error of one of them, and that of the mean.

    The errors of single ones are from few walks; all are about as large, so that their mean square is much surer.
    """
    row = data.sel(learner=ASCENT)
    one = float(np.sqrt((row.dual_value_error**2).mean()))
    return float(row.dual_value.mean()), one, one / float(np.sqrt(row.sizes["modes"]))


def judge(data: xarray.Dataset) -> Findings:
    """Values agree, gaps are closed, pCNL is flat, MALA and Euler are not; seconds are reported and not judged."""
    row, modes, (mean, one, of_mean) = (
        data.sel(learner=ASCENT),
        data.modes.values,
        common_value(data),
    )
    freedom, loss = (
        len(modes) * (data.attrs["walks"] - 1),
        "units of the loss",
    )  # of the errors of all D together
    far = int(np.argmax(np.abs(row.dual_value.values - mean)))
    error = one * np.sqrt(1 - 1 / len(modes))
    statement = f"certified optimum with {modes[far]} modes, the farthest from its mean over all"
    tolerance, measured = (
        critical_value(len(modes), freedom + 1) * error,
        (row.dual_value[far], error),
    )
    yield Check.equals(statement, "exact: no K in it", measured, mean, tolerance, loss)
    others = data.sel(learner=[name for name in data.learner.values if name != ASCENT])
    known, error = np.isfinite(others.dual_value.values), np.hypot(one, of_mean)
    above = (others.dual_value.values[known] - mean) / error
    below = (
        -above - (others.gap.values[known] + 3 * others.gap_error.values[known]) / error
    )
    statement = "optima by other methods, the farthest beyond what its gap allows"
    beyond, allowed = (
        max(above.max(), below.max()),
        critical_value(2 * len(above), freedom + 1),
    )
    yield Check.at_most(statement, "duality", beyond, 0, allowed, "standard errors")
    worst, gained = data.gap.argmax(...), data.attrs["untrained"] - mean
    statement, source = (
        "largest certified gap of all methods",
        "0 at the optimum; 2 % is our aim",
    )
    measured = data.gap[worst] / gained, data.gap_error[worst] / gained
    yield Check.at_most(
        statement, source, measured, 0, CLOSED, "of what training gains"
    )
    statement = (
        "what cutting curves off changes, three errors added, beside an optimum's error"
    )
    changed = abs(data.cut_off) + 3 * data.cut_off_error
    yield Check.at_most(statement, "common draws", changed, one, unit=loss)
    yield from judge_proposals(data)
    wrong = (~data.settles_below.astype(bool)).sum() + data.settles_above.sum()
    statement = "runs of explicit Euler that grow below 2 / precision or settle above"
    yield Check.at_most(statement, "exact: the stiffest mode", wrong, 0, unit="runs")
    statement, passes = (
        "spread of P-SDCA's passes over numbers of modes, relative",
        row.evaluations.values,
    )
    yield Check.at_most(statement, "our aim", np.ptp(passes) / passes.mean(), 0, 0.2)

    yield "certified optimum, mean over numbers of modes", (mean, of_mean)
    yield "largest gap, P-SDCA", row.gap.max()
    yield "largest gap", data.gap.max()
    yield (
        "steps of explicit Euler for one of the others, most modes",
        STEP_SIZE / euler_limit(modes[-1]),
    )
    for n in modes[[0, -1]]:
        yield (
            f"microseconds of one particle's proposals, {n:,} modes",
            1e6 * data.seconds.sel(modes=n),
        )
    large = modes >= 64
    if large.sum() > 1:
        yield (
            "exponent of their seconds in modes, from 64",
            exponent(modes[large], data.seconds.values[large]),
        )


def judge_proposals(data: xarray.Dataset) -> Findings:
    paper, modes = "Cotter et al. 2013", data.modes.values
    pcnl, own, one = (data.sel(proposal=name) for name in PROPOSALS)
    error, change = pcnl.acceptance_error.max(), np.ptp(pcnl.acceptance.values)
    statement, most = (
        f"change of pCNL's acceptance from {modes[0]} to {modes[-1]:,} modes",
        f"with {modes[-1]:,} modes",
    )
    yield Check.at_most(statement, paper, (change, error), 0, FLAT + 4 * error)
    statement = "least acceptance of pCNL, any number of modes"
    yield Check.at_least(statement, "our aim", (pcnl.acceptance.min(), error), 0.4)
    statement = f"acceptance of MALA, one step size, {most}"
    yield Check.at_most(
        statement, paper, (one.acceptance[-1], one.acceptance_error[-1]), 0, 0.01
    )
    statement, half = (
        f"acceptance of MALA, own step sizes, {most}, below half of pCNL's",
        0.5 * pcnl.acceptance[-1],
    )
    yield Check.at_most(
        statement, "our aim", (own.acceptance[-1], own.acceptance_error[-1]), half
    )


draw = panels((11.0, 4.4), 1, draw_values, draw_acceptance, legend_of=0, ncols=3)
CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
