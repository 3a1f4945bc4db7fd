"""Chains of `sample`: warm-up and draws by each kind of dynamics, in the coordinates of the pilot."""

from typing import NamedTuple

from langevax.algorithm import Algorithm
from langevax.problems.problem import CURVATURE_ITERATIONS, largest_curvature
from langevax.run import Result, Stacked, simulate
from langevax.samplers import Langevin
from langevax.sampling.methods import (
    SamplingMethod,
    StepSizeBias,
    estimate_bias,
    tune_acceptance,
    tune_bias,
)
from langevax.sampling.moves import HMC
from langevax.sampling.survey import PilotSurvey, record_of


class TunedChains(NamedTuple):
    """The recorded run of an algorithm, and what came before it."""

    algorithm: Algorithm | HMC
    result: Result
    step_size: float
    thinning: int
    evaluations: int
    """Component gradients of tuning, warm-up and sampling."""
    step_size_bias: StepSizeBias | None = None
    remark: str = ""
    """What else there is to say of the choice of the method."""


def drawn_chains(
    survey: PilotSurvey,
    algorithm: Algorithm,
    warm: Result,
    step_size: float,
    spacing: int,
    spent: int,
    step_size_bias: StepSizeBias | None = None,
    remark: str = "",
) -> TunedChains:
    """Draw from where the warm-up ended, which was `spent` evaluations so far; `spacing` is the default thinning."""
    thinning = survey.lengths.spacing(spacing)
    run = simulate(
        algorithm,
        survey.problem,
        warm,
        key=survey.keys.sampling,
        num_steps=survey.lengths.num_samples * thinning,
        record_every=thinning,
        record=record_of(algorithm),
        run=survey.saving,
    )
    spent += run.evaluations
    return TunedChains(
        algorithm, run, step_size, thinning, spent, step_size_bias, remark
    )


def tuned_step_size(
    survey: PilotSurvey,
    method: SamplingMethod,
    passed: float | None,
) -> tuple[float, StepSizeBias | None, int]:
    """Return the step size of a method, tuned unless one was passed, its bias for Langevin dynamics, and what they cost."""
    key = survey.keys.tuning
    tuned = survey.problem, Stacked(survey.start(key, survey.lengths.num_chains))
    if passed is not None:
        number = method.number_of(passed)
        if not isinstance(method.template, Langevin):
            return number, None, 0
        spacing = survey.lengths.spacing(max(1, round(method.relaxation / number)))
        bias = estimate_bias(method, *tuned, number, key, spacing)
        return number, bias, bias.evaluations
    if not (method.is_exact or isinstance(method.template, Langevin)):
        raise ValueError(
            f"step_size of {type(method.template).__name__} is 'auto', but only steps "
            "of Langevin dynamics, MALA, pCN and pCNL are tuned; pass a number."
        )
    if method.is_of_prior:  # whose steps are those of the prior
        step_size, spent = tune_acceptance(method, *tuned, 1.0, key)
        return step_size, None, spent
    curvature = float(largest_curvature(survey.problem, survey.mode, key=key))
    evaluations = 2 * CURVATURE_ITERATIONS * int(survey.problem.size)
    if method.is_exact:
        first_step = 1 / curvature / survey.dimension ** (1 / 3)
        step_size, spent = tune_acceptance(method, *tuned, first_step, key)
        return step_size, None, evaluations + spent
    bias = tune_bias(method, *tuned, method.first_step / curvature, key)
    return bias.step_size, bias, evaluations + bias.evaluations


def langevin_chains(
    survey: PilotSurvey,
    method: SamplingMethod,
    step_size: float | None,
    warmup_times: int = 10,
) -> TunedChains:
    """Run any dynamics but NUTS, with a step size that is tuned where there is none, after so many relaxation times."""
    number, bias, spent = tuned_step_size(survey, method, step_size)
    relaxation = max(1, round(method.relaxation / number))
    algorithm = method(number)
    steps = survey.lengths.warmup(warmup_times * relaxation)
    start = Stacked(survey.start(survey.keys.warmup, survey.lengths.num_chains))
    warm = survey.warmed(algorithm, start, steps, survey.keys.warmup)
    spent += warm.evaluations
    return drawn_chains(survey, algorithm, warm, float(number), relaxation, spent, bias)
