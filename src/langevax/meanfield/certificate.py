"""How far a dual vector is from the global optimum, with an error bar.

For any feasible dual g, with p_g its proximal Gibbs law and z_i = E_{p_g} h(theta, x_i), entropy and
log Z cancel in the duality gap (Nitanda, Wu, Suzuki, AISTATS 2022, with Fenchel-Young losses):

    P(p_g) - D(g) = (1/n) sum_i FY(z_i, g_i) >= 0,
    D(g) = -(1/n) sum_i loss*(g_i) - T log E_prior exp(-V_g / T)  <=  min P,

with P the risk plus T KL(q || prior). So min P lies in [D(g), D(g) + gap]. z and log Z come from
independent SMC runs from the prior, never from the training particles: on those the gap was seen
between 5e-2 and 2e-6 of its true value. The mean of FY over runs errs upwards, since FY is convex in z.

Agreement of the runs is no sign that they are right: four runs agreed to 0.003 on a gap of 2.8 while
0.1 % of their ancestor families survived. `trustworthy` is decided by the families.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Key, Shaped

from langevax import checks
from langevax.meanfield.smc import sample_gibbs
from langevax.problems.losses import Squared
from langevax.problems.mean_field import MeanFieldRisk

SUSPICIOUS, USELESS = 0.05, 0.01  # shares of surviving families (measured on tables of 10 to 64 columns)
MAX_POLISHED = 4000  # outputs times rows up to which the Newton step's matrix is solved
DAMPING = (1.0, 0.5, 0.25)  # of the Newton step, tried in turn


@dataclass(frozen=True)
class Certificate:
    """What is known of a dual vector. `min P` lies in [lower_bound, upper_bound], up to the errors."""

    gap: float
    """Mean over runs of the Fenchel-Young gap; conservative."""
    standard_error: float
    unbiased_gap: float | None
    """Squared loss only: the mean over pairs of runs, without the upward bias; can be negative by chance."""
    lower_bound: float
    lower_bound_error: float
    upper_bound: float
    trustworthy: bool
    verdict: str
    """The certificate in a sentence, with the reason where it is not to be trusted."""
    families: float
    """Smallest share of surviving ancestor families over the runs."""
    temperatures: int
    """Largest number of temperatures over the runs."""
    dual: np.ndarray
    """The dual vector that was certified, polished where that raised D."""
    polish_steps: int

    def output_error(self, outputs: Any, targets: Any) -> float:
        """Squared loss: a bound on the mean square distance of a network's outputs to the optimum's.

        With this certificate made for `dual = outputs - targets` (no polish), it is 2 gap, by the strong
        convexity of the conjugate.
        """
        dual = np.asarray(outputs) - np.asarray(targets)
        if self.unbiased_gap is None or dual.shape != self.dual.shape or not np.allclose(dual, self.dual, atol=1e-5):
            raise ValueError("this certificate was made for another dual; certify outputs - targets with polish=0.")
        return 2 * self.gap


class _Look:
    """Independent runs at one dual vector, and what they say."""

    def __init__(self, risk: MeanFieldRisk, dual: Array, temperature: float, key: Key[Array, ""], runs: int, size: int):
        samples = [sample_gibbs(risk, dual, temperature, size, k) for k in random.split(key, runs)]
        self.dual, self.samples = dual, samples
        self.gaps = np.array([float(_mean_gap(risk, sample.outputs, dual)) for sample in samples])
        conjugate = float(_mean_conjugate(risk, dual))
        self.bounds = np.array([-conjugate - temperature * float(sample.log_partition) for sample in samples])

    @property
    def bound(self) -> float:
        return float(self.bounds.mean())

    @property
    def families(self) -> float:
        return min(float(sample.families) for sample in self.samples)


def certify(
    risk: MeanFieldRisk,
    dual: Shaped[Array, "n ..."] | Any,
    temperature: float,
    *,
    key: Key[Array, ""],
    num_replicates: int = 4,
    num_particles: int = 2000,
    polish: int = 1,
) -> Certificate:
    """Certify a dual vector: the time average of `risk.dual` over the last half of a run is a good one.

    Args:
        dual: (n,) or (n, C), feasible; projected to the domain where rounding took it out.
        temperature: that of the training, T.
        num_replicates: independent SMC runs, at least 2; the error bars are over them.
        num_particles: M of each run.
        polish: Newton steps on D before certifying; each is kept only if fresh runs show that it raised D.

    Raises:
        ValueError: a dual of another shape or not finite, an unbounded neuron, fewer than two runs.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> certificate = langevax.meanfield.certify(risk, -0.4 * y, 0.1, key=jax.random.key(0))
        >>> certificate.gap < 0.01, certificate.trustworthy
        (True, True)
    """
    checks.typed_key(key)
    checks.number("temperature", temperature, positive=True)
    checks.positive_int("num_replicates", num_replicates, minimum=2)
    checks.positive_int("num_particles", num_particles, minimum=2)
    checks.positive_int("polish", polish, minimum=0)
    dual = jnp.asarray(dual, risk.inputs.dtype)
    wanted = (risk.max_size, *risk.neuron.output_shape)
    if dual.shape != wanted:
        raise ValueError(
            f"dual must have shape {wanted}, one per row and output, got {dual.shape}; pass risk.dual(...)."
        )
    checks.finite("dual", dual, remedy="certify the dual of a finite network")
    if not np.isfinite(float(risk.neuron.bound)):
        raise ValueError(
            f"{type(risk.neuron).__name__} is unbounded: its proximal Gibbs law need not exist, and no certificate "
            "holds; use a bounded neuron such as TanhTanh."
        )

    def look(dual: Array, number: int) -> _Look:
        return _Look(risk, dual, float(temperature), random.fold_in(key, number), num_replicates, num_particles)

    best, number, kept = look(_project(risk, dual), 0), 1, 0
    for _ in range(polish if dual.size <= MAX_POLISHED else 0):
        if best.families < SUSPICIOUS:  # neither the direction nor the test of it would mean anything
            break
        direction = _newton(risk, best, float(temperature))
        for damping in DAMPING:
            candidate = look(_project(risk, best.dual + damping * direction), number)
            number += 1
            if candidate.bound > best.bound:
                best, kept = candidate, kept + 1
                break
        else:
            break
    # runs that chose between duals flatter their choice, the first one too: D of the best look is too high by an error
    return _report(risk, look(best.dual, number) if number > 1 else best, kept)


def _report(risk: MeanFieldRisk, look: _Look, polish_steps: int) -> Certificate:
    runs = len(look.gaps)
    gap, error = float(look.gaps.mean()), float(look.gaps.std(ddof=1) / np.sqrt(runs))
    families = look.families
    bound, bound_error = look.bound, float(look.bounds.std(ddof=1) / np.sqrt(runs))
    trustworthy = bool(families >= SUSPICIOUS and np.isfinite(gap) and np.isfinite(bound))
    if trustworthy:
        verdict = f"Within {gap:.2g} +- {error:.1g} of the global optimum."
    else:
        how = "useless" if families < USELESS else "suspicious"
        verdict = (
            f"Not certified: {families:.1%} of the particles' families survived, which makes the gap {how}; "
            "raise the temperature, or num_particles."
        )
    return Certificate(
        gap=gap,
        standard_error=error,
        unbiased_gap=_pairwise_gap(risk, look),
        lower_bound=bound,
        lower_bound_error=bound_error,
        upper_bound=bound + gap,
        trustworthy=trustworthy,
        verdict=verdict,
        families=families,
        temperatures=max(int(sample.temperatures) for sample in look.samples),
        dual=np.asarray(look.dual),
        polish_steps=polish_steps,
    )


@eqx.filter_jit
def _mean_gap(risk: MeanFieldRisk, outputs: Array, dual: Array) -> Float[Array, ""]:
    return risk.mean_over_rows(jax.vmap(risk.loss.fenchel_young)(outputs, dual, risk.targets))


@eqx.filter_jit
def _mean_conjugate(risk: MeanFieldRisk, dual: Array) -> Float[Array, ""]:
    return risk.mean_over_rows(jax.vmap(risk.loss.conjugate)(dual, risk.targets))


@eqx.filter_jit
def _project(risk: MeanFieldRisk, dual: Array) -> Array:
    return jax.vmap(risk.loss.project)(dual, risk.targets)


def _pairwise_gap(risk: MeanFieldRisk, look: _Look) -> float | None:
    """Mean over pairs of runs of 1/2 <z - y - g, z' - y - g>: the errors of two runs are independent."""
    if not isinstance(risk.loss, Squared):
        return None
    residuals = [np.asarray(s.outputs - risk.targets - look.dual, np.float64) for s in look.samples]
    pairs = [(a * b).reshape(len(a), -1).sum(1) / 2 for i, a in enumerate(residuals) for b in residuals[:i]]
    return float(np.mean([risk.mean_over_rows(jnp.asarray(pair, risk.inputs.dtype)) for pair in pairs]))


