"""Which dynamics and which gradients `sample` runs, by name, with the settings that are good by default."""

import math
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Key

from langevax import checks, gradients
from langevax.algorithm import Algorithm
from langevax.gradients import GradientEstimator
from langevax.integrators import Exponential, Integrator
from langevax.langevin import Langevin
from langevax.metropolis import MALA
from langevax.pcn import PCN, PCNL
from langevax.problems.problem import Problem
from langevax.run import simulate
from langevax.theory.bounds import METHODS, theorem_step_size
from langevax.theory.lsi import Target
from langevax.underdamped import Underdamped

Dynamics = Literal["langevin", "underdamped", "mala", "pcn", "pcnl"]
DYNAMICS = ("langevin", "underdamped", "mala", "pcn", "pcnl")
GRADIENTS = ("svrg", "sarah", "minibatch", "control-variate", "full")
SMALL = 512  # components up to which a full gradient is the default: batches would not be cheaper
LEAST_BATCH, PROBED = 32, 512  # components of a batch at least; and those that tell how much they differ
STEP, HEAT = 0.25, 0.06  # what batches may add to the variance at this step, in coordinates of unit curvature
FRICTION = math.sqrt(2)  # of coordinates with unit curvature
SARAH_PERIOD = 8  # at most: its errors add up over an epoch, where those of SVRG do not
ACCEPTED = {"mala": (0.5, 0.8), "pcn": (0.2, 0.4), "pcnl": (0.5, 0.8)}
"""Share of proposals between which a step is left alone; these are exact, and want full gradients."""
LONGEST = 2.0  # step of pCN and pCNL, at which a proposal forgets where it comes from


class Maker(NamedTuple):
    """A step size made an algorithm."""

    dynamics: str
    gradient: GradientEstimator
    temperature: float
    prior_share: Any = 1.0
    """Of the prior in what is known of each coordinate, at most 1: where data inform, pCN and pCNL step shorter."""
    integrator: Integrator = Exponential()

    def __call__(self, step_size: float) -> Algorithm:
        match self.dynamics:
            case "mala":
                return MALA(step_size, self.temperature)
            case "pcn":
                return PCN(as_far(step_size * self.prior_share), self.temperature)
            case "pcnl":
                return PCNL(step_size * self.prior_share, self.temperature)
            case "underdamped":
                return Underdamped(step_size, self.temperature, FRICTION, self.gradient)
            case _:
                return Langevin(step_size, self.temperature, self.gradient, self.integrator)


def as_far(t: Any) -> Any:
    """The s of pCN that moves as far as a step t of pCNL: sqrt(1 - s^2) = (2 - t) / (2 + t)."""
    return jnp.sqrt(8 * t) / (2 + t)


def estimator_of(
    given: Any,
    batch_size: int | None,
    period: int | None,
    problem: Problem,
    mode: Array,
    temperature: float,
    dynamics: str,
    key: Key[Array, ""],
) -> GradientEstimator:
    """The estimator of that name, on a problem in coordinates of unit curvature."""
    n = int(problem.size)
    if isinstance(given, GradientEstimator):
        return given
    if given is None:
        given = "full" if n <= SMALL or dynamics in ACCEPTED else "svrg"
    one_of("gradient", given, GRADIENTS)
    if dynamics in ACCEPTED and given != "full":
        raise ValueError(f"dynamics={dynamics!r} accepts by the whole potential; pass gradient='full', not {given!r}.")
    if given != "full" and n == 1:
        raise ValueError(
            f"gradient={given!r} draws batches, but this target is one function without data; pass 'full'."
        )
    if given == "full":
        return gradients.Full()
    size = quiet_batch(problem, mode, temperature, key) if batch_size is None else batch_size
    checks.positive_int("batch_size", size)
    given_period = period is not None
    period = max(1, round(n / (2 * size))) if period is None else period
    checks.positive_int("period", period)
    match given:
        case "minibatch":
            return gradients.Minibatch(size)
        case "control-variate":
            return gradients.ControlVariate(size, mode)
        case "sarah":
            return gradients.SARAH(size, period if given_period else min(period, SARAH_PERIOD))
        case _:
            return gradients.SVRG(size, period)


def quiet_batch(problem: Problem, mode: Array, temperature: float, key: Key[Array, ""]) -> int:
    """Components of a batch that heats a variance-reduced chain by HEAT at a step of STEP.

    Where curvature is 1 a batch adds step V / (2 T B) of the variance, V the variance over components of the change of
    their gradients between two draws, averaged over coordinates: it is looked at for PROBED of them.
    """
    n = int(problem.size)
    row_key, here_key, there_key = random.split(key, 3)
    spread = jnp.sqrt(jnp.asarray(temperature, mode.dtype))
    here, there = (mode + spread * random.normal(k, mode.shape, mode.dtype) for k in (here_key, there_key))
    indices = random.randint(row_key, (min(n, PROBED),), 0, n, jnp.int32)
    changes = _gradients_at(problem, here, indices) - _gradients_at(problem, there, indices)
    variance = float(jnp.mean(jnp.var(changes, axis=0)))
    return min(n, max(LEAST_BATCH, math.ceil(STEP * variance / (2 * temperature * HEAT))))


@eqx.filter_jit
def _gradients_at(problem: Problem, position: Array, indices: Array) -> Array:
    return problem.gradients_at(position, indices)


def accepted_step(
    make: Maker, problem: Problem, start: Any, num_chains: int, scale: float, size: int, key: Key[Array, ""]
) -> tuple[float, int]:
    """The step of an exact method, by short runs until the share of its proposals in `ACCEPTED` is accepted."""
    (least, most), on_functions = ACCEPTED[make.dynamics], make.dynamics != "mala"
    step_size, used = (1.0 if on_functions else scale / size ** (1 / 3)), 0
    for number in range(12):
        options = {"key": random.fold_in(key, number), "num_steps": 50, "num_chains": num_chains, "progress": False}
        run = simulate(make(step_size), problem, start, **options)
        used += run.evaluations
        accepted = run.metrics["acceptance"]
        if least <= accepted <= most or (on_functions and accepted > most and step_size == LONGEST):
            break
        step_size *= 0.6 if accepted < least else 1.5
        if on_functions:
            step_size = min(step_size, LONGEST)
    return step_size, used


def theorem_step(
    gradient: GradientEstimator,
    dynamics: str,
    problem: Problem,
    temperature: float,
    constants: Target | None,
    accuracy: float | None,
) -> float:
    """The largest step that the method's theorem allows."""
    kind = type(gradient).__name__
    if dynamics != "langevin" or kind not in METHODS:
        raise ValueError(
            f"there is no theorem for dynamics={dynamics!r} with {kind}; pass gradient='full', 'svrg' or 'sarah' with "
            "dynamics='langevin', or step_size='tuned'."
        )
    named: dict[str, Any] = {name: getattr(gradient, name, None) for name in ("batch_size", "period")}
    named |= {"replace": getattr(gradient, "replace", False), "accuracy": accuracy}
    return theorem_step_size(kind, constants, temperature, int(problem.size), **named)


def one_of(name: str, given: Any, known: tuple[Any, ...]) -> None:
    """Raise unless `given` is among the words `known`."""
    if given not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {given!r}.")
