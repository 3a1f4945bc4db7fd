"""Unknown noise and length scale: how fast does the flow of the Nile change, and how much of it is chance?

Yearly flow at Aswan from 1871 to 1970 (in statsmodels): a smooth function and noise, both of unknown size. The function
is a Matern process in 40 cosines; the scale over which it changes and the noise are unknowns beside it, sampled with
it. Both numbers alone have an exact law, by quadrature, with which the draws are compared.

Run it: `python examples/nile.py`. It prints both numbers and writes out/nile.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _shared import CARD, OUT, command, picture
from statsmodels.datasets import nile

import langevax as lx
from langevax.figures import theme

SPREAD = 1.0  # deviation of the function, in that of the data
BASIS = lx.spaces.Cosine(40, num_points=100)


def deviations(xp, length):
    """Of each mode under a Matern law of smoothness 3/2 that changes over this length, a share of the century."""
    spectrum = (1 + (length * BASIS.frequencies) ** 2 / 3) ** -2
    return SPREAD * xp.sqrt(spectrum / spectrum.sum())


def log_prior(xp, log_length, log_noise):
    """Normal laws: a length of 0.2 centuries by a factor of e, a noise of 0.7 by a factor of 1.65."""
    return -((log_length - xp.log(0.2)) ** 2) / 2 - 2 * (log_noise - xp.log(0.7)) ** 2


def exact(y, modes, log_lengths, log_noises):
    """Probabilities (length, noise): the function is integrated out."""
    logs = np.empty((len(log_lengths), len(log_noises)))
    for i, log_length in enumerate(log_lengths):
        factor = modes * deviations(np, np.exp(log_length))
        values, vectors = np.linalg.eigh(factor @ factor.T)
        for j, log_noise in enumerate(log_noises):
            variances = values + np.exp(2 * log_noise)
            logs[i, j] = -0.5 * np.sum(
                (vectors.T @ y) ** 2 / variances + np.log(variances)
            )
            logs[i, j] += log_prior(np, log_length, log_noise)
    probability = np.exp(logs - logs.max())
    return probability / probability.sum()


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Length and noise, sampled and exact; the flow with its band."""
    table = nile.load_pandas().data
    years, volume = table["year"].to_numpy(), table["volume"].to_numpy()
    centre, unit = volume.mean(), volume.std()
    y, modes = (volume - centre) / unit, np.asarray(BASIS.evaluate(BASIS.grid))
    flow, cosines = jnp.asarray(y, jnp.float32), jnp.asarray(modes, jnp.float32)

    def log_density(at):
        values = cosines @ (deviations(jnp, jnp.exp(at["log_length"])) * at["modes"])
        fit = (
            -jnp.sum((flow - values) ** 2) / 2 * jnp.exp(-2 * at["log_noise"])
            - len(y) * at["log_noise"]
        )
        return (
            fit
            + log_prior(jnp, at["log_length"], at["log_noise"])
            - jnp.sum(at["modes"] ** 2) / 2
        )

    start = {
        "log_length": jnp.log(0.2),
        "log_noise": jnp.log(0.7),
        "modes": jnp.zeros(BASIS.num_modes),
    }
    draws = lx.sample(
        log_density,
        start,
        key=jax.random.key(0),
        num_samples=250 if quick else 1000,
        run=lx.Run(progress=False),
    )
    print(f"{draws.method}:", *draws.warnings or ["no reason to doubt its draws"])
    log_length, log_noise = (
        np.asarray(draws.positions[name]) for name in ("log_length", "log_noise")
    )
    pairs = zip(
        log_length.ravel()[::5],
        np.asarray(draws.positions["modes"]).reshape(-1, modes.shape[1])[::5],
        strict=True,
    )
    flows = centre + unit * np.array(
        [modes @ (deviations(np, np.exp(log)) * z) for log, z in pairs]
    )
    lengths, noises = np.linspace(-4.5, 1.5, 50), np.linspace(-0.8, 0.2, 50)
    probability = exact(y, modes, lengths, noises)
    measured = {}
    for name, drawn, grid, law, size in (
        ("length", log_length, lengths, probability.sum(1), 100),
        ("noise", log_noise, noises, probability.sum(0), unit),
    ):
        mean, deviation = law @ grid, np.sqrt(law @ grid**2 - (law @ grid) ** 2)
        measured[f"{name}: off"] = abs(drawn.mean() - mean) / deviation
        measured[f"{name}: sd"] = drawn.std() / deviation
        low, high = size * np.exp(np.quantile(drawn, [0.05, 0.95]))
        print(
            f"{name}: {low:.0f} to {high:.0f}; mean of the logarithm off by {measured[f'{name}: off']:.2f} sd, "
            f"sd {measured[f'{name}: sd']:.2f} of the exact one"
        )

    colour, (low, high) = theme.OKABE_ITO[0], np.quantile(flows, [0.05, 0.95], axis=0)
    with picture(out / "nile.png", 1, figsize=CARD) as axes:
        axes.fill_between(years, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(years, flows.mean(0), color=colour)
        axes.plot(years, volume, ".", color=theme.GREY, markersize=4)
        axes.annotate("mean and 90 % band", (1902, 1225), color=colour)
        noise = unit * np.exp(log_noise)
        axes.annotate(
            f"chance: ± {noise.mean():.0f} ({np.quantile(noise, 0.05):.0f} to {np.quantile(noise, 0.95):.0f})",
            (0.98, 0.93),
            xycoords="axes fraction",
            ha="right",
        )
        axes.set(
            xlabel="year",
            ylabel="flow (10⁸ m³ a year)",
            title="The flow of the Nile, and how much is chance",
        )
    return {name: float(value) for name, value in measured.items()}


if __name__ == "__main__":
    command(main)
