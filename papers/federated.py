"""Federated methods that reduce variance between clients need few exchanges where clients are alike.

Claim: Where Hessians of the P clients differ by little, zeta, methods that reduce variance between clients (BVR-L-SGD,
FLEDGE) need few exchanges, exactly and without full participation; they leave saddle points with a little noise, and
SLEDGE's error stays bounded without ever computing a full gradient again.

Formula:
    |hess f_i - hess f_j| <= zeta   =>   |grad f| <= epsilon after O(zeta / epsilon^2) exchanges

Source: Murata and Suzuki, ICML 2021 and NeurIPS 2022 (BVR-L-SGD, BVR-L-PSGD); Oko, Akiyama, Murata, Suzuki, 2022
(SLEDGE, FLEDGE) and ICML 2024 (SILVER)

Figure: Exchanges of FLEDGE fall with zeta while minibatch SARAH's stay, and hollow marks at the top never arrive; total
vectors of FLEDGE are fewest near p = sqrt(P); f falls along straight lines; without noise nothing leaves the saddle,
with it |x_0| grows at the rate predicted; SLEDGE's error stays on the line while SARAH's grows; last, accuracy on
digits, where labels decide who holds what.

Beside them FedAvg, SCAFFOLD, MimeSGD, minibatch SGD and SARAH, all tuned alike: one number, the step size, on one grid
of powers of two, with the same P clients, K local steps and b rows. f is not convex in any part:

reach         exchanges and vectors until |grad f| <= tolerance, against the heterogeneity zeta of clients' Hessians
participants  the same for FLEDGE against p clients an anchor
decay         f - min f under the Polyak-Lojasiewicz condition, in double precision
saddle        f(x) = x_0^4 / 4 - gamma x_0^2 / 2 + 1/2 sum_{k > 0} x_k^2, where no client's gradient has a part along
              x_0 at x_0 = 0: only noise leads away, and then |x_0| grows by 1 + step_size gamma a local step
errors        of estimators that are never refreshed, on components with the Hessians +-zeta I: SLEDGE's squared error
              settles at zeta^2 step^2 n / (2 b^2), where it forgets at the rate b / n a step as much as it gains
digits        loss and accuracy of a small network on handwritten digits, split by class concentration q

The script is long as the claim has six parts, each with a panel and checks or numbers of its own.
"""

import itertools
import math
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jax import lax, random
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from claims import Check, Claim, Size, Verdict, dataset, sweep, variables
from dialled_federation import WavyLoss, balanced_signs, dialled_federation, opposite_directions
from drawing import annotate, level, note, panels, points, shared_legend, ticks
from estimates import mean_and_error
from federated_runs import Maker, Paths, Reached, methods, paths, reached
from langevax import gradients
from langevax.cli.federating import classification
from langevax.data import partitions
from langevax.federated import BVRLPSGD, FLEDGE
from langevax.figures.theme import GREY, INK, OKABE_ITO
from langevax.keys import unrolled
from langevax.problems.federation import Federation
from langevax.problems.finite_sum import FiniteSum

CLIENTS, LOCAL_STEPS, BATCH, PARTICIPANTS = 20, 16, 4, 5

# ---- to a tolerance, and to the minimum

ROWS, DIM, CONDITION, TOLERANCE = 128, 10, 50.0, 1e-3
STEP_SIZES = 2.0 ** -np.arange(1, 12)
COUNTS_ZETA, COUNTS_EXCHANGES = 1.0, 2000
DECAY_STEPS = {"FLEDGE": 0.0625, "BVR-L-SGD": 0.125}
MAKERS = methods(LOCAL_STEPS, BATCH, PARTICIPANTS)


def dialled(zeta: float, seed: int) -> Federation:
    return dialled_federation(CLIENTS, ROWS, DIM, zeta, condition=CONDITION, seed=seed)


def wavy(federation: Federation) -> WavyLoss:
    assert isinstance(federation.loss, WavyLoss)
    return federation.loss


def gradient_norm(federation: Federation, x: Array) -> Array:
    return jnp.linalg.norm(wavy(federation).mean_gradient(x))


