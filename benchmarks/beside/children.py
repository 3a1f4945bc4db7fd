"""Measuring in child processes: one times a case, one more reads the memory of each candidate; none runs too long.

`peak` is the most that the process held (VmHWM, Linux) less what it held once everything was imported: data, compiling
and a short run. `running` is the same of a second run, which has nothing to compile, over what is held before it; the
allocator returns freed memory at once. On an accelerator the peak is that of the device's allocator.

A child is `python -m benchmarks.beside.children OUT FILE CASE SHARE MOST`, or `... CANDIDATE`; it writes JSON to OUT.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.beside.case import Candidate, Case, Line, Measurement, cases_of
from benchmarks.beside.measure import load, sentence, timed

MEMORY_LIMIT = 120.0
ENVIRONMENT = {
    "JAX_ENABLE_COMPILATION_CACHE": "false",  # compiling takes its time and memory at every run alike
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # on a GPU JAX and PyTorch share the memory
    "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no helper processes
    "PYTHONWARNINGS": "ignore",
}
RETURNING = {  # what is freed goes back to the system at once (glibc), to be counted when it is taken again
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}


def measured(
    case: Case,
    *,
    share: float = 1.0,
    most: int = 0,
    with_memory: bool = True,
    tell: Callable[[str], Any] = print,
) -> Line:
    """The line of a case: times first, and memory, which a busy machine does not change, on all cores.

    Args:
        share: of the steps of each run.
        most: turns, if not 0.
        tell: called with what begins.
    """
    began, waiting = time.monotonic(), load()
    tell("times, in turns: " + ", ".join(c.name for c in case.candidates))
    reply = run_child([case.file, case.name, str(share), str(most)], case.limit)
    line = Line(case.name, case.unit, load=waiting)
    if "error" in reply:
        return replace(line, note=reply["error"], spent=time.monotonic() - began)
    measurements = [
        Measurement(**m | {"times": tuple(m["times"])}) for m in reply["measurements"]
    ]
    if with_memory:
        tell("memory, each alone")
        alone = {c.name for c in case.candidates if c.one_process and c.make}
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            weigh = lambda m: (
                _with_memory(case, m) if m.times and m.name in alone else m
            )
            measurements = list(pool.map(weigh, measurements))
    return replace(
        line,
        measurements=tuple(measurements),
        device=reply["device"],
        spent=time.monotonic() - began,
    )


def _with_memory(case: Case, measurement: Measurement) -> Measurement:
    reply = run_child([case.file, case.name, measurement.name], MEMORY_LIMIT, RETURNING)
    if "error" in reply:
        return replace(measurement, note=f"memory: {reply['error']}", failed=True)
    return replace(measurement, **reply)


def run_child(
    words: list[str],
    limit: float,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the record of a child process, or {"error": why there is none}."""
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "out.json", Path(folder) / "log.txt"
        command = [sys.executable, "-m", "benchmarks.beside.children", str(out), *words]
        with log.open("w") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                env={**os.environ, **ENVIRONMENT, **environment},
            )
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                return {"error": f"not done after {limit:.0f} s"}
            finally:
                terminate(process)
        if out.exists():
            return json.loads(out.read_text())
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        return {
            "error": f"the process ended with {process.returncode}"
            + "".join(f": {text}" for text in last)
        }


def terminate(process: subprocess.Popen) -> None:
    """End the process and those it started: by SIGINT first, so that engines can end theirs."""
    for number, patience in ((signal.SIGINT, 15), (signal.SIGKILL, 15)):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # what it left behind


FEW = 10
"""Steps of a run whose memory is read: it does not grow with them."""
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory(candidate: Candidate) -> dict[str, float | None]:
    """{"peak": bytes, "running": bytes}; None where the system does not say."""
    for name in candidate.needs:
        importlib.import_module(name)
    import jax

    jax.block_until_ready(
        jax.numpy.ones(2) + 1
    )  # the backend and its compiler are loaded
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

    peaks = [
        (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
        for device in jax.local_devices()
    ]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peaks.append(torch.cuda.max_memory_allocated())
    return float(sum(peaks)) if sum(peaks) else None


def child(out: str, file: str, name: str, *rest: str) -> None:
    """Time the case, or read the memory of one of its candidates."""
    try:
        case = next(case for case in cases_of(file) if case.name == name)
        if len(rest) == 2:
            measurements = timed(case, float(rest[0]), int(rest[1]) or None)
            import jax

            reply = {
                "measurements": [asdict(m) for m in measurements],
                "device": jax.devices()[0].device_kind,
            }
        else:
            reply = memory(next(c for c in case.candidates if c.name == rest[0]))
    except Exception as error:  # the parent goes on with the next case, and shows this
        reply = {"error": sentence(error)}
    Path(out).write_text(json.dumps(reply))


if __name__ == "__main__":
    child(*sys.argv[1:])
