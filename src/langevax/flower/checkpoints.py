"""The checkpoint of a server: one safetensors file, replaced as a whole between rounds."""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from langevax._typing import PyTree
from langevax._version import __version__
from langevax.flower.wire import difference
from langevax.locks import LOCK_FILE, Lock, LockedError
from langevax.run import CheckpointError
from langevax.storage import write_atomically

SERVER_FORMAT = 3
SERVER_FILE = "server.safetensors"


class SavedServer(NamedTuple):
    """A server between two rounds."""

    progress: dict[str, Any]
    leaves: list[np.ndarray]


def save(
    folder: Path,
    run: str,
    progress: dict[str, Any],
    state: PyTree,
) -> None:
    """Write the server's state and progress in place of the last checkpoint, which stays intact if that fails."""
    from safetensors.numpy import save as as_bytes

    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    tensors = {
        f"{i:06d}": np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)
        for i, leaf in enumerate(leaves)
    }
    header = {
        "format": SERVER_FORMAT,
        "langevax": __version__,
        "run": run,
        "progress": progress,
        "leaves": [[leaf.dtype.name, list(leaf.shape)] for leaf in leaves],
    }
    header["checksum"] = _checksum(header, tensors)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(
            folder / SERVER_FILE,
            as_bytes(tensors, metadata={"langevax": json.dumps(header)}),
        )
    except OSError as error:
        raise CheckpointError(
            f"cannot write the checkpoint in {str(folder)!r}: {error.strerror}. What "
            "was saved before is intact; free space or make the folder writable, and "
            "run again with resume."
        ) from error


@contextmanager
def locked(folder: Path | None) -> Iterator[None]:
    """Hold the lock of a checkpoint's folder, which is made; raise `CheckpointError` where another server holds it."""
    lock: AbstractContextManager[object] = nullcontext()
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = Lock(folder / LOCK_FILE, f"checkpoint {str(folder)!r}")
        except LockedError as error:
            raise CheckpointError(str(error)) from None
        except OSError as error:
            raise CheckpointError(
                f"cannot write the checkpoint in {str(folder)!r}: {error.strerror}. "
                "Make the folder writable, or name another."
            ) from error
    with lock:
        yield


def exists(folder: Path) -> bool:
    """True if the folder holds a checkpoint."""
    return (folder / SERVER_FILE).is_file()


def load(folder: Path, run: str) -> SavedServer:
    """Return the checkpoint; raise `CheckpointError` where it is damaged, of another version, or of another run."""
    own, saved = read(folder)
    if (changed := difference(run, own)) is not None:
        raise CheckpointError(
            f"the checkpoint in {str(folder)!r} is of another run: {changed}. Name "
            "another folder."
        )
    return saved


def read(folder: Path) -> tuple[str, SavedServer]:
    """Return the description of the run, and its checkpoint; raise `CheckpointError` where it is damaged."""
    from safetensors import safe_open

    path = folder / SERVER_FILE
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            header = json.loads(file.metadata()["langevax"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["format"] != SERVER_FORMAT:
            raise CheckpointError(
                f"{path} has format {header['format']}; use langevax "
                f"{header['langevax']}."
            )
        leaves = [
            tensors[f"{i:06d}"].view(jnp.dtype(name)).reshape(shape)
            for i, (name, shape) in enumerate(header["leaves"])
        ]
        if _checksum(header, tensors) != header["checksum"]:
            raise ValueError("its checksum differs")
        return str(header["run"]), SavedServer(dict(header["progress"]), leaves)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}: {error}); it is damaged. "
            "Restore it from a copy, or name another folder."
        ) from error


def _checksum(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> int:
    """Return the CRC-32 of the header, without its entry for it, and of all tensors."""
    rest = {name: value for name, value in header.items() if name != "checksum"}
    total = zlib.crc32(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].tobytes(), total)
    return total
