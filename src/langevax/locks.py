"""Locks of folders that one process at a time may write.

A lock is an advisory `flock` on a small file that names its owner. The system drops it when the process ends, however
that happens, so that the lock of a dead process is taken over. Between machines it holds on file systems that pass
`flock` on, such as NFS 4 and Lustre mounted with `flock`; where a file system has no locks, a warning says so.
"""

import errno
import json
import os
import socket
import time
import warnings
from pathlib import Path
from types import TracebackType

from langevax.storage import parsed

LOCK_FILE = ".langevax.lock"
"""The lock of a folder, inside it."""
WITHOUT_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class LockedError(RuntimeError):
    """Another run is writing here; the message names its process, its machine and since when."""


class Lock:
    """The lock `file`, held from construction until `release`.

    Raises:
        LockedError: another run holds it; `what` begins the message.
        OSError: the file cannot be made.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with Lock(folder / LOCK_FILE, "the folder"):
        ...     try:
        ...         Lock(folder / LOCK_FILE, "the folder")
        ...     except LockedError as error:
        ...         print(str(error).split(" by process ")[0])
        the folder is being written
        >>> list(folder.iterdir())
        []
    """

    def __init__(self, file: Path, what: str):
        self.file = file
        self._descriptor: int | None = _acquired(file, what)

    def release(self) -> None:
        """Drop the lock and remove its file; again without effect."""
        if self._descriptor is None:
            return
        # while it is held: who opened it before looks again
        self.file.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _acquired(file: Path, what: str) -> int | None:
    """Return the descriptor of the locked file; None where the file system has no locks."""
    import fcntl  # not on Windows

    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, descriptor):
                owner = {
                    "pid": os.getpid(),
                    "host": socket.gethostname(),
                    "since": time.strftime("%Y-%m-%d %H:%M:%S"),
                }
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps(owner).encode(), 0)
                return descriptor
        except BlockingIOError as error:
            owner = _owner(descriptor)
            os.close(descriptor)
            raise LockedError(
                f"{what} is being written by {owner}; wait until it ends, or name "
                "another."
            ) from error
        except OSError as error:
            os.close(descriptor)
            if error.errno not in WITHOUT_LOCKS:
                raise
            message = (
                f"{what} cannot be locked ({error.strerror}); make sure that no other "
                "run writes it."
            )
            warnings.warn(message, stacklevel=4)
            return None
        os.close(descriptor)  # its owner removed it in the meantime


def _is_at(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _owner(descriptor: int) -> str:
    try:
        owner = parsed(os.pread(descriptor, 4096, 0))
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (ValueError, KeyError, TypeError, OSError):
        return "another process"