def excess(federation: Federation, x: Array) -> Array:
    return wavy(federation).mean(x)


def exchanges_needed(make: Maker, zeta: float, num_seeds: int, exchanges: int, seed: int) -> Reached:
    """Exchanges and vectors of one method to the tolerance, at its best step size."""
    keys, start = random.split(random.key(seed), num_seeds), jnp.full(DIM, 2.0, jnp.float32)
    result = paths(make, dialled(zeta, seed), start, STEP_SIZES, keys, exchanges, gradient_norm, TOLERANCE)
    return reached(result, STEP_SIZES, TOLERANCE)


def decay(name: str, num_seeds: int, exchanges: int, seed: int) -> Paths:
    """Return f - min f in double precision."""
    with jax.enable_x64():
        keys, start = random.split(random.key(seed), num_seeds), jnp.full(DIM, 2.0, jnp.float64)
        return paths(MAKERS[name], dialled(COUNTS_ZETA, seed), start, [DECAY_STEPS[name]], keys, exchanges, excess)


# ---- the saddle

GAMMA, SADDLE_ROWS, SADDLE_STEP_SIZE, SADDLE_HETEROGENEITY = 0.5, 32, 0.02, 0.2
RADII = (0.0, 1e-6, 1e-3)
OUT = 0.5 * GAMMA**0.5  # of the way to the minimum, at x_0 = sqrt(gamma)
SADDLE_EXCHANGES = 800
GROWTH_PER_ROUND = LOCAL_STEPS * float(np.log1p(SADDLE_STEP_SIZE * GAMMA))
"""log of the factor by which |x_0| grows while it is small."""
SADDLE_METHODS: dict[str, Maker] = {
    "FLEDGE": lambda radius: FLEDGE(SADDLE_STEP_SIZE, LOCAL_STEPS, BATCH, PARTICIPANTS, radius=radius),
    "BVR-L-PSGD": lambda radius: BVRLPSGD(
        step_size=SADDLE_STEP_SIZE, num_local_steps=LOCAL_STEPS, batch_size=BATCH, radius=radius
    ),
}
"""As functions of the radius of the noise."""


def saddle_loss(x: Float[Array, " d"], row: tuple[Array, Array]) -> Float[Array, ""]:
    """Of one row (slopes, curvatures)."""
    slopes, curvatures = row
    bowl = x[0] ** 4 / 4 - GAMMA * x[0] ** 2 / 2 + jnp.sum(x[1:] ** 2) / 2
    return bowl + jnp.sum(slopes * x + curvatures * x**2 / 2)


def saddle_federation(seed: int) -> Federation:
    """Clients' Hessians differ by the heterogeneity, their gradients at 0 by 2; both cancel in the mean."""
    rng = np.random.default_rng(seed)
    signs, directions = balanced_signs(rng, (CLIENTS, DIM)), opposite_directions(rng, CLIENTS, DIM, first=1)
    rows = balanced_signs(rng, (CLIENTS, SADDLE_ROWS, DIM), axis=1)
    slopes = directions[:, None] + np.where(np.arange(DIM) > 0, rows, 0)
    curvatures = SADDLE_HETEROGENEITY / 2 * (signs[:, None] + rows)
    return Federation(saddle_loss, (slopes.astype(np.float32), curvatures.astype(np.float32)))


def distance(federation: Federation, x: Float[Array, " d"]) -> Float[Array, ""]:
    """From the saddle, along the way out."""
    return jnp.abs(x[0])


def escape(name: str, num_seeds: int, seed: int) -> Paths:
    """Return |x_0| for each radius."""
    start, keys = jnp.ones(DIM, jnp.float32).at[0].set(0), random.split(random.key(seed), num_seeds)
    return paths(SADDLE_METHODS[name], saddle_federation(seed), start, RADII, keys, SADDLE_EXCHANGES, distance)


# ---- estimators that are never refreshed

