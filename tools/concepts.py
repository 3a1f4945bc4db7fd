"""Figures of docs/concepts, computed by langevax: `python -m tools.concepts [NAME ...]` draws them again.

Each function of `COMPUTED` returns numbers, the function of `DRAWN` with its name makes a figure of these alone.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from PIL import Image
from sklearn.datasets import load_diabetes

import langevax as lx
from langevax.figures import theme
from langevax.sklearn import MeanFieldRegressor
from langevax.theory.moments import QuadraticChain, batch_variance_factor

IMAGES = Path(__file__).parents[1] / "docs" / "images" / "concepts"
BLUE, RED, GREEN, PINK = theme.OKABE_ITO[:4]
WRONG = 20
"""Place of the reading that is wrong in the figure of leverage."""
Numbers = dict[str, Any]


def two_wells(x: jax.Array) -> jax.Array:
    """A potential with minima of -0.31 near -1.04 and 0.29 near 0.96, and a barrier of 1.02 between them."""
    return (x**2 - 1) ** 2 + 0.3 * x


def noise(quick: bool = False) -> Numbers:
    """Chains that start in the upper well, at several temperatures."""
    temperatures, chains = (0.001, 0.15, 0.3, 1.0), 500 if quick else 4000
    options = {
        "key": jax.random.key(0),
        "num_steps": 6000,
        "num_chains": chains,
        "record_every": 150,
    }
    positions = {
        T: lx.simulate(
            lx.Langevin(0.01, T), lx.Function(two_wells), jnp.array(0.96), **options
        ).positions
        for T in temperatures
    }
    return {
        "steps": np.arange(150, 6001, 150),
        "ends": {T: x[:, -1] for T, x in positions.items()},
        "shares": {T: np.mean(x < 0, axis=0) for T, x in positions.items()},
    }


def law_density(temperature: float, x: np.ndarray) -> np.ndarray:
    """Return exp(-potential / temperature) on a grid, normalised."""
    density = np.exp(-np.asarray(two_wells(x)) / temperature)
    return density / np.trapezoid(density, x)


def draw_noise(numbers: Numbers, left: Axes, right: Axes) -> None:
    x = np.linspace(-2.2, 2.2, 400)
    edges = np.linspace(-2.2, 2.2, 41)
    for T, colour, marker in ((0.3, BLUE, "o"), (1.0, RED, "s")):
        count, _ = np.histogram(numbers["ends"][T], edges)
        width, total = edges[1] - edges[0], len(numbers["ends"][T])
        error = np.sqrt(count) / (width * total)
        left.errorbar(
            (edges[1:] + edges[:-1]) / 2,
            count / (width * total),
            error,
            fmt=marker,
            color=colour,
            ms=4,
        )
        left.plot(x, law_density(T, x), color=colour)
    left.annotate("T = 0.3", (-0.78, 0.85), color=BLUE)
    left.annotate("T = 1", (-0.2, 0.28), color=RED)
    left.fill_between(
        x,
        0,
        np.asarray(two_wells(x)) / 8 + 0.05,
        where=np.abs(x) < 1.75,
        color=theme.faint(theme.GREY),
    )
    left.annotate("potential", (1.78, 0.67), color=theme.GREY, ha="right")
    left.set(
        title="Chains have the law exp(−potential / T)",
        xlabel="position",
        ylabel="density",
        ylim=(0, None),
    )
    for (T, share), colour in zip(
        numbers["shares"].items(), (theme.GREY, GREEN, BLUE, RED), strict=True
    ):
        right.plot(numbers["steps"], share, color=colour)
        place = (numbers["steps"][-1] * 1.02, share[-1])
        right.annotate(
            "no noise" if T < 0.01 else f"T = {T:g}",
            place,
            color=colour,
            va="center",
            annotation_clip=False,
        )
    right.set(
        title="Chains that start in the upper well", xlabel="step", ylim=(-0.02, 1.02)
    )
    right.set(
        ylabel="share of chains in the lower well",
        xlim=(0, 7100),
        xticks=range(0, 6001, 2000),
    )


def small_risk(temperature: float) -> lx.MeanFieldRisk:
    """Sixty rows of two columns, a smooth target."""
    X = jax.random.normal(jax.random.key(0), (60, 2))
    y = jnp.sin(2 * X[:, 0]) * jnp.tanh(X[:, 1])
    return lx.MeanFieldRisk(
        lx.neurons.TanhTanh(10.0), lx.losses.squared, X, y, precision=temperature
    )


def convexity(quick: bool = False) -> Numbers:
    """Losses between two trained networks, and along training from six starts."""
    temperature, particles, steps = 0.03, 200 if quick else 500, 3000 if quick else 5000
    risk = small_risk(temperature)
    loss = lambda outputs: (
        np.mean((np.asarray(outputs) - np.asarray(risk.targets)) ** 2, axis=-1) / 2
    )
    record = lambda risk, state: risk.outputs(state.position)

    def train(number: int, size: int, T: float) -> Any:
        mfld = lx.meanfield.MFLD(step_size=0.04, temperature=T)
        start = (0.3 + 0.5 * number) * risk.prior(temperature, num_particles=size)(
            jax.random.key(number)
        )
        options = {
            "key": jax.random.key(10 + number),
            "record": record,
            "record_every": 50,
        }
        return lx.simulate(mfld, risk, start, num_steps=steps, **options)

    many = [train(i, particles, temperature) for i in range(6)]
    few = [train(i, 3, 1e-8) for i in range(6)]
    share = np.linspace(0, 1, 21)[:, None]
    (a, b), (za, zb) = (
        [f(many[i]) for i in (2, 4)]
        for f in (lambda r: r.position, lambda r: r.positions[-1])
    )
    between = [
        risk.outputs((1 - s) * a + s * b) for s in share[:, 0].astype(np.float32)
    ]
    return {
        "share": share[:, 0],
        "of weights": loss(np.stack(between)),
        "of laws": loss((1 - share) * np.asarray(za) + share * np.asarray(zb)),
        "steps": np.arange(50, steps + 1, 50),
        "few": np.stack([loss(r.positions) for r in few]),
        "many": np.stack([loss(r.positions) for r in many]),
    }


def draw_convexity(numbers: Numbers, left: Axes, right: Axes) -> None:
    left.plot(numbers["share"], numbers["of weights"], color=theme.GREY, linestyle="--")
    left.plot(
        numbers["share"], numbers["of laws"], color=GREEN, marker="D", markevery=4
    )
    left.text(
        0.5,
        numbers["of weights"].max() * 1.03,
        "averaging weights",
        color=theme.GREY,
        ha="center",
        va="bottom",
    )
    left.text(
        0.5,
        numbers["of laws"].max() * 1.3 + 0.004,
        "mixing neurons",
        color=GREEN,
        ha="center",
        va="bottom",
    )
    left.set(
        title="Between two trained networks",
        xlabel="share of the second",
        ylabel="training loss",
    )
    left.set(ylim=(0, numbers["of weights"].max() * 1.18), xticks=[0, 0.5, 1])
    for name, colour, style in (("few", theme.GREY, "--"), ("many", GREEN, "-")):
        right.loglog(
            numbers["steps"],
            numbers[name].T,
            color=colour,
            linestyle=style,
            linewidth=1.1,
        )
    end = numbers["steps"][-1] * 1.1
    right.text(
        end,
        np.median(numbers["few"][:, -1]),
        "3 neurons,\nno noise",
        color=theme.GREY,
        va="center",
    )
    right.text(
        end,
        np.median(numbers["many"][:, -1]),
        "500 neurons,\nnoise",
        color=GREEN,
        va="center",
    )
    right.set(
        title="Six starts",
        xlabel="step",
        ylabel="training loss",
        xlim=(50, 4.2 * numbers["steps"][-1]),
        xticks=[100, 1000],
    )


def certificate(quick: bool = False) -> Numbers:
    """Intervals of the training's optimum and held-out errors, at several temperatures."""
    X, y = load_diabetes(return_X_y=True)
    temperatures = (0.3,) if quick else (0.03, 0.1, 0.3, 1.0, 3.0)
    intervals, errors, history = [], [], None
    for T in temperatures:
        model = MeanFieldRegressor(
            num_particles=300, temperature=T, random_state=0
        ).fit(X[:150], y[:150])
        result = model.certificate()
        intervals.append((result.lower_bound, result.upper_bound))
        errors.append((1 - model.score(X[150:], y[150:])) / 2)
        if T == 0.3:
            history = result
    return {
        "T": temperatures,
        "interval": np.array(intervals),
        "error": np.array(errors),
        "closing": history,
    }


