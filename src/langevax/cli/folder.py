"""Folders that commands write to.

The folder DIR of `langevax fit`:

    DIR/model.safetensors   the network, for `langevax.sklearn.load`
    DIR/schema.json         the columns of the table, for `langevax predict`
    DIR/result.json         every number that was printed; written last: where it exists, the model is complete
    DIR/report.html         the report
    DIR/holdout.csv         the held-out rows, observed and predicted
    DIR/training/           during training only: options and checkpoints, from which --resume continues

New files are written to DIR/.new and renamed once complete: an interrupted run leaves the previous model or none,
never a mixture. Only files that `langevax fit` wrote are deleted; other files in DIR/training or DIR/.new are refused.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langevax.cli.errors import BadInput, listing

MODEL, SCHEMA, RESULT, REPORT, HOLDOUT = "model.safetensors", "schema.json", "result.json", "report.html", "holdout.csv"
PARTS = (MODEL, SCHEMA, REPORT, HOLDOUT, RESULT)  # in the order of renaming
WRITER = "langevax fit"
TRAINING_FILES = re.compile(
    r"settings\.json|checkpoints(/run\.json(\.part)?|/trace(/\d+-\d+\.nc(\.part)?)?|/state(/\d[^/]*(/.*)?)?)?"
)


def make(folder: Path) -> None:
    """Make a folder before minutes of work, not after."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out {str(folder)!r} is a file; name a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {str(folder)!r} cannot be made ({error.strerror}); name another folder.") from error


class Folder:
    """DIR of `langevax fit`."""

    def __init__(self, path: Path):
        self.path = path
        self.training: Path = path / "training"
        self.settings: Path = self.training / "settings.json"
        self.checkpoints: Path = self.training / "checkpoints"
        self.new: Path = path / ".new"

    @property
    def finished(self) -> bool:
        """True if it holds a complete model."""
        return (self.path / RESULT).exists()

    @property
    def begun(self) -> bool:
        """True if it holds an interrupted training run."""
        return self.training.exists()

    def check(self, resume: bool, force: bool) -> None:
        """Raise `BadInput` where the run would destroy something, or there is nothing to resume."""
        where = f"--out {str(self.path)!r}"
        if self.path.exists() and not self.path.is_dir():
            raise BadInput(f"{where} is a file; name a folder.")
        if resume and force:
            raise BadInput("--resume continues a run and --force starts it again; pass one of them.")
        self._refuse_foreign_files()
        if self.begun and not resume and not force:
            raise BadInput(
                f"{where} holds an interrupted run; pass --resume to continue it, or --force to start again."
            )
        if self.finished and not self.begun and not force:
            if resume:
                raise BadInput(f"{where} holds a finished model, nothing to resume; pass --force to fit it again.")
            raise BadInput(f"{where} holds a finished model; pass --force to replace it, or name another folder.")
        existing = [part for part in PARTS if (self.path / part).exists()]
        if existing and not self.begun and not force:
            raise BadInput(
                f"{where} already holds {listing(existing)}; pass --force to replace them, or name another folder."
            )

    def begin(self, resume: bool, settings: dict[str, Any]) -> None:
        """Make the folder and check that it can be written, and that a run to resume has the same settings."""
        if resume and self.settings.exists():
            self._compare(json.loads(self.settings.read_text(encoding="utf-8"))["options"], settings)
            return
        try:
            self.forget_training()
            self._forget_new_files()
            self.training.mkdir(parents=True)
            write_json(self.settings, {"written_by": WRITER, "options": settings})
        except OSError as error:
            raise BadInput(
                f"--out {str(self.path)!r} cannot be written ({error.strerror}); name a folder that you may write to."
            ) from error

    def forget_training(self) -> None:
        """Delete the options and checkpoints of the training run."""
        self._refuse_foreign_files()
        shutil.rmtree(self.training, ignore_errors=True)

    @contextmanager
    def filling(self) -> Iterator[Path]:
        """Yield a folder to write all parts to; move them to DIR if the block succeeds."""
        self._forget_new_files()
        self.new.mkdir()
        try:
            yield self.new
            (self.path / RESULT).unlink(missing_ok=True)  # from here until the end the model is not complete
            for part in PARTS:
                os.replace(self.new / part, self.path / part)
            self.forget_training()
        finally:
            shutil.rmtree(self.new, ignore_errors=True)

    def _forget_new_files(self) -> None:
        self._refuse_foreign_files()
        shutil.rmtree(self.new, ignore_errors=True)

    def _refuse_foreign_files(self) -> None:
        """Raise `BadInput` where a folder that the run would delete holds what `langevax fit` did not write."""
        if self.begun or self.training.is_symlink():
            foreign = _unexpected(self.training, TRAINING_FILES)
            if foreign or not self._wrote_settings():
                raise BadInput(_refusal(self.training, foreign))
        if foreign := _unexpected(self.new, re.compile("|".join(map(re.escape, PARTS)))):
            raise BadInput(_refusal(self.new, foreign))

    def _wrote_settings(self) -> bool:
        try:
            record = json.loads(self.settings.read_text(encoding="utf-8"))
            return record["written_by"] == WRITER and isinstance(record["options"], dict)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _compare(self, before: dict[str, Any], settings: dict[str, Any]) -> None:
        for name, value in json.loads(json.dumps(settings)).items():
            if before.get(name) != value:
                option = "--" + name.replace("_", "-")
                raise BadInput(
                    f"{option} was {before.get(name)!r} in the interrupted run and is {value!r} now; "
                    "pass the same value to continue it, or --force to start again."
                )


def _unexpected(folder: Path, expected: re.Pattern[str]) -> list[str]:
    """Names below a folder that do not match; the folder itself where it is a link or a file."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return [folder.name]
    return sorted(
        name
        for path in folder.rglob("*")
        if not expected.fullmatch(name := path.relative_to(folder).as_posix()) or path.is_symlink()
    )


def _refusal(folder: Path, foreign: list[str]) -> str:
    files = f"holds {listing(foreign, most=3)}, which" if foreign else "exists, which"
    return (
        f"{str(folder)!r} {files} langevax did not write and would have to delete; "
        "move or delete it, or name another --out."
    )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented JSON."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
