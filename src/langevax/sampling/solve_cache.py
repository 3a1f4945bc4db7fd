"""Results of a solver in a file, by the numbers that it was called with.

Chains are the same for the same key, so that a run which was interrupted, started again with its file, reads the solves
that it has made and goes on with the next one. What is not as it was written is solved again.
"""

import hashlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

CHECKSUM = 16
"""Bytes of the hash of an entry. One without, of a version before 0.3, is solved again."""
Kind = Literal["forward_map", "adjoint"]


class SolveCacheError(OSError):
    """The file cannot be read or written: not a solve that failed, and a reason to stop."""


class SolveCache:
    """A file of solves, which several threads and processes may use at once.

    Args:
        file: made where there is none.
        wait: seconds for another process that writes.

    Raises:
        SolveCacheError: `file` cannot be opened, or is another one's.

    Example:
        >>> import tempfile
        >>> cache = SolveCache(tempfile.mkdtemp() + "/solves.db")
        >>> cache.write("forward_map", np.array([1.5, 2.0]), np.zeros(3))
        >>> cache.read("forward_map", np.zeros(3)), cache.read("forward_map", np.ones(3))
        (array([1.5, 2. ]), None)
    """

    def __init__(self, file: str | os.PathLike[str], wait: float = 60.0):
        self.file: str = os.fspath(file)
        self.lock: threading.Lock = threading.Lock()
        self.num_read = 0
        """Solves that were read instead of made."""
        try:
            self.connection: sqlite3.Connection = sqlite3.connect(
                self.file, timeout=wait, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._broken(error) from error
        weakref.finalize(self, self.connection.close)
        self._execute(
            "CREATE TABLE IF NOT EXISTS solves (key BLOB PRIMARY KEY, dtype TEXT, "
            "shape TEXT, numbers BLOB)"
        )

    def _execute(self, command: str, values: tuple[Any, ...] = ()) -> Any:
        """Run a command, and return the first row that it finds, or None."""
        try:
            with self.lock, self.connection:
                return self.connection.execute(command, values).fetchone()
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def _broken(self, error: sqlite3.Error) -> SolveCacheError:
        return SolveCacheError(
            f"cache {self.file!r} cannot be used as a file of solves ({error}); name a "
            "new file in a folder that you may write to, with free space, or leave "
            "cache out."
        )

    def over(
        self, kind: Kind, function: Callable[..., object]
    ) -> Callable[..., object]:
        """Return a function of arrays that reads its results here, and stores those that are new; never what it raises."""

        def cached(*arguments: np.ndarray) -> object:
            stored = self.read(kind, *arguments)
            if stored is not None:
                with self.lock:
                    self.num_read += 1
                return stored
            result: Any = function(*(argument.copy() for argument in arguments))
            returned = np.ma.filled(result, np.nan)
            if returned.dtype.kind in "fiu":
                self.write(kind, returned, *arguments)
            return returned

        return cached

    def read(self, kind: Kind, *arguments: np.ndarray) -> np.ndarray | None:
        """Return the result of a call with these arguments; None where there is none, or it is not as it was written."""
        query = "SELECT dtype, shape, numbers FROM solves WHERE key = ?"
        key = _key(kind, arguments)
        row = self._execute(query, (key,))
        if row is None or not isinstance(row[2], bytes):
            return None
        dtype, shape, stored = row
        numbers = stored[CHECKSUM:]
        if stored[:CHECKSUM] != _checksum(key, dtype, shape, numbers):
            return None
        sizes = [int(size) for size in shape.split()]
        return np.frombuffer(numbers, dtype).reshape(sizes).copy()

    def write(self, kind: Kind, result: np.ndarray, *arguments: np.ndarray) -> None:
        """Store the result of a call."""
        about = result.dtype.str, " ".join(map(str, result.shape))
        key, numbers = _key(kind, arguments), result.tobytes()
        record = (key, *about, _checksum(key, *about, numbers) + numbers)
        self._execute("INSERT OR REPLACE INTO solves VALUES (?, ?, ?, ?)", record)


def _checksum(key: bytes, dtype: object, shape: object, numbers: bytes) -> bytes:
    """Return the hash of an entry, which stands before its numbers."""
    digest = hashlib.blake2b(key, digest_size=CHECKSUM)
    digest.update(f"{dtype} {shape} ".encode(errors="replace"))
    digest.update(numbers)
    return digest.digest()


def _key(kind: Kind, arguments: tuple[np.ndarray, ...]) -> bytes:
    digest = hashlib.blake2b(kind.encode(), digest_size=20)
    for argument in arguments:
        digest.update(f"{argument.dtype.str}{argument.shape}".encode())
        digest.update(np.ascontiguousarray(argument).tobytes())
    return digest.digest()
