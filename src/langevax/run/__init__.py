"""The one loop, and what it gives back."""

from langevax.run.compilation import keep_compiled_programs
from langevax.run.errors import CheckpointError, DivergenceError, PeerError
from langevax.run.processes import joined, whole
from langevax.run.result import Average, Result, Trace
from langevax.run.simulate import position_of, simulate

__all__ = [
    "Average",
    "CheckpointError",
    "DivergenceError",
    "PeerError",
    "Result",
    "Trace",
    "joined",
    "keep_compiled_programs",
    "position_of",
    "simulate",
    "whole",
]
