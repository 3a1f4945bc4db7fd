"""The file of a saved law: arrays in one .npz archive. Nothing is ever unpickled."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from langevax import checks
from langevax.run.checkpoint import write_atomically

LAW_FORMAT = "langevax predictive distribution 3"


def write(file: str | os.PathLike[str], arrays: dict[str, Any]) -> None:
    """Write a law; an earlier file of that name stays whole until the new one is complete."""
    checks.local_path("file", file)
    content = io.BytesIO()
    np.savez_compressed(content, format=np.array(LAW_FORMAT), **arrays)
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getbuffer())


def read(file: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays that `write` wrote.

    Raises:
        ValueError: no such file, one that is damaged, or of another format.
    """
    checks.local_path("file", file)
    if not Path(file).is_file():
        raise ValueError(
            f"{str(file)!r} does not exist; pass the file that save() wrote."
        )
    try:
        content = io.BytesIO(Path(file).read_bytes())
        with np.load(content, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        version = str(arrays.pop("format"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(
            f"{str(file)!r} is damaged or not a distribution of langevax ({error}); save it again."
        ) from error
    if version != LAW_FORMAT:
        raise ValueError(
            f"{str(file)!r} has format {version!r}, this langevax reads {LAW_FORMAT!r}; fit again."
        )
    return arrays
