"""Two-phase training and linear estimators on the same data, for the claim `teacher_student`.

Data are y = f*(x) + noise with f* a network of m ReLUs, half of them positive, rounded up, x uniform on the sphere of
R^d. Estimators that are linear in y are tuned by their own excess risk, in their favour, on one grid for every n:
kernel ridge regression with the neural tangent, the arc-cosine and the Gaussian kernel, ridge regression on random ReLU
features, and k nearest neighbours. All risks are exact but the last, which has a fixed test set.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from competitors import ArcCosine, Gaussian, Kernel, NeuralTangent, tuned_features, tuned_neighbors, tuned_ridge
from langevax import trees
from langevax.teacher_student import Converge, Explore, ReLUNetwork, orthogonal_teacher, teach, two_phase
from langevax.teacher_student.phases import ClippedError
from langevax.teacher_student.two_phase import TwoPhaseFit
from relu_sphere import excess_risk, kernel_excess_risk, parametric_risk

NOISE = 0.1
BANDWIDTHS = (1.0, 4.0, 16.0)
KERNELS: dict[str, tuple[list[Kernel], np.ndarray]] = {  # penalties, four to a decade; wide Gaussians want little
    "ridge, neural tangent": ([NeuralTangent()], np.logspace(-4, 1, 21)),
    "ridge, arc-cosine": ([ArcCosine()], np.logspace(-4, 1, 21)),
    "ridge, Gaussian": ([Gaussian(width) for width in BANDWIDTHS], np.logspace(-7, 1, 33)),
}
NETWORK, FEATURES, NEIGHBOURS = "two-phase network", "random features", "nearest neighbours"
METHODS = (NETWORK, *KERNELS, FEATURES, NEIGHBOURS)
RECORDS = 220  # of every run, so that one program serves all
SUCCESS = 3.0  # a run has succeeded that ends below so many times m d v^2 / n; those that fail are ten times above

PAPER_EXPLORE = Explore(0.01, 0.01, annealing=1.0, ridge=0.01, num_steps=1000)  # R = 5 and the noise are not printed
PAPER_CONVERGE = Converge(0.01, 2000)
VARIANTS: dict[str, Callable[[Explore], Explore]] = {  # of phase I
    "no phase I": lambda explore: replace(explore, num_steps=0),
    "phase I without noise": lambda explore: replace(explore, temperature=0.0),
    "fixed temperature": lambda explore: replace(explore, annealing=1.0),
    "annealed": lambda explore: explore,
    "annealed, 4 x longer": lambda explore: replace(explore, num_steps=4 * explore.num_steps),
}


class Data(NamedTuple):
    """A teacher, and data of it, in float64: kernels ask for unit vectors to rounding."""

    teacher: tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m d"]]
    inputs: Float[np.ndarray, "n d"]
    targets: Float[np.ndarray, " n"]

    @property
    def parametric(self) -> float:
        """m d v^2 / n."""
        return parametric_risk(len(self.teacher[0]), self.inputs.shape[1], NOISE**2, len(self.targets))


def draw_data(num_neurons: int, dim: int, size: int, key: Key[Array, ""], noise: float = NOISE) -> Data:
    """The orthogonal teacher with half of its neurons positive, rounded up, and `size` rows."""
    with jax.enable_x64():
        teacher = orthogonal_teacher(num_neurons, dim, dtype=jnp.float64)
        inputs, targets = teach(teacher, size, noise, key=key)
        return Data((np.asarray(teacher.outer), np.asarray(teacher.inner)), np.asarray(inputs), np.asarray(targets))


def train(
    data: Data, key: Key[Array, ""], num_restarts: int, explore: Explore, converge: Converge, **options: Any
) -> TwoPhaseFit:
    """Train in float32, with about RECORDS records."""
    every = max(1, (explore.num_steps + converge.num_steps) // RECORDS)
    rows, num_neurons = (data.inputs.astype(np.float32), data.targets.astype(np.float32)), len(data.teacher[0])
    options |= {"explore": explore, "converge": converge, "num_restarts": num_restarts, "record_every": every}
    return two_phase(*rows, num_neurons, key=key, **options)


class Trained(NamedTuple):
    """Of all restarts on the same data."""

    excess: float
    """Of the restart with the least training loss."""
    succeeded: Bool[np.ndarray, " restarts"]
    """Whether it ended below SUCCESS times the parametric level."""
    right_signs: Bool[np.ndarray, " restarts"]
    """Whether it has as many positive neurons as the teacher."""


def trained(data: Data, key: Key[Array, ""], num_restarts: int, explore: Explore, converge: Converge) -> Trained:
    """Train the network and measure its risk."""
    fit = train(data, key, num_restarts, explore, converge)
    excess = np.asarray(excess_risk(fit.result.position, data.teacher))
    right = fit.num_positive == np.sum(data.teacher[0] > 0)
    return Trained(float(excess[fit.best]), excess < SUCCESS * data.parametric, right)


def ablation(
    data: Data, key: Key[Array, ""], num_restarts: int, explore: Explore, converge: Converge
) -> Float[np.ndarray, "variants 3"]:
    """Restarts that succeeded, those with the right number of positive neurons, and those with both."""
    counts = []
    for change in VARIANTS.values():
        runs = trained(data, key, num_restarts, change(explore), converge)
        both = runs.succeeded & runs.right_signs
        counts.append([runs.succeeded.sum(), runs.right_signs.sum(), both.sum()])
    return np.array(counts)


class Tuned(NamedTuple):
    """A linear estimator at its best."""

    excess: float
    error: float
    on_edge: bool
    """Whether the penalty or k is the grid's edge."""
    value: float
    """The bandwidth, the number of features, or k; NaN where there is none."""


