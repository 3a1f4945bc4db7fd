"""A forward map as a solver on NumPy arrays: checked, counted, and in units of prior and noise.

With z ~ N(0, I) the coefficients in units of the prior, the function is f = mean + sum_k sqrt(mu_k) z_k f_k and

    misfit(z) = 1/2 <r, C^-1 r>,      r = G(f) - y,      gradient = Phi^T adjoint(f, C^-1 r)

with Phi the values on the grid of the functions sqrt(mu_k) f_k. A solve that raises, or returns a number that is not
finite, has an infinite misfit: Metropolis methods reject it. Solves run one after the other in the calling thread, or
those of several chains at once in threads, in float64, on copies of their arguments.
"""

import copy
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks
from langevax.problems import host
from langevax.problems.problem import Indices, Problem, Scalar
from langevax.sampling.noise import GaussianNoise
from langevax.sampling.solve_cache import Kind, SolveCache, SolveCacheError
from langevax.sampling.solve_threads import Returned, SolveThreads, alternating
from langevax.sampling.umbridge import ServerUnreachable
from langevax.spaces import GaussianPrior

Vector = Float[np.ndarray, " modes"]
NumpyMap = Callable[[np.ndarray], object]
Adjoint = Callable[[np.ndarray, np.ndarray], object]


class Solve(NamedTuple):
    """One solve: where, and what came of it."""

    z: Vector
    misfit: float
    """Infinite where the solve failed."""
    residual: np.ndarray | None
    """G(f) - y; None where the solve failed."""


class SolveTally:
    """Counts of solves, one for all the units in which a solver is used, and parts of it for single chains."""

    def __init__(self, whole: "SolveTally | None" = None):
        self.solves = self.adjoints = self.failed = self.read = 0
        self.first_failure = ""
        self.whole, self.lock = whole, threading.Lock()

    def count(
        self, name: Literal["solves", "adjoints", "failed", "read"], reason: str = ""
    ) -> None:
        """Count one, here and in the whole."""
        with self.lock:
            setattr(self, name, getattr(self, name) + 1)
            self.first_failure = self.first_failure or reason
        if self.whole is not None:
            self.whole.count(name, reason)


