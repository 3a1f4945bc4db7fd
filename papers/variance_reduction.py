"""The cost of a sample as the data grow: with variance reduction about sqrt(n) gradients where plain Langevin needs n.

Claim: To a law with d coordinates and a potential that is a mean of n components, SVRG-LD and SARAH-LD with batches of
B = sqrt(n) and epochs of m = sqrt(n) steps come within a KL divergence eps for about sqrt(n) component gradients where
LD needs n; and so does SGLD need n where the temperature T falls like 1/n. At T = 1 SGLD needs none of this.

Formula:
    KL <= eps  after  O~((n + d sqrt(n) / eps) kappa^2)  component gradients,  and  O~(d n / eps)  of LD

Source: Kinoshita and Suzuki (NeurIPS 2022), Corollaries 1.1 and 2.1; Theorems 1 and 2.

Figure: Left: LD and SGLD at T = 1/n climb with slope 1, SVRG-LD and SARAH-LD with slope about 1/2, SGLD at T = 1 is
flat and below them all; a control variate at the mode pays its one full pass. Chains lie on the lines.

The targets are Gaussian, on which first and second moments follow exact recursions (`theory.moments`): the lines are
theirs, at each method's best step size, and KL is that of a Gaussian with the same moments. The points are chains of
`simulate`. The components are f_i(x) = sum_l a_il x_l^2 / 2 + c_il x_l with mean curvatures h_l from 0.5 to 1.5 in 5
coordinates; over components, a has standard deviation h_l / 2 and c has 1, uncorrelated, and the mode is 0. Chains
start at N(3 sd, T / L), sd those of the target. A mode for the control variate is given, not paid for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isqrt

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from matplotlib.axes import Axes

from claims import Check, Claim, Findings, Size, dataset, sweep, variables
from drawing import panels, points
from estimates import exponent, jackknife
from langevax import gradients
from langevax.figures import theme
from langevax.gradients.estimator import GradientEstimator
from langevax.problems.finite_sum import FiniteSum
from langevax.run import simulate
from langevax.samplers import Langevin
from langevax.theory.moments import Moments, QuadraticChain, batch_variance_factor

CURVATURES = np.linspace(0.5, 1.5, 5)
CURVATURE_DEVIATIONS, SLOPE_DEVIATIONS = CURVATURES / 2, np.ones(5)
START_MEAN, START_SECOND = (
    3 / np.sqrt(CURVATURES),
    9 / CURVATURES + 1 / CURVATURES.max(),
)  # in units of sqrt(T)
START = np.stack([np.ones_like(START_MEAN), START_MEAN, START_SECOND], axis=-1)
"""(1, E x, E x^2) at the start, (d, 3)."""
STEP_SIZES = np.geomspace(1e-8, 1.0, 321)
DOUBLINGS = 36  # no run is longer than 2^36 epochs

ACCURACIES = (1e-4, 1e-2)
COARSE = 1e-2  # what thousands of chains resolve of LD, which has no control variate but itself
SIZES = {"full": 100 * 4 ** np.arange(7), "small": 100 * 4 ** np.arange(4)}
NUM_CHAINS = {"full": 8000, "small": 1000}
WORK = {
    "full": (6e9, 1e9),
    "small": (1.5e8, 3e7),
}  # component gradients times coordinates of a point, by accuracy
LARGEST_MEASURED = {"full": 409_600, "small": 100}  # each n compiles anew
KL, COSTS = (
    ("kl_measured", "kl_measured_error", "kl_exact"),
    ("evaluations_measured", "evaluations_measured_error"),
)
NOISE = "our argument: noise of batches heats by step size / T"


@dataclass(frozen=True)
class Method:
    """A row of the table: a chain, its temperature and batches, and the predicted exponent."""

    kind: str
    colour: str
    marker: str
    exponent: (
        tuple[float, float] | None
    )  # of n, as predicted, and how far the exact costs may be off
    source: str = ""
    posterior: bool = False  # temperature 1 / n, as posteriors have it, in place of 1: only SGLD can tell

    def batch(self, size: int) -> tuple[int, int]:
        """Batch size and steps per epoch."""
        return {"LD": (size, 1), "SGLD": (1, 1), "CV": (1, 1)}.get(
            self.kind, (isqrt(size), isqrt(size))
        )

    def moments(
        self, chain: QuadraticChain, batch_size: int, period: int, replace: bool
    ) -> Moments:
        """Exact moments of the chain with these batches."""
        if self.kind == "LD":
            return chain.ld()
        if self.kind == "SGLD":
            return chain.sgld(batch_size, replace=replace)
        if self.kind == "CV":
            return chain.control_variate(
                np.zeros_like(chain.start_mean), batch_size, replace=replace
            )
        reduced = chain.svrg if self.kind == "SVRG" else chain.sarah
        return reduced(batch_size, period, replace=replace)

    def evaluations(self, num_steps: int, size: int) -> int:
        """Component gradients per chain."""
        batch_size, period = self.batch(size)
        if self.kind in (
            "SVRG",
            "SARAH",
        ):  # all at steps 0, m, 2 m, ..., and 2 batches at all others
            epochs = -(-num_steps // period)
            return epochs * size + (num_steps - epochs) * 2 * batch_size
        return size + 2 * num_steps if self.kind == "CV" else batch_size * num_steps


# By batch size and period.
ESTIMATORS: dict[str, Callable[[int, int], GradientEstimator]] = {
    "LD": lambda B, m: gradients.Full(),
    "SGLD": lambda B, m: gradients.Minibatch(batch_size=1),
    "CV": lambda B, m: gradients.ControlVariate(1, jnp.zeros(5)),
    "SVRG": lambda B, m: gradients.SVRG(batch_size=B, period=m),
    "SARAH": lambda B, m: gradients.SARAH(batch_size=B, period=m),
}
METHODS: dict[str, Method] = {
    "LD": Method("LD", *theme.METHODS["LD"], (1.0, 0.03), "n gradients a step"),
    "SGLD, T = 1/n": Method("SGLD", *theme.METHODS["SGLD"], (1.0, 0.05), NOISE, True),
    "SGLD, T = 1": Method("SGLD", theme.GREY, "<", (0.0, 0.05), NOISE),
    "SVRG-LD": Method("SVRG", *theme.METHODS["SVRG-LD"], (0.5, 0.1), "Corollary 1.1"),
    "SARAH-LD": Method(
        "SARAH", *theme.METHODS["SARAH-LD"], (0.5, 0.1), "Corollary 2.1"
    ),
    "CV": Method("CV", theme.OKABE_ITO[5], "P", None),
}


def epoch_moments(
    method: Method,
    size: int,
    step_sizes: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """E x and E x^2 over one epoch, (period + 1, step sizes, d), in units where the temperature is 1.

    One call of `theory.moments` for all step sizes eta: in units of sqrt(eta) a step of eta is a step of 1 with
    curvatures eta a and slopes sqrt(eta) c. Recursions see only means and Xi times variances of the components, so
    four with Xi in their deviations stand for all n.
    """
    batch_size, period = method.batch(size)
    temperature = 1 / size if method.posterior else 1.0
    factor = np.sqrt(batch_variance_factor(size, batch_size, replace=False))
    eta = step_sizes[:, None]
    signs = np.array([[1, 1, -1, -1], [1, -1, 1, -1]])[:, :, None]
    a = (eta * CURVATURES).ravel() + signs[0] * (
        eta * factor * CURVATURE_DEVIATIONS
    ).ravel()
    c = signs[1] * (np.sqrt(eta / temperature) * factor * SLOPE_DEVIATIONS).ravel()
    start = (first / np.sqrt(eta)).ravel(), (second / eta).ravel()
    chain = QuadraticChain(
        a, c, *start, step_size=1.0, temperature=1.0, num_steps=period
    )
    run = method.moments(chain, 1, period, replace=True)
    shape = (period + 1, len(step_sizes), len(CURVATURES))
    return run.first.reshape(shape) * np.sqrt(eta), run.second.reshape(shape) * eta


def divergence(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """KL of the Gaussian with these moments from the target, over the last axis; temperature 1."""
    excess = (second - first**2) * CURVATURES - 1
    return np.sum(excess - np.log1p(excess) + first**2 * CURVATURES, axis=-1) / 2


def epoch_map(method: Method, size: int, step_sizes: np.ndarray) -> np.ndarray:
    """(step sizes, d, 3, 3): what one epoch does to (1, E x, E x^2), a linear map."""
    shape = (len(step_sizes), len(CURVATURES))
    ends = []
    for first, second in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        run = epoch_moments(
            method, size, step_sizes, np.full(shape, first), np.full(shape, second)
        )
        ends.append(np.stack([np.ones(shape), run[0][-1], run[1][-1]], axis=-1))
    return np.stack([ends[0], ends[1] - ends[0], ends[2] - ends[0]], axis=-1)


def steps_needed(
    method: Method, size: int, accuracy: float, step_sizes: np.ndarray = STEP_SIZES
) -> np.ndarray:
    """Steps until KL <= accuracy for each step size, `inf` where never.

    By squares of the epoch's map the last epoch that ends above the accuracy is found bit by bit, then the step.
    """
    with np.errstate(all="ignore"):  # step sizes too long overflow, and never arrive
        powers = [epoch_map(method, size, step_sizes)]
        for _ in range(DOUBLINGS):
            powers.append(powers[-1] @ powers[-1])
        state, epochs = (
            np.tile(START, (len(step_sizes), 1, 1)),
            np.zeros(len(step_sizes)),
        )
        for doubling in reversed(range(DOUBLINGS + 1)):
            ahead = (powers[doubling] @ state[..., None])[..., 0]
            above = ~(divergence(ahead[..., 1], ahead[..., 2]) <= accuracy)
            state = np.where(above[:, None, None], ahead, state)
            epochs += above * 2.0**doubling
        there = (
            divergence(
                *epoch_moments(method, size, step_sizes, state[..., 1], state[..., 2])
            )
            <= accuracy
        )
    steps = epochs * (len(there) - 1) + there.argmax(axis=0)
    return np.where(there.any(axis=0), steps, np.inf)


def exact_divergence(
    method: Method, size: int, step_size: float, num_steps: int
) -> float:
    step_sizes, period = np.array([step_size]), method.batch(size)[1]
    power = np.linalg.matrix_power(
        epoch_map(method, size, step_sizes), num_steps // period
    )
    state = (power @ START[..., None])[..., 0]
    walk = epoch_moments(method, size, step_sizes, state[..., 1], state[..., 2])
    return float(divergence(*walk)[num_steps % period, 0])


def components(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Curvatures and slopes (size, d), random, with exactly the means, deviations and zero covariance stated above."""
    a, c = np.random.default_rng([seed, size]).normal(size=(2, size, len(CURVATURES)))
    a = (a - a.mean(axis=0)) / a.std(axis=0)
    c = c - c.mean(axis=0)
    c = c - a * np.mean(a * c, axis=0)
    return CURVATURES + CURVATURE_DEVIATIONS * a, SLOPE_DEVIATIONS * c / c.std(axis=0)


