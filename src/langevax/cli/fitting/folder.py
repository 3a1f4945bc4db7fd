"""The folder of a fit: what it holds, whose turn it is, and how it is filled all at once.

    DIR/model.safetensors   the network, for `langevax.sklearn.load`
    DIR/schema.json         the table's columns, for `langevax predict`
    DIR/result.json         every number that was printed; written last: where it is, the model is complete
    DIR/report.html         the report
    DIR/holdout.csv         the rows held out, observed and predicted
    DIR/training/           only while training: checkpoints and settings, from which --resume goes on

What is new is written to DIR/.new and renamed into place once complete, so that an interrupted run leaves
the model that was there, or none, never half of one.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langevax.cli.errors import BadInput

MODEL, SCHEMA, RESULT, REPORT, HOLDOUT = "model.safetensors", "schema.json", "result.json", "report.html", "holdout.csv"
PARTS = (MODEL, SCHEMA, REPORT, HOLDOUT, RESULT)  # in the order in which they are put in place


class Folder:
    """DIR of `langevax fit`."""

    def __init__(self, path: Path):
        self.path = path
        self.training = path / "training"
        self.checkpoints = self.training / "checkpoints"
        self.new = path / ".new"

    @property
    def finished(self) -> bool:
        """Whether it holds a complete model."""
        return (self.path / RESULT).exists()

    @property
    def begun(self) -> bool:
        """Whether it holds a training run to go on with."""
        return self.training.exists()

    def check(self, resume: bool, force: bool) -> None:
        """Raise `BadInput` where going on would destroy something, or nothing is there to go on with."""
        where = f"--out {str(self.path)!r}"
        if self.path.exists() and not self.path.is_dir():
            raise BadInput(f"{where} is a file; name a folder.")
        if resume and force:
            raise BadInput("--resume goes on with a run and --force starts it anew; pass one of them.")
        if self.begun and not resume and not force:
            raise BadInput(
                f"{where} holds an interrupted run; pass --resume to go on with it, or --force to start anew."
            )
        if self.finished and not self.begun and not force:
            if resume:
                raise BadInput(f"{where} holds a finished model, nothing to resume; pass --force to fit it anew.")
            raise BadInput(f"{where} holds a finished model; pass --force to replace it, or name another folder.")

    def begin(self, resume: bool, settings: dict[str, Any]) -> None:
        """Make the folder, see that it can be written, and that the run to go on with is of these settings."""
        record = self.training / "settings.json"
        if resume and record.exists():
            self._compare(json.loads(record.read_text(encoding="utf-8")), json.loads(json.dumps(settings)))
            return
        try:
            self.forget_training()
            shutil.rmtree(self.new, ignore_errors=True)
            self.training.mkdir(parents=True)
            write_json(record, settings)
        except OSError as error:
            raise BadInput(
                f"--out {str(self.path)!r} cannot be written ({error.strerror}); name a folder that you may write to."
            ) from error

    def forget_training(self) -> None:
        """What would not end better when gone on with."""
        shutil.rmtree(self.training, ignore_errors=True)

    def _compare(self, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        for name in ours:
            if theirs.get(name) != ours[name]:
                option = "--" + name.replace("_", "-")
                raise BadInput(
                    f"{option} was {theirs.get(name)!r} in the interrupted run and is {ours[name]!r} now; "
                    f"pass the same to go on with it, or --force to start anew."
                )

    @contextmanager
    def filling(self) -> Iterator[Path]:
        """A place to write all parts to; put where they belong when the block ends well."""
        shutil.rmtree(self.new, ignore_errors=True)
        self.new.mkdir()
        try:
            yield self.new
            (self.path / RESULT).unlink(missing_ok=True)  # from here until the end nothing claims to be complete
            for part in PARTS:
                os.replace(self.new / part, self.path / part)
            self.forget_training()
        finally:
            shutil.rmtree(self.new, ignore_errors=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """As indented JSON."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
