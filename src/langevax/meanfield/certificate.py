"""How far a dual vector is from the global optimum, with an error bar.

For any feasible dual g, with p_g its proximal Gibbs law and z_i = E_{p_g} h(theta, x_i), entropy and
log Z cancel in the duality gap (Nitanda, Wu, Suzuki, AISTATS 2022, with Fenchel-Young losses):

    P(p_g) - D(g) = (1/n) sum_i FY(z_i, g_i) >= 0,
    D(g) = -(1/n) sum_i loss*(g_i) - T log E_prior exp(-V_g / T)  <=  min P,

with P the risk plus T KL(q || prior). So min P lies in [D(g), D(g) + gap]. z and log Z come from
independent SMC runs from the prior, never from the training particles: on those the gap was seen
between 5e-2 and 2e-6 of its true value. FY of the mean z over runs errs upwards, since FY is convex in z.
Products are in float32, whatever those of the training were in.

Agreement of the runs is no sign that they are right: four runs agreed to 0.003 on a gap of 2.8 while
0.1 % of their ancestors survived. `trustworthy` is decided by the surviving ancestors, by the number of
temperatures from the prior, and by whether the gap says much more than the prior itself does:
min P <= P(prior), which costs no training.

Before certifying, D is climbed on the clouds of the runs. Weighted by exp(-(V_g - V_0) / T), particles of one dual
represent those of another one nearby, so that D is a known concave function as far as the weights stay even. Each
Newton step replaces T log Z by its second cumulants and keeps the conjugate; the best dual of that model is

    g' = loss'(u),      u = z - Cov_{p_g}(h) W (g' - g) / (T n),      W the row weights

solved for u. So every g' is feasible, and the noise of z counts loss'' times, which vanishes on rows that are well
classified. The climbed dual is kept only where fresh particles of its own law, independent of the climb and biased
downwards, confirm by the same weighting that D rose.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Literal, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, Shaped

from langevax import checks
from langevax.algorithm import trace_floats
from langevax.meanfield.moves import Proposal, check_proposal
from langevax.meanfield.resampling import log_mean_exp
from langevax.meanfield.smc import GibbsSample, sample_gibbs
from langevax.problems.losses import Loss, Squared
from langevax.problems.matmul import in_float32
from langevax.problems.mean_field import MeanFieldRisk

SUSPICIOUS, USELESS = 0.05, 0.01
"""Shares of surviving ancestors below which runs are not to be believed (measured on tables of 10 to 64 columns)."""
MOST_TEMPERATURES = 50  # healthy walks took 3 to 35 on the same tables, useless ones 57 to 168
INFORMATIVE = 0.25  # of the gap of the untrained prior: good certificates had 0.01 of it, useless ones 0.6 to 30
REMEDY = "train longer, or raise the temperature or num_particles."
PILOT = 500  # particles of the two runs that find out first whether a certificate can be had
SHORT_WALK, FEW, MANY = 8, 1200, 7500  # temperatures of a cheap walk; particles of longer walks and of cheap ones

NEWTON_STEPS, EVEN = 3, 0.1  # steps with one cloud, and the share of effective particles below which it is not used
DAMPING = (1.0, 0.5, 0.25, 0.125)
NEGLIGIBLE = 0.002  # of the gap that the untrained prior leaves: what is left below that is noise of the runs
MAX_SIZE = 4000  # outputs times rows up to which the step's matrix is solved
ITERATIONS, TOLERANCE, SMALLEST = 10, 1e-4, 2**-6  # of the search for u; the tolerance is that of z, single precision

_log_mean_exp = jax.jit(log_mean_exp)


class DualEstimate:
    """Estimates by independent SMC runs at one dual vector: D, the gap, and D at duals nearby.

    `bound` and `gap` are of all runs together, their errors from what each run alone would change. The gap is that of
    the mean outputs of the runs: the noise of z alone makes a gap, since FY is convex, and R runs together make an R-th
    of what each makes for itself.
    """

    def __init__(
        self,
        risk: MeanFieldRisk,
        dual: Array,
        temperature: float,
        num_runs: int,
        num_particles: int,
        *,
        key: Key[Array, ""],
        proposal: Proposal = "mala",
    ):
        risk = trace_floats(risk, risk.inputs.dtype)  # the program is the same for another ridge or temperature
        self.risk: MeanFieldRisk = risk
        self.temperature = temperature
        self.dual: Array = project(risk, dual)
        keys = list(random.split(key, num_runs))
        self.samples: list[GibbsSample] = _independent_runs(risk, self.dual, temperature, num_particles, keys, proposal)
        self.conjugate: float = float(_mean_conjugate(risk, self.dual))
        bounds = np.array([-self.conjugate - temperature * float(s.log_partition) for s in self.samples])
        self.bound: float = float(bounds.mean())
        self.bound_error: float = float(bounds.std(ddof=1) / np.sqrt(num_runs))
        outputs = jnp.stack([sample.outputs for sample in self.samples])
        self.gap: float = float(_mean_gap(risk, outputs.mean(0), self.dual))
        without = [float(_mean_gap(risk, jnp.delete(outputs, r, 0).mean(0), self.dual)) for r in range(num_runs)]
        self.gap_error: float = float(np.sqrt(num_runs - 1) * np.std(without))  # jackknife

    @property
    def prior_objective(self) -> float:
        """P(prior), above min P: the risk of untrained particles, as many as all runs have."""
        num_runs, size = len(self.samples), len(self.samples[0].particles)
        cloud = self.risk.prior(self.temperature, num_runs * size)(random.key(0))
        return float(_value(self.risk, cloud))

    @property
    def surviving_ancestors(self) -> float:
        """Smallest share over the runs of the first particles that still have descendants."""
        return min(float(sample.surviving_ancestors) for sample in self.samples)

    @property
    def temperatures(self) -> int:
        """Largest number of temperatures over the runs."""
        return max(int(sample.temperatures) for sample in self.samples)

    def rise_to(self, dual: Array) -> np.ndarray:
        """D(dual) - D(self.dual), one estimate a run, by weighting its particles: no log Z of its own is needed.

        With W = V_dual - V_self,  log Z_dual / Z_self = log E_{p_self} exp(-W / T). An estimate errs upwards
        where the weights are uneven, since few particles then carry the mean.
        """
        temperature = self.temperature
        log_ratios = [float(_log_mean_exp(-self._shifts(s.particles, dual) / temperature)) for s in self.samples]
        return self.conjugate - float(_mean_conjugate(self.risk, dual)) - temperature * np.array(log_ratios)

    def importance(self, dual: Array) -> Float[np.ndarray, " particles"]:
        """Return weights, of sum one, with which the particles of all runs represent those of `dual`."""
        shifts = np.concatenate([np.asarray(self._shifts(s.particles, dual), np.float64) for s in self.samples])
        weights = np.exp((shifts.min() - shifts) / self.temperature)
        return weights / weights.sum()

    def _shifts(self, particles: Array, dual: Array) -> Float[Array, " particles"]:
        """V_dual - V_self of each particle."""
        return _values(self.risk, particles, dual - self.dual)


def _independent_runs(
    risk: MeanFieldRisk, dual: Array, temperature: float, size: int, keys: list[Array], proposal: Proposal
) -> list[GibbsSample]:
    """Return one sample a key, run in parallel: alone, a run leaves half of two cores idle."""
    wide, traced = jax.config.read("jax_enable_x64"), jnp.asarray(temperature, risk.inputs.dtype)

    def run(key: Array) -> GibbsSample:
        with jax.enable_x64(wide):  # threads do not inherit the contexts of their caller
            return jax.block_until_ready(sample_gibbs(risk, dual, traced, size, key=key, proposal=proposal))

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(run, keys))


@eqx.filter_jit
def project(risk: MeanFieldRisk, dual: Array) -> Array:
    """Return the nearest feasible dual."""
    return jax.vmap(risk.loss.project)(dual, risk.targets)


@in_float32
@eqx.filter_jit
def _value(risk: MeanFieldRisk, cloud: Array) -> Float[Array, ""]:
    return risk.value(cloud)


@eqx.filter_jit
def _mean_gap(risk: MeanFieldRisk, outputs: Array, dual: Array) -> Float[Array, ""]:
    return risk.mean_over_rows(jax.vmap(risk.loss.fenchel_young)(outputs, dual, risk.targets))


@eqx.filter_jit
def _mean_conjugate(risk: MeanFieldRisk, dual: Array) -> Float[Array, ""]:
    return risk.mean_over_rows(jax.vmap(risk.loss.conjugate)(dual, risk.targets))


@in_float32
@eqx.filter_jit
def _values(risk: MeanFieldRisk, particles: Array, dual: Array) -> Float[Array, " particles"]:
    return jax.vmap(risk.of_one_particle(dual).value)(particles)


@dataclass(frozen=True)
class Certificate:
    """Bounds on the optimum from one dual vector: `min P` lies in [lower_bound, upper_bound], up to the errors."""

    gap: float
    """Mean over rows of the Fenchel-Young gap at the runs' mean outputs; errs upwards."""
    standard_error: float
    unbiased_gap: float | None
    """Squared loss only: the mean over pairs of runs, without the upward bias; can be negative by chance."""
    lower_bound: float
    lower_bound_error: float
    upper_bound: float
    trustworthy: bool
    verdict: str
    """The certificate in a sentence, with the reason where it is not to be trusted."""
    surviving_ancestors: float
    """Smallest share over the runs of the first particles that have descendants at the end."""
    temperatures: int
    """Largest number of temperatures over the runs; of the two pilot runs where theirs were too many."""
    dual: np.ndarray
    """The dual vector that was certified, polished where that raised D."""
    polish_steps: int

    def __repr__(self) -> str:
        return (
            f"Certificate({self.verdict} The optimum lies in [{self.lower_bound:.4g}, {self.upper_bound:.4g}], the "
            f"bound up to {self.lower_bound_error:.1g}; {self.surviving_ancestors:.1%} of the ancestors survived "
            f"{self.temperatures} temperatures; {self.polish_steps} polish steps; dual {self.dual.shape})"
        )

    def output_error(self, outputs: Float[ArrayLike, "n ..."], targets: Shaped[ArrayLike, "n ..."]) -> float:
        """Squared loss: bound the mean square distance of a network's outputs to the optimum's.

        With this certificate made for `dual = outputs - targets` (no polish), it is 2 gap, by the strong
        convexity of the conjugate.
        """
        dual = np.asarray(outputs) - np.asarray(targets)
        if self.unbiased_gap is None or dual.shape != self.dual.shape or not np.allclose(dual, self.dual, atol=1e-5):
            raise ValueError("this certificate was made for another dual; certify outputs - targets with polish=0.")
        return 2 * self.gap


