"""Federated methods that reduce variance between clients need few exchanges where clients are alike.

Claim: Where Hessians of the P clients differ by little, zeta, methods that reduce variance between clients (BVR-L-SGD,
FLEDGE) need few exchanges, exactly and without full participation; they leave saddle points with a little noise, and
SLEDGE's error stays bounded without ever computing a full gradient again.

Formula:
    |hess f_i - hess f_j| <= zeta   =>   |grad f| <= epsilon after O(zeta / epsilon^2) exchanges

Source: Murata and Suzuki, ICML 2021 and NeurIPS 2022 (BVR-L-SGD, BVR-L-PSGD); Oko, Akiyama, Murata, Suzuki, 2022
(SLEDGE, FLEDGE) and ICML 2024 (SILVER)

Figure: Exchanges of FLEDGE fall with zeta while minibatch SARAH's stay, and hollow marks at the top never arrive; f
falls along straight lines; without noise nothing leaves the saddle, with it |x_0| grows at the rate predicted; SLEDGE's
error stays on the line while SARAH's grows.

All methods are tuned alike: one number, the step size, on one grid of powers of two, with the same P clients, K local
steps and b rows. The five parts are: exchanges until |grad f| <= tolerance, against zeta; vectors of FLEDGE until then,
against p clients an anchor, fewest near p = sqrt(P); f - min f under the Polyak-Lojasiewicz condition, in double
precision; the saddle of x_0^4 / 4 - gamma x_0^2 / 2 + 1/2 sum_{k > 0} x_k^2, where no client's gradient has a part
along x_0 at x_0 = 0, so that only noise leads away; and errors of estimators that are never refreshed, on components
with the Hessians +-zeta I, where SLEDGE's squared error settles at zeta^2 step^2 n / (2 b^2).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jax import lax, random
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes

from claims import Check, Claim, Findings, Size, dataset, sweep, variables
from drawing import level, note, panels, points
from estimates import mean_and_error
from langevax import Run, federated, gradients
from langevax.figures.theme import GREY, INK, OKABE_ITO
from langevax.keys import unrolled
from langevax.problems.federation import Federation
from langevax.problems.finite_sum import FiniteSum
from langevax.run import DivergenceError, simulate

Maker = Callable[[float], federated.Federated]
CLIENTS, BATCH, PARTICIPANTS = 20, 4, 5
LOCAL: dict[str, Any] = {"num_local_steps": 16, "batch_size": BATCH}
CHUNK = 50  # rounds between two looks at who has arrived

# ---- a federation of which everything is known, with a parameter for each kind of difference between clients


class WavyLoss(eqx.Module):
    """The loss of one row (slopes, curvatures), with the scales s; f and its gradient in closed form."""

    scales: Float[Array, " d"]

    def __call__(
        self, x: Float[Array, " d"], row: tuple[Float[Array, " d"], Float[Array, " d"]]
    ) -> Float[Array, ""]:
        slopes, curvatures = row
        return self.mean(x) + jnp.sum(curvatures * x**2 / 2 + slopes * x)

    def mean(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch"]:
        return jnp.sum(self.scales * (x**2 + 3 * jnp.sin(x) ** 2), axis=-1)

    def mean_gradient(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        return self.scales * (2 * x + 3 * jnp.sin(2 * x))


def balanced_signs(
    random: np.random.Generator, shape: tuple[int, ...], axis: int = 0
) -> np.ndarray:
    """+-1, as many of one as of the other along an axis of even length."""
    signs = np.repeat([1.0, -1.0], shape[axis] // 2).reshape(
        [-1 if k == axis else 1 for k in range(len(shape))]
    )
    return random.permuted(np.broadcast_to(signs, shape), axis=axis)


def opposite_directions(
    random: np.random.Generator, number: int, dim: int, first: int = 0
) -> np.ndarray:
    """(number, dim) of unit length that add up to 0 in pairs; coordinates before `first` are 0."""
    half = random.normal(size=(number // 2, dim)) * (np.arange(dim) >= first)
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    return np.concatenate([half, -half])


def dialled_federation(
    num_clients: int = 20,
    rows: int = 32,
    dim: int = 10,
    hessian_heterogeneity: float = 1.0,
    gradient_heterogeneity: float = 2.0,
    row_heterogeneity: float = 1.0,
    condition: float = 1.0,
    *,
    seed: int,
) -> Federation:
    """Clients that differ in their Hessians by zeta and in their gradients at the optimum by sigma, independently.

        loss(x, (c, h)) = sum_k s_k [ x_k^2 + 3 sin(x_k)^2 ] + 1/2 <x, h x> + <c, x>

    The sum of s (x^2 + 3 sin(x)^2) is not convex (curvatures from -4 s to 8 s) but has one critical point, the minimum
    0 at x = 0, and satisfies the Polyak-Lojasiewicz condition (Karimi, Nutini, Schmidt 2016). Curvatures h and slopes c
    are a client's plus those of a row in it, and all add up to 0: the mean f is that sum whatever the parameters.

    zeta is the largest |hess f_i - hess f_j|, as client curvatures are +-zeta / 2 in each coordinate, sigma that of all
    |gradient f_i(0)|; rows within a client differ in curvature by twice `row_heterogeneity` and in slope from the
    client's by 1; s falls from 1 to 1 / condition over coordinates. Raises ValueError for odd numbers.
    """
    if num_clients % 2 or rows % 2:
        raise ValueError(
            f"num_clients and rows must be even, got {num_clients} and {rows}."
        )
    random = np.random.default_rng(seed)
    curvatures = (
        hessian_heterogeneity / 2 * balanced_signs(random, (num_clients, dim))[:, None]
    )
    slopes = (
        gradient_heterogeneity * opposite_directions(random, num_clients, dim)[:, None]
    )
    of_row = [
        (balanced_signs(random, (rows, dim)), opposite_directions(random, rows, dim))
        for _ in range(num_clients)
    ]
    signs, directions = (np.stack(part) for part in zip(*of_row, strict=True))
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    data = (
        (slopes + directions).astype(dtype),
        (curvatures + row_heterogeneity * signs).astype(dtype),
    )
    return Federation(
        WavyLoss(jnp.asarray(float(condition) ** -np.linspace(0, 1, dim), dtype)), data
    )


# ---- to a tolerance, and to the minimum

ROWS, DIM, CONDITION, TOLERANCE = 128, 10, 50.0, 1e-3
STEP_SIZES = 2.0 ** -np.arange(1, 12)
COUNTS_ZETA, COUNTS_EXCHANGES = 1.0, 2000
DECAY_STEPS = {"FLEDGE": 0.0625, "BVR-L-SGD": 0.125}
MAKERS: dict[
    str, Maker
] = {  # by step size; those without local steps take as many rows at once
    "FLEDGE": lambda h: federated.FLEDGE(h, 16, BATCH, PARTICIPANTS),
    "BVR-L-SGD": lambda h: federated.BVRLSGD(step_size=h, **LOCAL),
    "MimeSGD": lambda h: federated.MimeSGD(h, 16, BATCH),
    "SCAFFOLD": lambda h: federated.SCAFFOLD(step_size=h, **LOCAL),
    "FedAvg": lambda h: federated.FedAvg(step_size=h, **LOCAL),
    "minibatch SARAH": lambda h: federated.MinibatchSARAH(
        step_size=h, batch_size=16 * BATCH
    ),
    "minibatch SGD": lambda h: federated.MinibatchSGD(h, 16 * BATCH),
}


class Paths(NamedTuple):
    """Records after every round, (seed, round), and the costs until then, (round,)."""

    seen: np.ndarray
    exchanges: np.ndarray
    vectors: np.ndarray

    def first(self, cost: np.ndarray) -> np.ndarray:
        """The cost at which each seed was first within the tolerance; infinite where it was not."""
        costs = np.where(self.seen <= TOLERANCE, cost.astype(float), np.inf)
        return costs.min(
            axis=1, initial=np.inf
        )  # a run that diverges at once has no rounds


def paths(
    method: federated.Federated,
    federation: Federation,
    start: Array,
    see: Any,
    runs: tuple[int, int, int],
    best: Any = 0,
) -> Paths:
    """`see` of the positions of `runs`, (seeds, exchanges, seed), until exchanges are used up.

    They also end where the method diverges, and at the tolerance or where its mean cost cannot be below `best`.
    """
    num_seeds, most, seed = runs

    def of(trace: Any) -> Paths:
        within = trace.info["exchanges"][0] <= most
        return Paths(
            see(trace.values)[:, within],
            *(trace.info[name][0, within] for name in ("exchanges", "vectors")),
        )

    def ended(trace: Any, state: Any) -> bool:
        spent, first = (
            int(trace.info["exchanges"][0, -1]),
            of(trace).first(of(trace).exchanges),
        )
        return bool(
            spent >= most
            or (
                best
                and (
                    np.isfinite(first).all() or np.minimum(first, spent).mean() >= best
                )
            )
        )

    options: Any = {
        "num_steps": most,
        "num_chains": num_seeds,
        "record_every": 1,
        "run": Run(progress=False),
    }
    options |= {"callbacks": (ended,), "callback_every": CHUNK}
    try:
        return of(
            simulate(method, federation, start, key=random.key(seed), **options).trace
        )
    except DivergenceError as error:
        return of(error.result.trace)


def reach(make: Maker, zeta: float, runs: tuple[int, int, int]) -> dict[str, Any]:
    """Exchanges and vectors of each seed to the tolerance at the step size with the least mean of exchanges.

    They are nan where a seed does not arrive.
    """
    federation: Any = dialled_federation(
        CLIENTS, ROWS, DIM, zeta, condition=CONDITION, seed=runs[2]
    )
    start, costs = (
        jnp.full(DIM, 2.0, jnp.float32),
        np.full((len(STEP_SIZES), 2, runs[0]), np.inf),
    )

    def gradient_norm(x: np.ndarray) -> np.ndarray:
        return np.asarray(jnp.linalg.norm(federation.loss.mean_gradient(x), axis=-1))

    for k, step_size in enumerate(STEP_SIZES.tolist()):
        run = paths(
            make(step_size),
            federation,
            start,
            gradient_norm,
            runs,
            costs[:, 0].mean(axis=1).min(),
        )
        costs[k] = run.first(run.exchanges), run.first(run.vectors)
    best = int(np.argmin(costs[:, 0].mean(axis=1)))
    exchanges, vectors = np.where(np.isfinite(costs[best]), costs[best], np.nan)
    at_edge = bool(np.isfinite(exchanges).all()) and best in (0, len(STEP_SIZES) - 1)
    return {"exchanges": exchanges, "vectors": vectors, "at_edge": at_edge}


# ---- the saddle

GAMMA, SADDLE_ROWS, SADDLE_STEP_SIZE, SADDLE_HETEROGENEITY = 0.5, 32, 0.02, 0.2
RADII = (0.0, 1e-6, 1e-3)
OUT = 0.5 * GAMMA**0.5  # of the way to the minimum, at x_0 = sqrt(gamma)
SADDLE_EXCHANGES = 800
GROWTH_PER_ROUND = 16 * float(
    np.log1p(SADDLE_STEP_SIZE * GAMMA)
)  # log |x_0| while it is small
SADDLE_METHODS: dict[str, Maker] = {  # by the radius of the noise
    "FLEDGE": lambda radius: federated.FLEDGE(
        SADDLE_STEP_SIZE, 16, BATCH, PARTICIPANTS, radius=radius
    ),
    "BVR-L-PSGD": lambda radius: federated.BVRLPSGD(
        step_size=SADDLE_STEP_SIZE, **LOCAL, radius=radius
    ),
}


def saddle_loss(x: Float[Array, " d"], row: tuple[Array, Array]) -> Float[Array, ""]:
    """Of one row (slopes, curvatures)."""
    slopes, curvatures = row
    bowl = x[0] ** 4 / 4 - GAMMA * x[0] ** 2 / 2 + jnp.sum(x[1:] ** 2) / 2
    return bowl + jnp.sum(slopes * x + curvatures * x**2 / 2)


def saddle_federation(seed: int) -> Federation:
    """Clients' Hessians differ by the heterogeneity, their gradients at 0 by 2; both cancel in the mean."""
    rng = np.random.default_rng(seed)
    signs, directions = (
        balanced_signs(rng, (CLIENTS, DIM)),
        opposite_directions(rng, CLIENTS, DIM, first=1),
    )
    rows = balanced_signs(rng, (CLIENTS, SADDLE_ROWS, DIM), axis=1)
    slopes = directions[:, None] + np.where(np.arange(DIM) > 0, rows, 0)
    curvatures = SADDLE_HETEROGENEITY / 2 * (signs[:, None] + rows)
    return Federation(
        saddle_loss, (slopes.astype(np.float32), curvatures.astype(np.float32))
    )


