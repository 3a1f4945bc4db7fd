"""Ctrl-C while the command `langevax` imports its packages ends it in one line, as it does later."""

import os
import sys
from pathlib import Path
from types import TracebackType

INTERRUPTED = 130


def _end_quietly(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print("Interrupted.", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)


if Path(sys.argv[0] if sys.argv else "").stem == "langevax" or sys.orig_argv[1:3] == [
    "-m",
    "langevax",
]:
    sys.excepthook = _end_quietly
