"""Generalised linear models of one row: their likelihoods, weak priors, means and draws.

A position is a dict: "slopes" (d,) of standardised columns, "intercept" at the mean of the columns, and what else a
family has. Likelihoods are exact in single precision: with r = log mean - log y, a Poisson count has

    log p  =  y (r - (e^r - 1)) + y log y - y - log y!,

whose terms are small where the model is near; the last three are of the row alone, and computed in double precision. A
negative binomial count with shape s has -(y+s) log(1 + y (e^r - 1) / (y+s)) instead of -y (e^r - 1), and the difference
of two gamma functions by Stirling's series, so that s = infinity is the Poisson law and not a loss of all digits.

Methods with a cloud take arrays (particle, ...) and NumPy, and return (particle, n).
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit, gammaln

from langevax.problems.losses.special import beyond_stirling

Position = Mapping[str, Any]
Row = Mapping[str, Any]
Rows = dict[str, np.ndarray]

LARGEST_ETA = 40.0
"""Logarithm beyond which no mean of a row is likely."""
LARGEST_LOG_SPREAD = 13.0
"""A shape of 1e-11 to 1e11."""


@dataclass(frozen=True)
class Family(ABC):
    """A likelihood of one row, with slopes and an intercept that are N(0, 1 / prior_precision) a priori."""

    prior_precision: float

    log_scale: ClassVar[str | None] = None
    """Logarithm of a scale that is exponential of mean 1 a priori, where a family has one."""

    def start(self, num_columns: int) -> dict[str, jax.Array]:
        """Return a position from which to search for the mode."""
        scale = {} if self.log_scale is None else {self.log_scale: jnp.zeros(())}
        return {"intercept": jnp.zeros(()), "slopes": jnp.zeros(num_columns)} | scale

    def log_prior(self, position: Position) -> jax.Array:
        """Return its logarithm, up to a constant."""
        squares = position["intercept"] ** 2 + jnp.sum(position["slopes"] ** 2)
        value = -squares / (2 / self.prior_precision)
        if self.log_scale is None:
            return value
        log_scale = position[self.log_scale]
        return value - jnp.exp(log_scale) + log_scale

    @abstractmethod
    def log_likelihood(self, position: Position, row: Row) -> jax.Array:
        """Return that of one row of `rows` and its columns "x"."""

    @abstractmethod
    def units(
        self,
        y: np.ndarray,
        offsets: np.ndarray,
        weights: np.ndarray | None,
    ) -> tuple[float, float]:
        """Return the centre of the intercept and the scale of the targets; offsets (n,) are those of the rows."""

    @abstractmethod
    def rows(
        self,
        y: np.ndarray,
        centre: np.ndarray,
        scale: float,
    ) -> Rows:
        """Return what the likelihood needs of the targets, in single precision.

        `centre` (n,) is that of the units with each row's offset added.
        """


class NumberFamily(Family):
    """A family of numbers, which have means."""

    @abstractmethod
    def means(self, cloud: Position, eta: np.ndarray) -> np.ndarray:
        """Return the mean of a row for each particle, in units of the scale and about the centre."""

    @abstractmethod
    def draws(
        self,
        cloud: Position,
        means: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Return a draw of a row for each particle and its mean; of counts with means as such, not about the centre."""


