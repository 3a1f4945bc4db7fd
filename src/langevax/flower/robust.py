"""Aggregation of replies of which a few may be wrong, and a watch on clients whose replies stand far from the others'.

    median         of each number over the clients (Flower's FedMedian)
    trimmed-mean   of each number, without a fifth of the clients at each end (FedTrimmedAvg)
    krum           the reply whose n - f - 2 nearest others are nearest, f = (n - 3) / 2 rounded down, the most that
                   may be wrong (Krum: Blanchard, El Mhamdi, Guerraoui and Stainer 2017, section 4)

D. Yin, Y. Chen, R. Kannan and P. Bartlett, Byzantine-robust distributed learning (2018), treat the first two. All give
the clients equal weights. They stand in for the mean of methods that use replies in no other way.
"""

import statistics
import sys
from collections import Counter
from collections.abc import Mapping
from logging import WARNING, getLogger

import jax
import numpy as np
from flwr.serverapp.strategy import Strategy

from langevax import checks
from langevax._typing import PyTree
from langevax.federated import (
    FedAvg,
    Federated,
    FedProx,
    MimeSGD,
    MinibatchSARAH,
    MinibatchSGD,
)

AGGREGATIONS = ("mean", "median", "trimmed-mean", "krum")
AVERAGED = (FedAvg, FedProx, MinibatchSGD, MimeSGD, MinibatchSARAH)
"""Methods whose servers use the mean of all replies alone: no table, no memory, no step by a single client."""
PRIVACY = "DifferentialPrivacy"  # the beginning of the names of Flower's wrappers
TRIMMED = 0.2  # at each end, as in Flower
FEWEST = 4  # replies, among which one can be called far
FAR = 3.0  # times the median distance
EXCHANGES = 3  # in a row
log = getLogger("flwr").log


def check_aggregation(aggregation: str, algorithm: Federated) -> None:
    """Raise where an aggregation is unknown, or does not go with a method."""
    if aggregation not in AGGREGATIONS:
        known = ", ".join(map(repr, AGGREGATIONS))
        raise ValueError(
            f"aggregation must be one of {known}, got {checks.shown(aggregation)}."
        )
    if aggregation != "mean" and not isinstance(algorithm, AVERAGED):
        names = ", ".join(method.__name__ for method in AVERAGED)
        raise ValueError(
            f"aggregation is {aggregation!r}, but {type(algorithm).__name__} uses single replies, not only their mean; "
            f"pass 'mean', or take one of {names}."
        )


def refuse_wrapper(strategy: Strategy) -> None:
    """Raise where the caller of a method is one of Flower's wrappers of privacy, which do not announce themselves."""
    caller = sys._getframe(2).f_locals.get("self")
    if (
        isinstance(caller, Strategy)
        and caller is not strategy
        and type(caller).__name__.startswith(PRIVACY)
    ):
        raise ValueError(
            f"{type(caller).__name__} clips and adds noise to the arrays of Flower's own strategies; the messages of "
            "langevax hold others, so that nothing would be protected: pass the FederatedStrategy itself."
        )


def aggregate(aggregation: str, replies: Mapping[int, PyTree]) -> dict[int, PyTree]:
    """Return the replies, by client, with each replaced by the aggregate, so that this is their mean.

    Example:
        >>> replies = {0: np.array([1.0, 0.0]), 1: np.array([2.0, 1.0]), 4: np.array([-99.0, 2.0])}
        >>> aggregate("median", replies)[4]
        array([1., 1.])
    """
    if aggregation == "mean" or not replies:
        return dict(replies)
    if aggregation == "krum":
        whole = replies[list(replies)[_krum(_vectors(replies))]]
    else:
        whole = jax.tree.map(
            lambda *leaves: _of_numbers(aggregation, np.stack(leaves)),
            *replies.values(),
        )
    return dict.fromkeys(replies, whole)


def _of_numbers(aggregation: str, stacked: np.ndarray) -> np.ndarray:
    """Return the median or the trimmed mean over axis 0, in the dtype of the replies."""
    cut = 0 if aggregation == "median" else int(TRIMMED * len(stacked))
    ordered = np.sort(stacked, axis=0)[cut : len(stacked) - cut]
    center = (
        np.median(ordered, axis=0) if aggregation == "median" else ordered.mean(axis=0)
    )
    return np.asarray(center, stacked.dtype)


def _krum(vectors: np.ndarray) -> int:
    """Return the row that is nearest to its nearest others."""
    number = len(vectors)
    wrong = max(0, (number - 3) // 2)
    squares = np.stack([np.square(vectors - row).sum(-1) for row in vectors])
    nearest = np.sort(squares, axis=1)[:, 1 : 1 + max(1, number - wrong - 2)]
    return int(np.argmin(nearest.sum(axis=1)))


def _vectors(replies: Mapping[int, PyTree]) -> np.ndarray:
    rows = [
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(reply)])
        for reply in replies.values()
    ]
    return np.stack(rows).astype(np.float64)


class ReplyWatch:
    """Finds clients that are, exchange after exchange, far from the median of all replies."""

    def __init__(self) -> None:
        self.in_a_row: Counter[int] = Counter()

    def far(self, replies: Mapping[int, PyTree]) -> dict[int, float]:
        """Return the clients that have just been far in `EXCHANGES` exchanges in a row, and how many times as far.

        A client is far if its distance from the coordinatewise median is more than `FAR` times the median distance.
        """
        if len(replies) < FEWEST:
            return {}
        vectors = _vectors(replies)
        distances = np.linalg.norm(
            vectors - np.median(vectors, axis=0), axis=1
        ).tolist()
        usual = statistics.median(distances)
        ratios = {
            client: d / usual if usual > 0 else 0.0
            for client, d in zip(replies, distances, strict=True)
        }
        for client, ratio in ratios.items():
            self.in_a_row[client] = self.in_a_row[client] + 1 if ratio > FAR else 0
        return {
            client: ratio
            for client, ratio in ratios.items()
            if self.in_a_row[client] == EXCHANGES
        }

    def warn(self, replies: Mapping[int, PyTree]) -> None:
        """Log clients whose replies are wrong, or whose rows are unlike those of the others; `replies` by partition."""
        for partition, ratio in self.far(replies).items():
            log(
                WARNING,
                "The replies of client %d were %.3g times as far from the others as usual, and far in %d exchanges in "
                "a row: check its rows, labels and units; aggregation='median' bears a few such clients",
                *(partition, ratio, EXCHANGES),
            )