def draw_certificate(numbers: Numbers, left: Axes, right: Axes) -> None:
    closing = numbers["closing"]
    effort, lower, upper = np.array(closing.history).T
    left.fill_between(effort, lower, upper, color=theme.faint(GREEN), step="post")
    left.step(effort, lower, color=GREEN, linestyle="--", where="post")
    left.step(effort, upper, color=GREEN, linestyle="--", where="post")
    left.set(
        title="The interval closes with effort",
        xlabel="gradients of a neuron at a row",
        xscale="log",
    )
    left.set(ylabel="least training objective")
    T, interval = np.array(numbers["T"]), numbers["interval"]
    right.errorbar(
        T,
        interval.mean(1),
        interval.T[1] - interval.mean(1),
        fmt="D",
        color=GREEN,
        capsize=4,
        ms=3,
    )
    right.semilogx(T, numbers["error"], color=RED, marker="o")
    right.text(
        T[1],
        numbers["interval"][1, 0] - 0.02,
        "training objective,\nits interval",
        color=GREEN,
        va="top",
    )
    right.text(
        T[0],
        numbers["error"][0] + 0.008,
        "error on new patients",
        color=RED,
        va="bottom",
    )
    right.set(
        title="A lower optimum is not a better prediction",
        xlabel="temperature of the noise",
        ylabel="half of the squared error,\nin variances of the target",
    )


