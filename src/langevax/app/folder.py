"""The folder DIR that `langevax fit` writes to:

    DIR/model.safetensors   the network, for `langevax.sklearn.load`
    DIR/schema.json         the columns of the table, for `langevax predict`
    DIR/result.json         every number that was printed; written last: where it exists, the model is complete
    DIR/report.html         the report
    DIR/holdout.csv         the held-out rows, observed and predicted
    DIR/training/           during training only: options and checkpoints, from which the same command continues

One process at a time writes DIR. New files are written to DIR/training/new and renamed once complete: an interrupted
run leaves the previous model or none, never a mixture. Files of these names are replaced or deleted only where
result.json, or settings.json in DIR/training, says that the command wrote them. result.json holds a hash of every
other file, which `langevax check` compares.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from langevax.app.errors import BadInput, RunFailed, listing
from langevax.app.options import option_of
from langevax.locks import LOCK_FILE, Lock, LockedError
from langevax.storage import (
    HASH,
    UNFINISHED,
    file_hash,
    hash_of,
    read_object,
    write_atomically,
)

MODEL = "model.safetensors"
SCHEMA = "schema.json"
RESULT = "result.json"
REPORT = "report.html"
HOLDOUT = "holdout.csv"
PARTS = (MODEL, SCHEMA, REPORT, HOLDOUT, RESULT)
"""In the order of renaming."""
WRITER = "langevax fit"


def make(folder: Path) -> None:
    """Make a folder before minutes of work, not after."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out {str(folder)!r} is a file; name a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from error