# ---- estimators that are never refreshed

COMPONENTS, WALK_BATCH, WALK_STEP, WALK_DIM = 256, 4, 0.01, 4
PREDICTED = (
    WALK_STEP**2 * COMPONENTS / (2 * WALK_BATCH**2)
)  # of the squared error of SLEDGE; zeta = 1
WALKS, PARTS = 16, 8  # parts of a walk
ESTIMATORS: dict[str, gradients.GradientEstimator] = {
    "SLEDGE": gradients.SLEDGE(WALK_BATCH, "components"),
    "SARAH": gradients.SARAH(WALK_BATCH, 10**9),
    "STORM": gradients.STORM(WALK_BATCH, WALK_BATCH / COMPONENTS),
}


def estimator_errors(name: str, num_steps: int, seed: int) -> np.ndarray:
    """(walk, part): mean squared error over PREDICTED. Half of the components curve up, half down, and the mean not."""
    rng = np.random.default_rng(seed)
    signs = rng.permutation(np.resize([-1.0, 1.0], COMPONENTS)).astype(np.float32)
    rows = (
        signs,
        rng.normal(size=(COMPONENTS, WALK_DIM)).astype(np.float32),
    )  # curvatures and slopes
    problem = FiniteSum(lambda x, row: row[0] * jnp.sum(x**2) / 2 + row[1] @ x, rows)
    walks = jax.vmap(partial(squared_errors, ESTIMATORS[name], problem, num_steps))
    squared = walks(random.split(random.key(seed), WALKS))
    return (
        np.asarray(squared, np.float64).reshape(WALKS, PARTS, -1).mean(axis=2)
        / PREDICTED
    )