def variance(quick: bool = False) -> Numbers:
    """Errors of gradient estimates by distance from the anchor, and what they do to a chain."""
    n, rng, chains = 1000, np.random.default_rng(0), 1000 if quick else 4000
    bends, slopes = np.float32(rng.uniform(0.5, 1.5, n)), np.float32(rng.normal(size=n))
    problem = lx.FiniteSum(
        lambda x, row: row[0] * x**2 / 2 + row[1] * x, (bends, slopes)
    )
    mode, size = -slopes.mean() / bends.mean(), 32
    distances = np.float32(np.geomspace(0.01, 3, 7))
    batches = jnp.asarray(
        np.stack([rng.choice(n, size, replace=False) for _ in range(400)]).astype(
            np.int32
        )
    )
    at = jax.vmap(problem.gradient_at, (None, 0))
    anchor = jnp.float32(mode)
    plain = [np.asarray(at(anchor + d, batches)) for d in distances]
    exact = np.array([float(problem.gradient(anchor + d)) for d in distances])
    at_anchor = np.asarray(at(anchor, batches)) - float(problem.gradient(anchor))
    rms = lambda errors: np.sqrt(np.mean(errors**2, axis=1))
    plain_errors = np.stack(plain) - exact[:, None]
    factor = batch_variance_factor(n, size, replace=False)
    sizes = (8, 32, 128)
    lines = np.array([4, 8, 16, 32, 64, 128, 256])
    law = (
        bends[:, None].astype(float),
        slopes[:, None].astype(float),
        np.array([mode], float),
        np.zeros(1),
    )
    chain = QuadraticChain(*law, step_size=0.1, temperature=1 / n, num_steps=300)
    points = {}
    for name, estimator in (
        ("SGLD", lx.gradients.Minibatch),
        ("SVRG-LD", lx.gradients.SVRG),
    ):
        for B in sizes:
            gradient = (
                estimator(B) if name == "SGLD" else estimator(batch_size=B, period=32)
            )
            options = {"key": jax.random.key(B), "num_steps": 300, "num_chains": chains}
            end = lx.simulate(
                lx.Langevin(0.1, 1 / n, gradient=gradient), problem, anchor, **options
            ).position
            points[name, B] = float(np.var(np.asarray(end)) * n * bends.mean())
    sgld = [
        chain.sgld(int(B), replace=False).variance[-1, 0] * n * bends.mean()
        for B in lines
    ]
    svrg = [
        chain.svrg(int(B), 32, replace=False).variance[-1, 0] * n * bends.mean()
        for B in lines
    ]
    return {
        "distances": distances,
        "plain": rms(plain_errors),
        "reduced": rms(plain_errors - at_anchor),
        "predicted": np.sqrt(factor)
        * np.stack([np.std(bends * (mode + d) + slopes) for d in distances]),
        "predicted reduced": np.sqrt(factor) * bends.std() * distances,
        "points": points,
        "chains": chains,
        "sizes": lines,
        "SGLD": np.array(sgld),
        "SVRG-LD": np.array(svrg),
    }