class ForwardSolver:
    """The forward map with its counters; `num_solves` and `num_adjoints` include solves that failed."""

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
        self.synthesis = functions.reshape(num_modes, -1) * deviations[:, None]
        self.grid_shape = grid
        self.forward_map = forward_map
        self.adjoint = adjoint
        self.data = data
        self.noise = noise
        self.mean = 0.0 if mean is None else np.broadcast_to(mean, grid)
        self.tally = SolveTally()
        self.is_single = False
        self.parallel = parallel
        """Number of threads that solve at once."""
        self.cache: SolveCache | None = None
        """Solves of earlier runs, and of this one."""

    @property
    def num_modes(self) -> int:
        return len(self.synthesis)

    @property
    def num_solves(self) -> int:
        return self.tally.solves

    @property
    def num_adjoints(self) -> int:
        return self.tally.adjoints

    def in_units(self, scales: Vector, noise: GaussianNoise) -> "ForwardSolver":
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

    @property
    def difference(self) -> float:
        """Step of difference quotients, in deviations of the prior."""
        return 1e-2 if self.is_single else 1e-3

    def function(self, z: Vector) -> np.ndarray:
        """Return the values of the function on the grid."""
        return self.mean + (z @ self.synthesis).reshape(self.grid_shape)

    def predict(self, z: Vector) -> np.ndarray:
        """Return the predictions; exceptions of the map pass."""
        returned: Any = self._call(z)
        predicted = np.array(
            np.ma.filled(returned, np.nan)
        )  # a copy: a solver may return one array each time
        if predicted.shape != self.data.shape:
            raise _WrongShape(
                f"forward_map returned shape {predicted.shape} for data of shape {self.data.shape}; it must predict "
                "each datum from the function's values on prior.basis.grid."
            )
        return predicted

    def _call(self, z: Vector) -> object:
        self.tally.count("solves")
        return self._read_or_call("forward_map", self.forward_map, self.function(z))

    def _read_or_call(
        self, kind: Kind, function: Callable[..., object], *arguments: np.ndarray
    ) -> object:
        """Return what a function of the user returns, or has returned; what it raises is not stored."""
        if self.cache is None:
            return function(*arguments)
        if (stored := self.cache.read(kind, *arguments)) is not None:
            self.tally.count("read")
            return stored
        result: Any = function(*(argument.copy() for argument in arguments))
        returned = np.ma.filled(result, np.nan)
        if returned.dtype.kind in "fiu":
            self.cache.write(kind, returned, *arguments)
        return returned

    def use_cache(self, cache: SolveCache) -> None:
        """Read solves from a file and store them there; raise where those in it are another solver's."""
        z = np.random.default_rng(1).standard_normal(self.num_modes) / 2
        kinds: list[tuple[Kind, Callable[..., object], tuple[np.ndarray, ...]]]
        kinds = [
            ("forward_map", self.forward_map, (self.function(place),))
            for place in (0 * z, z)
        ]
        if self.adjoint is not None:
            kinds.append(
                (
                    "adjoint",
                    self.adjoint,
                    (self.function(0 * z), np.ones(self.data.shape)),
                )
            )
        for kind, function, arguments in kinds:
            self.tally.count("adjoints" if kind == "adjoint" else "solves")
            try:
                fresh = np.asarray(
                    function(*(argument.copy() for argument in arguments)), np.float64
                )
            except ServerUnreachable:
                raise
            except Exception:  # a solve that fails is not stored
                continue
            stored = cache.read(kind, *arguments)
            if stored is not None and not (
                stored.shape == fresh.shape and _agree(stored.astype(np.float64), fresh)
            ):
                raise ValueError(
                    f"cache {cache.file!r} holds solves of another solver: its {kind} returned other numbers than this "
                    "one for the same function; name another file."
                )
            cache.write(kind, fresh, *arguments)
        self.cache = cache

    def solve(self, z: Vector) -> Solve:
        """Return the misfit, infinite where the map raises or returns what is not finite."""
        try:
            with np.errstate(all="ignore"):
                residual = _real(self.predict(z)) - self.data
            if np.isfinite(residual).all():
                return Solve(
                    z,
                    float(np.sum(residual * self.noise.times_precision(residual)) / 2),
                    residual,
                )
            reason = "predictions that are not finite"
        except (_WrongShape, ServerUnreachable, SolveCacheError):
            raise
        except (
            Exception
        ) as error:  # whatever a solver raises where it does not converge
            reason = f"{type(error).__name__}: {error}"
        self.tally.count("failed", reason)
        return Solve(z, np.inf, None)

    def gradient(self, solve: Solve) -> Vector | None:
        """Return the gradient of the misfit at a solve, by the adjoint; None where that fails."""
        assert solve.residual is not None
        try:
            with np.errstate(all="ignore"):
                gradient = self.transposed(
                    solve.z, self.noise.times_precision(solve.residual)
                )
            if np.isfinite(gradient).all():
                return gradient
            reason = "a product with the adjoint that is not finite"
        except (_WrongShape, ServerUnreachable, SolveCacheError):
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        self.tally.count("failed", reason)
        return None

    def transposed(self, z: Vector, residual: np.ndarray) -> Vector:
        """Return Phi^T J^T residual; exceptions of the adjoint pass."""
        assert self.adjoint is not None
        self.tally.count("adjoints")
        product = _real(
            np.asarray(
                self._read_or_call(
                    "adjoint", self.adjoint, self.function(z), np.array(residual)
                )
            )
        )
        if product.shape != self.grid_shape:
            raise _WrongShape(
                f"adjoint returned shape {product.shape}, but the function has shape {self.grid_shape} on "
                "prior.basis.grid; return the transposed derivative times the residual there."
            )
        return self.synthesis @ product.reshape(-1)

    def directional(
        self, z: Vector, direction: Vector, at: np.ndarray, step: float | None = None
    ) -> np.ndarray:
        """Return the derivative of the predictions along a direction, by a difference from `at`, those at z."""
        step = self.difference if step is None else step
        length = float(np.linalg.norm(direction))
        moved = _real(self.predict(z + step / length * direction))
        return (moved - at) * (length / step)

    def check(self, rng: np.random.Generator, num_draws: int = 4) -> str | None:
        """Raise unless the map predicts these data; return a warning if it fails at some draws of the prior."""
        zero = np.zeros(self.num_modes)
        first = self.predict(zero)
        again = self.predict(zero)
        if not np.issubdtype(again.dtype, np.floating) and not np.issubdtype(
            again.dtype, np.integer
        ):
            raise TypeError(
                f"forward_map returned {again.dtype} numbers; return real ones."
            )
        self.is_single = again.dtype.itemsize < 8 and np.issubdtype(
            again.dtype, np.floating
        )
        again = again.astype(np.float64)
        if not np.isfinite(again).all():
            bad = np.argwhere(~np.isfinite(again))[0].tolist()
            raise ValueError(
                f"forward_map returned {again[tuple(bad)]} for datum {bad} at the mean of the prior; it must be finite "
                "there."
            )
        gap = float(np.abs(first - again).max())
        if not _agree(first, again):
            raise ValueError(
                f"forward_map is not deterministic: two calls at the mean of the prior differ by {gap:.2g}; fix its "
                "random numbers, and leave out what it remembers between calls."
            )
        failed = self.tally.failed
        places = rng.standard_normal((num_draws, self.num_modes))
        draws = [self.solve(place) for place in places]
        failed = self.tally.failed - failed
        reason = self.tally.first_failure
        if failed == num_draws:
            raise ValueError(
                f"forward_map failed at all of {num_draws} draws of the prior ({reason}); pass a map that is "
                "defined for functions of this prior, or a narrower prior."
            )
        if self.adjoint is not None:
            self._check_adjoint(
                next(draw.z for draw in draws if draw.residual is not None) / 2, rng
            )
        if self.parallel > 1:
            self._check_threads(
                [zero, *(draw.z for draw in draws if draw.residual is not None)]
            )
        if not failed:
            return None
        return (
            f"forward_map failed at {failed} of {num_draws} draws of the prior ({reason}); where it fails, the "
            "posterior is taken as zero."
        )

    def _check_threads(self, places: list[Vector], seconds: float = 0.2) -> None:
        """Raise where solves at once disturb each other, as they do where a solver works in memory of its own.

        For so long each thread repeats its solve, and they alternate between lines of Python: what differs seldom in a
        run differs here.
        """
        raw = [self._call(place) for place in places[:2]]
        are_separate = not np.shares_memory(np.asarray(raw[0]), np.asarray(raw[1]))
        alone = [self._with_gradient(self.solve(place)) for place in places]
        start = threading.Barrier(self.parallel)

        def repeat(thread: int) -> bool:
            expected = alone[thread % len(alone)]
            start.wait()
            end = time.perf_counter() + seconds
            same = True
            number = 0
            with alternating():
                while same and (number < 2 or time.perf_counter() < end):
                    results = self._with_gradient(self.solve(expected[0].z))
                    same = all(map(_agree, _numbers(results), _numbers(expected)))
                    number += 1
            return same

        if not (are_separate and all(self.each(repeat, range(self.parallel)))):
            raise ValueError(
                "forward_map or its adjoint is not safe to call from several threads: results of calls at once share "
                "memory or differ from those of single calls; let each call work in arrays of its own, put the solver "
                "behind a UM-Bridge server, or leave parallel out."
            )

    def _with_gradient(self, solve: Solve) -> tuple[Solve, Vector | None]:
        is_usable = self.adjoint is not None and solve.residual is not None
        return solve, self.gradient(solve) if is_usable else None

    def _check_adjoint(
        self, z: Vector, rng: np.random.Generator, largest: float = 0.02
    ) -> None:
        """Raise unless <J v, r> = <v, J^T r>, J v by differences, to `largest` of |J v| |r|."""
        solve = self.solve(z)
        if solve.residual is None:
            return
        at = solve.residual + self.data
        for _ in range(2):
            v = rng.standard_normal(self.num_modes)
            coarse, fine = (
                self.directional(z, v, at, factor * self.difference)
                for factor in (1, -0.5)
            )
            product = (coarse + 2 * fine) / 3  # of second order
            length = float(np.linalg.norm(product))
            if length == 0 or not np.isfinite(length):
                continue
            noise = rng.standard_normal(self.data.shape)
            r = product / length + 0.5 * noise / np.linalg.norm(noise)
            forward = float(np.sum(product * r))
            backward = float(v @ self.transposed(z, r))
            violation = abs(forward - backward) / (length * float(np.linalg.norm(r)))
            doubt = (
                float(np.linalg.norm(coarse - fine)) / length
            )  # of the difference quotients themselves
            if not violation <= largest + doubt:
                raise ValueError(
                    "adjoint fails the dot-product test: <J v, r> is "
                    f"{forward:.6g} by differences of forward_map and <v, adjoint(x, r)> is {backward:.6g}, off by "
                    f"{violation:.0%} of |J v| |r|; return the transposed derivative of forward_map at x times r."
                )