COMPONENTS, WALK_BATCH, WALK_STEP, WALK_DIM = 256, 4, 0.01, 4
PREDICTED = WALK_STEP**2 * COMPONENTS / (2 * WALK_BATCH**2)  # of the squared error of SLEDGE; zeta = 1
WALKS, PARTS = 16, 8  # parts of a walk
ESTIMATORS: dict[str, gradients.GradientEstimator] = {
    "SLEDGE": gradients.SLEDGE(WALK_BATCH, "components"),
    "SAGA": gradients.SAGA(WALK_BATCH, "components"),
    "STORM": gradients.STORM(WALK_BATCH, WALK_BATCH / COMPONENTS),
    "SARAH": gradients.SARAH(WALK_BATCH, 10**9),
}


def quadratic(x: Float[Array, " d"], row: tuple[Array, Array]) -> Float[Array, ""]:
    curvature, slope = row
    return curvature * jnp.sum(x**2) / 2 + slope @ x


def estimator_errors(name: str, num_steps: int, seed: int) -> np.ndarray:
    """(walk, part): mean squared error over PREDICTED. Half of the components curve up, half down, and the mean not."""
    rng = np.random.default_rng(seed)
    signs = rng.permutation(np.resize([-1.0, 1.0], COMPONENTS)).astype(np.float32)
    problem = FiniteSum(quadratic, (signs, rng.normal(size=(COMPONENTS, WALK_DIM)).astype(np.float32)))
    squared = squared_errors(ESTIMATORS[name], problem, random.split(random.key(seed), WALKS), num_steps)
    return np.asarray(squared, np.float64).reshape(WALKS, PARTS, -1).mean(axis=2) / PREDICTED


@eqx.filter_jit
def squared_errors(
    estimator: gradients.GradientEstimator, problem: FiniteSum, keys: Key[Array, " walks"], num_steps: int
) -> Float[Array, "walks steps"]:
    mean_slope = jnp.mean(problem.data[1], axis=0)  # the gradient everywhere

    def walk(key: Key[Array, ""]) -> Float[Array, " steps"]:
        key = unrolled(key)

        def body(carry: Any, number: Any) -> Any:
            x, state = carry
            batch_key, walk_key = random.split(random.fold_in(key, number))
            v, state, _ = estimator.estimate(problem, x, state, batch_key, number)
            direction = random.normal(walk_key, x.shape, x.dtype)
            x = x + WALK_STEP * direction / jnp.linalg.norm(direction)
            return (x, state), jnp.sum((v - mean_slope) ** 2)

        x = jnp.zeros_like(mean_slope)
        start = x, estimator.init(problem, x)[0]
        return lax.scan(body, start, jnp.arange(num_steps, dtype=jnp.int32))[1]

    return jax.vmap(walk)(keys)


# ---- digits

HIDDEN, DIGITS_STEP_SIZES = 16, 2.0 ** np.arange(2, -7, -1)


class Scores(eqx.Module):
    """The loss over all clients' rows, and accuracy on rows held out."""

    inputs: Array
    labels: Array

    def __call__(self, federation: Federation, position: Any) -> tuple[Array, Array]:
        return federation.value(position), classification.accuracy(position, self.inputs, self.labels)


def digits_scores(name: str, concentration: float, num_seeds: int, spent: np.ndarray, seed: int) -> dict[str, Any]:
    """(seed, exchanges) loss and accuracy of one method at the step size of the least final loss."""
    table, keys = classification.load_table("digits", None, seed), random.split(random.key(seed), num_seeds)
    parts = partitions.by_concentration(table.labels, CLIENTS, concentration, key=random.key(seed))
    start = classification.initial_position(random.key(seed), table.inputs.shape[1], HIDDEN, table.num_classes)
    scores = Scores(jnp.asarray(table.test_inputs), jnp.asarray(table.test_labels))
    federation = classification.federation_of(table, parts)
    result = paths(MAKERS[name], federation, start, DIGITS_STEP_SIZES, keys, int(spent[-1]), scores)
    final = result.seen[0][:, :, -1].mean(axis=1)
    best = int(np.argmin(np.where(np.isfinite(final), final, np.inf)))
    last = np.maximum(np.searchsorted(result.exchanges, spent, side="right") - 1, 0)
    loss, accuracy = (seen[best][:, last] for seen in result.seen)
    return {"loss": loss, "accuracy": accuracy, "at_edge": best in (0, len(DIGITS_STEP_SIZES) - 1)}


