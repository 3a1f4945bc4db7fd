"""Memory of one candidate, in a process that does nothing else.

`peak` is what the process holds at the most (VmHWM, Linux) less what it held once everything was imported: data,
compiling and a short run. `running` is the same of a second run, which has nothing to compile, over what is held before
it; `children.py` has the allocator give back at once what is freed. On an accelerator the peak is that of the
device's allocator.
"""

import gc
import importlib
import sys
from pathlib import Path
from typing import Any

from benchmarks.beside.case import Candidate

FEW = 10
"""Steps of a run whose memory is read: it does not grow with them."""
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory(candidate: Candidate) -> dict[str, float | None]:
    """{"peak": bytes, "running": bytes}; None where the system does not say."""
    for name in candidate.needs:
        importlib.import_module(name)
    import jax

    jax.block_until_ready(jax.numpy.ones(2) + 1)  # the backend and its compiler are loaded
    return _of(lambda: candidate.make(min(FEW, candidate.steps)))


def _of(make: Any) -> dict[str, float | None]:
    before = _restarted()
    run = make()
    run()
    peak = _most() - before if before is not None else None
    held = _restarted()
    run()
    running = _most() - held if held is not None else None
    if (device := _on_device()) is not None:
        return {"peak": device, "running": None}
    return {"peak": peak, "running": running}


def _restarted() -> float | None:
    """Bytes held now, after which the maximum is counted anew; None where this is not Linux."""
    gc.collect()
    try:
        CLEAR.write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _most() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    return 1024.0 * int(STATUS.read_text().split(f"{name}:")[1].split()[0])


def _on_device() -> float | None:
    """The most bytes that JAX or PyTorch held on an accelerator."""
    import jax

    found = [(device.memory_stats() or {}).get("peak_bytes_in_use", 0) for device in jax.local_devices()]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found.append(torch.cuda.max_memory_allocated())
    return float(sum(found)) if sum(found) else None
