"""Six colours for a photograph: `anneal` on a function with many minima, and what its message says.

The mean squared distance of a pixel to the nearest of six colours has a minimum for every way to share the colours out;
descent takes the one it starts in. Noise that falls slowly lets colours change places first. 2,000 pixels of
scikit-learn's flower, so that gradients go in batches.

Run it: `python examples/palette.py`. It prints how many chains find the best colours and writes out/palette.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _shared import OUT, command, picture
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_image

import langevax as lx
from langevax.figures import theme

COLOURS, HOT = (
    6,
    3e-4,
)  # a thirtieth of the error that is left: colours move, and do not get lost


def squared_distance(palette: jax.Array, pixel: jax.Array) -> jax.Array:
    """To the nearest colour of the palette."""
    return jnp.min(jnp.sum((palette - pixel) ** 2, axis=1))


def share(values: np.ndarray, best: float) -> tuple[float, float]:
    """Return the share within a thousandth of the best, and the standard error of that."""
    part = np.mean(values < 1.001 * best)
    return float(part), float(np.sqrt(part * (1 - part) / len(values)))


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Annealed chains, descent from the same starts, and k-means, by how often each finds the best colours."""
    photograph = load_sample_image("flower.jpg") / 255
    pixels = photograph.reshape(-1, 3).astype(np.float32)
    sample = pixels[np.random.default_rng(0).choice(len(pixels), 2000, replace=False)]
    problem = lx.FiniteSum(squared_distance, sample)
    starts = lambda key: jax.random.choice(key, sample, (COLOURS,))
    options = {
        "bounds": [(0, 1)] * (3 * COLOURS),
        "num_chains": 16 if quick else 32,
        "run": lx.Run(progress=False),
    }
    options["key"] = jax.random.key(0)
    options["gradient"] = lx.gradients.SVRG(
        batch_size=32, period=62
    )  # a pass over the pixels
    annealed = lx.optimize.anneal(
        problem,
        starts,
        num_steps=4_000 if quick else 20_000,
        temperature=HOT,
        **options,
    )
    descent = lx.optimize.anneal(
        problem, starts, num_steps=1, temperature=1e-12, **options
    )
    seeds = range(24 if quick else 64)
    k_means = [
        KMeans(COLOURS, n_init=1, tol=0, random_state=seed).fit(sample).inertia_
        for seed in seeds
    ]
    print(annealed.message)

    values = {
        "annealed chains": annealed.fun_chains,
        "descent, same starts": descent.fun_chains,
        "k-means++": np.array(k_means) / len(sample),
    }
    best = min(float(inertias.min()) for inertias in values.values())
    shares = {name: share(inertias, best) for name, inertias in values.items()}
    for name, (part, error) in shares.items():
        print(
            f"{name:<22} the best colours in {part:.0%} ± {error:.0%} of {len(values[name])} runs"
        )

    names = [name.replace(", ", ",\n") for name in shares]
    with picture(
        out / "palette.png", 3, card=1, figsize=(12, 3.1), width_ratios=(1.3, 1.3, 1)
    ) as axes:
        left, middle, right = axes
        small = photograph[::2, ::2]
        left.imshow(small)
        middle.imshow(
            annealed.x[
                np.argmin(np.sum((small[:, :, None] - annealed.x) ** 2, axis=3), axis=2)
            ]
        )
        left.set(title="The photograph", xticks=[], yticks=[])
        middle.set(title="In the best six colours", xticks=[], yticks=[])
        parts, errors = np.array(list(shares.values())).T
        for i, marker in enumerate("oxs"):
            colour = theme.GREY if i else theme.OKABE_ITO[0]
            right.errorbar(
                parts[i],
                i,
                xerr=errors[i],
                fmt=marker,
                color=colour,
                markersize=8,
                capsize=3,
            )
        right.set_yticks(range(3), names)
        right.set(
            xlim=(-0.02, 1.02),
            ylim=(2.5, -0.5),
            xlabel="share of runs",
            title="Who finds them, ± s.e.",
        )
    return {"best": best, **{name: part for name, (part, _) in shares.items()}}


if __name__ == "__main__":
    command(main)
