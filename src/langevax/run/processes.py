"""Several processes, one run: arrays that lie in all of them, and what only one of them may decide or write.

Started by `jax.distributed.initialize`, every process runs the same program on its own devices. What comes from a
clock is decided by the first process, files are written by it, and it alone shows progress.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import jax
import numpy as np
from jax.sharding import Sharding
from jaxtyping import Array

from langevax.run.errors import PeerError

WAIT = 60  # seconds for all processes to come together
PATIENCE = 7 * 24 * 3600  # seconds at the end, while the first writes what was found
SILENCE = 10  # seconds after which a process that says nothing counts as dead


@contextmanager
def joined(coordinator: str, num_processes: int, process_id: int) -> Iterator[None]:
    """Be one of several processes that share runs, as long as the block lasts.

    Nothing may have been computed before. At the end each waits for the others. Where one process fails all end with
    exit code 1 and a sentence, at once: the one that failed does not wait for the others, and these do not wait for it.

        with langevax.run.joined("10.0.0.1:8476", num_processes=2, process_id=0):  # the other has process_id=1
            mesh = jax.make_mesh((jax.device_count(),), ("particles",))
            result = langevax.simulate(mfld, risk, start, key=key, num_steps=1000, sharding=mesh)

    Args:
        coordinator: "HOST:PORT" of process 0, the same for all.
        num_processes: how many there are.
        process_id: which of them this is, from 0 on.

    Raises:
        PeerError: not all processes came together within a minute.
    """
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=WAIT,
            heartbeat_timeout_seconds=SILENCE,
            shutdown_timeout_seconds=PATIENCE,
        )
    except jax.errors.JaxRuntimeError as error:
        raise PeerError(
            f"{num_processes} processes did not come together at {coordinator}: {first_line(error)}"
        ) from error
    with _own_stdout():
        try:
            yield
        except BaseException as error:  # JAX would wait for the others, who wait for this one, and then abort
            _leave(error, f"Process {process_id} of {num_processes}")
        jax.distributed.shutdown()


@contextmanager
def _own_stdout() -> Iterator[None]:
    """Stdout is Python's alone: what the collectives print there, of how they have met, goes to stderr."""
    own = sys.stdout
    try:
        direct = own.fileno() == 1
    except (AttributeError, OSError, ValueError):  # a notebook's
        direct = False
    if not direct:
        yield
        return
    own.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    with open(kept, "w", buffering=1, encoding=own.encoding) as sys.stdout:
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            sys.stdout = own


def _leave(error: BaseException, who: str) -> NoReturn:
    """End this process as Python would, without what JAX does at the end."""
    code = 130 if isinstance(error, KeyboardInterrupt) else 1
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 1
    elif isinstance(error, PeerError):
        print(f"{who}: {error}", file=sys.stderr)
    else:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def first_line(error: BaseException) -> str:
    """What an error says, without what follows."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def alone() -> bool:
    """Whether this process is the only one."""
    return jax.process_count() == 1


def first() -> bool:
    """Whether this process writes and speaks for those of its run."""
    return jax.process_index() == 0


def put(array: Any, sharding: Sharding) -> Array:
    """An array that all processes have, laid on the devices of all: each takes its part, and nothing is sent."""
    if alone():
        return jax.device_put(array, sharding)
    if jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
        data = put(jax.random.key_data(array), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, sharding, lambda part: host[part])


def whole(array: Any) -> np.ndarray:
    """An array of which this process may have a part only, on its host; all processes must ask."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        if not array.is_fully_replicated:
            from jax.experimental import multihost_utils

            return np.asarray(multihost_utils.process_allgather(array, tiled=True))
        return np.asarray(array.addressable_data(0))
    return np.asarray(array)


def agreed(number: float) -> float:
    """The number of the first process, where each has its own; all processes must ask."""
    from jax.experimental import multihost_utils

    return float(multihost_utils.broadcast_one_to_all(np.float64(number)))


def meet(name: str) -> None:
    """Wait until all processes are here."""
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices(name)


def spans(array: Array) -> bool:
    """Whether an array lies on devices of other processes too."""
    return not array.is_fully_addressable
