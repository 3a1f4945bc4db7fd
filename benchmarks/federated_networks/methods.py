"""The federated methods that are compared, each as a function of its step size and of one further number.

Local steps are K = 20 on batches of 10 rows; methods without local steps are left out. Step sizes are powers of two;
the further number is the server's step size, or the precision of the proximal term. A method has no other tuning.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from langevax.federated import (
    BVRLSGD,
    FLEDGE,
    SCAFFOLD,
    SCAFFOLDM,
    FedAvg,
    FedDyn,
    Federated,
    FedNova,
    FedProx,
    MimeSGD,
)

LOCAL_STEPS, BATCH_SIZE = 20, 10
STEP_SIZES = tuple(2.0**k for k in range(-6, 3))
SERVER_STEPS = (0.1, 0.3, 1.0, 3.0)
ADAPTIVE_STEPS = (0.01, 0.03, 0.1, 0.3)
Local = dict[str, Any]


@dataclass(frozen=True)
class TunedMethod:
    """A method, and the values of its further number."""

    make: Callable[[Local, float], Federated]
    values: tuple[float, ...] = (1.0,)

    def candidates(self) -> list[tuple[float, float]]:
        """Pairs of a step size and a further number."""
        return list(product(STEP_SIZES, self.values))

    def of(self, step_size: float, value: float, clients_per_round: int) -> Federated:
        """The method with these numbers."""
        common = {
            "step_size": step_size,
            "num_local_steps": LOCAL_STEPS,
            "batch_size": BATCH_SIZE,
        }
        return self.make({**common, "clients_per_round": clients_per_round}, value)


def _with_optimizer(method: Any, optimizer: str) -> Callable[[Local, float], Federated]:
    return lambda local, s: method(
        **local, server_step_size=s, server_optimizer=optimizer
    )


def _without(name: str, local: Local) -> Local:
    return {key: value for key, value in local.items() if key != name}


METHODS = {
    "FedAvg": TunedMethod(lambda local, _: FedAvg(**local)),
    "FedAvgM": TunedMethod(_with_optimizer(FedAvg, "momentum"), SERVER_STEPS),
    "FedAdam": TunedMethod(_with_optimizer(FedAvg, "adam"), ADAPTIVE_STEPS),
    "FedYogi": TunedMethod(_with_optimizer(FedAvg, "yogi"), ADAPTIVE_STEPS),
    "FedProx": TunedMethod(
        lambda local, mu: FedProx(**local, proximal_precision=mu), (0.01, 0.1)
    ),
    "FedNova": TunedMethod(
        lambda local, _: FedNova(
            **_without("num_local_steps", local), num_local_epochs=3
        )
    ),
    "FedDyn": TunedMethod(
        lambda local, a: FedDyn(**local, proximal_precision=a), (0.01, 0.03, 0.1)
    ),
    "SCAFFOLD": TunedMethod(lambda local, _: SCAFFOLD(**local)),
    "SCAFFOLD, momentum": TunedMethod(
        _with_optimizer(SCAFFOLD, "momentum"), SERVER_STEPS
    ),
    "SCAFFOLD-M": TunedMethod(lambda local, _: SCAFFOLDM(**local)),
    "MimeSGD": TunedMethod(lambda local, _: MimeSGD(**local)),
    "BVR-L-SGD": TunedMethod(
        lambda local, _: BVRLSGD(**_without("clients_per_round", local))
    ),
    "FLEDGE": TunedMethod(lambda local, _: FLEDGE(**local)),
}