@eqx.filter_jit
def squared_errors(
    estimator: gradients.GradientEstimator,
    problem: FiniteSum,
    num_steps: int,
    key: Key[Array, ""],
) -> Float[Array, " steps"]:
    """Of the estimator along a random walk with steps of one length."""
    key, mean_slope = (
        unrolled(key),
        jnp.mean(problem.data[1], axis=0),
    )  # the gradient everywhere

    def body(carry: Any, number: Any) -> Any:
        x, state = carry
        batch_key, walk_key = random.split(random.fold_in(key, number))
        v, state, _ = estimator.estimate(problem, x, state, batch_key, number)
        direction = random.normal(walk_key, x.shape, x.dtype)
        return (x + WALK_STEP * direction / jnp.linalg.norm(direction), state), jnp.sum(
            (v - mean_slope) ** 2
        )

    x = jnp.zeros_like(mean_slope)
    start = x, estimator.init(problem, x)[0]
    return lax.scan(body, start, jnp.arange(num_steps, dtype=jnp.int32))[1]


SIZES: dict[Size, tuple[tuple[float, ...], tuple[int, ...], tuple[int, ...]]] = {
    "full": ((4.0, 2.0, 1.0, 0.5, 0.25, 0.0), (1, 2, 5, 10, 20), (6, 800, 400, 40_000)),
    "small": ((2.0, 0.25), (1, 5, 20), (3, 450, 250, 4000)),
}
"""Zetas, clients an anchor, and lengths: seeds, exchanges to the tolerance and of the decay, steps of a walk."""
SMALL = (
    "FedAvg",
    "minibatch SARAH",
    "BVR-L-SGD",
    "FLEDGE",
    "SLEDGE",
    "SARAH",
)  # what is measured at the small size


