"""Exact moments of Langevin chains with a control variate at a fixed centre, on the quadratic finite sums of `moments`.

    v = grad f_I(x) - grad f_I(center) + grad F(center)  =  A x + (h - A) center + c_bar

So the chain is SGLD with slopes (h - a_i) center + c_bar in place of c_i (derived): with the centre at the mode
and a target that narrows there, the noise of its gradients narrows too. Baker, Fearnhead, Fox and Nemeth (Statistics
and Computing 2019); Chewi, Log-Concave Sampling, 10.1.
"""

import numpy as np
from jaxtyping import Float

from langevax.theory.moments import Moments, sgld_moments


def control_variate_moments(
    curvatures: Float[np.ndarray, "size d"],
    slopes: Float[np.ndarray, "size d"],
    start_mean: Float[np.ndarray, " d"],
    start_second: Float[np.ndarray, " d"],
    *,
    center: Float[np.ndarray, " d"],
    step_size: float,
    temperature: float,
    batch_size: int,
    num_steps: int,
    replace: bool,
) -> Moments:
    """E x and E x^2 at steps 0..num_steps; cost: size component gradients once, then 2 batch_size a step.

    >>> a, c, x = np.ones((2, 1)), np.array([[-1.0], [1.0]]), np.zeros(1)
    >>> control_variate_moments(  # equal curvatures: no noise but the chain's own
    ...     a, c, x, x, center=x, step_size=0.5, temperature=1.0, batch_size=1, num_steps=1, replace=True
    ... ).second.ravel()
    array([0., 1.])
    """
    a, c = np.asarray(curvatures, float), np.asarray(slopes, float)
    return sgld_moments(
        a, (a.mean(axis=0) - a) * center + c.mean(axis=0), start_mean, start_second,
        step_size=step_size, temperature=temperature, batch_size=batch_size, num_steps=num_steps, replace=replace,
    )  # fmt: skip
