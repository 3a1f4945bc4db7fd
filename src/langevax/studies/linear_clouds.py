"""Clouds of linear particles at rest, measured, beside their closed forms: exact at every number of particles N.

With the squared loss the law of N particles is Gaussian: their mean has variance T / (N (s + 2 ridge)) along an
eigenvector of X'X / n with eigenvalue s, particles spread about it by T / (2 ridge) (`theory.mean_field`, at the step
of the chain). So the free energy L^N follows from two covariances, measured or exact. Its formula in N is that of the
flow; the step of 0.1 moves it by a thousandth, and chains are held against the free energy of their own law.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from langevax.meanfield import MFLD
from langevax.problems import losses, neurons
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run import simulate
from langevax.theory.mean_field import linear_cloud_variance, linear_optimum, linear_output_variance

RIDGE, TEMPERATURE = 0.1, 0.1
ROWS, DIMENSION = 8, 3
STEP_SIZE, STEPS, RECORD = 0.1, 200, 40
GROUPS, PARTS = 20, 10  # of clouds, for errors; of a group, for the jackknife
QUANTITIES = ("output variance", "spread within the cloud", "free energy")


def regression(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of the linear network."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(ROWS, DIMENSION))
    return inputs, inputs @ random.normal(size=DIMENSION) + 0.3 * random.normal(size=ROWS)


def moments_of(problem: Any, state: Any) -> Any:
    """The mean of a cloud of linear particles, and the mean square about it of one coordinate."""
    mean = state.position.mean(axis=0)
    return mean, jnp.mean((state.position - mean) ** 2)


def free_energy(covariance: np.ndarray, within: float, inputs: np.ndarray, num_particles: int) -> float:
    """(1/N) L^N - L* of a Gaussian law of N particles, from the covariance of their mean and the spread about it."""
    d, prior = inputs.shape[1], TEMPERATURE / (2 * RIDGE)
    risk = np.trace(inputs.T @ inputs / len(inputs) @ covariance) / 2
    ridge = RIDGE * (np.trace(covariance) + d * (within - prior))
    mean, others = num_particles * covariance / prior, within / (1 - 1 / num_particles) / prior
    entropy = np.linalg.slogdet(mean)[1] + d * (num_particles - 1) * np.log(others)
    return float(risk + ridge - TEMPERATURE / (2 * num_particles) * entropy)


def of_groups(function: Any, *samples: np.ndarray) -> tuple[float, float]:
    """Mean over groups of `function` with its bias taken off by the jackknife, and its standard error over groups.

    A free energy is flat about its optimum, so that a jackknife's own error bar would not be to be trusted.
    """
    values = []
    for group in np.array_split(np.arange(len(samples[0])), GROUPS):
        parts = np.array_split(group, PARTS)
        left_out = [function(*(s[np.setdiff1d(group, part)] for s in samples)) for part in parts]
        values.append(PARTS * function(*(s[group] for s in samples)) - (PARTS - 1) * np.mean(left_out))
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(GROUPS))


def linear_point(num_particles: int, num_clouds: int, seed: int, key: Any) -> np.ndarray:
    """(quantity, (measured, error, exact)) of clouds of linear particles at rest."""
    inputs, targets = regression(seed)
    optimum = linear_optimum(inputs, targets, RIDGE, TEMPERATURE)
    rows, labels = jnp.asarray(inputs, jnp.float32), jnp.asarray(targets, jnp.float32)
    risk = MeanFieldRisk(neurons.Linear(), losses.squared, rows, labels, precision=2 * RIDGE)
    centre = jnp.asarray(optimum.mean, jnp.float32)

    def start(key: Any) -> Any:  # independent draws of q*: what interaction changes of them is forgotten at rate s
        return centre + risk.prior(TEMPERATURE, num_particles)(key)

    result = simulate(
        MFLD(step_size=STEP_SIZE, temperature=TEMPERATURE), risk, start, key=key, num_steps=STEPS,
        num_chains=num_clouds, record=moments_of, record_every=RECORD, progress=False,
    )  # fmt: skip
    means, within = (np.asarray(a, float)[:, 1:] for a in result.positions)  # without the first look
    away = means - optimum.mean
    arguments = inputs, RIDGE, TEMPERATURE, num_particles, STEP_SIZE, "exponential"
    law = linear_cloud_variance(*arguments)
    exact = (
        linear_output_variance(*arguments).mean(),
        law.within,
        free_energy(law.of_mean, law.within, inputs, num_particles),
    )
    estimates = (
        lambda a, w: float(((a @ inputs.T) ** 2).mean()),
        lambda a, w: float(w.mean()),
        lambda a, w: free_energy(np.einsum("cri,crj->ij", a, a) / a[..., 0].size, w.mean(), inputs, num_particles),
    )
    return np.array([(*of_groups(f, away, within), e) for f, e in zip(estimates, exact, strict=True)])
