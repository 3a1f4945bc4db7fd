"""Federated methods that reduce variance between clients need few exchanges where clients are alike.

Claim: Where Hessians of the P clients differ by little, zeta, methods that reduce variance between clients (BVR-L-SGD,
FLEDGE) need few exchanges, exactly and without full participation; they leave saddle points with a little noise, and
SLEDGE's error stays bounded without ever computing a full gradient again.

Formula:
    |hess f_i - hess f_j| <= zeta   =>   |grad f| <= epsilon after O(zeta / epsilon^2) exchanges

Source: Murata and Suzuki, ICML 2021 and NeurIPS 2022 (BVR-L-SGD, BVR-L-PSGD); Oko, Akiyama, Murata, Suzuki, 2022
(SLEDGE, FLEDGE) and ICML 2024 (SILVER)

Figure: First row: exchanges of FLEDGE fall with zeta while minibatch SARAH's stay, and hollow marks at the top never
arrive; total vectors of FLEDGE are fewest near p = sqrt(P); f falls along straight lines. Second row: without noise
nothing leaves the saddle, with it |x_0| grows at the rate predicted; SLEDGE's error stays on the line while SARAH's
grows; last, accuracy on digits, where labels decide who holds what.

Beside them FedAvg, SCAFFOLD, MimeSGD, minibatch SGD and SARAH, all tuned alike: one number, the step size, on one grid
of powers of two, with the same P clients, K local steps and b rows. f is not convex in any part:

reach         exchanges and vectors until |grad f| <= tolerance, against the heterogeneity zeta of clients' Hessians
participants  the same for FLEDGE against p clients an anchor
decay         f - min f under the Polyak-Lojasiewicz condition, in double precision
saddle        |x_0| from a saddle that no client's gradient leaves, against the radius of the noise
error         of estimators that are never refreshed, over what SLEDGE's should be
digits        loss and accuracy of a small network on handwritten digits, split by class concentration

The last three are in `federated_experiments`. The script is long as the claim has six parts, each with a panel and
checks of its own.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jax import random
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from claims import Check, Claim, Size, Verdict
from dialled_federation import WavyLoss, dialled_federation
from federated_experiments import (
    ESTIMATORS,
    OUT,
    RADII,
    SADDLE_METHODS,
    digits_runs,
    escape,
    estimator_errors,
    growth_per_round,
    number_of_digits_runs,
)
from federated_runs import Maker, Reached, methods, paths, reached
from langevax.figures.theme import GREY, INK, OKABE_ITO
from langevax.problems.federation import Federation

CLIENTS, LOCAL_STEPS, BATCH, PARTICIPANTS = 20, 16, 4, 5
ROWS, DIM, CONDITION, TOLERANCE = 128, 10, 50.0, 1e-3
STEP_SIZES = 2.0 ** -np.arange(1, 12)
ZETAS: dict[str, tuple[float, ...]] = {"full": (4.0, 2.0, 1.0, 0.5, 0.25, 0.0), "small": (2.0, 0.25)}
SEEDS, MOST_EXCHANGES = {"full": 6, "small": 3}, {"full": 800, "small": 450}
METHODS: dict[str, tuple[str, ...] | None] = {
    "full": None,
    "small": ("FedAvg", "minibatch SARAH", "BVR-L-SGD", "FLEDGE"),
}
"""Those whose reach is measured; None for all."""
COUNTS: dict[str, tuple[int, ...]] = {"full": (1, 2, 5, 10, 20), "small": (1, 5, 20)}
COUNTS_ZETA, COUNTS_EXCHANGES = 1.0, 2000
DECAY_STEPS = {"FLEDGE": 0.0625, "BVR-L-SGD": 0.125}
DECAY_EXCHANGES = {"full": 400, "small": 200}
WALK_STEPS, WALKS = {"full": 40_000, "small": 4_000}, {"full": 16, "small": 16}


# ---- measure


def scales_of(federation: Federation) -> Array:
    """s of the dialled federation."""
    assert isinstance(federation.loss, WavyLoss)
    return jnp.asarray(federation.loss.scales)


def gradient_norm(federation: Federation, x: Array) -> Array:
    """|grad f| of the dialled federation, in closed form."""
    return jnp.linalg.norm(scales_of(federation) * (2 * x + 3 * jnp.sin(2 * x)))


def excess(federation: Federation, x: Array) -> Array:
    """f - min f of the dialled federation."""
    return jnp.sum(scales_of(federation) * (x**2 + 3 * jnp.sin(x) ** 2))


def dialled(zeta: float, seed: int) -> Federation:
    """The federation of all parts but the saddle and the digits."""
    return dialled_federation(CLIENTS, ROWS, DIM, zeta, condition=CONDITION, seed=seed).federation


def exchanges_needed(make: Maker, zeta: float, num_seeds: int, exchanges: int, seed: int) -> Reached:
    """Exchanges and vectors of one method to the tolerance, at its best step size."""
    keys = random.split(random.key(seed), num_seeds)
    start = jnp.full(DIM, 2.0, jnp.float32)
    result = paths(make, dialled(zeta, seed), start, STEP_SIZES, keys, exchanges, gradient_norm, TOLERANCE)
    return reached(result, STEP_SIZES, TOLERANCE)


def decay(make: Maker, step_size: float, num_seeds: int, exchanges: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(seed, round) f - min f in double precision, and exchanges by then."""
    with jax.enable_x64():
        keys = random.split(random.key(seed), num_seeds)
        start = jnp.full(DIM, 2.0, jnp.float64)
        result = paths(make, dialled(COUNTS_ZETA, seed), start, [step_size], keys, exchanges, excess)
    return result.seen[0], result.exchanges