# ---- measure


# zetas, clients an anchor, concentrations of the digits
POINTS: dict[Size, tuple[tuple[float, ...], tuple[int, ...], tuple[float, ...]]] = {
    "full": ((4.0, 2.0, 1.0, 0.5, 0.25, 0.0), (1, 2, 5, 10, 20), (0.1, 0.35, 0.6, 0.85)),
    "small": ((2.0, 0.25), (1, 5, 20), (0.6,)),
}
# seeds, and seeds of the digits; exchanges to the tolerance, of the decay and of the digits; steps of a walk
LENGTHS: dict[Size, tuple[int, int, int, int, int, int]] = {
    "full": (6, 2, 800, 400, 100, 40_000),
    "small": (3, 1, 450, 200, 50, 4_000),
}
SMALL = ("FedAvg", "minibatch SARAH", "BVR-L-SGD", "FLEDGE", "SLEDGE", "SARAH")  # what is measured at the small size


def measure(size: Size, seed: int) -> xarray.Dataset:
    """All parts, one after the other."""
    (zetas, counts, concentrations), few = POINTS[size], size == "small"
    num_seeds, digits_seeds, most_exchanges, decay_exchanges, digits_exchanges, walk_steps = LENGTHS[size]
    algorithms, estimators = ([name for name in names if not few or name in SMALL] for names in (MAKERS, ESTIMATORS))
    reduced, noisy = (list(names)[: 1 if few else None] for names in (DECAY_STEPS, SADDLE_METHODS))

    def reach(name: str, zeta: float) -> dict[str, Any]:
        return exchanges_needed(MAKERS[name], zeta, num_seeds, most_exchanges, seed)._asdict()

    def participants(count: int) -> dict[str, Any]:
        make = methods(LOCAL_STEPS, BATCH, count)["FLEDGE"]
        return exchanges_needed(make, COUNTS_ZETA, num_seeds, COUNTS_EXCHANGES, seed)._asdict()

    def errors(name: str) -> dict[str, Any]:
        return {"error": estimator_errors(name, walk_steps, seed)}

    def digits(name: str, concentration: float) -> dict[str, Any]:
        return digits_scores(name, concentration, digits_seeds, spent, seed)

    spent, learners = np.arange(2, digits_exchanges + 1, 2), algorithms[: 1 if few else None]
    of_digits, by_split = sweep(digits, learners, concentrations), "learner concentration"
    of_zeta, of_count = sweep(reach, algorithms, zetas), sweep(participants, counts)
    falls, falls_exchanges = equally_long([decay(name, num_seeds, decay_exchanges, seed) for name in reduced])
    ways, ways_exchanges = equally_long([escape(name, num_seeds, seed) for name in noisy])
    return dataset(
        {"algorithm": algorithms, "reduced": reduced, "noisy": noisy, "estimator": estimators, "learner": learners},
        variables("zeta", "curvature", zeta=zetas),
        variables("count", "clients", count=counts),
        variables("radius", "length", radius=RADII),
        variables("concentration", "share", concentration=concentrations),
        variables("spent", "exchanges", spent=spent),
        variables("algorithm zeta seed", "exchanges", exchanges=of_zeta["exchanges"]),
        variables("algorithm zeta seed", "vectors of the model's size", vectors=of_zeta["vectors"]),
        variables("algorithm zeta", "1", step_size=of_zeta["step_size"]),
        variables("algorithm zeta", "whether", at_edge=of_zeta["at_edge"]),
        variables("algorithm zeta", "|grad f|", floor=of_zeta["floor"]),
        variables("count seed", "exchanges", exchanges_of_count=of_count["exchanges"]),
        variables("count seed", "vectors of the model's size", vectors_of_count=of_count["vectors"]),
        variables("count", "whether", count_at_edge=of_count["at_edge"]),
        variables("reduced seed round", "units of the loss", excess=falls[:, 0]),
        variables("reduced round", "exchanges", exchanges_of_round=falls_exchanges),
        variables("noisy radius seed saddle_round", "|x_0|", distance=ways),
        variables("noisy saddle_round", "exchanges", exchanges_at_saddle=ways_exchanges),
        variables("estimator walk part", "squared error over the prediction", **sweep(errors, estimators)),
        variables(f"{by_split} digits_seed spent", "mean cross-entropy", digits_loss=of_digits["loss"]),
        variables(f"{by_split} digits_seed spent", "share of rows", digits_accuracy=of_digits["accuracy"]),
        variables(by_split, "whether", digits_at_edge=of_digits["at_edge"]),
        seed=seed,
        most_exchanges=most_exchanges,
        growth_per_round=GROWTH_PER_ROUND,
        walk_steps=walk_steps,
    )


