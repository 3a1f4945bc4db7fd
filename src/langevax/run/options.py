"""`Run`: where a run is saved, whether a saved one goes on, and what is shown meanwhile."""

import os
from dataclasses import dataclass
from typing import Literal

Resume = bool | Literal["anyway"]


@dataclass(frozen=True)
class Run:
    """How a run is saved, resumed and shown; the argument `run` of all that takes time.

    Attributes:
        checkpoint: a folder, to which the run is saved every `checkpoint_seconds`, at its end, and when Ctrl-C, SIGTERM
            or SIGHUP ends it (the last two in the main thread, within a quarter of a second, or one step if that takes
            longer, and the time of saving; then the signal has its usual effect). None saves nothing.
        resume: continue from what `checkpoint` holds, bit for bit; start if it holds nothing. Other data and another
            start, key, schedule or loss are refused by name. Another version of langevax, JAX or Python, and a step
            that alone is traced differently, are refused unless this is "anyway", which the checkpoint records.
        progress: show a progress bar with the time left; "auto" shows it on a terminal, after a second.
        checkpoint_seconds: between two saves.

    Example:
        >>> import langevax as lx
        >>> lx.Run(checkpoint="out/run", resume=True).resume
        True
    """

    checkpoint: str | os.PathLike[str] | None = None
    resume: Resume = False
    progress: bool | Literal["auto"] = "auto"
    checkpoint_seconds: float = 30.0