def measure(size: Size, seed: int) -> xarray.Dataset:
    """All parts, one after the other."""
    zetas, counts, num_seeds = ZETAS[size], COUNTS[size], SEEDS[size]
    few = size == "small"
    makers = methods(LOCAL_STEPS, BATCH, PARTICIPANTS, METHODS[size])
    reduced, noisy = list(DECAY_STEPS)[: 1 if few else None], list(SADDLE_METHODS)[: 1 if few else None]
    walkers = [name for name in ESTIMATORS if not few or name in ("SLEDGE", "SARAH")]
    parts = len(counts) + len(reduced) + len(noisy) + len(walkers)
    total = len(makers) * len(zetas) + parts + number_of_digits_runs(size)
    bar = tqdm(total=total, desc="federated", disable=None)

    reach = []
    for make in makers.values():
        for zeta in zetas:
            reach.append(exchanges_needed(make, zeta, num_seeds, MOST_EXCHANGES[size], seed))
            bar.update()
    participants = []
    for count in counts:
        make = methods(LOCAL_STEPS, BATCH, count)["FLEDGE"]
        participants.append(exchanges_needed(make, COUNTS_ZETA, num_seeds, COUNTS_EXCHANGES, seed))
        bar.update()
    decays, escapes = [], []
    for name in reduced:
        decays.append(decay(makers[name], DECAY_STEPS[name], num_seeds, DECAY_EXCHANGES[size], seed))
        bar.update()
    for name in noisy:
        escapes.append(escape(name, num_seeds, seed))
        bar.update()
    walks = []
    for name in walkers:
        walks.append(estimator_errors(name, WALK_STEPS[size], WALKS[size], seed))
        bar.update()
    learnt = digits_runs(size, seed, bar.update)
    bar.close()

    rounds = min(len(exchanges) for _, exchanges in decays)
    by, of = ("algorithm", "zeta"), (len(makers), len(zetas))
    exchange, vector = {"units": "exchanges"}, {"units": "vectors of the model's size"}
    variables: dict[str, Any] = {
        "exchanges": ((*by, "seed"), np.array([r.exchanges for r in reach]).reshape(*of, -1), exchange),
        "vectors": ((*by, "seed"), np.array([r.vectors for r in reach]).reshape(*of, -1), vector),
        "step_size": (by, np.array([r.step_size for r in reach]).reshape(of), {"units": "1"}),
        "at_edge": (by, np.array([r.at_edge for r in reach]).reshape(of), {"units": "whether"}),
        "floor": (by, np.array([r.floor for r in reach]).reshape(of), {"units": "|grad f|"}),
        "exchanges_of_count": (("count", "seed"), np.array([r.exchanges for r in participants]), exchange),
        "vectors_of_count": (("count", "seed"), np.array([r.vectors for r in participants]), vector),
        "count_at_edge": ("count", [r.at_edge for r in participants], {"units": "whether"}),
        "excess": (
            ("reduced", "seed", "round"),
            np.stack([seen[:, :rounds] for seen, _ in decays]),
            {"units": "units of the loss"},
        ),
        "exchanges_of_round": (("reduced", "round"), np.stack([e[:rounds] for _, e in decays]), exchange),
        "distance": (
            ("noisy", "radius", "seed", "saddle_round"),
            np.stack([seen for seen, _ in equally_long(escapes)]),
            {"units": "|x_0|"},
        ),
        "exchanges_at_saddle": (("noisy", "saddle_round"), np.stack([e for _, e in equally_long(escapes)]), exchange),
        "error": (("estimator", "walk", "part"), np.array(walks), {"units": "squared error over the prediction"}),
    }
    coordinates = {
        "algorithm": list(makers),
        "zeta": ("zeta", list(zetas), {"units": "curvature"}),
        "count": ("count", list(counts), {"units": "clients"}),
        "reduced": reduced,
        "noisy": noisy,
        "radius": ("radius", list(RADII), {"units": "length"}),
        "estimator": walkers,
    }
    attributes = {
        "seed": seed,
        "tolerance": TOLERANCE,
        "clients": CLIENTS,
        "most_exchanges": MOST_EXCHANGES[size],
        "growth_per_round": growth_per_round(),
        "out": OUT,
        "walk_steps": WALK_STEPS[size],
    }
    return xarray.Dataset(variables, coordinates, attributes).merge(learnt)