def equally_long(results: list[Paths]) -> tuple[np.ndarray, np.ndarray]:
    """(method, ...): what was seen and its exchanges, cut to the rounds of the shortest."""
    rounds = min(len(result.exchanges) for result in results)
    seen = np.stack([result.seen[..., :rounds] for result in results])
    return seen, np.stack([result.exchanges[:rounds] for result in results])


# ---- draw

STYLES = {
    "FLEDGE": (OKABE_ITO[0], "o"),
    "BVR-L-SGD": (OKABE_ITO[1], "s"),
    "BVR-L-PSGD": (OKABE_ITO[1], "s"),
    "MimeSGD": (OKABE_ITO[2], "D"),
    "SCAFFOLD": (OKABE_ITO[3], "v"),
    "FedAvg": (OKABE_ITO[4], "^"),
    "minibatch SARAH": (OKABE_ITO[5], "P"),
    "minibatch SGD": (GREY, "x"),
    "SLEDGE": (OKABE_ITO[0], "o-"),
    "SAGA": (OKABE_ITO[2], "^-"),
    "STORM": (OKABE_ITO[4], "D-"),
    "SARAH": (OKABE_ITO[5], "P-"),
}
"""Colour and marker of each method and estimator."""


def draw(data: xarray.Dataset) -> Figure:
    parts = [draw_exchanges, draw_participants, draw_decay, draw_saddle, draw_errors]
    parts += [partial(draw_digits, concentration=float(q)) for q in data.concentration.values]
    rows = math.ceil(len(parts) / 3)
    figure = panels(data, (14.0, 4.2 * rows), rows, *parts)
    shared_legend(figure, figure.axes[0])
    return figure


def draw_exchanges(axes: Axes, data: xarray.Dataset) -> None:
    """Means and spreads over seeds; hollow along the top where a seed did not arrive."""
    places, lost = np.arange(data.sizes["zeta"])[::-1], float(data.attrs["most_exchanges"])
    names = [name for name in STYLES if name in data.algorithm.values]
    for k, name in enumerate(names):
        colour, marker = STYLES[name]
        row = data.exchanges.sel(algorithm=name).values
        there, x = np.isfinite(row).all(axis=1), places + (k - len(names) / 2) * 0.06
        points(axes, x[there], (row[there].mean(axis=1), row[there].std(axis=1, ddof=1)), (colour, f"{marker}-"), name)
        axes.plot(x[~there], np.full((~there).sum(), lost), marker, color=colour, markerfacecolor="none")
    level(axes, lost, "not within these", GREY, linestyle="--")
    axes.set_xticks(places, [f"{z:g}" for z in data.zeta.values])
    axes.set(yscale="log", ylim=(10, lost * 1.5), xlabel=r"Hessian heterogeneity $\zeta$")
    axes.set(ylabel="exchanges to the tolerance", title=f"Exchanges to |grad f| ≤ {TOLERANCE:g}")


