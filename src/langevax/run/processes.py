"""Several processes that share a run: arrays that span all of them, and what only one of them may decide or write.

Started by `jax.distributed.initialize`, every process runs the same program on its own devices. Decisions that depend
on a clock are made by the first process; it writes the files, and it alone shows progress.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
from jax.sharding import Sharding
from jaxtyping import Array

from langevax import checks


class PeerError(RuntimeError):
    """Another process of a shared run has ended or cannot be reached."""

    def __init__(self, reason: str):
        super().__init__(
            f"another process of this run has ended or cannot be reached ({reason}); "
            "this one cannot continue without it. Start all of them again, with "
            "checkpoint= and resume=True from the last state that was saved."
        )


@contextmanager
def process_group(
    coordinator: str, num_processes: int, process_id: int
) -> Iterator[None]:
    """Join the processes that share runs, for the duration of the block.

    Enter it before anything is computed. At the end each process waits for the others. If one fails, all end at once
    with exit code 1 and an error message, without waiting for each other.

        with langevax.run.process_group("10.0.0.1:8476", num_processes=2, process_id=0):  # the other has process_id=1
            mesh = jax.make_mesh((jax.device_count(),), ("particles",))
            result = langevax.simulate(mfld, risk, start, key=key, num_steps=1000, sharding=mesh)

    Args:
        coordinator: "HOST:PORT" of process 0, the same in all processes.
        num_processes: how many there are.
        process_id: index of this process, from 0.

    Raises:
        PeerError: not all processes came together within a minute.
    """
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=60,
            heartbeat_timeout_seconds=10,
            shutdown_timeout_seconds=604_800,  # a week, while the first writes results
        )
    except jax.errors.JaxRuntimeError as error:
        raise PeerError(
            f"{num_processes} processes did not come together at {coordinator}: "
            f"{checks.first_line(error)}"
        ) from error
    try:
        yield
    except (
        BaseException
    ) as error:  # JAX would wait for the others, who wait for this one, and then abort
        _exit(error, f"Process {process_id} of {num_processes}")
    jax.distributed.shutdown()


def _exit(error: BaseException, name: str) -> NoReturn:
    """End this process as Python would, without JAX's shutdown."""
    code = 130 if isinstance(error, KeyboardInterrupt) else 1
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 1
    elif isinstance(error, PeerError):
        print(f"{name}: {error}", file=sys.stderr)
    else:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def is_first() -> bool:
    """Return whether this process writes files and shows progress for all."""
    return jax.process_index() == 0


def put(array: Any, sharding: Sharding) -> Array:
    """Put an array that all processes have on the devices of all: each takes its part, and nothing is sent."""
    if jax.process_count() == 1:
        return jax.device_put(array, sharding)
    if jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
        data = put(jax.random.key_data(array), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, sharding, lambda part: host[part])


def gather(array: Any) -> np.ndarray:
    """Gather an array of which this process may hold a part only; all processes must call it."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        if not array.is_fully_replicated:
            from jax.experimental import multihost_utils

            return np.asarray(multihost_utils.process_allgather(array, tiled=True))
        return np.asarray(array.addressable_data(0))
    return np.asarray(array)


def from_first(number: float) -> float:
    """Return the number of the first process in all of them; all processes must call it."""
    from jax.experimental import multihost_utils

    return float(multihost_utils.broadcast_one_to_all(np.float64(number)))


def wait_for_all(name: str) -> None:
    """Wait until all processes have reached this call."""
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices(name)


def spans_processes(array: Array) -> bool:
    """Return whether an array also lies on devices of other processes."""
    return not array.is_fully_addressable


def keep_compiled_programs(directory: str | os.PathLike[str] | None = None) -> None:
    """Enable JAX's persistent compilation cache, so that another process loads programs instead of compiling them.

        langevax.run.keep_compiled_programs()  # at the top of a script; a second start saves most of the compilation
        result = langevax.simulate(...)
        result.seconds_to_first_step  # how long it still took

    Args:
        directory: the cache; any number of processes may share it. None uses JAX_COMPILATION_CACHE_DIR if that is set,
            and the user's cache folder otherwise, as the command line does.

    A program is identified by shapes, dtypes, code, the versions of JAX and the kind of device; if any of them has
    changed it is compiled again. The folder only grows; it may be deleted at any time. One that cannot be made is not
    used. `import langevax` does not enable the cache.
    """
    environment = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if directory is None and environment is None:
        directory = (
            Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            / "langevax"
            / "jax"
        )
    folder = Path(directory or environment or "").expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        jax.config.update("jax_compilation_cache_dir", None)
        return
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # all programs of a fit together take 100 kB
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if directory is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
