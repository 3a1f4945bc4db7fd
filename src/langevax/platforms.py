"""Sizes of blocks and tiles, and forms of programs, chosen by the platform that computes them.

Those of CPUs were measured: what is at hand stays near a core, and products of matrices are as narrow as vector
instructions allow. Those elsewhere follow from what accelerators have in common, and no card has measured them yet
(`python -m benchmarks.accelerator` does): a kernel takes some microseconds to start, so that there should be few and
large ones; memory is a wide one of gigabytes; products fill matrix units whatever their columns; and JAX draws
Threefry numbers in one kernel. Three more choices are made where a program is lowered (`lax.platform_dependent`):
products in bfloat16 (`problems/matmul.py`), draws apart from what uses them (`trees.py`), calls of the host
(`problems/host.py`).

Sums in other blocks agree to rounding. Draws of a certificate belong to its blocks, so that the same effort gives
another interval, of the same law, on another platform.
"""

from typing import NamedTuple

import jax


class Sizes(NamedTuple):
    """Sizes that change how fast a program is, or what memory it takes, and nothing else."""

    block_activations: int
    """Particles x rows of one block of a mean-field pass."""
    most_rows: int
    """Of such a block, beyond which rows of a product are far apart."""
    most_activations: int
    """Of a block with the fewest rows; beyond, activations are computed twice, in tiles."""
    shared_activations: int
    """The same where particles are split over devices and every block is a sum over these."""
    tile_rows: int
    tile_particles: int
    """Of a tile."""
    pass_rows: int
    """Rows that are passed over, predicted, or differentiated together where nothing else bounds them."""
    certificate_activations: int
    """Particles x rows of one block of a certificate's cloud."""
    smallest_certificate_block: int
    largest_certificate_block: int
    """Particles of such a block."""
    log_likelihoods: int
    """Particles x rows of one block of a pass of a predictive law."""
    projections: int
    """Neurons x rows of one block of a two-phase network, whose smallest and largest blocks follow."""
    smallest_two_phase_block: int
    largest_two_phase_block: int
    filled_columns: bool
    """Whether inputs of a product are filled up to a multiple of what vector instructions compute together."""
    unrolled_keys: bool
    """Whether Threefry is written out, where JAX has a loop."""
    fewest_rows: int = 256
    """Of a block of a mean-field pass, from which a product of matrices is fast: 1.28 times at 100,000 particles."""


CPU = Sizes(
    block_activations=2
    ** 21,  # 8 MB in float32; with 16 MB a step took 1.1 times as long
    most_rows=2048,  # with 8,192 a product took twice as long, with 20,000 four times
    most_activations=2**24,  # 64 MB; beyond, it is faster to compute them twice
    shared_activations=2
    ** 25,  # computing them twice is not faster than two sums over devices
    tile_rows=512,
    tile_particles=4096,  # 8 MB of activations
    pass_rows=4096,  # at 8 columns a pass takes a third of what it takes with 16,384
    certificate_activations=2**20,
    smallest_certificate_block=128,
    largest_certificate_block=2048,
    log_likelihoods=2**18,
    projections=2**15,  # with 1 MiB of cache a core; see `teacher_student/errors.py`
    smallest_two_phase_block=256,
    largest_two_phase_block=2048,
    filled_columns=True,
    unrolled_keys=True,
)

ACCELERATOR = Sizes(
    block_activations=2
    ** 27,  # 512 MB in float32, some hundreds of microseconds of reading and writing
    most_rows=2**16,
    most_activations=2**28,  # 1 GB: a million particles with 256 rows
    shared_activations=2**28,
    tile_rows=4096,
    tile_particles=2**15,
    pass_rows=2**17,
    certificate_activations=2**26,
    smallest_certificate_block=1024,
    largest_certificate_block=2**15,
    log_likelihoods=2**25,
    projections=2**24,
    smallest_two_phase_block=4096,
    largest_two_phase_block=2**17,
    filled_columns=False,
    unrolled_keys=False,
)


def platform() -> str:
    """Return the platform on which programs run by default: "cpu", "gpu" or "tpu"."""
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform


def sizes() -> Sizes:
    """Return the choices of the platform on which programs run by default.

    Example:
        >>> sizes().tile_particles in (4096, 32768)
        True
    """
    return CPU if platform() == "cpu" else ACCELERATOR
