"""Checkpoints that survive `kill -9` at any moment and resume bit for bit.

    DIRECTORY/run.json               identity of the run
    DIRECTORY/trace/FIRST-LAST.nc    records of steps FIRST..LAST, append-only, netCDF
    DIRECTORY/state/STEP/            the whole carry, written by orbax, the last two

Records are written before the state that follows them, each under a temporary name that is renamed when complete;
records that no state follows are deleted at resume and made again. Both carry checksums: orbax detects a truncated
file, not a changed bit. Nothing is pickled.
"""

import dataclasses
import json
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from langevax import checks
from langevax._typing import PyTree
from langevax._version import __version__
from langevax.run import processes
from langevax.run.processes import first_line
from langevax.run.result import Records

FORMAT = 2
STATES_TO_KEEP = 2
NO_CHECKSUM = 0  # of arrays that span several processes
SAMPLED_BYTES = 2**24  # of a larger array, evenly spaced rows enter the checksum
RECORDS_NAME = re.compile(r"(\d+)-(\d+)\.nc")


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, read, or continued; the message says which, and what to do."""


class Checkpoint:
    """The directory of one run. Opening it checks that it belongs to this run; `restore` reads it.

    If several processes share the run (`shared`), the first writes everything but the states, of which each writes its
    part.
    """

    def __init__(self, directory: str | os.PathLike[str], identity: dict[str, str], resume: bool, shared: bool = False):
        with checks.needs("checkpoint", "A checkpoint"):
            import h5netcdf  # noqa: F401
            import orbax.checkpoint as ocp
            import xarray  # noqa: F401
        self.directory: Path = Path(directory).absolute()
        self.traces: Path = self.directory / "trace"
        self.states: Path = self.directory / "state"
        record = self.directory / "run.json"
        with self._writing():
            self.traces.mkdir(parents=True, exist_ok=True)
            self.states.mkdir(exist_ok=True)
            has_run = any(path.name.isdigit() for path in self.states.iterdir())
        if has_run and not resume:
            raise CheckpointError(
                f"checkpoint {str(directory)!r} already holds a run; pass resume=True to continue it, "
                "or name another directory."
            )
        if has_run:
            self._compare(record, identity)
        if shared:
            processes.wait_for_all("checkpoint opened")
        self.writes: bool = not shared or processes.is_first()
        with self._writing():
            if not has_run and self.writes:
                text = json.dumps({"format": FORMAT, "langevax": __version__, "identity": identity}, indent=1)
                write_atomically(record, text.encode())
            options = ocp.CheckpointManagerOptions(
                max_to_keep=STATES_TO_KEEP, enable_async_checkpointing=False, cleanup_tmp_directories=True
            )
            self._manager = ocp.CheckpointManager(self.states, options=options)

    def _compare(self, record: Path, identity: dict[str, str]) -> None:
        try:
            stored = json.loads(record.read_text())
            version, written_by, saved = stored["format"], stored["langevax"], dict(stored["identity"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CheckpointError(
                f"{record} cannot be read ({first_line(error)}); it is damaged or missing. Restore this file from a "
                "copy, or name another directory."
            ) from error
        if version != FORMAT:
            raise CheckpointError(
                f"{record} has format {version}, but this version of langevax reads format {FORMAT}; it was written by "
                f"langevax {written_by}. Continue it with that version, or start again in another directory."
            )
        changed = [name for name in sorted(saved.keys() | identity.keys()) if saved.get(name) != identity.get(name)]
        if changed:
            lines = "; ".join(
                f"{name} was {saved.get(name, 'absent')}, now {identity.get(name, 'absent')}" for name in changed[:5]
            )
            more = f"; and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise CheckpointError(
                f"checkpoint {str(self.directory)!r} belongs to another run: {lines}{more}. Make these equal to "
                "continue it, or name another directory."
            )

    def restore(self, template: PyTree, empty: Records | None, every: int) -> tuple[PyTree, list[Records]] | None:
        """Return the last state, on the devices of `template`, and all records up to it; None if there is none."""
        step = self._manager.latest_step()
        if step is None:
            self._delete_orphans(0)
            return None
        leaves, structure = jax.tree.flatten(template)
        try:
            stored: dict[str, Any] = self._restore_state(step, leaves)
        except Exception as error:
            others = [s for s in self._manager.all_steps() if s != step]
            remedy = f"to continue from step {max(others)}" if others else "and start again in another directory"
            raise CheckpointError(
                f"the state of step {step} in {self.states / str(step)} cannot be read; it is damaged. "
                f"Delete that folder {remedy}; the records in {self.traces} are intact. ({first_line(error)})"
            ) from error
        self._delete_orphans(step)
        restored = [stored.get(str(i), leaf) for i, leaf in enumerate(leaves)]
        if empty is None:
            return jax.tree.unflatten(structure, restored), []
        records = [self._read_records(path, empty) for path, _ in sorted(self._record_files())]
        self._check_grid(np.concatenate([empty.steps, *(part.steps for part in records)]), step, every)
        return jax.tree.unflatten(structure, restored), records

    def _check_grid(self, steps: np.ndarray, last: int, every: int) -> None:
        expected = np.arange(every, last + 1, every)
        if not np.array_equal(steps, expected):
            wrong = np.setxor1d(steps, expected)
            raise CheckpointError(
                f"the records in {self.traces} are not those of every {every} steps up to {last}: a file is missing or "
                f"was added (step {wrong[0] if len(wrong) else 'order'}). Restore it from a copy, or name another "
                "directory."
            )

    def _restore_state(self, step: int, leaves: list[Any]) -> dict[str, Any]:
        import orbax.checkpoint as ocp

        shapes = {
            str(i): jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
            for i, leaf in enumerate(leaves)
            if leaf.size
        }
        template = {**shapes, "checksum": np.zeros(1, np.uint32)}
        stored = dict(self._manager.restore(step, args=ocp.args.StandardRestore(template)))
        actual, expected = _checksum(stored), np.asarray(stored.pop("checksum"))
        if actual != expected and actual != NO_CHECKSUM and expected != NO_CHECKSUM:
            raise ValueError(f"its checksum is {actual[0]:08x}, not {expected[0]:08x}")
        return stored

    def save(self, step: int, carry: PyTree, pending: Records | None) -> None:
        """Write the records, then the state; either is complete or absent."""
        import orbax.checkpoint as ocp

        if step in self._manager.all_steps():
            return
        with self._writing():
            if pending is not None and len(pending.steps) and self.writes:
                name = f"{int(pending.steps[0]):012d}-{int(pending.steps[-1]):012d}.nc"
                write_atomically(self.traces / name, _netcdf(pending))
            leaves: dict[str, Any] = {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(carry)) if leaf.size}
            leaves["checksum"] = _checksum(leaves)
            self._manager.save(step, args=ocp.args.StandardSave(leaves))

    def close(self) -> None:
        """Release the directory."""
        self._manager.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except CheckpointError:
            raise
        except (OSError, ValueError, RuntimeError) as error:  # orbax reports a full disk as any of these
            raise CheckpointError(
                f"cannot write the checkpoint in {str(self.directory)!r}: {first_line(error)}. What was saved before "
                "is intact; free space or make the directory writable, and run again with resume=True."
            ) from error

    def _record_files(self) -> Iterator[tuple[Path, int]]:
        """Yield record files and the last step in each, ignoring other files."""
        for path in self.traces.iterdir():
            if match := RECORDS_NAME.fullmatch(path.name):
                yield path, int(match[2])

    def _delete_orphans(self, step: int) -> None:
        if not self.writes:
            return
        with self._writing():
            orphans = [path for path, last in self._record_files() if last > step]
            for path in [*orphans, *self.traces.glob("*.nc.part")]:
                path.unlink()

    def _read_records(self, path: Path, empty: Records) -> Records:
        import xarray

        try:
            with xarray.open_dataset(path, engine="h5netcdf", decode_cf=False) as dataset:
                steps = np.asarray(dataset["steps"].values, np.int64)
                columns = {name: dataset[name].values.astype(e.dtype) for name, e in empty.columns.items()}
        except Exception as error:
            raise CheckpointError(
                f"the records in {path} cannot be read; the file is damaged. Restore it from a copy, "
                f"or start again in another directory. ({first_line(error)})"
            ) from error
        return Records(steps, columns)


def _netcdf(records: Records) -> memoryview:
    """Return the netCDF file, made in memory, since HDF5 crashes the process some time after a disk was full."""
    import xarray

    variables: dict[str, Any] = {"steps": ("draw", records.steps)}
    for name, column in records.columns.items():
        storable = column.astype(np.float32) if column.dtype.itemsize == 2 and column.dtype.kind in "fV" else column
        storable = storable.astype(np.int8) if storable.dtype == bool else storable
        variables[name] = (("draw", *(f"{name}_dim_{i}" for i in range(column.ndim - 1))), storable)
    dataset = xarray.Dataset(variables)
    checked = {name: {"fletcher32": True} for name, variable in dataset.items() if variable.size}
    return dataset.to_netcdf(engine="h5netcdf", encoding=checked)


def _checksum(leaves: dict[str, Any]) -> np.ndarray:
    """Return the CRC of all leaves in order of their names; NO_CHECKSUM if this process holds a part of one only."""
    arrays = [leaves[name] for name in sorted(leaves.keys() - {"checksum"})]
    total = NO_CHECKSUM
    if all(array.is_fully_addressable for array in arrays):
        for array in arrays:
            total = zlib.crc32(np.asarray(array).tobytes(), total)
    return np.array([total], np.uint32)


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file under a temporary name, flush it to disk and rename it."""
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def describe(parts: dict[str, PyTree]) -> dict[str, str]:
    """Return the identity of a run as text, which a checkpoint compares before it is continued.

    Modules by class, numbers as they are, arrays by checksum, functions by name.
    """
    return {name: text for label, part in parts.items() for name, text in _described(label, part)}


