"""The law of one neuron under a dual vector, relative to the prior, with the output weights integrated out.

    p_g(theta)  ~  prior(theta) exp(v(theta)),      v(theta) = -(1 / (n T)) sum_i W_i <g_i, h(theta, x_i)>

For h_c = R tanh(a_c) tanh(<w, x> + b) the output weights a_c ~ N(0, sigma^2) are independent given (w, b), so that
their integral is a function of one number each:

    s_c = -(R / (n T)) sum_i W_i g_ic tanh_i,      kappa(s) = log E_{a ~ N(0, sigma^2)} exp(s tanh a)
    v(w, b) = sum_c kappa(s_c),   E[h_ic | w, b] = R kappa'(s_c) tanh_i,   Var[h_ic | w, b] = R^2 kappa''(s_c) tanh_i^2

C coordinates fewer, and none of the 2^C modes of their signs. The mean over p_g of -V_g / T is then that of
`exponent` = sum_c s_c kappa'(s_c), not of v. Other neurons are the case kappa(s) = s with all of their coordinates.

Positions are in units of the prior's deviations, so that the prior is N(0, I). A law is a `tilt`, -R W_i g_i / (n T)
for each row, in which s is linear.
"""

from functools import lru_cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax._typing import FloatScalar
from langevax.problems.matmul import preactivation
from langevax.problems.mean_field import MeanFieldRisk
from langevax.problems.neurons import Neuron, TanhTanh

Cloud = Float[Array, "particles coordinates"]
Tilt = Float[Array, "rows columns"]

TABLE_END = 12.0
"""Of asinh |s|, where the table of an output weight ends: |s| = 81,000."""


class OutputWeight(eqx.Module):
    """kappa(s) - sqrt(1 + s^2) + 1, kappa'(s) and kappa''(s) on a grid of asinh |s|."""

    remainder: Float[Array, " nodes"]
    slope: Float[Array, " nodes"]
    curvature: Float[Array, " nodes"]

    def __call__(self, s: Any) -> tuple[Any, Any, Any]:
        """Return kappa, kappa' and kappa'' at `s`, by linear interpolation; in NumPy for its arrays."""
        xp = np if isinstance(s, np.ndarray) else jnp
        last = len(self.slope) - 1
        place = xp.minimum(xp.arcsinh(xp.abs(s)) * (last / TABLE_END), last - 0.001)
        node = place.astype(xp.int32)
        share = place - node.astype(s.dtype)

        def at(nodes: Array) -> Any:
            values = xp.asarray(nodes)
            return values[node] + share * (values[node + 1] - values[node])

        return (
            at(self.remainder) + xp.sqrt(1 + s * s) - 1,
            xp.sign(s) * at(self.slope),
            at(self.curvature),
        )


@lru_cache(maxsize=8)
def output_weight_table(
    deviation: float, nodes: int = 6001, spacing: float = 0.02
) -> np.ndarray:
    """Return the three rows of `OutputWeight` for a ~ N(0, deviation^2), by trapezoids in float64.

    The error of the trapezoids falls exponentially with their spacing.
    """
    s = np.sinh(np.linspace(0, TABLE_END, nodes))
    reach = 9 * deviation + TABLE_END
    a = np.arange(-reach, reach + spacing, spacing * min(1.0, deviation))
    log_prior = -((a / deviation) ** 2) / 2
    log_prior -= np.log(np.exp(log_prior).sum())
    rows = []
    for part in np.array_split(s, 60):
        logs = part[:, None] * np.tanh(a) + log_prior
        largest = logs.max(1)
        weights = np.exp(logs - largest[:, None])
        total = weights.sum(1)
        mean = weights @ np.tanh(a) / total
        # the variance is around the mean: at large s it is 1e-8 of E tanh^2
        spread = (weights * (np.tanh(a) - mean[:, None]) ** 2).sum(1) / total
        rows.append([largest + np.log(total) - np.sqrt(1 + part**2) + 1, mean, spread])
    return np.concatenate(rows, axis=1)


class Activity(NamedTuple):
    """A neuron's effect on each row: E[h | theta] = features slopes, in the shape (rows, columns)."""

    features: Float[Array, "particles rows"]
    slopes: Float[Array, "particles columns"]
    curvatures: Float[Array, "particles columns"]
    """Variance of the output weight's factor; 0 where nothing was integrated out."""
    exponent: Float[Array, " particles"]
    """E[-V_g / T | theta]."""


@runtime_checkable
class ParticleLaw(Protocol):
    """The laws N(0, I) e^v of a particle, v linear in a tilt: what clouds move under and walks go along."""

    @property
    def output_weight(self) -> OutputWeight | None:
        """None where v is `features @ tilt` itself."""
        ...

    @property
    def size(self) -> int:
        """Coordinates of a particle."""
        ...

    @property
    def num_activations(self) -> int:
        """Numbers that one particle computes for v."""
        ...

    @property
    def dtype(self) -> Any:
        """Of the coordinates."""
        ...

    def tilt(self, dual: Array, temperature: float | FloatScalar) -> Tilt:
        """Return the tilt of a dual."""
        ...

    def features(self, cloud: Cloud) -> Float[Array, "particles rows"]:
        """Return that in which v is linear, for each particle."""
        ...

    def log_ratio(
        self, sums: Float[Array, "particles columns"]
    ) -> Float[Array, " particles"]:
        """Return v from features times tilt."""
        ...

    def value_and_gradient(
        self, tilt: Tilt, cloud: Cloud
    ) -> tuple[Float[Array, " particles"], Cloud]:
        """Return v and its gradient."""
        ...

    def activity(self, tilt: Tilt, cloud: Cloud) -> Activity:
        """Return each particle's outputs at the rows, and its part in the entropy."""
        ...


