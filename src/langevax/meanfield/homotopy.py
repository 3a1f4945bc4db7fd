"""The dual of the optimum, by lowering the temperature while the law of the particles is kept.

    u solves u = z - K W (l'(u) - g),      K = Cov_{p_g} h / (n T),      g <- g + t (l'(u) - g)

climbs D at one temperature, with the conjugate kept and log Z to second order around the cloud's law. With a = g / T
held while T falls, the law stays as it is, and only the sense of what is optimal changes: 15 to 25 laws lead from the
prior to the optimum of the last temperature. Errors of z are amplified by Cov h / (n T), which is why the dual that a
training of few particles leaves is far from it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax._typing import FloatScalar
from langevax.log_weights import (
    LEAST_EFFECTIVE,
    effective_share,
    log_mean_exp,
    normalised,
    systematic,
)
from langevax.meanfield.clouds import MOVES_PER_LAW, Clouds
from langevax.meanfield.gibbs_law import GibbsLaw, Tilt
from langevax.meanfield.walks import PilotCloud, TiltLine
from langevax.problems.losses import Loss
from langevax.problems.mean_field import MeanFieldRisk

COUNTED_DUALS = 5
"""The last rounds, whose mean is the dual."""
WIDE = 2**25
"""Features up to which products are in double precision."""
DIRECT = 1200
"""Outputs times rows, or particles, up to which the Newton matrix is factorised."""


@dataclass(frozen=True)
class ClimbSettings:
    """Numbers of a climb."""

    first_temperature: float = 0.05
    """Times the square of the neuron's bound."""
    first_cooling: float = 0.5
    coolings: tuple[float, float] = (0.3, 0.97)
    """Factor between temperatures, and the fastest and the slowest."""
    last_rounds: int = 7
    """At the last temperature."""
    most_rounds: int = 150
    """Of one climb."""
    whole: float = 0.6
    """Share of a Newton step that counts as whole."""
    patience: int = 3
    """Rounds of shorter steps after which the cloud is doubled."""
    largest_cloud: int = 2**15

    def next_cooling(self, cooling: float) -> float:
        """Return a factor within the limits."""
        return float(np.clip(cooling, *self.coolings))


CLIMB = ClimbSettings()
TOO_LARGE = (
    "outputs, or derivatives of the loss at them, are beyond the numbers of their "
    "dtype: a row that hardly any neuron explains has an output of almost 0, where the "
    "logarithmic score has no bound; scale the neuron so that outputs are about 1, and "
    "check rows that are far from all others."
)


@runtime_checkable
class RowRisk(Protocol):
    """A mean loss of outputs that are means over particles: all that the two ends of an interval ask for."""

    @property
    def loss(self) -> Loss:
        """Of one row."""
        ...

    @property
    def targets(self) -> Array:
        """One a row."""
        ...

    @property
    def inputs(self) -> Array:
        """Of the dtype in which outputs are computed."""
        ...

    @property
    def neuron(self) -> Any:
        """With the shape of an output, `output_shape`."""
        ...

    @property
    def size(self) -> Any:
        """Rows in use."""
        ...

    @property
    def max_size(self) -> int:
        """Rows."""
        ...

    def row_weights(self) -> Array:
        """Return the weight of each row."""
        ...

    def mean_over_rows(self, values: Array) -> Array:
        """Return the weighted mean."""
        ...


def hottest_temperature(risk: RowRisk) -> float:
    """Return that from which a climb begins, at which the outputs are nearly those of the prior."""
    return CLIMB.first_temperature * float(risk.neuron.bound) ** 2


@eqx.filter_jit
def mean_conjugate(risk: RowRisk, dual: Array) -> FloatScalar:
    """Return (1 / n) sum_i W_i l*(g_i)."""
    return risk.mean_over_rows(jax.vmap(risk.loss.conjugate)(dual, risk.targets))


@eqx.filter_jit
def mean_gap(risk: RowRisk, outputs: Array, dual: Array) -> FloatScalar:
    """Return (1 / n) sum_i W_i (l(z_i) + l*(g_i) - g_i z_i)."""
    return risk.mean_over_rows(
        jax.vmap(risk.loss.fenchel_young)(outputs, dual, risk.targets)
    )


