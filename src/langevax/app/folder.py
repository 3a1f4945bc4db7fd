"""Folders that commands write to.

The folder DIR of `langevax fit`:

    DIR/model.safetensors   the network, for `langevax.sklearn.load`
    DIR/schema.json         the columns of the table, for `langevax predict`
    DIR/result.json         every number that was printed; written last: where it exists, the model is complete
    DIR/report.html         the report
    DIR/holdout.csv         the held-out rows, observed and predicted
    DIR/certificate.npz     the search of the certificate, from which `langevax certify` goes on; where there is one
    DIR/training/           during training only: options and checkpoints, from which --resume continues

One process at a time writes DIR. New files are written to DIR/training/new and renamed once complete: an interrupted
run leaves the previous model or none, never a mixture. result.json holds a hash of every other file: only files with
such a hash, a search that `langevax certify` went on with, and a DIR/training with settings of `langevax fit` are
replaced or deleted. All others are refused, with --force, too.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from langevax.app.errors import BadInput, RunFailed, listing
from langevax.data.integrity import HASH, hash_of
from langevax.locks import LOCK_FILE, Lock, LockedError

MODEL, SCHEMA, RESULT, REPORT, HOLDOUT = (
    "model.safetensors",
    "schema.json",
    "result.json",
    "report.html",
    "holdout.csv",
)
HISTORY, CERTIFICATE = "history.csv", "certificate.npz"
PARTS = (
    MODEL,
    SCHEMA,
    REPORT,
    HOLDOUT,
    CERTIFICATE,
    RESULT,
)  # in the order of renaming
OPTIONAL = {CERTIFICATE}
WRITER = "langevax fit"
CHECKPOINT_FILES = rf"run\.json(\.part)?|{re.escape(LOCK_FILE)}|trace(/\d+-\d+\.nc(\.part)?)?|state(/\d[^/]*(/.*)?)?"
TRAINING_FILES = rf"(settings\.json|certificate\.npz)(\.part)?|history\.csv|checkpoints(/shorter-\d+)*(/({CHECKPOINT_FILES}))?|new"


def make(folder: Path) -> None:
    """Make a folder before minutes of work, not after."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out {str(folder)!r} is a file; name a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"--out {str(folder)!r} cannot be made ({error.strerror}); name another folder."
        ) from error


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock `name` of a folder, which exists; raise `BadInput` where another run holds it."""
    try:
        lock = Lock(folder / name, f"--out {str(folder)!r}")
    except LockedError as error:
        raise BadInput(str(error)) from error
    except OSError as error:
        raise _not_writable(folder, error) from error
    with lock:
        yield


def _not_writable(folder: Path, error: OSError) -> BadInput:
    return BadInput(
        f"--out {str(folder)!r} cannot be written ({error.strerror}); name a folder that you may write to."
    )


class Folder:
    """DIR of `langevax fit`, or of another command with other `parts`, result.json the last of them.

    What the other command began cannot be resumed, and is replaced.
    """

    def __init__(self, path: Path, parts: Sequence[str] = PARTS, writer: str = WRITER):
        self.path = path
        self.parts = tuple(parts)
        self.writer = writer
        self.content: str = "model" if writer == WRITER else "run"
        self.training: Path = path / "training"
        self.settings: Path = self.training / "settings.json"
        self.checkpoints: Path = self.training / "checkpoints"
        self.history: Path = self.training / HISTORY
        self.search: Path = self.training / CERTIFICATE
        self.new: Path = self.training / "new"

    @property
    def finished(self) -> bool:
        """True if it holds a complete model."""
        return (self.path / RESULT).exists()

    @property
    def begun(self) -> bool:
        """True if it holds an interrupted training run."""
        return self.settings.exists()

    def check(self, resume: bool, force: bool) -> None:
        """Raise `BadInput` where the run would destroy something."""
        where = f"--out {str(self.path)!r}"
        if self.path.exists() and not self.path.is_dir():
            raise BadInput(f"{where} is a file; name a folder.")
        if resume and force:
            raise BadInput(
                "--resume continues a run and --force starts it again; pass one of them."
            )
        if self.path.is_dir():
            with self.locked():
                self._check_content(where, resume, force)

    def _check_content(self, where: str, resume: bool, force: bool) -> None:
        self._refuse_foreign_files()
        if self.begun and self.writer == WRITER and not resume and not force:
            raise BadInput(
                f"{where} holds an interrupted run; pass --resume to continue it, or --force to start again."
            )
        if self.finished and not self.begun and not force:
            if resume:
                raise BadInput(
                    f"{where} holds a finished model, nothing to resume; pass --force to fit it again."
                )
            raise BadInput(
                f"{where} holds a finished {self.content}; pass --force to replace it, or name another folder."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the folder, which exists; raise `BadInput` where another run holds it."""
        with locked(self.path, LOCK_FILE):
            yield

    @contextmanager
    def writing(
        self, resume: bool, force: bool, settings: dict[str, Any]
    ) -> Iterator[None]:
        """Make the folder, hold its lock, and begin the run; `check` again, as another run may have begun meanwhile."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_writable(self.path, error) from error
        with self.locked():
            self._check_content(f"--out {str(self.path)!r}", resume, force)
            self.begin(resume, settings)
            yield

    def begin(self, resume: bool, settings: dict[str, Any]) -> None:
        """Make the folder and check that it can be written, and that a run to resume has the same settings."""
        self._refuse_foreign_files()
        if resume and self.begun:
            self._compare(_read_json(self.settings)["options"], settings)
            return
        try:
            owned = self._owned()
            self.forget_training()
            self.training.mkdir(parents=True, exist_ok=True)
            write_json(
                self.settings,
                {"written_by": self.writer, "options": settings, "files": owned},
            )
        except OSError as error:
            raise _not_writable(self.path, error) from error

    def forget_training(self) -> None:
        """Delete the options and checkpoints of the training run."""
        self._refuse_foreign_files()
        for folder in (self.checkpoints, self.new):
            shutil.rmtree(folder, ignore_errors=True)
        halves = (
            file.with_name(file.name + ".part") for file in (self.search, self.settings)
        )
        for file in (
            self.history,
            self.search,
            *halves,
            self.settings,
        ):  # the mark of langevax last
            file.unlink(missing_ok=True)
        with suppress(OSError):
            self.training.rmdir()

    @contextmanager
    def filling(self) -> Iterator[Path]:
        """Yield a folder to write all parts to; move them to DIR if the block succeeds."""
        self._refuse_foreign_files()
        shutil.rmtree(self.new, ignore_errors=True)
        self.new.mkdir(parents=True)
        try:
            yield self.new
            self._seal()
            (self.path / RESULT).unlink(
                missing_ok=True
            )  # from here until the end the model is not complete
            for part in self.parts:
                if part in OPTIONAL and not (self.new / part).exists():
                    (self.path / part).unlink(
                        missing_ok=True
                    )  # it would be that of another model
                else:
                    os.replace(self.new / part, self.path / part)
            self.forget_training()
        finally:
            shutil.rmtree(self.new, ignore_errors=True)

    def _seal(self) -> None:
        """Store the hashes of new parts with them, and with the settings for a run that is killed between renames."""
        if foreign := self._foreign_parts():  # they came during the run
            raise RunFailed(_refusal(self.path, foreign))
        written = [
            part
            for part in self.parts
            if part not in OPTIONAL or (self.new / part).exists()
        ]
        hashes = {
            part: file_digest(self.new / part) for part in written if part != RESULT
        }
        result = json.loads((self.new / RESULT).read_text(encoding="utf-8"))
        sealed = {**result, "written_by": self.writer, "files": hashes}
        write_json(self.new / RESULT, sealed | {HASH: hash_of(sealed)})
        owned = self._owned()
        for part, value in {**hashes, RESULT: file_digest(self.new / RESULT)}.items():
            owned[part] = [*owned.get(part, []), value]
        settings = _read_json(self.settings) if self.begun else {"options": {}}
        write_json(
            self.settings, {**settings, "written_by": self.writer, "files": owned}
        )

    def _owned(self) -> dict[str, list[str]]:
        """Return hashes of the parts that this command wrote into DIR."""
        owned: dict[str, list[str]] = {}
        if self.begun:
            owned = {
                part: list(hashes)
                for part, hashes in _read_json(self.settings)["files"].items()
            }
        result = _read_json(self.path / RESULT)
        if result.get("written_by") == self.writer and isinstance(
            files := result.get("files"), dict
        ):
            for part, value in {
                **files,
                RESULT: file_digest(self.path / RESULT),
            }.items():
                owned[part] = [*owned.get(part, []), value]
        return owned

    def _foreign_parts(self) -> list[str]:
        """Names of parts in DIR that are not as this command wrote them."""
        existing = [part for part in self.parts if os.path.lexists(self.path / part)]
        owned = self._owned() if existing else {}
        return [
            part
            for part in existing
            if not self._is_as_written(part, owned.get(part, []))
        ]

    def _is_as_written(self, part: str, hashes: Sequence[str]) -> bool:
        """Return whether a part has one of the hashes, or is a search that `langevax certify` went on with."""
        file = self.path / part
        return file.is_file() and (
            file_digest(file) in hashes or (part == CERTIFICATE and _is_search(file))
        )

    def damaged_parts(self) -> list[str]:
        """Return the parts of a finished run that are missing, or not as they were written."""
        result = _read_json(self.path / RESULT)
        if result.get(HASH) != hash_of(result):
            return [RESULT]
        return [
            part
            for part, value in result["files"].items()
            if not self._is_as_written(part, [value])
        ]

    def check_settings(self) -> None:
        """Raise `BadInput` where the settings of the training in DIR cannot be read."""
        if not self._wrote_settings():
            raise BadInput(
                f"{str(self.settings)!r} is damaged; pass --force to `langevax fit` to start again."
            )

    def _refuse_foreign_files(self) -> None:
        """Raise `BadInput` where what the run would replace or delete is not what this command wrote."""
        if os.path.lexists(self.training):
            parts = "|".join(map(re.escape, self.parts))
            foreign = _unexpected(
                self.training, re.compile(rf"{TRAINING_FILES}|new/({parts})(\.part)?")
            )
            files = [path for path in self.training.rglob("*") if path.is_file()]
            empty = all(
                map(self._is_half, files)
            )  # killed before it wrote the settings
            if foreign or not (empty or self._wrote_settings()):
                raise BadInput(_refusal(self.training, foreign))
        if foreign := self._foreign_parts():
            raise BadInput(_refusal(self.path, foreign))

    def _is_half(self, path: Path) -> bool:
        """Return whether a file is the beginning of settings that were not finished."""
        mark = f'{{\n "written_by": "{self.writer}"'.encode()
        return path == self.settings.with_name(
            f"{self.settings.name}.part"
        ) and mark.startswith(path.read_bytes()[: len(mark)])

    def _wrote_settings(self) -> bool:
        record = _read_json(self.settings)
        parts = isinstance(record.get("options"), dict) and isinstance(
            record.get("files"), dict
        )
        return parts and record.get("written_by") == self.writer

    def _compare(self, before: dict[str, Any], settings: dict[str, Any]) -> None:
        for name, value in json.loads(json.dumps(settings)).items():
            if before.get(name) == value:
                continue
            if name == "table":
                raise BadInput(
                    "TABLE is not the table of the interrupted run, or has changed since; pass that table to continue "
                    "it, or --force to start again."
                )
            option = "--" + name.replace("_", "-")
            raise BadInput(
                f"{option} was {before.get(name)!r} in the interrupted run and is {value!r} now; "
                "pass the same value to continue it, or --force to start again."
            )


def file_digest(path: Path) -> str:
    """Return a hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.blake2b(digest_size=16)
        ).hexdigest()


def _is_search(path: Path) -> bool:
    """Return whether a file is the undamaged search of a certificate."""
    from langevax.meanfield.certificate_file import read_search
    from langevax.run import CheckpointError

    try:
        read_search(path)
    except CheckpointError:
        return False
    return True


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one where it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _unexpected(folder: Path, expected: re.Pattern[str]) -> list[str]:
    """Names below a folder that do not match; the folder itself where it is a link or a file."""
    if folder.is_symlink() or not folder.is_dir():
        return [folder.name]
    return sorted(
        name
        for path in folder.rglob("*")
        if not expected.fullmatch(name := path.relative_to(folder).as_posix())
        or path.is_symlink()
    )


def _refusal(folder: Path, foreign: list[str]) -> str:
    files = (
        f"holds {listing(foreign, most=3)}, which"
        if foreign
        else "exists without readable settings, which"
    )
    return (
        f"{str(folder)!r} {files} langevax did not write and would have to delete; "
        "move or delete it, or name another --out."
    )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented JSON under a temporary name, which is renamed when the file is complete."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
