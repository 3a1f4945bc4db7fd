"""Study (a): what a sample costs as the data grow: evaluations to reach a KL divergence, with and without reduction.

Kinoshita and Suzuki (NeurIPS 2022), Corollaries 1.1 and 2.1: with B = m = sqrt(n), SVRG-LD and SARAH-LD reach KL <= eps
with O~((n + d sqrt(n) / eps) kappa^2) component gradients, where LD takes n a step. We hold this against Gaussian
targets, on which first and second moments follow exact recursions (`theory.moments`): the lines are theirs, at each
method's best step size, and KL is that of a Gaussian with the same moments. The points are chains of `simulate`.

The targets, starts and batches are those of `gaussian_costs`. A mode for the control variate is given, not paid for.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.figures import theme
from langevax.studies.gaussian_costs import (
    CURVATURES,
    Method,
    best,
    chains,
    divergence,
    exact_divergence,
    langevin_beside,
)
from langevax.studies.study import Claim, Config, Study, Verdict

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

ACCURACIES = (1e-4, 1e-2)
COARSE = 1e-2  # what thousands of chains resolve of LD, which has no control variate but itself
SIZES = {"full": 100 * 4 ** np.arange(7), "small": 100 * 4 ** np.arange(4)}
NUM_CHAINS = {"full": 8000, "small": 1000}
WORK = {"full": (6e9, 1e9), "small": (1.5e8, 3e7)}  # component gradients times coordinates of a point, by accuracy
LARGEST_MEASURED = {"full": 409_600, "small": 100}  # each n compiles anew
LABEL_SPACING = 2.1  # factor between labels of lines that end close together
GROUPS = 40  # of chains, for the jackknife
NOISE = "our argument: noise of batches heats by step size / T"


def _method(kind: str, name: str, *rest: Any) -> Method:
    return Method(kind, *theme.METHODS[name], *rest)


METHODS: dict[str, Method] = {
    "LD": _method("LD", "LD", (1.0, 0.03), "n gradients a step"),
    "SGLD, T = 1/n": _method("SGLD", "SGLD", (1.0, 0.05), NOISE, True),
    "SGLD, T = 1": Method("SGLD", theme.METHODS["SGLD"][0], "<", (0.0, 0.05), NOISE),
    "SVRG-LD": _method("SVRG", "SVRG-LD", (0.5, 0.1), "Corollary 1.1"),
    "SARAH-LD": _method("SARAH", "SARAH-LD", (0.5, 0.1), "Corollary 2.1"),
    "CV": Method("CV", theme.OKABE_ITO[5], "P", None),
}


def jackknife(samples: np.ndarray, function: Callable[[np.ndarray], Any]) -> tuple[float, float]:
    """`function` of all samples with its bias taken off, and the standard error, by leaving groups out."""
    groups = np.array_split(np.arange(len(samples)), GROUPS)
    left_out = np.array([function(np.delete(samples, group, axis=0)) for group in groups])
    value = GROUPS * function(samples) - (GROUPS - 1) * left_out.mean()
    return float(value), float(np.sqrt((GROUPS - 1) * left_out.var()))


def measured_point(
    method: Method, size: int, step_size: float, num_steps: int, num_chains: int, seed: int
) -> tuple[float, float, float, float, float]:
    """KL of chains, its error, KL exact, evaluations that the chains need, and their error.

    The chains' KL is read off at the exact number of steps and turned into evaluations by the exact line's own slope.
    What chains of the same noise without batches do, which is known exactly, is taken off as a control variate.
    """
    run = method, size, step_size, num_steps, num_chains, seed
    x, used = chains(*run)
    pairs, (first, second) = np.stack([x, np.zeros_like(x)], axis=1), (0.0, 0.0)
    if method.kind != "LD":
        pairs[:, 1], (first, second) = langevin_beside(*run)

    def kl_of(pairs: np.ndarray) -> Any:
        x, beside = pairs[:, 0], pairs[:, 1]
        return divergence((x - beside).mean(axis=0) + first, np.mean(x**2 - beside**2, axis=0) + second)

    kl, error = jackknife(pairs, kl_of)
    exact = exact_divergence(method, size, step_size, num_steps)
    before = exact_divergence(method, size, step_size, round(0.9 * num_steps))
    per_unit = used / (exact * np.log(before / exact) / np.log(1 / 0.9))
    return kl, error, exact, used + (kl - exact) * per_unit, error * per_unit


def measure(config: Config, progress: bool | None = None) -> "xarray.Dataset":
    """Exact evaluations for each method, n and accuracy; chains where WORK allows."""
    import xarray
    from tqdm import tqdm

    size, seed = config.size, config.seed
    sizes, num_chains = SIZES[size], NUM_CHAINS[size]
    shape = (len(METHODS), len(sizes), len(ACCURACIES))
    exact = {name: np.zeros(shape) for name in ("step_size", "steps", "evaluations")}
    names = ("kl_measured", "kl_measured_error", "kl_exact", "evaluations_measured", "evaluations_measured_error")
    points = {name: np.full(shape, np.nan) for name in names}
    tasks = list(np.ndindex(shape))
    for i, j, k in tqdm(tasks, desc="variance-reduction", disable=None if progress is None else not progress):
        method, n = list(METHODS.values())[i], int(sizes[j])
        found = best(method, n, ACCURACIES[k])
        for name, value in zip(exact, found, strict=True):
            exact[name][i, j, k] = value
        resolved = method.kind != "LD" or ACCURACIES[k] >= COARSE
        affordable = found[2] * num_chains * len(CURVATURES) <= WORK[size][k] and n <= LARGEST_MEASURED[size]
        if resolved and affordable:
            for name, value in zip(names, measured_point(method, n, *found[:2], num_chains, seed), strict=True):
                points[name][i, j, k] = value
    units = {"step_size": "1 / curvature", "steps": "1", "evaluations": "component gradients per chain"}
    units |= {name: "nat" if name.startswith("kl") else units["evaluations"] for name in names}
    variables = {name: (("method", "n", "accuracy"), v, {"units": units[name]}) for name, v in exact.items()}
    variables |= {name: (("method", "n", "accuracy"), v, {"units": units[name]}) for name, v in points.items()}
    coordinates = {"method": list(METHODS), "n": ("n", sizes, {"units": "components"})}
    coordinates["accuracy"] = ("accuracy", list(ACCURACIES), {"units": "nat"})
    return xarray.Dataset(variables, coordinates, {"num_chains": num_chains, "seed": seed})


def exponent(n: np.ndarray, evaluations: np.ndarray) -> tuple[float, float]:
    """Slope of log evaluations in log n by least squares, and its standard error from the residuals."""
    x, y = np.log(n) - np.log(n).mean(), np.log(evaluations)
    slope = float(x @ y / (x @ x))
    residual = y - y.mean() - slope * x
    return slope, float(np.sqrt(residual @ residual / max(len(x) - 2, 1) / (x @ x)))


def draw(dataset: "xarray.Dataset") -> "Figure":
    """Evaluations against n, to a tight accuracy and to a looser one: exact, and measured."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(theme.style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(10.5, 4.6))
        left, right = figure.subplots(1, 2, sharex=True)
        n = dataset.n.values
        for axes, accuracy in zip((left, right), ACCURACIES, strict=True):
            labels: list[tuple[float, str, str]] = []
            for name, method in METHODS.items():
                row = dataset.sel({"method": name, "accuracy": accuracy})
                line = row.evaluations.values
                axes.loglog(n, line, color=method.colour, linestyle="-", label=f"{name}, exact")
                style: dict[str, Any] = {"color": method.colour, "marker": method.marker, "linestyle": "none"}
                axes.errorbar(
                    n, row.evaluations_measured, row.evaluations_measured_error, capsize=2, label=name, **style
                )
                slope, text = exponent(n, line)[0], name
                if axes is left and method.exponent:
                    text += f"   $n^{{{abs(slope) if abs(slope) < 0.005 else slope:.2f}}}$"
                labels.append((line[-1], text, method.colour))
            height = 0.0
            for end, text, colour in sorted(labels):
                height = max(end, height * LABEL_SPACING)
                axes.text(1.4 * n[-1], height, text, color=colour, fontsize=9, va="center")
            axes.set(xlabel="number of components $n$", ylabel="component gradients per chain")
            axes.set_ylim(float(dataset.evaluations.min()) / 2, 3 * float(dataset.evaluations.max()))
        left.set(title=r"To KL $\leq 10^{-4}$: exact (lines), chains (points, 1 s.e.)")
        right.set(title=r"To KL $\leq 10^{-2}$")
    return figure


