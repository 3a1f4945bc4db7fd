"""Excess risks of the two-phase network and of its competitors, on the same draws of data.

Competitors are linear in y, and tuned by their own excess risk, in their favour, on one grid for every n: kernel ridge
regression with the neural tangent, the arc-cosine and the Gaussian kernel, ridge regression on random ReLU features,
and k nearest neighbours. All risks are exact but the last, which has a fixed test set.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from langevax.teacher_student import (
    ArcCosine,
    Converge,
    Explore,
    Gaussian,
    Kernel,
    NeuralTangent,
    orthogonal_teacher,
    teach,
    tuned_features,
    tuned_neighbors,
    tuned_ridge,
    two_phase,
)
from langevax.theory.relu_sphere import excess_risk, kernel_excess_risk, parametric_risk

NOISE = 0.1
NET = "two-phase network"
BANDWIDTHS = (1.0, 4.0, 16.0)
KERNELS: dict[str, tuple[list[Kernel], np.ndarray]] = {
    "ridge, neural tangent": ([NeuralTangent()], np.logspace(-4, 1, 21)),
    "ridge, arc-cosine": ([ArcCosine()], np.logspace(-4, 1, 21)),
    "ridge, Gaussian": ([Gaussian(width) for width in BANDWIDTHS], np.logspace(-7, 1, 33)),
}
"""Kernels and penalties, four to a decade; wide Gaussians want little. The Gaussian's width hardly matters."""
FEATURES, NEIGHBOURS = "random features", "nearest neighbours"
METHODS = (NET, *KERNELS, FEATURES, NEIGHBOURS)
LOOKS = 220
"""Records of every run, so that one program serves runs that are watched and runs that are not."""
SUCCESS = 3.0
"""A run has succeeded that ends below so many times m d v^2 / n; those that fail are ten times above."""


class Draw(NamedTuple):
    """A teacher, and data of it, in float64: kernels ask for unit vectors to rounding."""

    teacher: tuple[np.ndarray, np.ndarray]
    inputs: Float[np.ndarray, "n d"]
    targets: Float[np.ndarray, " n"]

    @property
    def parametric(self) -> float:
        """m d v^2 / n."""
        return parametric_risk(len(self.teacher[0]), self.inputs.shape[1], NOISE**2, len(self.targets))


class Trained(NamedTuple):
    """Of all restarts on one draw."""

    excess: float
    """Of the restart with the least training loss."""
    succeeded: Any
    """Of each restart, whether it ended below `SUCCESS` times the parametric level."""
    right_signs: Any
    """Of each restart, whether it has as many positive neurons as the teacher."""


def draw_data(num_neurons: int, dim: int, size: int, key: Any, noise: float = NOISE) -> Draw:
    """The orthogonal teacher with half of its neurons positive, rounded up, and `size` rows."""
    with jax.enable_x64():
        teacher = orthogonal_teacher(num_neurons, dim, dtype=jnp.float64)
        inputs, targets = teach(teacher, size, noise, key=key)
        return Draw((np.asarray(teacher.outer), np.asarray(teacher.inner)), np.asarray(inputs), np.asarray(targets))


def train(draw: Draw, key: Any, num_restarts: int, explore: Explore, converge: Converge, **options: Any) -> Any:
    """The `TwoPhaseFit` in float32, with about `LOOKS` records."""
    every = max(1, (explore.num_steps + converge.num_steps) // LOOKS)
    rows = draw.inputs.astype(np.float32), draw.targets.astype(np.float32)
    given: dict[str, Any] = {"explore": explore, "converge": converge, "num_restarts": num_restarts, "progress": False}
    return two_phase(*rows, len(draw.teacher[0]), key=key, record_every=every, **(given | options))


def trained(draw: Draw, key: Any, num_restarts: int, explore: Explore, converge: Converge) -> Trained:
    """Train the network and measure what it is worth."""
    fit = train(draw, key, num_restarts, explore, converge)
    excess = excess_risk(fit.result.position, draw.teacher)
    right = fit.num_positive == np.sum(draw.teacher[0] > 0)
    return Trained(float(excess[fit.best]), excess < SUCCESS * draw.parametric, right)


def competitors(
    draw: Draw, tests: Draw, widths: tuple[int, ...], key: Any
) -> dict[str, tuple[float, float, bool, float]]:
    """Of each: excess risk, its error, whether the penalty or k is the grid's edge, and what else was tuned.

    That is the bandwidth, the number of features, and k; NaN where there is nothing.
    """
    found = {}
    for name, (kernels, ridges) in KERNELS.items():
        best = tuned_ridge(
            kernels,
            draw.inputs,
            draw.targets,
            lambda kernel, c: kernel_excess_risk(kernel.profile, draw.inputs, c, draw.teacher),
            ridges,
        )
        found[name] = best.score, 0.0, best.on_edge, getattr(best.kernel, "bandwidth", np.nan)
    features = tuned_features(
        widths, draw.inputs, draw.targets, lambda networks: excess_risk(networks, draw.teacher), key=key
    )
    found[FEATURES] = features.score, 0.0, features.on_edge, float(features.network.outer.size)
    nearest = tuned_neighbors(draw.inputs, draw.targets, tests.inputs, tests.targets)
    found[NEIGHBOURS] = nearest.score, nearest.score_error, nearest.on_edge, float(nearest.num_neighbors)
    return found
