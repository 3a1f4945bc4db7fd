"""Predictions fitted by polynomials, for steps that go far and take one solve.

    G(f) - y  ~  B^T phi(c),      c = V^T w,      phi all monomials up to a degree

with V the directions of a reference law, and w its coordinates; of directions beyond the first ones only linear
monomials. A chain on the fitted posterior takes no solve. Its end is a proposal, accepted by the error of the fit
(Christen, Fox, J. Comput. Graph. Stat. 2005; Cui, Fox, O'Sullivan, Water Resources Research 2011), with probability

    min(1, exp((psi(u) - fitted psi(u)) - (psi(v) - fitted psi(v))))

so that draws are exact, whatever the fit. Fitted psi does not depend on directions off V, where the chain draws from
the reference: as for pCN, acceptance does not fall with the number of modes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from langevax.log_weights import log_mean_exp
from langevax.sampling.noise import GaussianNoise
from langevax.sampling.reference import NormalReference
from langevax.sampling.solver import Solve, Vector

MOST_RESIDUALS = 2**25
"""Numbers of the residuals of all solves of a warm-up, beyond which there is no fit."""


class FitPlan(NamedTuple):
    """Fits that are tried, and the choice among them."""

    degrees: tuple[int, ...] = tuple(range(1, 6))
    most_monomials: int = 1000
    monomials_for_each: int = 2
    """Of each solve: what they do not determine is small by the ridge."""
    roughnesses: tuple[float, ...] = (1.0, 0.1, 0.01)
    """Ratios of the squared coefficients of a degree to those of the degree before."""
    shares: tuple[float, ...] = (1.0, 0.8, 0.6, 0.4)
    """Of the fitted misfit: less of it makes for a wider law where the fit is rough."""
    least_solves: int = 20
    better: float = 0.8
    """Of the cost beyond 1, of a fit that is taken instead of one with fewer monomials."""
    most_cost: float = 20.0
    typical: float = 0.9
    """Quantile of the visited energies beyond which solves count for less."""


FITS = FitPlan()


class FittedMisfit(NamedTuple):
    """The misfit of fitted predictions, `|root phi(c)|^2 / 2`, in the coordinates of a reference."""

    directions: Float[np.ndarray, "modes r"]
    scales: Float[np.ndarray, " r"]
    """Deviations of the reference along them, and"""
    mean: Float[np.ndarray, " r"]
    """its mean."""
    factors: Int[np.ndarray, "monomials degree"]
    """Of each monomial; 0 is the number 1, k > 0 the coordinate k - 1."""
    root: Float[np.ndarray, "q monomials"]
    ceiling: float
    """Of psi, as polynomials rise without bound where nothing is known."""
    cost: float
    """E[p / q] under the posterior p, with q the fitted one: 1 where both are the same."""
    lengths = (1.0, 0.5, 0.25, 0.12)
    """Of the steps of a chain on the fit."""

    def misfit(self, c: Float[np.ndarray, "n r"]) -> Float[np.ndarray, " n"]:
        """Return the fitted misfit at coordinates along the directions."""
        return np.sum((monomials(c, self.factors) @ self.root.T) ** 2, axis=1) / 2

    def psi(self, c: Float[np.ndarray, "n r"]) -> Float[np.ndarray, " n"]:
        """Return minus the logarithm of the fitted posterior's density under the reference."""
        return np.minimum(self.misfit(c) + self.energy(c), self.ceiling)

    def energy(self, c: Float[np.ndarray, "n r"]) -> Float[np.ndarray, " n"]:
        """Return by how much the prior's energy exceeds the reference's along the directions."""
        return (np.sum(self.to_prior_units(c) ** 2, axis=1) - np.sum(c**2, axis=1)) / 2

    def to_prior_units(self, c: Float[np.ndarray, "*n r"]) -> Float[np.ndarray, "*n r"]:
        """Return coordinates along the directions in units of the prior."""
        return self.mean + self.scales * c

    def end_of_chain(
        self,
        w: Vector,
        rng: np.random.Generator,
        num_rounds: int = 8,
        num_places: int = 48,
        prior_share: float = 0.3,
    ) -> tuple[Vector, float]:
        """Return where a chain on the fitted posterior ends, and the rise of fitted psi.

        Each round draws a centre near the state, and places near the centre; with the state they are exchangeable under
        the reference or the prior, so that a choice among them by their densities under it leaves the fitted posterior
        invariant, reversibly (Tjelmeland 2004). Rounds, a share of them under the prior, are drawn independently of the
        state, which keeps that for all of them together.
        """
        c = w @ self.directions
        start = c
        share = 1.0
        lengths = rng.choice(self.lengths, num_rounds)
        are_prior = rng.uniform(size=num_rounds) < prior_share
        noises = rng.standard_normal((num_rounds, num_places + 1, len(c)))
        gumbels = rng.gumbel(size=(num_rounds, num_places + 1))
        for h, is_prior, noise, gumbel in zip(
            lengths, are_prior, noises, gumbels, strict=True
        ):
            a = math.sqrt(1 - h**2)
            share *= a**2
            x = self.to_prior_units(c) if is_prior else c
            places = a * (a * x + h * noise[-1]) + h * noise
            places[-1] = x
            if is_prior:
                places = (places - self.mean) / self.scales
            heights = self.psi(places)
            if is_prior:
                heights -= self.energy(places)
            chosen = int(np.argmax(gumbel - heights))
            c = places[chosen] if chosen < num_places else c
        rest = share * w + math.sqrt(1 - share**2) * rng.standard_normal(len(w))
        rest -= self.directions @ (rest @ self.directions)
        psi = self.psi(np.stack([start, c]))
        return rest + self.directions @ c, float(psi[1] - psi[0])


