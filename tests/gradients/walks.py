"""Estimators along given paths, and problems whose components' Hessians differ by a known amount."""

import jax
import jax.numpy as jnp
import numpy as np

from langevax import FiniteSum


def bent(x, row):
    """Hessian `curvature` I, so that hess f_i - hess f is (curvature_i - mean) I; the slope moves no Hessian."""
    curvature, slope = row
    return curvature * jnp.sum(x**2) / 2 + slope @ x


def bent_problem(size, heterogeneity, dim, *, curvature=0.0, slope=1.0, seed=0):
    """Curvatures `curvature` +- heterogeneity, half each: |hess f_i - hess f| is the heterogeneity for every i."""
    rng = np.random.default_rng(seed)
    curvatures = curvature + heterogeneity * rng.permutation(
        np.resize([-1.0, 1.0], size)
    )
    dtype = jnp.result_type(float)
    return FiniteSum(
        bent,
        (
            jnp.asarray(curvatures, dtype),
            jnp.asarray(slope * rng.normal(size=(size, dim)), dtype),
        ),
    )


def errors_along(estimator, problem, path, key, state=None):
    """(step, d): estimate less gradient at every point of a path, and the last state."""

    def body(state, inputs):
        step, x = inputs
        v, state, _ = estimator.estimate(
            problem, x, state, jax.random.fold_in(key, step), step
        )
        return state, v - problem.gradient(x)

    state = estimator.init(problem, path[0])[0] if state is None else state
    state, errors = jax.lax.scan(
        body, state, (jnp.arange(len(path), dtype=jnp.int32), path)
    )
    return errors, state


def random_path(key, start, step, num_steps):
    """(num_steps, d): from `start` by steps of length `step` in uniform directions."""
    normals = jax.random.normal(key, (num_steps, len(start)), start.dtype)
    steps = step * normals / jnp.linalg.norm(normals, axis=1, keepdims=True)
    return start + jnp.cumsum(steps, axis=0) - steps[:1]


def squared_errors(estimator, problem, dim, step, num_steps, num_chains):
    """(chain, step) of random paths, one for each chain."""

    def one(key):
        path_key, key = jax.random.split(key)
        path = random_path(
            path_key, jnp.zeros(dim, jnp.result_type(float)), step, num_steps
        )
        return jnp.sum(errors_along(estimator, problem, path, key)[0] ** 2, axis=1)

    return np.asarray(
        jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), num_chains)),
        np.float64,
    )