def draw_participants(axes: Axes, data: xarray.Dataset) -> None:
    counts = data["count"].values
    for name, style in (("vectors", (OKABE_ITO[0], "o-")), ("exchanges", (GREY, "s-"))):
        values = data[f"{name}_of_count"].values
        points(axes, counts, (values.mean(axis=1), values.std(axis=1, ddof=1)), style)
        annotate(axes, name, counts[0], values[0].mean(), style[0], (8, 6))
    axes.axvline(CLIENTS**0.5, color=INK, linewidth=0.9)
    axes.text(CLIENTS**0.5 * 1.05, 0.96, r"$\sqrt{P}$", transform=axes.get_xaxis_transform(), va="top")
    axes.set(yscale="log", xlabel="clients an anchor $p$", ylabel="to the tolerance")
    axes.set_title(r"FLEDGE at $\zeta$ = 1: how many to ask")
    ticks(axes, counts)


def draw_decay(axes: Axes, data: xarray.Dataset) -> None:
    for name in data.reduced.values:
        row, colour = data.sel(reduced=name), STYLES[name][0]
        axes.plot(row.exchanges_of_round, row.excess.T, color=colour, linewidth=0.9)
        annotate(axes, name, row.exchanges_of_round[-1], row.excess[:, -10:].max(), colour, (-4, 14))
    axes.set(yscale="log", xlabel="exchanges", ylabel=r"$f - \min f$", title="Exponential convergence under PL")


def draw_saddle(axes: Axes, data: xarray.Dataset) -> None:
    for name in data.noisy.values:
        for radius, line in zip(RADII[1:], ("--", "-"), strict=True):
            row, colour = data.sel(noisy=name, radius=radius), STYLES[name][0]
            lines = axes.plot(row.exchanges_at_saddle, row.distance.T, color=colour, linestyle=line, linewidth=0.9)
            lines[0].set_label(f"{name}, r = {radius:.0e}")
    x = np.array([10.0, 110.0])
    axes.plot(x, 3e-6 * np.exp(GROWTH_PER_ROUND / 2 * (x - x[0])), color=INK, linewidth=2, label="rate as predicted")
    note(axes, "r = 0: exactly 0 throughout", 0.97, 0.1)
    axes.set(yscale="log", ylim=(1e-8, 2), xlim=(0, 300), xlabel="exchanges", title="Leaving a saddle point")
    axes.set_ylabel("distance from the saddle $|x_0|$")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.15), fontsize=8)


def draw_errors(axes: Axes, data: xarray.Dataset) -> None:
    x = (np.arange(PARTS) + 0.5) * data.attrs["walk_steps"] / PARTS
    for name in data.estimator.values:
        mean, error = mean_and_error(data.error.sel(estimator=name).values)
        points(axes, x, (mean, error), STYLES[name], linewidth=0.8)
        annotate(axes, name, x[-1], mean[-1], STYLES[name][0], (0, 7), ha="right")
    level(axes, 1, r"$\zeta^2\, step^2\, n / 2b^2$")
    axes.set(yscale="log", xlabel="steps without a full gradient", ylabel="squared error over the prediction")
    axes.set_title("What estimators do when never refreshed")


def draw_digits(axes: Axes, data: xarray.Dataset, concentration: float) -> None:
    for name in data.learner.values:
        row, (colour, marker) = data.digits_accuracy.sel(learner=name, concentration=concentration), STYLES[name]
        axes.plot(data.spent, row.mean("digits_seed"), marker, linestyle="-", color=colour, markevery=5, markersize=4)
    axes.set(xlabel="exchanges", ylim=(0, 1.02), ylabel="accuracy on rows held out")
    axes.set_title(f"Digits, q = {concentration:g}")


# ---- judge

ZETA = 0.25  # where clients resemble each other and the targets are set
TARGETS = {"FLEDGE": 80, "BVR-L-SGD": 60}
NEVER = ("FedAvg", "SCAFFOLD", "minibatch SGD")
FLAT = 0.1  # of SLEDGE's error, around the prediction and between parts of the walk
SARAH_EXCHANGES = 400.0  # exchanges that minibatch SARAH is expected to take, within 100
PAPERS = "Murata and Suzuki; Oko et al."
STRAIGHT = 0.98  # least R^2 of log(f - min f) against exchanges


def judge(data: xarray.Dataset) -> Verdict:
    """All parts but the digits, which are reported."""
    parts = judge_reach, judge_participants, judge_decay, judge_saddle, judge_errors
    return Verdict.of([*(part(data) for part in parts), Verdict([], digits_numbers(data))])


