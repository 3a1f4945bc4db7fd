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
0.1 % of their ancestor families survived. `trustworthy` is decided by the families, by the number of
temperatures the walk from the prior took, and by whether the gap says much more than the prior itself does:
min P <= P(prior), which costs no training.
"""

import math
from dataclasses import dataclass
from itertools import count
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Key, Shaped

from langevax import checks
from langevax.meanfield.looks import SUSPICIOUS, USELESS, Look
from langevax.meanfield.moves import Proposal, check_proposal
from langevax.meanfield.polish import MAX_SIZE, polished
from langevax.problems.losses import Squared
from langevax.problems.mean_field import MeanFieldRisk

LONG = 50  # temperatures: healthy walks took 3 to 35 on the same tables, useless ones 57 to 168
TELLING = 0.25  # of the gap that the untrained prior leaves: good certificates had 0.01 of it, useless ones 0.6 to 30
PILOT = 500  # particles of the two walks that find out first whether a certificate is to be had
SHORT, FEW, MANY = 8, 1200, 7500  # temperatures of a walk that is cheap, and the particles of the others and of those


@dataclass(frozen=True)
class Certificate:
    """What is known of a dual vector. `min P` lies in [lower_bound, upper_bound], up to the errors."""

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
    families: float
    """Smallest share of surviving ancestor families over the runs."""
    temperatures: int
    """Largest number of temperatures over the runs; of two small ones alone where these were too many already."""
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


def certify(
    risk: MeanFieldRisk,
    dual: Shaped[Array, "n ..."] | Any,
    temperature: float,
    *,
    key: Key[Array, ""],
    num_replicates: int = 4,
    num_particles: int | None = None,
    polish: int = 2,
    proposal: Proposal = "mala",
) -> Certificate:
    """Certify a dual vector: the time average of `risk.dual` over the last half of a run is a good one.

    Args:
        dual: (n,) or (n, C), feasible; projected to the domain where rounding took it out.
        temperature: that of the training, T.
        num_replicates: independent SMC runs, at least 2; the error bars are over them.
        num_particles: M of each run; the gap's upward bias falls like 1 / M. None takes 1200, and 7500 where the law
            is so near the prior that sampling it is cheap.
        polish: climbs of D before certifying; each is kept only if fresh runs show that it raised D.
        proposal: of the runs' moves, "mala", or "pcnl" for weights that are functions, with a precision for each mode.

    Raises:
        ValueError: a dual of another shape or not finite, an unbounded neuron, fewer than two runs, a proposal that is
            none.

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
    if num_particles is not None:
        checks.positive_int("num_particles", num_particles, minimum=2)
    checks.positive_int("polish", polish, minimum=0)
    check_proposal(proposal)
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

    numbers = count()

    def look(dual: Array, runs: int, size: int) -> Look:
        return Look(risk, dual, float(temperature), random.fold_in(key, next(numbers)), runs, size, proposal)

    pilot = look(dual, 2, PILOT)  # temperatures hardly depend on the number of particles
    if pilot.temperatures > LONG:
        return _report(pilot, 0)
    size = num_particles or (MANY if pilot.temperatures <= SHORT else FEW)

    kept = 0
    if polish and dual.size <= MAX_SIZE:
        dual, kept = polished(look(dual, 2, size), lambda dual: look(dual, 2, size), polish)
    # runs that chose between duals flatter their choice: fresh ones report it
    return _report(look(dual, num_replicates, size), kept)


def _report(look: Look, polish_steps: int) -> Certificate:
    doubt = _doubt(look)
    digits = max(0, -math.floor(math.log10(look.gap_error))) if look.gap_error > 0 else 6  # as many as are known
    within = f"Within {look.gap:.{digits}f} ± {look.gap_error:.{digits}f} of the global optimum."
    return Certificate(
        gap=look.gap,
        standard_error=look.gap_error,
        unbiased_gap=_pairwise_gap(look),
        lower_bound=look.bound,
        lower_bound_error=look.bound_error,
        upper_bound=look.bound + look.gap,
        trustworthy=doubt is None,
        verdict=f"Not certified: {doubt}" if doubt else within,
        families=look.families,
        temperatures=look.temperatures,
        dual=np.asarray(look.dual),
        polish_steps=polish_steps,
    )


def _doubt(look: Look) -> str | None:
    """Why the certificate should not be believed, and what to do; None where it may be."""
    remedy = "train longer, or raise the temperature or num_particles."
    if not (np.isfinite(look.gap) and np.isfinite(look.bound)):
        return f"a run broke off before it reached the temperature; {remedy}"
    if look.families < SUSPICIOUS:
        how = "useless" if look.families < USELESS else "suspicious"
        return f"{look.families:.1%} of the particles' families survived, which makes the gap {how}; {remedy}"
    if look.temperatures > LONG:
        return f"the walk from the prior took {look.temperatures} temperatures, too many to be believed; {remedy}"
    known = look.prior_objective - look.bound  # min P <= P(prior)
    if look.gap > TELLING * known:
        return f"the gap of {look.gap:.2g} says little more than the untrained prior does, {known:.2g}; {remedy}"
    return None


def _pairwise_gap(look: Look) -> float | None:
    """Mean over pairs of runs of 1/2 <z - y - g, z' - y - g>: the errors of two runs are independent."""
    risk = look.risk
    if not isinstance(risk.loss, Squared):
        return None
    residuals = [np.asarray(s.outputs - risk.targets - look.dual, np.float64) for s in look.samples]
    pairs = [(a * b).reshape(len(a), -1).sum(1) / 2 for i, a in enumerate(residuals) for b in residuals[:i]]
    return float(np.mean([risk.mean_over_rows(jnp.asarray(pair, risk.inputs.dtype)) for pair in pairs]))
