"""The methods of `sample`: algorithms and gradient estimators, and the choice of their step size and batches.

The bias of a step size h shows in the variances s^2(h) of the chain, in coordinates of unit curvature:

    bias(h)  =  2 (mean s^2(h) - mean s^2(h/2)) / mean s^2(h/2)

for a scheme of first order. Chains at h and at h/2 share their noise, so that the bias of each coordinate is known to a
few percent after some hundred draws. A bias that stays lost in its error is not accepted. Exact methods (MALA, pCN,
pCNL) are tuned by their acceptance.
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Float, Int
from scipy.stats import t

from langevax import checks, gradients
from langevax._typing import PRNGKey, Vector
from langevax.algorithm import Algorithm
from langevax.gradients import GradientEstimator, batches
from langevax.problems.problem import Indices, Problem
from langevax.run import DivergenceError, Result, Run, Stacked, simulate
from langevax.samplers import MALA, PCN, PCNL
from langevax.sampling.coupling import CoupledChains
from langevax.sampling.tolerances import SMALLEST_BATCH
from langevax.trees import in_double

BY_GRADIENTS = (0.5, 0.8)
ACCEPTANCE_RANGES = {MALA: BY_GRADIENTS, PCN: (0.2, 0.4), PCNL: BY_GRADIENTS}
"""Range of acceptance rates in which a step size is left alone; these methods are exact and need full gradients."""
MAX_BIAS = 0.05
"""Largest acceptable relative bias of the variance; it is to be known to half of it."""


class BiasDraws(NamedTuple):
    """Lengths of the coupled chains from which a bias is estimated, in relaxation times, a draw for each."""

    first: int = 100
    most: int = 800
    """Until the bias is known well enough; 100 take less than a third of a run of 1,000 draws."""
    block: int = 16
    """Draws, whose means are nearly independent, for standard errors."""


BIAS_DRAWS = BiasDraws()


class SamplingMethod(NamedTuple):
    """An algorithm for any step size, in coordinates of unit curvature."""

    template: Algorithm
    """Whose step size and temperature are replaced."""
    temperature: float
    prior_share: Float[Array, "..."] | float = 1.0
    """Share of the prior in the curvature of each coordinate: where data inform, pCN and pCNL take shorter steps."""
    first_step = 0.06
    """First step size tried, in units of 1 / curvature.

    For a normal law the explicit scheme then has a bias of 1 / (1 - h / 2) - 1, three percent, and batches add up to
    1.5.
    """

    @property
    def is_exact(self) -> bool:
        return isinstance(self.template, tuple(ACCEPTANCE_RANGES))

    @property
    def is_of_prior(self) -> bool:
        """True where steps are those of the prior."""
        return isinstance(self.template, PCN | PCNL)

    @property
    def relaxation(self) -> float:
        """Relaxation time where the curvature is 1, times the step size; about half of proposals are rejected."""
        return 2.0 if self.is_of_prior else 1.0

    def number_of(self, step_size: float) -> float:
        """Return the number of a step size of the template where the prior alone informs: of pCN that of pCNL."""
        if not isinstance(self.template, PCN):
            return step_size
        return 2 * ((1 - math.sqrt(1 - step_size**2)) / step_size) ** 2

    def __call__(self, number: float) -> Algorithm:
        """Return the algorithm; pCN moves as far as pCNL of the number does."""
        step_size = number * self.prior_share if self.is_of_prior else number
        if isinstance(self.template, PCN):
            step_size = jnp.sqrt(8 * step_size) / (2 + step_size)
        changes: dict[str, Any] = {
            "step_size": step_size,
            "temperature": self.temperature,
        }
        return replace(self.template, **changes)


def check_batches(gradient: GradientEstimator, problem: Problem) -> None:
    """Raise where an estimator that is passed does not fit a target, before anything runs."""
    name = type(gradient).__name__
    if problem.max_size == 1 and not isinstance(gradient, gradients.Full):
        raise ValueError(
            f"{name} draws batches, but this target is one function without data; pass "
            "gradients.Full()."
        )
    size: Any = getattr(gradient, "batch_size", "auto")
    if not checks.is_auto(size):
        batches.check_batch_size(size, problem)
    if not checks.is_auto(getattr(gradient, "center", "auto")):
        raise ValueError(
            "center of ControlVariate is the mode in sample; leave it 'auto'."
        )


def with_sizes(
    gradient: GradientEstimator,
    problem: Problem,
    mode: Vector,
    temperature: float,
    key: PRNGKey,
) -> GradientEstimator:
    """Return the estimator with numbers for what is "auto", for a problem in coordinates of unit curvature.

    Periods spend as much on full gradients as on batches. Raises ValueError where full gradients at every step would cost
    less.
    """
    n = int(problem.size)
    size = getattr(gradient, "batch_size", n)
    changes: dict[str, Any] = {}
    if checks.is_auto(size):
        is_reduced = not isinstance(gradient, gradients.Minibatch)
        batch = choose_batch(problem, mode, temperature, key, is_reduced)
        size = changes["batch_size"] = batch.size
    if checks.is_auto(getattr(gradient, "period", None)):
        period = round(n / (2 * size))
        if period < 2:
            raise ValueError(
                f"{type(gradient).__name__} has nothing to save on {n:,} rows, of "
                f"which batches need {size:,}; pass gradients.Full(), or a period."
            )
        changes["period"] = period
    if isinstance(gradient, gradients.ControlVariate):
        changes["center"] = mode
    return replace(gradient, **changes) if changes else gradient


class BatchChoice(NamedTuple):
    """The rows of a step: some at random, and those that are in every step."""

    size: int
    every: Indices
    """Rows on which directions depend that hardly any other row informs; most often none."""


def choose_batch(
    problem: Problem,
    mode: Vector,
    temperature: float,
    key: PRNGKey,
    is_reduced: bool = True,
    most_in_every: int = 0,
    step: float = 0.25,
    bias: float = 0.06,
    num_draws: int = 8,
    block: int = 512,
) -> BatchChoice:
    """Return the smallest number of rows a step at which a chain is too hot by `bias`, at a step in units of the curvature.

    Where the curvature is 1, batches of B add step V / (2 T B) to the relative variance, with V the variance over
    components of their gradients, averaged over coordinates; with variance reduction, of the change of their gradients
    between two draws. Components that are in every step leave V: the loudest, and as many as make a step cheapest.
    """
    n = int(problem.size)
    scale = jnp.sqrt(jnp.asarray(temperature, mode.dtype))
    draws = mode + scale * random.normal(key, (num_draws, len(mode)), mode.dtype)
    indices = np.resize(np.arange(n, dtype=np.int32), (-(-n // block), min(n, block)))
    noises = _noises(problem, draws, jnp.asarray(indices), is_reduced)
    noises = in_double(noises).ravel()[:n]
    loudest = np.argsort(-noises)
    left = np.append(noises.sum(), noises.sum() - np.cumsum(noises[loudest]))
    needed = np.ceil(step * left / n / (2 * temperature * bias))
    sizes = needed.clip(min(n, SMALLEST_BATCH), n)
    costs = np.arange(n + 1) + 2 * sizes
    number = int(np.argmin(costs[: most_in_every + 1]))
    return BatchChoice(int(sizes[number]), jnp.asarray(loudest[:number], jnp.int32))


@eqx.filter_jit
def _noises(
    problem: Problem,
    draws: Float[Array, "m d"],
    indices: Int[Array, "blocks block"],
    is_reduced: bool,
) -> Float[Array, "blocks block"]:
    """Return the variance of each component's gradient about that of all, or of its change between draws, by coordinate."""
    means = lax.map(problem.gradient, draws)

    def of_block(block: Indices) -> Float[Array, " block"]:
        gradients = jax.vmap(lambda x: problem.gradients_at(x, block))(draws)
        apart = gradients - means[:, None]
        if is_reduced:
            return 2 * jnp.mean(jnp.var(apart, axis=0, ddof=1), axis=1)
        return jnp.mean(apart**2, axis=(0, 2))

    return lax.map(of_block, indices)


