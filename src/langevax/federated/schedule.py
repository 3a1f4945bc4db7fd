"""The exchanges of a run one by one, in the order and with the keys of `simulate`.

A server and its clients call an exchange by its name: "initial/0", "round/1"; those of a `Periodic` "round/0/first" and
"round/0/otherwise".
"""

from typing import NamedTuple

from jax import random
from jaxtyping import Array, Key

from langevax.federated.exchange import Exchange, Periodic
from langevax.federated.rounds import Federated
from langevax.problems.federation import Clients
from langevax.run.program import INIT_STEP, START_STEP


class ScheduledExchange(NamedTuple):
    """One exchange of a run."""

    name: str
    exchange: Exchange
    order: int
    """Within the initial exchanges, or within its round."""


def initial_exchanges(algorithm: Federated) -> list[ScheduledExchange]:
    """The exchanges before the first round."""
    return [ScheduledExchange(f"initial/{i}", exchange, i) for i, exchange in enumerate(algorithm.initial_exchanges())]


def round_exchanges(algorithm: Federated, clients: Clients, step: int, restarted: bool) -> list[ScheduledExchange]:
    """The exchanges of round `step`; after a restart a `Periodic` begins again."""
    scheduled = []
    for i, exchange in enumerate(algorithm.exchanges(clients)):
        alternatives = _alternatives(i, exchange)
        later = isinstance(exchange, Periodic) and not restarted and step % int(exchange.period) != 0
        scheduled.append(alternatives[1 if later else 0])
    return scheduled


def by_name(algorithm: Federated, clients: Clients, name: str) -> Exchange:
    """The exchange of that name; its replies do not depend on `clients`.

    Raises:
        KeyError: the algorithm has no exchange of that name.
    """
    scheduled = initial_exchanges(algorithm)
    for i, exchange in enumerate(algorithm.exchanges(clients)):
        scheduled += _alternatives(i, exchange)
    return {one.name: one.exchange for one in scheduled}[name]


def _alternatives(index: int, exchange: Exchange | Periodic) -> list[ScheduledExchange]:
    if isinstance(exchange, Periodic):
        fields = ("first", "otherwise")
        return [ScheduledExchange(f"round/{index}/{name}", getattr(exchange, name), index) for name in fields]
    return [ScheduledExchange(f"round/{index}", exchange, index)]


def initial_key(key: Key[Array, ""], restart: int, index: int) -> Key[Array, ""]:
    """The key of an initial exchange: of `restart` 0 before the first round, of later ones between two rounds."""
    return random.fold_in(random.fold_in(key, INIT_STEP if restart == 0 else START_STEP - restart), index)


def round_key(key: Key[Array, ""], step: int, index: int) -> Key[Array, ""]:
    """The key of an exchange of round `step`."""
    return random.fold_in(random.fold_in(key, step), index)
