"""What a server keeps to go on after it died: one safetensors file, replaced between rounds as a whole."""

import json
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from langevax._version import __version__
from langevax.flower.wire import difference
from langevax.run import CheckpointError
from langevax.run.checkpoint import write_atomically

FORMAT = 1
NAME = "server.safetensors"


class Saved(NamedTuple):
    """A server between two rounds."""

    words: dict[str, Any]
    leaves: list[np.ndarray]


def save(folder: Path, run: str, words: dict[str, Any], state: Any) -> None:
    """Write the server's state, and what else it needs, over the one before.

    Raises:
        CheckpointError: it cannot be written; the one before is intact.
    """
    from safetensors.numpy import save as as_bytes

    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    tensors = {f"{i:06d}": np.ascontiguousarray(leaf).reshape(-1).view(np.uint8) for i, leaf in enumerate(leaves)}
    kinds = [[leaf.dtype.name, list(leaf.shape)] for leaf in leaves]
    about = {"format": FORMAT, "langevax": __version__, "run": run, "words": words, "leaves": kinds}
    about["checksum"] = _checksum(tensors)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / NAME, as_bytes(tensors, metadata={"langevax": json.dumps(about)}))
    except OSError as error:
        raise CheckpointError(
            f"cannot write the checkpoint in {str(folder)!r}: {error.strerror}. What was saved before is intact; free "
            "space or make the folder writable, and run again with resume."
        ) from error


def exists(folder: Path) -> bool:
    """Whether the folder holds a server's state."""
    return (folder / NAME).is_file()


def load(folder: Path, run: str) -> Saved:
    """The server's state.

    Raises:
        CheckpointError: it is damaged, of another version, or of another run.
    """
    from safetensors import safe_open

    path = folder / NAME
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            about = json.loads(file.metadata()["langevax"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        kinds, words = about["leaves"], dict(about["words"])
        if about["format"] == FORMAT and _checksum(tensors) != about["checksum"]:
            raise ValueError("its checksum differs")
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}: {error}); it is damaged. Restore it from a copy, or name "
            "another folder."
        ) from error
    if about["format"] != FORMAT:
        raise CheckpointError(f"{path} has format {about['format']}; use langevax {about['langevax']}.")
    if (changed := difference(run, about["run"])) is not None:
        raise CheckpointError(f"the checkpoint in {str(folder)!r} is of another run: {changed}. Name another folder.")
    leaves = [tensors[f"{i:06d}"].view(jnp.dtype(name)).reshape(shape) for i, (name, shape) in enumerate(kinds)]
    return Saved(words, leaves)


def _checksum(tensors: dict[str, np.ndarray]) -> int:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].tobytes(), total)
    return total
