"""Checkpoints that survive `kill -9` at any moment, and resume bit for bit.

    DIRECTORY/run.json               what run this is
    DIRECTORY/trace/FIRST-LAST.nc    records of steps FIRST..LAST, append-only, netCDF
    DIRECTORY/state/STEP/            the whole carry, by orbax, the last two kept

Records are written before the state that follows them, each under a temporary name that is renamed
when complete; records that no state follows are made again and deleted at resume. Both carry
checksums: orbax sees a truncated file, not a changed bit. Nothing is pickled.
"""

import json
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from langevax._version import __version__
from langevax.run import processes
from langevax.run.errors import CheckpointError
from langevax.run.recording import Part

FORMAT = 1
KEPT_STATES = 2
SCATTERED = 0  # the checksum of arrays that lie in several processes: none is made
PART_NAME = re.compile(r"(\d+)-(\d+)\.nc")


class Checkpoint:
    """One run's directory. Opening it checks that it is this run's; `restore` gives what it holds.

    Of processes that run `together`, the first writes what is no state; states are written by all, each its part.
    """

    def __init__(self, directory: str | os.PathLike, identity: dict[str, str], resume: bool, together: bool = False):
        self.directory = Path(directory).absolute()
        self.traces, self.states = self.directory / "trace", self.directory / "state"
        record = self.directory / "run.json"
        with self._writing():
            self.traces.mkdir(parents=True, exist_ok=True)
            self.states.mkdir(exist_ok=True)
            held = any(path.name.isdigit() for path in self.states.iterdir())
        if held and not resume:
            raise CheckpointError(
                f"checkpoint {str(directory)!r} already holds a run; pass resume=True to go on with it, "
                "or name another directory."
            )
        if held:
            self._compare(record, identity)
        if together:
            processes.meet("checkpoint looked at")
        self.writes = not together or processes.first()
        with self._writing():
            if not held and self.writes:
                text = json.dumps({"format": FORMAT, "langevax": __version__, "identity": identity}, indent=1)
                write_atomically(record, text.encode())
            import orbax.checkpoint as ocp

            options = ocp.CheckpointManagerOptions(
                max_to_keep=KEPT_STATES, enable_async_checkpointing=False, cleanup_tmp_directories=True
            )
            self._manager = ocp.CheckpointManager(self.states, options=options)

    def _compare(self, record: Path, identity: dict[str, str]) -> None:
        try:
            stored = json.loads(record.read_text())
            version, written_by, theirs = stored["format"], stored["langevax"], dict(stored["identity"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CheckpointError(
                f"{record} cannot be read ({_first_line(error)}); it is damaged or gone. Restore this file from a "
                "copy, or name another directory."
            ) from error
        if version != FORMAT:
            raise CheckpointError(
                f"{record} has format {version}, this version reads {FORMAT}; use langevax {written_by}."
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

    def restore(self, template: PyTree, empty: Part | None, every: int) -> tuple[PyTree, list[Part]] | None:
        """The last state, on the devices of `template`, and all records up to it; None if there is none."""
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
        parts = [] if empty is None else [self._read_part(path, empty) for path, _ in sorted(self._parts())]
        if empty is not None:
            self._check_grid(np.concatenate([empty.steps, *(part.steps for part in parts)]), step, every)
        return jax.tree.unflatten(structure, restored), parts

    def _check_grid(self, steps: np.ndarray, last: int, every: int) -> None:
        wanted = np.arange(every, last + 1, every)
        if not np.array_equal(steps, wanted):
            wrong = np.setxor1d(steps, wanted)
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
        found, wanted = _checksum(stored), np.asarray(stored.pop("checksum"))
        if found != wanted and found != SCATTERED and wanted != SCATTERED:
            raise ValueError(f"its checksum is {found[0]:08x}, not {wanted[0]:08x}")
        return stored

    def save(self, step: int, carry: PyTree, pending: Part | None) -> None:
        """Records first, then the state; either is there whole or not at all."""
        import orbax.checkpoint as ocp

        if step in self._manager.all_steps():
            return
        with self._writing():
            if pending is not None and len(pending.steps) and self.writes:
                name = f"{int(pending.steps[0]):012d}-{int(pending.steps[-1]):012d}.nc"
                write_atomically(self.traces / name, _part_bytes(pending))
            leaves: dict[str, Any] = {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(carry)) if leaf.size}
            leaves["checksum"] = _checksum(leaves)
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

    def _parts(self) -> Iterator[tuple[Path, int]]:
        """Record files and the last step in each; whatever else somebody put there is left alone."""
        for path in self.traces.iterdir():
            if match := PART_NAME.fullmatch(path.name):
                yield path, int(match[2])

    def _delete_orphans(self, step: int) -> None:
        if not self.writes:
            return
        with self._writing():
            orphans = [path for path, last in self._parts() if last > step]
            for path in [*orphans, *self.traces.glob("*.nc.part")]:
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


def _part_bytes(part: Part) -> memoryview:
    """The netCDF file; made in memory, since HDF5 crashes the process some time after a disk was full."""
    import xarray

    variables: dict[str, Any] = {"steps": ("draw", part.steps)}
    for name, column in part.columns.items():
        storable = column.astype(np.float32) if column.dtype.itemsize == 2 and column.dtype.kind in "fV" else column
        storable = storable.astype(np.int8) if storable.dtype == bool else storable
        variables[name] = (("draw", *(f"{name}_dim_{i}" for i in range(column.ndim - 1))), storable)
    dataset = xarray.Dataset(variables)
    checked = {name: {"fletcher32": True} for name, variable in dataset.items() if variable.size}
    return dataset.to_netcdf(engine="h5netcdf", encoding=checked)


def _checksum(leaves: dict[str, Any]) -> np.ndarray:
    """Of all leaves, in order of their names; SCATTERED where this process has not the whole of each."""
    arrays = [leaves[name] for name in sorted(leaves.keys() - {"checksum"})]
    total = SCATTERED
    if all(array.is_fully_addressable for array in arrays):
        for array in arrays:
            total = zlib.crc32(np.asarray(array).tobytes(), total)
    return np.array([total], np.uint32)


def write_atomically(path: Path, content: bytes | memoryview) -> None:
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


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:500]}" if lines else type(error).__name__
