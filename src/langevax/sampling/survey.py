"""The pilot of `sample` and its findings, modes and coordinates of unit curvature, from which chains start."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax._typing import PRNGKey
from langevax.algorithm import Algorithm
from langevax.problems.coordinates import innermost
from langevax.problems.finite_sum import FiniteSum
from langevax.problems.problem import Problem
from langevax.run import Result, Run, simulate
from langevax.run.program import Observe
from langevax.run.result import named_leaves
from langevax.run.simulate import position_of
from langevax.run.start import Start
from langevax.samplers import ReplicaExchange
from langevax.sampling.choice import Costs, NormalFit, operations_of_row
from langevax.sampling.evaluations import evaluate
from langevax.sampling.methods import BatchChoice, choose_batch
from langevax.sampling.modes import Exploration, Explorer, Mode, Wishes
from langevax.sampling.preconditioning import (
    MAX_COORDINATES,
    CoordinateMap,
    Pilot,
    pilot_coordinates,
)
from langevax.sampling.resolution import (
    FINER,
    ResolutionError,
    check_resolution,
    normal_deviations,
)
from langevax.sampling.starts import (
    ChainStart,
    Keys,
    Lengths,
    StartByFunction,
    StartNear,
    UniformStart,
)
from langevax.sampling.target import Resolved, check_finite


def record_of(algorithm: Algorithm) -> Observe:
    """Return what is a draw: the position, of the coldest replica where there are several."""
    return (
        ReplicaExchange.coldest
        if isinstance(algorithm, ReplicaExchange)
        else position_of
    )


@dataclass(frozen=True)
class PilotSurvey:
    """The pilot, the coordinates that are sampled, where chains start in them, and for how long they run."""

    target: Resolved
    keys: Keys
    exploration: Exploration
    coordinates: CoordinateMap
    mode: Float[Array, " d"]
    start: ChainStart
    is_near_mode: bool
    """False where the law is far from normal about the mode, so that chains start around the start."""
    evaluations: int
    lengths: Lengths
    saving: Run

    @classmethod
    def of(
        cls,
        target: Resolved,
        wishes: Wishes,
        keys: Keys,
        lengths: Lengths,
        saving: Run,
    ) -> "PilotSurvey":
        """Run the pilot; the target's position is then that from which it started."""
        target, exploration = _explored(target, wishes, keys)
        coordinates = exploration.coordinates
        start: ChainStart = exploration.start(target.temperature)
        if target.function is not None:
            start = StartByFunction(target.function, coordinates)
        survey = cls(
            target,
            keys,
            exploration,
            coordinates,
            exploration.mode,
            start,
            True,
            exploration.evaluations,
            lengths,
            saving,
        )
        fit = exploration.fit
        if not wishes.needs_mode and (fit is None or not fit.is_usable):
            return survey.around_start()
        try:
            survey.check_resolution()
        except ResolutionError:
            if fit is None or fit.is_close:
                raise
            # the mode may be a peak, whose curvature is not that of the law
            return survey.around_start()
        return survey

    @cached_property
    def operations(self) -> float:
        """Floating-point operations of the gradient of a row."""
        return operations_of_row(self.coordinates.problem, self.mode)

    @property
    def may_have_matrix(self) -> bool:
        """True where coordinates of draws may be any: about a mode, or where a matrix costs less than a pass."""
        if self.dimension > MAX_COORDINATES:
            return False
        if self.is_near_mode:
            return True
        plain = self.coordinates.without_matrix().problem
        operations = operations_of_row(plain, self.mode)
        return Costs().allows_matrix(int(plain.size), self.dimension, operations)

    @property
    def problem(self) -> Problem:
        """In the coordinates that are sampled."""
        return self.coordinates.problem

    @property
    def temperature(self) -> float:
        return self.target.temperature

    @property
    def dimension(self) -> int:
        return len(self.mode)

    def warmed(
        self,
        algorithm: Algorithm,
        start: Start,
        num_steps: int,
        key: PRNGKey,
        **recording: Any,
    ) -> Result:
        """Run a warm-up, which records as well, so that it is the compiled program of the draws."""
        options = {"record": record_of(algorithm), "record_every": num_steps}
        return simulate(
            algorithm,
            self.problem,
            start,
            key=key,
            num_steps=num_steps,
            run=self.saving.unsaved(),
            **options | recording,
        )

    @property
    def fit(self) -> NormalFit | None:
        """Departure of the law from the normal law about the mode; None without a mode."""
        return self.exploration.fit

    @property
    def is_even(self) -> bool:
        """True in coordinates of the whole Hessian."""
        scales = self.exploration.pilot.scales
        return scales is not None and scales.ndim == 2

    @property
    def prior_share(self) -> Float[Array, "..."] | float:
        """Share of the prior in the curvature of each coordinate, which is 1."""
        if self.exploration.pilot.scales is None:
            return 1.0
        return jnp.minimum(self.problem.precision, 1)

    @cached_property
    def batch(self) -> BatchChoice:
        """The rows of a step that heat chains by a few percent, with variance reduction."""
        law = self.problem, self.mode, self.temperature
        is_sum = isinstance(innermost(self.problem), FiniteSum)
        most = int(self.problem.size) if is_sum else 0
        return choose_batch(*law, self.keys.batches, most_in_every=most)

    def with_rows_apart(self) -> "PilotSurvey":
        """Return the same law with the rows of `batch.every` in each component, so that every batch has them."""
        if not len(self.batch.every):
            return self
        apart = self.coordinates.with_rows_apart(self.batch.every)
        return replace(self, coordinates=apart)

    def check_resolution(self) -> None:
        """Raise where floating-point numbers around the mode are too far apart for the normal law there."""
        scales = jnp.full_like(self.mode, np.sqrt(self.temperature))
        deviations = normal_deviations(self.coordinates, scales, self.keys.pilot)
        centres = named_leaves(self.coordinates.to_position(self.mode))
        check_resolution(deviations, centres, FINER)

    def around_start(self, evaluations: int = 0) -> "PilotSurvey":
        """Return the coordinates in units of the curvature at the start, and chains around it.

        `evaluations` were spent in between. Chains start by the user's function where there is one.
        """
        temperature = self.temperature
        begin = self.target.start
        position = self.target.position
        flat = self.exploration.flat
        vector = flat.from_position(position)
        coordinates = flat.with_units_at(vector, temperature, self.keys.pilot)
        centre = coordinates.from_position(position)
        if isinstance(begin, UniformStart):
            start = replace(begin, coordinates=coordinates)
        elif begin is not None:
            start = StartByFunction(begin, coordinates)
        else:
            scale = jnp.sqrt(jnp.asarray(temperature, centre.dtype))
            start = StartNear(coordinates.problem, centre, scale)
        return replace(
            self,
            coordinates=coordinates,
            mode=centre,
            start=start,
            is_near_mode=False,
            evaluations=self.evaluations + evaluations,
        )

    def modes(
        self,
        coordinates: CoordinateMap,
        draws: Float[np.ndarray, "chain draw d"],
    ) -> list[Mode]:
        """Return the modes that were met, or what draws missed where weights by curvatures would mislead."""
        if self.is_near_mode:
            return self.exploration.modes()
        return self.exploration.unvisited(coordinates, draws, self.temperature)


def _explored(
    target: Resolved,
    wishes: Wishes,
    keys: Keys,
) -> tuple[Resolved, Exploration]:
    """Return the target with the position from which the pilot started, and what it found."""
    law = target.problem, target.position, target.temperature
    base = pilot_coordinates(*law, wishes.is_preconditioned)
    vector = base.from_position(target.position)
    elsewhere = None
    if isinstance(target.start, UniformStart):
        elsewhere = target.start.best(keys.start, base)
        vector = jnp.asarray(base.from_vectors(elsewhere)[0])
        target = target._replace(position=base.to_position(vector))
    if target.inverse is None:  # by the program that searches for a mode
        check_finite(evaluate(base.problem, np.asarray(vector)[None])[0][0])
    explorer = Explorer(
        base,
        wishes,
        target.temperature,
        keys.pilot,
        is_searched=target.function is None and not wishes.keeps_prior,
        elsewhere=elsewhere,
    )
    try:
        return target, explorer.explore(vector)
    except ValueError:
        if wishes.needs_mode or not wishes.is_preconditioned:
            raise
    pilot = Pilot(vector, None, 0)
    return target, Exploration(base, pilot, base, vector)
