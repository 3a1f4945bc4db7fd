"""`sample`: draw from a posterior with the dynamics that suit it, tuned, with diagnostics."""

import functools
import os
import time
from collections.abc import Callable
from typing import Any, Literal, ParamSpec, Protocol, get_args, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.core import Tracer
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import FloatScalar, PRNGKey, PyTree
from langevax.gradients import GradientEstimator
from langevax.integrators import Exponential, Integrator
from langevax.problems.finite_sum import Posterior
from langevax.problems.problem import Function, Problem
from langevax.renamed import refuse_former
from langevax.run import Run, Stacked
from langevax.run.result import named_leaves
from langevax.sampling.choice import (
    Requested,
    check_combination,
    check_integrator,
    choose_dynamics,
    requested_dynamics,
)
from langevax.sampling.draws import SamplingRun, langevin_chains
from langevax.sampling.evaluations import evaluate
from langevax.sampling.exact import (
    independent_chains,
    normal_posterior,
    reference_coordinates,
)
from langevax.sampling.hyperparameter_draws import HierarchicalRun
from langevax.sampling.hyperparameters import HierarchicalInverseProblem
from langevax.sampling.inverse import InverseProblem
from langevax.sampling.inverse_draws import InverseRun
from langevax.sampling.methods import (
    BiasError,
    BiasLimit,
    GradientName,
    SamplingMethod,
    check_choice,
    choose_gradient,
)
from langevax.sampling.modes import Exploration, Explorer
from langevax.sampling.nuts_chains import PeakError, nuts_chains
from langevax.sampling.preconditioning import (
    MAX_COORDINATES,
    CoordinateMap,
    Pilot,
    Preconditioner,
    coordinates_of,
)
from langevax.sampling.resolution import (
    FINER,
    ResolutionError,
    check_resolution,
    normal_deviations,
)
from langevax.sampling.samples import Samples
from langevax.sampling.starts import (
    ChainStart,
    StartByFunction,
    StartNearPosition,
    UniformStart,
)
from langevax.sampling.tempering import tempered_chains
from langevax.sampling.tolerance import (
    NumbersOfDraws,
    ToleranceError,
    check_tolerance,
    draw_to_tolerance,
)

FROM_ANYWHERE = (
    "auto",
    "nuts",
    "tempered",
)  # dynamics that need no mode with a curvature


@runtime_checkable
class TransformedTarget(Protocol):
    """A posterior in other coordinates than those of its draws, such as `langevax.numpyro.posterior` returns."""

    @property
    def target(self) -> Posterior: ...
    @property
    def start(self) -> Callable[[PRNGKey], PyTree]: ...
    @property
    def constrain(self) -> Callable[[PyTree], PyTree]: ...


Options = ParamSpec("Options")
SampleTarget = (
    Posterior
    | InverseProblem
    | HierarchicalInverseProblem
    | TransformedTarget
    | Problem
    | Callable[[PyTree], FloatScalar]
)


def completed(function: Callable[Options, Samples]) -> Callable[Options, Samples]:
    """Return the function, whose draws go on to the tolerance, and whose warnings name the caller's line."""

    @functools.wraps(function)
    def with_warnings(*args: Options.args, **options: Options.kwargs) -> Samples:
        samples = function(*args, **options)
        named: Any = options
        if named.get("tolerance") is not None:
            tolerance = float(named["tolerance"])
            samples = draw_to_tolerance(samples, tolerance, key=named["key"])
        samples.warn()
        return samples

    return with_warnings


