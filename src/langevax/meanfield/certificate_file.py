"""The file in which a certificate keeps its search, so that another call goes on where one ended.

A ZIP archive of arrays with a JSON entry, written under a temporary name and renamed. Nothing in it is unpickled; the
archive's own checks and a hash of the problem refuse one that was altered or is of another problem.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from langevax.meanfield.clouds import Clouds
from langevax.meanfield.homotopy import Ascent
from langevax.meanfield.upper_bound import UpperBound
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run.checkpoint import CheckpointError, write_atomically

SEARCH_FORMAT = 2
SEARCH_NUMBERS = (
    "prior_objective",
    "rounds",
    "descents",
    "size",
    "num_particles",
    "moves",
    "bounded",
    "refusal",
    "history",
    "seconds",
)
"""Fields of a search that JSON holds."""
ASCENT_NUMBERS = ("temperature", "reached")
DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    zipfile.BadZipFile,
    EOFError,
    RuntimeError,
)


@runtime_checkable
class SavedSearch(Protocol):
    """The parts of a search that are not single numbers."""

    clouds: Clouds
    history: list[tuple[int, float, float]]
    lower: tuple[float, np.ndarray] | None
    upper: tuple[float, UpperBound] | None
    ascent: Ascent | None


def problem_hash(risk: MeanFieldRisk, temperature: float) -> str:
    """Return a hash of all that a certificate is about."""
    digest = hashlib.sha256(f"{temperature!r} {jax.tree.structure(risk)}".encode())
    for leaf in jax.tree.leaves(eqx.filter(risk, eqx.is_array_like)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def save_search(file: Path, search: SavedSearch, problem: str) -> None:
    """Write the state of a search."""
    state: dict[str, Any] = {"format": SEARCH_FORMAT, "problem": problem}
    state |= {name: getattr(search, name) for name in SEARCH_NUMBERS}
    state |= {
        "work": search.clouds.work,
        "draws": search.clouds.draws,
    }
    arrays: dict[str, np.ndarray] = {}
    if search.lower is not None:
        state["lower"], arrays["lower"] = search.lower
    if search.upper is not None:
        high, bound = search.upper
        state["upper"] = [high, bound.value, bound.error, bound.freedom]
        arrays["upper"] = bound.outputs
    if (ascent := search.ascent) is not None:
        state["ascent"] = {name: getattr(ascent, name) for name in ASCENT_NUMBERS}
        arrays |= {"dual": ascent.dual, "cloud": ascent.cloud}
        arrays |= {"path": np.stack([np.asarray(tilt) for tilt in ascent.path])}
        arrays |= {"counted": np.array(ascent.counted)}
    arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content.getbuffer())
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {str(file)!r} cannot be written ({error.strerror})."
        ) from error


def read_search(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the state in a file, its numbers and its arrays.

    Raises:
        CheckpointError: the file is damaged, or of another format.
    """
    where = f"checkpoint {str(file)!r}"
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        state = json.loads(arrays["state"].tobytes())
        number = state["format"]
        _ = state["problem"]
    except DAMAGE as error:
        raise CheckpointError(
            f"{where} is not a search that certify saved ({error}); name another file."
        ) from error
    if number != SEARCH_FORMAT:
        raise CheckpointError(
            f"{where} has format {number}, this langevax reads {SEARCH_FORMAT}; name another file."
        )
    return state, arrays


def load_search(file: Path, search: SavedSearch, problem: str) -> None:
    """Set the state of a search to that in a file.

    Raises:
        CheckpointError: the file is damaged, of another format, or of another problem.
    """
    where = f"checkpoint {str(file)!r}"
    state, arrays = read_search(file)
    if state["problem"] != problem:
        raise CheckpointError(
            f"{where} is of other rows, another network or temperature; name another file."
        )
    try:
        _restore(search, state, arrays)
    except DAMAGE as error:
        raise CheckpointError(
            f"{where} is not a search that certify saved ({error}); name another file."
        ) from error


def _restore(
    search: SavedSearch, state: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    for name in SEARCH_NUMBERS:
        setattr(search, name, state[name])
    search.history = [tuple(point) for point in state["history"]]
    search.clouds.work, search.clouds.draws = state["work"], state["draws"]
    if "lower" in state:
        search.lower = state["lower"], arrays["lower"]
    if "upper" in state:
        high, value, error, freedom = state["upper"]
        search.upper = high, UpperBound(value, error, freedom, arrays["upper"])
    if "ascent" in state:
        path = [jnp.asarray(tilt, search.clouds.dtype) for tilt in arrays["path"]]
        fields: dict[str, Any] = {name: arrays[name] for name in ("dual", "cloud")}
        fields |= {name: state["ascent"][name] for name in ASCENT_NUMBERS}
        search.ascent = Ascent(**fields, path=path, counted=tuple(arrays["counted"]))
