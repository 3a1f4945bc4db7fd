"""Temperatures that fall, and the one to start from.

`optax` has many more schedules of the step, and any of them can be passed as `temperature`. These two are Modules: what
they hold is traced, so that another temperature does not compile again, as another closure of optax would.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from langevax import checks

COOLING = 1e-3
"""The coldest temperature over the hottest."""
QUARTILES = 1.349  # between the quartiles of a normal law of unit variance


class Geometric(eqx.Module):
    """`T(step) = hot (cold / hot)^(step / num_steps)`, and cold from there on.

    Example:
        >>> from langevax.optimize import Geometric
        >>> schedule = Geometric(hot=1.0, cold=0.01, num_steps=100)
        >>> [round(float(schedule(step)), 3) for step in (0, 50, 100, 1000)]
        [1.0, 0.1, 0.01, 0.01]
    """

    hot: Any
    cold: Any
    num_steps: Any = eqx.field(converter=lambda n: float(n) if isinstance(n, int) else n)

    def __check_init__(self) -> None:
        checks.number("hot", self.hot, positive=True)
        checks.number("cold", self.cold, positive=True)
        checks.number("num_steps", self.num_steps, positive=True)

    def __call__(self, step: Any) -> Float[Array, ""]:
        hot, cold, length = (jnp.asarray(number, jnp.float32) for number in (self.hot, self.cold, self.num_steps))
        share = jnp.minimum(jnp.asarray(step, jnp.float32) / length, 1)
        return hot * jnp.exp(share * jnp.log(cold / hot))


class Logarithmic(eqx.Module):
    """`T(step) = scale / log(2 + step)`: slow enough for chains to reach global minima, for `scale` large enough.

    The classical schedule: with a `scale` above the deepest barrier, in units of the step, the law tends to the global
    minima (Geman and Hwang, SIAM J. Control Optim. 1986). It halves once the steps are squared.

    Example:
        >>> from langevax.optimize import Logarithmic
        >>> [round(float(Logarithmic(scale=1.0)(step)), 3) for step in (0, 100, 10_000)]
        [1.443, 0.216, 0.109]
    """

    scale: Any

    def __check_init__(self) -> None:
        checks.number("scale", self.scale, positive=True)

    def __call__(self, step: Any) -> Float[Array, ""]:
        return jnp.asarray(self.scale, jnp.float32) / jnp.log(2 + jnp.asarray(step, jnp.float32))


def equipartition_temperature(values: np.ndarray, size: int) -> float:
    """The temperature at which values fluctuate as much as these: `T = sqrt(2 / d) * spread of the values`.

    Near a minimum, at temperature T, a function of d coordinates has mean d T / 2 and standard deviation
    sqrt(d / 2) T. The spread is that between the quartiles, which a few absurdly high values do not move.
    """
    low, high = np.quantile(values, [0.25, 0.75])
    spread = (high - low) / QUARTILES or np.std(values)
    return float(np.sqrt(2 / size) * spread)
