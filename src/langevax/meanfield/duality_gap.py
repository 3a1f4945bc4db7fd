"""The duality gap of a dual vector, by sequential Monte Carlo from the prior.

For any feasible dual g, with p_g its proximal Gibbs law and z_i = E_{p_g} h(theta, x_i), entropy and
log Z cancel in the duality gap (Nitanda, Wu, Suzuki, AISTATS 2022, with Fenchel-Young losses):

    P(p_g) - D(g) = (1/n) sum_i FY(z_i, g_i) >= 0,
    D(g) = -(1/n) sum_i loss*(g_i) - T log E_prior exp(-V_g / T)  <=  min P,

with P the risk plus T KL(q || prior). So min P lies in [D(g), D(g) + gap] if the runs met all modes, which
agreement of the runs does not show: `certify` is what bounds min P. This tells the duals of a training apart.
z and log Z come from independent SMC runs from the prior, never from the training particles: on those the gap was seen
between 5e-2 and 2e-6 of its true value. FY of the mean z over runs errs upwards, since FY is convex in z.
Products are in float32, whatever those of the training were in.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.typing import ArrayLike
from jaxtyping import Array, Shaped

from langevax import checks
from langevax._typing import PRNGKey
from langevax.algorithm import trace_floats
from langevax.meanfield.homotopy import mean_conjugate, mean_gap, project
from langevax.meanfield.moves import Proposal, check_proposal
from langevax.meanfield.smc import GibbsSample, sample_gibbs
from langevax.problems.mean_field import MeanFieldRisk

SUSPICIOUS = 0.05
"""Share of surviving ancestors below which runs are not to be believed (measured on tables of 10 to 64 columns)."""


class DualEstimate:
    """Estimates by independent SMC runs at one dual vector: D and the gap.

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
        key: PRNGKey,
        proposal: Proposal = "mala",
    ):
        risk = trace_floats(
            risk, risk.inputs.dtype
        )  # the program is the same for another ridge or temperature
        self.risk: MeanFieldRisk = risk
        self.temperature = temperature
        self.dual: Array = project(risk, dual)
        keys = list(random.split(key, num_runs))
        self.samples: list[GibbsSample] = _independent_runs(
            risk, self.dual, temperature, num_particles, keys, proposal
        )
        self.conjugate: float = float(mean_conjugate(risk, self.dual))
        bounds = np.array(
            [
                -self.conjugate - temperature * float(s.log_partition)
                for s in self.samples
            ]
        )
        self.bound: float = float(bounds.mean())
        self.bound_error: float = float(bounds.std(ddof=1) / np.sqrt(num_runs))
        outputs = jnp.stack([sample.outputs for sample in self.samples])
        self.gap: float = float(mean_gap(risk, outputs.mean(0), self.dual))
        without = [
            float(mean_gap(risk, jnp.delete(outputs, r, 0).mean(0), self.dual))
            for r in range(num_runs)
        ]
        self.gap_error: float = float(
            np.sqrt(num_runs - 1) * np.std(without)
        )  # jackknife

    @property
    def surviving_ancestors(self) -> float:
        """Smallest share over the runs of the first particles that still have descendants."""
        return min(float(sample.surviving_ancestors) for sample in self.samples)

    @property
    def temperatures(self) -> int:
        """Largest number of temperatures over the runs."""
        return max(int(sample.temperatures) for sample in self.samples)


def _independent_runs(
    risk: MeanFieldRisk,
    dual: Array,
    temperature: float,
    size: int,
    keys: list[Array],
    proposal: Proposal,
) -> list[GibbsSample]:
    """Return one sample a key, run in parallel: alone, a run leaves half of two cores idle."""
    wide = jax.config.read("jax_enable_x64")
    traced = jnp.asarray(temperature, risk.inputs.dtype)

    def run(key: Array) -> GibbsSample:
        with jax.enable_x64(
            wide
        ):  # threads do not inherit the contexts of their caller
            return jax.block_until_ready(
                sample_gibbs(risk, dual, traced, size, key=key, proposal=proposal)
            )

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(run, keys))


def duality_gap(
    risk: MeanFieldRisk,
    dual: Shaped[ArrayLike, "n ..."],
    temperature: float,
    *,
    key: PRNGKey,
    num_replicates: int = 4,
    num_particles: int = 2000,
    proposal: Proposal = "mala",
) -> DualEstimate:
    """Estimate D and the duality gap of a dual vector, by fresh runs from the prior.

    Args:
        dual: (n,) or (n, C), feasible; projected to the domain where rounding took it out. The time average of
            `risk.dual` over the last half of a run is a good one.
        temperature: that of the training, T.
        num_replicates: independent SMC runs, at least 2; the error bars are over them.
        num_particles: M of each run; the gap's upward bias falls like 1 / M.
        proposal: of the moves: "mala", or "pcnl" for weights that are functions, with a precision for each mode.

    Raises:
        ValueError: a dual of another shape or not finite, an unbounded neuron, fewer than two runs, more particles
            than memory holds, an unknown proposal.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> estimate = langevax.meanfield.duality_gap(risk, -0.4 * y, 0.1, key=jax.random.key(0))
        >>> estimate.gap < 0.01, estimate.surviving_ancestors > 0.05
        (True, True)
    """
    checks.instance(
        "risk", risk, MeanFieldRisk, "langevax.MeanFieldRisk(neuron, loss, X, y)"
    )
    checks.not_forked()
    checks.typed_key(key)
    checks.number("temperature", temperature, positive=True)
    checks.positive_int("num_replicates", num_replicates, minimum=2)
    checks.positive_int("num_particles", num_particles, minimum=2)
    risk.prior(temperature, num_particles)  # refuses clouds beyond memory
    check_proposal(proposal)
    proposal = cast(
        Proposal, str(proposal)
    )  # a word of NumPy is an array to compiled programs
    dual = jnp.asarray(checks.plain_array("dual", dual), risk.inputs.dtype)
    shape = (risk.max_size, *risk.neuron.output_shape)
    if dual.shape != shape:
        raise ValueError(
            f"dual must have shape {shape}, one per row and output, got {dual.shape}; pass risk.dual(...)."
        )
    checks.finite("dual", dual, remedy="pass the dual of a finite network")
    check_bounded(risk)
    return DualEstimate(
        risk,
        dual,
        float(temperature),
        num_replicates,
        num_particles,
        key=key,
        proposal=proposal,
    )


def check_bounded(risk: MeanFieldRisk) -> None:
    """Raise unless the laws of all duals exist."""
    if not np.isfinite(float(risk.neuron.bound)):
        raise ValueError(
            f"{type(risk.neuron).__name__} is unbounded: its proximal Gibbs law need not exist, and no certificate "
            "holds; use a bounded neuron such as TanhTanh."
        )
