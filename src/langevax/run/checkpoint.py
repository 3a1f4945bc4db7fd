"""Checkpoints that survive `kill -9` at any moment and resume bit for bit.

    DIRECTORY/run.json               identity of the run, its random id, its outputs at the saved states, and hashes of
                                     records and of itself
    DIRECTORY/trace/FIRST-LAST.nc    records of steps FIRST..LAST, append-only, netCDF
    DIRECTORY/state/STEP/            the whole carry, written by orbax, the last two, and at last langevax.json: run, step,
                                     and hashes of the files

Records are written before the state that follows them, each under a temporary name that is renamed when complete;
records that no state follows, and a last state without hashes, are deleted at resume and made again. Both carry the run's
id; orbax detects a truncated file, not a changed bit. One process at a time writes a
directory. Nothing is pickled.
"""

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from langevax import checks
from langevax._typing import PyTree
from langevax._version import __version__
from langevax.locks import LOCK_FILE, Lock, LockedError
from langevax.run import processes
from langevax.run.identity import Outputs, RunIdentity, differences
from langevax.run.options import Resume
from langevax.run.result import Records
from langevax.run.signals import WITH_INTERRUPT, DelayedSignals
from langevax.storage import (
    HASH,
    UNFINISHED,
    checksum,
    file_hash,
    hash_of,
    read_as,
    read_object,
    write_atomically,
)

