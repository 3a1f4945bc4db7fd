"""The gain of one gradient step on the first layer, simulated and predicted: `simulate_one_step` and its theory.

Two-layer networks in high dimension, then ridge regression on their features. A small step lowers the risk by an amount
that has a closed form, a large one goes below what any kernel could reach. Nothing is fitted: points are networks with
standard errors, lines are theory. Inputs are Gaussian, as the theory has them.

Run it: `python examples/feature_learning.py`. It prints the largest deviations and writes out/feature_learning.png.
"""

from pathlib import Path

import jax
import numpy as np
from _shared import OUT, command, picture

from langevax.figures import theme
from langevax.teacher_student import simulate_one_step
from langevax.theory.feature_learning import errors_one_step, kernel_floor

NEURONS, RIDGE, NOISE = 2.0, 1e-2, 0.1  # neurons per dimension


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Risk against samples, for no step, a small and a large one."""
    dim, num_runs = (64, 8) if quick else (256, 10)
    neurons, erf = round(NEURONS * dim), jax.scipy.special.erf
    ratios = np.array([8.0]) if quick else np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    steps = {"no step": 0.0, "step 1": 1.0, "step √N": neurons**0.5}
    simulated, predicted = {}, {}
    for name, step_size in steps.items():
        runs = [
            simulate_one_step(
                key=jax.random.key(0),
                dim=dim,
                samples_per_dim=ratio,
                neurons_per_dim=NEURONS,
                ridge=RIDGE,
                step_size=step_size,
                student=erf,
                teacher=erf,
                noise=NOISE,
                num_runs=num_runs,
                num_test=4096 if quick else 16_384,
            ).risk
            for ratio in ratios
        ]
        simulated[name] = np.mean(runs, 1), np.std(runs, 1, ddof=1) / np.sqrt(num_runs)
        finite = (
            {"num_neurons": neurons} if step_size > 1 else {}
        )  # the closed form is for steps of order 1
        curve = lambda x, step_size=step_size, finite=finite: (
            errors_one_step(
                x, NEURONS, RIDGE, step_size, "erf", "erf", NOISE, **finite
            ).risk
        )
        predicted[name] = curve
        mean, error = simulated[name]
        off = np.abs(mean / curve(ratios) - 1)
        print(
            f"{name}: simulated risk {mean[-1]:.4f} ± {error[-1]:.4f} at n = {ratios[-1]:g} d, predicted "
            f"{curve(ratios)[-1]:.4f}; off by at most {off.max():.1%} over all n"
        )

    floor = kernel_floor("erf")
    print(f"no kernel goes below {floor:.4f}")
    with picture(out / "feature_learning.png", 1, figsize=(6.5, 4.2)) as axes:
        fine = np.geomspace(ratios[0], ratios[-1], 40) if len(ratios) > 1 else ratios
        for (name, (mean, error)), colour, marker in zip(
            simulated.items(), theme.OKABE_ITO, "os^", strict=False
        ):
            axes.plot(fine, predicted[name](fine), color=colour)
            axes.errorbar(
                ratios, mean, error, fmt=marker, color=colour, capsize=2, label=name
            )
        axes.axhline(floor, color=theme.INK, linestyle="--", linewidth=1)
        axes.axhspan(0, floor, color=theme.INK, alpha=0.05, linewidth=0)
        axes.annotate(
            "no kernel goes below",
            (ratios[0], floor),
            xytext=(0, -12),
            textcoords="offset points",
        )
        axes.set(
            xscale="log",
            ylim=(0, None),
            xlabel="samples for each dimension, $n/d$",
            ylabel="risk",
        )
        axes.set_title(
            f"Points: {num_runs} networks of {neurons} neurons, $d = {dim}$; lines: theory"
        )
        axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
        axes.set_xticks([], minor=True)
        axes.legend(loc="upper right")
    return {
        f"{name}: {what}": float(value)
        for name, (mean, _) in simulated.items()
        for what, value in (
            ("risk", mean[-1]),
            ("predicted", predicted[name](ratios)[-1]),
        )
    } | {"floor": float(floor)}


if __name__ == "__main__":
    command(main)
