"""The task that a server and its clients agree on: the algorithm, the model's start, and each client's rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langevax import checks
from langevax._typing import PyTree
from langevax.federated.rounds import Federated
from langevax.problems.finite_sum import FiniteSum
from langevax.renamed import refuse_former

Config = Mapping[str, Any]
"""Flower's run config: `[tool.flwr.app.config]` of the app, as changed by `--run-config`."""


@refuse_former
@dataclass(frozen=True)
class Task:
    """A federated run, written once and imported by the `ServerApp` and the `ClientApp` of one Flower app.

    Args:
        algorithm: one of `langevax.federated`, or a function of the run config that returns one.
        start: the position where the run begins, a pytree of floating arrays; or a function of the run config.
        problem: `problem(context) -> FiniteSum`, the rows of one client, called on its machine. `context` is Flower's:
            `context.node_config["partition-id"]` is the number of the client, `context.run_config` the run config. For
            PyTorch and NumPy see `torch_problem` and `langevax.ExternalSum`.
        evaluate: `evaluate(config) -> function(position) -> dict of numbers`, called on the server, for example on a
            held-out table. None for none.
        metrics: `metrics(context) -> function(position) -> dict of numbers`, called on each client, for example on
            its own held-out rows. The server has their means, weighted by the client's rows, or by the number
            "num-examples" in the dict. None for none.

    Example:
        >>> import jax.numpy as jnp, langevax
        >>> def problem(context):
        ...     i = context.node_config["partition-id"]
        ...     return langevax.FiniteSum(lambda x, row: (x - row) ** 2 / 2, jnp.arange(4.0) + 4 * i)
        >>> def algorithm(config):
        ...     return langevax.federated.FedAvg(step_size=config["step-size"], num_local_steps=4)
        >>> task = Task(algorithm, jnp.array(0.0), problem)
        >>> task.algorithm_of({"step-size": 0.1}).num_local_steps
        4
    """

    algorithm: Federated | Callable[[Config], Federated]
    start: PyTree
    problem: Callable[[Any], FiniteSum]
    evaluate: Callable[[Config], Callable[[PyTree], Mapping[str, float]]] | None = None
    metrics: Callable[[Any], Callable[[PyTree], Mapping[str, float]]] | None = None

    def algorithm_of(self, config: Config) -> Federated:
        """The algorithm under this config.

        Raises:
            TypeError: it is not a federated method.
        """
        algorithm = (
            self.algorithm
            if isinstance(self.algorithm, Federated)
            else self.algorithm(config)
        )
        if not isinstance(algorithm, Federated):
            got = checks.shown(algorithm)
            raise TypeError(
                "algorithm must be one of langevax.federated or a function that gives "
                f"one, got {got}."
            )
        return algorithm

    def start_of(self, config: Config) -> PyTree:
        """The start under this config."""
        return self.start(config) if callable(self.start) else self.start