@completed
@refuse_former
def sample(
    target: SampleTarget,
    start: PyTree | Callable[[PRNGKey], PyTree] | None = None,
    *,
    key: PRNGKey,
    temperature: float | Literal["auto"] = "auto",
    num_samples: int = 1000,
    num_chains: int = 4,
    tolerance: float | None = None,
    dynamics: Requested = "auto",
    gradient: GradientName | GradientEstimator = "auto",
    batch_size: int | Literal["auto"] | None = "auto",
    period: int | Literal["auto"] = "auto",
    step_size: float | Literal["auto"] = "auto",
    integrator: Integrator | Literal["auto"] = "auto",
    preconditioner: Preconditioner | Literal["auto"] | None = "auto",
    num_warmup: int | Literal["auto"] = "auto",
    thinning: int | Literal["auto"] = "auto",
    progress: bool | Literal["auto"] = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool | Literal["anyway"] = False,
) -> Samples:
    """Draw from exp(-potential / temperature).

    A pilot run finds a mode and the curvature there. Chains run in coordinates in which that curvature is 1, and start
    as draws of a normal law about the mode, or of normal laws about all modes that descents from heated starts end in;
    `modes` of the result lists these. Where the law is far from normal there, NUTS runs in the coordinates of the
    position, each in a unit of its own, from around `start`; where draws of its warm-up are correlated, in others. It
    is a warning then if descents ended where no chain came.

    Args:
        target: a `langevax.posterior`, `langevax.inverse_problem` or `langevax.numpyro.posterior`; a function
            `log_density(position)`; or a problem, with `temperature`. Of an inverse problem with unknown noise or prior
            parameters, positions are a dict, and "pcn" and "pcnl" alone are possible dynamics.
        start: a position from which to search for a mode; or a function `key -> position` from which each chain starts
            (the pilot from one such draw), for laws with several modes. An inverse problem starts at its prior's mean,
            a NumPyro model in (-2, 2) in unconstrained coordinates.
        temperature: "auto" is that of the posterior, 1/n, and 1 for a log density.
        num_samples, num_chains: draws of each chain, and independent chains; at least 2.
        tolerance: the largest error of any mean, in standard deviations, and the largest relative error of any standard
            deviation, with 95 % confidence for all numbers of the position at once, such as 0.05. Chains go on until
            it is met, up to 64 `num_samples`, at a step size whose bias takes at most half of it; where batches cannot
            keep it, NUTS is taken if the dynamics are "auto". None draws `num_samples`.
        dynamics: "nuts", exact, with full gradients; "langevin", for batches; "mala", exact, with full gradients;
            "tempered", replica exchange, for several modes, exact; "pcnl" and "pcn" (which takes no gradient), exact,
            for functions with any number of modes; "hmc", Hamiltonian dynamics about a normal law, exact, for inverse
            problems with a gradient, in a loop in Python. "auto" draws independently where the posterior is known to be
            normal (rows of `likelihoods.LinearPredictor(Gaussian(...))` with `precision` > 0, a linear inverse
            problem); otherwise it takes pCNL for functions ("hmc" and "pcn" where the map is in Python), "langevin"
            where an argument says so (a step size, batches, an integrator) or where the posterior is close to normal
            and its rows are many times a batch, and NUTS otherwise; `reason` of the result says why.
        gradient: "svrg", "sarah", "minibatch", "control-variate" (at the mode), "full", or an estimator. "auto" takes
            SVRG, and full gradients for at most 512 components.
        batch_size: "auto" takes the smallest, at least 32, that makes the chain at most 6 % too hot at a step of 0.25,
            estimated by the pilot; None takes all rows.
        period: of SVRG and SARAH; "auto" spends as much on full gradients as on batches.
        step_size: "auto" is 0.06 / L with L the largest curvature, halved until the step-halving bias estimate is below
            5 % and known to 2.5 %; exact methods follow the acceptance rate.
            Of "hmc" it is the angle of a part of a turn, at most pi / 2.
            NUTS adapts its own.
        integrator: of "langevin" alone, how a step integrates the Gaussian prior: one of `langevax.integrators`. "auto"
            is `Exponential()`.
        preconditioner: "full" (up to 512 coordinates), "low-rank" (for functions: the directions that data inform),
            "diagonal", or None; "auto" takes the first that is possible.
        num_warmup: steps before the first draw; "auto" is ten relaxation times, and for NUTS 300 steps from a normal
            law about the mode and 1,000 from elsewhere. NUTS takes 100 more where it leaves correlations behind.
        thinning: steps between draws; "auto" is one relaxation time, and one step of NUTS.
        progress, checkpoint, resume: see `langevax.simulate`; the sampling itself is saved, not the tuning.

    Returns:
        `Samples`: `.positions`, `.summary()`, `.warnings`, `.to_datatree()` for ArviZ. Its warnings are also issued as
        one `SamplingWarning`.

    Raises:
        TypeError, ValueError: an invalid argument; a log density that is not finite at the start; a law too narrow for
            the floating-point numbers around it.
        DivergenceError: the step size is too large.
        ToleranceError: the tolerance was not reached; its message says what was, and `samples` holds the draws.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> y = jax.random.normal(jax.random.key(1), (1000,)) + 2.0
        >>> target = langevax.posterior(None, lambda m, y: -((y - m) ** 2) / 2, y, prior_precision=1.0)
        >>> draws = langevax.sample(target, jnp.array(0.0), key=jax.random.key(0), num_samples=600)
        >>> draws.positions.shape, bool(abs(draws.positions.mean() - y.sum() / 1001) < 0.01)
        ((4, 600), True)
    """
    began = time.perf_counter()
    if isinstance(key, Tracer):
        raise TypeError(
            "sample chooses, tunes and warns outside of jax.jit, vmap and grad; call it from there."
        )
    checks.not_forked()
    checks.typed_key(key)
    for name, count in (("num_samples", num_samples), ("num_chains", num_chains)):
        checks.positive_int(name, count, minimum=2)
    if tolerance is not None:
        checks.one_number("tolerance", tolerance, positive=True)
        tolerance = float(tolerance)
    counts = {"num_warmup": num_warmup, "thinning": thinning, "period": period}
    for name, count in (
        counts if batch_size is None else {**counts, "batch_size": batch_size}
    ).items():
        checks.positive_int(name, count, auto=True)
    check_choice(
        "preconditioner", preconditioner, ("auto", *get_args(Preconditioner), None)
    )
    if isinstance(step_size, str):
        check_choice("step_size", step_size, ("auto",))
    else:
        checks.number("step_size", step_size, positive=True)
    if not isinstance(gradient, GradientEstimator):
        check_choice("gradient", gradient, get_args(GradientName))
    check_integrator(integrator)
    saving = {"checkpoint": checkpoint, "resume": resume}
    shown = Run(checkpoint, resume, progress)
    options = {
        "gradient": gradient,
        "batch_size": batch_size,
        "period": period,
        "step_size": step_size,
        "integrator": integrator,
    }
    if isinstance(target, HierarchicalInverseProblem):
        others = {**options, "temperature": temperature, "checkpoint": checkpoint}
        others["preconditioner"] = preconditioner
        run = HierarchicalRun(
            target,
            dynamics,
            num_samples,
            num_chains,
            num_warmup,
            thinning,
            progress,
            key,
        )
        return run.draws(start, others)
    chosen, reason = requested_dynamics(
        dynamics, isinstance(target, InverseProblem), options
    )
    chain_start = start if callable(start) else None
    constrain = None
    if isinstance(target, TransformedTarget):
        if start is None:
            start = UniformStart.of(target.start, key)
        target, constrain = target.target, target.constrain
    problem, temperature = _problem_of(target, temperature)
    check_combination(chosen, options, problem)
    if tolerance is not None:
        check_tolerance(options, checkpoint)
    pilot_key, start_key, batch_key, *run_keys = random.split(key, 6)
    if start is None:
        if not isinstance(target, InverseProblem):
            raise ValueError(
                "start is missing: pass a position from which to search for a mode."
            )
        start = target.start
    if isinstance(start, Stacked):
        raise TypeError(
            "start is Stacked, but sample takes a position or a function `key -> position`; pass either."
        )
    first = start
    if isinstance(start, UniformStart):
        first = start.like
    elif callable(start):
        first = start(start_key)
    first = checks.arrays("start", first)
    checks.position("start", first)
    if isinstance(target, InverseProblem):
        target.check_start(first)
        _check_start(problem.potential(first))
        is_open = (
            dynamics == "auto"
            and chosen == "pcnl"
            and batch_size in ("auto", None)
            and period == "auto"
        )
        if is_open and isinstance(step_size, str) and isinstance(gradient, str):
            chosen = "auto"
        run = InverseRun(
            target,
            chosen,
            num_samples,
            num_chains,
            num_warmup,
            thinning,
            step_size,
            preconditioner,
            first,
            chain_start,
            progress,
            saving,
            key,
        )
        samples = run.draws()
        if samples is not None:
            return samples
        chosen = "pcnl" if chosen == "auto" else chosen
    normal = (
        normal_posterior(problem, temperature)
        if chosen == "auto" and preconditioner == "auto"
        else None
    )
    if normal is not None:
        _check_start(problem.potential(first))
        coordinates = reference_coordinates(problem, first, normal, temperature)
        chains = independent_chains(
            coordinates,
            temperature,
            num_samples,
            num_chains,
            run_keys[2],
            shown,
        )
        return Samples.of(
            chains,
            coordinates,
            constrain,
            temperature=temperature,
            method="exact",
            reason="a linear function with Gaussian prior and noise has a normal posterior, with independent draws",
            modes=[],
            evaluations=int(problem.size),
            seconds=time.perf_counter() - began,
        )
    flat = coordinates_of(
        problem, first, temperature, whiten=preconditioner is not None
    )
    kind = _choose_preconditioner(flat) if preconditioner == "auto" else preconditioner
    if kind == "full" and not np.any(np.asarray(flat.problem.precision)):
        flat = (
            flat.with_matrix()
        )  # from here to the draws by other numbers, so that programs serve all
    vector = flat.from_position(first)
    elsewhere = None
    if isinstance(start, UniformStart):
        elsewhere = start.best(start_key, flat)
        vector = jnp.asarray(elsewhere[0])
        first = flat.to_position(vector)
    if not isinstance(target, InverseProblem):
        _check_start(
            evaluate(flat.problem, np.asarray(vector)[None])[0][0]
        )  # by the program that searches for a mode
    exact_prior = chosen in ("pcn", "pcnl")
    try:
        explorer = Explorer(
            flat,
            kind,
            temperature,
            pilot_key,
            is_compared=chosen in FROM_ANYWHERE,
            is_searched=chain_start is None and not exact_prior,
            exact_prior=exact_prior,
            elsewhere=elsewhere,
        )
        exploration = explorer.explore(vector)
    except ValueError:
        if chosen not in FROM_ANYWHERE or preconditioner != "auto":
            raise
        exploration = Exploration(
            flat, Pilot(vector, None, 0), flat, vector, None, None
        )
    flat, pilot, coordinates, mode, fit, _ = exploration
    if is_choice := chosen == "auto":
        chosen, reason = choose_dynamics(
            fit, coordinates.problem, mode, temperature, batch_key
        )
    is_near_mode = chosen not in FROM_ANYWHERE or (fit is not None and fit.is_usable)
    if is_near_mode:
        deviations = normal_deviations(
            coordinates, jnp.full_like(mode, np.sqrt(temperature)), pilot_key
        )
        try:
            check_resolution(
                deviations, named_leaves(coordinates.to_position(mode)), FINER
            )
        except ResolutionError:
            if chosen not in FROM_ANYWHERE or fit is None or fit.is_close:
                raise
            is_near_mode = (
                False  # the mode may be a peak, whose curvature is not that of the law
            )
    if is_near_mode:
        begin = exploration.start(temperature)
    else:
        coordinates, mode, begin = _around(first, start, flat, temperature, pilot_key)
        chain_start = None

    chain_options = SamplingRun(
        coordinates.problem,
        temperature,
        begin if chain_start is None else StartByFunction(chain_start, coordinates),
        len(mode),
        num_chains,
        num_samples,
        None if num_warmup == "auto" else num_warmup,
        None if thinning == "auto" else thinning,
        (run_keys[0], run_keys[1], run_keys[2]),
        shown,
        None
        if tolerance is None
        else BiasLimit(tolerance / 2, NumbersOfDraws(coordinates, constrain)),
        callable(start) and not isinstance(start, UniformStart),
    )
    spent = exploration.evaluations
    modes = exploration.modes()
    is_even = (
        pilot.scales is not None and pilot.scales.ndim == 2
    )  # in coordinates of the whole Hessian
    if chosen == "nuts":
        name = "nuts"
        try:
            chains, coordinates = nuts_chains(
                chain_options, coordinates, is_near_mode, is_even
            )
        except PeakError as error:
            coordinates, mode, begin = _around(
                first, start, flat, temperature, pilot_key
            )
            chain_options = chain_options._replace(
                problem=coordinates.problem, start=begin, bias_limit=None
            )
            reason = f"{reason}; {error}, and chains start anew around the start"
            spent = spent + error.evaluations
            is_near_mode = False
            chains, coordinates = nuts_chains(
                chain_options, coordinates, False, is_even
            )
    else:
        arguments = coordinates.problem, mode, temperature, chosen, batch_key
        estimator = choose_gradient(gradient, batch_size, period, *arguments)
        if not isinstance(integrator, Integrator):
            integrator = Exponential()
        prior_share = (
            1.0
            if pilot.scales is None
            else jnp.minimum(coordinates.problem.precision, 1)
        )  # curvature 1
        method = SamplingMethod(chosen, estimator, temperature, prior_share, integrator)
        number = None if isinstance(step_size, str) else step_size
        is_exact = method.is_exact or chosen == "tempered"
        name = chosen if is_exact else f"{chosen}, {type(estimator).__name__}"
        if chosen == "tempered":
            chains = tempered_chains(
                chain_options, method, mode, number, exploration.depth
            )
        else:
            try:
                chains = langevin_chains(chain_options, method, mode, number)
            except BiasError as error:
                if not is_choice:
                    raise ToleranceError(
                        f"tolerance={tolerance:g} was not reached: {error}"
                    ) from error
                name = "nuts"
                reason = str(error)
                chains, coordinates = nuts_chains(
                    chain_options, coordinates, is_near_mode, False
                )
    if not is_near_mode:  # weights are by curvatures that mislead
        modes = exploration.unvisited(coordinates, chains.result.positions, temperature)
    return Samples.of(
        chains,
        coordinates,
        constrain,
        temperature=temperature,
        method=name,
        reason=f"{reason}; {chains.remark}" if chains.remark else reason,
        modes=modes,
        evaluations=spent + chains.evaluations,
        seconds=time.perf_counter() - began,
    )


