"""The file of a saved law: arrays and a header with the hash of both. Nothing is ever unpickled."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from langevax import checks, storage

FORMAT = 4


def write(
    file: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    """Write a law; an earlier file of that name stays whole until the new one is complete."""
    checks.local_path("file", file)
    storage.write_arrays(Path(file), {"format": FORMAT} | header, arrays)


def read(file: str | os.PathLike[str]) -> storage.StoredArrays:
    """Return what `write` wrote.

    Raises:
        UnreadableError: no such file, one that is damaged, or of another format.
    """
    checks.local_path("file", file)
    path = Path(file)
    if path.is_file() and path.open("rb").read(2) == b"PK":
        raise storage.UnreadableError(
            f"{str(file)!r} is an .npz file, as earlier versions of langevax wrote distributions; fit again."
        )
    what = "a distribution of langevax"
    return storage.read_arrays(path, FORMAT, what, storage.UnreadableError)
