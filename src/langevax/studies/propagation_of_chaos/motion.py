"""What moves in the study of propagation of chaos: a cloud of neurons that learns a wave, and the function it makes.

    f(x) = (1 / N) sum_j SCALE tanh(a_j) tanh(w_j x + b_j),        N = 200 particles (a, w, b)

by the steps of MFLD on the squared loss. Nothing is judged here: the networks that are have exact laws, and weights
that no plane shows. Looks are spaced evenly in the logarithm of the step, as the cloud moves less and less.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from langevax.meanfield import MFLD
from langevax.run import simulate

if TYPE_CHECKING:
    import xarray

    from langevax.figures.moving import Scene
    from langevax.problems.mean_field import MeanFieldRisk

SCALE, RIDGE, TEMPERATURE, STEP_SIZE = 6.0, 0.002, 0.0005, 0.1
SPREAD = 0.3  # of the start: a small cloud at the origin, that is, an almost linear network
NUM_PARTICLES, NUM_STEPS = 200, 3000
FIRST, MOST_LOOKS = 5, 59  # before step 5 nothing is seen to move
ROWS, REACH, NOISE = 60, 1.7, 0.12
GRID = np.linspace(-1.1 * REACH, 1.1 * REACH, 81, dtype=np.float32)


def rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets: a wave and a little noise."""
    x = np.linspace(-REACH, REACH, ROWS, dtype=np.float32)
    return x, (np.sin(3 * x) + NOISE * np.random.default_rng(seed).normal(size=ROWS)).astype(np.float32)


def network(seed: int) -> "MeanFieldRisk":
    """What the cloud is trained on."""
    from langevax.problems import losses, neurons
    from langevax.problems.mean_field import MeanFieldRisk

    x, y = rows(seed)
    return MeanFieldRisk(neurons.TanhTanh(SCALE), losses.squared, x[:, None], y, np.float32(2 * RIDGE))


def looks() -> np.ndarray:
    """The start, and steps that grow by a factor."""
    return np.append(0, np.unique(np.geomspace(FIRST, NUM_STEPS, MOST_LOOKS).round().astype(int)))


def moved(seed: int, key: Any) -> dict[str, Any]:
    """Variables of the dataset: particles, (look, particle), and the function they make, (look, place)."""
    import jax
    import jax.numpy as jnp

    risk = network(seed)
    start = SPREAD * jax.random.normal(key, (NUM_PARTICLES, 3), np.float32)
    run = simulate(
        MFLD(step_size=STEP_SIZE, temperature=TEMPERATURE), risk, start, key=key, num_steps=NUM_STEPS, record_every=1,
        progress=False,
    )  # fmt: skip
    clouds = jnp.concatenate([start[None], run.positions])[looks()]
    a, w, b = np.moveaxis(np.asarray(clouds), -1, 0)
    made = np.stack([risk.outputs(cloud, jnp.asarray(GRID)[:, None]) for cloud in clouds])
    x, y = rows(seed)
    one, at = {"units": "1"}, ("look", "particle")
    return {
        "weight": (at, w, one | {"long_name": "w of each particle"}),
        "bias": (at, b, one | {"long_name": "b of each particle"}),
        "pull": (at, np.tanh(a), one | {"long_name": "tanh(a) of each particle"}),
        "made": (("look", "place"), made, one | {"long_name": "the network's output"}),
        "moved_step": ("look", looks(), {"units": "steps"}),
        "place": ("place", GRID, {"units": "1"}),
        "row_place": ("row", x, one),
        "row_target": ("row", y, one),
    }


def move(dataset: "xarray.Dataset") -> "Scene":
    """The cloud in the plane of weight and bias, and the function it makes over the data."""
    from langevax.figures import moving
    from langevax.figures.moving import MovingPanel, Scene

    steps, count = dataset.moved_step.values, dataset.sizes["particle"]
    cloud = moving.cloud(
        dataset.weight, dataset.bias, dataset.pull, x_label="weight w of the input", y_label="bias b",
        outer_label="output weight tanh(a)",
    )  # fmt: skip
    curve = moving.curve(
        dataset.place, dataset.made, dataset.row_place, dataset.row_target, x_label="input x", y_label="output f(x)"
    )
    words = (
        f"{count} particles start close to the origin of the plane of weight and bias. By step {steps[-1]:,} many have "
        f"left it along six rays, to clusters of one sign each; the others stay there, and add little."
    )
    fit = "The network's output starts as an almost straight line and bends into the wave of the data."
    return Scene(
        (
            MovingPanel("particles", cloud, words,
                  "Each triangle is a neuron, tanh(w x + b) times its output weight: up and red where that is "
                  "positive, down and blue where it is negative. Each moves by the gradient and by noise of its own; "
                  "the others act on it through the function alone that all make together."),
            MovingPanel("function", curve, fit,
                  f"The mean of the {count} neurons, over the data in grey. With more of them it would be the same to "
                  f"within a mean squared error like 1 / N. Steps are spaced evenly in their logarithm."),
        ),
        steps,
    )  # fmt: skip
