"""Which of JAX's devices share a fit, and what of it each has."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from langevax import checks
from langevax.sklearn.table import bucket

PARTICLES, ROWS = "particles", "rows"


def mesh_of(devices: int | Mapping[str, int] | None, num_particles: int) -> Mesh | None:
    """The first of JAX's devices as a mesh: a number of them shares particles, {"particles": P, "rows": R} both.

    Raises:
        TypeError, ValueError: no numbers, more devices than there are, particles or rows that do not split.
    """
    if devices is None:
        return None
    parts = devices if isinstance(devices, Mapping) else {PARTICLES: devices}
    if not parts or not parts.keys() <= {PARTICLES, ROWS}:
        raise ValueError(
            f"devices is {devices!r}; pass a number, or a dict of 'particles' and 'rows' such as "
            "{'particles': 2, 'rows': 2}."
        )
    for name, count in parts.items():
        checks.positive_int("devices" if devices is count else f"devices[{name!r}]", count)
    wanted, particles, rows = math.prod(parts.values()), parts.get(PARTICLES, 1), parts.get(ROWS, 1)
    if wanted > jax.device_count():
        raise ValueError(
            f"devices is {devices}, but JAX has {jax.device_count()}; pass fewer, or ask for more before anything is "
            f"computed: jax.config.update('jax_num_cpu_devices', {wanted})."
        )
    if num_particles % particles:
        raise ValueError(
            f"num_particles is {num_particles}, which does not split over devices={devices}; pass for instance "
            f"num_particles={-(-num_particles // particles) * particles}."
        )
    step = bucket(bucket(1) + 1) - bucket(1)  # what every number of stored rows is a multiple of
    if step % rows:
        raise ValueError(f"devices['rows'] is {rows}, over which rows do not split evenly; pass a divisor of {step}.")
    return Mesh(np.array(jax.devices()[:wanted]).reshape(tuple(parts.values())), tuple(parts))


def sharing(devices: int | Mapping[str, int] | None, num_particles: int) -> dict[str, Any]:
    """The same as an argument of `simulate`; none where one device has all."""
    mesh = mesh_of(devices, num_particles)
    return {} if mesh is None else {"sharding": mesh}