@eqx.filter_jit
def project(risk: RowRisk, dual: Array) -> Array:
    """Return the nearest feasible dual."""
    return jax.vmap(risk.loss.project)(dual, risk.targets)


@eqx.filter_jit
def derivatives(
    loss: Loss, outputs: Any, targets: Any
) -> tuple[Array, Float[Array, "n outputs outputs"]]:
    """Return loss' and loss'' at the outputs of each row."""
    size = int(np.prod(outputs.shape[1:]))
    curvatures = jax.vmap(jax.jacfwd(loss.derivative))(outputs, targets)
    return jax.vmap(loss.derivative)(outputs, targets), curvatures.reshape(
        len(outputs), size, size
    )


@dataclass(frozen=True)
class Ascent:
    """The end of a homotopy."""

    dual: np.ndarray
    cloud: np.ndarray
    """Particles of its law."""
    path: list[Tilt]
    """Tilts of the laws passed, which are nearly optima of falling temperatures; the last is that of `dual`."""
    temperature: float
    """The last one reached."""
    reached: bool
    counted: tuple[np.ndarray, ...] = ()
    """The duals of which `dual` is the mean."""
    log_partition: float = np.nan
    """log Z of the last round's law by the weights on the way from the prior; NaN where the climb began elsewhere."""


class CovarianceRoot(NamedTuple):
    """B with K = B^T B, a row for each output of a particle: f_p R_p less its mean.

    With R_p^2 = s s^T + diag(c) / (n T), v_p = R_p^-1 s_p, the square root of I - v v^T / N is I - b v v^T.
    """

    features: np.ndarray
    """(N, n) f."""
    blocks: np.ndarray
    """(N, C, C) R."""
    v: np.ndarray
    """(N C,)."""
    b: float

    @classmethod
    def of(
        cls,
        features: np.ndarray,
        slopes: np.ndarray,
        curvatures: np.ndarray,
        scale: float,
    ) -> "CovarianceRoot":
        """Return the root of scale times the sum over particles."""
        count = slopes.shape[1]
        moments = slopes[:, :, None] * slopes[:, None, :] + curvatures[
            :, :, None
        ] * np.eye(count)
        values, vectors = np.linalg.eigh(moments.astype(np.float64))
        heights = np.sqrt(np.maximum(values, 0))[:, None, :]
        inverse = np.divide(
            vectors, heights, out=0 * vectors, where=values[:, None, :] > 1e-12
        )
        transposes = vectors.transpose(0, 2, 1)
        v = (inverse @ (transposes @ slopes[:, :, None])).reshape(-1)
        length = max(v @ v, np.finfo(float).tiny)
        b = (1 - np.sqrt(max(0, 1 - length / len(features)))) / length
        return cls(
            features, np.sqrt(scale) * (vectors * heights) @ transposes, v, float(b)
        )

    def __matmul__(self, x: np.ndarray) -> np.ndarray:
        """Return B x."""
        outputs = self.features @ self._narrow(x.reshape(-1, self.blocks.shape[1]))
        return self._centred((self.blocks @ outputs[:, :, None]).reshape(-1))

    def transposed(self, y: np.ndarray) -> np.ndarray:
        """Return B^T y."""
        by_particle = self._centred(y).reshape(len(self.blocks), -1, 1)
        slopes = (self.blocks @ by_particle)[:, :, 0]
        return (self.features.T @ self._narrow(slopes)).reshape(-1)

    def gram(self, weights: np.ndarray) -> np.ndarray:
        """Return B W B^T for blocks (n, C, C) of each row, none negative.

        In double precision: its eigenvalues reach far above the 1 that is added to them.
        """
        size, count = self.blocks.shape[:2]
        inner = np.empty((size, count, size, count))
        for a in range(count):
            half = self.features * np.sqrt(weights[:, a, a])
            inner[:, a, :, a] = half @ half.T
            for b in range(a):
                other = self.features * weights[:, a, b]
                inner[:, a, :, b] = inner[:, b, :, a] = other @ self.features.T

        def times(x: np.ndarray) -> np.ndarray:
            blocks = self.blocks @ x.reshape(size, count, -1)
            return self._centred(blocks.reshape(size * count, -1))

        return times(times(inner).T)

    def _centred(self, y: np.ndarray) -> np.ndarray:
        return y - np.multiply.outer(self.b * self.v, self.v @ y)

    def _narrow(self, x: np.ndarray) -> np.ndarray:
        return x.astype(self.features.dtype, copy=False)