def monomials(
    c: Float[np.ndarray, "n r"], factors: Int[np.ndarray, "monomials degree"]
) -> np.ndarray:
    """Return (n, monomials): products of coordinates."""
    extended = np.concatenate([np.ones((len(c), 1)), c], axis=1)
    first, *others = (extended.take(column, axis=1) for column in factors.T)
    for other in others:
        first *= other
    return first


class UsedSolves(NamedTuple):
    """Solves to which predictions are fitted, in coordinates along the directions of a reference."""

    directions: Float[np.ndarray, "modes r"]
    scales: Float[np.ndarray, " r"]
    mean: Float[np.ndarray, " r"]
    c: Float[np.ndarray, "n r"]
    residuals: Float[np.ndarray, "n data"]
    weights: Float[np.ndarray, " n"]
    psi: Float[np.ndarray, " n"]
    energy: Float[np.ndarray, " n"]
    """By how much the prior's energy exceeds the reference's along the directions."""
    is_visited: np.ndarray
    times_precision: Callable[[np.ndarray], np.ndarray]
    """Products of rows like a residual with the noise's precision."""

    @classmethod
    def of(
        cls,
        reference: NormalReference,
        noise: GaussianNoise,
        solves: Sequence[Solve],
        visited: Sequence[bool],
    ) -> "UsedSolves":
        """Weight solves by their energies beyond those of visited ones.

        Where chains are, the fit is to be good, and predictions elsewhere are not to spoil it.
        """
        is_visited = np.array(visited, bool)
        z = np.stack([solve.z for solve in solves])
        misfits = np.array([solve.misfit for solve in solves])
        residuals = [np.asarray(solve.residual) for solve in solves]
        energies = misfits + np.sum(z**2, axis=1) / 2
        typical = np.quantile(energies[is_visited], FITS.typical)
        order = np.argsort(reference.scales, kind="stable")
        directions = reference.directions[:, order]
        scales = reference.scales[order]
        mean = reference.mean @ directions
        c = reference.from_prior_units(z) @ directions
        prior_energy = np.sum((mean + scales * c) ** 2, axis=1)
        energy = (prior_energy - np.sum(c**2, axis=1)) / 2
        return cls(
            directions,
            scales,
            mean,
            c,
            np.stack([np.ravel(residual) for residual in residuals]),
            1 / (1 + np.maximum(energies - typical, 0)),
            misfits + energy,
            energy,
            is_visited,
            partial(_times_precision, noise, residuals[0].shape),
        )

    @property
    def ceiling(self) -> float:
        """The highest psi that chains met."""
        return float(np.max(self.psi[self.is_visited]))

    def candidates(self) -> Iterator["Monomials"]:
        """Yield the fits that are tried."""
        most = min(FITS.most_monomials, FITS.monomials_for_each * len(self.c))
        for degree in FITS.degrees:
            factors = factors_of(degree, self.c.shape[1], most)
            if factors is None:
                continue
            phi = monomials(self.c, factors)
            beyond = np.maximum(np.sum(factors > 0, axis=1) - 1.0, 0.0)
            for roughness in FITS.roughnesses[: None if degree > 1 else 1]:
                yield Monomials(factors, phi, roughness**-beyond)

    def left_out(self, tried: "Monomials") -> Float[np.ndarray, " n"]:
        """Return misfits of each half of the solves by the fit to the other."""
        part = np.arange(len(self.c)) % 2 == 0
        misfits = np.empty(len(self.c))
        for half in (part, ~part):
            root = self.root(tried, half)
            misfits[~half] = np.sum((tried.phi[~half] @ root.T) ** 2, axis=1) / 2
        return misfits

    def cost(
        self, misfits: Float[np.ndarray, " n"], largest_log: float = 100.0
    ) -> float:
        """Return E[p / q] under p, the posterior, with q the one of fitted misfits, from draws of p.

        It is 1 where both are the same, and large where q leaves out places of p, from which chains then hardly move.
        """
        fitted = np.minimum(misfits + self.energy, self.ceiling)
        errors = (self.psi - fitted)[self.is_visited]
        logarithm = log_mean_exp(errors) + log_mean_exp(-errors)
        return float(np.exp(min(logarithm, largest_log)))

    def root(
        self,
        tried: "Monomials",
        rows: Any = slice(None),
        silent: float = 1e-12,
    ) -> Float[np.ndarray, "q monomials"]:
        """Return R with |R phi|^2 the squared size of the fitted residual, in units of the noise: ridge regression.

        `silent` is the share of the squared residual that is left out.
        """
        weights = self.weights[rows, None]
        stretch = np.sqrt(tried.penalties)
        scaled = weights * tried.phi[rows] / stretch
        weighted = weights * self.residuals[rows]
        if len(scaled) < scaled.shape[1]:
            gram = _with_ridge(scaled @ scaled.T)
            coefficients = scaled.T @ np.linalg.solve(gram, weighted)
        else:
            gram = _with_ridge(scaled.T @ scaled)
            coefficients = np.linalg.solve(gram, scaled.T @ weighted)
        coefficients /= stretch[:, None]
        number, size = coefficients.shape
        if size < number:  # as many rows as data
            eigenvalues, vectors = _eigh(self.times_precision(np.eye(size)))
            vectors = vectors.T @ coefficients.T
            return np.sqrt(np.maximum(eigenvalues, 0))[:, None] * vectors
        gram = coefficients @ self.times_precision(coefficients).T
        eigenvalues, vectors = _eigh(gram)
        large = eigenvalues > silent * eigenvalues[-1]
        return np.sqrt(eigenvalues[large])[:, None] * vectors[:, large].T


