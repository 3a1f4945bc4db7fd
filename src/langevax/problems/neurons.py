"""Neurons of mean-field networks: functions h(particle, input) of one particle and one input.

The network is the average of a neuron over the law of its particle, f(x) = E h(theta, x) (Nitanda, Wu,
Suzuki, AISTATS 2022); with N particles the mean of their outputs. Bounded neurons are what the theory and
the dual methods ask for: `bound` enters P-SDCA's step as c = bound^2 / (n temperature).

Layout: `particle` comes first and stands on the left of the one inner product, so that mapping over
samples inside particles gives one matrix product with result (particles, samples) and no transpose.
"""

import math
from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from langevax import checks, renamed
from langevax._typing import FloatScalar
from langevax.problems import matmul
from langevax.problems.matmul import preactivation

Scalar = FloatScalar
Particle = Float[Array, " coordinates"]
Input = Float[Array, " features"]
Cloud = Float[Array, "particles size"]
Inputs = Float[Array, "n ..."]
Outputs = Float[Array, "n *outputs"]
SecondMoments = Float[Array, " features"]
Slopes = Float[Array, " coordinates"]
Function = Callable[[Particle, Input], Float[Array, "*outputs"]]


class Neuron(eqx.Module):
    """A function (particle, input) -> output, with the size of a particle and a bound of the output.

    Compared by value, so that two runs with equal neurons share a compiled program.
    """

    @abstractmethod
    def __call__(self, particle: Particle, x: Input) -> Float[Array, "*outputs"]:
        """h(particle, x); both of one floating dtype."""

    def mean(self, cloud: Cloud, inputs: Inputs) -> Outputs:
        """The network's outputs, `(1/N) sum_r h(theta_r, x_i)`: particles outside, samples inside."""
        return _mean(self, cloud, inputs)

    def vjp(
        self,
        particle: Particle,
        inputs: Inputs,
        dual: Outputs,
    ) -> Scalar:
        """`sum_i <dual_i, h(particle, x_i)>`: the potential of one particle under a frozen dual."""
        return _vjp(self, particle, inputs, dual)

    @abstractmethod
    def particle_size(self, num_features: int) -> int:
        """Coordinates of one particle for inputs of `num_features` features."""

    def reflection(self, num_features: int) -> tuple[float, ...] | None:
        """Signs s of a particle's coordinates with h(s * particle, x) = -h(particle, x); None where there are none."""
        return None

    def input_weights(self, num_features: int) -> slice:
        """The slice of a particle that holds the weights of the inputs, which rotate with these."""
        return slice(0, num_features)

    @abstractmethod
    def slope_bounds(self, second_moments: SecondMoments) -> Slopes:
        """sup over particles of `mean_i |dh(theta, x_i) / dtheta_j|^2`, from `mean_i x_ik^2`: sets the step of each
        coordinate. For vector outputs the largest over outputs."""

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """`()` or `(C,)`."""

    @property
    @abstractmethod
    def bound(self) -> float | Scalar:
        """sup |h| over particles and inputs, the Euclidean norm of a vector output; infinity if unbounded."""