def certify(
    risk: MeanFieldRisk,
    dual: Shaped[ArrayLike, "n ..."],
    temperature: float,
    *,
    key: Key[Array, ""],
    num_replicates: int = 4,
    num_particles: int | Literal["auto"] = "auto",
    polish: int = 2,
    proposal: Proposal = "mala",
) -> Certificate:
    """Certify a dual vector: the time average of `risk.dual` over the last half of a run is a good one.

    Args:
        dual: (n,) or (n, C), feasible; projected to the domain where rounding took it out.
        temperature: that of the training, T.
        num_replicates: independent SMC runs, at least 2; the error bars are over them.
        num_particles: M of each run; the gap's upward bias falls like 1 / M. "auto" takes 1200, and 7500 where the law
            is so near the prior that sampling it is cheap.
        polish: climbs of D before certifying; each is kept only if fresh runs show that it raised D.
        proposal: of the moves: "mala", or "pcnl" for weights that are functions, with a precision for each mode.

    Raises:
        ValueError: a dual of another shape or not finite, an unbounded neuron, fewer than two runs, more particles
            than memory holds, an unknown proposal.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> certificate = langevax.meanfield.certify(risk, -0.4 * y, 0.1, key=jax.random.key(0))
        >>> certificate.gap < 0.01, certificate.trustworthy
        (True, True)
    """
    checks.instance("risk", risk, MeanFieldRisk, "langevax.MeanFieldRisk(neuron, loss, X, y)")
    checks.typed_key(key)
    checks.number("temperature", temperature, positive=True)
    checks.positive_int("num_replicates", num_replicates, minimum=2)
    checks.positive_int("num_particles", num_particles, minimum=2, auto=True)
    if num_particles != "auto":
        risk.prior(temperature, num_particles)  # refuses clouds beyond memory
    checks.positive_int("polish", polish, minimum=0)
    check_proposal(proposal)
    proposal = cast(Proposal, str(proposal))  # a word of NumPy is an array to compiled programs
    dual = jnp.asarray(checks.plain_array("dual", dual), risk.inputs.dtype)
    shape = (risk.max_size, *risk.neuron.output_shape)
    if dual.shape != shape:
        raise ValueError(
            f"dual must have shape {shape}, one per row and output, got {dual.shape}; pass risk.dual(...)."
        )
    checks.finite("dual", dual, remedy="certify the dual of a finite network")
    if not np.isfinite(float(risk.neuron.bound)):
        raise ValueError(
            f"{type(risk.neuron).__name__} is unbounded: its proximal Gibbs law need not exist, and no certificate "
            "holds; use a bounded neuron such as TanhTanh."
        )

    numbers = count()

    def estimate(dual: Array, num_runs: int, size: int) -> DualEstimate:
        run_key = random.fold_in(key, next(numbers))
        return DualEstimate(risk, dual, float(temperature), num_runs, size, key=run_key, proposal=proposal)

    pilot = estimate(dual, 2, PILOT)  # temperatures hardly depend on the number of particles
    if pilot.temperatures > MOST_TEMPERATURES:
        return _certificate(pilot, 0)
    size = num_particles
    if size == "auto":
        size = MANY if pilot.temperatures <= SHORT_WALK else FEW

    steps = 0
    if polish and dual.size <= MAX_SIZE:
        dual, steps = _polished(estimate(dual, 2, size), lambda dual: estimate(dual, 2, size), polish)
    # the runs that chose between duals are biased towards their choice: fresh ones report it
    return _certificate(estimate(dual, num_replicates, size), steps)


