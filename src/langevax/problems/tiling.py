"""The mean of a neuron over particles and its gradient, in tiles of some particles and some rows.

With many particles few rows already make more activations than should be in memory at once. Here all outputs come
first, and then the gradients, for which activations are computed again: three products instead of two, on tiles that
stay near the processor (0.87 to 0.91 of the time, measured on 100,000 particles with 1,000 rows of 20 columns). Where
particles are split over devices, these send one sum for all rows.
"""

import jax
from jax import lax
from jaxtyping import Array, Float, Shaped

from langevax.platforms import sizes
from langevax.problems import blocks
from langevax.problems.neurons import Neuron
from langevax.problems.sharding import RowSharding

Cloud = Float[Array, "particles size"]
Outputs = Shaped[Array, "n ..."]


def mean(
    cloud: Cloud,
    neuron: Neuron,
    inputs: Array,
    sharding: RowSharding | None = None,
) -> Outputs:
    """`(1/N) sum_r h(theta_r, x_i)`."""
    if sharding is not None:
        axes = sharding.axes
        return sharding(
            lambda own, *others: lax.pmean(mean(own, *others), axes),
            cloud,
            neuron,
            inputs,
            summed=True,
        )

    def of_particles(particles: Cloud) -> Outputs:
        return blocks.block_map(
            lambda rows: neuron.mean(particles, rows) * len(particles),
            inputs,
            sizes().tile_rows,
        )

    return blocks.block_sum(of_particles, cloud, sizes().tile_particles) / len(cloud)


def vjp(
    cloud: Cloud,
    neuron: Neuron,
    inputs: Array,
    dual: Outputs,
    sharding: RowSharding | None = None,
) -> Cloud:
    """`sum_i dual_i grad h(theta_r, x_i)` for every particle."""
    if sharding is not None:
        return sharding(vjp, cloud, neuron, inputs, dual)

    def of_tile(particles: Cloud, rows: tuple[Array, Outputs]) -> Cloud:
        _, mean_vjp = jax.vjp(
            lambda particles: neuron.mean(particles, rows[0]), particles
        )
        return mean_vjp(rows[1] * len(particles))[0]

    def of_particles(particles: Cloud) -> Cloud:
        return blocks.block_sum(
            lambda rows: of_tile(particles, rows), (inputs, dual), sizes().tile_rows
        )

    return blocks.block_map(of_particles, cloud, sizes().tile_particles)