def digits_numbers(data: xarray.Dataset) -> dict[str, float]:
    final, numbers = data.isel(spent=-1).mean("digits_seed"), {}
    for name, q in itertools.product(data.learner.values, data.concentration.values):
        row = final.sel(learner=name, concentration=q)
        numbers[f"digits, q = {q:g}: accuracy of {name}"] = float(row.digits_accuracy)
        numbers[f"digits, q = {q:g}: loss of {name}"] = float(row.digits_loss)
    return numbers


def judge_reach(data: xarray.Dataset) -> Verdict:
    """Who comes there and in how many exchanges; where one seed does not, nothing holds."""
    arrived, mean = np.isfinite(data.exchanges).all("seed"), data.exchanges.mean("seed", skipna=False)
    never, near = [name for name in NEVER if name in data.algorithm.values], data.sel(zeta=ZETA)
    checks = []
    for name, most in TARGETS.items():
        measured, source = mean_and_error(near.exchanges.sel(algorithm=name).values), "our aim; O(zeta) in both papers"
        checks.append(Check.at_most(f"exchanges of {name}, zeta = {ZETA:g}", source, measured, most, unit="exchanges"))
    statement = f"heterogeneities at which {' or '.join(TARGETS)} does not arrive"
    checks.append(Check.at_most(statement, f"{PAPERS}: any zeta", (~arrived.sel(algorithm=list(TARGETS))).sum(), 0))
    statement = f"heterogeneities at which {' or '.join(never)} arrives"
    checks.append(Check.at_most(statement, "noise of local steps", arrived.sel(algorithm=never).sum(), 0))
    edges = (data.at_edge.astype(bool) & arrived).sum() + data.count_at_edge.sum()
    checks.append(Check.at_most("best step sizes at the edge of the grid, of those that arrive", "our aim", edges, 0))

    sarah, fledge = mean.sel(algorithm="minibatch SARAH").values, mean.sel(algorithm="FLEDGE")
    far = sarah[np.argmax(np.where(np.isnan(sarah), np.inf, np.abs(sarah - SARAH_EXCHANGES)))]
    statement, most = "exchanges of minibatch SARAH at any zeta, the farthest", float(data.zeta.max())
    source = "no zeta in its rate; the number is our aim"
    checks.append(Check.equals(statement, source, far, SARAH_EXCHANGES, 100.0, "exchanges"))
    statement = f"FLEDGE's exchanges at zeta = {most:g}, in units of those at {ZETA:g}"
    ratio = fledge.sel(zeta=most) / fledge.sel(zeta=ZETA)
    checks.append(Check.at_least(statement, "our aim: they grow with zeta", ratio, 1.5))
    statement = "BVR-L-SGD's exchanges in units of minibatch SARAH's, largest of all zeta"
    worst = np.max(mean.sel(algorithm="BVR-L-SGD").values / sarah)  # nan where one does not arrive
    checks.append(Check.at_most(statement, "our aim", worst, 0.5))

    numbers = {f"least |grad f| of {name}, zeta = {ZETA:g}": near.floor.sel(algorithm=name).item() for name in never}
    for name in data.algorithm.values[arrived.sel(zeta=ZETA)]:
        for quantity in ("vectors",) if name in TARGETS else ("exchanges", "vectors"):
            measured = mean_and_error(near[quantity].sel(algorithm=name).values)
            numbers[f"{quantity} of {name}, zeta = {ZETA:g}"] = measured
    return Verdict(checks, numbers)


def judge_participants(data: xarray.Dataset) -> Verdict:
    counts, (mean, error) = data["count"].values, mean_and_error(data.vectors_of_count, "seed")
    best, root = int(np.argmin(np.where(np.isfinite(mean), mean, np.inf))), CLIENTS**0.5
    inner = np.isfinite(mean).all() and 0 < best < len(counts) - 1
    off = max(counts[best] / root, root / counts[best]) if inner else np.inf
    statement = f"factor between the best number of clients, {counts[best]}, and sqrt(P) = {root:.1f}"
    check = Check.at_most(statement, "Oko et al.: p = sqrt(P)", off, 1.0, 1.5)
    measured = zip(counts, zip(mean, error, strict=True), strict=True)
    return Verdict([check], {f"vectors of FLEDGE with {count} clients an anchor": pair for count, pair in measured})