def _certificate(estimate: DualEstimate, polish_steps: int) -> Certificate:
    doubt = _doubt(estimate)
    error = estimate.gap_error
    digits = max(0, -math.floor(math.log10(error))) if error > 0 else 6  # as many as are known
    within = f"Within {estimate.gap:.{digits}f} ± {error:.{digits}f} of the global optimum."
    return Certificate(
        gap=estimate.gap,
        standard_error=error,
        unbiased_gap=_pairwise_gap(estimate),
        lower_bound=estimate.bound,
        lower_bound_error=estimate.bound_error,
        upper_bound=estimate.bound + estimate.gap,
        trustworthy=doubt is None,
        verdict=f"Not certified: {doubt}" if doubt else within,
        surviving_ancestors=estimate.surviving_ancestors,
        temperatures=estimate.temperatures,
        dual=np.asarray(estimate.dual),
        polish_steps=polish_steps,
    )


def _doubt(estimate: DualEstimate) -> str | None:
    """Return why the certificate should not be believed and what to do, or None."""
    remedy = REMEDY
    if not (np.isfinite(estimate.gap) and np.isfinite(estimate.bound)):
        return f"a run broke off before it reached the temperature; {remedy}"
    if estimate.surviving_ancestors < SUSPICIOUS:
        how = "useless" if estimate.surviving_ancestors < USELESS else "suspicious"
        return f"{estimate.surviving_ancestors:.1%} of the ancestors survived, which makes the gap {how}; {remedy}"
    if estimate.temperatures > MOST_TEMPERATURES:
        return f"the walk from the prior took {estimate.temperatures} temperatures, too many to be reliable; {remedy}"
    known = estimate.prior_objective - estimate.bound  # min P <= P(prior)
    if estimate.gap > INFORMATIVE * known:
        return f"the gap of {estimate.gap:.2g} says little more than the untrained prior does, {known:.2g}; {remedy}"
    return None