def measure(size: Size, seed: int) -> xarray.Dataset:
    zetas, counts, (num_seeds, most_exchanges, decay_exchanges, walk_steps) = SIZES[
        size
    ]
    few = size == "small"
    algorithms, estimators = (
        [name for name in names if not few or name in SMALL]
        for names in (MAKERS, ESTIMATORS)
    )
    reduced, noisy = (
        list(names)[: 1 if few else None] for names in (DECAY_STEPS, SADDLE_METHODS)
    )

    def exchanges(name: str, zeta: float) -> dict[str, Any]:
        return reach(MAKERS[name], zeta, (num_seeds, most_exchanges, seed))

    def participants(count: int) -> dict[str, Any]:
        return reach(
            lambda h: federated.FLEDGE(h, 16, BATCH, count),
            COUNTS_ZETA,
            (num_seeds, COUNTS_EXCHANGES, seed),
        )

    def cut(path: Paths, most: int) -> dict[str, np.ndarray]:
        """Of one length for all methods, which have two exchanges a round, and none or one at the start."""
        return {
            "seen": path.seen[:, : (most - 1) // 2],
            "exchanges": path.exchanges[: (most - 1) // 2],
        }

    def decay(name: str) -> dict[str, np.ndarray]:
        with jax.enable_x64():
            federation: Any = dialled_federation(
                CLIENTS, ROWS, DIM, COUNTS_ZETA, condition=CONDITION, seed=seed
            )
            method, runs = (
                MAKERS[name](DECAY_STEPS[name]),
                (num_seeds, decay_exchanges, seed),
            )
            start = jnp.full(DIM, 2.0, jnp.float64)
            return cut(
                paths(method, federation, start, federation.loss.mean, runs),
                decay_exchanges,
            )

    def escape(name: str, radius: float) -> dict[str, np.ndarray]:
        start, runs = (
            jnp.ones(DIM, jnp.float32).at[0].set(0),
            (num_seeds, SADDLE_EXCHANGES, seed),
        )
        method, federation = SADDLE_METHODS[name](radius), saddle_federation(seed)
        return cut(
            paths(method, federation, start, lambda x: np.abs(x[..., 0]), runs),
            SADDLE_EXCHANGES,
        )

    of_zeta, of_count = sweep(exchanges, algorithms, zetas), sweep(participants, counts)
    errors = sweep(
        lambda name: {"error": estimator_errors(name, walk_steps, seed)}, estimators
    )
    falls, ways = sweep(decay, reduced), sweep(escape, noisy, RADII)
    return dataset(
        {
            "algorithm": algorithms,
            "zeta": (zetas, "curvature"),
            "count": (counts, "clients"),
            "reduced": reduced,
        }
        | {"noisy": noisy, "radius": (RADII, "|x|"), "estimator": estimators},
        variables("algorithm zeta seed", "exchanges", exchanges=of_zeta["exchanges"]),
        variables(
            "algorithm zeta seed",
            "vectors of the model's size",
            vectors=of_zeta["vectors"],
        ),
        variables("algorithm zeta", "whether", at_edge=of_zeta["at_edge"]),
        variables(
            "count seed",
            "vectors of the model's size",
            vectors_of_count=of_count["vectors"],
        ),
        variables("count", "whether", count_at_edge=of_count["at_edge"]),
        variables("reduced seed round", "units of the loss", excess=falls["seen"]),
        variables("reduced round", "exchanges", exchanges_of_round=falls["exchanges"]),
        variables("noisy radius seed saddle_round", "|x_0|", distance=ways["seen"]),
        variables(
            "noisy saddle_round",
            "exchanges",
            exchanges_at_saddle=ways["exchanges"][:, 0],
        ),
        variables("estimator walk part", "squared error over the prediction", **errors),
        seed=seed,
        most_exchanges=most_exchanges,
        growth_per_round=GROWTH_PER_ROUND,
        walk_steps=walk_steps,
    )


STYLES = dict(
    zip(MAKERS, zip((*OKABE_ITO[:6], GREY), "osDv^Px", strict=True), strict=True)
)
STYLES["BVR-L-PSGD"] = STYLES["BVR-L-SGD"]


def draw_exchanges(axes: Axes, data: xarray.Dataset) -> None:
    """Means and spreads over seeds; hollow along the top where a seed did not arrive."""
    places, lost = (
        np.arange(data.sizes["zeta"])[::-1],
        float(data.attrs["most_exchanges"]),
    )
    for k, name in enumerate(data.algorithm.values):
        colour, marker = STYLES[name]
        row = data.exchanges.sel(algorithm=name).values
        there, x = (
            np.isfinite(row).all(axis=1),
            places + (k - data.sizes["algorithm"] / 2) * 0.06,
        )
        points(
            axes,
            x[there],
            (row[there].mean(axis=1), row[there].std(axis=1, ddof=1)),
            (colour, f"{marker}-"),
            name,
        )
        axes.plot(
            x[~there],
            np.full((~there).sum(), lost),
            marker,
            color=colour,
            markerfacecolor="none",
        )
    level(axes, lost, "not within these", GREY, linestyle="--")
    axes.set_xticks(places, [f"{z:g}" for z in data.zeta.values])
    axes.set(
        yscale="log", ylim=(10, lost * 1.5), xlabel=r"Hessian heterogeneity $\zeta$"
    )
    axes.set(
        ylabel="exchanges to the tolerance",
        title=f"Exchanges to |grad f| ≤ {TOLERANCE:g}",
    )


def draw_decay(axes: Axes, data: xarray.Dataset) -> None:
    for name in data.reduced.values:
        row = data.sel(reduced=name)
        axes.plot(
            row.exchanges_of_round, row.excess.T, color=STYLES[name][0], linewidth=0.9
        )
    axes.set(
        yscale="log",
        xlabel="exchanges",
        ylabel=r"$f - \min f$",
        title="Exponential convergence under PL",
    )


def draw_saddle(axes: Axes, data: xarray.Dataset) -> None:
    for name in data.noisy.values:
        for radius, line in zip(RADII[1:], ("--", "-"), strict=True):
            row, colour = data.sel(noisy=name, radius=radius), STYLES[name][0]
            lines = axes.plot(
                row.exchanges_at_saddle,
                row.distance.T,
                color=colour,
                linestyle=line,
                linewidth=0.9,
            )
            lines[0].set_label(f"{name}, r = {radius:.0e}")
    x = np.array([10.0, 110.0])
    axes.plot(
        x,
        3e-6 * np.exp(GROWTH_PER_ROUND / 2 * (x - x[0])),
        color=INK,
        linewidth=2,
        label="rate as predicted",
    )
    note(axes, "r = 0: exactly 0 throughout", 0.97, 0.1)
    axes.set(
        yscale="log",
        ylim=(1e-8, 2),
        xlim=(0, 300),
        xlabel="exchanges",
        title="Leaving a saddle point",
    )
    axes.set_ylabel("distance from the saddle $|x_0|$")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.15), fontsize=8)


