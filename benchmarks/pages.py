"""What of a row file the system holds, and what a process owns itself."""

import mmap
import os
from pathlib import Path

from langevax.data.rows import Rows


def anonymous_mb() -> float:
    """Memory of this process alone, in MB."""
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1e3


def drop_from_cache(rows: Rows) -> None:
    """Make the system forget the pages of the files, so that the next pass comes from the disk."""
    for name in rows:
        rows.numpy(name).base.madvise(mmap.MADV_DONTNEED)
        with (rows.path / f"{name}.npy").open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
