"""A forward map as a solver on NumPy arrays: checked, counted, and in units of prior and noise.

With z ~ N(0, I) the coefficients in units of the prior, the function is f = mean + sum_k sqrt(mu_k) z_k f_k and

    misfit(z) = 1/2 <r, C^-1 r>,      r = G(f) - y,      gradient = Phi^T adjoint(f, C^-1 r)

with Phi the values on the grid of the functions sqrt(mu_k) f_k. A solve that raises, or returns a number that is not
finite, has an infinite misfit: Metropolis methods reject it. Solves run one after the other in the calling thread, or
those of several chains at once in threads, in float64, on copies of their arguments. A cache wraps the map and its
adjoint (`SolveCache.over`); `misfit_problem` is the misfit as a problem for compiled programs.
"""

import copy
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks
from langevax._typing import PyTree
from langevax.problems import host
from langevax.problems.problem import Function
from langevax.sampling.noise import GaussianNoise
from langevax.sampling.solve_cache import SolveCache, SolveCacheError
from langevax.sampling.solve_threads import Returned, SolveThreads, alternating
from langevax.sampling.umbridge import ServerUnreachable
from langevax.spaces import GaussianPrior

Coefficients = Float[np.ndarray, " modes"]
NumpyMap = Callable[[np.ndarray], object]
Adjoint = Callable[[np.ndarray, np.ndarray], object]
DIFFERENCE = 3e-3
"""Step of difference quotients, in deviations of the prior: long enough for maps in float32."""


class Solve(NamedTuple):
    """One solve: where, and what came of it."""

    z: Coefficients
    misfit: float
    """Infinite where the solve failed."""
    residual: np.ndarray | None
    """G(f) - y; None where the solve failed."""
    gradient: Coefficients | None = None
    """Of the misfit, where it was asked for."""

    @property
    def energy(self) -> float:
        """Minus the logarithm of the posterior, up to a constant."""
        return self.misfit + float(self.z @ self.z) / 2


class SolveCounts(NamedTuple):
    """Numbers of solves, those that failed included."""

    forward: int = 0
    adjoint: int = 0
    failed: int = 0
    first_failure: str = ""
    """Why the first one failed."""

    @property
    def evaluations(self) -> int:
        """Solves of the map and of its adjoint together."""
        return self.forward + self.adjoint

    def plus(self, other: "SolveCounts", sign: int = 1) -> "SolveCounts":
        """Return the sum with other counts, or the difference."""
        forward, adjoint, failed = (
            a + sign * b for a, b in zip(self[:3], other[:3], strict=True)
        )
        reason = self.first_failure or other.first_failure
        return SolveCounts(forward, adjoint, failed, reason)

    def since(self, before: "SolveCounts") -> "SolveCounts":
        """Return the counts without earlier ones."""
        return self.plus(before, -1)


class SolveTally:
    """Counts of solves, one for all the units in which a solver is used, and parts of it for single chains."""

    def __init__(self, whole: "SolveTally | None" = None):
        self.counts: SolveCounts = SolveCounts()
        self.whole = whole
        self.lock: threading.Lock = threading.Lock()

    def add(self, counts: SolveCounts) -> None:
        """Add counts, here and in the whole."""
        with self.lock:
            self.counts = self.counts.plus(counts)
        if self.whole is not None:
            self.whole.add(counts)