def _newton(risk: MeanFieldRisk, look: _Look, temperature: float) -> Array:
    """Newton's direction on D: (diag loss*'' + Cov_{p_g}(h) W / (T n))^-1 (z - loss*'(g)), W the row weights."""
    shape, n = look.dual.shape, float(risk.size)
    activations = np.concatenate([np.asarray(_activations(risk, s.particles)) for s in look.samples]).astype(np.float64)
    centred = activations - activations.mean(0)
    covariance = centred.T @ centred / len(centred)
    slope, curvature = (np.asarray(a, np.float64).ravel() for a in _conjugate_derivatives(risk, look.dual))
    inside = np.isfinite(slope) & np.isfinite(curvature)  # on the border of the domain both are infinite: stay there
    weights = np.repeat(np.asarray(risk.row_weights(), np.float64), int(np.prod(shape[1:])))
    matrix = np.diag(np.where(inside, curvature, 1.0)) + covariance * weights / (temperature * n) * inside[:, None]
    step = np.linalg.solve(matrix, np.where(inside, activations.mean(0) - np.where(inside, slope, 0.0), 0.0))
    return jnp.asarray(step.reshape(shape), look.dual.dtype)


@eqx.filter_jit
def _activations(risk: MeanFieldRisk, particles: Array) -> Float[Array, "particles outputs"]:
    h = jax.vmap(jax.vmap(risk.neuron, in_axes=(None, 0)), in_axes=(0, None))(particles, risk.inputs)
    return h.reshape(len(particles), -1)


@eqx.filter_jit
def _conjugate_derivatives(risk: MeanFieldRisk, dual: Array) -> tuple[Array, Array]:
    """loss*' and the diagonal of loss*'' at each dual; not finite on the border of the domain."""

    def one(g: Array, y: Array) -> tuple[Array, Array]:
        slope = jax.grad(risk.loss.conjugate)(g, y)
        hessian = jax.hessian(risk.loss.conjugate)(g, y)
        return slope, hessian if hessian.ndim == 0 else jnp.diagonal(hessian)

    return jax.vmap(one)(dual, risk.targets)
