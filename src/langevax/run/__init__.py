"""The driver `simulate`, its results, and runs that several processes share."""

from langevax.run.checkpoint import CheckpointError
from langevax.run.options import Run
from langevax.run.processes import (
    PeerError,
    gather,
    keep_compiled_programs,
    process_group,
)
from langevax.run.result import Average, DivergenceError, Result, Trace
from langevax.run.simulate import position_of, simulate
from langevax.run.start import Stacked

__all__ = [
    "Average",
    "CheckpointError",
    "DivergenceError",
    "PeerError",
    "Result",
    "Run",
    "Stacked",
    "Trace",
    "gather",
    "keep_compiled_programs",
    "position_of",
    "process_group",
    "simulate",
]
__dir__: object = __all__.copy
