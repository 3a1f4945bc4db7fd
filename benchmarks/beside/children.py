"""Measuring in processes of their own: one to time a case, one for the memory of each candidate; none runs too long."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.beside.case import Case
from benchmarks.beside.line import Found, Line
from benchmarks.beside.measure import load

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
    case: Case, *, share: float = 1.0, most: int = 0, with_memory: bool = True, tell: Callable[[str], Any] = print
) -> Line:
    """The line of a case: times first, and memory, which a busy machine does not change, on all cores.

    Args:
        share: of the steps of each run.
        most: turns, if not 0.
        tell: called with what begins.
    """
    began, waiting = time.monotonic(), load()
    tell("times, in turns: " + ", ".join(c.name for c in case.candidates))
    said = spoken([case.file, case.name, str(share), str(most)], case.limit)
    line = Line(case.name, case.unit, load=waiting)
    if "error" in said:
        return replace(line, note=said["error"], spent=time.monotonic() - began)
    found = [Found(**f | {"times": tuple(f["times"])}) for f in said["found"]]
    if with_memory:
        tell("memory, each alone")
        alone = {c.name for c in case.candidates if c.one_process and c.make}
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found = list(pool.map(lambda f: _weighed(case, f) if f.times and f.name in alone else f, found))
    return replace(line, found=tuple(found), device=said["device"], spent=time.monotonic() - began)


def _weighed(case: Case, found: Found) -> Found:
    said = spoken([case.file, case.name, found.name], MEMORY_LIMIT, RETURNING)
    if "error" in said:
        return replace(found, note=f"memory: {said['error']}", failed=True)
    return replace(found, **said)


def spoken(words: list[str], limit: float, environment: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """What a child found, or {"error": why not}."""
    with tempfile.TemporaryDirectory() as folder:
        out, told = Path(folder) / "out.json", Path(folder) / "told.txt"
        command = [sys.executable, "-m", "benchmarks.beside.child", str(out), *words]
        with told.open("w") as file:
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
                ended(process)
        if out.exists():
            return json.loads(out.read_text())
        last = told.read_text(errors="replace").strip().splitlines()[-1:]
        return {"error": f"the process ended with {process.returncode}" + "".join(f": {text}" for text in last)}


def ended(process: subprocess.Popen) -> None:
    """The process and those it started: asked first, so that engines end theirs."""
    for number, patience in ((signal.SIGINT, 15), (signal.SIGKILL, 15)):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # what it left behind
