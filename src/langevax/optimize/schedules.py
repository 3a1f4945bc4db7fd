"""Schedules of a falling temperature.

Any schedule of `optax` can be passed as `temperature` as well. These two are Modules: their numbers are traced, so that
another temperature does not compile again, as another closure of optax would.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import ArrayLike

from langevax import checks
from langevax._typing import FloatScalar


class Geometric(eqx.Module):
    """`T(step) = hot (cold / hot)^(step / num_steps)`, and cold from there on.

    Example:
        >>> from langevax.optimize import Geometric
        >>> schedule = Geometric(hot=1.0, cold=0.01, num_steps=100)
        >>> [round(float(schedule(step)), 3) for step in (0, 50, 100, 1000)]
        [1.0, 0.1, 0.01, 0.01]
    """

    hot: ArrayLike
    cold: ArrayLike
    num_steps: ArrayLike = eqx.field(
        converter=lambda n: (
            float(n) if isinstance(n, int) and not isinstance(n, bool) else n
        )
    )

    def __check_init__(self) -> None:
        for name in ("hot", "cold", "num_steps"):
            checks.number(name, getattr(self, name), positive=True)

    def __call__(self, step: ArrayLike) -> FloatScalar:
        hot, cold, length = (
            jnp.asarray(number, jnp.float32)
            for number in (self.hot, self.cold, self.num_steps)
        )
        share = jnp.minimum(jnp.asarray(step, jnp.float32) / length, 1)
        return hot * jnp.exp(share * jnp.log(cold / hot))


class Logarithmic(eqx.Module):
    """`T(step) = scale / log(2 + step)`: slow enough for chains to reach global minima, for `scale` large enough.

    The classical schedule: with a `scale` above the deepest barrier, in units of the step, the law tends to the global
    minima (Geman and Hwang, SIAM J. Control Optim. 1986). It halves when the number of steps is squared.

    Example:
        >>> from langevax.optimize import Logarithmic
        >>> [round(float(Logarithmic(scale=1.0)(step)), 3) for step in (0, 100, 10_000)]
        [1.443, 0.216, 0.109]
    """

    scale: ArrayLike

    def __check_init__(self) -> None:
        checks.number("scale", self.scale, positive=True)

    def __call__(self, step: ArrayLike) -> FloatScalar:
        return jnp.asarray(self.scale, jnp.float32) / jnp.log(
            2 + jnp.asarray(step, jnp.float32)
        )
