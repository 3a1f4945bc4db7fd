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
from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from langevax.log_weights import log_mean_exp
from langevax.sampling.noise import GaussianNoise
from langevax.sampling.reference import NormalReference
from langevax.sampling.solver import Coefficients, Solve

MOST_RESIDUALS = 2**25
"""Numbers of the residuals of all solves that are fitted."""
MAX_DEGREE = 5
LEAST_SOLVES = 20
"""Fewer are not fitted."""


class InformedDirections(NamedTuple):
    """Coordinates c along the directions of a reference law, those that data inform most first."""

    directions: Float[np.ndarray, "modes r"]
    scales: Float[np.ndarray, " r"]
    """Deviations of the reference along them, and"""
    mean: Float[np.ndarray, " r"]
    """its mean."""

    @classmethod
    def of(cls, reference: NormalReference) -> "InformedDirections":
        """Return those of a reference law."""
        order = np.argsort(reference.scales, kind="stable")
        directions = reference.directions[:, order]
        return cls(directions, reference.scales[order], reference.mean @ directions)

    def to_prior_units(self, c: Float[np.ndarray, "*n r"]) -> Float[np.ndarray, "*n r"]:
        """Return coordinates along the directions in units of the prior."""
        return self.mean + self.scales * c

    def energy(self, c: Float[np.ndarray, "n r"]) -> Float[np.ndarray, " n"]:
        """Return by how much the prior's energy exceeds the reference's along the directions."""
        z = self.to_prior_units(c)
        return (np.sum(z**2, axis=1) - np.sum(c**2, axis=1)) / 2


