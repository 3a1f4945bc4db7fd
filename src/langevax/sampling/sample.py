"""`sample`: chains of any Langevin method on a posterior, tuned, with what is known of their quality."""

import math
import os
import time
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Key

from langevax import checks
from langevax.gradients import GradientEstimator
from langevax.integrators import Explicit, Exponential
from langevax.problems.problem import CURVATURE_ITERATIONS, largest_curvature
from langevax.run import simulate
from langevax.sampling import tuning
from langevax.sampling.methods import (
    ACCEPTED,
    DYNAMICS,
    FRICTION,
    Dynamics,
    Maker,
    accepted_step,
    estimator_of,
    one_of,
    theorem_step,
)
from langevax.sampling.pilot import MAX_COORDINATES, look
from langevax.sampling.samples import Samples
from langevax.sampling.target import Coordinates, Moved, NearMode, check_start, coordinates_of, problem_of, start_of
from langevax.theory.lsi import Target

RELAXATIONS = 10  # of warm-up


def sample(
    target: Any,
    start: Any = None,
    *,
    key: Key[Array, ""],
    temperature: float | None = None,
    num_samples: int = 1000,
    num_chains: int = 4,
    dynamics: Dynamics = "langevin",
    gradient: str | GradientEstimator | None = None,
    batch_size: int | None = None,
    period: int | None = None,
    step_size: float | Literal["tuned", "theorem"] = "tuned",
    constants: Target | None = None,
    accuracy: float | None = None,
    preconditioner: Literal["auto", "full", "diagonal", "low-rank"] | None = "auto",
    warmup: int | None = None,
    thinning: int | None = None,
    progress: bool | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
) -> Samples:
    """Draws from exp(-potential / temperature).

    A pilot finds a mode and the curvature there; chains run in coordinates in which that curvature is 1, begin spread
    as a normal law about the mode would be, and warm up for ten relaxation times. With `step_size="tuned"` the step is
    0.1 / L, L the largest curvature by power iteration (0.25 / sqrt(L) with a velocity), halved until the bias that
    halving it tells is below 5 %.

    Args:
        target: a `langevax.posterior` or `langevax.inverse_problem`; or a problem, with `temperature`; or a function
            `log_density(position)`.
        start: a position to begin the search for a mode from, which an inverse problem knows by itself; or a function
            `key -> position`, from which each chain starts itself (the pilot from one such draw): for laws of several
            modes.
        num_samples: draws kept of each chain.
        dynamics: "langevin"; "underdamped" has a smaller bias and shorter paths; "mala" is exact, with full gradients,
            and so are "pcnl" and "pcn" (which takes no gradient), for any number of modes of a function.
        gradient: "svrg", "sarah", "minibatch", "control-variate" (at the mode), "full", or an estimator. None takes
            SVRG, and full gradients up to 512 components.
        batch_size: None takes the least that heats the chain by 6 % at a step of 0.25, as the pilot tells, at least 32.
        step_size: "tuned"; "theorem", the largest that Kinoshita and Suzuki allow (with full gradients, Chewi), in the
            coordinates of the position: safe, and often a thousand times too small; or a number.
        constants: for "theorem", smoothness and log-Sobolev constant, see `langevax.theory.lsi`.
        accuracy: for "theorem", the divergence KL(chain || law) to stay below in the end; None: any.
        period: of SVRG and SARAH; None spends as much on full gradients as on batches.
        preconditioner: "full" (up to 500 coordinates), "low-rank" (for functions: the directions that data inform),
            "diagonal", or None; "auto" takes the first that is possible.
        warmup: steps before the first draw. thinning: steps between draws; None takes one relaxation time.
        progress, checkpoint, resume: see `langevax.simulate`; what is saved is the sampling itself.

    Returns:
        `Samples`: `.positions`, `.summary()`, `.warnings`, `.to_datatree()` for ArviZ.

    Raises:
        ValueError, TypeError: a mistake in an argument; a log density that is not finite at the start.
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
    one_of("dynamics", dynamics, DYNAMICS)
    problem, temperature = problem_of(target, temperature)
    pilot_key, start_key, batch_key, tune_key, warm_key, run_key = random.split(key, 6)
    if start is None:
        start = start_of(target)
    first = start(start_key) if callable(start) else start
    first = jax.tree.map(jnp.asarray, first)
    check_start(problem, first)
    given_theorem = step_size == "theorem"
    if given_theorem:
        if preconditioner not in ("auto", None):
            raise ValueError("step_size='theorem' is a step of the position itself; leave preconditioner out.")
        preconditioner, root = None, math.isqrt(int(problem.size))
        batch_size, period = batch_size or root, period or root  # what the theorems take
    flat = coordinates_of(problem, first, temperature, whiten=preconditioner is not None)
    kind = _kind(preconditioner, flat, len(flat.from_position(first)))
    pilot = look(flat.problem, flat.from_position(first), kind, pilot_key)
    coordinates = flat.through(pilot.scales, pilot.directions)
    seen, mode = coordinates.problem, coordinates.from_position(pilot.mode, len(flat.layers))
    begin: Any = NearMode(mode, jnp.sqrt(jnp.asarray(temperature, mode.dtype)))
    if callable(start):
        begin = Moved(start, coordinates)

    estimator = estimator_of(gradient, batch_size, period, seen, mode, temperature, dynamics, batch_key)
    integrator = Explicit() if given_theorem else Exponential()  # the theorems are Euler's
    share = 1.0 if pilot.scales is None else jnp.minimum(seen.precision, 1)  # the curvature being 1
    make = Maker(dynamics, estimator, temperature, share, integrator)
    report, spent = None, pilot.evaluations
    if step_size == "tuned":
        curvature = float(largest_curvature(seen, mode, key=tune_key))
        spent += 2 * CURVATURE_ITERATIONS * int(problem.size)
        if dynamics in ACCEPTED:
            step_size, used = accepted_step(make, seen, begin, num_chains, 1 / curvature, len(mode), tune_key)
            spent += used
        else:
            order = 1 if dynamics == "langevin" else 2
            scale = curvature if order == 1 else math.sqrt(curvature)
            report = tuning.tuned(make, seen, begin, num_chains, scale, order, tune_key)
            step_size, spent = report.step_size, spent + report.evaluations
    if given_theorem:
        step_size = theorem_step(estimator, dynamics, seen, temperature, constants, accuracy)
    checks.number("step_size", step_size, positive=True)
    step_size = float(step_size)
    slowest = constants.lsi_constant * temperature if given_theorem and constants else 1.0
    relaxation = max(1, round((FRICTION if dynamics == "underdamped" else 1) / (step_size * slowest)))
    warmup, thinning = warmup or RELAXATIONS * relaxation, thinning or relaxation
    checks.positive_int("warmup", warmup)
    checks.positive_int("thinning", thinning)

    warm = simulate(
        make(step_size), seen, begin, key=warm_key, num_steps=warmup, num_chains=num_chains, progress=progress
    )
    run = simulate(
        make(step_size),
        seen,
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
        problem=seen,
        algorithm=make(step_size),
        temperature=temperature,
        step_size=step_size,
        method=dynamics if dynamics in ACCEPTED else f"{dynamics}, {type(estimator).__name__}",
        halving=report,
        result=run,
        evaluations=spent + warm.evaluations + run.evaluations,
        seconds=time.perf_counter() - began,
    )


def _kind(given: str | None, coordinates: Coordinates, size: int) -> Any:
    one_of("preconditioner", given, ("auto", "full", "low-rank", "diagonal", None))
    if given != "auto":
        return given
    if size <= MAX_COORDINATES:
        return "full" if jnp.ndim(coordinates.problem.precision) == 0 else "diagonal"
    return "low-rank" if coordinates.white else "diagonal"
