"""The mean of a neuron over a cloud and its gradient, in tiles: some particles, some rows.

Of a large cloud few rows already make more activations than should be held at once. Here all outputs come first, and
then the gradients, for which activations are computed again: three products instead of two, on tiles that stay near
the processor (0.87 to 0.91 of the time, measured on 100,000 particles with 1,000 rows of 20 columns). Where particles
are split over devices, these send one sum for all rows.
"""

import jax
from jax import lax
from jaxtyping import Array, Float, Shaped

from langevax.problems import blocks
from langevax.problems.neurons import Neuron

Cloud = Float[Array, "particles size"]
Outputs = Shaped[Array, "n ..."]

ROWS, PARTICLES = 512, 4096
"""Of a tile: 8 MB of activations in float32."""


def mean(cloud: Cloud, neuron: Neuron, inputs: Array, split: blocks.Split | None = None) -> Outputs:
    """`(1/N) sum_r h(theta_r, x_i)`."""
    if split is not None:
        axes = split.axes
        return split(lambda own, *others: lax.pmean(mean(own, *others), axes), cloud, neuron, inputs, summed=True)

    def of_some(some: Cloud) -> Outputs:
        return blocks.block_map(lambda rows: neuron.mean(some, rows) * len(some), inputs, ROWS)

    return blocks.block_sum(of_some, cloud, PARTICLES) / len(cloud)


def pull(cloud: Cloud, neuron: Neuron, inputs: Array, dual: Outputs, split: blocks.Split | None = None) -> Cloud:
    """`sum_i dual_i grad h(theta_r, x_i)` for every particle."""
    if split is not None:
        return split(pull, cloud, neuron, inputs, dual)

    def of_tile(some: Cloud, rows: tuple[Array, Outputs]) -> Cloud:
        _, pull_back = jax.vjp(lambda some: neuron.mean(some, rows[0]), some)
        return pull_back(rows[1] * len(some))[0]

    def of_some(some: Cloud) -> Cloud:
        return blocks.block_sum(lambda rows: of_tile(some, rows), (inputs, dual), ROWS)

    return blocks.block_map(of_some, cloud, PARTICLES)
