"""Deterministic equivalents of ridge regression on features: Gaussian, random, or those of one first layer.

**Gaussian features** g ~ N(0, Omega), Psi = E g y, n samples, w = argmin 1/n sum_i (y_i - <w, g_i>)^2 + ridge |w|^2
(Loureiro et al., NeurIPS 2021, whose V is kappa / ridge - 1):

    kappa = ridge + (kappa / n) tr Omega (Omega + kappa)^-1
    Q(k)  = Psi^T (Omega + k)^-1 Psi,     df2 = tr Omega^2 (Omega + kappa)^-2
    risk  = (E y^2 - Q + kappa Q') / (1 - df2 / n) - noise^2,     training error = (risk + noise^2) (ridge / kappa)^2

**Random features** of any kernel, averaged (Defilippis, Loureiro, Misiakiewicz, 2024). The kernel of infinitely many
features has eigenvalues xi_k^2, the target coefficients b_k on its eigenfunctions; p features, n samples, D = n ridge /
p the penalty of features / sqrt(p). With r = sqrt((1 - n/p)^2 + 4 D / (p nu2)), nu2 solves

    1 + n/p - r = (2/p) sum_k xi_k^2 / (xi_k^2 + nu2),      nu1 = (nu2 / 2) (1 - n/p + r)
    t   = sum_k xi_k^4 / (xi_k^2 + nu2)^2,      chi = sum_k xi_k^2 / (xi_k^2 + nu2)^2 / (p - t)
    U   = (p/n) [(1 - nu1/nu2)^2 + (nu1/nu2)^2 t / (p - t)]
    bias = nu2^2 / (1 - U) sum_k b_k^2 (1 + chi xi_k^2) / (xi_k^2 + nu2)^2,      variance = noise^2 U / (1 - U)

The features of a two-layer network at initial weights are d eigenvalues mu1^2 / d and a tail of total mass mu2^2.

**One first layer as it is**, from its weights alone: no data, no Gaussian approximation. With s = <x, u> along a
direction u in which the weights may be long, W_i = rho_i u + P_i and G = P^T P, neuron i is student(rho_i s + |P_i| z)
given s, with moments m_i, b_i = E student', r_i = E student^2 - m_i^2 - b_i^2 |P_i|^2, and

    C_j = m_j m_j^T + diag(b_j) G diag(b_j) + diag(r_j)          at nodes s_j of weight w_j
    c_j = m_j f0_j + b_j (P^T v) f1_j                            v the rest of the teacher's direction
    Q   = (sum_j q_j C_j + ridge)^-1,   V_j = tr C_j Q / n,   q = w / (1 + V),   A_jl = tr C_j Q C_l Q / n
    e   = (I - A diag(w / (1 + V)^2))^-1 (E[y^2 | s_j] - 2 a . c_j + a^T C_j a),   a = Q sum_j q_j c_j

risk = w . e - noise^2 (derived). Any student, readout and step: what `unified` takes for isotropic is read off the
weights here. Order nodes N^3 operations.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float
from scipy.linalg import cho_solve, cholesky, eigh, solve_triangular
from scipy.optimize import root

from langevax.theory.feature_learning.activations import (
    Activation,
    Function,
    moments_in_numpy,
)
from langevax.theory.feature_learning.large_step import normal_nodes
from langevax.theory.feature_learning.numerics import (
    ROUNDING_SHARE,
    Errors,
    Numbers,
    broadcast_call,
    centred,
    positive_root,
)
from langevax.theory.lsi import nonnegative, positive

POINTS_AT_ONCE = 32
"""Points whose sums over the spectrum are taken together."""


class GaussianDesign(NamedTuple):
    """Second moments of features g and a target y without noise."""

    covariance: Float[np.ndarray, "N N"]
    target_covariance: Float[np.ndarray, " N"]
    """E g y"""
    target_variance: float
    """E y^2"""


def gaussian_equivalent(
    weights: Float[np.ndarray, "d N"],
    direction: Float[np.ndarray, " d"],
    student: Function,
    teacher: Function,
) -> GaussianDesign:
    """Moments of student(W^T x) and teacher(<x, direction>), as if W's columns were of length 1 and nearly orthogonal.

        Omega = mu1^2 W^T W + mu2^2 I,     Psi = mu1 s1 W^T beta,     E y^2 = s1^2 + s2^2

    It holds up to steps of size Theta(1); `errors_given_weights` serves longer ones.

    >>> gaussian_equivalent(np.eye(2), np.array([1.0, 0.0]), "centred relu", "erf").target_covariance.round(6)
    array([0.325735, 0.      ])
    """
    (_, s) = centred("student", student)
    (_, target) = centred("teacher", teacher)
    w = np.asarray(weights, float)
    linear = s.linear**2 * w.T @ w
    covariance = linear + s.rest**2 * np.eye(len(linear))
    return GaussianDesign(
        covariance,
        s.linear * target.linear * (w.T @ direction),
        target.linear**2 + target.rest**2,
    )


def errors_gaussian_design(
    design: GaussianDesign,
    num_samples: Numbers,
    ridge: Numbers,
    noise: Numbers = 0.0,
) -> Errors:
    """Errors of ridge regression on num_samples draws of the design with label noise; the numbers broadcast.

    Raises:
        ValueError: a covariance that is not symmetric positive semi-definite, or does not allow the target.

    >>> design = GaussianDesign(np.eye(100), np.full(100, 0.1), 1.0)
    >>> errors_gaussian_design(design, np.array([50, 200]), ridge=1e-3).risk.round(4)
    array([0.5, 0. ])
    """
    positive(num_samples=num_samples, ridge=ridge)
    nonnegative(noise=noise)
    spectrum = spectrum_of(design)
    return broadcast_call(
        lambda *numbers: _mapped_design(*spectrum, design.target_variance, *numbers),
        num_samples,
        ridge,
        noise,
    )


def spectrum_of(design: GaussianDesign) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of the covariance and squared projections of E g y on its eigenvectors."""
    covariance = np.asarray(design.covariance, float)
    if np.max(np.abs(covariance - covariance.T), initial=0) > ROUNDING_SHARE * np.max(
        np.abs(covariance), initial=0
    ):
        raise ValueError("design.covariance must be symmetric; pass (c + c.T) / 2.")
    eigenvalues, vectors = eigh(covariance)
    projections = (vectors.T @ np.asarray(design.target_covariance, float)) ** 2
    if eigenvalues[0] < -ROUNDING_SHARE * abs(eigenvalues[-1]):
        raise ValueError(
            "design.covariance must be positive semi-definite, got an eigenvalue "
            f"{eigenvalues[0]:.3g}."
        )
    positive_part = eigenvalues > ROUNDING_SHARE**2 * eigenvalues[-1]
    explained = float(np.sum(projections[positive_part] / eigenvalues[positive_part]))
    if explained > design.target_variance * (1 + ROUNDING_SHARE):
        raise ValueError(
            f"design explains {explained:.6g} of a target of variance "
            f"{design.target_variance:.6g}; pass E y^2 without noise as "
            "target_variance, and E g y of centred features as target_covariance."
        )
    return np.maximum(eigenvalues, 0), np.where(positive_part, projections, 0)


