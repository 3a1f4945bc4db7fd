"""The linear response of a network at its optimum: by how much outputs change with the weights of its rows.

The optimum has the outputs f = E_q h of the law q ~ prior exp(-sum_i w_i g_i h_i / T), with g_i = l'(f_i). With
A = Cov_q(h, h) / T, c_i = l''(f_i), D = diag(w c), and d(w g)_i = g_i dw_i + w_i c_i df_i,

    df = -A d(w g) = -M (g dw),      M = (A^-1 + D)^-1,      H_i = w_i c_i M_ii,

so that the outputs without a weight o_i of row i, exactly in the algebra and to first order in the law, are

    f + M_.i v_i,      v_i = (I - o_i c_i M_ii)^-1 o_i g_i,

and without many rows R they are f + M_.R v with (I - O c M_RR) v = O g. The log density of q relative to that of the new
law has at most the variance v_i M_ii v_i / T under q: small ones have a linear response. The derivation is langevax's own.

With A = B^T B of few particles, M_ij = Z_i^T Z_j where Z = L^-1 B, L L^T = I + B D B^T. What leaves is a shift Z_R v, of the
square v M_RR v, and changes outputs elsewhere by Z^T times it. The covariance of N particles
has too few directions: on average (I + A D)^-1 is then that of a smaller A, and responses are too small. Each particle
therefore counts 1 / (1 - b) times, b the diagonal of B D B^T (I + B D B^T)^-1, its own leverage (which is what leaving the
particle out asks for; b itself is computed with these weights).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Rows = Float[np.ndarray, "n outputs"]
Curvatures = Float[np.ndarray, "n outputs outputs"]


class LawSample(NamedTuple):
    """Particles of the law at one set of rows, where an output is features times slopes, on average over particles."""

    features: Float[np.ndarray, "particles n"]
    slopes: Float[np.ndarray, "particles outputs"]
    curvatures: Float[np.ndarray, "particles outputs"]
    """Variance of what was integrated out of the slopes."""

    def root(self, temperature: float) -> Float[np.ndarray, "rank n outputs"]:
        """Return B with B^T B = Cov_q(h, h) / T, in double precision; one row a particle and an output of it.

        The features of a particle times the root of the second moment of its slopes, less their mean.
        """
        features = self.features.astype(np.float64)
        slopes = self.slopes.astype(np.float64)
        size, count = slopes.shape
        spread = self.curvatures[:, :, None] * np.eye(count)
        moments = slopes[:, :, None] * slopes[:, None] + spread
        values, vectors = np.linalg.eigh(moments)
        heights = np.sqrt(np.maximum(values, 0))
        sides = heights[:, :, None] * vectors.transpose(0, 2, 1)
        root = (sides[:, :, None] * features[:, None, :, None]).reshape(
            size * count, -1
        )
        # with u_p the sides' coordinates of the mean slopes, sum_p u_p^2 <= N: I - u u^T / N has the root I - b u u^T
        u = np.divide(
            np.einsum("pji,pj->pi", vectors, slopes),
            heights,
            out=np.zeros_like(slopes),
            where=heights > 1e-6 * heights.max(),
        ).reshape(-1)
        length = max(float(u @ u), np.finfo(float).tiny)
        b = (1 - np.sqrt(max(0.0, 1 - length / size))) / length
        root -= np.multiply.outer(b * u, u @ root)
        root /= np.sqrt(size * temperature)
        return root.reshape(len(root), features.shape[1], count)


def inverse_root(gram: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return x -> L^-1 x with L L^T = I + gram: products x^T (I + gram)^-1 y are inner products of two of them."""
    from scipy.linalg import cholesky, solve_triangular

    factor = cholesky(gram + np.eye(len(gram)), lower=True)
    return lambda x: solve_triangular(factor, x, lower=True)


def leverages_of(side: np.ndarray) -> np.ndarray:
    """Return the diagonal of V V^T (I + V V^T)^-1, V = side (N, k), by the shorter of its sides."""
    if len(side) <= side.shape[1]:
        return 1 - np.diag(np.linalg.inv(side @ side.T + np.eye(len(side))))
    return np.sum(inverse_root(side.T @ side)(side.T) ** 2, axis=0)


