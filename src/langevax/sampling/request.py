"""A call of `sample`: its arguments, checked, and all that its plans share, the target, the pilot and the chains."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jax.core import Tracer

from langevax import checks
from langevax._typing import PRNGKey
from langevax.algorithm import Algorithm
from langevax.run import Run
from langevax.run.options import check_run
from langevax.samplers import MALA, PCN, PCNL, Langevin
from langevax.sampling.draws import TunedChains
from langevax.sampling.exact import normal_posterior
from langevax.sampling.inverse_draws import InverseRun
from langevax.sampling.methods import SamplingMethod
from langevax.sampling.modes import Wishes
from langevax.sampling.preconditioning import CoordinateMap
from langevax.sampling.reference import NormalReference
from langevax.sampling.samples import Samples
from langevax.sampling.starts import Keys, Lengths
from langevax.sampling.survey import PilotSurvey
from langevax.sampling.target import Resolved, SampleTarget


@dataclass(frozen=True)
class Request:
    """The arguments of `sample`."""

    target: SampleTarget
    start: Any
    temperature: float | Literal["auto"]
    algorithm: Any
    """"auto", or one that a plan takes."""
    lengths: Lengths
    tolerance: float | None
    preconditioner: Literal["auto"] | None
    run: Run
    key: PRNGKey
    began: float = field(default_factory=time.perf_counter)

    def check(self) -> None:
        """Raise where an argument is wrong whatever the target is."""
        if isinstance(self.key, Tracer):
            raise TypeError(
                "sample chooses, tunes and warns outside of jax.jit, vmap and grad; "
                "call it from there."
            )
        checks.typed_key(self.key)
        check_run(self.run)
        self.lengths.check()
        if self.preconditioner not in ("auto", None):
            raise ValueError(
                "preconditioner must be 'auto' or None, got "
                f"{checks.shown(self.preconditioner)}."
            )
        self._check_algorithm()
        if self.tolerance is None:
            return
        checks.one_number("tolerance", self.tolerance, positive=True)
        if isinstance(self.algorithm, Langevin):
            raise ValueError(
                "tolerance is for exact algorithms, and Langevin has a bias; leave "
                "algorithm out, or pass langevax.MALA()."
            )
        if self.run.checkpoint is not None:
            raise ValueError(
                "tolerance runs in several parts, and checkpoint saves one; leave "
                "either out."
            )

    def _check_algorithm(self) -> None:
        if self.is_open:
            return
        steps = self._steps
        if not checks.is_auto(getattr(steps, "temperature", "auto")):
            raise ValueError(
                "temperature of the algorithm is that of the target; leave it 'auto'."
            )
        if not checks.is_auto(self.step_size) and (
            callable(self.step_size) or np.ndim(self.step_size)
        ):
            raise ValueError(
                "step_size must be 'auto' or one number in sample, got "
                f"{checks.shown(self.step_size)}."
            )

    @property
    def is_open(self) -> bool:
        """True where the library chooses the algorithm."""
        return checks.is_auto(self.algorithm)

    @property
    def dynamics(self) -> Any:
        """The algorithm in one word: "auto", "nuts", "pcnl", ..."""
        return "auto" if self.is_open else type(self.algorithm).__name__.lower()

    @property
    def _steps(self) -> Any:
        """The algorithm that takes steps: that of the replicas where there are several."""
        return getattr(self.algorithm, "algorithm", self.algorithm)

    @property
    def step_size(self) -> Any:
        """That of the algorithm, where one was passed."""
        return getattr(self._steps, "step_size", "auto")

    @property
    def step_number(self) -> float | None:
        """The step size, None where it is tuned."""
        return None if checks.is_auto(self.step_size) else float(self.step_size)

    @property
    def seconds(self) -> float:
        """Since the call."""
        return time.perf_counter() - self.began

    @cached_property
    def keys(self) -> Keys:
        """Of the parts of the run."""
        return Keys.of(self.key)

    @cached_property
    def posterior(self) -> Resolved:
        """The target as one problem."""
        return Resolved.of(self.target, self.start, self.temperature, self.keys.start)

    @cached_property
    def normal(self) -> NormalReference | None:
        """The posterior in units of the prior, where it is known to be a normal law."""
        return normal_posterior(self.posterior.problem, self.posterior.temperature)

    @cached_property
    def survey(self) -> PilotSurvey:
        """The pilot, its coordinates and the starts of chains."""
        if not self.is_open:
            self._steps.check(self.posterior.problem)
        is_function = self.is_open and self.posterior.inverse is not None
        keeps_prior = is_function or isinstance(self.algorithm, PCN | PCNL)
        needs_mode = keeps_prior or isinstance(self.algorithm, Langevin | MALA)
        wishes = Wishes(self.preconditioner is not None, needs_mode, keeps_prior)
        return PilotSurvey.of(self.posterior, wishes, self.keys, self.lengths, self.run)

    @cached_property
    def host_draws(self) -> Samples | None:
        """Draws of an inverse problem in a loop on the host, None where compiled chains are better."""
        posterior = self.posterior
        assert posterior.inverse is not None
        run = InverseRun(
            posterior.inverse,
            self.dynamics,
            self.lengths,
            self.step_size,
            self.preconditioner,
            posterior.position,
            posterior.function,
            self.run,
            self.key,
        )
        return run.draws()

    def method(self, template: Algorithm) -> SamplingMethod:
        """Return an algorithm for any step size, in the coordinates of the survey."""
        survey = self.survey
        return SamplingMethod(template, self.posterior.temperature, survey.prior_share)

    def samples(
        self,
        survey: PilotSurvey,
        chains: TunedChains,
        method: str,
        reason: str,
        coordinates: CoordinateMap | None = None,
    ) -> Samples:
        """Return the result of chains, in the coordinates of the survey unless they found others."""
        coordinates = coordinates or survey.coordinates
        return Samples.of(
            chains,
            coordinates,
            self.posterior.model,
            temperature=self.posterior.temperature,
            method=method,
            reason=f"{reason}; {chains.remark}" if chains.remark else reason,
            modes=survey.modes(coordinates, chains.result.positions),
            evaluations=survey.evaluations + chains.evaluations,
            seconds=self.seconds,
        )
