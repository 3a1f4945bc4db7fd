"""Ridge risk on the features of one first layer as it is, from its weights alone: no data, no Gaussian approximation.

With s = <x, u> along a direction u in which the weights may be long, W_i = rho_i u + P_i and G = P^T P, neuron i is
student(rho_i s + |P_i| z) given s, with moments m_i, b_i = E student', r_i = E student^2 - m_i^2 - b_i^2 |P_i|^2, and

    C_j = m_j m_j^T + diag(b_j) G diag(b_j) + diag(r_j)          at nodes s_j of weight w_j
    c_j = m_j f0_j + b_j (P^T v) f1_j                            v the rest of the teacher's direction
    Q   = (sum_j q_j C_j + ridge)^-1,   V_j = tr C_j Q / n,   q = w / (1 + V),   A_jl = tr C_j Q C_l Q / n
    e   = (I - A diag(w / (1 + V)^2))^-1 (E[y^2 | s_j] - 2 a . c_j + a^T C_j a),   a = Q sum_j q_j c_j

risk = w . e - noise^2 (derived). Any student, readout and step: what `unified` takes for isotropic is read off the
weights here. Order nodes N^3 operations.
"""

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import root

from langevax.theory.feature_learning.arguments import Errors, centred, nonnegative, positive
from langevax.theory.feature_learning.hermite import Function, gaussian_moments_on_host
from langevax.theory.feature_learning.tables import normal_nodes

NODES = 31
NEGLIGIBLE = 1e-14
"""Nodes of less weight are left out."""
SWEEPS = 5
SETTLED = 1e-7


def risk_given_weights(
    weights: Float[np.ndarray, "d N"],
    gradient_direction: Float[np.ndarray, " d"],
    teacher_direction: Float[np.ndarray, " d"],
    num_samples: int,
    ridge: float,
    student: Function,
    teacher: Function,
    noise: float,
) -> float:
    """Risk of ridge regression on student(W^T x), over draws of num_samples new samples.

    `gradient_direction` is u, of any length: the step's X^T y, or where that is gone the top left singular vector of
    W1 - W0. What a student and a teacher that are not odd learn through the second order of the gradient is in W and
    so is counted. Seconds for a thousand neurons.

    Raises:
        ValueError: directions of length 0, numbers out of range, a student or teacher whose mean is not 0.

    >>> rng = np.random.default_rng(0)
    >>> w, beta = rng.normal(size=(50, 100)) / 50**0.5, np.eye(50)[0]
    >>> found = risk_given_weights(w, beta, beta, 200, 0.01, "tanh", "erf", noise=0.1)
    >>> 0.05 < found < 0.3
    True
    """
    return errors_given_weights(
        weights, gradient_direction, teacher_direction, num_samples, ridge, student, teacher, noise
    ).risk


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
    """Risk and training error, of which `risk_given_weights`, with the same arguments, is the first."""
    positive(num_samples=num_samples, ridge=ridge)
    nonnegative(noise=noise)
    (s, _), (target, _) = centred("student", student), centred("teacher", teacher)
    u, beta = _unit("gradient_direction", gradient_direction), _unit("teacher_direction", teacher_direction)
    at, w = normal_nodes(NODES)
    at, w = at[w > NEGLIGIBLE], w[w > NEGLIGIBLE]

    rho = u @ weights
    rest = weights - np.outer(u, rho)
    length = np.linalg.norm(rest, axis=0)
    gram = rest.T @ rest
    shift = at[:, None] * rho
    mean, moment, square, _ = gaussian_moments_on_host(s, shift, length + 0 * shift)
    slope = moment / length
    own = square - mean**2 - moment**2

    cosine = float(beta @ u)
    v = beta - cosine * u
    sine = float(np.linalg.norm(v))
    f0, f1, f2, _ = gaussian_moments_on_host(target, cosine * at, np.full(len(at), max(sine, 1e-300)))
    along = rest.T @ (v / max(sine, 1e-300))

    def factor(q: np.ndarray) -> np.ndarray:
        """Cholesky factor of sum_j q_j C_j + ridge."""
        whole = (mean.T * q) @ mean + gram * ((slope.T * q) @ slope)
        whole[np.diag_indices_from(whole)] += q @ own + ridge
        return cholesky(whole, lower=True, overwrite_a=True)

    def spread(lower: np.ndarray) -> np.ndarray:
        """V, from tr C_j Q = m^T Q m + b^T (G * Q) b + r . diag Q."""
        Q = cho_solve((lower, True), np.eye(len(lower)))
        traces = np.sum((mean @ Q) * mean, 1) + np.sum((slope @ (gram * Q)) * slope, 1) + own @ np.diag(Q)
        return traces / num_samples

    def curvature(lower: np.ndarray) -> np.ndarray:
        """A, from the symmetric L^-1 C_j L^-T, Q = L^-T L^-1."""
        inverse = solve_triangular(lower, np.eye(len(lower)), lower=True)
        stack = np.empty((len(at), lower.size))
        for j, (m, b, r) in enumerate(zip(mean, slope, own, strict=True)):
            along_m = inverse @ m
            middle = (b[:, None] * gram) * b + np.diag(r)
            stack[j] = (inverse @ middle @ inverse.T + np.outer(along_m, along_m)).ravel()
        return stack @ stack.T / num_samples

    def residual(log_q: np.ndarray) -> np.ndarray:
        return log_q - np.log(w) + np.log1p(spread(factor(np.exp(log_q))))

    def jacobian(log_q: np.ndarray) -> np.ndarray:
        lower, q = factor(np.exp(log_q)), np.exp(log_q)
        return np.eye(len(q)) - curvature(lower) * q / (1 + spread(lower))[:, None]

    log_q = np.log(w)
    for _ in range(SWEEPS):
        log_q = log_q - residual(log_q)
    found = root(residual, log_q, jac=jacobian, method="hybr", options={"xtol": 1e-11})
    if np.max(np.abs(found.fun)) > SETTLED:
        raise RuntimeError(
            f"the fixed point is off by {np.max(np.abs(found.fun)):.1g}; pass a larger ridge than {ridge}."
        )
    q = np.exp(found.x)
    lower = factor(q)
    V = spread(lower)
    with_target = mean * f0[:, None] + slope * along * f1[:, None]
    a = cho_solve((lower, True), q @ with_target)
    quadratic = (mean @ a) ** 2 + np.sum(((slope * a) @ gram) * (slope * a), 1) + own @ a**2
    squared = w / (1 + V) ** 2
    e = np.linalg.solve(np.eye(len(w)) - curvature(lower) * squared, f2 + noise**2 - 2 * with_target @ a + quadratic)
    return Errors(float(w @ e - noise**2), float(squared @ e))


def _unit(name: str, vector: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    length = np.linalg.norm(vector)
    if not 0 < length < np.inf:
        raise ValueError(f"{name} must be a direction, got a vector of length {length}; pass one of positive length.")
    return np.asarray(vector, float) / length