class FittedMisfit(NamedTuple):
    """The misfit of fitted predictions, `|root phi(c)|^2 / 2`, along the directions of a reference."""

    along: InformedDirections
    factors: Int[np.ndarray, "monomials degree"]
    """Of each monomial; 0 is the number 1, k > 0 the coordinate k - 1."""
    root: Float[np.ndarray, "q monomials"]
    ceiling: float
    """Of psi, as polynomials rise without bound where nothing is known."""
    cost: float
    """E[p / q] under the posterior p, with q the fitted one: 1 where both are the same."""

    def psi(self, c: Float[np.ndarray, "n r"]) -> Float[np.ndarray, " n"]:
        """Return minus the logarithm of the fitted posterior's density under the reference."""
        residuals = monomials(c, self.factors) @ self.root.T
        misfits = np.sum(residuals**2, axis=1) / 2
        return np.fmin(misfits + self.along.energy(c), self.ceiling)

    def end_of_chain(
        self,
        w: Coefficients,
        rng: np.random.Generator,
        num_rounds: int = 8,
        num_places: int = 48,
        num_lengths: int = 4,
    ) -> tuple[Coefficients, float]:
        """Return where a chain on the fitted posterior ends, and the rise of fitted psi.

        Each round draws a centre near the state, and places near the centre; with the state they are exchangeable under
        the reference or the prior, so that a choice among them by their densities under it leaves the fitted posterior
        invariant, reversibly (Tjelmeland 2004). Rounds, a third of them under the prior, are drawn independently of the
        state, which keeps that for all of them together.
        """
        along = self.along
        c = w @ along.directions
        start = c
        share = 1.0
        for _ in range(num_rounds):
            h = 0.5 ** rng.integers(num_lengths)
            is_prior = rng.integers(3) == 0
            noise = rng.standard_normal((num_places + 1, len(c)))
            a = math.sqrt(1 - h**2)
            share *= a**2
            x = along.to_prior_units(c) if is_prior else c
            places = a * (a * x + h * noise[-1]) + h * noise
            places[-1] = x
            if is_prior:
                places = (places - along.mean) / along.scales
            heights = self.psi(places)
            if is_prior:
                heights -= along.energy(places)
            chosen = int(np.argmax(rng.gumbel(size=len(heights)) - heights))
            c = places[chosen]
        noise = rng.standard_normal(len(w))
        rest = share * w + math.sqrt(1 - share**2) * noise
        rest -= along.directions @ (rest @ along.directions)
        psi = self.psi(np.stack([start, c]))
        return rest + along.directions @ c, float(psi[1] - psi[0])


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
    """Solves to which predictions are fitted."""

    along: InformedDirections
    c: Float[np.ndarray, "n r"]
    residuals: Float[np.ndarray, "n data"]
    """In units of the noise."""
    weights: Float[np.ndarray, " n"]
    psi: Float[np.ndarray, " n"]
    is_visited: np.ndarray
    ceiling: float
    """The highest psi that chains met."""

    @classmethod
    def of(
        cls,
        reference: NormalReference,
        noise: GaussianNoise,
        solves: Sequence[Solve],
        visited: Sequence[bool],
        typical: float = 0.9,
    ) -> "UsedSolves":
        """Weight solves by their energies beyond the quantile `typical` of those of visited ones.

        Where chains are, the fit is to be good, and predictions elsewhere are not to spoil it.
        """
        is_visited = np.array(visited)
        along = InformedDirections.of(reference)
        z = np.stack([solve.z for solve in solves])
        c = reference.from_prior_units(z) @ along.directions
        psi = np.array([solve.misfit for solve in solves]) + along.energy(c)
        energies = np.array([solve.energy for solve in solves])
        excess = energies - np.quantile(energies[is_visited], typical)
        return cls(
            along,
            c,
            np.stack([np.ravel(noise.whitened(solve.residual)) for solve in solves]),
            1 / (1 + np.maximum(excess, 0)),
            psi,
            is_visited,
            float(np.max(psi[is_visited])),
        )

    def fit(
        self,
        factors: Int[np.ndarray, "monomials degree"],
        rows: Any = slice(None),
        roughness: float = 0.1,
        ridge: float = 1e-10,
    ) -> Float[np.ndarray, "q monomials"]:
        """Return R with |R phi| the size of the fitted residual, in units of the noise: ridge regression.

        `roughness` is the ratio of the squared coefficients of a degree to those of the degree before.
        """
        beyond = np.maximum(np.sum(factors > 0, axis=1) - 1.0, 0.0)
        units = roughness ** (beyond / 2)
        weights = self.weights[rows, None]
        scaled = weights * monomials(self.c[rows], factors) * units
        gram = scaled.T @ scaled
        gram[np.diag_indices_from(gram)] += ridge * np.trace(gram)
        coefficients = np.linalg.solve(
            gram, scaled.T @ (weights * self.residuals[rows])
        )
        scaled = (units[:, None] * coefficients).T
        return np.asarray(np.linalg.qr(scaled, mode="r"))

    def cost(
        self,
        factors: Int[np.ndarray, "monomials degree"],
    ) -> float:
        """Return E[p / q] under p, the posterior, with q the fitted one, each half of the solves by the fit to the other.

        It is 1 where both are the same, and large where q leaves out places of p, from which chains then hardly move.
        """
        part = np.arange(len(self.c)) % 2 == 0
        fitted = np.empty(len(self.c))
        for half in (part, ~part):
            tried = FittedMisfit(
                self.along,
                factors,
                self.fit(factors, half),
                self.ceiling,
                1.0,
            )
            fitted[~half] = tried.psi(self.c[~half])
        errors = (self.psi - fitted)[self.is_visited]
        return float(np.exp(log_mean_exp(errors) + log_mean_exp(-errors)))


@np.errstate(all="ignore")
def fitted_misfit(
    reference: NormalReference,
    noise: GaussianNoise,
    solves: Sequence[Solve],
    visited: Sequence[bool],
    most_monomials: int = 1000,
    most_cost: float = 20.0,
) -> FittedMisfit | None:
    """Return a fit to solves, of the degree that predicts solves best that were left out; None where none helps.

    Args:
        reference: the law in whose coordinates chains step.
        solves: those of the warm-up; ones that failed are left out.
        visited: of each, whether a chain went there.
        most_monomials: of a fit; nor does it have more than two for each solve.
        most_cost: of a fit that is taken.
    """
    pairs = zip(solves, visited, strict=True)
    usable = [(solve, was) for solve, was in pairs if solve.misfit < np.inf]
    if len(usable) < LEAST_SOLVES or not any(was for _, was in usable):
        return None
    ends, were_visited = zip(*usable, strict=True)
    used = UsedSolves.of(reference, noise, ends, were_visited)
    most = min(most_monomials, 2 * len(usable))
    tried = [
        (used.cost(factors), factors)
        for degree in range(1, MAX_DEGREE + 1)
        if (factors := factors_of(degree, used.c.shape[1], most)) is not None
    ]
    if not tried:
        return None
    cost, factors = min(tried, key=lambda pair: pair[0])
    if not cost < most_cost:
        return None
    return FittedMisfit(
        used.along,
        factors,
        used.fit(factors),
        used.ceiling,
        cost,
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
