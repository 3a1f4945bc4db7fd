"""A posterior of three modes: the period of sunspots from 80 years of counts, by replica exchange.

From the counts of 1760 to 1839 alone (in statsmodels) the cycle may last 8.4, 9.7 or 11.7 years: one sinusoid in the
square root of the counts, with noise. Four chains of NUTS stay in the modes in which they start. Replica exchange finds
the modes and weighs them; the exact law, by quadrature, is drawn beside it.

Run it: `python examples/sunspot_periods.py`. It prints the modes' probabilities and writes out/sunspot_periods.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _shared import CARD, OUT, command, label, picture
from statsmodels.datasets import sunspots

import langevax as lx
from langevax.figures import theme

SHORTEST, LONGEST, NOISE, AMPLITUDE = 7.0, 14.0, 2.6, 3.0
BETWEEN = np.array([9.0, 10.5])  # valleys of the law


def waves(xp, period, years):
    """Cosine and sine of this period, (years, 2)."""
    angle = 2 * np.pi * years / period
    return xp.stack([xp.cos(angle), xp.sin(angle)], axis=-1)


def exact(periods, years, y):
    """The density of the period, with both amplitudes integrated out."""
    logs = []
    for period in periods:
        basis = waves(np, period, years)
        covariance = NOISE**2 * np.eye(len(y)) + AMPLITUDE**2 * basis @ basis.T
        logs.append(
            -0.5
            * (np.linalg.slogdet(covariance)[1] + y @ np.linalg.solve(covariance, y))
        )
    density = np.exp(np.array(logs) - max(logs))
    return density / (density.sum() * (periods[1] - periods[0]))


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Probabilities of the modes by quadrature, by replica exchange and by NUTS."""
    table = sunspots.load_pandas().data.query("1760 <= YEAR < 1840")
    years, y = table["YEAR"].to_numpy() - 1800, np.sqrt(table["SUNACTIVITY"].to_numpy())
    y = y - y.mean()

    def log_density(position):
        share = jax.nn.sigmoid(position["period"])
        period, change = (
            SHORTEST + (LONGEST - SHORTEST) * share,
            jnp.log(share * (1 - share)),
        )
        residual = (
            jnp.asarray(y, jnp.float32)
            - waves(jnp, period, jnp.asarray(years, jnp.float32)) @ position["wave"]
        )
        return (
            change
            - jnp.sum(residual**2) / (2 * NOISE**2)
            - jnp.sum(position["wave"] ** 2) / (2 * AMPLITUDE**2)
        )

    start = {"period": jnp.array(0.5), "wave": jnp.zeros(2)}
    options = {
        "key": jax.random.key(0),
        "num_samples": 250 if quick else 1000,
        "run": lx.Run(progress=False),
    }
    periods = np.linspace(SHORTEST, LONGEST, 1401)
    density, shares, draws = exact(periods, years, y), {}, {}
    edges = [SHORTEST, *BETWEEN, LONGEST]
    shares["exact"] = np.histogram(periods, edges, weights=density)[0] * (
        periods[1] - periods[0]
    )
    for name, algorithm in (
        ("replica exchange", lx.ReplicaExchange()),
        ("NUTS", lx.NUTS()),
    ):
        drawn = lx.sample(log_density, start, algorithm=algorithm, **options)
        logit = np.asarray(drawn.positions["period"], np.float64)
        draws[name] = SHORTEST + (LONGEST - SHORTEST) / (1 + np.exp(-logit))
        shares[name] = np.histogram(draws[name], edges)[0] / logit.size
        print(f"{name}:", *drawn.warnings or ["no reason to doubt its draws"])
    for name, share in shares.items():
        print(
            f"{name:<17} about 8.4 years {share[0]:.2f}, 9.7 years {share[1]:.2f}, 11.7 years {share[2]:.2f}"
        )

    colour = theme.OKABE_ITO[0]
    with picture(out / "sunspot_periods.png", 1, figsize=CARD) as axes:
        bins, fill = np.linspace(SHORTEST, LONGEST, 121), theme.OKABE_ITO[5]
        axes.hist(
            draws["replica exchange"].ravel(), bins, density=True, color=fill, alpha=0.5
        )
        axes.plot(periods, density, color=theme.INK, linewidth=1.2)
        top = density.max()
        for number, chain in enumerate(draws["NUTS"][:, ::5]):
            height = np.full(len(chain), (1.14 + 0.06 * number) * top)
            axes.plot(chain, height, "|", color=theme.GREY, markersize=4, alpha=0.5)
        for low, high, share in zip(
            edges[:-1], edges[1:], shares["replica exchange"], strict=True
        ):
            inside = np.flatnonzero((periods >= low) & (periods < high))
            peak = inside[density[inside].argmax()]
            label(
                axes,
                f"{share:.0%}",
                (periods[peak] - 0.35, density[peak]),
                (0, 0),
                ha="right",
                color=colour,
            )
        axes.annotate(
            "four chains of NUTS", (13.9, 1.4 * top), ha="right", color=theme.GREY
        )
        axes.annotate("exact", (12.25, 0.75 * top), color=theme.INK)
        axes.annotate("replica\nexchange", (12.25, 0.5 * top), color=colour)
        axes.set(
            xlabel="period (years)", ylabel="posterior density", ylim=(0, 1.55 * top)
        )
        axes.set(title="How long is the cycle of sunspots?", yticks=[])
    return {
        "worst": float(np.abs(shares["replica exchange"] - shares["exact"]).max()),
        "NUTS: worst": float(np.abs(shares["NUTS"] - shares["exact"]).max()),
        "second mode": float(shares["exact"][1]),
    }


if __name__ == "__main__":
    command(main)
