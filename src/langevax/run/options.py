"""`Run`: where a run is saved, whether a saved one goes on, and what is shown meanwhile."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from langevax import checks

Resume: TypeAlias = bool | Literal["anyway"]
ProgressOption: TypeAlias = bool | Literal["auto"] | Callable[[str, float], None]


@dataclass(frozen=True)
class Run:
    """Saving, resuming and showing a run; the argument `run` of all that takes time.

    Attributes:
        checkpoint: a folder, to which the run is saved every `checkpoint_seconds`, at its end, and when Ctrl-C, SIGTERM
            or SIGHUP ends it (the last two in the main thread, within a quarter of a second, or one step if that takes
            longer, and the time of saving; then the signal has its usual effect). None saves nothing. A certificate
            keeps its search in a file. What cannot be saved refuses a checkpoint.
        resume: continue from what `checkpoint` holds, bit for bit; start if it holds nothing. Other data and another
            start, key, schedule or loss are refused by name. Another version of langevax, JAX or Python is refused
            unless this is "anyway", which the checkpoint records.
        progress: show a progress bar with the time left; "auto" shows it on a terminal, after a second. Or a function,
            which is called with (words, share done).
        checkpoint_seconds: between two saves of a run.

    Raises:
        TypeError, ValueError: a wrong value; `resume` without `checkpoint`.

    Example:
        >>> import langevax as lx
        >>> lx.Run(checkpoint="out/run", resume=True).resume
        True
    """

    checkpoint: str | os.PathLike[str] | None = None
    resume: Resume = False
    progress: ProgressOption = "auto"
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not isinstance(self.resume, bool | np.bool_) and self.resume != "anyway":
            raise TypeError(
                f"resume must be True, False or 'anyway', got {self.resume!r}."
            )
        if self.checkpoint is not None:
            checks.local_path("checkpoint", self.checkpoint)
        elif self.resume:
            raise ValueError(
                f"resume is {self.resume!r} but checkpoint is None; pass "
                "checkpoint=directory, the one to continue."
            )
        checks.number("checkpoint_seconds", self.checkpoint_seconds)
        shown = isinstance(self.progress, bool) or checks.is_auto(self.progress)
        if not shown and not callable(self.progress):
            raise TypeError(
                "progress must be True, False, 'auto' or a function of (words, share), "
                f"got {checks.shown(self.progress)}."
            )

    def unsaved(self) -> "Run":
        """Return the run of a part that is shown and not saved, such as a warm-up."""
        return Run(progress=self.progress)


def check_run(run: object) -> None:
    """Raise unless `run` is a `Run`."""
    checks.instance("run", run, Run, "langevax.Run(checkpoint=folder)")


def check_unsaved(run: Run, what: str) -> None:
    """Raise unless `run` is a `Run` without a checkpoint, since `what` saves nothing."""
    check_run(run)
    if run.checkpoint is not None:
        raise ValueError(f"{what} saves nothing: leave checkpoint out of run=Run(...).")