class GibbsLaw(eqx.Module):
    """The neuron, its rows and its prior: all that the laws of different duals share."""

    neuron: Neuron
    inputs: Float[Array, "n features"]
    row_shares: Float[Array, " n"]
    """W_i / n."""
    deviations: Float[Array, " coordinates"]
    """Of the prior, for the coordinates that are left."""
    output_weight: OutputWeight | None

    @classmethod
    def of(cls, risk: MeanFieldRisk, temperature: float) -> "GibbsLaw":
        """Return the laws of a risk; output weights are integrated out where they have one deviation."""
        dtype = risk.inputs.dtype
        neuron = risk.neuron
        variances = np.broadcast_to(
            temperature / np.asarray(risk.precision, np.float64), (risk.particle_size,)
        )
        shares = risk.row_weights() / jnp.asarray(risk.size, dtype)
        output_weight = None
        deviations = np.sqrt(variances)
        if isinstance(neuron, TanhTanh):
            num_outer = neuron.num_outputs or 1
            outer = deviations[:num_outer]
            inner = deviations[num_outer:]
            if np.ptp(outer) == 0:
                table = output_weight_table(float(outer[0])).astype(dtype)
                output_weight = OutputWeight(*map(jnp.asarray, table))
                deviations = inner
        return cls(
            neuron, risk.inputs, shares, jnp.asarray(deviations, dtype), output_weight
        )

    @property
    def size(self) -> int:
        """Coordinates of a neuron that are left."""
        return len(self.deviations)

    @property
    def num_activations(self) -> int:
        """Activations of one neuron at all rows."""
        outputs = (
            1
            if self.output_weight is not None
            else int(np.prod(self.neuron.output_shape))
        )
        return len(self.inputs) * max(1, outputs)

    @property
    def dtype(self) -> Any:
        """Of the coordinates."""
        return self.inputs.dtype

    def tilt(self, dual: Array, temperature: float | FloatScalar) -> Tilt:
        """Return -R W_i g_i / (n T), in the shape (rows, columns)."""
        n = len(self.inputs)
        shares = self.row_shares.reshape(n, *(1,) * (dual.ndim - 1))
        scaled = -self._scale() * shares * dual / jnp.asarray(temperature, dual.dtype)
        return scaled.reshape((n, -1) if self.output_weight is not None else (-1, 1))

    def features(self, cloud: Cloud) -> Float[Array, "particles rows"]:
        """Return what the rows see of each neuron, at output weight 1."""
        particles = cloud * self.deviations
        if self.output_weight is not None:
            inner = jax.vmap(
                jax.vmap(preactivation, in_axes=(None, 0)), in_axes=(0, None)
            )
            return jnp.tanh(inner(particles, self.inputs))
        h = jax.vmap(jax.vmap(self.neuron, in_axes=(None, 0)), in_axes=(0, None))(
            particles, self.inputs
        )
        return h.reshape(len(cloud), -1)

    def log_ratio(
        self, sums: Float[Array, "particles columns"]
    ) -> Float[Array, " particles"]:
        """Return v from s."""
        return jnp.sum(
            sums if self.output_weight is None else self.output_weight(sums)[0], axis=-1
        )

    def value_and_gradient(
        self, tilt: Tilt, cloud: Cloud
    ) -> tuple[Float[Array, " particles"], Cloud]:
        """Return v and its gradient."""
        features, vjp = jax.vjp(self.features, cloud)
        sums = features @ tilt
        if self.output_weight is None:
            values = sums
            slopes = jnp.ones_like(sums)
        else:
            values, slopes, _ = self.output_weight(sums)
        return jnp.sum(values, axis=-1), vjp(slopes @ tilt.T)[0]

    def activity(self, tilt: Tilt, cloud: Cloud) -> Activity:
        """Return the moments of h given each position, under the law of `tilt`."""
        features = self.features(cloud)
        sums = features @ tilt
        if self.output_weight is None:
            return Activity(
                features,
                jnp.ones_like(sums),
                jnp.zeros_like(sums),
                jnp.sum(sums, axis=-1),
            )
        slopes, curvatures = self.factors(sums)
        return Activity(
            features,
            slopes,
            curvatures,
            jnp.sum(sums * slopes, axis=-1) / self._scale(),
        )

    def factors(
        self, sums: Float[Array | np.ndarray, "particles columns"]
    ) -> tuple[Any, Any]:
        """Return R kappa'(s) and R^2 kappa''(s); in NumPy for its arrays."""
        assert self.output_weight is not None
        _, slopes, curvatures = self.output_weight(sums)
        scale: Any = self._scale()
        if isinstance(sums, np.ndarray):
            scale = np.asarray(scale)
        return scale * slopes, scale**2 * curvatures

    def _scale(self) -> Array:
        if self.output_weight is None:
            return jnp.ones((), self.inputs.dtype)
        assert isinstance(self.neuron, TanhTanh)
        return jnp.asarray(self.neuron.scale, self.inputs.dtype)
