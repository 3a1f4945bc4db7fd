"""`sample`: draw from a posterior with the dynamics that suit it, tuned, with diagnostics."""

import functools
from collections.abc import Callable
from typing import Any, Literal, ParamSpec

from langevax import checks
from langevax._typing import PRNGKey, PyTree
from langevax.algorithm import Algorithm
from langevax.renamed import refuse_former
from langevax.run import Run
from langevax.sampling.moves import HMC
from langevax.sampling.plans import check_algorithm, planned
from langevax.sampling.request import Request
from langevax.sampling.samples import Samples
from langevax.sampling.starts import Lengths
from langevax.sampling.target import SampleTarget, posterior_of_model
from langevax.sampling.tolerance import draw_to_tolerance

Options = ParamSpec("Options")


def warned(function: Callable[Options, Samples]) -> Callable[Options, Samples]:
    """Return the function, which issues the warnings of its draws at the line of its caller."""

    @functools.wraps(function)
    def with_warnings(*args: Options.args, **options: Options.kwargs) -> Samples:
        samples = function(*args, **options)
        samples.warn()
        return samples

    return with_warnings


@warned
@refuse_former
def sample(
    target: SampleTarget | Any,
    start: PyTree | Callable[[PRNGKey], PyTree] | None = None,
    *,
    model_args: tuple[Any, ...] | None = None,
    key: PRNGKey,
    algorithm: Algorithm | HMC | Literal["auto"] = "auto",
    temperature: float | Literal["auto"] = "auto",
    num_samples: int = 1000,
    num_chains: int = 4,
    tolerance: float | None = None,
    tolerance_of: Literal["moments", "quartiles"] = "moments",
    preconditioner: Literal["auto"] | None = "auto",
    num_warmup: int | Literal["auto"] = "auto",
    thinning: int | Literal["auto"] = "auto",
    run: Run = Run(),
) -> Samples:
    """Draw from exp(-potential / temperature).

    A posterior that is known to be normal is drawn from independently, and a forward map in Python, or of few
    coefficients, is sampled in a loop on the host. Of the others, functions take pCNL,
    and all else NUTS, but for Langevin dynamics with batches where the law is close to normal and passes over its rows
    cost more than batches. Where you pass an algorithm it is taken, its step size tuned where that is "auto"; `reason`
    of the result says which was taken and why.

    A pilot run finds a mode and the curvature there. Chains run in coordinates in which that curvature is 1, and start
    as draws of a normal law about the mode, or of normal laws about all modes that descents from heated starts end in;
    `modes` of the result lists these. Where the law is far from normal there, NUTS runs in the coordinates of the position,
    each in a unit of its own, from around `start`; where draws of its warm-up are correlated, in others. It is a warning
    then if descents ended where no chain came.

    Args:
        target: a `langevax.posterior`, `langevax.inverse_problem` or `langevax.numpyro.posterior`; a NumPyro model, with
            `model_args`; a PyMC model; a function `log_density(position)`; or a problem, with `temperature`. Of an
            inverse problem with unknown noise or prior parameters, positions are a dict, and `PCN` and `PCNL` alone are
            possible.
        start: a position from which to search for a mode; or a function `key -> position` from which each chain starts
            (the pilot from one such draw), for laws with several modes. A network that can be called is a position. An
            inverse problem starts at its prior's mean; of a NumPyro or PyMC model, variables that a dict leaves out, or
            all, start in (-2, 2) in unconstrained coordinates.
        model_args: the arguments of a NumPyro model, a tuple.
        algorithm: "auto", or one of `langevax`, whose temperature is left "auto": `NUTS()`, exact, with full gradients,
            which adapts its own step size; `Langevin(gradient=gradients.SVRG())`, for batches; `MALA()`, exact, with
            full gradients; `ReplicaExchange()`, for several modes, exact; `PCNL()` and `PCN()` (which takes no
            gradient), exact, for functions with any number of modes; `sampling.HMC()`, exact, for inverse problems with
            a gradient. A step size is in units of 1 / curvature; "auto" follows the acceptance rate of exact methods,
            and of Langevin dynamics is 0.06 / L with L the largest curvature, halved until the step-halving bias
            estimate is below 5 % and known to 2.5 %; the bias of a number that you pass is estimated as well. A batch
            size that is "auto" is the smallest, at least 32, that makes the chain at most 6 % too hot at a step of 0.25,
            estimated by the pilot; a period that is "auto" spends as much on full gradients as on batches.
        temperature: "auto" is that of the posterior, 1/n, and 1 for a log density.
        num_samples, num_chains: draws of each chain, and independent chains; at least 2.
        tolerance: the largest error of any mean, in standard deviations, and the largest relative error of any standard
            deviation, with 95 % confidence for all numbers of the position at once, such as 0.05. Chains go on until
            it is met, up to 64 `num_samples`. For exact algorithms, of which NUTS is taken where "auto" would take
            batches. None draws `num_samples`.
        tolerance_of: "moments" are means and standard deviations, which do not settle in tails as heavy as Cauchy's;
            "quartiles" are known to the tolerance times their distance over 1.35, a standard deviation of a normal law.
        preconditioner: "auto", from the curvature at the mode: its matrix for up to 512 coordinates; of more, the
            directions that data inform where the prior has a scale for each, else the diagonal. None leaves it out.
        num_warmup: steps before the first draw; "auto" is ten relaxation times, and for NUTS 300 steps from a normal
            law about the mode and 1,000 from elsewhere. NUTS takes 100 more where it leaves correlations behind.
        thinning: steps between draws; "auto" is one relaxation time, and one step of NUTS.
        run: a `langevax.Run`: how the sampling is saved, resumed and shown; the tuning is not saved.

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
    request = Request(
        posterior_of_model(target, model_args),
        start,
        temperature,
        algorithm,
        Lengths(num_samples, num_chains, num_warmup, thinning),
        tolerance,
        preconditioner,
        run,
        key,
    )
    check_algorithm(algorithm)
    checks.one_of("tolerance_of", tolerance_of, ("moments", "quartiles"))
    request.check()
    samples = planned(request)
    if tolerance is not None:
        samples = draw_to_tolerance(samples, float(tolerance), tolerance_of, key=key)
    return samples
