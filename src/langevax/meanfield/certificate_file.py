"""The file in which a certificate keeps its search, so that another call goes on where one ended.

A ZIP archive of arrays with a JSON entry, written under a temporary name and renamed. Nothing in it is unpickled; the
archive's own checks and a hash of the problem refuse one that was altered or is of another problem.
"""

import hashlib
import io
import json
import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from langevax import checks
from langevax.meanfield.clouds import Clouds
from langevax.meanfield.homotopy import Ascent
from langevax.meanfield.interval_search import Known
from langevax.meanfield.upper_bound import UpperBound
from langevax.problems.mean_field import MeanFieldRisk
from langevax.run.checkpoint import CheckpointError, write_atomically

SEARCH_FORMAT = 2
SEARCH_NUMBERS = tuple(
    field.name
    for field in fields(Known)
    if field.name not in ("lower", "upper", "ascent")
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


def problem_hash(risk: MeanFieldRisk, temperature: float) -> str:
    """Return a hash of all that a certificate is about."""
    digest = hashlib.sha256(f"{temperature!r} {jax.tree.structure(risk)}".encode())
    for leaf in jax.tree.leaves(eqx.filter(risk, eqx.is_array_like)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class SearchFile:
    """A file in which the search for one problem is kept."""

    path: Path
    problem: str
    """Its hash."""

    @classmethod
    def of(
        cls,
        checkpoint: str | os.PathLike[str],
        risk: MeanFieldRisk,
        temperature: float,
    ) -> "SearchFile":
        """Return the file of a certificate."""
        checks.local_path("checkpoint", checkpoint)
        return cls(Path(checkpoint), problem_hash(risk, temperature))

    def save(self, known: Known, clouds: Clouds) -> None:
        """Write what is known, and where the random numbers and the work are."""
        state: dict[str, Any] = {"format": SEARCH_FORMAT, "problem": self.problem}
        state |= {name: getattr(known, name) for name in SEARCH_NUMBERS}
        state |= {"work": clouds.work, "draws": clouds.draws}
        arrays: dict[str, np.ndarray] = {}
        if known.lower is not None:
            state["lower"], arrays["lower"] = known.lower
        if known.upper is not None:
            high, bound = known.upper
            state["upper"] = [high, bound.value, bound.error, bound.freedom]
            arrays["upper"] = bound.outputs
        if (ascent := known.ascent) is not None:
            state["ascent"] = {name: getattr(ascent, name) for name in ASCENT_NUMBERS}
            arrays |= {"dual": ascent.dual, "cloud": ascent.cloud}
            arrays |= {"path": np.stack([np.asarray(tilt) for tilt in ascent.path])}
            arrays |= {"counted": np.array(ascent.counted)}
        arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
        content = io.BytesIO()
        np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, content.getbuffer())
        except OSError as error:
            raise CheckpointError(
                f"checkpoint {str(self.path)!r} cannot be written ({error.strerror})."
            ) from error

    def load(self, clouds: Clouds, resume: bool) -> Known:
        """Return what the file knows, if there is one, and set the work and the random numbers to where they were.

        Raises:
            CheckpointError: the file is there and `resume` is False, is damaged, of another format or problem.
        """
        where = f"checkpoint {str(self.path)!r}"
        if not self.path.exists():
            return Known()
        if not resume:
            raise CheckpointError(
                f"{where} exists; pass resume=True to go on with it, or name another file."
            )
        state, arrays = read_search(self.path)
        if state["problem"] != self.problem:
            raise CheckpointError(
                f"{where} is of other rows, another network or temperature; name another file."
            )
        try:
            known = _known(state, arrays, clouds.dtype)
            clouds.work = state["work"]
            clouds.draws = state["draws"]
        except DAMAGE as error:
            raise CheckpointError(
                f"{where} is not a search that certify saved ({error}); name another file."
            ) from error
        return known


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


def _known(state: dict[str, Any], arrays: dict[str, np.ndarray], dtype: Any) -> Known:
    known = {name: state[name] for name in SEARCH_NUMBERS}
    known["history"] = tuple(tuple(point) for point in state["history"])
    if "lower" in state:
        known["lower"] = state["lower"], arrays["lower"]
    if "upper" in state:
        high, value, error, freedom = state["upper"]
        known["upper"] = high, UpperBound(value, error, freedom, arrays["upper"])
    if "ascent" in state:
        parts: dict[str, Any] = {name: arrays[name] for name in ("dual", "cloud")}
        parts |= {name: state["ascent"][name] for name in ASCENT_NUMBERS}
        path = [jnp.asarray(tilt, dtype) for tilt in arrays["path"]]
        known["ascent"] = Ascent(**parts, path=path, counted=tuple(arrays["counted"]))
    return Known(**known)