class OutputCovariance:
    """K = Cov_{p_g} h / (n T) of the rows in use, as a product with vectors; rows vary slower than outputs.

    h is features times slopes, each of one column an output, plus what integrating the output weights out adds to the
    variance of each output.
    """

    def __init__(
        self,
        features: np.ndarray,
        slopes: np.ndarray,
        curvatures: np.ndarray,
        temperature: float,
    ):
        # K amplifies what is rounded: one more iteration for every three digits
        wide = features.size <= WIDE
        dtype = np.float64 if wide else features.dtype
        self.features, self.slopes, self.curvatures = (
            part.astype(dtype, copy=False) for part in (features, slopes, curvatures)
        )
        self.scale = 1 / (temperature * len(features))
        self.products = 0  # with vectors, so far
        mean = (self.features.T @ self.slopes).reshape(-1)
        self.mean: np.ndarray = mean.astype(np.float64) / len(features)

    def __matmul__(self, x: np.ndarray) -> np.ndarray:
        """Return K x for one vector, or for each column of x."""
        columns = self.slopes.shape[1]
        many = x.reshape(-1, columns * (x.size // len(self.mean))).astype(
            self.features.dtype
        )
        self.products += x.size // len(self.mean)
        products = (self.features @ many).reshape(len(self.features), columns, -1)
        slopes = self.slopes[:, :, None]
        curvatures = self.curvatures[:, :, None]
        inner = (
            slopes * (slopes * products).sum(1, keepdims=True) + curvatures * products
        )
        total = (
            (self.features.T @ inner.reshape(len(self.features), -1))
            .reshape(x.shape)
            .astype(np.float64)
        )
        centre = np.multiply.outer(self.mean, self.mean @ x) * len(self.features)
        return self.scale * (total - centre)

    def response(self, push: np.ndarray) -> np.ndarray:
        """Return (particles, columns) slopes after the dual has changed by W (l'(u) - g) / n, the `push`.

        With p = features push they go from s to s - (s (s . p - E s . p) + c p) / T: to first order what the law at the
        new dual has. The network of these neurons has the outputs u at the rows in use, and the law's elsewhere,
        without the noise of a mean over few particles.
        """
        products = self.features @ push.reshape(-1, self.slopes.shape[1])
        along = np.sum(self.slopes * products, axis=1, keepdims=True)
        inner = self.slopes * (along - along.mean()) + self.curvatures * products
        return self.slopes - self.scale * len(self.features) * inner

    @cached_property
    def root(self) -> CovarianceRoot:
        """The root of K, for few particles."""
        self.products += len(self.slopes) * self.slopes.shape[1]
        return CovarianceRoot.of(
            self.features, self.slopes, self.curvatures, self.scale
        )

    @cached_property
    def matrix(self) -> np.ndarray:
        """All of it, for few rows."""
        self.products += len(self.mean) // 2  # in operations
        columns = self.slopes.shape[1]
        size = len(self.mean)
        means = (self.features[:, :, None] * self.slopes[:, None, :]).reshape(
            len(self.features), -1
        )
        means -= self.mean.astype(means.dtype)
        matrix = (means.T @ means).astype(np.float64).reshape(size, size)
        for c in range(columns):
            spread = self.features * np.sqrt(self.curvatures[:, c : c + 1])
            matrix[c::columns, c::columns] += spread.T @ spread
        return self.scale * matrix


class Newton:
    """The best dual around a cloud, by the second-order model of D."""

    def __init__(
        self,
        risk: MeanFieldRisk,
        law: GibbsLaw,
        generator: np.random.Generator,
    ):
        self.risk = risk
        self.law = law
        self.generator = generator
        self.products = 0  # of covariances with vectors, so far
        targets = np.asarray(risk.targets)
        is_number = np.issubdtype(targets.dtype, np.floating)
        self.targets = targets.astype(np.float64) if is_number else targets
        self.used = np.flatnonzero(np.asarray(risk.row_weights()) > 0)
        self.num_outputs = int(np.prod(risk.neuron.output_shape))
        self.shares = np.repeat(
            np.asarray(law.row_shares, np.float64)[self.used], self.num_outputs
        )

    def target(
        self,
        dual: np.ndarray,
        cloud_features: np.ndarray,
        tilt: Tilt,
        temperature: float,
    ) -> tuple[Float[np.ndarray, "n ..."], Float[np.ndarray, "particles columns"]]:
        """Return l'(u), the best dual of the model around the cloud with these features, and the neurons' slopes there."""
        covariance = self._covariance(cloud_features, np.asarray(tilt), temperature)
        flat = dual[self.used].reshape(-1).astype(np.float64)
        best = np.array(dual, np.float64)
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # steps that are not finite are not taken
            slopes = self._fixed_point(flat, covariance)
            best[self.used] = slopes.reshape(best[self.used].shape)
            response = covariance.response(self.shares * (slopes - flat))
        self.products += covariance.products
        return best, response

    def _covariance(
        self,
        features: np.ndarray,
        tilt: np.ndarray,
        temperature: float,
    ) -> "OutputCovariance":
        count = self.num_outputs
        if self.law.output_weight is None:
            by_row = features.reshape(len(features), -1, count)[:, self.used].reshape(
                len(features), -1
            )
            ones = np.ones((len(features), 1), features.dtype)
            return OutputCovariance(by_row, ones, 0 * ones, temperature)
        slopes, curvatures = self.law.factors(features @ tilt)
        return OutputCovariance(features[:, self.used], slopes, curvatures, temperature)

    def _fixed_point(
        self,
        dual: np.ndarray,
        covariance: "OutputCovariance",
        iterations: int = 12,
        tolerance: float = 1e-3,
        smallest: float = 2**-8,
    ) -> np.ndarray:
        """Return l'(u) of the u with u = z - K W (l'(u) - g), by Newton steps from u = z, halved down to `smallest`."""

        def residual(u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
            slopes, curvatures = self.derivatives(u)
            product = covariance @ (self.shares * (slopes - dual))
            rounding = 1e-5 * float(np.abs(product).max())  # of single precision
            return u - covariance.mean + product, slopes, curvatures, rounding

        u = covariance.mean
        error, slopes, curvatures, rounding = residual(covariance.mean)
        inverse = None
        for _ in range(iterations):
            size = np.linalg.norm(error)
            if np.abs(error).max() < max(tolerance, rounding):
                break
            if inverse is None:
                inverse = self._inverse(covariance, curvatures, error)
            step = inverse(error)
            share = 1.0
            trial = residual(u - step)
            while share > smallest and not np.linalg.norm(trial[0]) < size:
                share /= 2  # nor is it a number
                trial = residual(u - share * step)
            u = u - share * step
            error, slopes, curvatures, rounding = trial
            if share < 1 or np.linalg.norm(error) > 0.3 * size:
                inverse = None  # that of these curvatures will not do for others
        return slopes

    def _inverse(
        self,
        covariance: "OutputCovariance",
        curvatures: np.ndarray,
        error: np.ndarray,
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return the product with (I + K W S)^-1 for the losses' curvatures S, one block a row."""
        from scipy.linalg import cho_factor, cho_solve

        size = len(self.shares)
        count = self.num_outputs
        if not np.isfinite(error).all():
            raise ValueError(TOO_LARGE)
        # K and W S are symmetric: with L L^T = W S, (I + L^T K L) y = L^T error
        values, vectors = np.linalg.eigh(curvatures)
        weighed = np.maximum(values, 0) * self.shares.reshape(-1, count)[:, :1]
        root = vectors * np.sqrt(weighed)[:, None, :]

        def times(x: np.ndarray) -> np.ndarray:
            return (root @ x.reshape(len(root), count, -1)).reshape(x.shape)

        def transposed(x: np.ndarray) -> np.ndarray:
            blocks = x.reshape(len(root), count, -1)
            return (root.transpose(0, 2, 1) @ blocks).reshape(x.shape)

        solve: Callable[[np.ndarray], np.ndarray]
        of_particles = covariance.slopes.size
        if of_particles < min(size, DIRECT):
            half = covariance.root
            inner = half.gram(root @ root.transpose(0, 2, 1))
            factor = cho_factor(inner + np.eye(of_particles))
            solve = lambda x: (
                x - transposed(half.transposed(cho_solve(factor, half @ times(x))))
            )
        elif size <= DIRECT:
            inner = transposed(transposed(covariance.matrix).T)
            if not np.isfinite(inner).all():
                raise ValueError(TOO_LARGE)
            factor = cho_factor(inner + np.eye(size), overwrite_a=True)
            solve = lambda x: cho_solve(factor, x)
        else:
            solve = lambda x: _conjugate_gradients(
                lambda y: transposed(covariance @ times(y)), x, self.generator
            )
        return lambda x: x - covariance @ times(solve(transposed(x)))

    def derivatives(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return loss' (flat) and loss'' (rows, C, C) at the outputs of the rows in use."""
        shape = self.risk.neuron.output_shape
        whole = np.zeros((self.risk.max_size, *shape))
        whole[self.used] = outputs.reshape(-1, *shape)
        with jax.enable_x64():
            slopes, curvatures = derivatives(self.risk.loss, whole, self.targets)
        largest = float(
            np.finfo(self.risk.inputs.dtype).max
        )  # a loss without bound of its curvature overflows next to its domain
        slopes, curvatures = (
            np.clip(np.asarray(part, np.float64)[self.used], -largest, largest)
            for part in (slopes, curvatures)
        )
        return slopes.reshape(-1), curvatures


def _conjugate_gradients(
    product: Callable[[np.ndarray], np.ndarray],
    right: np.ndarray,
    generator: np.random.Generator,
    sketch_size: int = 200,
    most_products: int = 100,
    residual: float = 1e-5,
) -> np.ndarray:
    """Return (I + B)^-1 right, preconditioned by a Nystrom sketch of B (Frangella, Tropp, Udell, SIMAX 2023).

    A few hundred of the thousands of eigenvalues of B are above 1, and reach 1e4: without them some twenty products
    with B do. K amplifies what is left of the `residual`.
    """
    from scipy.linalg import cho_factor, solve_triangular
    from scipy.sparse.linalg import LinearOperator, cg

    size = len(right)
    test = generator.normal(size=(size, min(sketch_size, size // 4))) / np.sqrt(
        size
    )  # nearly orthonormal
    sketch = product(test)
    shift = 1e-7 * np.linalg.norm(sketch)  # the products are in single precision
    sketch = sketch + shift * test
    gram = test.T @ sketch
    factor = cho_factor((gram + gram.T) / 2 + shift * np.eye(len(gram)), lower=False)
    whole = solve_triangular(factor[0], sketch.T, trans=1).T
    squares, vectors = np.linalg.eigh(
        whole.T @ whole
    )  # a third of the time of a singular value decomposition
    squares = squares[::-1]
    vectors = vectors[:, ::-1]
    left = whole @ (vectors / np.sqrt(np.maximum(squares, shift)))
    values = np.maximum(squares - shift, 0)

    def preconditioned(x: np.ndarray) -> np.ndarray:
        along = left.T @ x
        return x + left @ (((1 + values[-1]) / (1 + values) - 1) * along)

    shape = size, size
    operator = LinearOperator(shape, lambda x: x + product(x), dtype=np.float64)  # pyright: ignore[reportCallIssue]
    inverse = LinearOperator(shape, preconditioned, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    return cg(operator, right, rtol=residual, maxiter=most_products, M=inverse)[0]


@eqx.filter_jit
def _feasible(
    risk: RowRisk, law: Any, dual: Any, temperature: Any
) -> tuple[Array, Tilt]:
    """Return the nearest feasible dual, and its tilt."""
    nearest = jax.vmap(risk.loss.project)(dual, risk.targets)
    return nearest, law.tilt(nearest, temperature)


@dataclass
class _Line:
    """Duals on a line, and the weights that they give to a cloud."""

    clouds: Clouds
    risk: MeanFieldRisk
    weights: TiltLine
    dual: np.ndarray
    direction: np.ndarray
    temperature: float

    def at(self, step: float) -> tuple[np.ndarray, Tilt, np.ndarray]:
        """Return the dual at `step`, its tilt, and the log weights."""
        dual = (self.dual + step * self.direction).astype(self.clouds.dtype)
        feasible, tilt = _feasible(
            self.risk, self.clouds.law, dual, np.asarray(self.temperature, dual.dtype)
        )
        return np.asarray(feasible, np.float64), tilt, self.weights.to(tilt)

    def longest(self) -> float:
        """Return the longest step that leaves half of the particles effective, or 0."""
        for step in 1.6 ** -np.arange(14.0):
            if effective_share(self.at(step)[2]) >= LEAST_EFFECTIVE:
                return step
        return 0.0


class Neurons(NamedTuple):
    """A network of a cloud's neurons, each with the mean of what was integrated out."""

    cloud: np.ndarray
    slopes: np.ndarray
    """(particles, columns): R times the mean factor of the output weights."""
    features: np.ndarray
    """(particles, rows)."""
    temperature: float
    """At whose optimum it is."""

    def outputs(self) -> np.ndarray:
        """Return (rows, columns)."""
        return self.features.T @ self.slopes / len(self.cloud)

    def positions(self, law: GibbsLaw) -> np.ndarray:
        """Return (particles, columns + coordinates): slopes, and what else a particle has, of the prior's deviations."""
        inner = self.cloud * np.asarray(law.deviations)
        return np.concatenate([self.slopes, inner], axis=1).astype(law.dtype)


class Rung(NamedTuple):
    """A climb between two steps."""

    pilot: PilotCloud
    ratio: np.ndarray
    """a = g / T."""
    tilt: Tilt
    temperature: float
    log_partition: float
    path: tuple[Tilt, ...] = ()
    cooling: float = CLIMB.first_cooling
    last: tuple[np.ndarray, ...] = ()
    """The duals of the last temperature."""
    short: int = 0
    """Rounds of steps that were not whole, since the last whole one or since the cloud grew."""
    step: float = 1.0
    """Share of Newton's step that was taken; 0 where none could be."""
    effective: float = 1.0
    """Share of the particles that its weights left effective."""
    neurons: Neurons | None = None
    """Before that step, with the slopes to which a whole one leads."""

    @property
    def dual(self) -> np.ndarray:
        """g of the ratio, at this temperature."""
        return self.ratio * self.temperature


@dataclass(frozen=True)
class Climb:
    """The two steps of a climb to one temperature: Newton's to the next law, and moves under it."""

    clouds: Clouds
    risk: MeanFieldRisk
    temperature: float
    newton: Newton
    moves: int = MOVES_PER_LAW
    settings: ClimbSettings = CLIMB

    def first(self, size: int) -> Rung:
        """Return the prior."""
        law = self.clouds.law
        hottest = hottest_temperature(self.risk)
        ratio = np.zeros((self.risk.max_size, *self.risk.neuron.output_shape))
        tilt = law.tilt(jnp.asarray(ratio, self.clouds.dtype), 1.0)
        pilot = PilotCloud.of(self.clouds.prior(size))
        start = max(self.temperature, hottest)
        return Rung(pilot, ratio, tilt, start, 0.0)

    def again(self, first: Rung, start: Ascent) -> Rung:
        """Return the end of an ascent, with at least as many particles as the first cloud has."""
        size = len(first.pilot.cloud)
        pilot = PilotCloud.of(start.cloud)
        if len(start.cloud) < size:
            even = np.zeros(len(start.cloud))
            offset = self.newton.generator.uniform()
            pilot = pilot.resampled(systematic(even, offset, size))
        path = tuple(start.path[:-1] if start.reached else start.path)
        ratio = start.dual / np.float64(start.temperature)
        return Rung(pilot, ratio, start.path[-1], start.temperature, np.nan, path)

    def reweighed(self, rung: Rung) -> Rung:
        """Take Newton's step as far as weights allow, and resample."""
        clouds = self.clouds
        cloud = rung.pilot.cloud
        features = clouds.features(cloud)
        dual = rung.dual
        before = self.newton.products
        target, slopes = self.newton.target(dual, features, rung.tilt, rung.temperature)
        # a product takes 4 C operations a feature, a gradient about 6 a coordinate and the tanh
        products = (self.newton.products - before) * self.newton.num_outputs
        clouds.spend(products * len(cloud) / (1.5 * clouds.law.size + 8))
        line = _Line(
            clouds,
            self.risk,
            TiltLine(clouds.law, features, np.asarray(rung.tilt)),
            dual,
            target - dual,
            rung.temperature,
        )
        step = line.longest()
        if step == 0:
            return rung._replace(step=0.0)
        feasible, tilt, log_weights = line.at(step)
        weights = normalised(log_weights)
        short = 0 if step >= self.settings.whole else rung.short + 1
        length = len(cloud)
        # noise of z takes directions that the losses do not ask for: about its rank over the number of particles
        settings = self.settings
        if short == settings.patience and length < settings.largest_cloud:
            length = 2 * length
            short = 0
        parents = systematic(log_weights, self.newton.generator.uniform(), length)
        return rung._replace(
            pilot=rung.pilot.measured(weights).resampled(parents),
            ratio=feasible / rung.temperature,
            tilt=tilt,
            log_partition=rung.log_partition + float(log_mean_exp(log_weights)),
            path=(*rung.path, tilt),
            short=short,
            step=step,
            effective=effective_share(log_weights),
            neurons=Neurons(cloud, slopes, features, rung.temperature),
        )

    def moved(self, rung: Rung) -> Rung:
        """Move the cloud under its law, then change the temperature."""
        target = self.clouds.target(rung.tilt)
        pilot, _ = rung.pilot.moved(self.clouds, target, self.moves)
        return self.cooled(rung._replace(pilot=pilot))

    def cooled(self, rung: Rung) -> Rung:
        """Lower the temperature after a whole step, as fast as weights allow; more slowly after a short one."""
        next_cooling = self.settings.next_cooling
        last = rung.temperature == self.temperature
        if rung.step < self.settings.whole:
            slower = next_cooling(1.1 * rung.cooling)
            return rung if last else rung._replace(cooling=slower)
        if last:
            return rung._replace(last=(*rung.last, rung.dual))
        factor = 0.9 if rung.effective > 0.8 else 1.0 if rung.effective > 0.65 else 1.1
        cooling = next_cooling(factor * rung.cooling)
        lower = max(self.temperature, cooling * rung.temperature)
        return rung._replace(cooling=cooling, temperature=lower)

    def rungs(self, rung: Rung, count: int) -> Iterator[Rung]:
        """Yield rungs, before their moves and after, until `count` whole steps were made at the temperature.

        Or until no step can be made, or rounds are too many.
        """
        for _ in range(self.settings.most_rounds):
            if len(rung.last) >= count:
                break
            rung = self.reweighed(rung)
            yield rung
            if rung.step == 0:
                break
            rung = self.moved(rung)
            yield rung

    def ascent(self, rung: Rung, earlier: tuple[np.ndarray, ...]) -> Ascent:
        """Return the end: the mean of the last duals, with `earlier` ones of the same temperature."""
        law = self.clouds.law
        reached = len(rung.last) == self.settings.last_rounds
        counted = (*earlier, *rung.last[-COUNTED_DUALS:])
        # the last law passed has a dual at every temperature: only its objective is another one
        mean = np.mean(counted, axis=0) if counted else rung.ratio * self.temperature
        dual = np.asarray(project(self.risk, jnp.asarray(mean, self.clouds.dtype)))
        path = [*rung.path, law.tilt(jnp.asarray(dual), self.temperature)]
        return Ascent(
            dual,
            rung.pilot.cloud,
            path,
            rung.temperature,
            reached,
            counted,
            rung.log_partition,
        )


def climb(
    clouds: Clouds,
    risk: MeanFieldRisk,
    temperature: float,
    size: int,
    *,
    start: Ascent | None = None,
    moves: int = MOVES_PER_LAW,
    progress: Callable[[str], None] = lambda _: None,
) -> Ascent:
    """Return the dual at `temperature`, reached from the prior with a cloud of `size` particles, or from `start`.

    `moves` are those that the cloud makes under each law.
    """
    law = clouds.law
    assert isinstance(law, GibbsLaw)
    newton = Newton(risk, law, clouds.generator())
    steps = Climb(clouds, risk, temperature, newton, moves)
    first = steps.first(size)
    rung = first = first if start is None else steps.again(first, start)
    for rung in steps.rungs(first, CLIMB.last_rounds):
        at = f"{rung.temperature:.2g}, {len(rung.pilot.cloud):,}"
        progress(f"dual at temperature {at} neurons")
    return steps.ascent(rung, () if start is None else start.counted)
