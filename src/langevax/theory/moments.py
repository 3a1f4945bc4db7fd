"""Exact first and second moments of Langevin chains with noisy gradients, on quadratic finite sums.

    f_i(x) = sum_l  1/2 a_il x_l^2 + c_il x_l,      F = (1/n) sum_i f_i,      law exp(-F / temperature)

`curvatures` a and `slopes` c are (size, d). A batch gradient is A x + C with A, C the batch means of a
and c; given the past, (A, C) has mean (h, c_bar) and covariance Xi times that of the components, which is
all that first and second moments see. Coordinates share batches but their own moments do not mix.

Every recursion returns moments at steps 0..num_steps, start included; steps k with k % period == 0 take the
full gradient. Cost: O(size d) once and O(d) per step. Kinoshita and Suzuki (NeurIPS 2022), algorithms SVRG-LD
and SARAH-LD, with their gamma = 1 / temperature; the recursions are derived.

With a control variate at a fixed centre (Baker, Fearnhead, Fox and Nemeth, Statistics and Computing 2019; Chewi,
Log-Concave Sampling, 10.1) the gradient is

    v = grad f_I(x) - grad f_I(center) + grad F(center)  =  A x + (h - A) center + c_bar

so the chain is SGLD with slopes (h - a_i) center + c_bar in place of c_i (derived): with the centre at the mode and a
target that narrows there, the noise of its gradients narrows too.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Components = Float[np.ndarray, "size d"]
"""Curvatures or slopes of all components."""
Vector = Float[np.ndarray, " d"]


class Moments(NamedTuple):
    """E x and E x^2 per step and coordinate."""

    first: Float[np.ndarray, "steps d"]
    second: Float[np.ndarray, "steps d"]

    @property
    def variance(self) -> Float[np.ndarray, "steps d"]:
        """E x^2 - (E x)^2."""
        return self.second - self.first**2


def batch_variance_factor(size: int, batch_size: int, *, replace: bool) -> float:
    """Xi: variance of a batch mean over the population variance (divisor `size`) of the components.

    Without replacement (size - B) / (B (size - 1)), Kinoshita and Suzuki (NeurIPS 2022), Theorem 1;
    with replacement 1 / B.

    >>> batch_variance_factor(5, 2, replace=False), batch_variance_factor(5, 2, replace=True)
    (0.375, 0.5)
    """
    if replace:
        return 1 / batch_size
    if batch_size > size:
        raise ValueError(
            f"batch_size must be <= size {size} without replacement, got {batch_size}; "
            "pass replace=True."
        )
    return (
        0.0 if batch_size == size else (size - batch_size) / (batch_size * (size - 1))
    )


class BatchLaw(NamedTuple):
    """Means, variances and covariance of the batch means (A, C) of curvature and slope, per coordinate."""

    curvature: np.ndarray
    slope: np.ndarray
    curvature_variance: np.ndarray
    slope_variance: np.ndarray
    covariance: np.ndarray


class QuadraticChain(NamedTuple):
    """Chains x <- x - step_size v + sqrt(2 step_size temperature) xi, one method for each gradient v.

    >>> a, c, x = np.array([[0.0], [2.0]]), np.array([[-1.0], [1.0]]), np.zeros(1)
    >>> chain = QuadraticChain(a, c, x, x, step_size=0.5, temperature=1.0, num_steps=2)
    >>> chain.ld().second.ravel()
    array([0.  , 1.  , 1.25])
    >>> chain.sgld(batch_size=1, replace=True).second.ravel()
    array([0.   , 1.25 , 1.875])
    >>> chain.svrg(batch_size=1, period=2, replace=True).second.ravel()
    array([0. , 1. , 1.5])
    >>> chain.sarah(batch_size=1, period=2, replace=True).second.ravel()
    array([0. , 1. , 1.5])
    >>> chain.control_variate(np.zeros(1), batch_size=1, replace=True).second.ravel()
    array([0. , 1. , 1.5])
    """

    curvatures: Components
    slopes: Components
    start_mean: Vector
    start_second: Vector
    step_size: float
    temperature: float
    num_steps: int

    def ld(self) -> Moments:
        """LD: v = h x + c_bar."""
        return self.sgld(len(self.curvatures), replace=False)

    def sgld(self, batch_size: int, *, replace: bool) -> Moments:
        """SGLD: v = A x + C, a fresh batch every step."""
        law = self._batch_law(batch_size, replace)
        shrink = 1 - self.step_size * law.curvature
        cross = (
            shrink * law.slope - self.step_size * law.covariance
        )  # E (1 - step_size A) C
        constant = (
            self.step_size**2 * (law.slope**2 + law.slope_variance) + self._noise
        )  # E C^2 and noise
        first, second = self._start()
        for _ in range(self.num_steps):
            x = first[-1]
            x2 = second[-1]
            first.append(shrink * x - self.step_size * law.slope)
            second.append(
                self._shrink2(law) * x2 - 2 * self.step_size * cross * x + constant
            )
        return Moments(np.stack(first), np.stack(second))

    def control_variate(
        self,
        center: Vector,
        batch_size: int,
        *,
        replace: bool,
    ) -> Moments:
        """SGLD with gradients corrected at a fixed centre; size component gradients once, then 2 batch_size a step."""
        a = np.asarray(self.curvatures, float)
        c = np.asarray(self.slopes, float)
        corrected = (a.mean(axis=0) - a) * center + c.mean(axis=0)
        return self._replace(slopes=corrected).sgld(batch_size, replace=replace)

    def svrg(
        self,
        batch_size: int,
        period: int,
        *,
        replace: bool,
    ) -> Moments:
        """SVRG-LD: with snapshot s, full gradient u = h s + c_bar and delta = x - s, within an epoch

            delta <- (1 - step_size A) delta - step_size u + sqrt(2 step_size temperature) xi,

        followed through E delta, E s delta and E delta^2. The slopes cancel but for their mean in u.
        """
        step_size = self.step_size
        law = self._batch_law(batch_size, replace)
        h = law.curvature
        c_bar = law.slope
        shrink = 1 - step_size * h
        shrink2 = self._shrink2(law)
        first, second = self._start()
        s, s2, delta, s_delta, delta2 = (np.zeros_like(first[0]) for _ in range(5))
        for step in range(self.num_steps):
            if step % period == 0:
                s = first[-1]
                s2 = second[-1]
                delta, s_delta, delta2 = (np.zeros_like(s) for _ in range(3))
            u = h * s + c_bar
            s_u = h * s2 + c_bar * s
            u2 = h**2 * s2 + 2 * h * c_bar * s + c_bar**2
            u_delta = h * s_delta + c_bar * delta
            delta2 = (
                shrink2 * delta2
                - 2 * step_size * shrink * u_delta
                + step_size**2 * u2
                + self._noise
            )
            s_delta = shrink * s_delta - step_size * s_u
            delta = shrink * delta - step_size * u
            first.append(s + delta)
            second.append(s2 + 2 * s_delta + delta2)
        return Moments(np.stack(first), np.stack(second))

    def sarah(
        self,
        batch_size: int,
        period: int,
        *,
        replace: bool,
    ) -> Moments:
        """SARAH-LD: v = h x + c_bar at refreshes, and with sigma = sqrt(2 step_size temperature)

            x <- x - step_size v + sigma xi,      v <- (1 - step_size A) v + sigma A xi      (the same xi),

        followed through E x, E v, E x^2, E x v and E v^2.
        """
        step_size = self.step_size
        law = self._batch_law(batch_size, replace)
        h = law.curvature
        c_bar = law.slope
        shrink = 1 - step_size * h
        shrink2 = self._shrink2(law)
        first, second = self._start()
        v, xv, v2 = (np.zeros_like(first[0]) for _ in range(3))
        for step in range(self.num_steps):
            x = first[-1]
            x2 = second[-1]
            if step % period == 0:
                v = h * x + c_bar
                xv = h * x2 + c_bar * x
                v2 = h**2 * x2 + 2 * h * c_bar * x + c_bar**2
            first.append(x - step_size * v)
            second.append(x2 - 2 * step_size * xv + step_size**2 * v2 + self._noise)
            xv = shrink * (xv - step_size * v2) + h * self._noise
            v2 = shrink2 * v2 + (h**2 + law.curvature_variance) * self._noise
            v = shrink * v
        return Moments(np.stack(first), np.stack(second))

    @property
    def _noise(self) -> float:
        return 2 * self.step_size * self.temperature

    def _start(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        return [np.asarray(self.start_mean, float)], [
            np.asarray(self.start_second, float)
        ]

    def _shrink2(self, law: BatchLaw) -> np.ndarray:
        """E (1 - step_size A)^2."""
        return (
            1 - self.step_size * law.curvature
        ) ** 2 + self.step_size**2 * law.curvature_variance

    def _batch_law(self, batch_size: int, replace: bool) -> BatchLaw:
        a = np.asarray(self.curvatures, float)
        c = np.asarray(self.slopes, float)
        factor = batch_variance_factor(len(a), batch_size, replace=replace)
        h = a.mean(axis=0)
        c_bar = c.mean(axis=0)
        covariance = np.mean((a - h) * (c - c_bar), axis=0)
        return BatchLaw(
            h,
            c_bar,
            factor * a.var(axis=0),
            factor * c.var(axis=0),
            factor * covariance,
        )
