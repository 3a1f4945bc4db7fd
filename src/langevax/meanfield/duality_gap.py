"""The duality gap of a dual vector, by walks from the prior.

For any feasible dual g, with p_g its proximal Gibbs law and z_i = E_{p_g} h(theta, x_i), entropy and
log Z cancel in the duality gap (Nitanda, Wu, Suzuki, AISTATS 2022, with Fenchel-Young losses):

    P(p_g) - D(g) = (1/n) sum_i FY(z_i, g_i) >= 0,
    D(g) = -(1/n) sum_i loss*(g_i) - T log E_prior exp(-V_g / T)  <=  min P,

with P the risk plus T KL(q || prior). So min P lies in [D(g), D(g) + gap] if the walks met all modes, which
their agreement does not show: `certify` is what bounds min P. This tells the duals of a training apart.
z and log Z come from independent walks from the prior (`walks`), never from the training particles: on those the gap
was seen between 5e-2 and 2e-6 of its true value. FY of the mean z over walks errs upwards, since FY is convex in z.
Products are in float32, whatever those of the training were in.
"""

from contextlib import closing
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from langevax import checks
from langevax._typing import PRNGKey
from langevax.meanfield.clouds import Clouds
from langevax.meanfield.gibbs_law import GibbsLaw
from langevax.meanfield.homotopy import mean_conjugate, mean_gap, project
from langevax.meanfield.walks import means_of_runs, plan_along, walk
from langevax.problems.mean_field import MeanFieldRisk
from langevax.renamed import refuse_former


class DualEstimate(NamedTuple):
    """Estimates by independent walks at one dual vector: D and the gap.

    `bound` and `gap` are of all walks together, their errors from what each walk alone would change. The gap is that of
    the mean outputs of the walks: the noise of z alone makes a gap, since FY is convex, and R walks together make an
    R-th of what each makes for itself.
    """

    dual: Array
    """That was judged, feasible."""
    bound: float
    """D."""
    bound_error: float
    gap: float
    gap_error: float
    outputs: Float[np.ndarray, "walks n ..."]
    """z of each walk."""
    num_laws: int
    """On the way from the prior."""


@refuse_former
def duality_gap(
    risk: MeanFieldRisk,
    dual: Shaped[ArrayLike, "n ..."],
    temperature: float,
    *,
    key: PRNGKey,
    num_replicates: int = 4,
    num_particles: int = 2000,
) -> DualEstimate:
    """Estimate D and the duality gap of a dual vector, by fresh walks from the prior.

    Args:
        dual: (n,) or (n, C), feasible; projected to the domain where rounding took it out. The time average of
            `risk.dual` over the last half of a run is a good one.
        temperature: that of the training, T.
        num_replicates: independent walks, at least 2; the error bars are over them.
        num_particles: M of each walk; the gap's upward bias falls like 1 / M.

    Returns:
        A `DualEstimate`; its numbers are NaN where no 200 laws lead from the prior to that of the dual.

    Raises:
        ValueError: a dual of another shape or not finite, an unbounded neuron, fewer than two walks, more particles
            than memory holds.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> estimate = langevax.meanfield.duality_gap(risk, -0.4 * y, 0.1, key=jax.random.key(0))
        >>> estimate.gap < 0.01
        True
    """
    check_problem(risk, temperature, key)
    checks.positive_int("num_replicates", num_replicates, minimum=2)
    checks.positive_int("num_particles", num_particles, minimum=2)
    risk.prior(temperature, num_particles)  # refuses clouds beyond memory
    dual = jnp.asarray(checks.plain_array("dual", dual), risk.inputs.dtype)
    shape = (risk.max_size, *risk.neuron.output_shape)
    if dual.shape != shape:
        raise ValueError(
            f"dual must have shape {shape}, one per row and output, got {dual.shape}; "
            "pass risk.dual(...)."
        )
    checks.finite("dual", dual, remedy="pass the dual of a finite network")
    dual = project(risk, dual)
    law = GibbsLaw.of(risk, float(temperature))
    tilt = law.tilt(dual, temperature)
    with closing(Clouds(law, risk.max_size, key)) as clouds:
        plan = plan_along(clouds, [tilt], num_particles)
        walked = walk(clouds, plan, num_replicates, num_particles)
        outputs, _ = means_of_runs(clouds, tilt, walked)
    unknown = 0.0 if plan.complete else np.nan
    outputs = outputs.reshape(num_replicates, *shape) + unknown
    conjugate = float(mean_conjugate(risk, dual))
    bounds = -conjugate - temperature * (walked.log_partition + unknown)
    without = [
        _gap(risk, np.delete(outputs, run, 0), dual) for run in range(num_replicates)
    ]
    return DualEstimate(
        dual=dual,
        bound=float(bounds.mean()),
        bound_error=float(bounds.std(ddof=1) / np.sqrt(num_replicates)),
        gap=_gap(risk, outputs, dual),
        gap_error=float(np.sqrt(num_replicates - 1) * np.std(without)),  # jackknife
        outputs=outputs,
        num_laws=len(plan.laws),
    )


def _gap(risk: MeanFieldRisk, outputs: np.ndarray, dual: Array) -> float:
    """Return the gap of the mean outputs of walks."""
    mean = jnp.asarray(outputs.mean(0), risk.inputs.dtype)
    return float(mean_gap(risk, mean, dual))


def check_problem(risk: MeanFieldRisk, temperature: float, key: PRNGKey) -> None:
    """Raise unless it is one whose laws of all duals exist."""
    checks.instance(
        "risk", risk, MeanFieldRisk, "langevax.MeanFieldRisk(neuron, loss, X, y)"
    )
    checks.typed_key(key)
    checks.number("temperature", temperature, positive=True)
    if not np.isfinite(float(risk.neuron.bound)):
        raise ValueError(
            f"{type(risk.neuron).__name__} is unbounded: its proximal Gibbs law need "
            "not exist, and no certificate holds; use a bounded neuron such as "
            "TanhTanh."
        )