def equally_long(escapes: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut all to the rounds of the shortest."""
    rounds = min(len(exchanges) for _, exchanges in escapes)
    return [(seen[..., :rounds], exchanges[:rounds]) for seen, exchanges in escapes]


# ---- draw

STYLES = {
    "FLEDGE": (OKABE_ITO[0], "o"),
    "BVR-L-SGD": (OKABE_ITO[1], "s"),
    "MimeSGD": (OKABE_ITO[2], "D"),
    "SCAFFOLD": (OKABE_ITO[3], "v"),
    "FedAvg": (OKABE_ITO[4], "^"),
    "minibatch SARAH": (OKABE_ITO[5], "P"),
    "minibatch SGD": (GREY, "x"),
}
"""Colour and marker of each method, in all panels."""
ESTIMATOR_STYLES = {"SLEDGE": 0, "SAGA": 2, "STORM": 4, "SARAH": 5}
RADIUS_LINES = {0.0: ":", 1e-6: "--", 1e-3: "-"}
MARKS = 8  # on a line


def draw(data: xarray.Dataset) -> Figure:
    """Three panels of what it takes, three of why, and one for each split of the digits."""
    figure = Figure(figsize=(14.0, 12.0))
    rows: Any = figure.subfigures(3, 1)
    above, middle, below = rows
    for axes, draw_panel in zip(above.subplots(1, 3), (draw_exchanges, draw_vectors, draw_participants), strict=True):
        draw_panel(axes, data)
    for axes, draw_panel in zip(middle.subplots(1, 3), (draw_decay, draw_saddle, draw_errors), strict=True):
        draw_panel(axes, data)
    panels = np.atleast_1d(below.subplots(1, data.sizes["concentration"], sharey=True))
    for axes, concentration in zip(panels, data.concentration.values, strict=True):
        draw_digits(axes, data, float(concentration))
    panels[0].set_ylabel("accuracy on rows held out")
    handles, labels = above.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), handletextpad=0.3)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[union-attr]
    return figure


def draw_against_zeta(axes: Axes, data: xarray.Dataset, quantity: str, lost: float) -> None:
    """Means and spreads over seeds; hollow along the top where a seed did not arrive."""
    places = np.arange(data.sizes["zeta"])[::-1]
    names = [name for name in STYLES if name in data.algorithm.values]
    for k, name in enumerate(names):
        colour, marker = STYLES[name]
        row = data[quantity].sel(algorithm=name).transpose("zeta", ...).values
        there, apart = np.isfinite(row).all(axis=1), (k - len(names) / 2) * 0.06
        values, spread = row[there].mean(axis=1), row[there].std(axis=1, ddof=1)
        axes.errorbar(places[there] + apart, values, spread, fmt=marker, color=colour, capsize=2, label=name)
        axes.plot(places[there] + apart, values, color=colour, linewidth=0.8, alpha=0.6)
        axes.plot(places[~there] + apart, np.full((~there).sum(), lost), marker, color=colour, markerfacecolor="none")
    axes.axhline(lost, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.set_yscale("log")
    axes.set_xticks(places, [f"{z:g}" for z in data.zeta.values])
    axes.set_xlabel(r"Hessian heterogeneity $\zeta$")


def draw_exchanges(axes: Axes, data: xarray.Dataset) -> None:
    lost = float(data.attrs["most_exchanges"])
    draw_against_zeta(axes, data, "exchanges", lost)
    axes.text(0.02, lost * 1.08, "not within these", transform=axes.get_yaxis_transform(), color=GREY)
    axes.set_ylim(10, lost * 1.5)
    axes.set(ylabel="exchanges to the tolerance", title=f"Exchanges to |grad f| ≤ {data.attrs['tolerance']:g}")


def draw_vectors(axes: Axes, data: xarray.Dataset) -> None:
    draw_against_zeta(axes, data, "vectors", 6e4)
    axes.set(ylabel="vectors to the tolerance", title="What they carried, both ways")


def draw_participants(axes: Axes, data: xarray.Dataset) -> None:
    counts = data["count"].values
    for quantity, colour, marker, label in (
        ("vectors_of_count", OKABE_ITO[0], "o", "vectors"),
        ("exchanges_of_count", GREY, "s", "exchanges"),
    ):
        values = data[quantity]
        mean, spread = values.mean("seed").values, values.std("seed", ddof=1).values
        axes.errorbar(counts, mean, spread, fmt=marker, linestyle="-", color=colour, capsize=2, label=label)
        axes.annotate(label, (counts[0], mean[0]), xytext=(8, 3), textcoords="offset points", color=colour)
    root = data.attrs["clients"] ** 0.5
    axes.axvline(root, color=INK, linewidth=0.9)
    axes.text(root * 1.05, 0.96, r"$\sqrt{P}$", transform=axes.get_xaxis_transform(), va="top")
    axes.set(xscale="log", yscale="log", xlabel="clients an anchor $p$", ylabel="to the tolerance")
    axes.set_xticks(counts, [str(c) for c in counts])
    axes.minorticks_off()
    axes.set_title(r"FLEDGE at $\zeta$ = 1: how many to ask")


def draw_decay(axes: Axes, data: xarray.Dataset) -> None:
    for name in data.reduced.values:
        colour, _ = STYLES[name]
        row = data.sel(reduced=name)
        for seed in range(data.sizes["seed"]):
            axes.plot(
                row.exchanges_of_round, row.excess[seed], color=colour, linewidth=0.9, label=f"{name}, seed {seed}"
            )
        axes.annotate(
            name,
            (float(row.exchanges_of_round[-1]), float(row.excess[:, -10:].max())),
            xytext=(-4, 10),
            textcoords="offset points",
            ha="right",
            color=colour,
        )
    axes.set(yscale="log", xlabel="exchanges", ylabel=r"$f - \min f$", title="Exponential convergence under PL")


def draw_saddle(axes: Axes, data: xarray.Dataset) -> None:
    for name, like in zip(data.noisy.values, ("FLEDGE", "BVR-L-SGD"), strict=False):
        for radius in data.radius.values[data.radius.values > 0]:
            row = data.sel(noisy=name, radius=radius)
            for seed in range(data.sizes["seed"]):
                label = f"{name}, r = {radius:.0e}" if seed == 0 else None
                axes.plot(
                    row.exchanges_at_saddle,
                    row.distance[seed],
                    color=STYLES[like][0],
                    linewidth=0.9,
                    linestyle=RADIUS_LINES.get(float(radius), "-."),
                    label=label,
                )
    rate, start = data.attrs["growth_per_round"] / 2, 10.0
    x = np.array([start, start + 100])
    axes.plot(x, 3e-6 * np.exp(rate * (x - start)), color=INK, linewidth=2, label="rate as predicted")
    axes.text(0.97, 0.1, "r = 0: exactly 0 throughout", transform=axes.transAxes, ha="right")
    axes.set(yscale="log", ylim=(1e-8, 2), xlabel="exchanges", ylabel="distance from the saddle $|x_0|$")
    axes.set_xlim(0, 300)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.15), fontsize=8)
    axes.set_title("Leaving a saddle point")


def draw_errors(axes: Axes, data: xarray.Dataset) -> None:
    parts = data.sizes["part"]
    x = (np.arange(parts) + 0.5) * data.attrs["walk_steps"] / parts
    for name in data.estimator.values:
        colour, row = ESTIMATOR_STYLES[name], data.error.sel(estimator=name)
        mean, error = row.mean("walk").values, row.std("walk", ddof=1).values / np.sqrt(row.sizes["walk"])
        marker = "os^vDP"[colour]
        axes.errorbar(x, mean, error, fmt=marker, linestyle="-", color=OKABE_ITO[colour], linewidth=0.8, label=name)
        axes.annotate(
            name, (x[-1], mean[-1]), xytext=(0, 7), textcoords="offset points", ha="right", color=OKABE_ITO[colour]
        )
    axes.axhline(1, color=INK, linewidth=1.2)
    axes.text(0.02, 1.06, r"$\zeta^2\, step^2\, n / 2b^2$", transform=axes.get_yaxis_transform(), va="bottom")
    axes.set(yscale="log", xlabel="steps without a full gradient", ylabel="squared error over the prediction")
    axes.set_title("What estimators do when never refreshed")


def draw_digits(axes: Axes, data: xarray.Dataset, concentration: float) -> None:
    for name in data.learner.values:
        colour, marker = STYLES[name]
        row = data.digits_accuracy.sel(learner=name, concentration=concentration).mean("digits_seed")
        every = max(1, row.sizes["spent"] // MARKS)
        axes.plot(
            data.spent, row, color=colour, marker=marker, markevery=every, linewidth=1.0, markersize=4, label=name
        )
    axes.set(xlabel="exchanges", ylim=(0, 1.02), ylabel=" ", title=f"Digits, q = {concentration:g}")


# ---- judge

ZETA = 0.25  # where clients resemble each other and the targets are set
TARGETS = {"FLEDGE": 80, "BVR-L-SGD": 60}
NEVER = ("FedAvg", "SCAFFOLD", "minibatch SGD")
FLAT = 0.1  # of SLEDGE's error, around the prediction and between parts of the walk
SARAH_EXCHANGES = 400.0  # exchanges that minibatch SARAH is expected to take, within 100
PAPERS = "Murata and Suzuki; Oko et al."
STRAIGHT = 0.98  # least R^2 of log(f - min f) against exchanges


def judge(data: xarray.Dataset) -> Verdict:
    """Judge all parts but the digits, which are reported."""
    parts = judge_reach(data), judge_participants(data), judge_decay(data), judge_saddle(data), judge_errors(data)
    checks, summaries, numbers = [], [], {}
    for part_checks, summary, more in (*parts, judge_digits(data)):
        checks.extend(part_checks)
        summaries.append(summary)
        numbers |= more
    return Verdict(tuple(checks), " ".join(summaries), numbers)


Part = tuple[list[Check], str, dict[str, float]]


def spread(values: np.ndarray) -> str:
    """Mean and standard deviation over seeds."""
    return f"{values.mean():.0f} ± {values.std(ddof=1):.0f}"


def judge_reach(data: xarray.Dataset) -> Part:
    near = data.sel(zeta=ZETA)
    texts, numbers = [], {}
    for name in data.algorithm.values:
        values = near.exchanges.sel(algorithm=name).values
        if np.isfinite(values).all():
            texts.append(f"{name} {spread(values)}")
            if name not in TARGETS:
                numbers[f"exchanges, {name}"] = float(values.mean())
            numbers[f"vectors, {name}"] = float(near.vectors.sel(algorithm=name).mean())
        numbers[f"step size, {name}"] = float(near.step_size.sel(algorithm=name))
    never = [name for name in NEVER if name in data.algorithm.values]
    floors = near.floor.sel(algorithm=never).values
    by_zeta = "; ".join(
        f"{name} " + ", ".join(f"{v:.0f}" for v in data.exchanges.sel(algorithm=name).mean("seed").values)
        for name in TARGETS
    )
    summary = (
        f"Exchanges to |grad f| <= {data.attrs['tolerance']:g} at zeta = {ZETA:g} (mean ± sd over seeds): "
        f"{', '.join(texts)}; {', '.join(never)} do not arrive within {data.attrs['most_exchanges']:,} and come to "
        f"{', '.join(f'{f:.1e}' for f in floors)} at best. "
        f"At zeta = {', '.join(f'{z:g}' for z in data.zeta.values)}: {by_zeta}."
    )
    return [*judge_arrivals(data, never), *judge_zeta(data)], summary, numbers


def judge_arrivals(data: xarray.Dataset, never: list[str]) -> list[Check]:
    """Who comes there and in how many exchanges; where one seed does not, nothing holds."""
    arrived = np.isfinite(data.exchanges).all("seed")
    checks = []
    for name, most in TARGETS.items():
        values = data.exchanges.sel(zeta=ZETA, algorithm=name).values
        error = float(values.std(ddof=1) / np.sqrt(values.size))
        checks.append(
            Check(
                f"exchanges of {name}, zeta = {ZETA:g}",
                "our aim; O(zeta) in both papers",
                float(values.mean()),
                most,
                0.0,
                "at most",
                error,
                "exchanges",
            )
        )
    lost = int((~arrived.sel(algorithm=list(TARGETS))).sum())
    there = int(arrived.sel(algorithm=never).sum())
    edges = int((data.at_edge.astype(bool) & arrived).sum() + data.count_at_edge.sum())
    return [
        *checks,
        Check(
            f"heterogeneities at which {' or '.join(TARGETS)} does not arrive",
            f"{PAPERS}: any zeta",
            lost,
            0,
            0,
            "at most",
        ),
        Check(f"heterogeneities at which {' or '.join(never)} arrives", "noise of local steps", there, 0, 0, "at most"),
        Check("best step sizes at the edge of the grid, of those that arrive", "our aim", edges, 0, 0, "at most"),
    ]


def judge_zeta(data: xarray.Dataset) -> list[Check]:
    mean = data.exchanges.mean("seed", skipna=False)
    sarah, fledge = mean.sel(algorithm="minibatch SARAH").values, mean.sel(algorithm="FLEDGE")
    far = sarah[np.argmax(np.where(np.isnan(sarah), np.inf, np.abs(sarah - SARAH_EXCHANGES)))]
    most = float(data.zeta.max())
    worst = np.max(mean.sel(algorithm="BVR-L-SGD").values / sarah)  # nan where one does not arrive
    return [
        Check(
            "exchanges of minibatch SARAH at any zeta, the farthest",
            "no zeta in its rate; the number is our aim",
            float(far),
            SARAH_EXCHANGES,
            100.0,
            unit="exchanges",
        ),
        Check(
            f"FLEDGE's exchanges at zeta = {most:g}, in units of those at {ZETA:g}",
            "our aim: they grow with zeta",
            float(fledge.sel(zeta=most) / fledge.sel(zeta=ZETA)),
            1.5,
            0.0,
            "at least",
        ),
        Check(
            "BVR-L-SGD's exchanges in units of minibatch SARAH's, largest of all zeta",
            "our aim",
            float(worst),
            0.5,
            0.0,
            "at most",
        ),
    ]


def judge_participants(data: xarray.Dataset) -> Part:
    vectors, counts = data.vectors_of_count, data["count"].values
    mean = vectors.mean("seed").values
    error = vectors.std("seed", ddof=1).values / np.sqrt(vectors.sizes["seed"])
    best = int(np.argmin(np.where(np.isfinite(mean), mean, np.inf)))
    root = float(data.attrs["clients"]) ** 0.5
    inner = np.isfinite(mean).all() and 0 < best < len(counts) - 1
    off = max(counts[best] / root, root / counts[best]) if inner else np.inf
    texts = ", ".join(f"{v:,.0f} ± {e:.0f}" for v, e in zip(mean, error, strict=True))
    summary = (
        f"Vectors of FLEDGE at zeta = 1 with p = {', '.join(map(str, counts))} clients an anchor: {texts}, fewest at "
        f"p = {counts[best]} (sqrt(P) = {root:.1f})."
    )
    about = f"factor between the best number of clients, {counts[best]}, and sqrt(P) = {root:.1f}"
    check = Check(about, "Oko et al.: p = sqrt(P)", float(off), 1.0, 1.5, "at most")
    return [check], summary, {"vectors at best p": float(mean[best])}


def judge_decay(data: xarray.Dataset) -> Part:
    straight, least, texts, numbers = [], [], [], {}
    for name in data.reduced.values:
        row = data.sel(reduced=name)
        x, y = row.exchanges_of_round.values, np.log10(np.maximum(row.excess.values, 1e-300)).mean(axis=0)
        used = y > -26  # above rounding
        slope, offset = np.polyfit(x[used], y[used], 1)
        left = y[used] - slope * x[used] - offset
        straight.append(1 - left.var() / y[used].var())
        least.append(y.min())
        texts.append(f"{name} by a factor of ten each {-1 / slope:.0f} exchanges, to {10 ** y.min():.0e}")
        numbers |= {f"exchanges a decade, {name}": float(-1 / slope)}
    theorem = f"{PAPERS}: linear rate under PL"
    checks = [
        Check(
            "explained part of log(f - min f) by a straight line in exchanges",
            theorem,
            float(np.min(straight)),
            1.0,
            1 - STRAIGHT,
            "at least",
        ),
        Check("power of ten that f - min f falls to", "our aim", float(np.max(least)), -9.0, 0.0, "at most"),
    ]
    return checks, f"f - min f falls exponentially: {'; '.join(texts)}.", numbers


def judge_saddle(data: xarray.Dataset) -> Part:
    """Times from the smaller to the larger radius differ by log(ratio) over the rate; nan where one does not leave."""
    most = float(np.abs(data.distance.sel(radius=0.0)).max(skipna=False))
    radii = data.radius.values[data.radius.values > 0]
    predicted = 2 * np.log(radii.max() / radii.min()) / data.attrs["growth_per_round"]
    about = "largest distance from the saddle without noise"
    checks, texts = [Check(about, "exact: gradients vanish along the way out", most, 0.0, 0.0, "at most")], []
    for name in data.noisy.values:
        row = data.sel(noisy=name)
        out = row.distance.sel(radius=radii).values >= data.attrs["out"]
        left = out.any(axis=2)
        times = np.where(left, row.exchanges_at_saddle.values[out.argmax(axis=2)], np.nan)
        between = times[radii.argmin()] - times[radii.argmax()]
        error = float(between.std(ddof=1) / np.sqrt(between.size))
        about = f"{name}: exchanges by which a noise of {radii.min():.0e} leaves later than {radii.max():.0e}"
        checks.append(
            Check(
                about,
                "exact rate of growth",
                float(between.mean()),
                float(predicted),
                0.3 * float(predicted),
                error=error,
                unit="exchanges",
            )
        )
        times_text = ", ".join(
            f"r = {r:.0e}: {t.min():.0f} to {t.max():.0f}" for r, t in zip(radii, times, strict=True)
        )
        texts.append(f"{name} leaves in {times_text} exchanges")
    never = "Without noise |x_0| stays exactly 0" if most == 0 else "Without noise |x_0| does not stay 0"
    return checks, f"{never}; {'; '.join(texts)} (predicted between these radii: {predicted:.0f}).", {}


def judge_errors(data: xarray.Dataset) -> Part:
    """After the first part, in which it grows to what it stays at."""
    rest = data.error.isel(part=slice(1, None))
    mean = {str(name): float(rest.sel(estimator=name).mean()) for name in data.estimator.values}
    walks = rest.sel(estimator="SLEDGE").mean("part")
    error = float(walks.std(ddof=1) / np.sqrt(walks.sizes["walk"]))
    parts = rest.sel(estimator="SLEDGE")
    per_part = parts.mean("walk").values
    far = int(np.argmax(np.abs(per_part - 1)))
    of_part = float(parts[:, far].std(ddof=1) / np.sqrt(parts.sizes["walk"]))
    sarah = data.error.sel(estimator="SARAH").mean("walk").values
    others = {name: value for name, value in mean.items() if name != "SLEDGE"}
    law = "exact law: zeta^2 step^2 n / (2 b^2)"
    checks = [
        Check(
            "SLEDGE's squared error over its prediction, the farthest part of the walk",
            law,
            float(per_part[far]),
            1.0,
            FLAT,
            error=of_part,
        ),
        Check(
            "SARAH's squared error at the end of the walk, in units of its start",
            "never refreshed, it adds up",
            float(sarah[-1] / sarah[0]),
            2.0,
            0.0,
            "at least",
        ),
        Check(
            "least squared error of other estimators, in units of SLEDGE's",
            "our aim",
            min(others.values()) / mean["SLEDGE"],
            1.4,
            0.0,
            "at least",
        ),
    ]
    others_text = "".join(f"{name} {value:.3g}, " for name, value in others.items() if name != "SARAH")
    summary = (
        f"Over {data.attrs['walk_steps']:,} steps SLEDGE's squared error is {mean['SLEDGE']:.3f} ± {error:.3f} of "
        f"zeta^2 step^2 n / (2 b^2), no part of the walk farther than {100 * abs(per_part[far] - 1):.0f} % off; "
        f"{others_text}"
        f"SARAH grows from {sarah[0]:.0f} to {sarah[-1]:.0f}."
    )
    numbers = {"SLEDGE's error": mean["SLEDGE"], "SLEDGE's error, its error": error}
    return checks, summary, numbers | {f"error, {name}": value for name, value in others.items()}


def judge_digits(data: xarray.Dataset) -> Part:
    final = data.digits_accuracy.isel(spent=-1).mean("digits_seed")
    loss = data.digits_loss.isel(spent=-1).mean("digits_seed")
    texts, numbers = [], {}
    for q in data.concentration.values:
        row = [(str(n), float(final.sel(learner=n, concentration=q))) for n in data.learner.values]
        numbers |= {f"accuracy, q = {q:g}, {n}": value for n, value in row}
        numbers |= {f"loss, q = {q:g}, {n}": float(loss.sel(learner=n, concentration=q)) for n, _ in row}
        texts.append(f"q = {q:g}: " + ", ".join(f"{n} {value:.3f}" for n, value in sorted(row, key=lambda r: -r[1])))
    edge = int(data.digits_at_edge.sum())
    summary = f"Digits after {int(data.spent[-1])} exchanges, accuracy held out: {'; '.join(texts)}."
    return [], summary + (f" ({edge} best step sizes lie at the edge of the grid.)" if edge else ""), numbers


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
