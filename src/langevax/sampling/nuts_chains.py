"""Chains of NUTS: their warm-up, in other coordinates where its draws are correlated, and their draws."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jax.typing import ArrayLike

from langevax.run import Result, Stacked
from langevax.sampling.correlations import without_correlations
from langevax.sampling.descents import descend_steeply
from langevax.sampling.draws import TunedChains, drawn_chains
from langevax.sampling.nuts import NUTS, NUTSState, stages_of
from langevax.sampling.preconditioning import MAX_COORDINATES, CoordinateMap
from langevax.sampling.survey import PilotSurvey


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
    """Share of steps up to which NUTS is run again, adapted to another acceptance."""
    careful_acceptance: float = 0.99
    """Most often none diverges then."""


WARM_UP = WarmUp()


class PeakError(RuntimeError):
    """Chains about a mode hardly move; `evaluations` were spent."""

    def __init__(self, evaluations: int):
        super().__init__("steps about the mode are tiny, as in a narrow peak")
        self.evaluations = evaluations


def nuts_chains(
    survey: PilotSurvey, target_accept: float
) -> tuple[TunedChains, CoordinateMap]:
    """Return chains of NUTS, and the coordinates of their draws: others where draws of the warm-up are correlated.

    Where few steps diverge, draws are of another run with shorter ones, unless they are saved.

    Raises:
        PeakError: chains about a mode hardly move.
    """
    is_formed = survey.may_have_matrix
    coordinates = survey.coordinates
    coordinates = (
        coordinates.with_matrix() if is_formed else coordinates.without_matrix()
    )
    survey = replace(survey, coordinates=coordinates)
    unadapted, warm, spent = _warm_up(survey, target_accept)
    algorithm = unadapted.frozen(warm.state)
    positions = np.asarray(warm.positions)
    if is_formed and (
        others := without_correlations(
            survey.coordinates, positions, survey.temperature
        )
    ):
        survey = replace(survey, coordinates=others[0])
        algorithm, warm = _settle(survey, unadapted, target_accept, others[1])
        spent += warm.evaluations
    chains = _drawn(survey, algorithm, warm, spent)
    return _without_divergences(survey, algorithm, chains), survey.coordinates


def _without_divergences(
    survey: PilotSurvey,
    algorithm: NUTS,
    chains: TunedChains,
) -> TunedChains:
    """Return draws of another run with shorter steps where few steps diverge, unless they are saved."""
    divergences = chains.result.counts["divergences"]
    steps = chains.result.steps * survey.lengths.num_chains
    is_saved = survey.saving.checkpoint is not None
    if is_saved or not 0 < divergences <= WARM_UP.few_divergences * steps:
        return chains
    if algorithm.target_accept >= WARM_UP.careful_acceptance:
        return chains
    survey = replace(survey, keys=survey.keys.folded(2))
    algorithm, warm = _settle(
        survey, algorithm, WARM_UP.careful_acceptance, chains.result.position
    )
    remark = (
        f"{divergences:,} of {steps:,} steps diverged, so that draws are of another "
        "run with shorter ones"
    )
    return _drawn(
        survey, algorithm, warm, chains.evaluations + warm.evaluations, remark
    )


def _warm_up(survey: PilotSurvey, target_accept: float) -> tuple[NUTS, Result, int]:
    """Return the unadapted NUTS, the warm-up and its cost."""
    dimension = survey.dimension

    def hardly_moves(_: object, state: NUTSState) -> bool:
        """True where most chains do."""
        log_steps = np.asarray(state.adaptation.mean_log_step)
        step_size = np.exp(np.median(log_steps))  # of NumPy, without compiling
        return float(step_size) * dimension**0.25 < WARM_UP.least_step

    is_near_mode = survey.is_near_mode
    default = WARM_UP.near_mode if is_near_mode else WARM_UP.elsewhere
    num_warmup = survey.lengths.warmup(default)
    positions = survey.start(survey.keys.warmup, survey.lengths.num_chains)
    passes = 0
    if not is_near_mode and survey.target.function is None:
        positions, passes = descend_steeply(
            survey.problem, positions, survey.temperature
        )
    stages = np.asarray(stages_of(num_warmup))
    fill = 0, max(0, WARM_UP.elsewhere - num_warmup)  # one length, one program
    algorithm = NUTS(
        dimension**-0.25,
        survey.temperature,
        target_accept,
        jnp.full(dimension, survey.temperature),
        jnp.asarray(np.pad(stages, fill, "edge")),
    )
    recording: dict[str, Any] = {}
    if dimension <= MAX_COORDINATES:
        recording["record_every"] = 1
    can_be_peak = is_near_mode and survey.is_even
    if can_be_peak:
        recording |= {
            "callbacks": [hardly_moves],
            "callback_every": WARM_UP.peak_check,
        }
    start = Stacked(positions)
    key = survey.keys.warmup
    warm = survey.warmed(algorithm, start, num_warmup, key, **recording)
    if can_be_peak and hardly_moves(None, warm.state):
        raise PeakError(warm.evaluations)
    return algorithm, warm, passes * int(survey.problem.size) + warm.evaluations


def _settle(
    survey: PilotSurvey,
    algorithm: NUTS,
    acceptance: float,
    start: ArrayLike,
) -> tuple[NUTS, Result]:
    """Adapt the step size alone, from one position of each chain, by the program of the warm-up."""
    num_steps = min(WARM_UP.settling, len(algorithm.schedule))
    algorithm = algorithm.settling(num_steps, acceptance)
    key = random.fold_in(survey.keys.warmup, 1)
    run = survey.warmed(algorithm, Stacked(jnp.asarray(start)), num_steps, key)
    return algorithm.frozen(run.state), run


def _drawn(
    survey: PilotSurvey,
    algorithm: NUTS,
    warm: Result,
    spent: int,
    remark: str = "",
) -> TunedChains:
    """Draw from where the warm-up ended; `spent` counts the evaluations so far."""
    step_size = float(algorithm.step_size)
    return drawn_chains(survey, algorithm, warm, step_size, 1, spent, remark=remark)