def judge(dataset: "xarray.Dataset") -> Verdict:
    """Exponents as predicted, SVRG-LD ahead of SGLD at T = 1/n and behind at T = 1, chains on the lines."""
    n, tight = dataset.n.values, dataset.evaluations.sel(accuracy=ACCURACIES[0])
    slopes = {name: exponent(n, tight.sel({"method": name}).values) for name in METHODS}
    svrg = tight.sel({"method": "SVRG-LD"}).values
    ahead, behind = (svrg / tight.sel({"method": f"SGLD, T = {T}"}).values for T in ("1/n", "1"))
    z = ((dataset.kl_measured - dataset.kl_exact) / dataset.kl_measured_error).values
    z = z[np.isfinite(z)]
    claims = tuple(
        Claim(f"power of n in the gradients of {name.replace(', ', ' at ')}", method.source, slopes[name][0],
              *method.exponent, error=slopes[name][1])
        for name, method in METHODS.items() if method.exponent is not None
    )  # fmt: skip
    claims += (
        Claim("SVRG-LD's gradients over SGLD's at T = 1/n, the most of all n", "Corollary 1.1 against SGLD's",
              float(ahead.max()), 1.0, 0.0, "at most"),
        Claim("SVRG-LD's gradients over SGLD's at T = 1, the least of all n", "no gain is promised there",
              float(behind.min()), 1.0, 0.0, "at least"),
        Claim(f"KL divergence of chains, {len(z)} points: the farthest from its line", "exact recursions of moments",
              float(np.abs(z).max()), 0.0, 4.0, "at most", unit="standard errors"),
    )  # fmt: skip
    numbers = {"exponent CV": slopes["CV"][0], "exponent error CV": slopes["CV"][1]}
    numbers |= {"speed-up over SGLD at T = 1/n": float(1 / ahead[-1]), "loss to SGLD at T = 1": float(behind[-1])}
    numbers |= {"mean z^2": float(np.mean(z**2)), "points": float(len(z))}
    said = ", ".join(
        f"{round(slope, 3) + 0.0:.3f} ± {error:.3f} ({name})"
        for name, (slope, error) in slopes.items() if METHODS[name].exponent is not None
    )  # fmt: skip
    sentence = (
        f"Evaluations to KL <= {ACCURACIES[0]:g} grow as n to the power {said}. At n = {n[-1]:,} SVRG-LD "
        f"takes {1 / ahead[-1]:.3g} times fewer than SGLD where T = 1/n, but {behind[-1]:.3g} times more where T = 1. "
        f"Chains at {len(z)} points: KL within {np.abs(z).max():.1f} standard errors of exact."
    )
    return Verdict(claims, sentence, numbers)


