"""Chains of `sample`: warm-up and sampling by each kind of dynamics, in the coordinates of the pilot."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Key

from langevax.algorithm import Algorithm
from langevax.problems.problem import CURVATURE_ITERATIONS, Problem, largest_curvature
from langevax.run import Result, Stacked, simulate
from langevax.run.program import Observe, start_positions
from langevax.run.simulate import position_of
from langevax.samplers import ReplicaExchange
from langevax.sampling.descents import descend_steeply
from langevax.sampling.methods import (
    FIRST_STEP,
    FRICTION,
    BiasLimit,
    SamplingMethod,
    StepSizeBias,
    tune_acceptance,
    tune_bias,
)
from langevax.sampling.nuts import NUTS, TARGET_ACCEPTANCE, NUTSState, stages_of

WARMUP = 10  # relaxation times
RELAXATION = {"underdamped": FRICTION, "pcn": 2, "pcnl": 2}  # times 1 / step size; of proposals about half are rejected
WARMUP_NEAR_MODE, WARMUP_ELSEWHERE = 300, 1000  # steps of NUTS
LEAST_STEP = 0.1
"""Of NUTS about a mode, times d^(1/4): 0.2 to 1 where the curvature there is that of the law, 0.001 in a peak that has
hardly any of its mass, such as that of a hierarchy where all groups are alike."""
PEAK_CHECK = 15  # steps of NUTS, each of up to 1,023 gradients in a peak, after which chains there have tiny ones


class SamplingRun(NamedTuple):
    """Target, start and length of a run, common to all kinds of dynamics."""

    problem: Problem
    temperature: float
    start: Callable[[Key[Array, ""]], Float[Array, " d"]]
    dimension: int
    num_chains: int
    num_samples: int
    num_warmup: int | None
    """None where the dynamics choose, as for `thinning`."""
    thinning: int | None
    keys: tuple[Key[Array, ""], Key[Array, ""], Key[Array, ""]]
    """Of the choice of the step size, warm-up and sampling."""
    saving: Mapping[str, Any]
    """`progress`, `checkpoint` and `resume` of `simulate`."""
    bias_limit: BiasLimit | None = None
    """Of a step size that is chosen, where there is a tolerance."""
    is_start_given: bool = False
    """The user's function says where chains start."""

    def run(self, algorithm: Algorithm, warm: Result, thinning: int) -> Result:
        """Continue from the end of the warm-up, and record."""
        num_steps = self.num_samples * thinning
        options = {"num_steps": num_steps, "record_every": thinning, "record": record_of(algorithm), **self.saving}
        return simulate(algorithm, self.problem, warm, key=self.keys[2], **options)


def record_of(algorithm: Algorithm) -> Observe:
    """Return what is a draw: the position, of the coldest replica where there are several."""
    return ReplicaExchange.coldest if isinstance(algorithm, ReplicaExchange) else position_of


class TunedChains(NamedTuple):
    """The recorded run of an algorithm, and what came before it."""

    algorithm: Algorithm
    result: Result
    step_size: float
    thinning: int
    evaluations: int
    """Component gradients of tuning, warm-up and sampling."""
    step_size_bias: StepSizeBias | None = None
    remark: str = ""
    """What else there is to say of the choice of the method."""


FEW_DIVERGENCES, CAREFUL_ACCEPTANCE = 0.02, 0.95
"""Share of steps up to which NUTS is run again, adapted to that acceptance: most often none diverges then."""


class PeakError(RuntimeError):
    """Chains about a mode hardly move; `evaluations` were spent."""

    def __init__(self, evaluations: int):
        super().__init__("steps about the mode are tiny: it is a narrow peak")
        self.evaluations = evaluations


def nuts_chains(options: SamplingRun, is_near_mode: bool, is_even: bool) -> TunedChains:
    """Run NUTS, and again with shorter steps where few diverge, unless they are saved.

    Raises:
        PeakError: chains near a mode, where the curvature is even in all directions, hardly move.
    """
    can_be_peak = is_near_mode and is_even
    chains = _nuts_chains(options, is_near_mode, can_be_peak, TARGET_ACCEPTANCE)
    divergences, steps = chains.result.counts["divergences"], chains.result.steps * options.num_chains
    if not 0 < divergences <= FEW_DIVERGENCES * steps or options.saving["checkpoint"] is not None:
        return chains
    warm_key, key = (random.fold_in(key, 1) for key in options.keys[1:])
    again = options._replace(keys=(options.keys[0], warm_key, key))
    careful = _nuts_chains(again, is_near_mode, can_be_peak, CAREFUL_ACCEPTANCE)
    remark = f"{divergences:,} of {steps:,} steps diverged, so that draws are of a second run with shorter ones"
    return careful._replace(evaluations=chains.evaluations + careful.evaluations, remark=remark)