CHECKPOINT_FORMAT = 6
UNSEALED_FORMAT = 5
"""Of run.json without hashes: numbers of records have checksums of HDF5."""
RUN_ATTRIBUTE = "langevax_run"
HASHES = "langevax.json"
RECORDS_NAME = re.compile(r"(\d{12})-(\d{12})\.nc")


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, read, or continued; the message says which, and what to do."""


class Checkpoint:
    """The directory of one run. Opening it checks that it belongs to this run; `restore` reads it.

    If several processes share the run (`shared`), the first writes everything but the states, of which each writes its
    part.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        identity: RunIdentity,
        resume: Resume,
        shared: bool = False,
    ):
        with checks.needs("checkpoint", "A checkpoint"):
            import h5netcdf  # noqa: F401
            import h5py  # noqa: F401
            import orbax.checkpoint as ocp
            import xarray  # noqa: F401
        self.directory: Path = Path(directory).absolute()
        self.traces: Path = self.directory / "trace"
        self.states: Path = self.directory / "state"
        self.record: Path = self.directory / "run.json"
        self.writes: bool = not shared or processes.is_first()
        self._lock: Lock | None = None
        try:
            self._open(identity, resume, shared)
            with self._writing():
                options = ocp.CheckpointManagerOptions(
                    max_to_keep=2,
                    enable_async_checkpointing=False,
                    cleanup_tmp_directories=True,
                )
                self._manager = ocp.CheckpointManager(self.states, options=options)
        except BaseException:
            self._unlock()
            raise

    def _open(
        self,
        identity: RunIdentity,
        resume: Resume,
        shared: bool,
    ) -> None:
        """Lock the directory, compare the run in it, and write what identifies a new one."""
        with self._writing():
            self.directory.mkdir(parents=True, exist_ok=True)
            if self.writes:
                self._lock = Lock(
                    self.directory / LOCK_FILE, f"checkpoint {str(self.directory)!r}"
                )
            self.traces.mkdir(exist_ok=True)
            self.states.mkdir(exist_ok=True)
            has_run = any(path.name.isdigit() for path in self.states.iterdir())
        if has_run and not resume:
            raise CheckpointError(
                f"checkpoint {str(self.directory)!r} already holds a run; pass "
                "resume=True to continue it, or name another directory."
            )
        self.content, accepted = self._described(identity, resume, has_run)
        if self.writes and has_run:  # the run that is resumed, not another's
            with self._writing():
                self._delete_unfinished_state()
        if shared:
            processes.wait_for_all("checkpoint opened")
        if self.writes and (accepted or not has_run):
            if accepted:
                at = time.strftime("%Y-%m-%d %H:%M:%S")
                self.content["continued"].append({"at": at, "differences": accepted})
            with self._writing():
                self._write_record()
        if shared:
            processes.wait_for_all("checkpoint described")
            self.content = read_record(self.record)[0]
        self.run_id: str = self.content["run"]

    def _write_record(self) -> None:
        sealed = self.content | {HASH: hash_of(self.content)}
        write_atomically(self.record, json.dumps(sealed, indent=1).encode())

    def _described(
        self,
        identity: RunIdentity,
        resume: Resume,
        has_run: bool,
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the content of run.json, and the differences from a saved run that are accepted."""
        if has_run:
            stored, saved = read_record(self.record)
            accepted = self._compare(saved, identity, resume)
            return stored | {"identity": identity._asdict()}, accepted
        if self.record.exists():
            read_record(self.record)  # refuses a file that is not langevax's
        content = {
            "format": CHECKPOINT_FORMAT,
            "langevax": __version__,
            "run": uuid.uuid4().hex,
            "continued": [],
            "outputs": {},
            "records": {},
            "identity": identity._asdict(),
        }
        return content, []

    def _compare(
        self,
        saved: RunIdentity,
        identity: RunIdentity,
        resume: Resume,
    ) -> list[str]:
        """Raise `CheckpointError` where another run is saved; return the differences that were accepted."""
        refused, accepted = identity.compare(saved)
        self._refuse(refused)
        if accepted and resume != "anyway":
            raise CheckpointError(
                f"checkpoint {str(self.directory)!r} was written by other code: "
                f"{_listed(accepted)}. The numbers may not be those of one run; pass "
                "resume='anyway' to continue it all the same, or name another "
                "directory."
            )
        return accepted

    def _refuse(self, differences: list[str]) -> None:
        if differences:
            raise CheckpointError(
                f"checkpoint {str(self.directory)!r} belongs to another run: "
                f"{_listed(differences)}. Make these equal to continue it, or name "
                "another directory."
            )

    def compare_outputs(
        self,
        step: int,
        outputs: Outputs,
        dtype: Any,
    ) -> None:
        """Raise `CheckpointError` where the saved run computed other numbers from its state of a step.

        In a run that was continued by other versions, the next step may be another one.
        """
        values = {"value": outputs["value"]}  # which format 5 does not have
        saved = values | self.content["outputs"].get(str(step), {})
        names = differences(saved, outputs, dtype)
        if self.content["continued"]:
            names = [name for name in names if name != "step"]
        self._refuse([f"the {name} differs" for name in names])

    def restore(
        self,
        template: PyTree,
        empty: Records | None,
        every: int,
    ) -> tuple[PyTree, list[Records]] | None:
        """Return the last state, on the devices of `template`, and all records up to it; None if there is none."""
        step = self._manager.latest_step()
        if step is None:
            self._delete_orphans(0)
            return None
        leaves, structure = jax.tree.flatten(template)
        try:
            stored: dict[str, Any] = self._restore_state(step, leaves)
        except Exception as error:
            others = [other for other in self._manager.all_steps() if other != step]
            remedy = (
                f"to continue from step {max(others)}"
                if others
                else "and start again in another directory"
            )
            raise CheckpointError(
                f"the state of step {step} in {self.states / str(step)} cannot be "
                f"read; it is damaged. Delete that folder {remedy}; the records in "
                f"{self.traces} are intact. ({checks.first_line(error)})"
            ) from None  # orbax's traceback is longer than a screen
        self._delete_orphans(step)
        carry = jax.tree.unflatten(
            structure, [stored.get(str(i), leaf) for i, leaf in enumerate(leaves)]
        )
        if empty is None:
            return carry, []
        records = [
            self._read_records(path, empty) for path, _ in sorted(self._record_files())
        ]
        self._check_grid(
            np.concatenate([empty.steps, *(part.steps for part in records)]),
            step,
            every,
        )
        return carry, records

    def _check_grid(
        self,
        steps: np.ndarray,
        last: int,
        every: int,
    ) -> None:
        expected = np.arange(every, last + 1, every)
        if not np.array_equal(steps, expected):
            wrong = np.setxor1d(steps, expected)
            raise CheckpointError(
                f"the records in {self.traces} are not those of every {every} steps up "
                f"to {last}: a file is missing or was added (step "
                f"{wrong[0] if len(wrong) else 'order'}). Restore it from a copy, or "
                "name another directory."
            )

    def _restore_state(self, step: int, leaves: list[Any]) -> dict[str, Any]:
        import orbax.checkpoint as ocp

        verify_state(self.states / str(step), self.run_id)
        shapes = {
            str(i): jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
            for i, leaf in enumerate(leaves)
            if leaf.size
        }
        with DelayedSignals(WITH_INTERRUPT):
            arguments = ocp.args.StandardRestore(shapes)
            return dict(self._manager.restore(step, args=arguments))

    def save(
        self,
        step: int,
        carry: PyTree,
        pending: Records | None,
        outputs: Outputs,
    ) -> None:
        """Write the records and the outputs, then the state; each is complete or absent."""
        import orbax.checkpoint as ocp

        steps = self._manager.all_steps()
        if step in steps:
            return
        earlier = {
            old: own
            for old, own in self.content["outputs"].items()
            if int(old) in steps
        }
        self.content["outputs"] = earlier | {str(step): outputs}
        with self._writing():
            if pending is not None and len(pending.steps) and self.writes:
                self._write_records(pending)
            elif self.writes:
                self._write_record()
            leaves: dict[str, Any] = {
                str(i): leaf
                for i, leaf in enumerate(jax.tree.leaves(carry))
                if leaf.size
            }
            self._manager.save(step, args=ocp.args.StandardSave(leaves))
            if self.writes:
                folder = self.states / str(step)
                marks = {"run": self.run_id, "step": step, "files": _hashes(folder)}
                write_atomically(folder / HASHES, json.dumps(marks).encode())

    def _write_records(self, records: Records) -> None:
        """Write the hash of a file of records, then the file: one that a kill leaves has its hash."""
        name = f"{int(records.steps[0]):012d}-{int(records.steps[-1]):012d}.nc"
        content = _netcdf(records, self.run_id)
        digest = checksum(content).hexdigest()
        self.content["records"][name] = digest
        self._write_record()
        write_atomically(self.traces / name, content)

    def close(self) -> None:
        """Release the directory."""
        self._manager.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with DelayedSignals(WITH_INTERRUPT):
                yield
        except CheckpointError:
            raise
        except LockedError as error:
            raise CheckpointError(str(error)) from None
        except (
            OSError,
            ValueError,
            RuntimeError,
        ) as error:  # orbax reports a full disk as any of these
            raise CheckpointError(
                f"cannot write the checkpoint in {str(self.directory)!r}: "
                f"{checks.first_line(error)}. What was saved before is intact; free "
                "space or make the directory writable, and run again with resume=True."
            ) from error

    def _record_files(self) -> Iterator[tuple[Path, int]]:
        """Yield record files and the last step in each, ignoring other files."""
        for path in self.traces.iterdir():
            if match := RECORDS_NAME.fullmatch(path.name):
                yield path, int(match[2])

    def _delete_unfinished_state(self) -> None:
        """Delete the last state where the run was killed before it wrote its hashes; earlier ones had them."""
        steps = (
            int(path.name) for path in self.states.iterdir() if path.name.isdigit()
        )
        last = self.states / str(max(steps))
        if not (last / HASHES).exists():
            shutil.rmtree(last)

    def _delete_orphans(self, step: int) -> None:
        if not self.writes:
            return
        with self._writing():
            orphans = [path for path, last in self._record_files() if last > step]
            for path in [*orphans, *self.directory.rglob(UNFINISHED)]:
                path.unlink()

    def _read_records(self, path: Path, empty: Records) -> Records:
        try:
            variables = read_records(path, self.run_id, self.content["records"])
            steps = np.asarray(variables["steps"], np.int64)
            columns = {
                name: variables[name].astype(e.dtype)
                for name, e in empty.columns.items()
            }
        except Exception as error:
            raise CheckpointError(
                f"the records in {path} cannot be read; the file is damaged. Restore "
                "it from a copy, or start again in another directory. "
                f"({checks.first_line(error)})"
            ) from None
        return Records(steps, columns)


def read_record(path: Path) -> tuple[dict[str, Any], RunIdentity]:
    """Return the content of a run.json, and the identity of its run."""
    damaged = (
        f"{path} cannot be read ({{}}); it is damaged or missing. Restore this file "
        "from a copy, or name another directory."
    )
    with read_as(CheckpointError, damaged):
        stored = read_object(path)
        version = stored["format"]
        if version not in (CHECKPOINT_FORMAT, UNSEALED_FORMAT):
            raise CheckpointError(
                f"{path} has format {version}, but this version of langevax reads "
                f"format {CHECKPOINT_FORMAT}; it was written by langevax "
                f"{stored['langevax']}. Continue it with that version, or start again "
                "in another directory."
            )
        if version == UNSEALED_FORMAT:
            files = path.parent.glob("trace/*.nc")
            stored["records"] = {file.name: file_hash(file) for file in files}
            stored["format"] = CHECKPOINT_FORMAT
        elif stored.get(HASH) != hash_of(stored):
            raise ValueError("its content is not what was written")
        parts = stored["identity"].items()
        saved = RunIdentity(**{name: dict(part) for name, part in parts})
        stored["outputs"] = dict(stored["outputs"])
        stored["records"] = dict(stored["records"])
    return stored, saved


def verify_state(folder: Path, run: str) -> None:
    """Raise `ValueError` where a state is of another run or step, or a file of it is not as it was written."""
    marks = read_object(folder / HASHES)
    if marks["run"] != run:
        raise ValueError("it is the state of another run")
    if marks["step"] != int(folder.name):
        raise ValueError(f"it is the state of step {marks['step']}")
    hashes = _hashes(folder)
    for name in sorted(hashes.keys() | marks["files"].keys()):
        if hashes.get(name) != marks["files"].get(name):
            raise ValueError(f"its file {name} has changed")


def _hashes(folder: Path) -> dict[str, str]:
    """Return the hashes of all files below a folder but that of the hashes; raise `ValueError` of a link."""
    paths = [path for path in folder.rglob("*") if path.name != HASHES]
    for path in paths:
        if path.is_symlink():
            raise ValueError(f"{path.name} is a link to another file")
    return {
        str(path.relative_to(folder)): file_hash(path)
        for path in paths
        if path.is_file()
    }


def _listed(sentences: list[str], most: int = 5) -> str:
    left = len(sentences) - most
    return "; ".join(sentences[:most]) + f"; and {left} more" * (left > 0)


def read_records(
    path: Path, run: str, hashes: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Return the variables that a file of records holds itself; raise `ValueError` where it is not as it was written.

    They are read by h5py, since h5netcdf prints a traceback on damaged files. What HDF5 would read elsewhere, or make up,
    is refused: links, storage in other files, and numbers that are not stored.
    """
    import h5py

    if path.is_symlink():
        raise ValueError("it is a link to another file")
    if file_hash(path) != hashes[path.name]:
        raise ValueError("it has changed since it was written")
    with h5py.File(path, "r") as file:
        if file.attrs.get(RUN_ATTRIBUTE) != run:
            raise ValueError("it is of another run")
        variables = {}
        for name in file:
            link = file.get(name, getlink=True)
            variable = file[name] if isinstance(link, h5py.HardLink) else None
            if (
                not isinstance(variable, h5py.Dataset)
                or variable.external
                or variable.is_virtual
            ):
                raise ValueError(f"{name} stands in another file")
            if variable.id.get_storage_size() >= variable.nbytes:  # not an axis
                variables[name] = np.asarray(variable)
        return variables


def _netcdf(records: Records, run_id: str) -> memoryview:
    """Return the netCDF file, made in memory, since HDF5 crashes the process some time after a disk was full."""
    import xarray

    variables: dict[str, Any] = {"steps": ("draw", records.steps)}
    for name, column in records.columns.items():
        storable = (
            column.astype(np.float32)
            if column.dtype.itemsize == 2 and column.dtype.kind in "fV"
            else column
        )
        storable = storable.astype(np.int8) if storable.dtype == bool else storable
        variables[name] = (
            ("draw", *(f"{name}_dim_{i}" for i in range(column.ndim - 1))),
            storable,
        )
    dataset = xarray.Dataset(variables, attrs={RUN_ATTRIBUTE: run_id})
    return dataset.to_netcdf(engine="h5netcdf")