def draw_variance(numbers: Numbers, left: Axes, right: Axes) -> None:
    (pink, triangle), (blue, circle) = theme.METHODS["SGLD"], theme.METHODS["SVRG-LD"]
    d = numbers["distances"]
    for name, line, colour, marker in (
        ("plain", "predicted", pink, triangle),
        ("reduced", "predicted reduced", blue, circle),
    ):
        left.loglog(d, numbers[line], color=colour)
        left.plot(d, numbers[name], marker, color=colour)
    left.text(
        0.012, numbers["plain"][0] * 1.25, "a batch of 32 of 1,000 rows", color=pink
    )
    left.text(
        0.05, numbers["reduced"][1] * 0.55, "corrected at the anchor (SVRG)", color=blue
    )
    left.set(
        title="Error of a gradient",
        xlabel="distance from the anchor",
        ylabel="root mean square error",
    )
    for name, colour, marker in (("SGLD", pink, triangle), ("SVRG-LD", blue, circle)):
        right.loglog(numbers["sizes"], numbers[name], color=colour)
        sizes = [B for method, B in numbers["points"] if method == name]
        values = np.array([numbers["points"][name, B] for B in sizes])
        right.errorbar(
            sizes,
            values,
            values * np.sqrt(2 / numbers["chains"]),
            fmt=marker,
            color=colour,
        )
        right.text(9, numbers[name][1] * 1.08, name, color=colour)
    right.axhline(1, color=theme.GREY, linestyle="--")
    right.text(256, 0.9, "the posterior", color=theme.GREY, va="top", ha="right")
    right.set_xticks([8, 32, 128], ["8", "32", "128"])
    right.minorticks_off()
    right.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    right.set(
        title="Variance of the draws",
        xlabel="rows in a batch",
        ylabel="over that of the posterior",
        ylim=(0.6, None),
    )


def functions(quick: bool = False) -> Numbers:
    """The posterior of a function by 16 and 256 modes, and the largest stable step of two integrators."""
    places, rng, bands = np.linspace(0.05, 0.95, 10), np.random.default_rng(0), {}
    wave = lambda t: np.sin(7 * t) + 0.5 * t
    data = wave(places) + 0.1 * rng.normal(size=10)
    modes, grid = (16, 32, 64, 128, 256), np.linspace(0, 1, 101)
    steps: dict[str, list[float]] = {"Explicit": [], "Exponential": []}
    for K in modes:
        basis = lx.spaces.Cosine(K)
        prior = lx.spaces.GaussianPrior(
            basis, lx.spaces.spectra.matern(basis, smoothness=1.5, length_scale=0.2)
        )
        if K in (16, 256):
            at_places = jnp.asarray(basis.evaluate(places), jnp.float32)
            forward = lambda f, m=at_places, b=basis: m @ b.analyze(f)
            target = lx.inverse_problem(forward, data, noise=0.1, prior=prior)
            draws = lx.sample(
                target, key=jax.random.key(0), num_samples=200 if quick else 1000
            ).positions
            values = np.asarray(basis.at(jnp.asarray(draws).reshape(-1, K), grid))
            bands[K] = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
        precision = np.asarray(prior.precision(0.1), float)
        for name, limits in steps.items():
            limits.append(
                largest_stable_step(getattr(lx.integrators, name)(), precision)
            )
    return {
        "places": places,
        "data": data,
        "grid": grid,
        "truth": wave(grid),
        "bands": bands,
        "modes": modes,
        "steps": steps,
    }


def largest_stable_step(
    integrator: lx.integrators.Integrator, precision: np.ndarray, curvature: float = 1.0
) -> float:
    """Return the largest h with |a - b curvature| < 1 in every mode, by bisection of its logarithm."""
    lowest, highest = -20.0, 3.0
    for _ in range(40):
        middle = (lowest + highest) / 2
        a, b, _ = integrator.gains(
            jnp.float32(np.exp(middle)), jnp.asarray(precision, jnp.float32)
        )
        lowest, highest = (
            (middle, highest)
            if np.all(np.abs(a - b * curvature) < 1)
            else (lowest, middle)
        )
    return float(np.exp(lowest))