def particle_counts(side: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Return the square root of how often each particle counts, (N, 1); side (N, k) is B times the root of D."""
    counts = np.ones((len(side), 1))
    for _ in range(rounds):
        counts = (1 - leverages_of(counts * side)[:, None]) ** -0.5
    return counts


class Response(NamedTuple):
    """The linear response of a network's outputs to its rows, each of weight w_i, gradient g_i and curvature c_i."""

    half: Float[np.ndarray, "rank n outputs"]
    """Z."""
    gradients: Rows
    curvatures: Curvatures
    weights: Float[np.ndarray, " n"]
    """W_i / n."""
    halved: Callable[[np.ndarray], np.ndarray]
    """Z of other roots (rank, m, outputs), of the same particles at other inputs: its part in the span of the rows' Z."""

    @classmethod
    def of(
        cls,
        root: Float[np.ndarray, "rank n outputs"],
        gradients: Rows,
        curvatures: Curvatures,
        weights: Float[np.ndarray, " n"],
    ) -> "Response":
        """Return the response of rows with the root of their covariance over T; curvatures are nowhere negative."""
        values, vectors = np.linalg.eigh(curvatures * weights[:, None, None])
        sides = vectors * np.sqrt(np.maximum(values, 0))[:, None]

        def weighed(root: np.ndarray) -> np.ndarray:
            own = root.reshape(len(root), *gradients.shape)
            return np.einsum("pic,icd->pid", own, sides).reshape(len(root), -1)

        counts = particle_counts(weighed(root))
        inner = counts * root.reshape(len(root), -1)
        # what is orthogonal to all rows does not respond to them
        span = np.linalg.qr(inner)[0] if len(inner) > inner.shape[1] else None

        def seen(root: np.ndarray) -> np.ndarray:
            columns = counts * root.reshape(len(root), -1)
            return columns if span is None else span.T @ columns

        side = weighed(seen(root))
        inverse = inverse_root(side @ side.T)

        def halved(other: np.ndarray) -> np.ndarray:
            return inverse(seen(other)).reshape(-1, *other.shape[1:])

        return cls(halved(root), gradients, curvatures, weights, halved)

    @property
    def own(self) -> Curvatures:
        """M_ii."""
        return np.einsum("pic,pid->icd", self.half, self.half)

    @property
    def leverages(self) -> Float[np.ndarray, " n"]:
        """The trace of w_i c_i M_ii of each row: they add up to the effective number of parameters."""
        return self.weights * np.einsum("icd,idc->i", self.curvatures, self.own)

    def shifts(self, removed: Float[np.ndarray, " n"]) -> Float[np.ndarray, "rank n"]:
        """Return Z_i v_i of each row, of which a weight leaves while all other rows stay."""
        removed = removed[:, None, None]
        moved = np.eye(self.gradients.shape[1]) - removed * self.curvatures @ self.own
        pushes = np.linalg.solve(moved, removed * self.gradients[:, :, None])[..., 0]
        return np.einsum("pic,ic->pi", self.half, pushes)

    def shift(
        self, rows: np.ndarray, removed: Float[np.ndarray, " rows"]
    ) -> Float[np.ndarray, " rank"]:
        """Return Z_R v of rows of which weights leave together."""
        half = self.half[:, rows]
        each = removed[:, None, None] * self.curvatures[rows]
        among = np.tensordot(half, half, axes=(0, 0))  # (rows, outputs, rows, outputs)
        moved = np.einsum("icd,idje->icje", each, among)
        right = (removed[:, None] * self.gradients[rows]).reshape(-1)
        matrix = np.eye(right.size) - moved.reshape(right.size, right.size)
        return half.reshape(len(half), -1) @ np.linalg.solve(matrix, right)

    def changes(
        self,
        half: Float[np.ndarray, "rank m outputs"],
        shifts: Float[np.ndarray, "rank k"],
    ) -> Float[np.ndarray, "k m outputs"]:
        """Return by how much outputs change, where `half` is the Z of their inputs, by each of the shifts."""
        return np.tensordot(shifts, half, axes=(0, 0))

    def sizes(self, shifts: Float[np.ndarray, "rank k"]) -> Float[np.ndarray, " k"]:
        """Return the root mean square over the rows, by weight, of the changes of outputs by each of the shifts."""
        flat = (self.half * np.sqrt(self.weights)[:, None]).reshape(len(self.half), -1)
        return np.sqrt(np.sum(shifts * (flat @ flat.T @ shifts), axis=0))