def draw_errors(axes: Axes, data: xarray.Dataset) -> None:
    x = (np.arange(PARTS) + 0.5) * data.attrs["walk_steps"] / PARTS
    for name, style in zip(
        data.estimator.values,
        zip(OKABE_ITO, ("o-", "P-", "^-", "D-"), strict=False),
        strict=False,
    ):
        points(
            axes,
            x,
            mean_and_error(data.error.sel(estimator=name)),
            style,
            name,
            linewidth=0.8,
        )
    level(axes, 1, r"$\zeta^2\, step^2\, n / 2b^2$")
    axes.legend()
    axes.set(
        yscale="log",
        xlabel="steps without a full gradient",
        ylabel="squared error over the prediction",
    )
    axes.set_title("What estimators do when never refreshed")


ZETA = 0.25  # where clients resemble each other and the targets are set
TARGETS = {"FLEDGE": 80, "BVR-L-SGD": 60}
NEVER = ("FedAvg", "SCAFFOLD", "minibatch SGD")
PAPERS = "Murata and Suzuki; Oko et al."


def judge(data: xarray.Dataset) -> Findings:
    for part in (
        judge_reach,
        judge_participants,
        judge_decay,
        judge_saddle,
        judge_errors,
    ):
        yield from part(data)


def judge_reach(data: xarray.Dataset) -> Findings:
    """Methods that arrive, and in how many exchanges; where one seed does not, nothing holds."""
    arrived, mean = (
        np.isfinite(data.exchanges).all("seed"),
        data.exchanges.mean("seed", skipna=False),
    )
    never, near = (
        [name for name in NEVER if name in data.algorithm.values],
        data.sel(zeta=ZETA),
    )
    for name, most in TARGETS.items():
        measured, source = (
            mean_and_error(near.exchanges.sel(algorithm=name)),
            "our aim; O(zeta) in both papers",
        )
        yield Check.at_most(
            f"exchanges of {name}, zeta = {ZETA:g}",
            source,
            measured,
            most,
            unit="exchanges",
        )
    statement = f"heterogeneities at which {' or '.join(TARGETS)} does not arrive"
    yield Check.at_most(
        statement,
        f"{PAPERS}: any zeta",
        (~arrived.sel(algorithm=list(TARGETS))).sum(),
        0,
    )
    statement = f"heterogeneities at which {' or '.join(never)} arrives"
    yield Check.at_most(
        statement, "noise of local steps", arrived.sel(algorithm=never).sum(), 0
    )
    edges = data.at_edge.sum() + data.count_at_edge.sum()
    yield Check.at_most(
        "best step sizes at the edge of the grid, of those that arrive",
        "our aim",
        edges,
        0,
    )
    sarah, bvr, fledge = (
        mean.sel(algorithm=name) for name in ("minibatch SARAH", "BVR-L-SGD", "FLEDGE")
    )
    far, source = (
        sarah[abs(sarah - 400).fillna(np.inf).argmax("zeta")],
        "no zeta in its rate; the number is our aim",
    )
    yield Check.equals(
        "exchanges of minibatch SARAH at any zeta, the farthest",
        source,
        far,
        400,
        100,
        "exchanges",
    )
    most = data.zeta.max().item()
    statement = f"FLEDGE's exchanges at zeta = {most:g}, in units of those at {ZETA:g}"
    growth = fledge.sel(zeta=most) / fledge.sel(zeta=ZETA)
    yield Check.at_least(statement, "our aim: they grow with zeta", growth, 1.5)
    statement = (
        "BVR-L-SGD's exchanges in units of minibatch SARAH's, largest of all zeta"
    )
    yield Check.at_most(statement, "our aim", (bvr / sarah).max(skipna=False), 0.5)
    for v in near.vectors.isel(algorithm=arrived.sel(zeta=ZETA).values):
        yield f"vectors of {v.algorithm.item()}, zeta = {ZETA:g}", mean_and_error(v)


