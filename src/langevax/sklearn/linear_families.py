"""Generalised linear models of one row: their likelihoods, weak priors, means and draws.

A position is a dict: "slopes" (d,) of standardised columns, "level" at the mean of the columns, and what else a family
has. Likelihoods are exact in single precision: with r = log mean - log y, a Poisson count has

    log p  =  y (r - (e^r - 1)) + y log y - y - log y!,

whose terms are small where the model is near; the last three are of the row alone, and computed in double precision. A
negative binomial count with shape s has -(y+s) log(1 + y (e^r - 1) / (y+s)) instead of -y (e^r - 1), and the difference
of two gamma functions by Stirling's series, so that s = infinity is the Poisson law and not a loss of all digits.

Methods with a cloud take arrays (particle, ...) and NumPy, and return (particle, n).
"""

import functools
import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import bernoulli, expit, gammaln

Position = Mapping[str, Any]
Row = Mapping[str, Any]
Rows = dict[str, np.ndarray]

LARGEST_ETA = 40.0
"""Logarithm beyond which no mean of a row is likely."""
LARGEST_LOG_SPREAD = 13.0
"""A shape of 1e-11 to 1e11."""


@dataclass(frozen=True)
class Family(ABC):
    """A likelihood of one row, with slopes that are N(0, prior_scale^2) a priori, and a level that is, too."""

    prior_scale: float

    def start(self, num_columns: int) -> dict[str, jax.Array]:
        """Return a position from which to search for the mode."""
        return {"level": jnp.zeros(()), "slopes": jnp.zeros(num_columns)}

    def log_prior(self, position: Position) -> jax.Array:
        """Return its logarithm, up to a constant."""
        squares = position["level"] ** 2 + jnp.sum(position["slopes"] ** 2)
        return -squares / (2 * self.prior_scale**2)

    @abstractmethod
    def log_likelihood(self, position: Position, row: Row) -> jax.Array:
        """Return that of one row of `rows` and its columns "x"."""

    @abstractmethod
    def units(
        self,
        y: np.ndarray,
        offsets: float | np.ndarray = 0.0,
        weights: np.ndarray | None = None,
    ) -> tuple[float, float]:
        """Return the centre of the level and the scale of the targets."""

    @abstractmethod
    def rows(self, y: np.ndarray, centre: float | np.ndarray, scale: float) -> Rows:
        """Return what the likelihood needs of the targets, in single precision.

        `centre` is that of the units with each row's offset added.
        """


