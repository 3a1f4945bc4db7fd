"""`sample`: draw from a posterior with any Langevin method, tuned, with diagnostics."""

import math
import os
import time
from collections.abc import Callable
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Key

from langevax import checks
from langevax._typing import PyTree
from langevax.gradients import GradientEstimator
from langevax.integrators import Explicit, Exponential
from langevax.problems.finite_sum import Posterior
from langevax.problems.problem import CURVATURE_ITERATIONS, Function, Problem, largest_curvature
from langevax.run import simulate
from langevax.sampling.inverse import InverseProblem
from langevax.sampling.methods import (
    FIRST_STEP,
    FRICTION,
    Dynamics,
    GradientName,
    SamplingMethod,
    check_choice,
    choose_gradient,
    tune_acceptance,
    tune_bias,
)
from langevax.sampling.preconditioning import MAX_COORDINATES, CoordinateMap, Preconditioner, coordinates_of, run_pilot
from langevax.sampling.samples import Samples
from langevax.theory.bounds import theorem_step_size
from langevax.theory.lsi import Target

SampleTarget = Posterior | InverseProblem | Problem | Callable[[PyTree], Float[Array, ""]]
WARMUP = 10  # relaxation times


def sample(
    target: SampleTarget,
    start: PyTree | Callable[[Key[Array, ""]], PyTree] | None = None,
    *,
    key: Key[Array, ""],
    temperature: float | Literal["auto"] = "auto",
    num_samples: int = 1000,
    num_chains: int = 4,
    dynamics: Dynamics = "langevin",
    gradient: GradientName | GradientEstimator = "auto",
    batch_size: int | Literal["auto"] | None = "auto",
    period: int | Literal["auto"] = "auto",
    step_size: float | Literal["auto", "theorem"] = "auto",
    theorem_constants: Target | None = None,
    kl_tolerance: float | None = None,
    preconditioner: Preconditioner | Literal["auto"] | None = "auto",
    num_warmup: int | Literal["auto"] = "auto",
    thinning: int | Literal["auto"] = "auto",
    progress: bool | Literal["auto"] = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Samples:
    """Draw from exp(-potential / temperature).

    A pilot run finds a mode and the curvature there. Chains run in coordinates in which that curvature is 1, and start
    as draws of a normal law about the mode.

    Args:
        target: a `langevax.posterior` or `langevax.inverse_problem`; a function `log_density(position)`; or a problem,
            with `temperature`.
        start: a position from which to search for a mode; or a function `key -> position` from which each chain starts
            (the pilot from one such draw), for laws with several modes. An inverse problem starts at its prior's mean.
        temperature: "auto" is that of the posterior, 1/n, and 1 for a log density.
        num_samples, num_chains: draws of each chain, and independent chains; at least 2.
        dynamics: "langevin"; "underdamped", with a smaller bias and shorter paths; "mala", exact, with full gradients;
            "pcnl" and "pcn" (which takes no gradient), exact, for functions with any number of modes.
        gradient: "svrg", "sarah", "minibatch", "control-variate" (at the mode), "full", or an estimator. "auto" takes
            SVRG, and full gradients for at most 512 components.
        batch_size: "auto" takes the smallest, at least 32, that makes the chain at most 6 % too hot at a step of 0.25,
            estimated by the pilot; None takes all rows.
        period: of SVRG and SARAH; "auto" spends as much on full gradients as on batches.
        step_size: "auto" is 0.1 / L with L the largest curvature (0.25 / sqrt(L) for "underdamped"), halved until the
            step-halving bias estimate is below 5 %, or below twice its standard error; exact methods follow the
            acceptance rate. "theorem" is the largest that Kinoshita and Suzuki allow (with full gradients, Chewi), in
            the coordinates of the position: safe, and often a thousand times too small.
        theorem_constants: for "theorem", smoothness and log-Sobolev constant, see `langevax.theory.lsi`.
        kl_tolerance: for "theorem", the largest acceptable KL(chain || law) in the end; None: any.
        preconditioner: "full" (up to 500 coordinates), "low-rank" (for functions: the directions that data inform),
            "diagonal", or None; "auto" takes the first that is possible.
        num_warmup: steps before the first draw; "auto" is ten relaxation times.
        thinning: steps between draws; "auto" is one relaxation time.
        progress, checkpoint, resume: see `langevax.simulate`; the sampling itself is saved, not the tuning.

    Returns:
        `Samples`: `.positions`, `.summary()`, `.warnings`, `.to_datatree()` for ArviZ.

    Raises:
        TypeError, ValueError: an invalid argument; a log density that is not finite at the start.
        DivergenceError: the step size is too large.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> y = jax.random.normal(jax.random.key(1), (1000,)) + 2.0
        >>> target = langevax.posterior(None, lambda m, y: -((y - m) ** 2) / 2, y, prior_precision=1.0)
        >>> draws = langevax.sample(target, jnp.array(0.0), key=jax.random.key(0), num_samples=200)
        >>> draws.positions.shape, bool(abs(draws.positions.mean() - y.sum() / 1001) < 0.01)
        ((4, 200), True)
    """
    began = time.perf_counter()
    checks.typed_key(key)
    for name, count in (("num_samples", num_samples), ("num_chains", num_chains)):
        checks.positive_int(name, count, minimum=2)
    counts = {"num_warmup": num_warmup, "thinning": thinning, "period": period}
    for name, count in (counts if batch_size is None else {**counts, "batch_size": batch_size}).items():
        checks.positive_int(name, count, auto=True)
    check_choice("dynamics", dynamics, get_args(Dynamics))
    check_choice("preconditioner", preconditioner, ("auto", *get_args(Preconditioner), None))
    if isinstance(step_size, str):
        check_choice("step_size", step_size, ("auto", "theorem"))
    else:
        checks.number("step_size", step_size, positive=True)
    problem, temperature = _problem_of(target, temperature)
    pilot_key, start_key, batch_key, tune_key, warm_key, run_key = random.split(key, 6)
    if start is None:
        if not isinstance(target, InverseProblem):
            raise ValueError("start is missing: pass a position from which to search for a mode.")
        start = target.start
    first = checks.arrays("start", start(start_key) if callable(start) else start)
    _check_start(problem, first)
    by_theorem = isinstance(step_size, str) and step_size == "theorem"
    if by_theorem:
        if preconditioner not in ("auto", None):
            raise ValueError("step_size='theorem' is a step of the position itself; leave preconditioner out.")
        preconditioner, root = None, math.isqrt(int(problem.size))  # B = m = sqrt(n) in the theorems
        batch_size = root if batch_size == "auto" else batch_size
        period = root if period == "auto" else period

    flat = coordinates_of(problem, first, temperature, whiten=preconditioner is not None)
    vector = flat.from_position(first)
    if preconditioner == "auto":
        preconditioner = _choose_preconditioner(flat, len(vector))
    pilot = run_pilot(flat.problem, vector, preconditioner, pilot_key)
    coordinates = flat.preconditioned(pilot.scales, pilot.directions)
    problem, mode = coordinates.problem, coordinates.from_position(pilot.mode, len(flat.layers))
    chain_start = StartNearMode(mode, jnp.sqrt(jnp.asarray(temperature, mode.dtype)))
    if callable(start):
        chain_start = TransformedStart(start, coordinates)
    estimator = choose_gradient(gradient, batch_size, period, problem, mode, temperature, dynamics, batch_key)
    integrator = Explicit() if by_theorem else Exponential()  # the theorems are about Euler's scheme
    prior_share = 1.0 if pilot.scales is None else jnp.minimum(problem.precision, 1)  # the curvature is 1
    method = SamplingMethod(dynamics, estimator, temperature, prior_share, integrator)

    bias, evaluations, slowest = None, pilot.evaluations, 1.0
    if by_theorem:
        if dynamics != "langevin":
            raise ValueError(f"there is no theorem for dynamics={dynamics!r}; pass 'langevin', or step_size='auto'.")
        theorem, options = estimator.step_size_theorem()
        options |= {"temperature": temperature, "size": int(problem.size), "accuracy": kl_tolerance}
        step_size = theorem_step_size(theorem, theorem_constants, **options)
        slowest = theorem_constants.lsi_constant * temperature if theorem_constants else 1.0
    elif isinstance(step_size, str):
        curvature = float(largest_curvature(problem, mode, key=tune_key))
        evaluations += 2 * CURVATURE_ITERATIONS * int(problem.size)
        if method.is_exact:
            first_step = 1 / curvature / len(mode) ** (1 / 3)
            step_size, spent = tune_acceptance(method, problem, chain_start, num_chains, first_step, tune_key)
        else:
            first_step = FIRST_STEP[method.order] / curvature ** (1 / method.order)
            bias = tune_bias(method, problem, chain_start, num_chains, first_step, tune_key)
            step_size, spent = bias.step_size, bias.evaluations
        evaluations += spent
    step_size = float(step_size)
    relaxation = max(1, round((FRICTION if dynamics == "underdamped" else 1) / (step_size * slowest)))
    num_warmup = WARMUP * relaxation if num_warmup == "auto" else num_warmup
    thinning = relaxation if thinning == "auto" else thinning

    algorithm = method(step_size)
    options = {"num_steps": num_warmup, "num_chains": num_chains, "progress": progress}
    warm = simulate(algorithm, problem, chain_start, key=warm_key, **options)
    run = simulate(
        algorithm,
        problem,
        warm,
        key=run_key,
        num_steps=num_samples * thinning,
        record_every=thinning,
        progress=progress,
        checkpoint=checkpoint,
        resume=resume,
    )
    return Samples(
        positions=jax.tree.map(np.asarray, coordinates.to_positions(jnp.asarray(run.positions))),
        draws=np.asarray(run.positions),
        problem=problem,
        algorithm=algorithm,
        temperature=temperature,
        step_size=step_size,
        method=dynamics if method.is_exact else f"{dynamics}, {type(estimator).__name__}",
        step_size_bias=bias,
        result=run,
        evaluations=evaluations + warm.evaluations + run.evaluations,
        seconds=time.perf_counter() - began,
    )


def _problem_of(target: SampleTarget, temperature: float | Literal["auto"]) -> tuple[Problem, float]:
    chosen = isinstance(temperature, str) and temperature == "auto"
    checks.number("temperature", temperature, positive=True, auto=True)
    if isinstance(target, Posterior | InverseProblem):
        if not chosen:
            raise ValueError("temperature is that of the posterior, 1/n; leave it out, or pass its problem alone.")
        return target.problem, float(target.temperature)
    if isinstance(target, Problem):
        if chosen:
            raise ValueError("temperature is missing: a problem has none of its own (a posterior has 1/n); pass it.")
        return target, float(temperature)
    if not callable(target):
        raise TypeError(f"target must be a posterior, a problem or a log density, got {checks.shown(target)}.")
    return Function(Negative(target)), 1.0 if chosen else float(temperature)


def _check_start(problem: Problem, first: PyTree[Array]) -> None:
    checks.position("start", first)
    value = float(problem.potential(first))
    if not np.isfinite(value):
        raise ValueError(f"the log density at start is {-value}; start where it is finite.")


def _choose_preconditioner(coordinates: CoordinateMap, dimension: int) -> Preconditioner:
    if dimension <= MAX_COORDINATES:
        return "full" if jnp.ndim(coordinates.problem.precision) == 0 else "diagonal"
    return "low-rank" if coordinates.is_whitened else "diagonal"


class Negative(eqx.Module):
    """The potential of a log density."""

    log_density: Callable[[PyTree], Float[Array, ""]]

    def __call__(self, position: PyTree) -> Float[Array, ""]:
        return -self.log_density(position)


class StartNearMode(eqx.Module):
    """Draws from N(mode, scale^2), the law of chains about a mode of unit curvature."""

    mode: Float[Array, " d"]
    scale: Float[Array, ""]

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        return self.mode + self.scale * random.normal(key, self.mode.shape, self.mode.dtype)


class TransformedStart(eqx.Module):
    """A user's start function, in the coordinates that are sampled."""

    start: Callable[[Key[Array, ""]], PyTree]
    coordinates: CoordinateMap

    def __call__(self, key: Key[Array, ""]) -> Float[Array, " d"]:
        return self.coordinates.from_position(self.start(key))
