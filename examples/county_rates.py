"""Hidden groups by empirical Bayes: the rate of a disease in 301 counties, of which small ones look extreme by chance.

Breast cancer deaths in counties of the American South (in statsmodels): raw rates of counties of 500 people say little.
With a share of Bayes near 0, `predictive` fits the law of the true rates itself, without assuming its form, and a
county's rate is its mean under that law given its own count.

Run it: `python examples/county_rates.py`. It prints the spread of rates and writes out/county_rates.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _shared import CARD, OUT, command, picture
from scipy.special import logsumexp
from statsmodels.datasets import cancer

import langevax as lx
from langevax.figures import theme

TYPICAL = 35e-4  # deaths for each inhabitant


def log_prior(log_rate: jax.Array) -> jax.Array:
    """Normal about the typical rate, by a factor of e either way."""
    return -(log_rate**2) / 2


def log_likelihood(log_rate: jax.Array, row: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Poisson deaths of one county, its rate in units of the typical one."""
    deaths, expected = row
    return (
        deaths * (log_rate + jnp.log(expected))
        - expected * jnp.exp(log_rate)
        - jax.scipy.special.gammaln(deaths + 1)
    )


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """The law of rates, and each county's own."""
    table = cancer.load_pandas().data
    deaths, people = (
        table["cancer"].to_numpy(np.float32),
        table["population"].to_numpy(np.float32),
    )
    expected = TYPICAL * people
    options = (
        {"num_particles": 64, "posterior_shares": (1.0, 0.1, 0.0)}
        if quick
        else {"posterior_shares": (1, 0.3, 0.1, 0)}
    )
    fit = lx.predictive(
        log_prior,
        log_likelihood,
        (deaths, expected),
        start=jnp.array(0.0),
        key=jax.random.key(0),
        num_folds=None,
        **options,
    )
    print(fit.compare())
    rates = np.asarray(fit.positions, np.float64).ravel()
    logs = deaths[:, None] * rates - expected[:, None] * np.exp(rates)
    weights = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    estimates, raw = 1e4 * TYPICAL * weights @ np.exp(rates), 1e4 * deaths / people
    small = people < np.quantile(people, 0.2)
    spread = np.exp(np.std(rates))
    print(f"true rates differ by a factor of {spread:.2f}, one standard deviation")
    for name, values in (("raw", raw), ("estimated", estimates)):
        print(
            f"{name} rates of small counties: {values[small].min():.0f} to {values[small].max():.0f} in 10,000"
        )

    colour = theme.OKABE_ITO[0]
    with picture(out / "county_rates.png", 1, figsize=CARD) as axes:
        axes.vlines(people, raw, estimates, color=theme.GREY, linewidth=0.5, alpha=0.5)
        axes.plot(people, raw, "x", color=theme.GREY, markersize=3.5)
        axes.plot(people, estimates, "o", color=colour, markersize=3.5)
        axes.annotate("as counted", (2500, 74), color=theme.GREY)
        axes.annotate("estimated", (16_000, 4), color=colour)
        axes.set(
            xscale="log",
            xlabel="inhabitants of the county",
            ylabel="deaths in 10,000",
            ylim=(-3, None),
        )
        axes.set_xticks([1000, 10_000, 100_000], ["1,000", "10,000", "100,000"])
        axes.set(title="Small counties are not as extreme as they look")
    return {
        "share": fit.posterior_share,
        "gain": float(fit.compare().nats),
        "spread": float(spread),
        "raw": float(np.std(raw[small])),
        "estimated": float(np.std(estimates[small])),
    }


if __name__ == "__main__":
    command(main)