STUDY = Study(
    name="variance-reduction",
    part="gradient",
    brief="About √n gradients where plain Langevin needs n.",
    claim=(
        "To a law with d coordinates and a potential that is a mean of n components, SVRG-LD and SARAH-LD with batches "
        "of B = sqrt(n) and epochs of m = sqrt(n) steps come within a KL divergence eps for about sqrt(n) component "
        "gradients where LD needs n; and so does SGLD need n where the temperature T falls like 1/n. At T = 1 SGLD "
        "needs none of this."
    ),
    formula=r"\text{KL} \le \varepsilon \ \text{after} \ \tilde{O}\left(n + \frac{d \sqrt{n}}{\varepsilon}\right) "
    r"\ \text{component gradients, and} \ \tilde{O}\left(\frac{d\, n}{\varepsilon}\right) \ \text{of LD}",
    source="Kinoshita and Suzuki (NeurIPS 2022), Corollaries 1.1 and 2.1; Theorems 1 and 2",
    measure=measure,
    draw=draw,
    judge=judge,
    see=(
        "Left: LD and SGLD at T = 1/n climb with slope 1, SVRG-LD and SARAH-LD with slope about 1/2, SGLD at T = 1 is "
        "flat and below them all; a control variate at the mode pays its one full pass. Chains lie on the lines."
    ),
)