def _described(label: str, tree: PyTree) -> Iterator[tuple[str, str]]:
    if isinstance(tree, eqx.Module):
        yield label, f"{type(tree).__module__}.{type(tree).__qualname__}"
        for field in dataclasses.fields(tree):  # static ones too
            yield from _described(f"{label}.{field.name}", getattr(tree, field.name))
        return
    for path, leaf in jax.tree.leaves_with_path(tree, is_leaf=lambda node: isinstance(node, eqx.Module)):
        name = f"{label}{jax.tree_util.keystr(path)}"
        if isinstance(leaf, eqx.Module):
            yield from _described(name, leaf)
        else:
            yield name, _text(leaf)


def _text(leaf: Any) -> str:
    if isinstance(leaf, jax.Array | np.ndarray):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return f"{jax.random.key_impl(leaf)} key {np.asarray(jax.random.key_data(leaf)).tolist()}"
        stride = max(1, -(-leaf.size * leaf.dtype.itemsize // SAMPLED_BYTES))
        rows = leaf if leaf.ndim == 0 else leaf[:: min(stride, max(leaf.shape[0], 1))]
        return f"{leaf.dtype}{list(leaf.shape)} checksum {zlib.crc32(np.asarray(rows).tobytes()):08x}"
    if callable(leaf):
        name = f"{getattr(leaf, '__module__', '?')}.{getattr(leaf, '__qualname__', type(leaf).__qualname__)}"
        numbers = ", ".join(_enclosed_numbers(leaf))
        return f"{name}({numbers})" if numbers else name
    return repr(leaf) if type(leaf).__repr__ is not object.__repr__ else type(leaf).__qualname__


def _enclosed_numbers(function: Any) -> Iterator[str]:
    """Yield `name=value` of the numbers in a function's closure, by which two optax schedules differ."""
    cells = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    for name, cell in zip(names, cells, strict=True):
        if isinstance(cell.cell_contents, int | float):
            yield f"{name}={float(cell.cell_contents)}"  # optax turns some of its ints into floats at the first call
