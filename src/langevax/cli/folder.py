"""The folder that a command fills."""

from pathlib import Path

from langevax.cli.errors import BadInput


def make(folder: Path) -> None:
    """Make it before minutes of work, not after."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out {str(folder)!r} is a file; name a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {str(folder)!r} cannot be made ({error.strerror}); name another folder.") from error