def draw_functions(numbers: Numbers, left: Axes, right: Axes) -> None:
    coarse, (low, mean, high) = numbers["bands"][16], numbers["bands"][256]
    left.fill_between(numbers["grid"], low, high, color=theme.faint(BLUE), linewidth=0)
    left.plot(numbers["grid"], mean, color=BLUE, label="256 modes, with 90 % band")
    for i, line in enumerate(coarse):
        left.plot(
            numbers["grid"],
            line,
            color=RED,
            linestyle="--",
            linewidth=1,
            label="16 modes" if i == 0 else None,
        )
    left.plot(
        numbers["grid"],
        numbers["truth"],
        color=theme.GREY,
        linestyle=":",
        label="the truth",
    )
    left.plot(
        numbers["places"], numbers["data"], "o", color=theme.INK, ms=4, label="measured"
    )
    left.set(title="The same posterior, in finer detail", xlabel="t", ylabel="f(t)")
    left.set_ylim(-0.9, 2.3)
    left.legend(fontsize=8, loc="upper right")
    for (name, limit), colour, marker in zip(
        numbers["steps"].items(), (theme.GREY, BLUE), ("x", "o"), strict=True
    ):
        right.loglog(numbers["modes"], limit, color=colour, marker=marker)
        right.text(numbers["modes"][2], limit[2] * 2, f" {name}", color=colour)
    right.set(
        title="Longest stable step", xlabel="modes", ylabel="step size", ylim=(None, 10)
    )
    right.set_xticks(numbers["modes"], map(str, numbers["modes"]))
    right.minorticks_off()


def leverage(quick: bool = False) -> Numbers:
    """A curve with and without a wrong reading, and what each reading does to the curve at itself."""
    x = np.linspace(-2.5, 2.5, 50)[:, None]
    y = np.sin(2 * x[:, 0]) + 0.2 * np.random.default_rng(0).normal(size=50)
    y[WRONG] += 1.5
    grid = np.linspace(-2.7, 2.7, 200)[:, None]
    model = MeanFieldRegressor(
        temperature=0.01, num_particles=500 if quick else 1000, random_state=0
    ).fit(x, y)
    left_out, influence = model.leave_one_out(), model.influence(x)
    without = model.without([WRONG])
    rows = range(0, 50, 6 if quick else 2)
    base = model.predict(x)
    trained = [model.without([i]).refit().predict(x[[i]])[0] - base[i] for i in rows]
    return {
        "rows": (x[:, 0], y),
        "grid": grid[:, 0],
        "curve": model.predict(grid),
        "without": without.predict(grid),
        "refitted": without.refit().predict(grid),
        "leverages": left_out.leverages,
        "changes": influence[rows, rows],
        "trained": np.array(trained),
    }


def draw_leverage(numbers: Numbers, left: Axes, right: Axes) -> None:
    x, y = numbers["rows"]
    left.plot(x, y, "o", color="0.6", ms=3)
    left.plot(x[WRONG], y[WRONG], "o", color=RED, ms=5)
    left.text(x[WRONG], y[WRONG] + 0.1, "a wrong reading", color=RED, ha="center")
    curves = (
        ("curve", "with it", BLUE, "-"),
        ("without", "without it, closed form", GREEN, "-"),
        ("refitted", "without it, trained again", PINK, ":"),
    )
    for name, label, color, line in curves:
        left.plot(numbers["grid"], numbers[name], color=color, ls=line, label=label)
    left.set_ylim(top=2.2)
    left.legend(frameon=False, loc="upper right")
    left.set(title="The curve without one reading", xlabel="place", ylabel="reading")
    right.plot(numbers["trained"], numbers["changes"], "o", color=GREEN, ms=4)
    ends = np.array([numbers["trained"].min(), numbers["trained"].max()])
    right.plot(ends, ends, color=PINK, linestyle=":")
    right.set(
        title="The closed form beside trainings",
        xlabel="change at a reading without it, trained again",
        ylabel="the same, in closed form",
    )


COMPUTED: dict[str, Callable[[bool], Numbers]] = {
    "noise": noise,
    "convexity": convexity,
    "certificate": certificate,
    "variance": variance,
    "functions": functions,
    "leverage": leverage,
}
DRAWN: dict[str, Callable[[Numbers, Axes, Axes], None]] = {
    "noise": draw_noise,
    "convexity": draw_convexity,
    "certificate": draw_certificate,
    "variance": draw_variance,
    "functions": draw_functions,
    "leverage": draw_leverage,
}


def save(name: str, folder: Path = IMAGES, quick: bool = False) -> Numbers:
    """Compute one figure's numbers, draw it into `folder`, and return the numbers."""
    numbers = COMPUTED[name](quick)
    with plt.rc_context(theme.style()):
        figure, (left, right) = plt.subplots(1, 2)
        DRAWN[name](numbers, left, right)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(file := folder / f"{name}.png", dpi=120)
        plt.close(figure)
    Image.open(file).convert("RGB").quantize(128).save(
        file, optimize=True
    )  # a third of the size
    return numbers


if __name__ == "__main__":
    for figure_name in sys.argv[1:] or COMPUTED:
        save(figure_name)
        print(f"figure: {IMAGES / figure_name}.png")
