"""A curve with nine unknowns fitted to data: El Niño's cycles, from nowhere near, to NIST's certified digits.

ENSO is one of NIST's reference problems for nonlinear regression: 168 monthly differences of air pressure between
Easter Island and Darwin, a yearly cycle and two whose periods are unknown. Local least squares from periods
drawn at random ends at one of many minima. `minimize` reaches the certified one, and its message says how sure it is.

Run it: `python examples/nist_curve.py`. It prints sums of squares and writes out/nist_curve.png.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _shared import CARD, OUT, command, picture
from scipy.optimize import least_squares

import langevax as lx
from langevax.figures import theme

sys.path.append(str(Path(__file__).parents[1]))  # for the data of the benchmarks
from benchmarks.minimize.nist import MODELS, regressions

LOW = np.array([0.0, -5, -5, 2, -5, -5, 2, -5, -5])
HIGH = np.array([20.0, 5, 5, 60, 5, 5, 60, 5, 5])
"""A level, and the cosine, sine and period of each cycle in months; the first has twelve."""


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Sums of squares over the certified one: `minimize`, and local searches from the same box."""
    problem = next(
        regression for regression in regressions() if regression.name == "ENSO"
    )
    months, pressure, model = problem.predictors, problem.responses, MODELS["ENSO"]
    starts = np.random.default_rng(0).uniform(LOW, HIGH, size=(20 if quick else 100, 9))
    ends = [
        least_squares(lambda b: model(np, months, *b) - pressure, b, bounds=(LOW, HIGH))
        for b in starts
    ]
    local = 2 * np.array([end.cost for end in ends]) / problem.sum_of_squares
    with jax.enable_x64():
        fit = lx.minimize(
            problem,
            jnp.asarray((LOW + HIGH) / 2),
            key=jax.random.key(0),
            bounds=list(zip(LOW, HIGH, strict=True)),
            max_evaluations=40_000 if quick else "auto",
        )
    ratio = fit.fun / problem.sum_of_squares
    print(fit.message)
    print(f"sum of squares {fit.fun:.7f}, certified {problem.sum_of_squares:.7f}")
    print(
        f"least squares from the same box: {np.mean(local < 1.001):.0%} of {len(local)} starts arrive"
    )

    colour, fine = theme.OKABE_ITO[0], np.linspace(1, 168, 800)
    with picture(out / "nist_curve.png", 1, figsize=CARD) as axes:
        axes.plot(months / 12, pressure, ".", color=theme.GREY, markersize=4)
        axes.plot(fine / 12, model(np, fine, *fit.x), color=colour, linewidth=1.2)
        worst = ends[int(np.argsort(local)[len(local) // 2])].x
        axes.plot(
            fine / 12,
            model(np, fine, *worst),
            color=theme.OKABE_ITO[1],
            linewidth=0.8,
            linestyle="--",
        )
        axes.annotate(
            "the certified fit", (0.02, 0.93), xycoords="axes fraction", color=colour
        )
        axes.annotate(
            "dashed: the median local search",
            (0.98, 0.93),
            xycoords="axes fraction",
            ha="right",
            color=theme.OKABE_ITO[1],
        )
        axes.set(
            xlabel="year",
            ylabel="difference of pressure",
            ylim=(None, 1.2 * pressure.max()),
            yticks=(0, 5, 10, 15),
        )
        axes.set(
            title=f"{np.mean(local < 1.001):.0%} of local searches end at the best fit"
        )
    return {
        "ratio": float(ratio),
        "local": float(np.mean(local < 1.001)),
        "median": float(np.median(local)),
    }


if __name__ == "__main__":
    command(main)