def gaussian_design(
    eigenvalues: Array,
    projections: Array,
    target_variance: Array,
    num_samples: Array,
    ridge: Array,
    noise: Array,
) -> Errors:
    """Traced, for one point: all but the spectrum, as `spectrum_of` gives it, are scalars."""
    total = target_variance + noise**2

    def df1_share(k: Array) -> Array:
        return jnp.sum(eigenvalues / (eigenvalues + k)) / num_samples

    high = ridge + jnp.sum(eigenvalues) / num_samples
    kappa = positive_root(lambda k: 1 - ridge / k - df1_share(k), ridge, high)
    left = eigenvalues + kappa
    freedom = (
        ridge / kappa + kappa * jnp.sum(eigenvalues / left**2) / num_samples
    )  # 1 - df2 / n, in positive terms
    risk = (
        total - jnp.sum(projections * (left + kappa) / left**2)
    ) / freedom - noise**2
    return Errors(risk, (risk + noise**2) * (ridge / kappa) ** 2)


@jax.jit
def _mapped_design(
    eigenvalues: Array,
    projections: Array,
    target_variance: Array,
    *numbers: Array,
) -> Errors:
    def one(point: tuple[Array, ...]) -> Errors:
        return gaussian_design(eigenvalues, projections, target_variance, *point)

    return jax.lax.map(one, numbers, batch_size=POINTS_AT_ONCE)


