"""Independent SMC runs at one dual vector, and what they say of it: D, the gap, and D at duals nearby."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Key

from langevax.algorithm import trace_floats
from langevax.meanfield.moves import Proposal
from langevax.meanfield.smc import GibbsSample, sample_gibbs
from langevax.meanfield.weights import log_mean_exp
from langevax.problems.matmul import in_float32
from langevax.problems.mean_field import MeanFieldRisk

_log_mean_exp = jax.jit(log_mean_exp)

SUSPICIOUS, USELESS = 0.05, 0.01
"""Shares of surviving families below which runs are not to be believed (measured on tables of 10 to 64 columns)."""


class Look:
    """`bound` and `gap` are of all runs together, their errors from what each run alone would change.

    The gap is that of the mean outputs of the runs: the noise of z alone makes a gap, since FY is convex, and R runs
    together make an R-th of what each makes for itself.
    """

    def __init__(
        self,
        risk: MeanFieldRisk,
        dual: Array,
        temperature: float,
        key: Key[Array, ""],
        runs: int,
        size: int,
        proposal: Proposal = "mala",
    ):
        risk = trace_floats(risk, risk.inputs.dtype)  # another ridge or temperature is no other program
        self.risk, self.temperature = risk, temperature
        self.dual = project(risk, dual)
        self.samples = _walks(risk, self.dual, temperature, size, list(random.split(key, runs)), proposal)
        self.conjugate = float(_mean_conjugate(risk, self.dual))
        bounds = np.array([-self.conjugate - temperature * float(s.log_partition) for s in self.samples])
        self.bound, self.bound_error = float(bounds.mean()), float(bounds.std(ddof=1) / np.sqrt(runs))
        outputs = jnp.stack([sample.outputs for sample in self.samples])
        self.gap = float(_mean_gap(risk, outputs.mean(0), self.dual))
        without = [float(_mean_gap(risk, jnp.delete(outputs, r, 0).mean(0), self.dual)) for r in range(runs)]
        self.gap_error = float(np.sqrt(runs - 1) * np.std(without))  # jackknife

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
        temperature = self.temperature
        log_ratios = [float(_log_mean_exp(-self._shifts(s.particles, dual) / temperature)) for s in self.samples]
        return self.conjugate - float(_mean_conjugate(self.risk, dual)) - temperature * np.array(log_ratios)

    def importance(self, dual: Array) -> Float[np.ndarray, " particles"]:
        """Weights, of sum one, with which the particles of all runs stand for those of `dual`."""
        shifts = np.concatenate([np.asarray(self._shifts(s.particles, dual), np.float64) for s in self.samples])
        weights = np.exp((shifts.min() - shifts) / self.temperature)
        return weights / weights.sum()

    def _shifts(self, particles: Array, dual: Array) -> Float[Array, " particles"]:
        """V_dual - V_self of each."""
        return _values(self.risk, particles, dual - self.dual)


def _walks(
    risk: MeanFieldRisk, dual: Array, temperature: float, size: int, keys: list[Any], proposal: Proposal
) -> list[GibbsSample]:
    """One a key, side by side: alone, a walk leaves half of two cores idle."""
    wide, traced = jax.config.read("jax_enable_x64"), jnp.asarray(temperature, risk.inputs.dtype)

    def walk(key: Any) -> GibbsSample:
        with jax.enable_x64(wide):  # a thread does not begin in its caller's contexts
            return jax.block_until_ready(sample_gibbs(risk, dual, traced, size, key, proposal))

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(walk, keys))


@eqx.filter_jit
def project(risk: MeanFieldRisk, dual: Array) -> Array:
    """The nearest feasible dual."""
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