class Scaled(Neuron):
    """h = scale activation(particle, x), where sums over particles and rows are scaled once.

    A scale is an argument of the compiled program, so that another one does not compile again; there it would multiply
    every activation, a tenth of a step on a table of 10 columns. Raises ValueError unless `scale` > 0.
    """

    scale: eqx.AbstractVar[float | Scalar]

    def __check_init__(self) -> None:
        checks.number("scale", self.scale, positive=True)

    @abstractmethod
    def activation(self, particle: Particle, x: Input) -> Float[Array, "*outputs"]:
        """h(particle, x) at scale 1."""

    @abstractmethod
    def activation_slopes(self, second_moments: SecondMoments) -> Slopes:
        """`slope_bounds` at scale 1."""

    def __call__(self, particle: Particle, x: Input) -> Float[Array, "*outputs"]:
        return self._scaled(self.activation(particle, x))

    def mean(self, cloud: Cloud, inputs: Inputs) -> Outputs:
        return self._scaled(_mean(self.activation, cloud, inputs))

    def vjp(
        self,
        particle: Particle,
        inputs: Inputs,
        dual: Outputs,
    ) -> Scalar:
        return self._scaled(_vjp(self.activation, particle, inputs, dual))

    def slope_bounds(self, second_moments: SecondMoments) -> Slopes:
        return self._scaled(self._scaled(self.activation_slopes(second_moments)))

    @property
    def output_shape(self) -> tuple[int, ...]:
        return ()

    @property
    def bound(self) -> float | Scalar:
        return self.scale

    def _scaled(self, values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        # A traced scale may carry another precision than the position, which rules.
        return jnp.asarray(self.scale, values.dtype) * values


class Tanh(Scaled):
    """h = scale tanh(<w, x> + b), with particle (w, b) of d + 1 coordinates.

    The neuron of the experiments on mean-field Langevin dynamics. Raises ValueError unless `scale` > 0.

    >>> import jax.numpy as jnp
    >>> neuron = Tanh(scale=2.0)
    >>> particle, x = jnp.asarray([1.0, -1.0, 0.5]), jnp.asarray([0.5, 1.0])
    >>> float(neuron(particle, x)), neuron.particle_size(2), neuron.bound
    (0.0, 3, 2.0)
    """

    scale: float | Scalar = 1.0

    def activation(self, particle: Particle, x: Input) -> Scalar:
        return jnp.tanh(preactivation(particle, x))

    def activation_slopes(self, second_moments: SecondMoments) -> Slopes:
        return jnp.append(second_moments, 1.0)

    def reflection(self, num_features: int) -> tuple[float, ...]:
        return (-1.0,) * (num_features + 1)

    def particle_size(self, num_features: int) -> int:
        return num_features + 1


class Linear(Neuron):
    """h = <w, x>, with particle w of d coordinates; unbounded.

    With the squared loss everything is Gaussian and known in closed form: the oracle of the tests.

    >>> import jax.numpy as jnp
    >>> float(Linear()(jnp.asarray([1.0, 2.0]), jnp.asarray([3.0, 4.0])))
    11.0
    """

    def __call__(self, particle: Particle, x: Input) -> Scalar:
        return matmul.dot(particle, x)

    def slope_bounds(self, second_moments: SecondMoments) -> Slopes:
        return second_moments

    def reflection(self, num_features: int) -> tuple[float, ...]:
        return (-1.0,) * num_features

    def particle_size(self, num_features: int) -> int:
        return num_features

    @property
    def output_shape(self) -> tuple[int, ...]:
        return ()

    @property
    def bound(self) -> float:
        return math.inf


class TanhTanh(Scaled):
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

    def __check_init__(self) -> None:
        if self.num_outputs is not None:
            checks.positive_int("num_outputs", self.num_outputs)

    def activation(self, particle: Particle, x: Input) -> Float[Array, "*outputs"]:
        a, inner = self.split(particle)
        return jnp.tanh(a) * jnp.tanh(preactivation(inner, x))

    def input_weights(self, num_features: int) -> slice:
        first = self.num_outputs or 1
        return slice(first, first + num_features)

    def split(self, particles: Float[Array, "*particles size"]) -> tuple[Array, Array]:
        """a and (w, b) of one particle or of many."""
        if self.num_outputs is None:
            return particles[..., 0], particles[..., 1:]
        return particles[..., : self.num_outputs], particles[..., self.num_outputs :]

    def mean(self, cloud: Cloud, inputs: Inputs) -> Outputs:
        if self.num_outputs is None:
            return super().mean(cloud, inputs)
        a, inner = self.split(cloud)
        # a product of matrices: C x particles x n numbers would take eight times as long
        at_rows = jax.vmap(preactivation, (None, 0))
        features = jnp.tanh(jax.vmap(at_rows, (0, None))(inner, inputs))
        return self._scaled(matmul.dot(features.T, jnp.tanh(a)) / len(cloud))

    def vjp(
        self,
        particle: Particle,
        inputs: Inputs,
        dual: Outputs,
    ) -> Scalar:
        a, inner = self.split(particle)
        # n of them, where n x C outputs would take twice as long
        features = jnp.tanh(matmul.dot(inputs, inner[:-1]) + inner[-1])
        return self._scaled(jnp.sum(jnp.tanh(a) * matmul.dot(features, dual)))

    def reflection(self, num_features: int) -> tuple[float, ...]:
        return (-1.0,) * (self.num_outputs or 1) + (1.0,) * (num_features + 1)

    def activation_slopes(self, second_moments: SecondMoments) -> Slopes:
        outer = jnp.ones(self.num_outputs or 1, second_moments.dtype)
        return jnp.concatenate([outer, jnp.append(second_moments, 1.0)])

    def particle_size(self, num_features: int) -> int:
        return num_features + 1 + (1 if self.num_outputs is None else self.num_outputs)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return () if self.num_outputs is None else (self.num_outputs,)

    @property
    def bound(self) -> float | Scalar:
        return (
            self.scale
            if self.num_outputs is None
            else self.scale * math.sqrt(self.num_outputs)
        )


class Parity(Scaled):
    """h = scale [tanh(<w, x> + b) + 2 tanh(c)] / 3, with particle (w, b, c) of d + 2 coordinates.

    The neuron of the sparse-parity experiments (Suzuki, Wu, Oko, Nitanda, NeurIPS 2023), there with scale
    R = 15. Raises ValueError unless `scale` > 0.

    >>> import jax.numpy as jnp
    >>> float(Parity()(jnp.zeros(4), jnp.ones(2))), Parity().bound
    (0.0, 15.0)
    """

    scale: float | Scalar = 15.0

    def activation(self, particle: Particle, x: Input) -> Scalar:
        of_input = jnp.tanh(preactivation(particle[:-1], x))
        return (of_input + 2 * jnp.tanh(particle[-1])) / 3

    def activation_slopes(self, second_moments: SecondMoments) -> Slopes:
        return (
            jnp.concatenate(
                [second_moments, jnp.asarray([1.0, 4.0], second_moments.dtype)]
            )
            / 9
        )

    def reflection(self, num_features: int) -> tuple[float, ...]:
        return (-1.0,) * (num_features + 2)

    def particle_size(self, num_features: int) -> int:
        return num_features + 2


def _mean(h: Function, cloud: Cloud, inputs: Inputs) -> Outputs:
    at_rows = jax.vmap(h, in_axes=(None, 0))
    outputs = jax.vmap(at_rows, in_axes=(0, None))(cloud, inputs)
    return jnp.mean(outputs, axis=0)


def _vjp(
    h: Function,
    particle: Particle,
    inputs: Inputs,
    dual: Outputs,
) -> Scalar:
    # Products, not sums: mapped over particles they are products of matrices, three times as fast.
    outputs = jax.vmap(h, in_axes=(None, 0))(particle, inputs)
    return matmul.tensordot(dual, outputs, axes=dual.ndim)


__all__ = ["Linear", "Neuron", "Parity", "Scaled", "Tanh", "TanhTanh"]
__dir__: object = __all__.copy
__getattr__ = renamed.getattr_of("langevax.neurons")