def _nuts_chains(options: SamplingRun, is_near_mode: bool, can_be_peak: bool, acceptance: float) -> TunedChains:
    """Run NUTS, adapted to an acceptance. Its warm-up records as well, so that it is the same compiled program."""

    def hardly_moves(_: object, state: NUTSState) -> bool:
        """True where most chains do."""
        step_size = np.exp(np.median(np.asarray(state.adaptation.mean_log_step)))  # of NumPy, without compiling
        return float(step_size) * options.dimension**0.25 < LEAST_STEP

    num_warmup = options.num_warmup or (WARMUP_NEAR_MODE if is_near_mode else WARMUP_ELSEWHERE)
    variance = jnp.full(options.dimension, options.temperature)
    algorithm = NUTS(options.dimension**-0.25, options.temperature, variance, stages_of(num_warmup), acceptance)
    start, spent = options.start, 0
    if not is_near_mode and not options.is_start_given:
        positions = start_positions(options.start, options.keys[1], options.num_chains)
        ends, passes = descend_steeply(options.problem, positions, options.temperature)
        start, spent = Stacked(ends), passes * int(options.problem.size)
    warm = simulate(
        algorithm,
        options.problem,
        start,
        key=options.keys[1],
        num_steps=num_warmup,
        num_chains=options.num_chains,
        record_every=num_warmup,
        progress=options.saving["progress"],
        callbacks=[hardly_moves] if can_be_peak else [],
        callback_every=PEAK_CHECK if can_be_peak else None,
    )
    if can_be_peak and hardly_moves(None, warm.state):
        raise PeakError(warm.evaluations)
    algorithm, thinning = algorithm.frozen(warm.state), options.thinning or 1
    run = options.run(algorithm, warm, thinning)
    return TunedChains(algorithm, run, float(algorithm.step_size), thinning, spent + warm.evaluations + run.evaluations)


def tuned_step_size(
    options: SamplingRun, method: SamplingMethod, mode: Float[Array, " d"]
) -> tuple[float, StepSizeBias | None, int]:
    """Return the step size of a method, its bias where the method is not exact, and what they cost."""
    tune_key = options.keys[0]
    tuned = options.problem, options.start, options.num_chains
    if method.dynamics in ("pcn", "pcnl"):  # whose steps are those of the prior
        step_size, spent = tune_acceptance(method, *tuned, 1.0, tune_key)
        return step_size, None, spent
    curvature = float(largest_curvature(options.problem, mode, key=tune_key))
    evaluations = 2 * CURVATURE_ITERATIONS * int(options.problem.size)
    if method.is_exact:
        first_step = 1 / curvature / len(mode) ** (1 / 3)
        step_size, spent = tune_acceptance(method, *tuned, first_step, tune_key)
        return step_size, None, evaluations + spent
    first_step = FIRST_STEP[method.order] / curvature ** (1 / method.order)
    bias = tune_bias(method, *tuned, first_step, tune_key, options.bias_limit)
    return bias.step_size, bias, evaluations + bias.evaluations


def langevin_chains(
    options: SamplingRun, method: SamplingMethod, mode: Float[Array, " d"], step_size: float | None, slowest: float
) -> TunedChains:
    """Run any other dynamics, with a step size that is tuned where there is none; `slowest` is a relaxation time."""
    bias, evaluations = None, 0
    if step_size is None:
        step_size, bias, evaluations = tuned_step_size(options, method, mode)
    step_size = float(step_size)
    relaxation = max(1, round(RELAXATION.get(method.dynamics, 1) / (step_size * slowest)))
    algorithm, num_warmup = method(step_size), options.num_warmup or WARMUP * relaxation
    warm = simulate(  # records as well, so that it is the same compiled program
        algorithm,
        options.problem,
        options.start,
        key=options.keys[1],
        num_steps=num_warmup,
        num_chains=options.num_chains,
        record_every=num_warmup,
        record=record_of(algorithm),
        progress=options.saving["progress"],
    )
    thinning = options.thinning or relaxation
    run = options.run(algorithm, warm, thinning)
    return TunedChains(algorithm, run, step_size, thinning, evaluations + warm.evaluations + run.evaluations, bias)
