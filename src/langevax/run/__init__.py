"""The one loop, and what it gives back."""

from langevax.run.errors import CheckpointError, DivergenceError
from langevax.run.result import Average, Result, Trace
from langevax.run.simulate import position_of, simulate

__all__ = ["Average", "CheckpointError", "DivergenceError", "Result", "Trace", "position_of", "simulate"]