def _around(
    position: PyTree,
    start: Any,
    flat: CoordinateMap,
    temperature: float,
    key: PRNGKey,
) -> tuple[CoordinateMap, Float[Array, " d"], ChainStart]:
    """Return coordinates in units of the curvature at a position, the position in them, and the start of chains.

    Chains start by `start` where that is a function, and about the position elsewhere.
    """
    coordinates = flat.with_units_at(flat.from_position(position), temperature, key)
    centre = coordinates.from_position(position)
    if isinstance(start, UniformStart):
        return coordinates, centre, UniformStart(start.like, coordinates)
    if callable(start):
        return coordinates, centre, StartByFunction(start, coordinates)
    scale = jnp.sqrt(jnp.asarray(temperature, centre.dtype))
    return coordinates, centre, StartNearPosition(coordinates.problem, centre, scale)


def _problem_of(
    target: SampleTarget, temperature: float | Literal["auto"]
) -> tuple[Problem, float]:
    chosen = isinstance(temperature, str) and temperature == "auto"
    checks.number("temperature", temperature, positive=True, auto=True)
    if isinstance(target, Posterior | InverseProblem):
        if not chosen:
            raise ValueError(
                "temperature is that of the posterior, 1/n; leave it out, or pass its problem alone."
            )
        return target.problem, float(target.temperature)
    if isinstance(target, Problem):
        if chosen:
            raise ValueError(
                "temperature is missing: a problem has none of its own (a posterior has 1/n); pass it."
            )
        return target, float(temperature)
    if not callable(target):
        raise TypeError(
            f"target must be a posterior, a problem or a log density, got {checks.shown(target)}."
        )
    return Function(Negative(target)), 1.0 if chosen else float(temperature)


def _check_start(potential: FloatScalar | float) -> None:
    if not np.isfinite(value := float(potential)):
        raise ValueError(
            f"the log density at start is {-value}; start where it is finite."
        )


def _choose_preconditioner(coordinates: CoordinateMap) -> Preconditioner:
    if coordinates.dimension <= MAX_COORDINATES:
        return "full" if jnp.ndim(coordinates.problem.precision) == 0 else "diagonal"
    return "low-rank" if coordinates.is_whitened else "diagonal"


class Negative(eqx.Module):
    """The potential of a log density."""

    log_density: Callable[[PyTree], FloatScalar]

    def __call__(self, position: PyTree) -> FloatScalar:
        return -self.log_density(position)
