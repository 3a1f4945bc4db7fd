"""The end of a training: where the dual vector has settled, or where the outputs are as near to a certified optimum.

With z the outputs of any law q and u those of an optimum, the risk's convexity in outputs gives

    P(q) - min P >= (1 / n) sum_i W_i (l(z_i) - l(u_i) - <l'(u_i), z_i - u_i>),

the excess of z: (z - u)^2 / 2 for squares. An interval for min P of width w knows u up to an excess of w. Outputs whose
excess over the certified ones is at most w are therefore as near to the optimum as these are known to be.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from langevax._typing import FloatScalar, PRNGKey
from langevax.meanfield import Certificate, certify
from langevax.meanfield.mfld import stop_at_plateau
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run import Trace
from langevax.run.options import Run
from langevax.sklearn.training import outputs

Stop = Literal["plateau", "certified"]
CLOSE = 0.02  # of what training gains: nearer than this it need not come, however narrow the interval is
EFFORT = 1e9  # neuron gradients of the certificate that a training is compared with
NUM_CLOUDS = 8  # that predict, from the last half of the run


def late_clouds(particles: np.ndarray) -> np.ndarray:
    """Return the records (at most `NUM_CLOUDS`, N, size) of the last half of a run with which a network predicts."""
    late = particles[len(particles) // 2 :]
    return late[np.unique(np.linspace(0, len(late) - 1, NUM_CLOUDS).astype(int))]


def at_rows(certificate: Certificate, places: np.ndarray) -> Certificate:
    """Return the certificate of distinct rows with an entry for each of the rows passed, at place -1 of weight 0."""
    used = np.where(places < 0, 0, 1 / np.bincount(places[places >= 0])[places])
    return replace(
        certificate,
        dual=certificate.dual[places],
        outputs=certificate.outputs[places],
        row_shares=certificate.row_shares[places] * used,
    )


@eqx.filter_jit
def _excess(risk: MeanFieldRisk, z: Array, u: Array) -> FloatScalar:
    def of_row(z: Array, u: Array, target: Array) -> Array:
        slope = risk.loss.derivative(u, target)
        return risk.loss(z, target) - risk.loss(u, target) - jnp.sum(slope * (z - u))

    return risk.mean_over_rows(jax.vmap(of_row)(z, u, risk.targets))


@dataclass
class CertifiedStop:
    """Callback of `simulate`: stop once the network's outputs are as near to the certified ones as these are known.

    It depends on the records alone, so that a run that goes on from a checkpoint ends at the same step.
    """

    risk: MeanFieldRisk
    certificate: Certificate
    """Of distinct rows, a trusted one."""

    @classmethod
    def of(
        cls,
        risk: MeanFieldRisk,
        temperature: float,
        key: PRNGKey,
        run: Run,
    ) -> "CertifiedStop":
        """Certify first: the interval does not depend on the training."""
        return cls(risk, certify(risk, temperature, key=key, effort=EFFORT, run=run))

    @property
    def bound(self) -> float:
        """The largest excess at which training ends."""
        certificate = self.certificate
        return max(
            certificate.width,
            CLOSE * (certificate.prior_objective - certificate.lower_bound),
        )

    def __call__(self, trace: Trace | None, state: Any) -> bool:
        if not self.certificate.trustworthy:
            return stop_at_plateau(trace, state)
        return trace is not None and self.excess(trace) <= self.bound

    def excess(self, trace: Trace) -> float:
        """Return that of the network which predicts after these records."""
        clouds = late_clouds(np.asarray(trace.values["particles"]))
        z = outputs(
            self.risk.neuron,
            clouds.reshape(-1, clouds.shape[-1]),
            np.asarray(self.risk.inputs),
        )
        as_stored = partial(jnp.asarray, dtype=self.risk.inputs.dtype)
        return float(
            _excess(self.risk, as_stored(z), as_stored(self.certificate.outputs))
        )

    def warning(self, trace: Trace) -> str | None:
        """Return why the network of the whole run is not one that is certified, and what to do."""
        if not self.certificate.trustworthy:
            return (
                f"stop='certified' needs an interval that is trusted, without which a plateau ends the training. "
                f"{self.certificate.verdict}"
            )
        excess = self.excess(trace)
        if excess <= self.bound:
            return None
        return (
            f"the network's outputs are not those of the certified optimum: their excess loss over them is "
            f"{excess:.2g}, and {self.bound:.2g} would be as near as is known; raise num_steps, or num_particles "
            "where the loss no longer falls."
        )
