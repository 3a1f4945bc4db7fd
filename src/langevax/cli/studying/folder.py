"""What a study's folder answers: the request it was measured for, and whether it is complete."""

import json
from pathlib import Path
from typing import Any

from langevax._version import __version__

PARTS = ("data.nc", "figure.svg", "figure.pdf", "figure.png")
LAST = "verdict.json"  # `Study.save` puts it in place when all else is there


def request(size: str, seed: int, settings: list[str]) -> dict[str, Any]:
    """What a measurement depends on; where two are equal, so are their numbers.

    Example:
        >>> request("small", 1, ["teacher=tanh", "noise=0.2", "noise=0.1"])["settings"]
        {'noise': '0.1', 'teacher': 'tanh'}
    """
    last = {key: value for key, _, value in (word.partition("=") for word in settings)}  # as `--set` has it
    return {"size": size, "seed": seed, "settings": dict(sorted(last.items())), "version": __version__}


def kept(folder: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """The content of `verdict.json` where the folder holds the whole result of that request, otherwise None."""
    try:
        found = json.loads((folder / LAST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and all((folder / part).is_file() for part in PARTS)
    return found if whole and found.get("request") == asked else None
