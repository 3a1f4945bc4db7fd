"""From distinct rows to a trained network: units, padding, the choice of weight decay, both phases.

Inputs are standardised columns over sqrt(d) with a constant column of the same size, 1 / sqrt(d), behind: rows of about
length 1, as on the sphere, whose last weight is a neuron's bias. Targets are standardised. Rows are padded by rows of
weight 0, and left out by weight 0 too, so that folds and the choice of weight decay run the programs of the fit.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import random
from jaxtyping import Array, Key

from langevax.run import simulate
from langevax.sklearn.table import Rows, Standardiser, bucket, padded, weighted_moments
from langevax.teacher_student import Converge, Explore, ReLUNetwork, TwoPhaseFit, two_phase
from langevax.teacher_student.errors import block_size_for
from langevax.teacher_student.phases import curvature_bound
from langevax.teacher_student.two_phase import Settled, network_and_loss

DECAYS = (1e-3, 1e-4, 0.0, 1e-2)
"""Tried by weight_decay="auto", each from where the one before ended. Strong ones make up for a poor exploration; the
strongest comes last, since a neuron that decayed to 0 does not come back."""
HELD_OUT = 0.2
FEWEST_ROWS = 20
"""To choose a weight decay by; of fewer, the strongest is taken."""
LOOKS = 50  # records of phase I, and of phase II at the same interval


class Settings(NamedTuple):
    """Parameters of the estimator that concern training."""

    num_neurons: int
    num_restarts: int
    temperature: float
    annealing: float
    penalty: float
    bound: float
    weight_decay: Any
    explore_steps: int
    explore_step_size: float
    converge_steps: int
    converge_step_size: float
    tolerance: float
    progress: bool | None

    @property
    def record_every(self) -> int:
        return max(1, (self.explore_steps or self.converge_steps) // LOOKS)

    def explore(self, curvature: float) -> Explore:
        """Phase I, its step in units of the inverse curvature; to the plateau where the temperature stays."""
        return Explore(
            step_size=self.explore_step_size / curvature,
            temperature=self.temperature,
            annealing=self.annealing,
            ridge=self.penalty,
            bound=self.bound,
            num_steps=self.explore_steps,
            plateau=self.annealing == 1,
        )

    def converge(self, curvature: float, decay: float) -> Converge:
        """Phase II; its curvature has the weight decay's added."""
        step_size = self.converge_step_size / (curvature + 2 * decay)
        return Converge(step_size, self.converge_steps, decay, self.tolerance)


@dataclass(frozen=True)
class Units:
    """From the user's columns and targets to those of the network, and back."""

    inputs: Standardiser
    constant: float
    """The column behind the others."""
    target_mean: float
    target_scale: float

    @classmethod
    def fit(cls, rows: Rows) -> "Units":
        mean, deviation = weighted_moments(rows.targets, rows.weights)
        inputs = Standardiser.fit(rows.inputs, rows.weights, "columns")
        varying = np.count_nonzero(np.isfinite(inputs.scale))
        return cls(inputs, float(max(1, varying) ** -0.5), float(mean), float(deviation))

    def prepared(self, inputs: np.ndarray) -> np.ndarray:
        """(n, d + 1) float32."""
        standardised = self.inputs(inputs)
        return np.column_stack([standardised, np.full(len(inputs), self.constant, np.float32)])


class Fitted(NamedTuple):
    """What training gives."""

    fit: TwoPhaseFit
    intercept: float
    decay: float
    errors: dict[float, float]
    """Mean square error on the rows held out, of each weight decay; empty where none was chosen."""


class Problem(NamedTuple):
    """Rows as `two_phase` takes them, padded."""

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    @property
    def given(self) -> dict[str, Any]:
        return {"weights": self.weights, "intercept": True}


