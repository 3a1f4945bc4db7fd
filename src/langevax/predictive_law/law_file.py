"""The file of a saved law: arrays and a header with the hash of both. Nothing is ever unpickled."""

import os
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from langevax import checks, storage
from langevax.predictive_law.path import PredictivePath

LAW_FORMAT = 4
ARCHIVE_FORMAT = "langevax predictive distribution 3"
"""Of .npz files, which have neither densities of the prior nor a hash of the rows."""
MOST_INFLATED = 100
"""Bytes of the arrays for each byte of an .npz file."""


class SavedLaw(NamedTuple):
    """Content of the file of a law."""

    points: np.ndarray
    log_likelihoods: np.ndarray
    log_priors: np.ndarray | None
    path: PredictivePath
    method: str
    seconds: float
    rows: dict[str, str] | None
    """Types, shapes and hashes of rows and weights."""


def write(file: str | os.PathLike[str], law: SavedLaw) -> None:
    """Write a law; an earlier file of that name stays whole until the new one is complete."""
    checks.local_path("file", file)
    names = ("points", "log_likelihoods", "log_priors")
    arrays = {name: np.asarray(getattr(law, name)) for name in names}
    for field in fields(PredictivePath):
        arrays[f"path_{field.name}"] = np.asarray(getattr(law.path, field.name))
    header = {"format": LAW_FORMAT}
    header |= {name: getattr(law, name) for name in ("method", "seconds", "rows")}
    storage.write_arrays(Path(file), header, arrays)


def read(file: str | os.PathLike[str]) -> SavedLaw:
    """Return what `write` wrote.

    Raises:
        UnreadableError: no such file, one that is damaged, or of another format.
    """
    checks.local_path("file", file)
    path = Path(file)
    what = "a distribution of langevax"
    damaged = f"{str(file)!r} is damaged or not {what} ({{}}); save it again."
    with storage.read_as(storage.UnreadableError, damaged):
        if zipfile.is_zipfile(path):
            header, arrays = _archive(path)
        else:
            error = storage.UnreadableError
            header, arrays, _ = storage.read_arrays(path, LAW_FORMAT, what, error)
        curve = {
            field.name: arrays[f"path_{field.name}"] for field in fields(PredictivePath)
        }
        law = SavedLaw(
            arrays["points"],
            arrays["log_likelihoods"],
            arrays.get("log_priors"),
            PredictivePath(**curve),
            str(header["method"]),
            float(header["seconds"]),
            header.get("rows"),
        )
        sizes = [(array.ndim, array.dtype.kind) for array in law[:2]]
        if sizes != [(2, "f")] * 2 or len(law.points) != len(law.log_likelihoods):
            raise ValueError("its arrays do not belong together")
    return law


def _archive(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Return header and arrays of a file in the format before."""
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MOST_INFLATED * path.stat().st_size:
        raise ValueError(f"its arrays would have {size:,} bytes")
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if str(arrays["format"]) != ARCHIVE_FORMAT:
        raise ValueError(f"its format is {str(arrays['format'])[:80]!r}")
    return arrays, arrays
