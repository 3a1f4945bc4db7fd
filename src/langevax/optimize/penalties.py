"""Constraints of `minimize`: penalties lead the portfolio, and SciPy's SLSQP refines the basins that it meets.

    L(x) = f(x) + sum_i w_i / 2 r_i(x)^2,      of inequalities max(0, r_i)^2

Each minimum of L lies below the minimum of f under the constraints in the same basin, so that basins are refined in
order of L until the next one is not lower than the best that satisfies them. SLSQP (Kraft 1988) ends where f does not
fall along the linearised constraints. Multipliers l, those of least squares, say whether that is a minimum,

    grad f + J^T l = 0,      l_i >= 0 of inequalities.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from langevax._typing import FloatScalar, PyTree
from langevax.optimize.basins import group_ends
from langevax.optimize.constraints import Constraints
from langevax.optimize.landscape import Landscape
from langevax.optimize.local_search import Frame, Place, Places, Values, Vector
from langevax.optimize.portfolio import Searches
from langevax.optimize.values_only import HostFunction
from langevax.problems.coordinates import Raveled
from langevax.problems.problem import Function, Problem
from langevax.trees import in_double


class Penalised(eqx.Module):
    """L, a function of vectors."""

    penalties: "Penalties"
    weights: Float[Array, " residuals"]

    def __call__(self, x: Vector) -> FloatScalar:
        values = self.penalties.measure(x)
        residuals = values[1:]
        equal = self.penalties.constraints.equal
        violations = jnp.where(equal, residuals, jnp.maximum(residuals, 0))
        return values[0] + jnp.sum(self.weights / 2 * violations**2)


class Penalties(eqx.Module):
    """All of L but its weights."""

    problem: Problem | HostFunction
    constraints: Constraints
    frame: Frame

    def at(self, weights: Float[np.ndarray, " residuals"]) -> "Problem | HostPenalised":
        """Return the problem of these weights."""
        if isinstance(self.problem, HostFunction):
            return HostPenalised(self, weights)
        return Function(Penalised(self, jnp.asarray(weights, self.frame.scale.dtype)))

    def measure(self, x: Vector) -> Float[Array, " values"]:
        """Return f and the residuals at a vector, which `problem` may lay out as a pytree."""
        problem = self.problem
        assert isinstance(problem, Problem)
        position = problem.to_position(x) if isinstance(problem, Raveled) else x
        fun = problem.potential(x)
        return jnp.concatenate([fun[None], self.constraints.residuals(position)])

    def values(self, xs: Places) -> Float[np.ndarray, "places values"]:
        """Return f and the residuals at vectors."""
        problem = self.problem
        if not isinstance(problem, HostFunction):
            return in_double(_measure(self, jnp.asarray(xs)))
        positions = map(problem.position, xs)
        residuals = [_residuals(self.constraints, place) for place in positions]
        return np.column_stack([problem(xs), residuals])

    def linearised(self, y: Place) -> tuple[np.ndarray, np.ndarray]:
        """Return f and the residuals, and their slopes in units of the box: of functions on the host by differences.

        g_i = (f(y + h_i e_i) - f(y)) / h_i,    h_i = sqrt(eps) max(|y_i|, 1),    backwards where y + h_i leaves the box
        """
        if not isinstance(self.problem, HostFunction):
            at = jnp.asarray(y, self.frame.scale.dtype)
            values, slopes = _linearised(self, at)
            return in_double(values), in_double(slopes)
        steps = math.sqrt(np.finfo(float).eps) * np.maximum(np.abs(y), 1)
        steps = np.where(y + steps > np.asarray(self.frame.upper), -steps, steps)
        ys = np.concatenate([y[None], y + np.diag(steps)])
        here, *ahead = self.values(np.asarray(self.frame.to_x(jnp.asarray(ys))))
        return here, (np.array(ahead) - here).T / steps


class HostPenalised:
    """L of a function on the host, which takes vectors."""

    size = 1

    def __init__(self, penalties: Penalties, weights: Float[np.ndarray, " residuals"]):
        self.penalties = penalties
        self.weights = weights

    def __call__(self, xs: Places) -> Values:
        """Return L at places."""
        values = self.penalties.values(xs)
        equal = np.asarray(self.penalties.constraints.equal)
        residuals = np.where(equal, values[:, 1:], np.maximum(values[:, 1:], 0))
        return values[:, 0] + residuals**2 @ self.weights / 2


@eqx.filter_jit
def _residuals(constraints: Constraints, position: PyTree) -> Array:
    return constraints.residuals(position)


@eqx.filter_jit
def _measure(penalties: Penalties, xs: Float[Array, "places d"]) -> Array:
    return jax.vmap(penalties.measure)(xs)


@eqx.filter_jit
def _linearised(penalties: Penalties, y: Vector) -> tuple[Array, Array]:
    frame = penalties.frame
    x = frame.to_x(y)
    slopes = jax.jacrev(penalties.measure)(x)
    return penalties.measure(x), slopes * frame.scale


def _scale(drawn: Values, equal: bool) -> float:
    """Return the usual violation at drawn places, or the usual distance where none violates the constraint."""
    usual = np.abs(drawn)
    if not equal and np.any(drawn > 0):
        usual = drawn[drawn > 0]
    if not len(usual):
        return 1.0
    return float(np.median(usual)) or float(usual.max()) or 1.0


class Linearised(NamedTuple):
    """f and the residuals at a place, with their slopes."""

    fun: float
    gradient: Place
    residuals: Float[np.ndarray, " residuals"]
    slopes: Float[np.ndarray, "residuals d"]


class Refined(NamedTuple):
    """The end of a refinement."""

    y: Place
    fun: float
    gradient: Place
    """Of f."""
    left: Place
    """Of f with multipliers; 0 at a minimum."""
    violation: float
    """The largest one, in the units of the constraint."""
    name: str
    """Of that constraint."""
    tolerances: float
    """The largest violation over what is taken for none."""
    reached: bool
    share: float = 0.0

    @property
    def feasible(self) -> bool:
        """True where the constraints are satisfied to the tolerance."""
        return self.tolerances <= 1 and np.isfinite(self.fun)


class Constrained(NamedTuple):
    """The end of a search under constraints."""

    best: Refined
    basins: list[Refined]
    """Distinct ones that satisfy the constraints, best first."""
    left: int
    """Basins that were not refined, though one of them may be better."""


class Refinement:
    """The weights of the penalties of a search, and the refinement of the basins that it meets.

    Args:
        land: the search, which is set to minimise L with a part of its budget.
        tolerance: violation that counts as none: what such a move of one coordinate, in units of the box, changes at
            most.
    """

    drawn = 128
    """Places from which weights are taken."""
    weight = 10.0
    """Spreads of f that a violation of the usual size costs, twice."""
    search_share = 0.7
    """Of the budget, for the search."""
    iterations = 100
    """Of one refinement."""
    pool = 256
    """Of the best ends, that are grouped into basins."""

    def __init__(
        self,
        land: Landscape,
        penalties: Penalties,
        tolerance: float = 1e-6,
    ):
        self.land = land
        self.penalties = penalties
        self.equal: Bool[np.ndarray, " residuals"] = np.asarray(
            penalties.constraints.equal
        )
        self.tolerance: float = max(tolerance, 100 * land.eps)
        self.accuracy: float = max(1e-12, 10 * land.eps)
        self.budget: float = land.budget
        number = int(min(self.drawn, max(2, land.budget / 2)))
        drawn = penalties.values(land.x(land.draw(number)))
        land.nfev += number
        land.spent += number
        fun = drawn[:, 0]
        fun = fun[np.isfinite(fun)]
        low, high = np.zeros(2)
        if len(fun):
            low, high = np.quantile(fun, (0.25, 0.75))
        self.spread: float = float(high - low) or max(abs(low), abs(high)) or 1.0
        residuals = drawn[:, 1:]
        rest = residuals[np.isfinite(residuals).all(axis=1)]
        self.scales: Float[np.ndarray, " residuals"] = np.array(
            [_scale(*pair) for pair in zip(rest.T, self.equal, strict=True)]
        )
        weights = self.weight * self.spread / self.scales**2
        land.problem = penalties.at(weights)
        land.budget = self.search_share * self.budget

    def run(self, searches: Searches) -> Constrained:
        """Refine the basins that the portfolio has met until none of the others can be better."""
        land = self.land
        land.budget = self.budget
        ys, fun, shares = self._candidates(searches)
        refined: list[Refined] = []
        for y, share in zip(ys, shares, strict=True):
            lowest = min((end.fun for end in refined if end.feasible), default=np.inf)
            if not fun[len(refined)] < lowest - land.difference:
                break
            if refined and land.spent >= land.budget:
                break
            refined.append(self.refined(y)._replace(share=float(share)))
        feasible = [end for end in refined if end.feasible]
        best = min(
            feasible or refined,
            key=lambda end: end.fun if end.feasible else end.tolerances,
        )
        least = best.fun - land.difference if best.feasible else np.inf
        left = int(np.sum(fun[len(refined) :] < least))
        land.budget = self.search_share * self.budget
        others = [end for end in feasible if end is not best and end.reached]
        basins = self._basins([best, *others]) if best.feasible else []
        return Constrained(best, basins, left)

    def _candidates(
        self, searches: Searches
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return distinct ends of all searches, the best first, their values and shares of independent searches."""
        land = self.land
        many = searches.independent
        kinds = [*searches.ends, land.seen]
        met = [(e.y, e.fun) for e in kinds if len(e.fun)]
        met.append((land.best_y[None], np.array([land.best_fun])))
        ys, fun = map(np.concatenate, zip(*met, strict=True))
        order = np.argsort(fun, kind="stable")[: self.pool]
        ys = ys[order]
        fun = fun[order]
        moved = np.ones(len(order), bool)
        labels, best = group_ends(ys, fun, moved, land.difference)
        independent = labels[order < len(many.fun)]
        shares = np.bincount(independent, minlength=len(best))
        return ys[best], fun[best], shares / max(1, len(many.fun))

    def linear(self, y: Place) -> Linearised:
        """Return f and the residuals at a place, and count them."""
        land = self.land
        values, slopes = self.penalties.linearised(y)
        land.add_gradients(1)
        return Linearised(float(values[0]), slopes[0], values[1:], slopes[1:])

    def refined(self, start: Place) -> Refined:
        """Return where SLSQP ends, with what can be said of it."""
        from scipy.optimize import minimize

        land = self.land
        first = self.linear(start)
        last = start, first
        steep = np.abs(first.slopes).max(axis=1)
        units = np.clip(np.nan_to_num(steep), 1e-3 * self.scales, self.scales)

        def at(y: np.ndarray) -> Linearised:
            nonlocal last
            if not np.array_equal(y, last[0]):
                last = y.copy(), self.linear(np.clip(y, land.lower, land.upper))
            return last[1]

        def objective(y: np.ndarray) -> tuple[float, np.ndarray]:
            here = at(y)
            # so large where it is not a number that the line search turns back
            fun = here.fun / self.spread if np.isfinite(here.fun) else 1e10
            return fun, np.nan_to_num(here.gradient, posinf=0, neginf=0) / self.spread

        def side(chosen: np.ndarray, kind: str) -> dict[str, Any]:
            sign = -1 / units[chosen]
            return {
                "type": kind,
                "fun": lambda y: np.nan_to_num(sign * at(y).residuals[chosen]),
                "jac": lambda y: np.nan_to_num(sign[:, None] * at(y).slopes[chosen]),
            }

        affordable = (land.budget - land.spent) / (2 * land.gradient_cost)
        iterations = int(np.clip(affordable, 2, self.iterations))
        kinds = {"eq": self.equal, "ineq": ~self.equal}
        end = minimize(
            objective,
            start,
            jac=True,
            method="SLSQP",
            bounds=np.stack([land.lower, land.upper], axis=1),
            constraints=[
                side(chosen, kind) for kind, chosen in kinds.items() if chosen.any()
            ],
            options={"maxiter": iterations, "ftol": self.accuracy},
        )
        y = np.clip(end.x, land.lower, land.upper)
        refined = self._judged(y, at(y))
        begin = self._judged(start, first)
        if refined.feasible or refined.tolerances < begin.tolerances:
            return refined
        return begin

    def _judged(self, y: Place, at: Linearised) -> Refined:
        """Return a place with its violations, and how far from a minimum it is."""
        violations = np.where(
            self.equal, np.abs(at.residuals), np.maximum(at.residuals, 0)
        )
        violations = np.where(np.isnan(violations), np.inf, violations)
        allowed = self._allowed(at.slopes)
        tolerances = violations / allowed
        largest = int(np.argmax(violations))
        active = self.equal | (at.residuals >= -allowed)
        left = self._left(y, at, active)
        size = max(self.spread, float(np.linalg.norm(at.gradient)))
        is_minimum = np.linalg.norm(left) <= 30 * np.sqrt(self.accuracy) * size
        return Refined(
            y,
            at.fun,
            at.gradient,
            left,
            float(violations[largest]),
            self.penalties.constraints.names[largest],
            float(tolerances.max()),
            bool(is_minimum),
        )

    def _allowed(
        self, slopes: Float[np.ndarray, "residuals d"]
    ) -> Float[np.ndarray, " residuals"]:
        """Return the violation that is taken for none: that of a tiny move, or of rounding."""
        sides = np.abs(in_double(self.penalties.constraints.sides))
        least = self.accuracy * (self.scales + sides)
        steep = np.nan_to_num(np.abs(slopes).max(axis=1))
        return np.maximum(self.tolerance * np.minimum(steep, self.scales), least)

    def _left(
        self,
        y: Place,
        at: Linearised,
        active: Bool[np.ndarray, " residuals"],
    ) -> Place:
        """Return the gradient that the multipliers of active constraints and the bounds leave of f's."""
        from scipy.optimize import lsq_linear

        land = self.land
        axes = np.eye(len(y))
        low = y <= land.lower + self.tolerance
        high = y >= land.upper - self.tolerance
        walls = np.concatenate([-axes[low], axes[high]])
        normals = np.concatenate([at.slopes[active], walls])
        if not (
            len(normals)
            and np.isfinite(normals).all()
            and np.isfinite(at.gradient).all()
        ):
            return at.gradient
        signed = np.append(~self.equal[active], np.ones(len(walls), bool))
        least = np.where(signed, 0.0, -np.inf)
        fit = lsq_linear(normals.T, -at.gradient, (least, np.inf))
        return at.gradient + normals.T @ fit.x

    def _basins(self, ends: list[Refined]) -> list[Refined]:
        """Return the best end of each basin; the first of all ends is that of its own, whatever rounding says."""
        ys = np.stack([end.y for end in ends])
        fun = np.array([end.fun for end in ends])
        moved = np.ones(len(fun), bool)
        labels, best = group_ends(ys, fun, moved, self.land.difference)
        shares = np.bincount(labels, [end.share for end in ends], minlength=len(best))
        best[labels[0]] = 0
        return [
            ends[i]._replace(share=float(share))
            for i, share in zip(best, shares, strict=True)
        ]
