"""Chains of NUTS: their warm-up, in other coordinates where its draws are correlated, and their draws."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jax.typing import ArrayLike

from langevax._typing import PRNGKey
from langevax.run import Result, Stacked, simulate
from langevax.sampling.correlations import without_correlations
from langevax.sampling.descents import descend_steeply
from langevax.sampling.draws import SamplingRun, TunedChains
from langevax.sampling.nuts import NUTS, NUTSState, stages_of
from langevax.sampling.preconditioning import MAX_COORDINATES, CoordinateMap


class WarmUp(NamedTuple):
    """Lengths and limits of the warm-up of NUTS, in steps of each chain."""

    near_mode: int = 300
    elsewhere: int = 1000
    settling: int = 100
    """Further ones that adapt the step size alone, to other coordinates or to another acceptance."""
    least_step: float = 0.1
    """Step size about a mode, times d^(1/4): 0.2 to 1 where the curvature there is that of the law, 0.001 in a peak
    that has hardly any of its mass, such as that of a hierarchy where all groups are alike."""
    peak_check: int = 15
    """Those after which chains in a peak have tiny ones, each of which takes up to 1,023 gradients."""
    few_divergences: float = 0.02
    """Share of steps up to which NUTS is run again, adapted to other acceptances."""
    careful_acceptances: tuple[float, ...] = (0.95, 0.99)
    """Most often none diverges then."""


WARM_UP = WarmUp()


class PeakError(RuntimeError):
    """Chains about a mode hardly move; `evaluations` were spent."""

    def __init__(self, evaluations: int):
        super().__init__("steps about the mode are tiny, as in a narrow peak")
        self.evaluations = evaluations


def nuts_chains(
    options: SamplingRun,
    coordinates: CoordinateMap,
    target_accept: float,
    is_near_mode: bool,
    can_be_peak: bool,
) -> tuple[TunedChains, CoordinateMap]:
    """Return chains of NUTS, and the coordinates of their draws: others where draws of the warm-up are correlated.

    Where few steps diverge, draws are of another run with shorter ones, unless they are saved.

    Args:
        options: its problem is that of the coordinates.
        coordinates: in which chains start.
        target_accept: of steps; where few diverge, larger ones are tried.
        is_near_mode: they start as draws about a mode.
        can_be_peak: the mode may be a peak without mass; the curvature there is even in all directions.

    Raises:
        PeakError: chains about a mode hardly move.
    """
    coordinates = coordinates.with_matrix()
    options = options._replace(problem=coordinates.problem)
    unadapted, warm, spent = _warm_up(options, target_accept, is_near_mode, can_be_peak)
    algorithm = unadapted.frozen(warm.state)
    positions = np.asarray(warm.positions)
    is_formed = options.dimension <= MAX_COORDINATES
    if is_formed and (
        others := without_correlations(coordinates, positions, options.temperature)
    ):
        coordinates, ends = others
        options = options._replace(problem=coordinates.problem)
        algorithm, warm = _settle(
            options,
            unadapted,
            target_accept,
            ends,
            random.fold_in(options.keys.warmup, 1),
        )
        spent += warm.evaluations
    chains = _drawn(options, algorithm, warm, spent)
    return _without_divergences(options, algorithm, chains), coordinates


def _without_divergences(
    options: SamplingRun, algorithm: NUTS, chains: TunedChains
) -> TunedChains:
    """Return draws of further runs with shorter steps while few steps diverge, unless they are saved."""
    keys = options.keys
    asked = float(algorithm.target_accept)
    larger = [a for a in WARM_UP.careful_acceptances if a > asked]
    for number, acceptance in enumerate(larger, 2):
        divergences = chains.result.counts["divergences"]
        steps = chains.result.steps * options.lengths.num_chains
        is_saved = options.saving.checkpoint is not None
        if is_saved or not 0 < divergences <= WARM_UP.few_divergences * steps:
            break
        settle_key = random.fold_in(keys.warmup, number)
        algorithm, warm = _settle(
            options, algorithm, acceptance, chains.result.position, settle_key
        )
        remark = f"{divergences:,} of {steps:,} steps diverged, so that draws are of another run with shorter ones"
        run_key = random.fold_in(keys.sampling, number)
        again = options._replace(keys=keys._replace(sampling=run_key))
        spent = chains.evaluations + warm.evaluations
        chains = _drawn(again, algorithm, warm, spent, remark)
    return chains


def _warm_up(
    options: SamplingRun,
    target_accept: float,
    is_near_mode: bool,
    can_be_peak: bool,
) -> tuple[NUTS, Result, int]:
    """Return the unadapted NUTS, the warm-up and its cost; it records too, so that draws use the same program."""

    def hardly_moves(_: object, state: NUTSState) -> bool:
        """True where most chains do."""
        step_size = np.exp(
            np.median(np.asarray(state.adaptation.mean_log_step))
        )  # of NumPy, without compiling
        return float(step_size) * options.dimension**0.25 < WARM_UP.least_step

    num_warmup = options.lengths.warmup(
        WARM_UP.near_mode if is_near_mode else WARM_UP.elsewhere
    )
    can_be_peak &= is_near_mode
    positions = options.start(options.keys.warmup, options.lengths.num_chains)
    passes = 0
    if not is_near_mode and not options.is_start_given:
        positions, passes = descend_steeply(
            options.problem, positions, options.temperature
        )
    stages = np.asarray(stages_of(num_warmup))
    stages = np.pad(
        stages, (0, max(0, WARM_UP.elsewhere - num_warmup)), "edge"
    )  # one length, one program
    variance = jnp.full(options.dimension, options.temperature)
    algorithm = NUTS(
        options.dimension**-0.25,
        options.temperature,
        target_accept,
        variance,
        jnp.asarray(stages),
    )
    warm = simulate(
        algorithm,
        options.problem,
        Stacked(positions),
        key=options.keys.warmup,
        num_steps=num_warmup,
        record_every=1 if options.dimension <= MAX_COORDINATES else num_warmup,
        run=options.saving.unsaved(),
        callbacks=[hardly_moves] if can_be_peak else [],
        callback_every=WARM_UP.peak_check if can_be_peak else None,
    )
    if can_be_peak and hardly_moves(None, warm.state):
        raise PeakError(warm.evaluations)
    return algorithm, warm, passes * int(options.problem.size) + warm.evaluations


def _settle(
    options: SamplingRun,
    algorithm: NUTS,
    acceptance: float,
    start: ArrayLike,
    key: PRNGKey,
) -> tuple[NUTS, Result]:
    """Adapt the step size alone, from one position of each chain, by the program of the warm-up."""
    num_steps = min(WARM_UP.settling, len(algorithm.schedule))
    positions = jnp.asarray(start)
    algorithm = algorithm.settling(num_steps, acceptance)
    run = simulate(
        algorithm,
        options.problem,
        Stacked(positions),
        key=key,
        num_steps=num_steps,
        record_every=num_steps,
        run=options.saving.unsaved(),
    )
    return algorithm.frozen(run.state), run


def _drawn(
    options: SamplingRun,
    algorithm: NUTS,
    warm: Result,
    spent: int,
    remark: str = "",
) -> TunedChains:
    """Draw from where the warm-up ended; `spent` counts the evaluations so far."""
    thinning = options.lengths.spacing(1)
    run = options.run(algorithm, warm, thinning)
    return TunedChains(
        algorithm,
        run,
        float(algorithm.step_size),
        thinning,
        spent + run.evaluations,
        remark=remark,
    )
