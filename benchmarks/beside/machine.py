"""Where and with what it was measured."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.beside.measure import load

PACKAGES = ("langevax", "jax", "jaxlib", "numpy", "torch", "blackjax", "posteriors", "numpyro", "scikit-learn", "flwr")


def described() -> dict[str, Any]:
    """The processor, its cores that this process may use, the load, and versions."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "load": load(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def processor() -> str:
    """Its name, as the system has it."""
    file = Path("/proc/cpuinfo")
    text = file.read_text() if file.exists() else ""
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
