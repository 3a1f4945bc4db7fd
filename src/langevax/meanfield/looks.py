"""Independent SMC runs at one dual vector, and what they say of it: D, the gap, and D at duals nearby."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Key

from langevax.meanfield.smc import sample_gibbs
from langevax.problems.mean_field import MeanFieldRisk

SUSPICIOUS, USELESS = 0.05, 0.01
"""Shares of surviving families below which runs are not to be believed (measured on tables of 10 to 64 columns)."""


class Look:
    """`gaps` and `bounds` hold one number for each run; the rest are the runs themselves."""

    def __init__(self, risk: MeanFieldRisk, dual: Array, temperature: float, key: Key[Array, ""], runs: int, size: int):
        self.risk, self.temperature = risk, temperature
        self.dual = project(risk, dual)
        self.samples = [sample_gibbs(risk, self.dual, temperature, size, k) for k in random.split(key, runs)]
        self.gaps = np.array([float(_mean_gap(risk, sample.outputs, self.dual)) for sample in self.samples])
        self.conjugate = float(_mean_conjugate(risk, self.dual))
        self.bounds = np.array([-self.conjugate - temperature * float(s.log_partition) for s in self.samples])

    @property
    def prior_objective(self) -> float:
        """P(prior), above min P: the risk of untrained particles, as many as all runs have."""
        runs, size = len(self.samples), len(self.samples[0].particles)
        cloud = self.risk.prior(self.temperature, runs * size)(random.key(0))
        return float(_value(self.risk, cloud))

    @property
    def families(self) -> float:
        """Smallest share of surviving ancestor families."""
        return min(float(sample.families) for sample in self.samples)

    @property
    def temperatures(self) -> int:
        """Largest number of temperatures of a walk."""
        return max(int(sample.temperatures) for sample in self.samples)

    def rise_to(self, dual: Array) -> np.ndarray:
        """D(dual) - D(self.dual), one estimate a run, by weighing its particles: no log Z of its own is needed.

        With W = V_dual - V_self,  log Z_dual / Z_self = log E_{p_self} exp(-W / T). An estimate errs upwards
        where the weights are uneven, since few particles then carry the mean.
        """
        log_ratios = [
            float(_log_ratio(self.risk, s.particles, dual - self.dual, self.temperature)) for s in self.samples
        ]
        return self.conjugate - float(_mean_conjugate(self.risk, dual)) - self.temperature * np.array(log_ratios)


@eqx.filter_jit
def project(risk: MeanFieldRisk, dual: Array) -> Array:
    """The nearest feasible dual."""
    return jax.vmap(risk.loss.project)(dual, risk.targets)


@eqx.filter_jit
def _value(risk: MeanFieldRisk, cloud: Array) -> Float[Array, ""]:
    return risk.value(cloud)


@eqx.filter_jit
def _mean_gap(risk: MeanFieldRisk, outputs: Array, dual: Array) -> Float[Array, ""]:
    return risk.mean_over_rows(jax.vmap(risk.loss.fenchel_young)(outputs, dual, risk.targets))


@eqx.filter_jit
def _mean_conjugate(risk: MeanFieldRisk, dual: Array) -> Float[Array, ""]:
    return risk.mean_over_rows(jax.vmap(risk.loss.conjugate)(dual, risk.targets))


@eqx.filter_jit
def _log_ratio(risk: MeanFieldRisk, particles: Array, difference: Array, temperature: Any) -> Float[Array, ""]:
    shifts = jax.vmap(risk.of_one_particle(difference).value)(particles)
    count = jnp.asarray(len(particles), shifts.dtype)
    return logsumexp(-shifts / jnp.asarray(temperature, shifts.dtype)) - jnp.log(count)
