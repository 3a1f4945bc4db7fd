"""Networks that read curves reach the same certified optimum at any number of modes, at a cost in proportion to it.

Claim: Networks on curves, with weights of a trace-class Gaussian prior, are trained to the same certified optimum at
any number of modes K: dual value, acceptance of pCNL and passes stay, a pass costs in proportion to it, where explicit
Euler and MALA break down.

Formula:
    f_q(x) = int tanh(<theta, x>) q(dtheta),    min_q L(f_q) + T KL(q | N(0, C)) = max_g D(g)  for any K

Source: Nishikawa, Suzuki, Nitanda, Wu (NeurIPS 2022), PDA and P-SDCA in infinite dimensions; Cotter, Roberts, Stuart,
White (Statistical Science 2013), pCNL.

Figure: Above: dual values on one level within their errors at every number of modes, all gaps far below what an
untrained network leaves. Below: pCNL is accepted alike at all of them while both kinds of MALA stop moving; Euler's
longest step falls with slope -2 where that of the schemes for functions stays.

A curve is x = sum_k x_k f_k in an orthonormal basis, a weight theta = sum_k theta_k f_k, so that K modes of both are
what a grid that resolves K modes would see; all K see the same 60 curves. Neurons are tanh(<theta, x> + b) with theta ~
N(0, diag(k^-2)). Dual values and gaps are certified by walks from the prior with pCNL moves, which hold if
those met all modes. The seconds of a pCNL move are those of the machine, and not judged.
"""

import timeit
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import f as f_distribution

from claims import Check, Claim, Size, Verdict, dataset, sweep, variables
from drawing import note, panels, points, shared_legend, ticks
from estimates import critical_value, exponent, mean_and_error
from langevax.algorithm import Algorithm
from langevax.figures import theme
from langevax.integrators import Explicit, SemiImplicit
from langevax.meanfield import MFLD, PDA, PSDCA, duality_gap
from langevax.meanfield.moves import pcnl_moves, prior_shares
from langevax.meanfield.smc import sample_gibbs
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
PROPOSALS = ("pCNL", "MALA, own steps", "MALA, one step")
BELOW, ABOVE = 0.95, 1.05  # of explicit Euler's limit
HUGE = 100  # times the prior's scale: MFLD by explicit Euler that stays below it settles
QUANTITIES = {"dual_value": "bound", "dual_value_error": "bound_error", "gap": "gap", "gap_error": "gap_error"}
SURVIVING, MOST_TEMPERATURES = 0.05, 50  # ancestors and lengths of walks that are believed
FLAT = 0.05  # by how much an acceptance that is flat may differ between numbers of modes, beyond its errors
CLOSED = 0.02  # of what training gains: the largest gap that counts as closed


class Settings(NamedTuple):
    """Settings of a size."""

    modes: tuple[int, ...]
    few_modes: tuple[int, ...]  # of the methods beside P-SDCA
    euler_modes: tuple[int, ...]
    ascent_particles: int
    steps: int  # passes of MFLD, and of the inner loops of PDA
    walks: int
    walk_particles: int
    particles: int = 1000  # of clouds, and of the moves that are timed


SIZES: dict[Size, Settings] = {
    "full": Settings((8, 16, 32, 64, 128, 256, 512, 1024), (8, 64, 512), (16, 64, 256, 1024), 1000, 600, 8, 2000),
    "small": Settings((8, 64), (8,), (16,), 400, 400, 4, 500),
}