def linear_estimators(data: Data, tests: Data, widths: tuple[int, ...], key: Key[Array, ""]) -> dict[str, Tuned]:
    """All of METHODS but the network."""

    def risk(kernel: Kernel, coefficients: np.ndarray) -> np.ndarray:
        return kernel_excess_risk(kernel.profile, data.inputs, coefficients, data.teacher)

    estimators = {}
    for name, (kernels, ridges) in KERNELS.items():
        best = tuned_ridge(kernels, data.inputs, data.targets, risk, ridges)
        estimators[name] = Tuned(best.score, 0.0, best.on_edge, getattr(best.kernel, "bandwidth", np.nan))
    best = tuned_features(
        widths, data.inputs, data.targets, lambda network: excess_risk(network, data.teacher), key=key
    )
    estimators[FEATURES] = Tuned(best.score, 0.0, best.on_edge, float(best.network.outer.size))
    best = tuned_neighbors(data.inputs, data.targets, tests.inputs, tests.targets)
    estimators[NEIGHBOURS] = Tuned(best.score, best.score_error, best.on_edge, float(best.num_neighbors))
    return estimators


class PublishedRun(NamedTuple):
    """Losses from step 0 on, and the excess risk of f = 0."""

    step: np.ndarray
    loss: np.ndarray
    excess: np.ndarray
    zero: float


def published_run(num_neurons: int, size: int, key: Key[Array, ""], converge: Converge) -> PublishedRun:
    """One run with as many inputs as neurons, in the paper's setting but for phase II."""
    data_key, start_key, run_key = jax.random.split(key, 3)
    data = draw_data(num_neurons, num_neurons, size, data_key)
    shapes = ReLUNetwork(jnp.zeros(num_neurons, jnp.float32), jnp.zeros((num_neurons, num_neurons), jnp.float32))
    start = trees.normal_like(shapes, key=start_key)
    fit = train(data, run_key, 1, PAPER_EXPLORE, converge, start=start)
    first, trace = ClippedError(PAPER_EXPLORE.bound).network(start), fit.result.trace
    assert trace is not None
    outputs = np.maximum(data.inputs @ np.asarray(first.inner).T, 0) @ np.asarray(first.outer)
    loss = np.append(np.mean((outputs - data.targets) ** 2) / 2, trace.values["loss"][0])
    excess = np.append(excess_risk(first, data.teacher), excess_risk(trace.values["network"], data.teacher)[0])
    zero = excess_risk((np.zeros(num_neurons), data.teacher[1]), data.teacher)
    return PublishedRun(np.append(0, trace.steps), loss, excess, float(zero))


def star(vectors: Float[np.ndarray, "*batch d"], teacher: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "*batch 2"]:
    """The linear picture of R^d in which the teacher's orthogonal neurons stand evenly on the unit circle."""
    angles = np.pi / 2 + 2 * np.pi * np.arange(len(teacher)) / len(teacher)
    return np.asarray(vectors) @ teacher.T @ np.stack([np.cos(angles), np.sin(angles)], axis=1)