class ForwardSolver:
    """The forward map with its counters."""

    def __init__(
        self,
        forward_map: NumpyMap,
        adjoint: Adjoint | None,
        data: np.ndarray,
        noise: GaussianNoise,
        prior: GaussianPrior,
        mean: np.ndarray | None,
        parallel: int = 1,
    ):
        num_modes = prior.num_modes
        dtype = prior.eigenvalues.dtype
        grid = jax.eval_shape(
            prior.basis.synthesize, jax.ShapeDtypeStruct((num_modes,), dtype)
        ).shape
        checks.fits_memory("prior", num_modes * int(np.prod(grid)), 8)
        functions = np.asarray(
            prior.basis.synthesize(jnp.eye(num_modes, dtype=dtype)), np.float64
        )
        deviations = np.sqrt(np.asarray(prior.eigenvalues, np.float64))
        self.synthesis: np.ndarray = (
            functions.reshape(num_modes, -1) * deviations[:, None]
        )
        self.grid_shape = grid
        self.forward_map: NumpyMap = forward_map
        self.adjoint: Adjoint | None = adjoint
        self.data = data
        self.noise = noise
        self.mean: float | np.ndarray = (
            0.0 if mean is None else np.broadcast_to(mean, grid)
        )
        self.tally: SolveTally = SolveTally()
        self.parallel = parallel
        """Number of threads that solve at once."""
        self.cache: SolveCache | None = None

    @property
    def num_modes(self) -> int:
        return len(self.synthesis)

    @property
    def counts(self) -> SolveCounts:
        """Of all solves so far."""
        return self.tally.counts

    def in_units(self, scales: Coefficients, noise: GaussianNoise) -> "ForwardSolver":
        """Return this solver with coefficients in units of `scales` times the present ones, and with other noise.

        It has the same counters.
        """
        other = copy.copy(self)
        other.synthesis = self.synthesis * scales[:, None]
        other.noise = noise
        return other

    def counted_apart(self) -> "ForwardSolver":
        """Return this solver with counts of its own, which are part of the present ones."""
        other = copy.copy(self)
        other.tally = SolveTally(self.tally)
        return other

    def each(
        self, function: Callable[[Any], Returned], items: Sequence[Any] | np.ndarray
    ) -> list[Returned]:
        """Return a function's values at the items, in threads; not for use within these."""
        with SolveThreads(min(self.parallel, len(items))) as threads:
            return list(threads.map(function, items))

    def function(self, z: Coefficients) -> np.ndarray:
        """Return the values of the function on the grid."""
        return self.mean + (z @ self.synthesis).reshape(self.grid_shape)

    def predict(self, z: Coefficients) -> np.ndarray:
        """Return the predictions; exceptions of the map pass."""
        returned: Any = self._call(z)
        predicted = np.array(
            np.ma.filled(returned, np.nan)
        )  # a copy: a solver may return one array each time
        check_shape(predicted.shape, self.data.shape)
        return predicted

    def _call(self, z: Coefficients) -> object:
        self.tally.add(SolveCounts(forward=1))
        return self.forward_map(self.function(z))

    def use_cache(self, cache: SolveCache) -> None:
        """Read solves from a file and store them there; raise where one in it is another solver's."""
        place = np.random.default_rng(1).standard_normal(self.num_modes) / 2
        fresh = self._solved(place)
        self.forward_map = cache.over("forward_map", self.forward_map)
        if self.adjoint is not None:
            self.adjoint = cache.over("adjoint", self.adjoint)
        if not _same(self._solved(place), fresh):
            raise ValueError(
                f"cache {cache.file!r} holds solves of another solver: its forward_map "
                "or adjoint returned other numbers than this one for the same "
                "function; name another file."
            )
        self.cache: SolveCache | None = cache

    def solve(self, z: Coefficients) -> Solve:
        """Return the misfit, infinite where the map raises or returns what is not finite."""
        residual = self._finite(
            lambda: _real("forward_map", self.predict(z)) - self.data,
            "predictions that are not finite",
        )
        if residual is None:
            return Solve(z, np.inf, None)
        misfit = np.sum(self.noise.whitened(residual) ** 2) / 2
        return Solve(z, float(misfit), residual)

    def at(self, z: Coefficients, needs_gradient: bool = False) -> Solve | None:
        """Return the solve at a place, with its gradient where one is needed; None where either fails."""
        solve = self.solve(z)
        if needs_gradient:
            return self.with_gradient(solve)
        return None if solve.residual is None else solve

    def with_gradient(self, solve: Solve) -> Solve | None:
        """Return a solve with the gradient of its misfit, by the adjoint; None where either fails."""
        residual = solve.residual
        if solve.gradient is not None:
            return solve
        if residual is None:
            return None
        gradient = self._finite(
            lambda: self.transposed(solve.z, self.noise.times_precision(residual)),
            "a product with the adjoint that is not finite",
        )
        return None if gradient is None else solve._replace(gradient=gradient)

    def _finite(
        self, numbers: Callable[[], np.ndarray], otherwise: str
    ) -> np.ndarray | None:
        """Return what a call of the user's function gives; None, a failure, where it raises or is not finite."""
        try:
            with np.errstate(all="ignore"):
                result = numbers()
            if np.isfinite(result).all():
                return result
            reason = otherwise
        except (_WrongShape, ServerUnreachable, SolveCacheError):
            raise
        except (
            Exception
        ) as error:  # a solver raises anything where it does not converge
            reason = f"{type(error).__name__}: {error}"
        self.tally.add(SolveCounts(failed=1, first_failure=reason))
        return None

    def transposed(self, z: Coefficients, residual: np.ndarray) -> Coefficients:
        """Return Phi^T J^T residual; exceptions of the adjoint pass."""
        assert self.adjoint is not None
        self.tally.add(SolveCounts(adjoint=1))
        returned = self.adjoint(self.function(z), np.array(residual))
        product = _real("adjoint", np.asarray(returned))
        if product.shape != self.grid_shape:
            raise _WrongShape(
                f"adjoint returned shape {product.shape}, but the function has shape "
                f"{self.grid_shape} on prior.basis.grid; return the transposed "
                "derivative times the residual there."
            )
        return self.synthesis @ product.reshape(-1)

    def directional(
        self,
        z: Coefficients,
        direction: Coefficients,
        at: np.ndarray,
        step: float = DIFFERENCE,
    ) -> np.ndarray:
        """Return the derivative of the predictions along a direction, by a difference from `at`, those at z."""
        length = float(np.linalg.norm(direction))
        moved = _real("forward_map", self.predict(z + step / length * direction))
        return (moved - at) * (length / step)

    def check(self, rng: np.random.Generator, num_draws: int = 4) -> str | None:
        """Raise unless the map predicts these data; return a warning if it fails at some draws of the prior."""
        zero = np.zeros(self.num_modes)
        first, again = (_real("forward_map", self.predict(zero)) for _ in range(2))
        if not np.isfinite(again).all():
            bad = np.argwhere(~np.isfinite(again))[0].tolist()
            raise ValueError(
                f"forward_map returned {again[tuple(bad)]} for datum {bad} at the mean "
                "of the prior; it must be finite there."
            )
        if not _agree(first, again):
            gap = float(np.abs(first - again).max())
            raise ValueError(
                "forward_map is not deterministic: two calls at the mean of the prior "
                f"differ by {gap:.2g}; fix its random numbers, and leave out what it "
                "remembers between calls."
            )
        before = self.counts
        places = rng.standard_normal((num_draws, self.num_modes))
        draws = [self.solve(place) for place in places]
        failed = self.counts.since(before).failed
        reason = self.counts.first_failure
        if failed == num_draws:
            raise ValueError(
                f"forward_map failed at all of {num_draws} draws of the prior "
                f"({reason}); pass a map that is defined for functions of this prior, "
                "or a narrower prior."
            )
        defined = [draw.z for draw in draws if draw.residual is not None]
        if self.adjoint is not None:
            self._check_adjoint(defined[0] / 2, rng)
        if self.parallel > 1:
            self._check_threads([zero, *defined])
        if not failed:
            return None
        return (
            f"forward_map failed at {failed} of {num_draws} draws of the prior "
            f"({reason}); where it fails, the posterior is taken as zero."
        )

    def _check_threads(self, places: list[Coefficients], seconds: float = 0.2) -> None:
        """Raise where solves at once disturb each other, as they do where a solver works in memory of its own.

        For so long each thread repeats its solve, and they alternate between lines of Python: what differs seldom in a
        run differs here.
        """
        raw = [np.asarray(self._call(place)) for place in places[:2]]
        alone = [self._solved(place) for place in places]
        start = threading.Barrier(self.parallel)

        def repeat(thread: int) -> bool:
            expected = alone[thread % len(alone)]
            start.wait()
            end = time.perf_counter() + seconds
            with alternating():
                while _same(self._solved(expected.z), expected):
                    if time.perf_counter() > end:
                        return True
            return False

        are_same = all(self.each(repeat, range(self.parallel)))
        if np.shares_memory(raw[0], raw[1]) or not are_same:
            raise ValueError(
                "forward_map or its adjoint is not safe to call from several threads: "
                "results of calls at once share memory or differ from those of single "
                "calls; let each call work in arrays of its own, put the solver behind "
                "a UM-Bridge server, or leave parallel out."
            )

    def _solved(self, z: Coefficients) -> Solve:
        """Return a solve, with its gradient where there is one."""
        solve = self.solve(z)
        return solve if self.adjoint is None else self.with_gradient(solve) or solve

    def _check_adjoint(
        self,
        z: Coefficients,
        rng: np.random.Generator,
        largest: float = 0.02,
    ) -> None:
        """Raise unless <J v, r> = <v, J^T r>, J v by differences, to `largest` of |J v| |r|."""
        solve = self.solve(z)
        if solve.residual is None:
            return
        at = solve.residual + self.data
        v = rng.standard_normal(self.num_modes)
        coarse, fine = (
            self.directional(z, v, at, factor * DIFFERENCE) for factor in (1, -0.5)
        )
        product = (coarse + 2 * fine) / 3  # of second order
        length = float(np.linalg.norm(product))
        if length == 0 or not np.isfinite(length):
            return
        noise = rng.standard_normal(self.data.shape)
        r = product / length + 0.5 * noise / np.linalg.norm(noise)
        forward = float(np.sum(product * r))
        backward = float(v @ self.transposed(z, r))
        violation = abs(forward - backward) / (length * float(np.linalg.norm(r)))
        doubt = float(np.linalg.norm(coarse - fine)) / length  # of the differences
        if not violation <= largest + doubt:
            raise ValueError(
                f"adjoint fails the dot-product test: <J v, r> is {forward:.6g} by "
                f"differences of forward_map and <v, adjoint(x, r)> is {backward:.6g}, "
                f"off by {violation:.0%} of |J v| |r|; return the transposed "
                "derivative of forward_map at x times r."
            )