def quadratic(x: jax.Array, row: tuple[jax.Array, jax.Array]) -> jax.Array:
    return (row[0] * x**2 / 2 + row[1] * x).sum()


def measured_cost(
    method: Method,
    size: int,
    step_size: float,
    num_steps: int,
    num_chains: int,
    seed: int,
) -> dict[str, float]:
    """KL of chains beside the exact one, and the evaluations that the chains need, with errors.

    KL is turned into evaluations by the exact line's own slope. Chains with the mean gradient, of the same starts and
    noises, whose law is known exactly, are the control variate of all methods but LD: they differ by the noise of
    batches alone.
    """
    temperature = 1 / size if method.posterior else 1.0
    scale = temperature**0.5
    mean, deviation = (
        jnp.asarray(START_MEAN * scale, jnp.float32),
        float(scale / np.sqrt(CURVATURES.max())),
    )
    start = lambda key: (
        mean + deviation * jax.random.normal(key, mean.shape, mean.dtype)
    )
    chains = {
        "key": jax.random.fold_in(jax.random.key(seed), size),
        "num_steps": num_steps,
        "num_chains": num_chains,
    }

    def ends(
        a: np.ndarray, c: np.ndarray, gradient: GradientEstimator
    ) -> tuple[np.ndarray, float]:
        problem = FiniteSum(
            quadratic, (jnp.asarray(a, jnp.float32), jnp.asarray(c, jnp.float32))
        )
        result = simulate(
            Langevin(step_size, temperature, gradient), problem, start, **chains
        )
        used = int(result.counts_by_chain["evaluations"].sum()) / num_chains
        return np.asarray(result.position, float) / scale, used

    x, used = ends(
        *components(size, seed), ESTIMATORS[method.kind](*method.batch(size))
    )
    beside, first, second = np.zeros_like(x), np.zeros(1), np.zeros(1)
    if method.kind != "LD":
        beside, _ = ends(
            CURVATURES[None], np.zeros((1, len(CURVATURES))), gradients.Full()
        )
        factor = 1 - step_size * CURVATURES
        faded = factor ** (2 * num_steps)
        first = factor**num_steps * START_MEAN
        second = faded * START_SECOND + 2 * step_size * (1 - faded) / (1 - factor**2)

    def kl_of(x: np.ndarray, beside: np.ndarray) -> np.ndarray:
        return divergence(
            (x - beside).mean(axis=0) + first,
            np.mean(x**2 - beside**2, axis=0) + second,
        )

    kl, error = jackknife(kl_of, x, beside)
    exact, before = (
        exact_divergence(method, size, step_size, n)
        for n in (num_steps, round(0.9 * num_steps))
    )
    per_unit = used / (exact * np.log(before / exact) / np.log(1 / 0.9))
    numbers = {"kl_measured": kl, "kl_measured_error": error, "kl_exact": exact}
    costs = {
        "evaluations_measured": used + (kl - exact) * per_unit,
        "evaluations_measured_error": error * per_unit,
    }
    return numbers | costs


