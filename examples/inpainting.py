"""A field in two dimensions with bands: a photograph from a fifth of its pixels, and how sure each other one is.

Brightness of scikit-learn's flower on 40 by 40 pixels, of which one in five is seen, with noise. The unknown is a
function on a square, a product of cosines, with a Matern prior; the map to the data picks pixels. It is linear, which
`sample` finds out, so that its draws are independent ones of the exact posterior.

Run it: `python examples/inpainting.py`. It prints errors and coverage and writes out/inpainting.png.
"""

from pathlib import Path

import jax
import numpy as np
from _shared import OUT, command, picture
from scipy.interpolate import griddata
from sklearn.datasets import load_sample_image

import langevax as lx
from langevax.figures import theme

SIZE, NOISE = 40, 0.02


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Error and coverage on the pixels that are not seen."""
    photograph = (
        load_sample_image("flower.jpg")[: 10 * SIZE, 150 : 150 + 10 * SIZE].mean(axis=2)
        / 255
    )
    true = photograph.reshape(SIZE, 10, SIZE, 10).mean((1, 3)).ravel()
    random = np.random.default_rng(0)
    seen = np.sort(random.choice(SIZE**2, SIZE**2 // 5, replace=False))
    data = true[seen] + NOISE * random.normal(size=len(seen))

    square = lx.spaces.TensorProduct([lx.spaces.Cosine(SIZE), lx.spaces.Cosine(SIZE)])
    spectrum = lx.spaces.spectra.matern(
        square, smoothness=0.5, length_scale=0.3, variance=0.06
    )
    prior = lx.spaces.GaussianPrior(square, spectrum)
    target = lx.inverse_problem(
        lambda field: field[seen], data, NOISE, prior, prior_mean=float(data.mean())
    )
    draws = lx.sample(
        target,
        key=jax.random.key(0),
        num_samples=50 if quick else 200,
        run=lx.Run(progress=False),
    )
    fields = np.asarray(target.functions(draws.positions)).reshape(-1, SIZE**2)
    mean, deviation = fields.mean(0), fields.std(0)
    low, high = np.quantile(fields, [0.05, 0.95], axis=0)
    unseen = np.setdiff1d(np.arange(SIZE**2), seen)
    error = np.sqrt(np.mean((mean - true)[unseen] ** 2))
    inside = np.mean((low <= true)[unseen] & (true <= high)[unseen])
    places = np.stack(np.unravel_index(np.arange(SIZE**2), (SIZE, SIZE)), axis=1)
    nearest = griddata(places[seen], data, places[unseen], "nearest")
    of_nearest = np.sqrt(np.mean((nearest - true[unseen]) ** 2))
    print(f"{len(fields)} draws of {square.num_modes:,} modes: {draws.reason}")
    print(
        f"unseen pixels: off by {error:.3f} (the nearest seen pixel: {of_nearest:.3f}); 90 % bands hold {inside:.0%}"
    )

    images = {
        "seen": np.full(SIZE**2, np.nan),
        "true": true,
        "posterior mean": mean,
        "standard deviation": deviation,
    }
    images["seen"][seen] = data
    with picture(out / "inpainting.png", (2, 2), figsize=(4.4, 4.8)) as axes:
        for place, (name, image) in zip(axes.flat, images.items(), strict=True):
            greys = (
                {"cmap": "gray", "vmin": 0, "vmax": true.max()}
                if "deviation" not in name
                else {}
            )
            place.imshow(
                image.reshape(SIZE, SIZE), **({"cmap": theme.SEQUENTIAL} | greys)
            )
            place.set(xticks=[], yticks=[], title=name)
            place.set_facecolor(theme.OKABE_ITO[5])
            place.grid(False)
    return {"error": float(error / of_nearest), "inside": float(inside)}


if __name__ == "__main__":
    command(main)
