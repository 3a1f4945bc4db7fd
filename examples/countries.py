"""Federated by site, with real sites: life expectancy from 142 countries that keep their rows, ten of them a round.

Gapminder (in plotly): each country is a client with twelve rows, no two alike. One model of life expectancy by income
and year for all of them, by three methods that send no row: where a client's own optimum is far from that of all,
FedAvg settles away from it, and control variates go on.

Run it: `python examples/countries.py`. It prints where the methods end and writes out/countries.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import plotly.data
from _shared import CARD, OUT, command, label, picture

import langevax as lx
from langevax.data import partitions
from langevax.figures import theme

LOCAL = {"num_local_steps": 10, "batch_size": 6, "clients_per_round": 10}
METHODS = {
    "FedAvg": (lx.federated.FedAvg(0.02, **LOCAL), (theme.GREY, "x")),
    "SCAFFOLD": (lx.federated.SCAFFOLD(0.02, **LOCAL), (theme.OKABE_ITO[1], "s")),
    "SCAFFOLD-M": (lx.federated.SCAFFOLDM(0.02, **LOCAL), (theme.OKABE_ITO[0], "o")),
}
LABELS = {"FedAvg": (100, 5, -3), "SCAFFOLD": (15, 6, 10), "SCAFFOLD-M": (33, -70, -16)}
"""At which share of the rounds, in hundredths, and how far from the curve."""


def loss(weights: jax.Array, row: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Half the squared error of one country in one year."""
    return (row[0] @ weights - row[1]) ** 2 / 2


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """R2 on all countries, and how far each method is from the fit to all rows in one place."""
    table = plotly.data.gapminder()
    income, year = np.log(table["gdpPercap"].to_numpy()), table["year"].to_numpy()
    columns = np.column_stack([income, income**2, year, year * income])
    columns = np.linalg.qr(columns - columns.mean(0))[0] * np.sqrt(len(table))
    X, y = np.column_stack([np.ones(len(table)), columns]), table["lifeExp"].to_numpy()
    X, y = X.astype(np.float32), ((y - y.mean()) / y.std()).astype(np.float32)
    sites = [
        np.flatnonzero(table["country"] == country)
        for country in table["country"].unique()
    ]
    federation = lx.Federation(loss, *partitions.stack((X, y), sites))
    best = np.linalg.lstsq(X, y)[0]
    optimum = float(np.mean((X @ best - y) ** 2)) / 2
    print(f"all rows in one place: R2 {1 - 2 * optimum:.3f}; {len(sites)} countries")

    (rounds, chains), curves, measured = (40, 2) if quick else (300, 4), {}, {}
    for name, (method, _) in METHODS.items():
        result = lx.simulate(
            method,
            federation,
            jnp.zeros(5),
            key=jax.random.key(0),
            num_steps=rounds,
            num_chains=chains,
            record=lambda problem, state: problem.value(state.position),
            record_every=1,
        )
        above = np.asarray(result.positions).mean(0) - optimum
        exchanges = np.asarray(result.trace.info["exchanges"])[0]
        curves[name] = exchanges, above
        late = above[-len(above) // 4 :].mean()
        measured[name] = float(late)
        print(
            f"{name:<10} {exchanges[-1]:>4} exchanges: {late:.2g} above the optimum, R2 {1 - 2 * (late + optimum):.3f}"
        )

    with picture(out / "countries.png", 1, figsize=CARD) as axes:
        for name, (exchanges, above) in curves.items():
            colour, marker = METHODS[name][1]
            axes.loglog(
                exchanges,
                above,
                color=colour,
                marker=marker,
                markevery=0.12,
                markersize=4,
            )
            place, offset = LABELS[name][0] * rounds // 100 - 1, LABELS[name][1:]
            label(axes, name, (exchanges[place], above[place]), offset, color=colour)
        axes.set(
            xlabel="exchanges with the server",
            ylabel="loss above that of all rows",
            xlim=(None, 2.5 * rounds),
        )
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.set_title("One model of 142 countries that keep their rows")
    return measured | {"R2": 1 - 2 * optimum}


if __name__ == "__main__":
    command(main)