def measure(size: Size, seed: int) -> xarray.Dataset:
    """Exact evaluations for each method, n and accuracy, at its best step size; chains where WORK allows."""
    num_chains, work = NUM_CHAINS[size], dict(zip(ACCURACIES, WORK[size], strict=True))

    def cost(name: str, n: int, accuracy: float) -> dict[str, float]:
        method, needed = METHODS[name], steps_needed(METHODS[name], n, accuracy)
        costs = [
            method.evaluations(int(steps), n) if np.isfinite(steps) else np.inf
            for steps in needed
        ]
        best = int(np.argmin(costs))
        exact = {
            "step_size": STEP_SIZES[best],
            "steps": needed[best],
            "evaluations": costs[best],
        }
        resolved = (
            method.kind != "LD" or accuracy >= COARSE
        ) and n <= LARGEST_MEASURED[size]
        if not resolved or costs[best] * num_chains * len(CURVATURES) > work[accuracy]:
            return exact | dict.fromkeys((*KL, *COSTS), np.nan)
        return exact | measured_cost(
            method, n, float(STEP_SIZES[best]), int(needed[best]), num_chains, seed
        )

    costs = sweep(cost, METHODS, SIZES[size].tolist(), ACCURACIES)
    dims = "method n accuracy"
    return dataset(
        {
            "method": list(METHODS),
            "n": (SIZES[size], "components"),
            "accuracy": (ACCURACIES, "nat"),
        },
        variables(dims, "1 / curvature", step_size=costs["step_size"]),
        variables(dims, "1", steps=costs["steps"]),
        variables(dims, "nat", **{name: costs[name] for name in KL}),
        variables(
            dims,
            "component gradients per chain",
            **{name: costs[name] for name in ("evaluations", *COSTS)},
        ),
        num_chains=num_chains,
    )