def judge_participants(data: xarray.Dataset) -> Findings:
    counts, (mean, error) = (
        data["count"].values,
        mean_and_error(data.vectors_of_count, "seed"),
    )
    best, root = counts[np.argmin(np.nan_to_num(mean, nan=np.inf))], CLIENTS**0.5
    inner = np.isfinite(mean).all() and best not in counts[[0, -1]]
    off = max(best / root, root / best) if inner else np.inf
    statement = (
        f"factor between the best number of clients, {best}, and sqrt(P) = {root:.1f}"
    )
    yield Check.at_most(statement, "Oko et al.: p = sqrt(P)", off, 1.0, 1.5)
    for count, *measured in zip(counts, mean, error, strict=True):
        yield f"vectors of FLEDGE with {count} clients an anchor", tuple(measured)


def judge_decay(data: xarray.Dataset) -> Findings:
    straight, least = [], []
    for name in data.reduced.values:
        row = data.sel(reduced=name)
        x, y = (
            row.exchanges_of_round.values,
            np.log10(np.maximum(row.excess.values, 1e-300)).mean(axis=0),
        )
        used = y > -26  # above rounding
        straight.append(np.corrcoef(x[used], y[used])[0, 1] ** 2)
        least.append(y.min())
        yield (
            f"exchanges of {name} by which f - min f falls tenfold",
            -1 / np.polyfit(x[used], y[used], 1)[0],
        )
    statement, source = (
        "explained part of log(f - min f) by a straight line in exchanges",
        "linear rate under PL",
    )
    yield Check.at_least(statement, f"{PAPERS}: {source}", np.min(straight), 1.0, 0.02)
    yield Check.at_most(
        "power of ten that f - min f falls to", "our aim", np.max(least), -9.0
    )


