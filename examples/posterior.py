"""Sample a real posterior with minibatches: SVRG-LD against MALA, through one `simulate`.

Run it: `python examples/posterior.py`. It writes out/breast_cancer.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import OUT, command, picture
from matplotlib.ticker import LogLocator, StrMethodFormatter
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

import langevax as lx
from langevax.figures.theme import INK, METHODS


def curves(
    axes: plt.Axes, data: dict[str, tuple[np.ndarray, np.ndarray]], **labels: str
) -> None:
    """Draw log-log lines `name -> (x, y)` with about 20 evenly spaced markers each."""
    for name, (x, y) in data.items():
        shown = np.unique(np.geomspace(1, len(x), 20).astype(int)) - 1
        colour, marker = METHODS[name]
        axes.loglog(x[shown], y[shown], color=colour, marker=marker, label=name)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter("")
    axes.set(**labels)
    axes.legend(loc="lower left")


def agreement(
    axes: plt.Axes,
    reference: np.ndarray,
    data: dict[str, tuple[np.ndarray, np.ndarray]],
    **labels: str,
) -> None:
    """Draw means with bars of one standard deviation, `name -> (mean, deviation)`, against reference means."""
    for name, (mean, deviation) in data.items():
        colour, marker = METHODS[name]
        axes.errorbar(
            reference,
            mean,
            deviation,
            fmt=marker,
            color=colour,
            label=name,
            elinewidth=0.8,
        )
    axes.axline((0, 0), slope=1, color=INK, linewidth=0.8, zorder=0)
    axes.set(**labels)
    axes.legend(loc="lower right")


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """The posterior of 31 coefficients given 569 patients, prior N(0, I): SVRG-LD against MALA."""
    table, labels = load_breast_cancer(return_X_y=True)
    X = np.column_stack(
        [StandardScaler().fit_transform(table), np.ones(len(table))]
    ).astype(np.float32)
    y, n = np.float32(2 * labels - 1), len(X)

    # a log posterior is a sum over rows, a problem the mean: so the temperature is 1/n, and the prior weighs 1/n
    posterior = lx.FiniteSum(
        lambda w, row: jax.nn.softplus(-row[1] * (row[0] @ w)), (X, y), precision=1 / n
    )
    curvature, directions = np.linalg.eigh(X.T @ X / (4 * n))
    problem = lx.affine(
        posterior, directions / np.sqrt(curvature + 1 / n)
    )  # every direction at its own speed
    mala = lx.MALA(step_size=1.0, temperature=1 / n)
    svrg = lx.Langevin(
        step_size=0.05,
        temperature=1 / n,
        gradient=lx.gradients.SVRG(batch_size=8, period=100),
    )

    def draw(name, algorithm, steps, every, seed):
        start, key = np.zeros(X.shape[1], np.float32), jax.random.key(seed)
        result = lx.simulate(
            algorithm,
            problem,
            start,
            key=key,
            num_steps=steps,
            num_chains=8,
            record_every=every,
        )
        passes = result.trace.info["evaluations"][0] / n
        print(
            f"{name:<15} {steps:>6} steps of 8 chains, {passes[-1]:>6.0f} passes each, {result.seconds:4.1f} s"
        )
        return np.asarray(problem.to_position(jnp.asarray(result.positions))), passes

    less = 3 if quick else 1
    long_run = draw("MALA, long run", mala, 40_000 // less, 20, seed=0)[0][
        :, 200 // less :
    ]
    mean, deviation = long_run.mean((0, 1)), long_run.std((0, 1))
    errors, spreads = {}, {}
    for name, algorithm, steps, every in (
        ("MALA", mala, 1_000 // less, 2),
        ("SVRG-LD", svrg, 27_000 // less, 54),
    ):
        draws, passes = draw(name, algorithm, steps, every, seed=1)
        so_far = np.cumsum(draws, 1) / np.arange(1, draws.shape[1] + 1)[:, None]
        errors[name] = (
            passes,
            np.sqrt(np.mean(((so_far - mean) / deviation) ** 2, (0, 2))),
        )
        late = draws[:, draws.shape[1] // 4 :]
        spreads[name] = late.mean((0, 1)), late.std((0, 1))

    with picture(out / "breast_cancer.png", card=0) as (left, right):
        axes = {
            "xlabel": "passes over the 569 patients",
            "ylabel": "error of one chain's mean, in posterior sd",
        }
        curves(left, errors, title="The same cost, a better posterior mean", **axes)
        axes = {
            "xlabel": "coefficient, long MALA run",
            "ylabel": "coefficient, mean ± sd",
        }
        agreement(right, mean, spreads, title="Means and spreads agree", **axes)
    mean_svrg, deviation_svrg = spreads["SVRG-LD"]
    off, ratio = np.abs(mean_svrg - mean) / deviation, deviation_svrg / deviation
    print(
        f"SVRG-LD: means off by {off.mean():.2f} sd, sd {ratio.mean():.2f} of the long run's, mean of 31 coefficients"
    )
    return {"off": float(off.mean()), "ratio": float(ratio.mean())} | {
        f"{name}: error": float(error[-1]) for name, (_, error) in errors.items()
    }


if __name__ == "__main__":
    command(main)
