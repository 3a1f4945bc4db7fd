"""Constraints of `minimize` by penalties with multipliers: the augmented Lagrangian of the residuals r.

    L(x) = f(x) + sum_i w_i / 2 (s_i^2 - (l_i / w_i)^2),    s_i = r_i(x) + l_i / w_i,  of inequalities max(0, s_i)

(Nocedal and Wright, Numerical Optimization, section 17.3.) The portfolio searches with multipliers l = 0. There each
minimum of L lies below the minimum of f under the constraints in the same basin, so that basins are refined in order
of L until the next one is not lower than the best that satisfies them. To refine is to alternate local searches of L
with l_i += w_i r_i, and w_i larger where the violation stays. Weights and multipliers are arguments of one program.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from langevax._typing import FloatScalar
from langevax.optimize.basins import group_ends
from langevax.optimize.constraints import Constraints
from langevax.optimize.local_search import (
    FIRST_LENGTH,
    Frame,
    Limits,
    gradient_at,
    searches,
)
from langevax.optimize.newton import Polished
from langevax.optimize.portfolio import Portfolio
from langevax.optimize.values_only import FiniteDifferences
from langevax.problems.coordinates import Raveled
from langevax.problems.problem import Function, Problem

NEARBY = 1e-3
"""Move of a coordinate, in units of the box, along which the slopes of constraints are measured."""


class AugmentedLagrangian(eqx.Module):
    """The objective with its penalties, a function of vectors."""

    problem: Problem
    constraints: Constraints
    weights: Float[Array, " residuals"]
    multipliers: Float[Array, " residuals"]

    def __call__(self, x: Float[Array, " d"]) -> FloatScalar:
        offsets = self.multipliers / self.weights
        shifted = residuals(self.problem, self.constraints, x) + offsets
        shifted = jnp.where(self.constraints.equal, shifted, jnp.maximum(shifted, 0))
        return self.problem.potential(x) + jnp.sum(
            self.weights / 2 * (shifted**2 - offsets**2)
        )


class Penalties(eqx.Module):
    """All of the augmented Lagrangian but its weights and multipliers."""

    problem: Problem
    constraints: Constraints
    frame: Frame
    use_gradients: bool = eqx.field(static=True)

    def at(
        self,
        weights: Float[Array, " residuals"],
        multipliers: Float[Array, " residuals"],
    ) -> Problem:
        """Return the problem of these weights and multipliers."""
        return self.differentiable(
            Function(
                AugmentedLagrangian(
                    self.problem, self.constraints, weights, multipliers
                )
            )
        )

    def differentiable(self, problem: Problem) -> Problem:
        """Return a problem with finite differences where functions are not differentiated."""
        return (
            problem
            if self.use_gradients
            else FiniteDifferences(problem, self.frame.scale, self.frame.x_upper)
        )

    def measure(
        self, y: Float[Array, " d"]
    ) -> tuple[FloatScalar, Float[Array, " residuals"]]:
        """Return f and the residuals."""
        x = self.frame.to_x(y)
        return self.problem.potential(x), residuals(self.problem, self.constraints, x)

    def slopes(self, y: Float[Array, " d"]) -> Float[Array, " residuals"]:
        """Return the largest change of each residual along an axis, for a move of one in units of the box."""
        here = residuals(self.problem, self.constraints, self.frame.to_x(y))
        moves = NEARBY * jnp.eye(len(y), dtype=y.dtype)
        moves = jnp.where(y + moves > self.frame.upper, -moves, moves)
        ahead = jax.vmap(
            lambda move: residuals(
                self.problem, self.constraints, self.frame.to_x(y + move)
            )
        )(moves)
        changes = jnp.abs(ahead - here) / NEARBY
        return jnp.max(jnp.where(jnp.isfinite(changes), changes, 0), axis=0)


class MeasuredEnds(NamedTuple):
    """Ends of searches of augmented Lagrangians."""

    y: Float[np.ndarray, "lanes d"]
    fun: Float[np.ndarray, " lanes"]
    """f, without penalties."""
    residuals: Float[np.ndarray, "lanes residuals"]
    slopes: Float[np.ndarray, "lanes residuals"]
    settled: Bool[np.ndarray, " lanes"]
    """True where a search of this call ended because no step promised a gain, or because it gained next to nothing."""


class Refined(NamedTuple):
    """A place with the weights and multipliers that led there."""

    y: Float[np.ndarray, " d"]
    fun: float
    violation: float
    """The largest one, in the units of the constraint."""
    name: str
    """Of that constraint."""
    tolerances: float
    """The largest violation over what is taken for none."""
    gap: float
    """The same of violations, and of slacks of inequalities whose multiplier is not zero."""
    weights: Float[np.ndarray, " residuals"]
    multipliers: Float[np.ndarray, " residuals"]
    settled: bool
    bought: float
    """What the violations lower f by, about: the sum of multipliers times violations."""
    share: float = 0.0

    @property
    def feasible(self) -> bool:
        """True where the constraints are satisfied to the tolerance."""
        return self.tolerances <= 1 and np.isfinite(self.fun)


class Constrained(NamedTuple):
    """The end of a search under constraints."""

    best: Refined
    end: Polished
    """Of the augmented Lagrangian, at the best."""
    gradient: Float[np.ndarray, " d"]
    """Of f, at the best."""
    basins: list[Refined]
    """Distinct ones that satisfy the constraints, best first."""
    left: int
    """Basins that were not refined, though one of them may be better."""


def residuals(
    problem: Problem, constraints: Constraints, x: Float[Array, " d"]
) -> Float[Array, " residuals"]:
    """Return the residuals at a vector, which `problem` may lay out as a pytree."""
    return constraints.residuals(
        problem.to_position(x) if isinstance(problem, Raveled) else x
    )


@eqx.filter_jit
def _measure(penalties: Penalties, ys: Float[Array, "places d"]) -> tuple[Array, Array]:
    return jax.vmap(penalties.measure)(ys)


@eqx.filter_jit
def _refine(
    penalties: Penalties,
    starts: Array,
    weights: Array,
    multipliers: Array,
    active: Array,
    limit: Array,
) -> tuple[Array, ...]:
    """Search the augmented Lagrangian of each lane from its start; lanes that are not active are only measured."""

    def one(
        start: Array, weights: Array, multipliers: Array, active: Array
    ) -> tuple[Array, ...]:
        problem = penalties.at(weights, multipliers)
        lengths = jnp.full(1, FIRST_LENGTH, start.dtype)
        no_target = jnp.full((), jnp.inf, start.dtype)
        limits = Limits(limit, no_target, start, jnp.full((), -1, start.dtype))
        ends = searches(
            problem,
            penalties.frame,
            start[None],
            active[None],
            lengths,
            limits,
        )
        y = ends.y[0]
        gain = ends.start_fun[0] - ends.fun[0]
        measured = *penalties.measure(y), penalties.slopes(y)
        return y, *measured, ends.settled[0], gain, ends.evaluations[0]

    return jax.vmap(one)(starts, weights, multipliers, active)


def _chosen(
    active: Bool[np.ndarray, " lanes"], new: np.ndarray, old: np.ndarray
) -> np.ndarray:
    return np.where(active.reshape(-1, *[1] * (new.ndim - 1)), new, old)


class Rounds:
    """The weights of a portfolio's penalties, and the rounds that follow it.

    Args:
        portfolio, penalties: the search, whose budget they share, and what it minimises.
        tolerance: violation that counts as none: what such a move of one coordinate, in units of the box, changes at
            most.
        aim: part of the tolerance at which rounds end.
    """

    drawn = 128
    """Places from which weights are taken."""
    fewest_violations = 4
    """Of a constraint at these places, below which its scale is its usual distance."""
    weight = 10.0
    """Spreads of f that a violation of the usual size costs, twice."""
    search_share = 0.7
    rounds_share = 0.98
    """Of the budget, up to where the portfolio and the rounds search; Newton's steps have the rest."""
    lanes = 8
    """Basins that are refined at once."""
    gradients = 40
    """For each basin that are left, below which fewer are refined at once."""
    max_batches = 8
    max_rounds = 40
    max_newton_rounds = 5
    limit = 300
    """Gradients of one search."""
    shrinks = 0.25
    """A violation that a round leaves above this part of the last one gets a larger weight."""
    growth = 10.0
    largest_growth = 1e8
    pool = 256
    """Of the best ends, that are grouped into basins."""
    tiny = 1e-12
    """The least tolerance, in units of the usual violation."""

    def __init__(
        self,
        portfolio: Portfolio,
        penalties: Penalties,
        tolerance: float = 1e-6,
        aim: float = 1e-5,
    ):
        self.portfolio = portfolio
        self.penalties = penalties
        self.equal: Bool[np.ndarray, " residuals"] = np.asarray(
            penalties.constraints.equal
        )
        self.dtype = penalties.frame.scale.dtype
        self.tolerance: float = max(tolerance, 100 * portfolio.eps)
        self.aim: float = max(aim * tolerance, 10 * portfolio.eps) / self.tolerance
        self.budget: float = portfolio.budget
        number = int(min(self.drawn, max(2, portfolio.budget / 8)))
        fun, rest = (
            np.asarray(a, np.float64)
            for a in _measure(penalties, self._device(portfolio.draw(number)))
        )
        self._count(number)
        fun = fun[np.isfinite(fun)]
        rest = rest[np.isfinite(rest).all(axis=1)]
        quartiles = np.quantile(fun, (0.25, 0.75)) if len(fun) else np.zeros(2)
        self.spread: float = (
            float(quartiles[1] - quartiles[0]) or float(np.abs(quartiles).max()) or 1.0
        )
        portfolio.size = float(np.quantile(np.abs(fun), 0.75)) if len(fun) else 0.0
        self.scales: Float[np.ndarray, " residuals"] = np.array(
            [
                self._scale(column, equal)
                for column, equal in zip(rest.T, self.equal, strict=True)
            ]
        )
        portfolio.problem = portfolio.coarse = self._problem(
            self.weights(self.scales), 0 * self.scales
        )
        portfolio.budget = self.search_share * self.budget

    def _scale(self, drawn: Float[np.ndarray, " places"], equal: bool) -> float:
        """Return the usual violation at drawn places, or the usual distance where few violate the constraint."""
        violations = np.abs(drawn) if equal else drawn[drawn > 0]
        usual = (
            violations if len(violations) >= self.fewest_violations else np.abs(drawn)
        )
        return (
            float(np.median(usual)) or float(usual.max()) or 1.0 if len(usual) else 1.0
        )

    def weights(self, scales: np.ndarray) -> np.ndarray:
        """Return the weights for which violations of these sizes cost half of `weight` spreads of f."""
        return self.weight * self.spread / scales**2

    def _device(self, array: np.ndarray) -> Array:
        return jnp.asarray(array, self.dtype)

    def _problem(self, weights: np.ndarray, multipliers: np.ndarray) -> Problem:
        return self.penalties.at(self._device(weights), self._device(multipliers))

    def _count(self, values: int) -> None:
        self.portfolio.nfev += values
        self.portfolio.spent += values

    def violations(
        self, residuals: Float[np.ndarray, "*lanes residuals"]
    ) -> Float[np.ndarray, "*lanes residuals"]:
        """Return how far each constraint is violated, infinite where it is not a number."""
        violations = np.where(self.equal, np.abs(residuals), np.maximum(residuals, 0))
        return np.where(np.isnan(violations), np.inf, violations)

    def allowed(
        self, slopes: Float[np.ndarray, "*lanes residuals"]
    ) -> Float[np.ndarray, "*lanes residuals"]:
        """Return the violation that is taken for none: that of a tiny move, or of rounding."""
        sides = np.abs(np.asarray(self.penalties.constraints.sides, np.float64))
        least = self.tiny * self.scales + 10 * self.portfolio.eps * sides
        return np.maximum(self.tolerance * np.minimum(slopes, self.scales), least)

    def _lanes(
        self,
        starts: np.ndarray,
        weights: np.ndarray,
        multipliers: np.ndarray,
        active: np.ndarray,
    ) -> MeasuredEnds:
        """Search from up to `lanes` places by one program; count what active lanes cost."""
        portfolio = self.portfolio
        lanes = np.minimum(np.arange(self.lanes), len(starts) - 1)
        running = np.append(active, np.zeros(self.lanes - len(active), bool))
        left = (portfolio.budget - portfolio.spent) / (
            portfolio.gradient_cost * max(1, active.sum())
        )
        ends = _refine(
            self.penalties,
            self._device(starts[lanes]),
            self._device(weights[lanes]),
            self._device(multipliers[lanes]),
            jnp.asarray(running),
            jnp.int32(max(2, min(self.limit, left))),
        )
        y, fun, rest, slopes, settled, gain, evaluations = (
            np.asarray(a)[: len(starts)] for a in ends
        )
        counted = active if active.any() else ~active
        portfolio.add_gradients(int(evaluations[counted].sum()), portfolio.problem)
        self._count(int(counted.sum()) * (2 + portfolio.dimension))
        y, fun, rest, slopes = (a.astype(np.float64) for a in (y, fun, rest, slopes))
        settled = active & (
            settled | (gain <= portfolio.difference)
        )  # one that is only measured has not settled
        return MeasuredEnds(y, fun, rest, slopes, settled)

    def refine(self, starts: Float[np.ndarray, "lanes d"]) -> list[Refined]:
        """Alternate searches and multipliers from ends of the portfolio until violations are far below tolerance."""
        portfolio = self.portfolio
        first = self.weights(
            np.broadcast_to(self.scales, (len(starts), len(self.scales)))
        )
        ends = self._lanes(starts, first, 0 * first, np.zeros(len(starts), bool))
        multipliers = self._updated(first, 0 * first, ends.residuals)
        weights = self._local_weights(ends.slopes)
        active = np.ones(len(starts), bool)
        last = self._distances(ends.residuals, first, 0 * first)
        best = [
            self._refined(ends, k, weights, multipliers) for k in range(len(starts))
        ]
        for _ in range(self.max_rounds):
            ahead = self._lanes(ends.y, weights, multipliers, active)
            ends = MeasuredEnds(
                *(_chosen(active, *pair) for pair in zip(ahead, ends, strict=True))
            )
            distances = self._distances(ends.residuals, weights, multipliers)
            for k in map(int, np.flatnonzero(active)):
                refined = self._refined(ends, k, weights, multipliers)
                if refined.feasible or refined.tolerances < best[k].tolerances:
                    best[k] = refined
            costly = (
                np.sum(np.abs(multipliers) * distances, axis=1)
                > self.aim * self.tolerance * self.spread
            )
            far = distances > self.aim * self.allowed(ends.slopes)
            active = active & (far.any(axis=1) | costly)
            if not active.any() or portfolio.spent >= portfolio.budget:
                break
            rows = active[:, None]
            multipliers = np.where(
                rows, self._updated(weights, multipliers, ends.residuals), multipliers
            )
            grows = (distances > self.shrinks * last) & (far | costly[:, None])
            least = self._local_weights(ends.slopes)
            grown = np.minimum(
                np.where(grows, self.growth, 1.0) * weights,
                self.largest_growth * least,
            )
            weights = np.where(rows, np.maximum(grown, least), weights)
            last = distances
        return best

    def _local_weights(
        self, slopes: Float[np.ndarray, "lanes residuals"]
    ) -> Float[np.ndarray, "lanes residuals"]:
        return self.weights(
            np.minimum(self.scales, np.maximum(slopes, NEARBY * self.scales))
        )

    def _updated(
        self, weights: np.ndarray, multipliers: np.ndarray, residuals: np.ndarray
    ) -> np.ndarray:
        ahead = multipliers + weights * np.nan_to_num(residuals)
        return np.where(self.equal, ahead, np.maximum(ahead, 0))

    def _distances(
        self, residuals: np.ndarray, weights: np.ndarray, multipliers: np.ndarray
    ) -> np.ndarray:
        """Return violations, and the slack of inequalities whose multiplier is not zero."""
        distances = np.abs(
            np.where(
                self.equal, residuals, np.maximum(residuals, -multipliers / weights)
            )
        )
        return np.where(np.isnan(distances), np.inf, distances)

    def _refined(
        self, ends: MeasuredEnds, k: int, weights: np.ndarray, multipliers: np.ndarray
    ) -> Refined:
        violations = self.violations(ends.residuals[k])
        distances = self._distances(ends.residuals[k], weights[k], multipliers[k])
        allowed = self.allowed(ends.slopes[k])
        largest = int(np.argmax(violations))
        return Refined(
            ends.y[k],
            float(ends.fun[k]),
            float(violations[largest]),
            self.penalties.constraints.names[largest],
            float((violations / allowed).max()),
            float((distances / allowed).max()),
            weights[k],
            multipliers[k],
            bool(ends.settled[k]),
            float(np.sum(np.abs(multipliers[k]) * violations)),
        )

    def run(self) -> Constrained:
        """Refine the basins that the portfolio has met until none of the others can be better."""
        portfolio = self.portfolio
        portfolio.budget = self.rounds_share * self.budget
        ys, fun, shares = self._candidates()
        refined: list[Refined] = []
        position = 0
        for _ in range(self.max_batches):
            lowest = min((end.fun for end in refined if end.feasible), default=np.inf)
            affordable = (portfolio.budget - portfolio.spent) / (
                self.gradients * portfolio.gradient_cost
            )
            lanes = int(np.clip(affordable, 1, self.lanes))
            batch = slice(position, position + lanes)
            hopeful = fun[batch] < lowest - portfolio.difference
            if not hopeful.any() or (refined and portfolio.spent >= portfolio.budget):
                break
            ends = self.refine(ys[batch][hopeful])
            refined += [
                end._replace(share=s)
                for end, s in zip(ends, shares[batch][hopeful], strict=True)
            ]
            position += lanes
        feasible = [end for end in refined if end.feasible]
        best = (
            min(feasible, key=lambda end: end.fun)
            if feasible
            else min(refined, key=lambda end: end.tolerances)
        )
        others = [end for end in feasible if end is not best and end.settled]
        portfolio.budget = self.budget
        best, end = self._sharpen(best)
        if best.gap > 1 or best.bought > self.tolerance * self.spread:
            end = end._replace(reached=False)
        left = int(
            np.sum(
                fun[position:]
                < (best.fun - portfolio.difference if best.feasible else np.inf)
            )
        )
        gradient = gradient_at(
            self.penalties.differentiable(self.penalties.problem),
            self.penalties.frame,
            best.y,
        )
        portfolio.add_gradients(1, portfolio.problem)
        portfolio.budget = self.search_share * self.budget
        return Constrained(
            best,
            end,
            gradient,
            self._basins([best, *others] if best.feasible else []),
            left,
        )

    def _candidates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return distinct ends of all searches, their values with penalties, and their shares of independent ones."""
        portfolio = self.portfolio
        many = self.portfolio.multistart_ends
        first = (portfolio.best_y[None], np.array([portfolio.best_fun]))
        kinds = [
            (e.y, e.fun)
            for e in (many, portfolio.hop_ends, portfolio.seen)
            if len(e.fun)
        ]
        ys, fun = (np.concatenate(arrays) for arrays in zip(*kinds, first, strict=True))
        order = np.argsort(fun, kind="stable")[: self.pool]
        labels, best_ends = group_ends(
            ys[order], fun[order], np.ones(len(order), bool), portfolio.difference
        )
        shares = np.bincount(
            labels[order < len(many.fun)], minlength=len(best_ends)
        ) / max(1, len(many.fun))
        return ys[order][best_ends], fun[order][best_ends], shares

    def _sharpen(self, best: Refined) -> tuple[Refined, Polished]:
        """Alternate Newton's steps with multipliers, where there are Hessians."""
        portfolio = self.portfolio
        none = np.zeros(1, bool)
        slopes = gradient_at(
            self._problem(best.weights, best.multipliers), self.penalties.frame, best.y
        )
        end = Polished(best.y, best.fun, slopes, best.settled, 1)
        if not best.feasible:
            return best, end
        for _ in range(self.max_newton_rounds):
            problem = self._problem(best.weights, best.multipliers)
            ahead = portfolio.newton_end(problem, end._replace(evaluations=0))
            if not ahead.evaluations:
                return best, end
            portfolio.add_gradients(ahead.evaluations, problem)
            ends = self._lanes(
                ahead.y[None], best.weights[None], best.multipliers[None], none
            )
            refined = self._refined(
                ends, 0, best.weights[None], best.multipliers[None]
            )._replace(share=best.share)
            if not refined.feasible:
                return best, end
            best = refined
            end = ahead
            if best.gap <= self.aim or portfolio.spent >= portfolio.budget:
                break
            best = best._replace(
                multipliers=self._updated(
                    best.weights, best.multipliers, ends.residuals[0]
                )
            )
        return best, end

    def _basins(self, ends: list[Refined]) -> list[Refined]:
        """Return the best end of each basin; the first of all ends is that of its own, whatever rounding says."""
        if not ends:
            return []
        ys = np.stack([end.y for end in ends])
        fun = np.array([end.fun for end in ends])
        labels, best_ends = group_ends(
            ys, fun, np.ones(len(fun), bool), self.portfolio.difference
        )
        shares = np.bincount(
            labels, [end.share for end in ends], minlength=len(best_ends)
        )
        chosen = [
            0 if label == labels[0] else end for label, end in enumerate(best_ends)
        ]
        return [
            ends[i]._replace(share=float(share))
            for i, share in zip(chosen, shares, strict=True)
        ]