def curves() -> tuple[np.ndarray, np.ndarray]:
    """(60, 1024) coefficients and the targets, a wave in the first mode with a jump in the second."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_CURVES, MOST_MODES)) * np.arange(1.0, MOST_MODES + 1) ** -DECAY
    return x, np.sin(2 * x[:, 0]) + 0.3 * np.where(x[:, 1] > 0, 1.0, -1.0)


def risk_of(num_modes: int) -> MeanFieldRisk:
    """Neurons tanh(<theta, x> + b), squared loss, theta ~ N(0, diag(k^-2)), b ~ N(0, 1) at TEMPERATURE."""
    x, y = curves()
    inverse_variance = np.append(np.arange(1.0, num_modes + 1) ** DECAY, 1.0)
    precision = jnp.asarray(TEMPERATURE * inverse_variance, jnp.float32)
    return MeanFieldRisk(neurons.Tanh(1.0), losses.squared, np.float32(x[:, :num_modes]), np.float32(y), precision)


class Learner(NamedTuple):
    """A method, how many steps, every how many its dual is recorded, and whether its later duals are averaged."""

    algorithm: Algorithm
    num_steps: int
    every: int
    averaged: bool


def learners(steps: int) -> dict[str, Learner]:
    """P-SDCA, and five that are run on fewer numbers of modes, each with about `steps` passes."""
    semi, rounds = SemiImplicit(), steps // 10
    ascent = PSDCA(TEMPERATURE, MOVES, curvature="variance", proposal="pcnl")
    return {
        ASCENT: Learner(ascent, PASSES * NUM_CURVES, NUM_CURVES, True),
        "MFLD, exponential": Learner(MFLD(STEP_SIZE, TEMPERATURE), steps, 5, True),
        "MFLD, semi-implicit": Learner(MFLD(STEP_SIZE, TEMPERATURE, integrator=semi), steps, 5, True),
        "PDA, exponential": Learner(PDA(STEP_SIZE, TEMPERATURE), rounds, rounds, False),
        "PDA, semi-implicit": Learner(PDA(STEP_SIZE, TEMPERATURE, integrator=semi), rounds, rounds, False),
        "PDA, pCNL": Learner(PDA(PROPOSAL, TEMPERATURE, proposal="pcnl"), rounds, rounds, False),
    }


def draws(num_modes: int, dual: Array, num_particles: int, key: Key[Array, ""]) -> Float[Array, "particles modes"]:
    """Of the law of a dual, by a walk from the prior with pCNL moves."""
    return sample_gibbs(risk_of(num_modes), dual, TEMPERATURE, num_particles, key=key, proposal="pcnl").particles


@eqx.filter_jit
def potentials(risk: MeanFieldRisk, dual: Array, particles: Array) -> Float[Array, " particles"]:
    return jax.vmap(risk.of_one_particle(dual).value)(particles)


def truncations(
    fewer: tuple[int, ...], most: int, dual: np.ndarray, num_particles: int, num_walks: int, key: Key[Array, ""]
) -> tuple[np.ndarray, np.ndarray]:
    """D of K modes less D of `most` at one dual, and its error, by common draws of independent walks.

    Z_K / Z_most is the mean of exp(-(V_K - V_most) / T) over the law of `most` modes, whose exponent is small.
    """
    whole, g = risk_of(most), jnp.asarray(dual, jnp.float32)
    changes = np.zeros((num_walks, len(fewer)))
    for i, walk_key in enumerate(jax.random.split(key, num_walks)):
        particles = draws(most, g, num_particles, walk_key)
        reference = potentials(whole, g, particles)
        for j, num_modes in enumerate(fewer):  # modes first, the bias last
            cut = jnp.concatenate([particles[:, :num_modes], particles[:, -1:]], axis=1)
            excess = np.asarray(potentials(risk_of(num_modes), g, cut) - reference, np.float64)
            changes[i, j] = -TEMPERATURE * np.log1p(np.mean(np.expm1(-excess / TEMPERATURE)))
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
    scaled = MALAState(states.position / scale, states.potential, states.gradient * scale)
    pcnl = PCNL(PROPOSAL * prior_shares(problem, functions, temperature), temperature)
    own, one = MALA(PROPOSAL, TEMPERATURE), MALA(MALA_STEP / TEMPERATURE, TEMPERATURE)

    def accepted(algorithm: Algorithm, target: Problem, states: PCNLState | MALAState) -> Float[Array, " particles"]:
        return jax.vmap(lambda s, k: algorithm.step(target, s, k, step)[1]["acceptance"])(states, keys)

    rows = accepted(pcnl, problem, functions), accepted(own, preconditioned, scaled), accepted(one, problem, states)
    return jnp.stack(rows)


def euler_limit(num_modes: int) -> float:
    """The step beyond which explicit Euler grows in the stiffest mode, which the data do not see: 2 / precision."""
    return 2 / (TEMPERATURE * float(num_modes) ** DECAY)


def seconds_per_move(num_modes: int, dual: np.ndarray, num_particles: int, key: Key[Array, ""]) -> float:
    """Of one pCNL move of one particle: the best of five."""
    risk, temperature = risk_of(num_modes), jnp.float32(TEMPERATURE)
    particles, problem = risk.prior(TEMPERATURE, num_particles)(key), risk.of_one_particle(jnp.float32(dual))
    state = PCNLState(particles, *jax.vmap(problem.value_and_gradient)(particles))
    moves = eqx.filter_jit(eqx.Partial(pcnl_moves, problem, state, temperature, jnp.float32(PROPOSAL), key, MOVES))
    _, *times = timeit.repeat(lambda: jax.block_until_ready(moves()), number=1, repeat=6)  # the first compiles
    return min(times) / (MOVES * num_particles)


# ---- measure


def measure(size: Size, seed: int) -> xarray.Dataset:
    """Every method at its numbers of modes, and what breaks beside them."""
    settings, root = SIZES[size], jax.random.key(seed)
    modes, walks, methods = settings.modes, (settings.walk_particles, settings.walks), learners(settings.steps)

    def optimum(i: int, j: int) -> dict[str, Any]:
        (name, learner), risk = list(methods.items())[i], risk_of(modes[j])
        if name != ASCENT and modes[j] not in settings.few_modes:
            unmeasured = dict.fromkeys((*QUANTITIES, "trustworthy", "evaluations"), np.nan)
            return unmeasured | {"dual": np.full(NUM_CURVES, np.nan)}
        train_key, walk_key = jax.random.split(jax.random.fold_in(root, 100 * i + j))
        start = risk.prior(TEMPERATURE, settings.ascent_particles if name == ASCENT else settings.particles)
        options = {"num_steps": learner.num_steps, "record": dual_of, "record_every": learner.every}
        result = simulate(learner.algorithm, risk, start, key=train_key, **options)
        duals = np.asarray(result.positions, np.float64)
        dual = duals[len(duals) // 2 :].mean(axis=0) if learner.averaged else duals[-1]
        options = {"num_particles": walks[0], "num_replicates": walks[1], "proposal": "pcnl"}
        estimate = duality_gap(risk, dual, TEMPERATURE, key=walk_key, **options)
        quantities = {quantity: float(getattr(estimate, part)) for quantity, part in QUANTITIES.items()}
        trusted = estimate.surviving_ancestors >= SURVIVING and estimate.temperatures <= MOST_TEMPERATURES
        return quantities | {"trustworthy": float(trusted), "evaluations": float(result.evaluations), "dual": dual}

    def proposal(j: int) -> dict[str, Any]:
        move_key, time_key = jax.random.split(jax.random.fold_in(root, 10_000 + j))
        walk_key, accept_key = jax.random.split(move_key)
        dual, count = jnp.asarray(duals[j], jnp.float32), settings.walk_particles
        probabilities = proposed(risk_of(modes[j]), dual, draws(modes[j], dual, count, walk_key), accept_key)
        accepted, error = mean_and_error(np.asarray(probabilities, np.float64).T)
        seconds = seconds_per_move(modes[j], duals[j], settings.particles, time_key)
        # where none is accepted, the error is one in all
        return {"acceptance": accepted, "acceptance_error": np.maximum(error, 1 / count), "seconds": seconds}

    def euler(j: int, k: int) -> dict[str, bool]:
        num_modes, key = settings.euler_modes[j], jax.random.fold_in(root, 20_000 + 2 * j + k)
        risk, step_size = risk_of(num_modes), (BELOW, ABOVE)[k] * euler_limit(num_modes)
        algorithm = MFLD(step_size, TEMPERATURE, integrator=Explicit())
        try:
            result = simulate(algorithm, risk, risk.prior(TEMPERATURE, 64), key=key, num_steps=300)
        except DivergenceError:
            return {"settles": False}
        stiffest = np.asarray(result.position, np.float64)[:, num_modes - 1] * num_modes ** (DECAY / 2)
        return {"settles": bool(np.sqrt(np.mean(stiffest**2)) < HUGE)}

    optima = sweep(optimum, range(len(methods)), range(len(modes)))
    duals = optima.pop("dual")[list(methods).index(ASCENT)]
    trustworthy, evaluations = optima.pop("trustworthy"), optima.pop("evaluations")
    moves = sweep(proposal, range(len(modes)))
    settled = sweep(euler, range(len(settings.euler_modes)), range(2))["settles"]
    cut_off, cut_off_error = truncations(modes[:-1], modes[-1], duals[-1], *walks, jax.random.fold_in(root, 30_000))
    return dataset(
        {"learner": list(methods), "proposal": list(PROPOSALS), "modes": (modes, "modes")}
        | {"fewer_modes": (modes[:-1], "modes"), "euler_modes": (settings.euler_modes, "modes")},
        variables("learner modes", "units of the loss", **optima),
        variables("learner modes", "whether", trustworthy=trustworthy),
        variables("learner modes", "curves seen by the cloud", evaluations=evaluations),
        variables("modes", "seconds of a move of a particle", seconds=moves.pop("seconds")),
        variables("modes proposal", "probability", **moves),
        variables("fewer_modes", "units of the loss", cut_off=cut_off, cut_off_error=cut_off_error),
        variables("euler_modes", "whether", settles_below=settled[:, 0], settles_above=settled[:, 1]),
        variables("modes", "time", euler_limit=[euler_limit(n) for n in modes]),
        variables("euler_modes", "time", euler_limit_tried=[euler_limit(n) for n in settings.euler_modes]),
        untrained=float((curves()[1] ** 2).mean() / 2),  # neurons are odd: the prior's outputs are 0
        walks=settings.walks,
        seed=seed,
    )


# ---- draw

BLUE = theme.OKABE_ITO[0]
STYLES = {  # colour and marker, whether it is filled, and its place among methods at the same number of modes
    ASCENT: ((BLUE, "o"), True, 0),
    "MFLD, exponential": (theme.METHODS["MFLD"], True, -2),
    "MFLD, semi-implicit": (theme.METHODS["MFLD"], False, -1),
    "PDA, exponential": ((theme.OKABE_ITO[1], "s"), True, 1),
    "PDA, semi-implicit": ((theme.OKABE_ITO[1], "s"), False, 2),
    "PDA, pCNL": ((theme.OKABE_ITO[4], "^"), True, 3),
}
PROPOSAL_STYLES = ((BLUE, "o:"), (theme.GREY, "x:"), (theme.OKABE_ITO[3], "v:"))


def draw(data: xarray.Dataset) -> Figure:
    figure, modes = panels(data, (11.0, 8.0), 2, draw_values, draw_gaps, draw_acceptance, draw_steps), data.modes.values
    for axes in figure.axes:
        ticks(axes, modes)
        axes.set(xlabel="modes $K$", xlim=(modes[0] / 1.7, modes[-1] * 1.7))
    shared_legend(figure, figure.axes[0])
    return figure


def draw_methods(axes: Axes, data: xarray.Dataset, quantity: str, scale: float) -> None:
    """Every method's points, side by side."""
    for name, (style, filled, place) in STYLES.items():
        row, face = data.sel(learner=name), style[0] if filled else theme.LIGHT["paper"]
        measured = scale * row[quantity], scale * row[f"{quantity}_error"]
        points(axes, data.modes * 1.13**place, measured, style, name, markerfacecolor=face, zorder=3)