def train(rows: Rows, units: Units, settings: Settings, key: Key[Array, ""]) -> Fitted:
    """Choose the weight decay where it is to be chosen, then both phases on all rows."""
    split_key, choice_key, fit_key = random.split(key, 3)
    length = bucket(len(rows.inputs))
    targets = ((rows.targets - units.target_mean) / units.target_scale).astype(np.float32)
    weights = np.zeros(length, np.float32)
    weights[: len(rows.weights)] = rows.weights
    problem = Problem(padded(units.prepared(rows.inputs), length), padded(targets, length), weights)
    curvature = curvature_bound(problem.inputs, settings.num_neurons, problem.weights)
    decay, errors = settings.weight_decay, {}
    if isinstance(decay, str):
        decay = max(DECAYS)
        if len(rows.inputs) >= FEWEST_ROWS:
            chosen = np.asarray(random.permutation(split_key, length))  # of a length that is seen again
            held_out = chosen[chosen < len(rows.inputs)][: int(HELD_OUT * len(rows.inputs))]
            errors = held_out_errors(problem, held_out, settings, curvature, choice_key)
            decay = min(errors, key=lambda one: errors[one])
    fit = two_phase(
        problem.inputs,
        problem.targets,
        settings.num_neurons,
        key=fit_key,
        explore=settings.explore(curvature),
        converge=settings.converge(curvature, decay),
        num_restarts=settings.num_restarts,
        record_every=settings.record_every,
        progress=settings.progress,
        **problem.given,
    )
    return Fitted(fit, intercept(fit.network, problem), float(decay), errors)


def held_out_errors(
    problem: Problem, held_out: np.ndarray, settings: Settings, curvature: float, key: Key[Array, ""]
) -> dict[float, float]:
    """Errors on the rows held out, of each decay: one exploration, then phase II at one decay after the other.

    Each time of the restart of least training loss, as the fit will take it.
    """
    weights = problem.weights.copy()
    weights[held_out] = 0
    kept = problem._replace(weights=weights)
    key, explore_key = random.split(key)
    run = two_phase(
        kept.inputs,
        kept.targets,
        settings.num_neurons,
        key=explore_key,
        explore=settings.explore(curvature),
        converge=Converge(num_steps=0),
        num_restarts=settings.num_restarts,
        record_every=settings.record_every,
        progress=settings.progress,
        **kept.given,
    ).result
    neurons = settings.num_neurons * settings.num_restarts
    errors, block_size = {}, block_size_for(neurons, kept.inputs.shape[1])  # of the fit's program
    for decay in DECAYS:
        converge, key = settings.converge(curvature, decay), random.fold_in(key, 1)
        run = simulate(
            converge.algorithm(kept.inputs, settings.num_neurons),
            converge.problem(kept.inputs, kept.targets, **kept.given, block_size=block_size),
            run,
            key=key,
            num_steps=max(1, settings.converge_steps // len(DECAYS)),
            record=network_and_loss,
            record_every=settings.record_every,
            callbacks=(Settled(settings.tolerance),),
            callback_every=settings.record_every,
            progress=settings.progress,
        )
        assert run.trace is not None
        best = int(np.argmin(run.trace.values["loss"][:, -1]))
        network = jax.tree.map(lambda leaf, best=best: np.asarray(leaf)[best], run.position)
        left = problem.targets - outputs(network, problem.inputs) - intercept(network, kept)
        errors[decay] = float(np.average(left[held_out] ** 2, weights=problem.weights[held_out]))
    return errors


def intercept(network: ReLUNetwork, problem: Problem) -> float:
    """The mean of the targets that the network leaves."""
    return float(np.average(problem.targets - outputs(network, problem.inputs), weights=problem.weights))


def outputs(network: ReLUNetwork, prepared: np.ndarray) -> np.ndarray:
    """(n,) float64, without the intercept."""
    outer, inner = (np.asarray(leaf, np.float64) for leaf in network)
    return np.maximum(prepared @ inner.T, 0) @ outer
