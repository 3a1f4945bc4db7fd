"""Every test runs with shape checks on, strict dtype promotion, and warnings as errors."""

import gc
import os
import signal
from pathlib import Path

import jax
import jaxtyping
import matplotlib
import pytest
from jaxtyping import install_import_hook

pytest_plugins = ["tests.sentences"]
gc.set_threshold(
    20_000, 10, 10
)  # tracing makes many objects, which Python's 700 would search again and again
jax.config.update("jax_numpy_dtype_promotion", "strict")
matplotlib.use("Agg")

with install_import_hook("langevax", "beartype.beartype"):
    from langevax import (  # noqa: F401, modules that the hook has to see
        data,
        federated,
        likelihoods,
        losses,
        meanfield,
        neurons,
        run,
        samplers,
        spaces,
    )

MAPPED = Path("/proc/self/maps")
compiled_quickly = set()  # paths of files
OF_PROCESSES = "JAX_DISABLE_MOST_OPTIMIZATIONS"
LONG_EXAMPLES = (
    "federated",
    "numpyro",
    "optimize",
    "predictive_law",
    "sampling",
    "sklearn",
    "teacher_student",
)
LONG_EXAMPLES += (
    "theory.feature_learning",
    "meanfield.certificate",
    "meanfield.duality_gap",
    "meanfield.pda",
)
LONG_EXAMPLES += (
    "meanfield.psdca",
    "samplers.replica_exchange",
    "gradients.sledge",
)
"""Modules and packages whose examples in docstrings compile whole runs: seconds each."""
MANY_MAPS = 30_000  # Linux allows a process 65,530 by default; XLA takes some for each program and then crashes


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the examples of `LONG_EXAMPLES` as slow, before `-m` selects."""
    names = tuple(f"langevax.{name}" for name in LONG_EXAMPLES)
    for item in items:
        if isinstance(item, pytest.DoctestItem) and item.name.startswith(names):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """Leave modules and tests, which stay to the end, out of every later search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Compile the programs of a test marked `mostly_compiling`, and of its processes, in less time; they run longer."""
    marked, as_usual = (
        item.get_closest_marker(name)
        for name in ("mostly_compiling", "compiled_as_usual")
    )
    quickly = marked is not None and as_usual is None
    jax.config.update("jax_disable_most_optimizations", quickly)
    if quickly:
        compiled_quickly.add(item.path)
        os.environ[OF_PROCESSES] = "1"
    try:
        return (yield)
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
        os.environ.pop(OF_PROCESSES, None)


@pytest.fixture
def unchecked_types():
    """Arguments reach the library's own checks, as they do outside of tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True, scope="session")
def programs_of_many_shapes():
    """Estimators keep the programs of all shapes, which files share; `few_programs` forgets them in time."""
    from langevax.sklearn import training

    training.MOST_SHAPES = 10**9


@pytest.fixture(autouse=True)
def _same_signal_handlers():
    """A test that leaves a handler behind changes what later tests of its process see."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.fixture(autouse=True, scope="module")
def few_programs(request):
    """Forget the compiled programs of earlier files before they are too many for one process.

    Those of tests marked `mostly_compiling` at once: or later files would go on with some of them, and with others
    once those are forgotten.
    """
    yield
    many = MAPPED.exists() and MAPPED.read_bytes().count(b"\n") > MANY_MAPS
    if many or request.path in compiled_quickly:
        jax.clear_caches()
