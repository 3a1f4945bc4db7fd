"""Checkpoints that survive `kill -9` at any moment, and resume bit for bit.

    DIRECTORY/run.json               what run this is
    DIRECTORY/trace/FIRST-LAST.nc    records of steps FIRST..LAST, append-only, netCDF
    DIRECTORY/state/STEP/            the whole carry, by orbax, the last two kept

Records are written before the state that follows them, each under a temporary name that is renamed
when complete; records that no state follows are made again and deleted at resume. Nothing is pickled.
"""

import json
import os
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from langevax._version import __version__
from langevax.run.errors import CheckpointError
from langevax.run.recording import Part

FORMAT = 1
KEPT_STATES = 2
SAMPLED_BYTES = 2**16


def describe(tree: PyTree, label: str) -> dict[str, str]:
    """Every leaf by name as text: numbers as they are, arrays by shape, dtype and a checksum of a sample."""
    return {f"{label}{jax.tree_util.keystr(path)}": _leaf_text(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}


def _leaf_text(leaf: Any) -> str:
    if isinstance(leaf, jax.Array | np.ndarray):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = np.asarray(jax.random.key_data(leaf)).tobytes().hex()
            return f"{jax.random.key_impl(leaf)} key {data}"
        stride = max(1, -(-leaf.size * leaf.dtype.itemsize // SAMPLED_BYTES))
        rows = leaf if leaf.ndim == 0 else leaf[:: min(stride, max(leaf.shape[0], 1))]
        return f"{leaf.dtype}{list(leaf.shape)} checksum {zlib.crc32(np.asarray(rows).tobytes()):08x}"
    if callable(leaf):
        return f"{getattr(leaf, '__module__', '?')}.{getattr(leaf, '__qualname__', type(leaf).__qualname__)}"
    return repr(leaf)


class Checkpoint:
    """One run's directory. Opening it checks that it is this run's; `restore` gives what it holds."""

    def __init__(self, directory: str | os.PathLike, identity: dict[str, str], resume: bool):
        self.directory = Path(directory).absolute()
        self.traces, self.states = self.directory / "trace", self.directory / "state"
        record = self.directory / "run.json"
        found = record.exists()
        if found and not resume:
            raise CheckpointError(
                f"checkpoint {str(directory)!r} already holds a run; pass resume=True to go on with it, "
                "or name another directory."
            )
        if found:
            self._compare(record, identity)
        with self._writing():
            self.traces.mkdir(parents=True, exist_ok=True)
            self.states.mkdir(exist_ok=True)
            if not found:
                text = json.dumps({"format": FORMAT, "langevax": __version__, "identity": identity}, indent=1)
                _write_atomically(record, lambda path: path.write_text(text))
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT_STATES, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(self.states, options=options)

    def _compare(self, record: Path, identity: dict[str, str]) -> None:
        try:
            stored = json.loads(record.read_text())
            theirs = stored["identity"]
        except (ValueError, KeyError, OSError) as error:
            raise CheckpointError(
                f"{record} cannot be read ({error}); it is damaged. Name another directory, or restore this file."
            ) from error
        if stored.get("format") != FORMAT:
            raise CheckpointError(
                f"{record} has format {stored.get('format')}, this version reads {FORMAT}; "
                f"use langevax {stored.get('langevax')}."
            )
        changed = [name for name in sorted(theirs.keys() | identity.keys()) if theirs.get(name) != identity.get(name)]
        if changed:
            lines = "; ".join(
                f"{name} was {theirs.get(name, 'absent')}, now {identity.get(name, 'absent')}" for name in changed[:5]
            )
            more = f"; and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise CheckpointError(
                f"checkpoint {str(self.directory)!r} is of another run: {lines}{more}. Make these equal to go on, "
                "or name another directory."
            )

    def restore(self, template: PyTree, empty: Part | None) -> tuple[PyTree, list[Part]] | None:
        """The last state, on the devices of `template`, and all records before it; None if there is none."""
        step = self._manager.latest_step()
        if step is None:
            self._delete_orphans(0)
            return None
        leaves, structure = jax.tree.flatten(template)
        try:
            stored: dict[str, Any] = self._restore_state(step, leaves)
        except Exception as error:
            others = [s for s in self._manager.all_steps() if s != step]
            remedy = f"to go on from step {max(others)}" if others else "and restart with another directory"
            raise CheckpointError(
                f"the state of step {step} in {self.states / str(step)} cannot be read; it is damaged. "
                f"Delete that folder {remedy}; the records in {self.traces} are intact. ({_first_line(error)})"
            ) from error
        self._delete_orphans(step)
        restored = [stored.get(str(i), leaf) for i, leaf in enumerate(leaves)]
        parts = [] if empty is None else [self._read_part(path, empty) for path in sorted(self.traces.glob("*.nc"))]
        return jax.tree.unflatten(structure, restored), parts

    def _restore_state(self, step: int, leaves: list[Any]) -> dict[str, Any]:
        import orbax.checkpoint as ocp

        shapes = {
            str(i): jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
            for i, leaf in enumerate(leaves)
            if leaf.size
        }
        return dict(self._manager.restore(step, args=ocp.args.StandardRestore(shapes)))

    def save(self, step: int, carry: PyTree, pending: Part | None) -> None:
        """Records first, then the state; either is there whole or not at all."""
        import orbax.checkpoint as ocp

        if step in self._manager.all_steps():
            return
        with self._writing():
            if pending is not None and len(pending.steps):
                name = f"{int(pending.steps[0]):012d}-{int(pending.steps[-1]):012d}.nc"
                _write_atomically(self.traces / name, lambda path: _write_part(path, pending))
            leaves = {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(carry)) if leaf.size}
            self._manager.save(step, args=ocp.args.StandardSave(leaves))

    def close(self) -> None:
        """Let go of the directory."""
        self._manager.close()

    @contextmanager
    def _writing(self):
        try:
            yield
        except CheckpointError:
            raise
        except (OSError, ValueError, RuntimeError) as error:  # orbax reports a full disk as any of these
            raise CheckpointError(
                f"cannot write the checkpoint in {str(self.directory)!r}: {_first_line(error)}. What was saved before "
                "is intact; free space or make the directory writable, and run again with resume=True."
            ) from error

    def _delete_orphans(self, step: int) -> None:
        for path in self.traces.iterdir():
            if path.suffix != ".nc" or int(path.stem.split("-")[1]) > step:
                path.unlink()

    def _read_part(self, path: Path, empty: Part) -> Part:
        import xarray

        try:
            with xarray.open_dataset(path, engine="h5netcdf", decode_cf=False) as dataset:
                steps = np.asarray(dataset["steps"].values, np.int64)
                columns = {name: dataset[name].values.astype(e.dtype) for name, e in empty.columns.items()}
        except Exception as error:
            raise CheckpointError(
                f"the records in {path} cannot be read; the file is damaged. Restore it from a copy, "
                f"or start again with another directory. ({_first_line(error)})"
            ) from error
        return Part(steps, columns)


def _write_part(path: Path, part: Part) -> None:
    import xarray

    variables: dict[str, Any] = {"steps": ("draw", part.steps)}
    for name, column in part.columns.items():
        storable = column.astype(np.float32) if column.dtype.itemsize == 2 and column.dtype.kind in "fV" else column
        storable = storable.astype(np.int8) if storable.dtype == bool else storable
        variables[name] = (("draw", *(f"{name}_dim_{i}" for i in range(column.ndim - 1))), storable)
    xarray.Dataset(variables).to_netcdf(path, engine="h5netcdf")


def _write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    temporary = path.with_name(path.name + ".part")
    try:
        write(temporary)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
