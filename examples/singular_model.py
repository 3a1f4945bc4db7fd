"""How many parameters does a model use: learning coefficients of three small models beside their exact values.

With two parameters, the coefficient is 1 where both matter, 1/2 where only their product does, and 1/4 where only its
square does. At finite n it is an integral over the plane, by quadrature here; what `learning_coefficient` estimates
from chains, with an error bar, lies on it. Networks are beyond quadrature, and the estimate is the same.

Run it: `python examples/singular_model.py`. It prints estimates beside exact values and writes out/singular_model.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _shared import CARD, OUT, command, label, picture

import langevax as lx
from langevax.figures import theme

MODELS = {
    "a x₁ + b x₂": (
        lambda w, x: w[0] * x[0] + w[1] * x[1],
        1.0,
        (theme.OKABE_ITO[0], "o"),
    ),
    "a b x": (lambda w, x: w[0] * w[1] * x[0], 0.5, (theme.OKABE_ITO[1], "s")),
    "a² b² x": (
        lambda w, x: w[0] ** 2 * w[1] ** 2 * x[0],
        0.25,
        (theme.OKABE_ITO[2], "D"),
    ),
}


def exact(predict, rows: np.ndarray, temperature: float) -> float:
    """E L / T under exp(-L / T - |w|^2 / 2), by quadrature; L is the mean of half the squared prediction."""
    line = (
        np.linspace(0, 6, 1201) ** 2 / 6
    )  # even in both, and denser where the law of the product is narrow
    widths = np.gradient(line)
    a, b = np.meshgrid(line, line, indexing="ij")
    both = predict((a, b), (1.0, 0.0)), predict((a, b), (0.0, 1.0)) * np.ones_like(a)
    moments = rows.T @ rows / len(rows)
    loss = (both[0] ** 2 * moments[0, 0] + both[1] ** 2 * moments[1, 1]) / 2
    law = np.exp(-loss / temperature - (a**2 + b**2) / 2) * widths[:, None] * widths
    return float(np.sum(law * loss / temperature) / np.sum(law))


def main(quick: bool = False, out: Path = OUT) -> dict[str, float]:
    """Estimates and exact values at several n."""
    random = np.random.default_rng(0)
    rows = (
        np.linalg.qr(random.normal(size=(100, 2)))[0] * 10
    )  # second moments are 1 and 0, as quadrature assumes
    sizes, measured = np.array([1e3] if quick else [1e2, 1e3, 1e4, 1e5]), {}
    data, options = (
        jnp.asarray(rows, jnp.float32),
        {"localization": 1.0, "batch_size": None, "run": lx.Run(progress=False)},
    )
    options["num_samples"] = 500 if quick else 1000
    with picture(out / "singular_model.png", 1, figsize=CARD) as axes:
        for seed, (name, (predict, limit, (colour, marker))) in enumerate(
            MODELS.items()
        ):
            estimates, loss = [], lambda w, x, predict=predict: predict(w, x) ** 2 / 2
            for n in sizes:
                options |= {
                    "key": jax.random.key(seed),
                    "temperature": float(np.log(n) / n),
                }
                result = lx.learning_coefficient(loss, jnp.zeros(2), data, **options)
                true = exact(predict, rows, np.log(n) / n)
                estimates.append((result.value, result.standard_error))
                off = (result.value - true) / (
                    result.standard_error + 0.003
                )  # of quadrature
                print(
                    f"{name:<12} n = {n:>7,.0f}: {result.value:.3f} ± {result.standard_error:.3f}, exact {true:.3f}"
                )
                measured |= {
                    f"{name}: {n:g}": result.value / true,
                    f"{name}: {n:g}, errors": abs(off),
                }
            fine = np.geomspace(1e2, 1e5, 4 if quick else 13)
            axes.plot(
                fine, [exact(predict, rows, np.log(n) / n) for n in fine], color=colour
            )
            values, errors = np.transpose(estimates)
            axes.errorbar(
                sizes, values, 2 * errors, fmt=marker, color=colour, capsize=3
            )
            axes.axhline(limit, color=colour, linewidth=0.8, linestyle=":")
            label(
                axes,
                name,
                (1.05e2, values[0]),
                (8, -18 if limit == 1 else 6),
                color=colour,
            )
        axes.set(
            xscale="log", xlabel="rows n", ylabel="learning coefficient", ylim=(0, 1.15)
        )
        axes.set_title("Two parameters, of which a model may use fewer")
    return measured


if __name__ == "__main__":
    command(main)
