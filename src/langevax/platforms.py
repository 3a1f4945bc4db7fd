"""Sizes of blocks and tiles, and forms of programs, chosen by the platform that computes them.

Those of CPUs were measured: what is at hand stays near a core, and products of matrices are as narrow as vector
instructions allow. Those elsewhere follow from what accelerators have in common, and no card has measured them yet
(`python -m benchmarks.accelerator` does): a kernel takes some microseconds to start, so that there should be few and
large ones; memory is a wide one of gigabytes; products fill matrix units whatever their columns (`problems/matmul.py`);
and JAX draws Threefry numbers in one kernel (`keys.py`). Three more choices are made where a program is lowered
(`lax.platform_dependent`): products in bfloat16 (`problems/matmul.py`), draws apart from what uses them (`trees.py`),
calls of the host (`problems/host.py`).

A process that was forked from one in which JAX has started lacks its threads, and would hang: it is refused here.

Sums in other blocks agree to rounding. Draws of a certificate belong to its blocks, so that the same effort gives
another interval, of the same law, on another platform.
"""

import os
import sys
from typing import NamedTuple

import jax


class Sizes(NamedTuple):
    """Sizes that change how fast a program is, or what memory it takes, and nothing else."""

    block_activations: int
    """Particles x rows of one block of a mean-field pass."""
    most_activations: int
    """Of a block with the fewest rows; beyond, activations are computed twice, in tiles."""
    tile_rows: int
    tile_particles: int
    """Of a tile."""
    pass_rows: int
    """Rows that are passed over, predicted, or differentiated together where nothing else bounds them."""
    certificate_activations: int
    """Particles x rows of one block of a certificate's cloud."""
    smallest_certificate_block: int
    """Particles of such a block."""
    log_likelihoods: int
    """Particles x rows of one block of a pass of a predictive law."""
    projections: int
    """Neurons x rows of one block of a two-phase network."""
    largest_block: int
    """Rows of a block of a pass over a network, or particles of a certificate's; beyond, those of a product are far apart."""
    fewest_rows: int
    """Of a block of a pass, from which a product of matrices is fast: 1.28 times at 100,000 particles."""


def sizes_for(scale: int) -> Sizes:
    """Return the sizes of CPUs, with `scale` times as many rows and as many particles at once."""
    area = scale**2
    return Sizes(
        # 8 MB in float32; with 16 MB a step took 1.1 times as long
        block_activations=area * 2**21,
        # 64 MB; beyond, it is faster to compute them twice
        most_activations=area * 2**24,
        tile_rows=scale * 512,
        tile_particles=scale * 4096,
        # at 8 columns a pass takes a third of what it takes with 16,384
        pass_rows=scale * 4096,
        certificate_activations=area * 2**20,
        smallest_certificate_block=scale * 128,
        log_likelihoods=area * 2**18,
        # with 1 MiB of cache a core; see `teacher_student/errors.py`
        projections=area * 2**15,
        # with 8,192 a product took twice as long, with 20,000 four times
        largest_block=scale * 2048,
        fewest_rows=256,
    )


CPU = sizes_for(1)
ACCELERATOR = sizes_for(8)
"""Blocks of 512 MB in float32, some hundreds of microseconds of reading and writing."""


class _Process:
    """Of this process: whether JAX had started in the one from which it was forked."""

    forked = False

    @classmethod
    def note_fork(cls) -> None:
        # JAX has no public name for it; without this one nothing is refused
        bridge = sys.modules.get("jax._src.xla_bridge")
        cls.forked = getattr(bridge, "backends_are_initialized", bool)()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Process.note_fork)


def not_forked() -> None:
    """Raise RuntimeError in a process that was forked after JAX had started, where it would hang."""
    if _Process.forked:
        raise RuntimeError(
            "this process was forked from one in which JAX has run, where JAX would "
            "hang; start it by multiprocessing.get_context('spawn') or by loky, "
            "joblib's default."
        )


def platform() -> str:
    """Return the platform on which programs run by default: "cpu", "gpu" or "tpu"."""
    not_forked()
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