class RandomFeatures(NamedTuple):
    """Risk on new inputs without label noise, split, and the training error; the numbers broadcast."""

    risk: Any
    """bias + variance"""
    bias: Any
    variance: Any
    training_error: Any


def random_feature_equivalent(
    eigenvalues: Float[np.ndarray, " modes"],
    coefficients: Float[np.ndarray, " modes"],
    num_samples: Numbers,
    num_neurons: Numbers,
    ridge: Numbers,
    noise: Numbers,
    tail: float = 0.0,
    target_tail: float = 0.0,
) -> RandomFeatures:
    """Risk of w = argmin 1/n sum_i (y_i - <w, features_i>)^2 + ridge |w|^2 for num_neurons features without 1/sqrt(p).

    `tail` is the mass of infinitely many eigenvalues too small to be learned one by one, `target_tail` the target's
    energy on them: the kernel's trace is sum eigenvalues + tail, the target's variance |coefficients|^2 + target_tail.

    >>> from langevax.theory.feature_learning import hermite_coefficients
    >>> student, teacher = hermite_coefficients("erf"), hermite_coefficients("tanh")
    >>> eigenvalues, coefficients = np.full(400, student.linear**2 / 400), np.full(400, teacher.linear / 400**0.5)
    >>> tails = {"tail": student.rest**2, "target_tail": teacher.rest**2}
    >>> features = random_feature_equivalent(eigenvalues, coefficients, 1000, 600, 0.02, 0.2, **tails)
    >>> round(features.risk, 6)  # n / d = 2.5, N / d = 1.5: the closed form has 0.152953
    0.152953
    """
    positive(num_samples=num_samples, num_neurons=num_neurons, ridge=ridge)
    nonnegative(
        eigenvalues=eigenvalues, noise=noise, tail=tail, target_tail=target_tail
    )
    if not np.sum(eigenvalues) + tail > 0:
        raise ValueError("eigenvalues and tail are all 0; pass a kernel that is not.")
    spectrum = (
        np.asarray(eigenvalues, float),
        np.asarray(coefficients, float) ** 2,
        float(tail),
        float(target_tail),
    )
    return broadcast_call(
        functools.partial(_mapped_features, *spectrum),
        num_samples,
        num_neurons,
        ridge,
        noise,
    )


def random_features(
    eigenvalues: Array,
    energies: Array,
    tail: Array,
    target_tail: Array,
    num_samples: Array,
    num_neurons: Array,
    ridge: Array,
    noise: Array,
) -> RandomFeatures:
    """Traced, for one point; `energies` are the squared coefficients."""
    n = num_samples
    p = num_neurons
    penalty = n * ridge / p
    gap = 1 - n / p

    def root_of(nu: Array) -> Array:
        return jnp.sqrt(gap**2 + 4 * penalty / (p * nu))

    def excess(nu: Array) -> Array:
        return (
            1
            + n / p
            - root_of(nu)
            - 2 / p * (jnp.sum(eigenvalues / (eigenvalues + nu)) + tail / nu)
        )

    ratio = n / p
    share = jnp.minimum(1, ratio)
    high = jnp.maximum(
        2 * (jnp.sum(eigenvalues) + tail) / (p * share),
        4 * penalty / (p * (jnp.maximum(1, ratio) ** 2 - gap**2)),
    )
    nu2 = positive_root(excess, penalty / n, high)
    root = root_of(nu2)
    over_p = (
        2 * penalty / (p * nu2)
    )  # nu1 / nu2 without a difference where samples outnumber features
    fewer = gap > 0
    fraction = jnp.where(
        fewer, (gap + root) / 2, over_p / jnp.where(fewer, 1, root - gap)
    )
    learned = eigenvalues / (eigenvalues + nu2)
    t = jnp.sum(learned**2)
    chi = jnp.sum(eigenvalues / (eigenvalues + nu2) ** 2)
    chi = (chi + tail / nu2**2) / (p - t)
    U = p / n * ((1 - fraction) ** 2 + fraction**2 * t / (p - t))
    unlearned = (
        nu2**2 * jnp.sum(energies * (1 + chi * eigenvalues) / (eigenvalues + nu2) ** 2)
        + target_tail
    )
    bias = unlearned / (1 - U)
    variance = noise**2 * U / (1 - U)
    training_error = (bias + variance + noise**2) * (
        penalty / (n * fraction * nu2)
    ) ** 2
    return RandomFeatures(bias + variance, bias, variance, training_error)