def judge_decay(data: xarray.Dataset) -> Verdict:
    straight, least, numbers = [], [], {}
    for name in data.reduced.values:
        row = data.sel(reduced=name)
        x, y = row.exchanges_of_round.values, np.log10(np.maximum(row.excess.values, 1e-300)).mean(axis=0)
        used = y > -26  # above rounding
        slope, offset = np.polyfit(x[used], y[used], 1)
        straight.append(1 - (y[used] - slope * x[used] - offset).var() / y[used].var())
        least.append(y.min())
        numbers[f"exchanges of {name} by which f - min f falls tenfold"] = -1 / slope
    statement, source = "explained part of log(f - min f) by a straight line in exchanges", "linear rate under PL"
    line = Check.at_least(statement, f"{PAPERS}: {source}", np.min(straight), 1.0, 1 - STRAIGHT)
    depth = Check.at_most("power of ten that f - min f falls to", "our aim", np.max(least), -9.0)
    return Verdict([line, depth], numbers)


def judge_saddle(data: xarray.Dataset) -> Verdict:
    """Times from the smaller to the larger radius differ by log(ratio) over the rate; nan where one does not leave."""
    most, radii = np.abs(data.distance.sel(radius=0.0)).max(skipna=False), np.array(RADII[1:])
    predicted = 2 * np.log(radii.max() / radii.min()) / data.attrs["growth_per_round"]
    statement, source = "largest distance from the saddle without noise", "exact: gradients vanish along the way out"
    checks, numbers = [Check.at_most(statement, source, most, 0.0)], {}
    for name in data.noisy.values:
        row = data.sel(noisy=name)
        out = row.distance.sel(radius=radii).values >= OUT
        times = np.where(out.any(axis=2), row.exchanges_at_saddle.values[out.argmax(axis=2)], np.nan)
        statement = f"{name}: exchanges by which a noise of {radii[0]:.0e} leaves later than {radii[1]:.0e}"
        later = mean_and_error(times[0] - times[1])
        checks.append(Check.equals(statement, "exact rate of growth", later, predicted, 0.3 * predicted, "exchanges"))
        for radius, of_radius in zip(radii, times, strict=True):
            numbers[f"exchanges until {name} leaves, noise {radius:.0e}"] = mean_and_error(of_radius)
    return Verdict(checks, numbers)


def judge_errors(data: xarray.Dataset) -> Verdict:
    """After the first part, in which it grows to what it stays at."""
    rest, sledge = data.error.isel(part=slice(1, None)), data.error.sel(estimator="SLEDGE").values[:, 1:]
    mean = {name: float(rest.sel(estimator=name).mean()) for name in data.estimator.values}
    per_part = sledge.mean(axis=0)
    far = int(np.argmax(np.abs(per_part - 1)))
    statement, source = "SLEDGE's squared error over its prediction, the farthest part of the walk", "exact law"
    source = f"{source}: zeta^2 step^2 n / (2 b^2)"
    checks = [Check.equals(statement, source, mean_and_error(sledge[:, far]), 1.0, FLAT)]
    sarah = data.error.sel(estimator="SARAH").mean("walk").values
    statement = "SARAH's squared error at the end of the walk, in units of its start"
    checks.append(Check.at_least(statement, "never refreshed, it adds up", sarah[-1] / sarah[0], 2.0))
    others = [name for name in mean if name != "SLEDGE"]
    statement = "least squared error of other estimators, in units of SLEDGE's"
    least = min(mean[name] for name in others)
    checks.append(Check.at_least(statement, "our aim", least / mean["SLEDGE"], 1.4))
    numbers = {f"squared error of {name} over SLEDGE's prediction": mean[name] for name in others}
    measured = {"squared error of SLEDGE over its prediction": mean_and_error(sledge.mean(axis=1))}
    return Verdict(checks, measured | numbers)


CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
