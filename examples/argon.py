"""A rugged function and its basins: the lowest energy of seven argon atoms, and how likely it is that a lower one exists.

Atoms attract each other from afar and repel each other nearby (Lennard-Jones). Seven of them have four stable shapes,
known from exhaustive searches; the lowest has the energy -16.505384. A search that starts once ends in any of them.
`minimize` states how many better basins are expected unseen. Turned copies of a shape have one energy and are counted as
one.

Run it: `python examples/argon.py`. It prints shapes, energies and that number, and writes out/argon.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import CARD, OUT, command, label, picture

import langevax as lx
from langevax.figures import theme

ATOMS = 7
FIRST, SECOND = np.triu_indices(ATOMS, 1)
KNOWN = np.array(
    [-16.505384, -15.935043, -15.593211, -15.533060]
)  # Hoare and McInnes 1976; The Cambridge Database


def energy(atoms: jax.Array) -> jax.Array:
    """In units of the depth of one pair, distances in units of where it is 0."""
    squares = jnp.sum((atoms[FIRST] - atoms[SECOND]) ** 2, axis=1)
    sixth = (
        1 / jnp.maximum(squares, 0.25) ** 3
    )  # atoms on top of each other have a large energy, not an infinite one
    return jnp.sum(4 * (sixth**2 - sixth))


def draw(axes: plt.Axes, atoms: np.ndarray) -> None:
    """Draw atoms and the pairs that touch, tilted a little from the broad side."""
    atoms = (atoms - atoms.mean(0)) @ np.linalg.svd(atoms - atoms.mean(0))[2].T
    x, y = atoms[:, 0], 0.45 * atoms[:, 1] + 0.9 * atoms[:, 2]
    for first, second in zip(FIRST, SECOND, strict=True):
        if np.linalg.norm(atoms[first] - atoms[second]) < 1.3:
            axes.plot(
                x[[first, second]],
                y[[first, second]],
                color=theme.GREY,
                linewidth=1,
                zorder=1,
            )
    axes.scatter(x, y, s=130, color=theme.OKABE_ITO[0], edgecolor="white", zorder=2)
    axes.set(aspect="equal", xlim=(-1.3, 1.3), ylim=(-1, 1))
    axes.axis("off")


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """The shapes in which independent searches end, and how many better ones are expected."""
    with jax.enable_x64():
        result = lx.minimize(
            energy,
            jnp.asarray(np.random.default_rng(0).uniform(-1.2, 1.2, size=(ATOMS, 3))),
            key=jax.random.key(0),
            bounds=[(-1.5, 1.5)] * (3 * ATOMS),
            max_evaluations=100_000 if quick else "auto",
        )
    print(result.message)
    energies = np.array([basin.fun for basin in result.basins])
    shares = np.array([basin.share for basin in result.basins])
    of_known = np.array(
        [shares[np.abs(energies - level) < 1e-3].sum() for level in KNOWN]
    )
    for level, share in zip(KNOWN, of_known, strict=True):
        print(f"energy {level:.6f}: {share:.0%} of the searches")
    print(f"better basins expected unseen: {result.expected_better_basins:.2f}")
    print(
        f"best {result.fun:.6f} after {result.nfev:,} energies and {result.njev:,} gradients"
    )

    with picture(out / "argon.png", 1, figsize=CARD) as axes:
        for place, share in enumerate(100 * of_known):
            colour = theme.GREY if place else theme.OKABE_ITO[0]
            axes.bar(place, share, 0.6, color=colour)
            label(
                axes,
                f"{share:.0f} %",
                (place, share),
                (0, 3),
                ha="center",
                color=colour,
            )
        axes.set_xticks(range(4), [f"{level:.3f}".replace("-", "−") for level in KNOWN])
        axes.set(
            xlabel="energy of the stable shape",
            ylabel="share of searches (%)",
            ylim=(0, 70),
        )
        axes.grid(axis="x", visible=False)
        axes.set_title("Where searches for the best shape of seven atoms end")
        draw(axes.inset_axes((0.0, 0.5, 0.45, 0.5)), np.asarray(result.x))
    return {
        "energy": float(result.fun),
        "expected_better_basins": float(result.expected_better_basins),
        "known": float(of_known.sum()),
    }


if __name__ == "__main__":
    command(main)
