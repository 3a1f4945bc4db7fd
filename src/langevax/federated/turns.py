"""The exchanges of a run one by one, in the order and with the keys that `simulate` gives them.

A server and its clients call an exchange by its name: "opening/0", "round/1"; of a `Periodic` "round/0/first" and
"round/0/otherwise".
"""

from typing import NamedTuple

from jax import random
from jaxtyping import Array, Key

from langevax.algorithm import INIT_STEP, START_STEP
from langevax.federated.exchange import Exchange, Periodic
from langevax.federated.rounds import Federated
from langevax.problems.federation import Roster


class Turn(NamedTuple):
    """One exchange of a run."""

    name: str
    exchange: Exchange
    place: int
    """In the opening or in its round."""


def of_opening(algorithm: Federated) -> list[Turn]:
    """The exchanges before the first round."""
    return [Turn(f"opening/{place}", exchange, place) for place, exchange in enumerate(algorithm.opening())]


def of_round(algorithm: Federated, roster: Roster, step: int, fresh: bool) -> list[Turn]:
    """The exchanges of round `step`; a `fresh` server knows nothing yet, so that a `Periodic` begins again."""
    turns = []
    for place, exchange in enumerate(algorithm.exchanges(roster)):
        alternatives = _alternatives(place, exchange)
        later = isinstance(exchange, Periodic) and not fresh and step % int(exchange.period) != 0
        turns.append(alternatives[1 if later else 0])
    return turns


def named(algorithm: Federated, roster: Roster, name: str) -> Exchange:
    """The exchange that a message names; a reply depends on nothing of the roster.

    Raises:
        KeyError: the algorithm has none of that name.
    """
    turns = of_opening(algorithm)
    for place, exchange in enumerate(algorithm.exchanges(roster)):
        turns += _alternatives(place, exchange)
    return {turn.name: turn.exchange for turn in turns}[name]


def _alternatives(place: int, exchange: Exchange | Periodic) -> list[Turn]:
    if isinstance(exchange, Periodic):
        return [Turn(f"round/{place}/{field}", getattr(exchange, field), place) for field in ("first", "otherwise")]
    return [Turn(f"round/{place}", exchange, place)]


def key_of_opening(key: Key[Array, ""], number: int, place: int) -> Key[Array, ""]:
    """Of an exchange of opening `number`: 0 before the first round, others where a run begins anew in its midst."""
    step = INIT_STEP if number == 0 else START_STEP - number
    return random.fold_in(random.fold_in(key, step), place)


def key_of_round(key: Key[Array, ""], step: int, place: int) -> Key[Array, ""]:
    """Of an exchange of round `step`."""
    return random.fold_in(random.fold_in(key, step), place)
