"""Verification of a checkpoint without the run that it belongs to: is all that it holds as it was written?

Every file is compared with its hash, the id of the run, and the step that its name states.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from langevax import checks
from langevax.locks import LOCK_FILE, Lock, LockedError
from langevax.run.checkpoint import (
    HASHES,
    RECORDS_NAME,
    CheckpointError,
    read_record,
    read_records,
    verify_state,
)


class VerifiedCheckpoint(NamedTuple):
    """Contents of a whole checkpoint."""

    steps: list[int]
    """Of its states."""
    num_records: int
    """Recorded steps up to the last state; later ones are made again."""


def verify(directory: str | os.PathLike[str]) -> VerifiedCheckpoint:
    """Read all of a checkpoint; raise `CheckpointError` where something is damaged, missing, or of another run."""
    with checks.needs("checkpoint", "A checkpoint"):
        import h5py  # noqa: F401
    path = Path(directory).absolute()
    with _unwritten(path):
        content = read_record(path / "run.json")[0]
        run = content["run"]
        states = sorted(
            int(file.parent.name) for file in path.glob(f"state/*/{HASHES}")
        )
        for step in states:
            _verify_state(path / "state" / str(step), run)
        last = max(states, default=0)
        steps = [
            _verified_steps(file, run, content["records"])
            for file in sorted(path.glob("trace/*.nc"))
            if _first(file) <= last
        ]
        recorded = np.concatenate([np.zeros(0, np.int64), *steps])
        if len(recorded) and not np.array_equal(
            recorded, recorded[0] * np.arange(1, len(recorded) + 1)
        ):
            raise CheckpointError(
                f"the records in {path / 'trace'} do not follow each other: a file is "
                "missing or was added. Restore it from a copy, or start again in "
                "another directory."
            )
    return VerifiedCheckpoint(states, len(recorded))


@contextmanager
def _unwritten(path: Path) -> Iterator[None]:
    """Hold the lock of a directory, where it can be locked, so that no run writes it meanwhile."""
    try:
        lock = Lock(path / LOCK_FILE, f"checkpoint {str(path)!r}")
    except LockedError as error:
        raise CheckpointError(str(error)) from None
    except (
        OSError
    ):  # of somebody else, or on a medium that cannot be written: nobody writes it
        yield
        return
    with lock:
        yield


def _verify_state(folder: Path, run: str) -> None:
    """Compare run, step and files of a state with what was written beside it."""
    try:
        verify_state(folder, run)
    except Exception as error:
        raise CheckpointError(
            f"the state in {folder} is damaged ({checks.first_line(error)}). Delete "
            "that folder to continue from the one before it, or start again in another "
            "directory."
        ) from None


def _first(file: Path) -> int:
    """Return the first step of a file of records, by its name; one beyond all steps for other files."""
    match = RECORDS_NAME.fullmatch(file.name)
    return int(match[1]) if match else sys.maxsize


def _verified_steps(file: Path, run: str, hashes: Mapping[str, str]) -> np.ndarray:
    """Return the recorded steps of a file, after all of it was read."""
    try:
        steps = np.asarray(read_records(file, run, hashes)["steps"], np.int64)
        if f"{steps[0]:012d}-{steps[-1]:012d}.nc" != file.name:
            raise ValueError(f"it holds steps {steps[0]} to {steps[-1]}")
    except Exception as error:
        raise CheckpointError(
            f"the records in {file} are damaged ({checks.first_line(error)}). Restore "
            "the file from a copy, or start again in another directory."
        ) from None
    return steps