def judge_saddle(data: xarray.Dataset) -> Findings:
    """Times from the smaller to the larger radius differ by log(ratio) over the rate; nan where one does not leave."""
    most, radii = (
        np.abs(data.distance.sel(radius=0.0)).max(skipna=False),
        np.array(RADII[1:]),
    )
    predicted = 2 * np.log(radii.max() / radii.min()) / data.attrs["growth_per_round"]
    statement, source = (
        "largest distance from the saddle without noise",
        "exact: gradients vanish along the way out",
    )
    yield Check.at_most(statement, source, most, 0.0)
    for name in data.noisy.values:
        row = data.sel(noisy=name)
        out = row.distance.sel(radius=radii).values >= OUT
        times = np.where(
            out.any(axis=2), row.exchanges_at_saddle.values[out.argmax(axis=2)], np.nan
        )
        statement = f"{name}: exchanges by which a noise of {radii[0]:.0e} leaves later than {radii[1]:.0e}"
        later = mean_and_error(times[0] - times[1])
        yield Check.equals(
            statement,
            "exact rate of growth",
            later,
            predicted,
            0.3 * predicted,
            "exchanges",
        )
        for radius, of_radius in zip(radii, times, strict=True):
            yield (
                f"exchanges until {name} leaves, noise {radius:.0e}",
                mean_and_error(of_radius),
            )