def draw_values(axes: Axes, data: xarray.Dataset) -> None:
    mean, _, error = common_value(data)
    axes.axhspan(mean - error, mean + error, color=theme.faint(BLUE), linewidth=0)
    axes.axhline(mean, color=BLUE, linewidth=0.9)
    draw_methods(axes, data, "dual_value", 1.0)
    note(axes, f"band: P-SDCA's mean, {mean:.5f} ± {error:.5f}", 0.03, 0.04, BLUE)
    low, high = axes.get_ylim()
    axes.set(ylim=(low - 0.15 * (high - low), high), ylabel="dual value $D$ (units of the loss)")
    axes.set(title="One optimum at any number of modes")


def draw_gaps(axes: Axes, data: xarray.Dataset) -> None:
    draw_methods(axes, data, "gap", 1e4)
    axes.axhline(0, color=theme.INK, linewidth=0.8)
    left = 1e4 * (data.attrs["untrained"] - common_value(data)[0])
    note(axes, f"untrained: {left:,.0f}, above this picture", 0.97, 0.95, theme.GREY)
    axes.set(ylim=(None, 1.25 * axes.get_ylim()[1]), ylabel="certified gap, $10^{-4}$")
    axes.set(title="Certified close to it by every method")


def draw_acceptance(axes: Axes, data: xarray.Dataset) -> None:
    for name, style in zip(PROPOSALS, PROPOSAL_STYLES, strict=True):
        row = data.sel(proposal=name)
        points(axes, data.modes, (row.acceptance, row.acceptance_error), style, name, linewidth=0.9)
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.6), handletextpad=0.4)
    axes.set(ylabel="acceptance of one proposal", ylim=(-0.03, 1.0), title="pCNL moves at any of them, MALA stops")