class NumberFamily(Family):
    """A family of numbers, which have means."""

    @abstractmethod
    def means(self, cloud: Position, eta: np.ndarray) -> np.ndarray:
        """Return the mean of a row for each particle, in units of the scale and about the centre."""

    @abstractmethod
    def draws(
        self, cloud: Position, means: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return a draw of a row for each particle and its mean; of counts with means as such, not about the centre."""


class NormalNoise(NumberFamily):
    """Normal noise; its deviation, in units of that of the targets, is exponential of mean 1 a priori."""

    def start(self, num_columns: int) -> dict[str, jax.Array]:
        return super().start(num_columns) | {"log_noise": jnp.zeros(())}

    def log_prior(self, position: Position) -> jax.Array:
        return (
            super().log_prior(position)
            - jnp.exp(position["log_noise"])
            + position["log_noise"]
        )

    def log_likelihood(self, position: Position, row: Row) -> jax.Array:
        distance = (
            row["y"] - position["level"] - row["x"] @ position["slopes"]
        ) * jnp.exp(-position["log_noise"])
        return (
            -(distance**2) / 2
            - position["log_noise"]
            - np.float32(np.log(2 * np.pi) / 2)
        )

    def units(
        self,
        y: np.ndarray,
        offsets: float | np.ndarray = 0.0,
        weights: np.ndarray | None = None,
    ) -> tuple[float, float]:
        rest = y - offsets
        if not np.ptp(rest) > 0:
            less = "" if np.ptp(offsets) == 0 else " less its offset"
            raise ValueError(
                f"y{less} is {rest[0]:g} in all rows, which tells no noise; pass targets that vary."
            )
        mean = float(np.average(rest, weights=weights))
        return mean, float(np.sqrt(np.average((rest - mean) ** 2, weights=weights)))

    def check_noise(self, x: np.ndarray, y: np.ndarray) -> None:
        """Raise where targets are a function of the columns, and their density has no bound."""
        columns = np.column_stack([np.ones(len(x)), x]).astype(np.float64)
        deviation = float(np.std(y))
        rest = y - columns @ np.linalg.lstsq(columns, y)[0]
        if np.std(rest) < 1e-5 * deviation:  # single precision still resolves it
            raise ValueError(
                f"y is a linear function of the {x.shape[1]} columns of X on these {len(y)} rows, but for "
                f"{np.std(rest) / deviation:.1g} of its deviation: there is no noise to learn; pass more rows than "
                "columns, or use sklearn.linear_model.RidgeCV."
            )

    def rows(self, y: np.ndarray, centre: float | np.ndarray, scale: float) -> Rows:
        return {"y": ((y - centre) / scale).astype(np.float32)}

    def means(self, cloud: Position, eta: np.ndarray) -> np.ndarray:
        return eta

    def draws(
        self, cloud: Position, means: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        return means + np.exp(cloud["log_noise"])[:, None] * rng.normal(
            size=means.shape
        )


class Poisson(NumberFamily):
    """Counts; the level is about the logarithm of their mean."""

    def log_likelihood(self, position: Position, row: Row) -> jax.Array:
        eta, r = _eta_and_ratio(position, row)
        positive = row["y"] * (r - jnp.expm1(r)) + row["constant"]
        return jnp.where(row["y"] > 0, positive, -row["base"] * jnp.exp(eta))

    def units(
        self,
        y: np.ndarray,
        offsets: float | np.ndarray = 0.0,
        weights: np.ndarray | None = None,
    ) -> tuple[float, float]:
        if not y.any():
            raise ValueError(
                "y is 0 in all rows, which tells no rate; pass rows with other counts, too."
            )
        largest = float(np.max(offsets))
        offsets = np.broadcast_to(offsets, y.shape)
        exposure = (
            np.log(np.average(np.exp(offsets - largest), weights=weights)) + largest
        )
        return float(np.log(np.average(y, weights=weights)) - exposure), 1.0

    def rows(self, y: np.ndarray, centre: float | np.ndarray, scale: float) -> Rows:
        logs = np.log(np.maximum(y, 1))
        columns = {
            "y": y,
            "base": np.broadcast_to(np.exp(centre), y.shape),
            "log_y": logs - centre,
            "constant": y * logs - y - gammaln(y + 1),
        }
        return {name: column.astype(np.float32) for name, column in columns.items()}

    def means(self, cloud: Position, eta: np.ndarray) -> np.ndarray:
        return np.exp(np.minimum(eta, LARGEST_ETA))

    def draws(
        self, cloud: Position, means: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        return rng.poisson(np.minimum(means, 1e18)).astype(np.float64)


class NegativeBinomial(Poisson):
    """Counts whose variance is mean + spread^2 mean^2; the spread is exponential of mean 1 a priori."""

    def start(self, num_columns: int) -> dict[str, jax.Array]:
        return super().start(num_columns) | {"log_spread": jnp.zeros(())}

    def log_prior(self, position: Position) -> jax.Array:
        return (
            super().log_prior(position)
            - jnp.exp(position["log_spread"])
            + position["log_spread"]
        )

    def log_likelihood(self, position: Position, row: Row) -> jax.Array:
        r = _eta_and_ratio(position, row)[1]
        y = row["y"]
        shape = jnp.exp(
            -2
            * jnp.clip(position["log_spread"], -LARGEST_LOG_SPREAD, LARGEST_LOG_SPREAD)
        )
        is_few, total = (
            shape >= y,
            y + shape,
        )  # two forms, each where it loses no digits
        least, signed = (
            jnp.where(is_few, y, shape),
            jnp.where(is_few, r, -r),
        )  # minimum halves slopes of equal ones
        excess = jnp.expm1(signed)
        ratio = jnp.where(
            y > 0, least * excess / total, (excess + 1) / shape
        )  # a count of 0 has r = log mean
        gammas = _beyond_stirling(jnp.maximum(y, 1) + shape) - _beyond_stirling(shape)
        of_counts = row["constant"] - jnp.log1p(y / shape) / 2 + gammas
        return (
            least * signed - total * jnp.log1p(ratio) + jnp.where(y > 0, of_counts, 0)
        )

    def draws(
        self, cloud: Position, means: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        spread = np.exp(
            np.clip(cloud["log_spread"], -LARGEST_LOG_SPREAD, LARGEST_LOG_SPREAD)
        )[:, None]
        return super().draws(
            cloud, means * rng.gamma(spread**-2, spread**2, size=means.shape), rng
        )


def _eta_and_ratio(
    position: Position, row: Row, furthest: float = 60.0
) -> tuple[jax.Array, jax.Array]:
    """Return log mean less its centre, and log mean less log y."""
    eta = jnp.minimum(position["level"] + row["x"] @ position["slopes"], LARGEST_ETA)
    return eta, jnp.clip(eta - row["log_y"], -furthest, furthest)


def _stirling(x: jax.Array) -> tuple[int, list[float]]:
    """Return steps of the recurrence after which so many terms of Stirling's series have all digits of `x`.

    The coefficients are B_k / (k (k - 1)) for k = 2, 4, ..., with Bernoulli's numbers.
    """
    steps, terms = (10, 8) if x.dtype == jnp.float64 else (4, 3)
    numbers = bernoulli(2 * terms)
    return steps, [float(numbers[k] / (k * (k - 1))) for k in range(2, len(numbers), 2)]


@jax.custom_jvp
def _beyond_stirling(x: jax.Array) -> jax.Array:
    """Return log gamma(x) less (x - 1/2) log x - x + log(2 pi) / 2, which tends to 0, for any x > 0.

    By the recurrence of the gamma function N times and Stirling's series there, with t = 1 / (x + N),

        (x + 1/2) log(1 + N/x) - N - log[(1 - t) (1 - 2t) ... (1 - (N-1) t)]  +  c_1 t + c_2 t^3 + ...

    The derivative is that of the formula: XLA's `lgamma` and `digamma` take several times as long.
    """
    steps, coefficients = _stirling(x)
    t = 1 / (x + steps)
    factors = functools.reduce(operator.mul, (1 - j * t for j in range(1, steps)))
    return (
        (x + 0.5) * jnp.log1p(steps / x)
        - steps
        - jnp.log(factors)
        + t * _polynomial(coefficients, t * t)
    )


@_beyond_stirling.defjvp
def _(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,) = primals
    (tangent,) = tangents
    steps, coefficients = _stirling(x)
    t = 1 / (x + steps)
    factors = jnp.ones_like(x)
    slope = jnp.zeros_like(x)
    for j in range(1, steps):
        factors, slope = factors * (1 - j * t), slope * (1 - j * t) - j * factors
    of_series = _polynomial(
        [(2 * k + 1) * one for k, one in enumerate(coefficients)], t * t
    )
    derivative = (
        jnp.log1p(steps / x)
        - (x + 0.5) * steps * t / x
        + t * t * (slope / factors - of_series)
    )
    return _beyond_stirling(x), derivative * tangent


def _polynomial(coefficients: Sequence[float], x: jax.Array) -> jax.Array:
    total = jnp.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = coefficient + x * total
    return total


@dataclass(frozen=True)
class Ordinal(Family):
    """Classes in order: log odds of at most class k are cut_k - x . slopes; two of them are logistic regression.

    A priori the shares of the classes at the mean of the columns are uniform on all that sum to 1.
    """

    num_classes: int = 2

    def start(self, num_columns: int) -> dict[str, jax.Array]:
        gaps = (
            {"log_gaps": jnp.zeros(self.num_classes - 2)}
            if self.num_classes > 2
            else {}
        )
        return super().start(num_columns) | gaps

    def log_prior(self, position: Position) -> jax.Array:
        cuts = _cuts(position, jnp)
        of_cuts = jnp.sum(jax.nn.log_sigmoid(cuts) + jax.nn.log_sigmoid(-cuts))
        if self.num_classes > 2:
            of_cuts += jnp.sum(position["log_gaps"])
        return of_cuts - jnp.sum(position["slopes"] ** 2) / (2 * self.prior_scale**2)

    def log_likelihood(self, position: Position, row: Row) -> jax.Array:
        eta = row["x"] @ position["slopes"] + row["offset"]
        cuts = _cuts(position, jnp)
        label = row["y"]
        last = self.num_classes - 1
        above = jax.nn.log_sigmoid(eta - cuts[jnp.maximum(label - 1, 0)])
        below = jax.nn.log_sigmoid(cuts[jnp.minimum(label, last - 1)] - eta)
        value = jnp.where(label > 0, above, 0) + jnp.where(label < last, below, 0)
        if last == 1:
            return value
        gap = jnp.exp(position["log_gaps"][jnp.clip(label - 1, 0, last - 2)])
        return value + jnp.where(
            (label > 0) & (label < last), jnp.log(-jnp.expm1(-gap)), 0
        )

    def units(
        self,
        y: np.ndarray,
        offsets: float | np.ndarray = 0.0,
        weights: np.ndarray | None = None,
    ) -> tuple[float, float]:
        return -float(
            np.average(np.broadcast_to(offsets, y.shape), weights=weights)
        ), 1.0

    def rows(self, y: np.ndarray, centre: float | np.ndarray, scale: float) -> Rows:
        return {
            "y": y.astype(np.int32),
            "offset": np.broadcast_to(centre, y.shape).astype(np.float32),
        }

    def probabilities(self, cloud: Position, eta: np.ndarray) -> np.ndarray:
        """Return those of the classes, (particle, n, class); `eta` with the centre and the offset of the row."""
        below = expit(
            _cuts(cloud, np)[:, None] - (eta - cloud["level"][:, None])[..., None]
        )
        return np.diff(below, axis=-1, prepend=0.0, append=1.0)


def _cuts(position: Position, numpy: Any) -> Any:
    """Return the log odds of at most each class but the last, where columns are at their means."""
    first = position["level"][..., None]
    if "log_gaps" not in position:
        return first
    return numpy.concatenate(
        [first, first + numpy.cumsum(numpy.exp(position["log_gaps"]), axis=-1)], axis=-1
    )


@functools.cache
def family_of(kind: type[Family], *arguments: Any) -> Family:
    """Return a family, the same one for the same arguments, so that programs are compiled once."""
    return kind(*arguments)
