"""Neurons of mean-field networks: functions h(particle, input) of one particle and one input.

The network is the average of a neuron over the law of its particle, f(x) = E h(theta, x) (Nitanda, Wu,
Suzuki, AISTATS 2022); with N particles the mean of their outputs. Bounded neurons are what the theory and
the dual methods ask for: `bound` enters P-SDCA's step as c = bound^2 / (n temperature).

Layout: `particle` comes first and stands on the left of the one inner product, so that mapping over
samples inside particles gives one matrix product with result (particles, samples) and no transpose.
"""

import math
from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from langevax import checks

Scalar = Float[Array, ""]
Particle = Float[Array, " coordinates"]
Input = Float[Array, " features"]


class Neuron(eqx.Module):
    """A function (particle, input) -> output, with the size of a particle and a bound of the output.

    Compared by value, so that two runs with equal neurons share a compiled program.
    """

    @abstractmethod
    def __call__(self, particle: Particle, x: Input) -> Float[Array, "*outputs"]:
        """h(particle, x); both of one floating dtype."""

    @abstractmethod
    def particle_size(self, num_features: int) -> int:
        """Coordinates of one particle for inputs of `num_features` features."""

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """`()` or `(C,)`."""

    @property
    @abstractmethod
    def bound(self) -> float | Scalar:
        """sup |h| over particles and inputs, the Euclidean norm of a vector output; infinity if unbounded."""


class Tanh(Neuron):
    """h = scale tanh(<w, x> + b), with particle (w, b) of d + 1 coordinates.

    The neuron of the experiments on mean-field Langevin dynamics. Raises ValueError unless `scale` > 0.

    >>> import jax.numpy as jnp
    >>> neuron = Tanh(scale=2.0)
    >>> particle, x = jnp.asarray([1.0, -1.0, 0.5]), jnp.asarray([0.5, 1.0])
    >>> float(neuron(particle, x)), neuron.particle_size(2), neuron.bound
    (0.0, 3, 2.0)
    """

    scale: float | Scalar = 1.0

    def __check_init__(self):
        checks.number("scale", self.scale, positive=True)

    def __call__(self, particle: Particle, x: Input) -> Scalar:
        return _scaled(self.scale, jnp.tanh(jnp.dot(particle[:-1], x) + particle[-1]))

    def particle_size(self, num_features: int) -> int:
        return num_features + 1

    @property
    def output_shape(self) -> tuple[int, ...]:
        return ()

    @property
    def bound(self) -> float | Scalar:
        return self.scale


class Linear(Neuron):
    """h = <w, x>, with particle w of d coordinates; unbounded.

    With the squared loss everything is Gaussian and known in closed form: the oracle of the tests.

    >>> import jax.numpy as jnp
    >>> float(Linear()(jnp.asarray([1.0, 2.0]), jnp.asarray([3.0, 4.0])))
    11.0
    """

    def __call__(self, particle: Particle, x: Input) -> Scalar:
        return jnp.dot(particle, x)

    def particle_size(self, num_features: int) -> int:
        return num_features

    @property
    def output_shape(self) -> tuple[int, ...]:
        return ()

    @property
    def bound(self) -> float:
        return math.inf


class TanhTanh(Neuron):
    """h = scale tanh(a) tanh(<w, x> + b), with particle (a, w, b): a trained output weight that stays bounded.

    `num_outputs=None` gives a scalar output and d + 2 coordinates; `num_outputs=C` a vector `(C,)` from C
    weights `a`, and d + 1 + C coordinates. Raises ValueError unless `scale` > 0 and `num_outputs` >= 1.

    >>> import jax.numpy as jnp
    >>> neuron = TanhTanh(num_outputs=3)
    >>> neuron(jnp.ones(neuron.particle_size(2)), jnp.zeros(2)).shape
    (3,)
    """

    scale: float | Scalar = 1.0
    num_outputs: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        checks.number("scale", self.scale, positive=True)
        if self.num_outputs is not None:
            checks.positive_int("num_outputs", self.num_outputs)

    def __call__(self, particle: Particle, x: Input) -> Float[Array, "*outputs"]:
        if self.num_outputs is None:
            a, w, b = particle[0], particle[1:-1], particle[-1]
        else:
            a, w, b = particle[: self.num_outputs], particle[self.num_outputs : -1], particle[-1]
        return _scaled(self.scale, jnp.tanh(a) * jnp.tanh(jnp.dot(w, x) + b))

    def particle_size(self, num_features: int) -> int:
        return num_features + 1 + (1 if self.num_outputs is None else self.num_outputs)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return () if self.num_outputs is None else (self.num_outputs,)

    @property
    def bound(self) -> float | Scalar:
        return self.scale if self.num_outputs is None else self.scale * math.sqrt(self.num_outputs)


class Parity(Neuron):
    """h = scale [tanh(<w, x> + b) + 2 tanh(c)] / 3, with particle (w, b, c) of d + 2 coordinates.

    The neuron of the sparse-parity experiments (Suzuki, Wu, Oko, Nitanda, NeurIPS 2023), there with scale
    R = 15. Raises ValueError unless `scale` > 0.

    >>> import jax.numpy as jnp
    >>> float(Parity()(jnp.zeros(4), jnp.ones(2))), Parity().bound
    (0.0, 15.0)
    """

    scale: float | Scalar = 15.0

    def __check_init__(self):
        checks.number("scale", self.scale, positive=True)

    def __call__(self, particle: Particle, x: Input) -> Scalar:
        w, b, c = particle[:-2], particle[-2], particle[-1]
        return _scaled(self.scale, (jnp.tanh(jnp.dot(w, x) + b) + 2 * jnp.tanh(c)) / 3)

    def particle_size(self, num_features: int) -> int:
        return num_features + 2

    @property
    def output_shape(self) -> tuple[int, ...]:
        return ()

    @property
    def bound(self) -> float | Scalar:
        return self.scale


class ClippedReLU(Neuron):
    """h = scale clip(<w, x> + b, 0, cap), with particle (w, b) of d + 1 coordinates.

    A ReLU kept bounded by `cap`. It is never negative, and flat beyond the cap and below zero. Raises
    ValueError unless `scale` > 0 and `cap` > 0.

    >>> import jax.numpy as jnp
    >>> neuron = ClippedReLU(scale=2.0, cap=3.0)
    >>> [float(neuron(jnp.asarray([1.0, 0.0]), jnp.asarray([x]))) for x in (-1.0, 1.0, 5.0)], neuron.bound
    ([0.0, 2.0, 6.0], 6.0)
    """

    scale: float | Scalar = 1.0
    cap: float | Scalar = 1.0

    def __check_init__(self):
        checks.number("scale", self.scale, positive=True)
        checks.number("cap", self.cap, positive=True)

    def __call__(self, particle: Particle, x: Input) -> Scalar:
        activation = jnp.dot(particle[:-1], x) + particle[-1]
        return _scaled(self.scale, jnp.clip(activation, 0.0, jnp.asarray(self.cap, activation.dtype)))

    def particle_size(self, num_features: int) -> int:
        return num_features + 1

    @property
    def output_shape(self) -> tuple[int, ...]:
        return ()

    @property
    def bound(self) -> float | Scalar:
        return self.scale * self.cap


def _scaled(scale: float | Scalar, activation: Float[Array, "*outputs"]) -> Float[Array, "*outputs"]:
    # A traced scale may carry another precision than the position, which rules.
    return jnp.asarray(scale, activation.dtype) * activation