def _agree(numbers: np.ndarray, others: np.ndarray, rounding: float = 1e-6) -> bool:
    """True where they differ by the rounding of the largest of them."""
    largest = max(float(np.abs(others).max()), np.finfo(np.float64).tiny)
    return float(np.abs(numbers - others).max()) <= rounding * largest


def _numbers(results: tuple[Solve, Vector | None]) -> list[np.ndarray]:
    """Return residual and gradient, a number that none has where there is none."""
    (_, _, residual), gradient = results
    return [
        np.full(1, 1e300) if array is None else array for array in (residual, gradient)
    ]


def _real(numbers: np.ndarray) -> np.ndarray:
    """Return numbers in float64; raise for complex ones, of which NumPy would leave out a part."""
    if np.iscomplexobj(numbers):
        raise TypeError(f"{numbers.dtype} numbers; return real ones")
    return numbers.astype(np.float64)


class _WrongShape(ValueError):
    """A result of another shape: a mistake of the map wherever it is called, and not a solve that failed."""


class SolverMisfit(Problem):
    """`(1/m) misfit` of a solver as a problem of one component, called from compiled programs.

    The gradient needs an adjoint. A solve that fails has an infinite value and a gradient of 0.
    """

    solver: ForwardSolver
    scales: Float[Array, " modes"]
    """Of the prior: position = scales z."""
    precision: Float[Array, " modes"]

    @property
    def size(self) -> int:
        return 1

    @property
    def max_size(self) -> int:
        return 1

    def value(self, position: Float[Array, " modes"]) -> Scalar:
        def mean_misfit(z: np.ndarray) -> np.ndarray:
            return np.asarray(
                self.solver.solve(np.array(z, np.float64)).misfit
                / self.solver.data.size
            )

        return host.call(
            mean_misfit,
            jax.ShapeDtypeStruct((), position.dtype),
            position / self._scales(position),
        )

    def gradient(self, position: Float[Array, " modes"]) -> Float[Array, " modes"]:
        return self.value_and_gradient(position)[1]

    def value_and_gradient(
        self, position: Float[Array, " modes"]
    ) -> tuple[Scalar, Float[Array, " modes"]]:
        if self.solver.adjoint is None:
            raise ValueError(
                "forward_map has no gradient: pass adjoint=, write it in JAX, or sample with algorithm=langevax.PCN()."
            )

        def both(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            solve = self.solver.solve(np.array(z, np.float64))
            gradient = None if solve.residual is None else self.solver.gradient(solve)
            if gradient is None:
                return np.asarray(np.inf), np.zeros(len(z))
            return np.asarray(
                solve.misfit / self.solver.data.size
            ), gradient / self.solver.data.size

        like = (
            jax.ShapeDtypeStruct((), position.dtype),
            jax.ShapeDtypeStruct(position.shape, position.dtype),
        )
        value, gradient = host.call(both, like, position / self._scales(position))
        return value, gradient / self._scales(position)

    def gradient_at(
        self, position: Float[Array, " modes"], indices: Indices
    ) -> Float[Array, " modes"]:
        return self.gradient(position)

    def gradients_at(
        self, position: Float[Array, " modes"], indices: Indices
    ) -> Float[Array, "batch modes"]:
        gradient = self.gradient(position)
        return jnp.broadcast_to(gradient, (len(indices), *gradient.shape))

    def _scales(self, position: Float[Array, " modes"]) -> Float[Array, " modes"]:
        return self.scales.astype(position.dtype)