def _pairwise_gap(estimate: DualEstimate) -> float | None:
    """Return the mean over pairs of runs of 1/2 <z - y - g, z' - y - g>: the errors of two runs are independent."""
    risk = estimate.risk
    if not isinstance(risk.loss, Squared):
        return None
    residuals = [np.asarray(s.outputs - risk.targets - estimate.dual, np.float64) for s in estimate.samples]
    pairs = [(a * b).reshape(len(a), -1).sum(1) / 2 for i, a in enumerate(residuals) for b in residuals[:i]]
    return float(np.mean([risk.mean_over_rows(jnp.asarray(pair, risk.inputs.dtype)) for pair in pairs]))


def _polished(estimate: DualEstimate, fresh: Callable[[Array], DualEstimate], max_climbs: int) -> tuple[Array, int]:
    """Return the dual after at most `max_climbs` climbs that raised D, and how many did; `fresh` makes new runs."""
    for climbs in range(max_climbs):
        if estimate.surviving_ancestors < SUSPICIOUS:  # neither a direction nor the test of it would mean anything
            return estimate.dual, climbs
        if estimate.gap < NEGLIGIBLE * (estimate.prior_objective - estimate.bound):
            return estimate.dual, climbs
        candidate = fresh(_climbed(estimate))
        if not -candidate.rise_to(estimate.dual).mean() > 0:  # also where a run broke off, whose D is NaN
            return estimate.dual, climbs
        estimate = candidate
    return estimate.dual, max_climbs