def draw_steps(axes: Axes, data: xarray.Dataset) -> None:
    (colour, marker), n, limit = theme.METHODS["LD"], data.modes.values, data.euler_limit.values
    axes.semilogy(n, limit, color=colour, label="explicit Euler's longest, slope $-2$")
    below, above = data.settles_below.values, ~data.settles_above.values
    for chosen, face, share, shift in ((below, colour, BELOW, 1.0), (above, theme.LIGHT["paper"], ABOVE, 1.14)):
        label = f"{share:g} of it: {'settles' if share < 1 else 'grows'}"  # shifted: five percent could not be seen
        x, y = data.euler_modes[chosen] * shift, share * data.euler_limit_tried[chosen]
        axes.plot(x, y, marker, color=colour, markerfacecolor=face, label=label)
    axes.axhline(STEP_SIZE, color=theme.METHODS["MFLD"][0], label="exponential, semi-implicit: as run")
    axes.legend(loc="lower left", handletextpad=0.2)
    axes.set(ylim=(1e-3 * limit[-1], 20 * max(STEP_SIZE, limit[0])), ylabel="step size $h$")
    axes.set(title="Euler's step falls, that of functions stays")


# ---- judge


def common_value(data: xarray.Dataset) -> tuple[float, float, float]:
    """Of P-SDCA's D over all numbers of modes: the mean, the error of one of them, and that of the mean.

    The errors of single ones are from few walks; all are about as large, so that their mean square is much surer.
    """
    row = data.sel(learner=ASCENT)
    one = float(np.sqrt((row.dual_value_error**2).mean()))
    return float(row.dual_value.mean()), one, one / float(np.sqrt(row.sizes["modes"]))


