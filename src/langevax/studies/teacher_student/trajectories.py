"""What happens in the two phases: losses along a run, neurons on their way, the paper's own setting, and phase I taken
apart."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from langevax import trees
from langevax.studies.teacher_student import rates
from langevax.teacher_student import Converge, Explore, ReLUNetwork
from langevax.teacher_student.phases import ClippedError
from langevax.theory.relu_sphere import excess_risk

PAPER = {"explore": Explore(0.01, 0.01, annealing=1.0, ridge=0.01, num_steps=1000), "converge": Converge(0.01, 2000)}
"""Their steps, temperature, penalty and lengths; R = 5 and the noise are not printed."""
LONGER = 4.0
VARIANTS: dict[str, Any] = {
    "no phase I": lambda explore: _with(explore, num_steps=0),
    "phase I without noise": lambda explore: _with(explore, temperature=0.0),
    "fixed temperature": lambda explore: _with(explore, annealing=1.0),
    "annealed": lambda explore: explore,
    "annealed, 4 x longer": lambda explore: _with(explore, num_steps=int(LONGER * explore.num_steps)),
}


def _with(explore: Explore, **changes: Any) -> Explore:
    return Explore(**({name: getattr(explore, name) for name in Explore.__dataclass_fields__} | changes))


def along(draw: rates.Draw, key: Any, explore: Explore, converge: Converge, restarts: int) -> dict:
    """Training loss and excess risk of all restarts at every look, and the best restart's neurons on the plane."""
    fit = rates.train(draw, key, restarts, explore, converge)
    trace = fit.result.trace
    networks = trace.values["network"]
    found = {"step": trace.steps, "loss": trace.values["loss"], "excess": excess_risk(networks, draw.teacher)}
    signs, vectors = networks.outer[fit.best], networks.inner[fit.best]
    return found | {"place": star(vectors, draw.teacher[1]), "sign": signs, "best": fit.best, "switch": fit.switch}


def star(vectors: Float[np.ndarray, "*batch d"], teacher: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "*batch 2"]:
    """The linear picture of R^d in which the teacher's orthogonal neurons stand evenly on the unit circle."""
    angles = np.pi / 2 + 2 * np.pi * np.arange(len(teacher)) / len(teacher)
    return np.asarray(vectors) @ teacher.T @ np.stack([np.cos(angles), np.sin(angles)], axis=1)


def published(num_neurons: int, size: int, key: Any, second: Converge) -> dict:
    """One run with as many inputs as neurons: losses from step 0 on, in the paper's setting but for phase II."""
    data_key, start_key, run_key = jax.random.split(key, 3)
    draw = rates.draw_data(num_neurons, num_neurons, size, data_key)
    shapes = ReLUNetwork(jnp.zeros(num_neurons, jnp.float32), jnp.zeros((num_neurons, num_neurons), jnp.float32))
    start = trees.normal_like(start_key, shapes)
    explore = PAPER["explore"]
    fit = rates.train(draw, run_key, 1, explore, second, start=start)
    first = ClippedError(explore.bound).network(start)
    outputs = np.maximum(draw.inputs @ np.asarray(first.inner).T, 0) @ np.asarray(first.outer)
    loss = np.append(np.mean((outputs - draw.targets) ** 2) / 2, fit.result.trace.values["loss"][0])
    risks = excess_risk(fit.result.trace.values["network"], draw.teacher)[0]
    excess = np.append(excess_risk(first, draw.teacher), risks)
    zero = excess_risk((np.zeros(num_neurons), draw.teacher[1]), draw.teacher)
    return {"step": np.append(0, fit.result.trace.steps), "loss": loss, "excess": excess, "zero": float(zero)}


def ablation(draw: rates.Draw, key: Any, restarts: int, explore: Explore, converge: Converge) -> np.ndarray:
    """(variants, 3): restarts that succeeded, those with the right number of positive neurons, and those with both."""
    found = []
    for change in VARIANTS.values():
        runs = rates.trained(draw, key, restarts, change(explore), converge)
        found.append([runs.succeeded.sum(), runs.right_signs.sum(), (runs.succeeded & runs.right_signs).sum()])
    return np.array(found)