def _climbed(estimate: DualEstimate) -> Array:
    """Return the maximiser of D by this cloud, or the last dual on the way there that the cloud represents well."""
    particles = jnp.concatenate([sample.particles for sample in estimate.samples])
    activations = np.asarray(_activations(estimate.risk, particles))
    dual, rise = estimate.dual, 0.0
    for _ in range(NEWTON_STEPS):
        importance = estimate.importance(dual)
        if 1 / np.sum(importance**2) < EVEN * len(importance):
            break
        direction = _best_dual(estimate, dual, activations, importance) - dual
        candidates = [project(estimate.risk, dual + damping * direction) for damping in DAMPING]
        rises = [estimate.rise_to(candidate).mean() for candidate in candidates]
        best = int(np.argmax(rises))
        if not rises[best] > rise:
            break
        dual, rise = candidates[best], rises[best]
    return dual


def _best_dual(estimate: DualEstimate, dual: Array, activations: np.ndarray, importance: np.ndarray) -> Array:
    """Return the best dual of the model of second cumulants around `dual`, by damped Newton steps for u from u = z."""
    risk, shape = estimate.risk, dual.shape
    z = importance @ activations
    centred = np.asarray((activations - z) * np.sqrt(importance)[:, None], np.float32)
    weights = np.repeat(np.asarray(risk.row_weights(), np.float64), int(np.prod(shape[1:])))
    covariance = (centred.T @ centred).astype(np.float64)  # in single precision: its noise is far larger
    response = covariance * weights / (estimate.temperature * float(risk.size))

    def residual(u: np.ndarray) -> tuple[np.ndarray, Array, np.ndarray]:
        slopes, curvatures = _derivatives(risk.loss, jnp.asarray(u.reshape(shape), dual.dtype), risk.targets)
        change = np.asarray(slopes - dual, np.float64).ravel()
        return u - z + response @ change, slopes, np.asarray(curvatures, np.float64)

    u, (error, slopes, curvatures) = z, residual(z)
    for _ in range(ITERATIONS):
        if np.abs(error).max() < TOLERANCE:
            break
        blocks = response.reshape(len(u), shape[0], -1)
        jacobian = np.eye(len(u)) + np.einsum("ujc,jcd->ujd", blocks, curvatures).reshape(len(u), -1)
        step = np.linalg.solve(jacobian, error)
        share, trial = 1.0, residual(u - step)
        while share > SMALLEST and np.linalg.norm(trial[0]) >= np.linalg.norm(error):
            share /= 2
            trial = residual(u - share * step)
        u, (error, slopes, curvatures) = u - share * step, trial
    return slopes


@in_float32
@eqx.filter_jit
def _activations(risk: MeanFieldRisk, particles: Array) -> Float[Array, "particles outputs"]:
    h = jax.vmap(jax.vmap(risk.neuron, in_axes=(None, 0)), in_axes=(0, None))(particles, risk.inputs)
    return h.reshape(len(particles), -1)


@eqx.filter_jit
def _derivatives(loss: Loss, outputs: Array, targets: Array) -> tuple[Array, Float[Array, "n outputs outputs"]]:
    """Return loss' and loss'' at the outputs of each row."""
    size = int(np.prod(outputs.shape[1:]))
    curvatures = jax.vmap(jax.jacfwd(loss.derivative))(outputs, targets)
    return jax.vmap(loss.derivative)(outputs, targets), curvatures.reshape(len(outputs), size, size)