def _not_writable(folder: Path, error: OSError) -> BadInput:
    return BadInput(
        f"--out {str(folder)!r} cannot be written ({error.strerror}); name a folder "
        "that you may write to."
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which exists; raise `BadInput` where another run holds it."""
    try:
        lock = Lock(folder / LOCK_FILE, f"--out {str(folder)!r}")
    except LockedError as error:
        raise BadInput(str(error)) from error
    except OSError as error:
        raise _not_writable(folder, error) from error
    with lock:
        yield


class Folder:
    """DIR of `langevax fit`."""

    def __init__(self, path: Path):
        self.path = path
        self.training: Path = path / "training"
        self.settings: Path = self.training / "settings.json"
        self.checkpoints: Path = self.training / "checkpoints"
        self.new: Path = self.training / "new"

    @property
    def finished(self) -> bool:
        """True if it holds a complete result."""
        return (self.path / RESULT).exists()

    @property
    def begun(self) -> bool:
        """True if it holds a run that was interrupted, or goes on."""
        return self.settings.exists()

    def check(self, force: bool) -> None:
        """Raise `BadInput` where the run would destroy something."""
        if self.path.exists() and not self.path.is_dir():
            raise BadInput(f"--out {str(self.path)!r} is a file; name a folder.")
        if self.path.is_dir():
            with locked(self.path):
                self._check_content(force)

    def _check_content(self, force: bool) -> None:
        self._refuse_foreign_files()
        if self.finished and not self.begun and not force:
            raise BadInput(
                f"--out {str(self.path)!r} holds a finished run of langevax fit; pass "
                "--force to replace it, or name another folder."
            )

    @contextmanager
    def writing(self, force: bool, settings: dict[str, Any]) -> Iterator[bool]:
        """Make the folder, hold its lock and begin the run; yield whether it continues an interrupted one.

        Raises:
            RunFailed: a file cannot be written.
        """
        make(self.path)
        with locked(self.path):
            self._check_content(force)  # another run may have begun meanwhile
            continued = self.begin(force, settings)
            try:
                yield continued
            except OSError as error:
                where = error.filename or self.path
                raise RunFailed(
                    f"{where} cannot be written ({error.strerror})."
                ) from error

    def begin(self, force: bool, settings: dict[str, Any]) -> bool:
        """Return whether there is a run to continue, which has the same settings; otherwise begin a new one."""
        self._refuse_foreign_files()
        if self.begun and not force:
            self.check_settings()
            _compare(_read_json(self.settings)["options"], settings)
            return self.checkpoints.exists()
        try:
            self.forget_training()
            self.training.mkdir(parents=True, exist_ok=True)
            written = {"written_by": WRITER, "options": settings}
            write_json(self.settings, written)
        except OSError as error:
            raise _not_writable(self.path, error) from error
        return False

    def forget_training(self) -> None:
        """Delete the settings and checkpoints of the training run."""
        for folder in (self.checkpoints, self.new):
            shutil.rmtree(folder, ignore_errors=True)
        for unfinished in self.training.glob(UNFINISHED):
            unfinished.unlink()
        self.settings.unlink(missing_ok=True)  # the mark last
        with suppress(OSError):
            self.training.rmdir()

    @contextmanager
    def filling(self) -> Iterator[Path]:
        """Yield a folder to write all parts to; move them to DIR if the block succeeds."""
        shutil.rmtree(self.new, ignore_errors=True)
        self.new.mkdir(parents=True)
        try:
            yield self.new
            self._seal()
            # from here until the end the folder is not complete
            (self.path / RESULT).unlink(missing_ok=True)
            for part in PARTS:
                if (self.new / part).exists():
                    os.replace(self.new / part, self.path / part)
                else:  # it would be that of another model
                    (self.path / part).unlink(missing_ok=True)
            self.forget_training()
        finally:
            shutil.rmtree(self.new, ignore_errors=True)

    def _seal(self) -> None:
        """Store the hashes of new parts in the result, and the hash of the result."""
        result = json.loads((self.new / RESULT).read_text(encoding="utf-8"))
        hashes = {
            part: file_hash(self.new / part)
            for part in PARTS
            if part != RESULT and (self.new / part).exists()
        }
        sealed = {**result, "written_by": WRITER, "files": hashes}
        write_json(self.new / RESULT, sealed | {HASH: hash_of(sealed)})

    def damaged_parts(self) -> list[str]:
        """Return the parts of a finished run that are missing, or not as they were written."""
        result = self.result()
        if not result:
            return [RESULT]
        files = result["files"]
        return [part for part in PARTS if not self._is_whole(part, files.get(part))]

    def _is_whole(self, part: str, digest: str | None) -> bool:
        """Return whether a part is as written."""
        file = self.path / part
        if part == RESULT or (digest is None and not os.path.lexists(file)):
            return True
        return file.is_file() and file_hash(file) == digest

    def result(self) -> dict[str, Any]:
        """Return the results of the fit; an empty object where they are not as written."""
        result = _read_json(self.path / RESULT)
        is_whole = result.get(HASH) == hash_of(result)
        return result if is_whole and isinstance(result.get("files"), dict) else {}

    def check_settings(self) -> None:
        """Raise `BadInput` where the settings of the training in DIR cannot be read."""
        options = _read_json(self.settings).get("options")
        if not self._wrote(self.settings) or not isinstance(options, dict):
            raise BadInput(
                f"{str(self.settings)!r} is damaged; pass --force to `langevax fit` to "
                "start again."
            )

    def _wrote(self, file: Path) -> bool:
        """Return whether a file says that this command wrote it."""
        return _read_json(file).get("written_by") == WRITER

    def _refuse_foreign_files(self) -> None:
        """Raise `BadInput` where what the run would replace or delete is not what this command wrote."""
        if os.path.lexists(self.training):
            inside = set(self.training.glob("*"))
            empty = inside <= {*self.training.glob(UNFINISHED)}  # killed as it began
            real = self.training.is_dir() and not self.training.is_symlink()
            if not real or not (empty or self._wrote(self.settings)):
                raise BadInput(_refusal(self.path, [self.training.name]))
        if self._wrote(self.settings) or self._wrote(self.path / RESULT):
            return
        foreign = [part for part in PARTS if os.path.lexists(self.path / part)]
        if foreign:
            raise BadInput(_refusal(self.path, foreign))


def _compare(before: dict[str, Any], settings: dict[str, Any]) -> None:
    """Raise `BadInput` where an interrupted run had other settings."""
    for name, value in json.loads(json.dumps(settings)).items():
        if before.get(name) == value:
            continue
        if name == "table":
            raise BadInput(
                "TABLE is not the table of the interrupted run, or has changed since; "
                "pass that table to continue it, or --force to start again."
            )
        raise BadInput(
            f"{option_of(name)} was {before.get(name)!r} in the interrupted run and is "
            f"{value!r} now; pass the same value to continue it, or --force to start "
            "again."
        )


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one where it cannot be read."""
    try:
        return read_object(path)
    except (OSError, ValueError):
        return {}


def _refusal(folder: Path, foreign: list[str]) -> str:
    return (
        f"--out {str(folder)!r} holds {listing(foreign, most=3)}, which langevax did "
        "not write and would have to delete; move or delete it, or name another --out."
    )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented JSON, complete or not at all."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text.encode())