def tune_acceptance(
    method: SamplingMethod,
    problem: Problem,
    start: Stacked,
    step_size: float,
    key: PRNGKey,
    num_steps: int = 50,
    num_trials: int = 12,
) -> tuple[float, int]:
    """Return a step size with an acceptance rate in `ACCEPTANCE_RANGES`, and the evaluations of the short runs to find it.

    They record, so that they are the compiled program of the sampling. No step of pCN and pCNL is above 2, where
    proposals are independent of the state.
    """
    lowest, highest = next(
        rates
        for kind, rates in ACCEPTANCE_RANGES.items()
        if isinstance(method.template, kind)
    )
    limit = 2.0 if method.is_of_prior else math.inf
    evaluations = 0
    for i in range(num_trials):
        options = {
            "num_steps": num_steps,
            "record_every": num_steps,
            "run": Run(progress=False),
        }
        run = simulate(
            method(step_size), problem, start, key=random.fold_in(key, i), **options
        )
        evaluations += run.evaluations
        rate = run.metrics["acceptance"]
        if lowest <= rate <= highest or (rate > highest and step_size == limit):
            break
        step_size = min(limit, step_size * (0.6 if rate < lowest else 1.5))
    return step_size, evaluations


class StepSizeBias(NamedTuple):
    """The bias of a step size, estimated from draws at that step size and at half of it."""

    step_size: float
    variance_bias: float
    """Relative bias of the variances at `step_size`, extrapolated; positive where the chain is too hot."""
    standard_error: float
    evaluations: int
    worst: int
    """The coordinate of the draws whose variance is off most clearly."""
    worst_bias: float
    """Relative bias of its variance, extrapolated."""
    worst_excess: float
    """|worst_bias| less what chance makes of the largest of so many coordinates once in a hundred times."""

    @property
    def is_accepted(self) -> bool:
        """True where the bias is known to be small."""
        return (
            self.is_resolved
            and abs(self.variance_bias) < MAX_BIAS
            and self.worst_excess < MAX_BIAS
        )

    def is_worth_draws(self, drawn: int) -> bool:
        """True where more than the `drawn` draws may resolve it."""
        if self.is_resolved or drawn >= BIAS_DRAWS.most:
            return False
        return self.standard_error <= MAX_BIAS / 2 * math.sqrt(BIAS_DRAWS.most / drawn)

    @property
    def is_resolved(self) -> bool:
        """True where the bias is known well enough to be accepted."""
        return self.standard_error <= MAX_BIAS / 2

    def warnings(self, large: float = 2 * MAX_BIAS) -> list[str]:
        """Say what of the bias is large, or not known."""
        remedy = "pass a smaller one in the algorithm, or algorithm=langevax.NUTS()."
        if abs(self.variance_bias) > large + 2 * self.standard_error:
            return [f"{self}; {remedy}"]
        if self.worst_excess > large:
            return [
                (
                    f"at step size {self.step_size:.3g} the variance of coordinate "
                    f"{self.worst} of the draws is off by {self.worst_bias:+.0%}; "
                    f"{remedy}"
                )
            ]
        if not self.is_resolved:
            return [
                (
                    f"{self}, too roughly to accept; draw larger batches, or pass "
                    "algorithm=langevax.NUTS()."
                )
            ]
        return []

    def __str__(self) -> str:
        return (
            f"at step size {self.step_size:.3g} variances are off by "
            f"{self.variance_bias:+.1%} ± {self.standard_error:.1%}, estimated by "
            "halving it"
        )