@jax.jit
def _mapped_features(*spectrum_and_numbers: Array) -> RandomFeatures:
    spectrum = spectrum_and_numbers[:4]
    numbers = spectrum_and_numbers[4:]
    return jax.lax.map(
        lambda point: random_features(*spectrum, *point),
        numbers,
        batch_size=POINTS_AT_ONCE,
    )


class _GivenWeights(NamedTuple):
    """Features of a first layer given s = <x, u>, with moments (J, N) at the nodes of s."""

    mean: Float[np.ndarray, "J N"]
    slope: Float[np.ndarray, "J N"]
    """b_ji."""
    own: Float[np.ndarray, "J N"]
    """r_ji."""
    gram: Float[np.ndarray, "N N"]
    """Of the weights' parts across u."""
    num_samples: int
    ridge: float

    @classmethod
    def of(
        cls,
        weights: np.ndarray,
        u: np.ndarray,
        student: Activation,
        nodes: np.ndarray,
        num_samples: int,
        ridge: float,
    ) -> "_GivenWeights":
        """Return the moments at nodes of s."""
        rho = u @ weights
        rest = weights - np.outer(u, rho)
        length = np.linalg.norm(rest, axis=0)
        shift = nodes[:, None] * rho
        mean, moment, square, _ = moments_in_numpy(student, shift, length + 0 * shift)
        own = square - mean**2 - moment**2
        return cls(mean, moment / length, own, rest.T @ rest, num_samples, ridge)

    def factor(self, q: np.ndarray) -> np.ndarray:
        """Cholesky factor of sum_j q_j C_j + ridge."""
        whole = (self.mean.T * q) @ self.mean
        whole += self.gram * ((self.slope.T * q) @ self.slope)
        whole[np.diag_indices_from(whole)] += q @ self.own + self.ridge
        return cholesky(whole, lower=True, overwrite_a=True)

    def spread(self, lower: np.ndarray) -> np.ndarray:
        """V, from tr C_j Q = m^T Q m + b^T (G * Q) b + r . diag Q."""
        Q = cho_solve((lower, True), np.eye(len(lower)))
        traces = np.sum((self.mean @ Q) * self.mean, 1)
        traces += np.sum((self.slope @ (self.gram * Q)) * self.slope, 1)
        return (traces + self.own @ np.diag(Q)) / self.num_samples

    def curvature(self, lower: np.ndarray) -> np.ndarray:
        """A, from the symmetric L^-1 C_j L^-T, Q = L^-T L^-1."""
        inverse = solve_triangular(lower, np.eye(len(lower)), lower=True)
        stack = np.empty((len(self.mean), lower.size))
        for j, (m, b, r) in enumerate(zip(*self[:3], strict=True)):
            along = inverse @ m
            middle = (b[:, None] * self.gram) * b + np.diag(r)
            own = inverse @ middle @ inverse.T + np.outer(along, along)
            stack[j] = own.ravel()
        return stack @ stack.T / self.num_samples

    def settled(
        self,
        weights: np.ndarray,
        sweeps: int = 5,
        tolerance: float = 1e-7,
    ) -> np.ndarray:
        """q of nodes of these weights, by Powell's hybrid method after some sweeps of the plain iteration."""

        def residual(log_q: np.ndarray) -> np.ndarray:
            spread = self.spread(self.factor(np.exp(log_q)))
            return log_q - np.log(weights) + np.log1p(spread)

        def jacobian(log_q: np.ndarray) -> np.ndarray:
            q = np.exp(log_q)
            lower = self.factor(q)
            falls = self.curvature(lower) * q / (1 + self.spread(lower))[:, None]
            return np.eye(len(q)) - falls

        log_q = np.log(weights)
        for _ in range(sweeps):
            log_q = log_q - residual(log_q)
        options = {"xtol": 1e-11}
        solution = root(residual, log_q, jac=jacobian, method="hybr", options=options)
        off = np.max(np.abs(solution.fun))
        if off > tolerance:
            raise RuntimeError(
                f"the fixed point is off by {off:.1g}; pass a larger ridge than "
                f"{self.ridge}."
            )
        return np.exp(solution.x)

    def errors(
        self,
        weights: np.ndarray,
        with_target: np.ndarray,
        squares: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squared errors e_j, and the weights with which they are those of training rows.

        `with_target` are the c_j, `squares` the E[y^2 | s_j].
        """
        q = self.settled(weights)
        lower = self.factor(q)
        a = cho_solve((lower, True), q @ with_target)
        bent = self.slope * a
        quadratic = (self.mean @ a) ** 2
        quadratic += np.sum((bent @ self.gram) * bent, 1)
        quadratic += self.own @ a**2
        squared = weights / (1 + self.spread(lower)) ** 2
        left = np.eye(len(weights)) - self.curvature(lower) * squared
        e = np.linalg.solve(left, squares - 2 * with_target @ a + quadratic)
        return e, squared


def errors_given_weights(
    weights: Float[np.ndarray, "d N"],
    gradient_direction: Float[np.ndarray, " d"],
    teacher_direction: Float[np.ndarray, " d"],
    num_samples: int,
    ridge: float,
    student: Function,
    teacher: Function,
    noise: float,
) -> Errors:
    """Errors of ridge regression on student(W^T x), over draws of num_samples new samples.

    `gradient_direction` is u, of any length: the step's X^T y, or where that is gone the top left singular vector of
    W1 - W0. What a student and a teacher that are not odd learn through the second order of the gradient is in W and
    so is counted. Seconds for a thousand neurons.

    Raises:
        ValueError: directions of length 0, numbers out of range, a student or teacher whose mean is not 0.
        RuntimeError: no fixed point was found.

    >>> rng = np.random.default_rng(0)
    >>> w, beta = rng.normal(size=(50, 100)) / 50**0.5, np.eye(50)[0]
    >>> errors = errors_given_weights(w, beta, beta, 200, 0.01, "tanh", "erf", noise=0.1)
    >>> 0.05 < errors.risk < 0.3
    True
    """
    positive(num_samples=num_samples, ridge=ridge)
    nonnegative(noise=noise)
    (s, _) = centred("student", student)
    (target, _) = centred("teacher", teacher)
    u = _unit("gradient_direction", gradient_direction)
    beta = _unit("teacher_direction", teacher_direction)
    at, shares = normal_nodes(31, least_weight=1e-14)

    layer = _GivenWeights.of(weights, u, s, at, num_samples, ridge)
    cosine = float(beta @ u)
    v = beta - cosine * u
    sine = max(float(np.linalg.norm(v)), 1e-300)
    scales = np.full(len(at), sine)
    f0, f1, f2, _ = moments_in_numpy(target, cosine * at, scales)
    along = weights.T @ (v / sine)
    with_target = layer.mean * f0[:, None] + layer.slope * along * f1[:, None]
    e, squared = layer.errors(shares, with_target, f2 + noise**2)
    return Errors(float(shares @ e - noise**2), float(squared @ e))


def _unit(name: str, vector: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    length = np.linalg.norm(vector)
    if not 0 < length < np.inf:
        raise ValueError(
            f"{name} must be a direction, got a vector of length {length}; pass one of "
            "positive length."
        )
    return np.asarray(vector, float) / length