def _times_precision(
    noise: GaussianNoise, shape: tuple[int, ...], rows: np.ndarray
) -> np.ndarray:
    """Return products of rows, each with the numbers of a residual, with the precision of the noise."""
    products = [noise.times_precision(row.reshape(shape)) for row in rows]
    return np.stack(products).reshape(rows.shape)


class Monomials(NamedTuple):
    """A fit that is tried: monomials, their values at the solves, and the penalties of their coefficients."""

    factors: Int[np.ndarray, "monomials degree"]
    phi: Float[np.ndarray, "n monomials"]
    penalties: Float[np.ndarray, " monomials"]


@np.errstate(all="ignore")
def fitted_misfit(
    reference: NormalReference,
    noise: GaussianNoise,
    solves: Sequence[Solve],
    visited: Sequence[bool],
) -> FittedMisfit | None:
    """Return a fit to solves, of the degree that predicts solves best that were left out; None where none helps.

    Args:
        reference: the law in whose coordinates chains step.
        solves: those of the warm-up; ones that failed are left out.
        visited: of each, whether a chain went there.
    """
    pairs = zip(solves, visited, strict=True)
    usable = [(solve, was) for solve, was in pairs if solve.misfit < np.inf]
    if len(usable) < FITS.least_solves or not any(was for _, was in usable):
        return None
    used = UsedSolves.of(reference, noise, *zip(*usable, strict=True))
    best = None
    least = FITS.most_cost
    for tried in used.candidates():
        left_out = used.left_out(tried)
        for share in FITS.shares:
            cost = used.cost(share * left_out)
            if cost - 1 < FITS.better * (least - 1):
                best = tried, share
                least = cost
    if best is None:
        return None
    tried, share = best
    root = share**0.5 * used.root(tried)
    return FittedMisfit(
        used.directions,
        used.scales,
        used.mean,
        tried.factors,
        root,
        used.ceiling,
        least,
    )


def factors_of(
    degree: int, num_directions: int, most: int
) -> Int[np.ndarray, "monomials degree"] | None:
    """Return all monomials up to a degree in the first directions, as many as `most` allows, and linear ones in others.

    None where there are too many.
    """
    for rank in range(num_directions, 0, -1):
        others = range(rank + 1, num_directions + 1)
        if math.comb(rank + degree, degree) + len(others) <= most:
            mixed = list(combinations_with_replacement(range(rank + 1), degree))
            return np.array(mixed + [(0,) * (degree - 1) + (k,) for k in others])
    return None


def _with_ridge(gram: np.ndarray, ridge: float = 1e-10) -> np.ndarray:
    gram[np.diag_indices_from(gram)] += ridge * np.trace(gram)
    return gram


def _eigh(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues and vectors of a matrix that is symmetric to rounding."""
    return np.linalg.eigh((matrix + matrix.T) / 2)