def estimate_bias(
    method: SamplingMethod,
    problem: Problem,
    start: Stacked,
    step_size: float,
    key: PRNGKey,
    spacing: int | None = None,
) -> StepSizeBias:
    """Compare coupled chains at `step_size` and at half of it, for as long as that serves to resolve the bias.

    Draws are `spacing` steps apart, by default a relaxation time.
    """
    pair = CoupledChains(method(step_size), method(step_size / 2))  # pyright: ignore
    spacing = spacing or max(1, round(method.relaxation / step_size))
    options = {"record_every": spacing, "run": Run(progress=False)}
    drawn = BIAS_DRAWS.first
    run = simulate(pair, problem, start, key=key, num_steps=spacing * drawn, **options)
    bias = _bias_of(run, step_size)
    while bias.is_worth_draws(drawn):
        more_key = random.fold_in(key, drawn)
        steps = spacing * drawn
        more = simulate(pair, problem, run, key=more_key, num_steps=steps, **options)
        run = run.then(more)
        drawn = 2 * drawn
        bias = _bias_of(run, step_size)
    return bias


def _bias_of(run: Result, step_size: float, extrapolation: float = 2.0) -> StepSizeBias:
    """Return the bias that a run of coupled chains shows."""
    draws = np.asarray(run.positions, np.float64)[:, BIAS_DRAWS.first // 5 :]
    coarse, fine = draws[:, :, 0], draws[:, :, 1]
    centre = fine.mean((0, 1))
    squares = _blocks((coarse - centre) ** 2 - (fine - centre) ** 2)
    variance = fine.var((0, 1))
    biases = extrapolation * squares.mean(0) / variance
    errors = extrapolation * squares.std(0, ddof=1) / np.sqrt(len(squares)) / variance
    relative = extrapolation * squares.mean(1) / variance.mean()
    by_chance = t.isf(0.005 / len(biases), len(squares) - 1)
    excess = np.abs(biases) - by_chance * errors
    worst = int(np.argmax(excess))
    return StepSizeBias(
        step_size,
        variance_bias=float(relative.mean()),
        standard_error=float(relative.std(ddof=1) / np.sqrt(len(relative))),
        evaluations=run.evaluations,
        worst=worst,
        worst_bias=float(biases[worst]),
        worst_excess=float(excess[worst]),
    )


def _blocks(
    values: Float[np.ndarray, "chain draw d"],
) -> Float[np.ndarray, "block d"]:
    """Return means over blocks of each chain, which are nearly independent."""
    count = values.shape[1] // BIAS_DRAWS.block
    used = values[:, : count * BIAS_DRAWS.block]
    blocks = used.reshape(len(values), count, BIAS_DRAWS.block, -1)
    return blocks.mean(2).reshape(-1, values.shape[2])


def tune_bias(
    method: SamplingMethod,
    problem: Problem,
    start: Stacked,
    step_size: float,
    key: PRNGKey,
    most_halvings: int = 6,
) -> StepSizeBias:
    """Halve `step_size` until the bias is known to be small: below MAX_BIAS on average, and not above it anywhere."""
    evaluations = 0
    bias: StepSizeBias | None = None
    for i in range(most_halvings):
        try:
            tried = random.fold_in(key, i)
            bias = estimate_bias(method, problem, start, step_size, tried)
        except DivergenceError:
            step_size /= 2
            continue
        evaluations += bias.evaluations
        if bias.is_accepted:
            break
        step_size /= 2
    if bias is None:
        raise ValueError(
            f"chains diverge even at a step size of {2 * step_size:.3g}; pass a "
            "smaller one in the algorithm, start elsewhere, or check the density far "
            "from its mode."
        )
    return bias._replace(evaluations=evaluations)
