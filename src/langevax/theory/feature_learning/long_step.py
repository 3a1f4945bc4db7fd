"""Calls of the theory of long steps on broadcast numbers."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from langevax.theory.feature_learning.arguments import Errors, Numbers, broadcast_call, centred
from langevax.theory.feature_learning.hermite import Activation, Coefficients, Function, is_traceable
from langevax.theory.feature_learning.spiked import spiked
from langevax.theory.feature_learning.tables import Tables, after_step, moments_after_step, readout_nodes
from langevax.theory.feature_learning.unified import unified


def long_step_risk(
    method: str,
    samples_per_dim: Numbers,
    neurons_per_dim: Numbers,
    ridge: Numbers,
    step_size: Numbers,
    student: Function,
    teacher: Function,
    noise: Numbers,
    gradient_samples_per_dim: Numbers,
    num_neurons: Numbers,
    readout: str,
    unit_rows: bool,
) -> Errors:
    """`unified` or `spiked` at every point, one after the other; the moments are traced where the functions are."""
    named = (*student_and_teacher(student, teacher), readout, unit_rows)

    def core(
        samples: Any, neurons: Any, ridge: Any, step: Any, noise: Any, gradient_samples: Any, total: Any
    ) -> Errors:
        points = (step, total, noise, gradient_samples)
        tables = make_tables(named, *points)
        if method == "spiked":
            return _spiked(tables, samples, neurons, ridge, noise)
        return _unified(tables, samples, neurons, total, ridge, noise)

    numbers = (samples_per_dim, neurons_per_dim, ridge, step_size, noise, gradient_samples_per_dim, num_neurons)
    found = broadcast_call(core, *numbers)
    if np.any(np.isnan(found.risk)):
        ridges = np.broadcast_to(ridge, np.shape(found.risk))[np.isnan(found.risk)]
        raise RuntimeError(
            f"the fixed point was not found where ridge is {np.max(ridges):.3g}, as happens at samples as many as "
            "neurons and hardly a ridge; pass a larger ridge, or samples_per_dim a little off neurons_per_dim."
        )
    return found


def student_and_teacher(
    student: Function, teacher: Function
) -> tuple[Activation, Activation, Coefficients, Coefficients]:
    """Both with their coefficients; raise unless centred, and where E student'^2 is not finite."""
    (s, of_student), (target, of_teacher) = centred("student", student), centred("teacher", teacher)
    if not np.isfinite(of_student.slope_rest):
        raise ValueError(f"student must not jump, as its gradient would not exist, got {student!r}; pass a smooth one.")
    return s, target, of_student, of_teacher


def tables_of_point(named: Any, xp: Any, step: Any, total: Any, noise: Any, gradient_samples: Any) -> Tables:
    """Tables of student, teacher, their coefficients, readout, unit_rows at one point."""
    student, teacher, of_student, of_teacher, readout, unit_rows = named
    readouts, shares = readout_nodes(readout)
    aligned = after_step(of_student, of_teacher, readouts, step, total, noise, gradient_samples, xp)
    return moments_after_step(student, teacher, aligned, shares, unit_rows, xp)


def make_tables(named: Any, *points: jax.Array) -> Tables:
    """Tables of all points (step size, number of neurons, noise, gradient's samples per dimension), stacked."""
    is_traced = is_traceable(named[0]) and is_traceable(named[1])
    return (_traced_tables if is_traced else _host_tables)(named, *points)


@functools.partial(jax.jit, static_argnums=0)
def _traced_tables(named: Any, *points: jax.Array) -> Tables:
    return jax.lax.map(lambda point: tables_of_point(named, jnp, *point), points)


def _host_tables(named: Any, *points: jax.Array) -> Tables:
    each = [tables_of_point(named, np, *(float(v) for v in point)) for point in zip(*points, strict=True)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *each)


@jax.jit
def _unified(tables: Tables, *numbers: jax.Array) -> Errors:
    return jax.lax.map(lambda point: unified(*point[:-1], tables=point[-1]), (*numbers, tables))


@jax.jit
def _spiked(tables: Tables, *numbers: jax.Array) -> Errors:
    return jax.lax.map(lambda point: spiked(*point[:-1], tables=point[-1]), (*numbers, tables))