def judge(data: xarray.Dataset) -> Verdict:
    """Values agree, gaps are closed, pCNL is flat, MALA and Euler are not; seconds are reported and not judged."""
    row, modes, (mean, one, of_mean) = data.sel(learner=ASCENT), data.modes.values, common_value(data)
    freedom, loss = len(modes) * (data.attrs["walks"] - 1), "units of the loss"  # of the errors of all D together
    far = int(np.argmax(np.abs(row.dual_value.values - mean)))
    error = one * np.sqrt(1 - 1 / len(modes))
    statement = f"certified optimum with {modes[far]} modes, the farthest from its mean over all"
    tolerance, measured = critical_value(len(modes), freedom + 1) * error, (row.dual_value[far], error)
    checks = [Check.equals(statement, "exact: no K in it", measured, mean, tolerance, loss)]
    others = data.sel(learner=[name for name in data.learner.values if name != ASCENT])
    known, error = np.isfinite(others.dual_value.values), np.hypot(one, of_mean)
    above = (others.dual_value.values[known] - mean) / error
    below = -above - (others.gap.values[known] + 3 * others.gap_error.values[known]) / error
    statement = "optima by other methods, the farthest beyond what its gap allows"
    beyond, allowed = max(above.max(), below.max()), critical_value(2 * len(above), freedom + 1)
    checks.append(Check.at_most(statement, "duality", beyond, 0, allowed, "standard errors"))
    gap = data.gap.where(data.trustworthy.fillna(1.0) == 1, np.inf).values  # one that is not to be trusted is endless
    worst, gained = np.unravel_index(np.nanargmax(gap), gap.shape), data.attrs["untrained"] - mean
    statement, source = "largest certified gap of all methods", "0 at the optimum; 2 % is our aim"
    measured = gap[worst] / gained, data.gap_error.values[worst] / gained
    checks.append(Check.at_most(statement, source, measured, 0, CLOSED, "of what training gains"))
    statement = "what cutting curves off changes, three errors added, beside an optimum's error"
    largest = (np.abs(data.cut_off) + 3 * data.cut_off_error).max()
    checks.append(Check.at_most(statement, "common draws", largest, one, unit=loss))
    checks.extend(check_proposals(data))
    wrong = (~data.settles_below.astype(bool)).sum() + data.settles_above.sum()
    statement = "runs of explicit Euler that grow below 2 / precision or settle above"
    checks.append(Check.at_most(statement, "exact: the stiffest mode", wrong, 0, unit="runs"))
    statement, passes = "spread of P-SDCA's passes over numbers of modes, relative", row.evaluations.values
    checks.append(Check.at_most(statement, "our aim", np.ptp(passes) / passes.mean(), 0, 0.2))

    spread = row.dual_value.values.var(ddof=1) / one**2
    numbers = {"certified optimum, mean over numbers of modes": (mean, of_mean)}
    numbers |= {"chance of a larger spread of optima": f_distribution.sf(spread, len(modes) - 1, freedom)}
    numbers |= {"largest gap, P-SDCA": row.gap.max(), "largest gap": data.gap.max()}
    numbers |= {"largest change by cutting curves off": np.abs(data.cut_off).max()}
    numbers |= {"steps of explicit Euler for one of the others, most modes": STEP_SIZE / data.euler_limit[-1]}
    numbers |= {
        f"microseconds of one particle's move, {n:,} modes": 1e6 * data.seconds.sel(modes=n) for n in modes[[0, -1]]
    }
    large = modes >= 64
    if large.sum() > 1:
        numbers["exponent of a move's seconds in modes, from 64"] = exponent(modes[large], data.seconds.values[large])
    return Verdict(checks, numbers)


def check_proposals(data: xarray.Dataset) -> list[Check]:
    """pCNL is accepted alike at all numbers of modes; MALA is not."""
    paper, modes = "Cotter et al. 2013", data.modes.values
    pcnl, own, one = (data.sel(proposal=name) for name in PROPOSALS)
    error, change = pcnl.acceptance_error.max(), np.ptp(pcnl.acceptance.values)
    statement, most = f"change of pCNL's acceptance from {modes[0]} to {modes[-1]:,} modes", f"with {modes[-1]:,} modes"
    checks = [Check.at_most(statement, paper, (change, error), 0, FLAT + 4 * error)]
    statement = "least acceptance of pCNL, any number of modes"
    checks.append(Check.at_least(statement, "our aim", (pcnl.acceptance.min(), error), 0.4))
    statement = f"acceptance of MALA, one step size, {most}"
    checks.append(Check.at_most(statement, paper, (one.acceptance[-1], one.acceptance_error[-1]), 0, 0.01))
    statement, half = f"acceptance of MALA, own step sizes, {most}, below half of pCNL's", 0.5 * pcnl.acceptance[-1]
    checks.append(Check.at_most(statement, "our aim", (own.acceptance[-1], own.acceptance_error[-1]), half))
    return checks


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