def draw_costs(axes: Axes, data: xarray.Dataset, accuracy: float) -> None:
    for name, method in METHODS.items():
        row, style = (
            data.sel({"method": name, "accuracy": accuracy}),
            (method.colour, method.marker),
        )
        axes.loglog(data.n, row.evaluations, color=method.colour)
        points(
            axes,
            data.n,
            (row.evaluations_measured, row.evaluations_measured_error),
            style,
            name,
        )
    axes.legend(loc="upper left", fontsize=9, handletextpad=0.4)
    axes.set(xlabel="number of components $n$", ylabel="component gradients per chain")
    axes.set(title=f"To KL = {accuracy:g}: exact (lines), chains (points)")


def judge(data: xarray.Dataset) -> Findings:
    costs = {
        name: data.evaluations.sel({"method": name, "accuracy": ACCURACIES[0]}).values
        for name in METHODS
    }
    for name, method in METHODS.items():
        if method.exponent:
            statement = f"power of n in the gradients of {name.replace(', ', ' at ')}"
            power = exponent(data.n.values, costs[name])
            yield Check.equals(statement, method.source, power, *method.exponent)
    ahead, behind = (costs["SVRG-LD"] / costs[f"SGLD, T = {T}"] for T in ("1/n", "1"))
    statement, source = (
        "SVRG-LD's gradients over SGLD's at T = 1/n, the most of all n",
        "Corollary 1.1 against SGLD's",
    )
    yield Check.at_most(statement, source, ahead.max(), 1.0)
    statement, source = (
        "SVRG-LD's gradients over SGLD's at T = 1, the least of all n",
        "no gain is promised there",
    )
    yield Check.at_least(statement, source, behind.min(), 1.0)
    z = ((data.kl_measured - data.kl_exact) / data.kl_measured_error).values
    z = z[np.isfinite(z)]
    statement = f"KL divergence of chains, {len(z)} points: the farthest from its line"
    yield Check.all_within(statement, "exact recursions of moments", z, 4.0)
    yield "power of n in the gradients of CV", exponent(data.n.values, costs["CV"])
    yield "SGLD's gradients over SVRG-LD's at T = 1/n and the largest n", 1 / ahead[-1]
    yield "SVRG-LD's gradients over SGLD's at T = 1 and the largest n", behind[-1]
    yield "mean squared deviation of chains, in errors", np.mean(z**2)


draw = panels(
    (10.5, 4.6), 1, *(partial(draw_costs, accuracy=accuracy) for accuracy in ACCURACIES)
)
CLAIM = Claim(__file__, __doc__, measure, draw, judge)

if __name__ == "__main__":
    CLAIM.main()
