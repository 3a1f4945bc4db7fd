"""Chains of `sample`: warm-up and sampling by each kind of dynamics, in the coordinates of the pilot."""

from typing import Literal, NamedTuple

from jaxtyping import Array, Float

from langevax import checks
from langevax.algorithm import Algorithm
from langevax.problems.problem import CURVATURE_ITERATIONS, Problem, largest_curvature
from langevax.run import Result, Run, Stacked, simulate
from langevax.run.program import Observe
from langevax.run.simulate import position_of
from langevax.samplers import ReplicaExchange
from langevax.sampling.methods import (
    SamplingMethod,
    StepSizeBias,
    estimate_bias,
    tune_acceptance,
    tune_bias,
)
from langevax.sampling.starts import ChainStart, Keys


class Lengths(NamedTuple):
    """Draws, chains and steps; "auto" where the dynamics choose."""

    num_samples: int
    num_chains: int
    num_warmup: int | Literal["auto"]
    thinning: int | Literal["auto"]

    def check(self) -> None:
        """Raise unless they are counts; of draws and chains, two at least."""
        for name, count in self._asdict().items():
            is_least = name in ("num_samples", "num_chains")
            checks.positive_int(name, count, minimum=1 + is_least, auto=not is_least)

    def warmup(self, default: int) -> int:
        """Return the steps before the first draw."""
        return default if isinstance(self.num_warmup, str) else self.num_warmup

    def spacing(self, default: int) -> int:
        """Return the steps between draws."""
        return default if isinstance(self.thinning, str) else self.thinning


class SamplingRun(NamedTuple):
    """Target, start and length of a run, common to all kinds of dynamics."""

    problem: Problem
    temperature: float
    start: ChainStart
    dimension: int
    lengths: Lengths
    keys: Keys
    saving: Run
    is_start_given: bool = False
    """The user's function says where chains start."""

    def run(
        self,
        algorithm: Algorithm,
        warm: Result,
        thinning: int,
    ) -> Result:
        """Continue from the end of the warm-up, and record."""
        return simulate(
            algorithm,
            self.problem,
            warm,
            key=self.keys.sampling,
            num_steps=self.lengths.num_samples * thinning,
            record_every=thinning,
            record=record_of(algorithm),
            run=self.saving,
        )

    def first_positions(self) -> Stacked:
        """Return where the chains of the warm-up start."""
        return Stacked(self.start(self.keys.warmup, self.lengths.num_chains))


def record_of(algorithm: Algorithm) -> Observe:
    """Return what is a draw: the position, of the coldest replica where there are several."""
    return (
        ReplicaExchange.coldest
        if isinstance(algorithm, ReplicaExchange)
        else position_of
    )


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


def tuned_step_size(
    options: SamplingRun, method: SamplingMethod, mode: Float[Array, " d"]
) -> tuple[float, StepSizeBias | None, int]:
    """Return the step size of a method, its bias where the method is not exact, and what they cost."""
    if not hasattr(method.template, "step_with_noise"):
        raise ValueError(
            f"step_size of {type(method.template).__name__} is 'auto', but only steps of Langevin dynamics, MALA, pCN and "
            "pCNL are tuned; pass a number."
        )
    tune_key = options.keys.tuning
    start = Stacked(options.start(tune_key, options.lengths.num_chains))
    tuned = options.problem, start
    if method.is_of_prior:  # whose steps are those of the prior
        step_size, spent = tune_acceptance(method, *tuned, 1.0, tune_key)
        return step_size, None, spent
    curvature = float(largest_curvature(options.problem, mode, key=tune_key))
    evaluations = 2 * CURVATURE_ITERATIONS * int(options.problem.size)
    if method.is_exact:
        first_step = 1 / curvature / len(mode) ** (1 / 3)
        step_size, spent = tune_acceptance(method, *tuned, first_step, tune_key)
        return step_size, None, evaluations + spent
    first_step = method.first_step / curvature
    bias = tune_bias(method, *tuned, first_step, tune_key)
    return bias.step_size, bias, evaluations + bias.evaluations


def passed_bias(
    options: SamplingRun, method: SamplingMethod, step_size: float
) -> StepSizeBias | None:
    """Return the bias of a step size that was passed, which is measured as a tuned one's is; None of other algorithms."""
    if method.is_exact or not hasattr(method.template, "step_with_noise"):
        return None
    spacing = options.lengths.spacing(max(1, round(method.relaxation / step_size)))
    key = options.keys.tuning
    start = Stacked(options.start(key, options.lengths.num_chains))
    return estimate_bias(method, options.problem, start, step_size, key, spacing)


def langevin_chains(
    options: SamplingRun,
    method: SamplingMethod,
    mode: Float[Array, " d"],
    step_size: float | None,
    warmup_times: int = 10,
) -> TunedChains:
    """Run any other dynamics, with a step size that is tuned where there is none, after so many relaxation times."""
    if step_size is None:
        number, bias, evaluations = tuned_step_size(options, method, mode)
    else:
        number = method.number_of(step_size)
        bias = passed_bias(options, method, number)
        evaluations = 0 if bias is None else bias.evaluations
    relaxation = max(1, round(method.relaxation / number))
    algorithm = method(number)
    num_warmup = options.lengths.warmup(warmup_times * relaxation)
    warm = simulate(  # records as well, so that it is the same compiled program
        algorithm,
        options.problem,
        options.first_positions(),
        key=options.keys.warmup,
        num_steps=num_warmup,
        record_every=num_warmup,
        record=record_of(algorithm),
        run=options.saving.unsaved(),
    )
    thinning = options.lengths.spacing(relaxation)
    run = options.run(algorithm, warm, thinning)
    return TunedChains(
        algorithm,
        run,
        float(number),
        thinning,
        evaluations + warm.evaluations + run.evaluations,
        bias,
    )