def _agree(numbers: np.ndarray, others: np.ndarray, rounding: float = 1e-6) -> bool:
    """True where they differ by the rounding of the largest of them."""
    largest = max(np.abs(others).max(), np.finfo(np.float64).tiny)
    return bool(np.abs(numbers - others).max() <= rounding * largest)


def _same(solve: Solve, other: Solve) -> bool:
    """True where residuals and gradients agree, or both are missing."""
    pairs = (solve.residual, other.residual), (solve.gradient, other.gradient)
    return all(a is b if a is None or b is None else _agree(a, b) for a, b in pairs)


def _real(name: str, numbers: np.ndarray) -> np.ndarray:
    """Return what a function returned in float64; raise where it is not real numbers."""
    if numbers.dtype.kind not in "fiu":
        raise TypeError(f"{name} returned {numbers.dtype} numbers; return real ones.")
    return numbers.astype(np.float64)


class _WrongShape(ValueError):
    """A result of another shape: a mistake of the map wherever it is called, and not a solve that failed."""


def check_shape(predicted: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise unless predictions have the shape of the data."""
    if predicted != expected:
        raise _WrongShape(
            f"forward_map returned shape {predicted} for data of shape {expected}; it "
            "must predict each datum from the function's values on prior.basis.grid."
        )


def misfit_problem(
    solver: ForwardSolver, scales: Float[Array, " modes"], precision: PyTree
) -> Function:
    """Return `(1/m) misfit` at position = scales z as a problem, whose solver is called from compiled programs.

    The gradient needs an adjoint. A solve that fails has an infinite value and a gradient of 0.
    """
    size = solver.data.size

    def value(z: np.ndarray) -> np.ndarray:
        return np.asarray(solver.solve(np.array(z, np.float64)).misfit / size)

    def both(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        solve = solver.at(np.array(z, np.float64), needs_gradient=True)
        if solve is None or solve.gradient is None:
            return np.asarray(np.inf), np.zeros(len(z))
        return np.asarray(solve.misfit / size), solve.gradient / size

    @jax.custom_vjp
    def mean_misfit(position: Array) -> Array:
        like = jax.ShapeDtypeStruct((), position.dtype)
        return host.call(value, like, position / scales.astype(position.dtype))

    def forward(position: Array) -> tuple[Array, Array]:
        if solver.adjoint is None:
            raise ValueError(
                "forward_map has no gradient: pass adjoint=, write it in JAX, or "
                "sample with algorithm=langevax.PCN()."
            )
        scale = scales.astype(position.dtype)
        like = jax.ShapeDtypeStruct((), position.dtype), position
        value, gradient = host.call(both, like, position / scale)
        return value, gradient / scale

    def backward(gradient: Array, change: Array) -> tuple[Array]:
        return (change * gradient,)

    mean_misfit.defvjp(forward, backward)
    return Function(mean_misfit, precision)
