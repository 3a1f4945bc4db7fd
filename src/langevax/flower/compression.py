"""Compression of clients' replies with error feedback: fewer bytes up, and what is not sent is added to the next reply.

    v <- reply + e;    send c(v);    e <- v - c(v)

    top-k:SHARE   the SHARE of all numbers that are largest in size, and where they stand: 8 bytes each
    int8          each array by its largest size in 127 steps: a byte a number, and 4 an array

Error feedback (Seide et al. 2014; Stich, Cordonnier and Jaggi, NeurIPS 2018) makes up for any such bias. e is in the
client's state of the run; what a late or rejected reply carried is lost.
"""

import math
from typing import NamedTuple

import jax
import numpy as np
from flwr.app import ArrayRecord

from langevax import checks
from langevax._typing import PyTree
from langevax.federated import FedAvg, Federated, FedProx, MinibatchSGD
from langevax.flower import wire
from langevax.flower.wire import Rejected

METHODS = (FedAvg, FedProx, MinibatchSGD)
"""Methods whose servers use the mean of one vector of each client, and whose clients keep nothing."""
TOP, INT8 = "top-k", "int8"
LEVELS = 127


class CompressedReply(NamedTuple):
    arrays: ArrayRecord
    error: np.ndarray
    """e, all numbers in one array."""


def check_compression(compression: str | None, algorithm: Federated) -> None:
    """Raise where a compression is unknown, or does not go with a method."""
    if compression is None:
        return
    known = isinstance(compression, str) and (
        compression == INT8 or _share(compression) is not None
    )
    if not known:
        raise ValueError(
            f"compression must be 'int8', 'top-k:SHARE' with a share in (0, 1], or None, got "
            f"{checks.shown(compression)}; pass for instance 'top-k:0.05'."
        )
    if not isinstance(algorithm, METHODS):
        names = ", ".join(method.__name__ for method in METHODS)
        raise ValueError(
            f"compression is {compression!r}, but replies of {type(algorithm).__name__} must arrive as they are; pass "
            f"None, or take one of {names}."
        )


def compress(
    compression: str, reply: PyTree, error: np.ndarray | None
) -> CompressedReply:
    """Return the arrays to send for a reply, and what is left for the next; as before where numbers are not finite."""
    leaves = [np.asarray(leaf, np.float32) for leaf in jax.tree.leaves(reply)]
    v = np.concatenate([leaf.ravel() for leaf in leaves])
    error = np.zeros_like(v) if error is None else error
    v = v + error
    share = _share(compression)
    if share is not None:
        largest = np.sort(
            np.argpartition(np.abs(v), -_number(share, v.size))[
                -_number(share, v.size) :
            ]
        )
        sent = np.zeros_like(v)
        sent[largest] = v[largest]
        arrays = [largest.astype(np.uint32), v[largest]]
    else:
        parts = np.split(v, np.cumsum([leaf.size for leaf in leaves])[:-1])
        scales = np.array(
            [np.abs(part).max(initial=0) / LEVELS for part in parts], np.float32
        )
        steps = [_steps(part, scale) for part, scale in zip(parts, scales, strict=True)]
        sent = np.concatenate(
            [q * scale for q, scale in zip(steps, scales, strict=True)]
        )
        arrays = [
            scales,
            *(q.reshape(leaf.shape) for q, leaf in zip(steps, leaves, strict=True)),
        ]
    rest = v - sent
    return CompressedReply(
        wire.pack(arrays), rest if np.isfinite(rest).all() else error
    )


def decompress(compression: str, record: ArrayRecord, shape: PyTree) -> PyTree:
    """Return the reply of these shapes; other arrays, and places that do not rise or are outside, are `Rejected`."""
    leaves, structure = jax.tree.flatten(shape)
    arrays = wire.unpack(record, _sent_shapes(compression, leaves))
    sizes = [math.prod(leaf.shape) for leaf in leaves]
    if _share(compression) is not None:
        places, values = arrays
        if places[-1] >= sum(sizes) or np.any(places[1:] <= places[:-1]):
            raise Rejected(
                "the places of its numbers do not rise, or are outside the model"
            )
        v = np.zeros(sum(sizes), np.float32)
        v[places] = values
        parts = np.split(v, np.cumsum(sizes)[:-1])
    else:
        parts = [
            q.astype(np.float32) * scale
            for scale, q in zip(arrays[0], arrays[1:], strict=True)
        ]
    shaped = [
        np.asarray(part.reshape(leaf.shape), leaf.dtype)
        for part, leaf in zip(parts, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, shaped)


def sent_bytes(compression: str, shape: PyTree) -> int:
    """Return the bytes of the arrays that stand for a reply."""
    sent = _sent_shapes(compression, jax.tree.leaves(shape))
    return sum(math.prod(one.shape) * np.dtype(one.dtype).itemsize for one in sent)


def _sent_shapes(
    compression: str, leaves: list[jax.ShapeDtypeStruct]
) -> list[jax.ShapeDtypeStruct]:
    if (share := _share(compression)) is not None:
        number = _number(share, sum(math.prod(leaf.shape) for leaf in leaves))
        return [
            jax.ShapeDtypeStruct((number,), np.uint32),
            jax.ShapeDtypeStruct((number,), np.float32),
        ]
    scales = jax.ShapeDtypeStruct((len(leaves),), np.float32)
    return [scales, *(jax.ShapeDtypeStruct(leaf.shape, np.int8) for leaf in leaves)]


def _share(compression: str) -> float | None:
    """The share of "top-k:SHARE"; None for another compression."""
    kind, _, text = compression.partition(":")
    try:
        share = float(text)
    except ValueError:
        return None
    return share if kind == TOP and 0 < share <= 1 else None


def _number(share: float, size: int) -> int:
    return max(1, math.ceil(share * size))


def _steps(part: np.ndarray, scale: np.float32) -> np.ndarray:
    """The nearest multiples of `scale`; 0 where they are not finite, since the scale says so."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        steps = np.rint(part / scale)
    return np.clip(np.nan_to_num(steps), -LEVELS, LEVELS).astype(np.int8)