def judge_errors(data: xarray.Dataset) -> Findings:
    """After the first part, in which it grows to what it stays at."""
    rest = data.error.isel(part=slice(1, None))
    means, (parts, errors) = (
        rest.mean("part"),
        mean_and_error(rest.sel(estimator="SLEDGE")),
    )
    far = np.argmax(np.abs(parts - 1))
    statement = (
        "SLEDGE's squared error over its prediction, the farthest part of the walk"
    )
    source = "exact law: zeta^2 step^2 n / (2 b^2)"
    yield Check.equals(statement, source, (parts[far], errors[far]), 1.0, 0.1)
    sarah = data.error.sel(estimator="SARAH").mean("walk")
    statement = "SARAH's squared error at the end of the walk, in units of its start"
    yield Check.at_least(
        statement, "never refreshed, it adds up", sarah[-1] / sarah[0], 2.0
    )
    mean = means.mean("walk")
    least = mean.drop_sel(estimator="SLEDGE").min() / mean.sel(estimator="SLEDGE")
    yield Check.at_least(
        "least squared error of other estimators, in units of SLEDGE's",
        "our aim",
        least,
        1.4,
    )
    for v in means:
        yield (
            f"squared error of {v.estimator.item()} over SLEDGE's prediction",
            mean_and_error(v),
        )


draw = panels(
    (11.0, 8.4), 2, draw_exchanges, draw_decay, draw_saddle, draw_errors, legend_of=0
)
CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
