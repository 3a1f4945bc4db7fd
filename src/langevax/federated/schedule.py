"""The exchanges of a run one by one, in the order and with the keys of `simulate`.

A server and its clients call an exchange by its name: "initial/0", "round/1"; those of a `Periodic` "round/0/first" and
"round/0/otherwise".
"""

from typing import NamedTuple

from jax import random

from langevax._typing import PRNGKey
from langevax.algorithm import INIT_STEP, START_STEP
from langevax.federated.exchange import Exchange, Periodic
from langevax.federated.rounds import Federated
from langevax.problems.federation import Clients


class ScheduledExchange(NamedTuple):
    """One exchange of a run."""

    name: str
    exchange: Exchange
    order: int
    """Within the initial exchanges, or within its round."""
    step: int
    """Of its round; a number that no round has for initial exchanges."""

    def key(self, key: PRNGKey) -> PRNGKey:
        """Return the key of this exchange in a run with this key."""
        return random.fold_in(random.fold_in(key, self.step), self.order)


def initial_exchanges(
    algorithm: Federated, earlier_starts: int = 0
) -> list[ScheduledExchange]:
    """The exchanges before the first round; after earlier starts, those between two rounds."""
    step = INIT_STEP if earlier_starts == 0 else START_STEP - earlier_starts
    exchanges = enumerate(algorithm.initial_exchanges())
    return [
        ScheduledExchange(f"initial/{i}", exchange, i, step)
        for i, exchange in exchanges
    ]


def round_exchanges(
    algorithm: Federated,
    clients: Clients,
    step: int,
    just_started: bool,
) -> list[ScheduledExchange]:
    """The exchanges of round `step`; after a start a `Periodic` begins again."""
    scheduled = []
    for i, exchange in enumerate(algorithm.exchanges(clients)):
        alternatives = _alternatives(exchange, i, step)
        later = (
            isinstance(exchange, Periodic)
            and not just_started
            and step % int(exchange.period) != 0
        )
        scheduled.append(alternatives[1 if later else 0])
    return scheduled


def by_name(algorithm: Federated, clients: Clients, name: str) -> Exchange:
    """The exchange of that name, `KeyError` where there is none; its replies do not depend on `clients`."""
    scheduled = initial_exchanges(algorithm)
    for i, exchange in enumerate(algorithm.exchanges(clients)):
        scheduled += _alternatives(exchange, i, 0)
    return {one.name: one.exchange for one in scheduled}[name]


def _alternatives(
    exchange: Exchange | Periodic, order: int, step: int
) -> list[ScheduledExchange]:
    if not isinstance(exchange, Periodic):
        return [ScheduledExchange(f"round/{order}", exchange, order, step)]
    first = ScheduledExchange(f"round/{order}/first", exchange.first, order, step)
    return [
        first,
        ScheduledExchange(f"round/{order}/otherwise", exchange.otherwise, order, step),
    ]
