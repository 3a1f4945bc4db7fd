"""The parameters of the mean-field estimators: what they may be, and what "auto" means."""

import numbers
from typing import Any, NamedTuple

from langevax import checks
from langevax.meanfield.moves import Proposal
from langevax.problems import neurons
from langevax.sklearn.solvers import BATCH_SHARE, BATCH_SIZE, FULL_BATCH, SOLVERS, Schedule
from langevax.sklearn.training import Network

NEURONS = {"tanh-tanh": neurons.TanhTanh, "tanh": neurons.Tanh}
CHOICES = {
    "solver": tuple(SOLVERS),
    "neuron": tuple(NEURONS),
    "scaling": ("loo", "columns", "global"),
    "validation": (None, "path"),
}
NUMBERS = {"temperature": "loo", "step_size": "auto", "output_scale": "auto", "prior_variance": None}
COUNTS = {"num_particles": (), "num_steps": ("auto",), "batch_size": ("auto", None)}


class Automatic(NamedTuple):
    """What "auto" and "loo" mean for one kind of estimator."""

    output_scale: float = 10.0
    temperature_multiplier: float = 1.0
    """Of temperature="loo", in units of the leave-one-out optimum."""
    patience: float = 1.0
    """Of num_steps, in units of what the solver takes for a table."""
    proposal: Proposal = "mala"
    """Of Metropolis moves, in training and in the certificate."""


def check(parameters: dict[str, Any]) -> None:
    """Raise ValueError or TypeError naming the first parameter that is out of range, its value and the remedy."""
    for name, choices in CHOICES.items():
        if parameters[name] not in choices:
            listing = ", ".join(map(repr, choices))
            raise ValueError(f"{name} must be one of {listing}, got {parameters[name]!r}.")
    if parameters["warm_start"] and SOLVERS[parameters["solver"]].from_prior:
        raise ValueError(
            f"solver={parameters['solver']!r} begins at the prior; set warm_start=False, or solver='mfld'."
        )
    for name, word in NUMBERS.items():
        value = parameters[name]
        if word is not None and isinstance(value, str) and value == word:
            continue
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            remedy = "a number > 0" + (f" or {word!r}" if word else "")
            raise TypeError(f"{name} must be {remedy}, got {value!r}.")
        checks.number(name, float(value), positive=True)
    for name, words in COUNTS.items():
        value = parameters[name]
        if not any(value is word or (isinstance(value, str) and value == word) for word in words):
            checks.positive_int(name, value, minimum=2 if name == "num_particles" else 1)


def make_neuron(name: str, scale: float, num_outputs: int | None) -> neurons.Tanh | neurons.TanhTanh:
    """The neuron of that name; raises ValueError where it has one output and more are needed."""
    if name == "tanh":
        if num_outputs is not None:
            raise ValueError(f"neuron='tanh' has one output, but {num_outputs} are needed; use neuron='tanh-tanh'.")
        return neurons.Tanh(scale)
    return neurons.TanhTanh(scale, num_outputs)


def schedule(parameters: dict[str, Any], network: Network, automatic: Automatic) -> Schedule:
    """Steps, their relative size and the batch; large tables go in batches."""
    n, batch_size, solver = len(network.inputs), parameters["batch_size"], SOLVERS[parameters["solver"]]
    if batch_size == "auto":
        batch_size = None if n * parameters["num_particles"] <= FULL_BATCH else BATCH_SIZE
    if not solver.batches or (batch_size is not None and batch_size >= n):
        batch_size = None
    relative, num_steps = parameters["step_size"], parameters["num_steps"]
    if relative == "auto":
        relative = solver.relative_step(network.task.loss) * (1.0 if batch_size is None else BATCH_SHARE)
    if num_steps == "auto":
        num_steps = int(automatic.patience * solver.num_steps(n, batch_size))
    plateau, proposal = parameters["stop_at_plateau"], automatic.proposal
    return Schedule(parameters["solver"], num_steps, float(relative), batch_size, plateau, proposal)