class NormalNoise(NumberFamily):
    """Normal noise, its standard deviation in units of that of the targets."""

    log_scale = "log_noise"

    def log_likelihood(self, position: Position, row: Row) -> jax.Array:
        distance = row["y"] - position["intercept"] - row["x"] @ position["slopes"]
        squares = (distance * jnp.exp(-position["log_noise"])) ** 2
        return -squares / 2 - position["log_noise"] - np.float32(np.log(2 * np.pi) / 2)

    def units(
        self,
        y: np.ndarray,
        offsets: np.ndarray,
        weights: np.ndarray | None,
    ) -> tuple[float, float]:
        rest = y - offsets
        if not np.ptp(rest) > 0:
            less = "" if np.ptp(offsets) == 0 else " less its offset"
            raise ValueError(
                f"y{less} is {rest[0]:g} in all rows, which tells no noise; pass "
                "targets that vary."
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
                f"y is a linear function of the {x.shape[1]} columns of X on these "
                f"{len(y)} rows, but for {np.std(rest) / deviation:.1g} of its "
                "standard deviation: its noise cannot be estimated; pass more rows "
                "than columns, or use sklearn.linear_model.RidgeCV."
            )

    def rows(
        self,
        y: np.ndarray,
        centre: np.ndarray,
        scale: float,
    ) -> Rows:
        return {"y": ((y - centre) / scale).astype(np.float32)}

    def means(self, cloud: Position, eta: np.ndarray) -> np.ndarray:
        return eta

    def draws(
        self,
        cloud: Position,
        means: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        return means + np.exp(cloud["log_noise"])[:, None] * rng.normal(
            size=means.shape
        )


class Poisson(NumberFamily):
    """Counts; the intercept is about the logarithm of their mean."""

    def log_likelihood(self, position: Position, row: Row) -> jax.Array:
        eta, r = _eta_and_ratio(position, row)
        positive = row["y"] * (r - jnp.expm1(r)) + row["constant"]
        return jnp.where(row["y"] > 0, positive, -row["base"] * jnp.exp(eta))

    def units(
        self,
        y: np.ndarray,
        offsets: np.ndarray,
        weights: np.ndarray | None,
    ) -> tuple[float, float]:
        if not y.any():
            raise ValueError(
                "y is 0 in all rows, which tells no rate; pass rows with other counts, "
                "too."
            )
        largest = float(np.max(offsets))
        exposure = (
            np.log(np.average(np.exp(offsets - largest), weights=weights)) + largest
        )
        return float(np.log(np.average(y, weights=weights)) - exposure), 1.0

    def rows(
        self,
        y: np.ndarray,
        centre: np.ndarray,
        scale: float,
    ) -> Rows:
        logs = np.log(np.maximum(y, 1))
        columns = {
            "y": y,
            "base": np.exp(centre),
            "log_y": logs - centre,
            "constant": y * logs - y - gammaln(y + 1),
        }
        return {name: column.astype(np.float32) for name, column in columns.items()}

    def means(self, cloud: Position, eta: np.ndarray) -> np.ndarray:
        return np.exp(np.minimum(eta, LARGEST_ETA))

    def draws(
        self,
        cloud: Position,
        means: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        return rng.poisson(np.minimum(means, 1e18)).astype(np.float64)


class NegativeBinomial(Poisson):
    """Counts whose variance is mean + spread^2 mean^2."""

    log_scale = "log_spread"

    def log_likelihood(self, position: Position, row: Row) -> jax.Array:
        r = _eta_and_ratio(position, row)[1]
        y = row["y"]
        shape = jnp.exp(-2 * _clipped(position["log_spread"], jnp))
        total = y + shape
        is_few = shape >= y  # two forms, each where it loses no digits
        # a minimum would halve slopes of equal ones
        least = jnp.where(is_few, y, shape)
        signed = jnp.where(is_few, r, -r)
        excess = jnp.expm1(signed)
        # a count of 0 has r = log mean
        ratio = jnp.where(y > 0, least * excess / total, (excess + 1) / shape)
        gammas = beyond_stirling(jnp.maximum(y, 1) + shape) - beyond_stirling(shape)
        of_counts = row["constant"] - jnp.log1p(y / shape) / 2 + gammas
        rest = jnp.where(y > 0, of_counts, 0)
        return least * signed - total * jnp.log1p(ratio) + rest

    def draws(
        self,
        cloud: Position,
        means: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        spread = np.exp(_clipped(cloud["log_spread"], np))[:, None]
        return super().draws(
            cloud, means * rng.gamma(spread**-2, spread**2, size=means.shape), rng
        )


def _clipped(log_spread: Any, numpy: Any) -> Any:
    return numpy.clip(log_spread, -LARGEST_LOG_SPREAD, LARGEST_LOG_SPREAD)


def _eta_and_ratio(
    position: Position, row: Row, furthest: float = 60.0
) -> tuple[jax.Array, jax.Array]:
    """Return log mean less its centre, and log mean less log y."""
    eta = position["intercept"] + row["x"] @ position["slopes"]
    eta = jnp.minimum(eta, LARGEST_ETA)
    return eta, jnp.clip(eta - row["log_y"], -furthest, furthest)


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
        return of_cuts - jnp.sum(position["slopes"] ** 2) / (2 / self.prior_precision)

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
        offsets: np.ndarray,
        weights: np.ndarray | None,
    ) -> tuple[float, float]:
        return -float(np.average(offsets, weights=weights)), 1.0

    def rows(
        self,
        y: np.ndarray,
        centre: np.ndarray,
        scale: float,
    ) -> Rows:
        return {
            "y": y.astype(np.int32),
            "offset": centre.astype(np.float32),
        }

    def probabilities(self, cloud: Position, eta: np.ndarray) -> np.ndarray:
        """Return those of the classes, (particle, n, class); `eta` with the centre and the offset of the row."""
        below = expit(
            _cuts(cloud, np)[:, None] - (eta - cloud["intercept"][:, None])[..., None]
        )
        return np.diff(below, axis=-1, prepend=0.0, append=1.0)


def _cuts(position: Position, numpy: Any) -> Any:
    """Return the log odds of at most each class but the last, where columns are at their means."""
    first = position["intercept"][..., None]
    if "log_gaps" not in position:
        return first
    return numpy.concatenate(
        [first, first + numpy.cumsum(numpy.exp(position["log_gaps"]), axis=-1)], axis=-1
    )


@functools.cache
def family_of(kind: type[Family], *arguments: Any) -> Family:
    """Return a family, the same one for the same arguments, so that programs are compiled once."""
    return kind(*arguments)
