"""Saved models: one safetensors file, arrays and a JSON header; nothing is ever unpickled."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from langevax._version import __version__

FORMAT = 1
KEY = "langevax"  # of the JSON in the file's metadata


class ModelError(ValueError):
    """A saved model cannot be read: missing, truncated, of another version or not a model."""


def write(file: str | os.PathLike, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write under another name first: what was saved before stays whole until the new file is."""
    from safetensors.numpy import save

    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    whole = json.dumps({"format": FORMAT, "version": __version__} | header)
    part.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {KEY: whole}))
    os.replace(part, path)


def read(file: str | os.PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(header, arrays).

    Raises:
        ModelError: saying what is wrong with the file and what to do.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(file).is_file():
        raise ModelError(f"there is no file {str(file)!r}; pass the one that save() wrote.")
    try:
        with safe_open(file, framework="numpy") as opened:
            header = json.loads((opened.metadata() or {})[KEY])
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        version = header["format"]
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ModelError(f"{str(file)!r} is truncated or not a model of langevax ({error}); save it again.") from error
    if version != FORMAT:
        raise ModelError(
            f"{str(file)!r} has format {version}, written by langevax {header.get('version')}; this is langevax "
            f"{__version__}, which reads format {FORMAT}: fit again, or install that version."
        )
    return header, arrays
