"""One chain on functions, seen while it samples: the page of the study "dimension-free" plays it at two sizes.

20 values of sin(2 pi z) with noise of variance 0.09; the prior N(0, diag((k + 1)^-2)) on cosines, as in all of the
study. The posterior is Gaussian, so that its mean and deviation are known at every place. All numbers of modes take the
same step, and the same noise in the modes they share.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from langevax.integrators import SemiImplicit
from langevax.problems.finite_sum import FiniteSum
from langevax.run import simulate
from langevax.samplers import Langevin
from langevax.studies.dimension_free.functions import prior_of, squared

MODES = (16, 256)
NUM_DATA, NOISE_VARIANCE = 20, 0.09
STEP_SIZE = 0.1
"""Explicit Euler would have to stay below 0.007 at 256 modes."""
FRAMES, EVERY = 60, 4
GRID = np.linspace(0, 1, 101)


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Places and values; a gap is left between 0.55 and 0.8, where the prior alone decides."""
    rng = np.random.default_rng(3)
    places = rng.uniform(size=NUM_DATA) * 0.75
    places = np.where(places > 0.55, places + 0.25, places)
    return places, np.sin(2 * np.pi * places) + np.sqrt(NOISE_VARIANCE) * rng.normal(size=NUM_DATA)


def cosines(places: np.ndarray, num_modes: int) -> np.ndarray:
    """(place, mode) the basis."""
    k = np.arange(num_modes)
    return np.where(k > 0, np.sqrt(2), 1) * np.cos(np.pi * k * np.asarray(places)[:, None])


def posterior(num_modes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation at every place of GRID, exact."""
    places, values = rows()
    seen, shown = cosines(places, num_modes), cosines(GRID, num_modes)
    covariance = np.linalg.inv(np.diag(np.arange(1.0, num_modes + 1) ** 2) + seen.T @ seen / NOISE_VARIANCE)
    mean = covariance @ seen.T @ values / NOISE_VARIANCE
    return shown @ mean, np.sqrt(np.einsum("pi,ij,pj->p", shown, covariance, shown))


def drawn(num_modes: int, key: Any) -> np.ndarray:
    """(frame, place): the chain's functions, from 0 on, every EVERY steps."""
    places, values = rows()
    prior, temperature = prior_of(num_modes), NOISE_VARIANCE / NUM_DATA
    data = prior.features(jnp.asarray(places, jnp.float32)), jnp.asarray(values, jnp.float32)
    problem = FiniteSum(squared, data, precision=prior.precision(temperature))
    chain = Langevin(step_size=STEP_SIZE, temperature=temperature, integrator=SemiImplicit())
    run = simulate(
        chain, problem, jnp.zeros(num_modes, jnp.float32), key=key, num_steps=FRAMES * EVERY, record_every=EVERY,
        progress=False,
    )  # fmt: skip
    return (np.asarray(run.positions, float) @ cosines(GRID, num_modes).T).astype(np.float32)


def measured(key: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables and coordinates of a dataset."""
    centre, deviation = np.stack([posterior(n) for n in MODES], axis=1).astype(np.float32)
    of, value = ("drawn_modes", "place"), {"units": "values of the function"}
    places, values = rows()
    variables = {
        "drawn": (("drawn_modes", "drawn_step", "place"), np.stack([drawn(n, key) for n in MODES]), value),
        "drawn_mean": (of, centre, value), "drawn_deviation": (of, deviation, value),
        "row_place": ("row", places.astype(np.float32), {"units": "1"}),
        "row_value": ("row", values.astype(np.float32), value),
    }  # fmt: skip
    coordinates = {
        "drawn_modes": ("drawn_modes", list(MODES), {"units": "modes"}),
        "drawn_step": ("drawn_step", EVERY * np.arange(1, FRAMES + 1), {"units": "steps"}),
        "place": ("place", GRID.astype(np.float32), {"units": "1"}),
    }
    return variables, coordinates
