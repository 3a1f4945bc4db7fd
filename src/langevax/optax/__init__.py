"""Langevin dynamics for optax: noise that samples, and variance-reduced gradients to chain before it."""

from langevax.optax.noise import langevin
from langevax.optax.tables import saga, sledge, storm
from langevax.optax.variance_reduction import sarah, svrg

__all__ = ["langevin", "saga", "sarah", "sledge", "storm", "svrg"]
