"""SHA-256 hashes of row files, by which damage to a file is detected and its rows are named.

The rows of a group are hashed in blocks of `HASHED_BYTES` as they are written. Reading compares them before the first
use of a group, where that takes about a second; `Rows.check` and `langevax check` compare all of them.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

HASHED_BYTES = 1 << 24
CHECKED_BYTES = (
    1 << 30
)  # of a group; larger ones are beyond what a user waits for unasked


class BlockHashes:
    """Hashes of a stream of bytes, one for each `HASHED_BYTES` of it."""

    def __init__(self) -> None:
        self._finished: list[str] = []
        self._block = sha256()
        self._size = 0

    def update(self, rows: np.ndarray) -> None:
        """Append the bytes of contiguous rows."""
        data = rows.data.cast("B")
        while len(data):
            part = data[: HASHED_BYTES - self._size]
            self._block.update(part)
            self._size += len(part)
            data = data[len(part) :]
            if self._size == HASHED_BYTES:
                self._finished.append(self._block.hexdigest())
                self._block = sha256()
                self._size = 0

    def finish(self) -> list[str]:
        """Return the hashes of all blocks; the last one may be shorter."""
        return (
            [*self._finished, self._block.hexdigest()] if self._size else self._finished
        )


def split_map(rows: np.memmap) -> tuple[memoryview, memoryview]:
    """Return the header and the rows of a mapped `.npy` file as bytes."""
    base: Any = rows.base
    data = memoryview(base)
    start = len(data) - rows.nbytes
    return data[:start], data[start:]


def damaged_rows(rows: np.memmap, hashes: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last row of each block that differs from its hash."""
    _, data = split_map(rows)
    row_bytes = rows.nbytes // len(rows)
    for i, expected in enumerate(hashes):
        start = i * HASHED_BYTES
        stop = min((i + 1) * HASHED_BYTES, rows.nbytes)
        if sha256(data[start:stop]).hexdigest() != expected:
            yield start // row_bytes, (stop - 1) // row_bytes
