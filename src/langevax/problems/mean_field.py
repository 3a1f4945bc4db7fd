"""The risk of a two-layer network of mean-field width: a convex functional of the law of its neurons.

    F(q) = (1/n) sum_i loss(z_i(q), y_i),     z_i(q) = E_q h(theta, x_i),     potential part: ridge |theta|^2

over positions of N particles, q = (1/N) sum_r delta_{theta_r}. The gradient is the
first variation's, N times the gradient of the averaged network's risk (Nitanda, Wu, Suzuki,
AISTATS 2022, eq. of dF/dq):

    gradient_r = (1/n) sum_i loss'(z_i, y_i) grad h(theta_r, x_i)

so a step size means the same whatever N. Cost of a gradient: 2 n N d multiply-adds and n N
activations, in blocks of rows; activations lie (particles, samples), which is the fast way round.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Shaped

from langevax import checks, trees
from langevax._typing import PRNGKey, PyTree
from langevax.platforms import sizes
from langevax.problems import blocks, tiling
from langevax.problems.blocks import Count, Rows, Weights, as_rows
from langevax.problems.finite_sum import FiniteSum
from langevax.problems.losses import Loss, linear
from langevax.problems.neurons import Neuron
from langevax.problems.problem import Indices, Numbers, Problem, Scalar
from langevax.problems.sharding import RowProblem, RowSharding
from langevax.problems.tiling import Cloud, Outputs


class MeanFieldRisk(RowProblem):
    """Mean loss of the network `f(x) = (1/N) sum_r neuron(theta_r, x)`, a position being (N, d) particles.

    Args:
        neuron: `neuron(particle, input) -> scalar or vector`, see `langevax.neurons`.
        loss: one of `langevax.losses`, on one output and one target.
        inputs: (n, ...) array; row i is what the neuron sees.
        targets: (n,) or (n, C) for squared loss, -1/+1 for margins, integers for softmax.
        precision: `2 * ridge` for the penalty `ridge |theta|^2`: the prior at a temperature is
            N(0, temperature / precision).
        weights, count: as in `FiniteSum`; targets of the padding are checked too, so repeat a valid label there.
        block_size: rows of one block; None chooses it from the number of particles.

    Raises:
        ValueError: NaN or infinite inputs, integers beyond 32 bits, empty or disagreeing rows, targets the loss
            cannot take.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> X, y = jnp.array([[1.0], [-1.0]]), jnp.array([1.0, -1.0])
        >>> risk = langevax.MeanFieldRisk(langevax.neurons.Tanh(), langevax.losses.squared, X, y, precision=0.1)
        >>> start = risk.prior(temperature=0.1, num_particles=5)
        >>> risk.gradient(start(jax.random.key(0))).shape
        (5, 2)
    """

    row_fields: ClassVar[tuple[str, ...]] = ("inputs", "targets", "weights")

    neuron: Neuron
    loss: Loss
    inputs: Shaped[Array, "n ..."]
    targets: Shaped[Array, "n ..."]
    precision: PyTree
    weights: Weights
    count: Count
    block_size: int | None
    row_sharding: RowSharding | None = eqx.field(static=True)
    particle_sharding: RowSharding | None = eqx.field(static=True)

    def __init__(
        self,
        neuron: Neuron,
        loss: Loss,
        inputs: Numbers,
        targets: Numbers,
        precision: ArrayLike = 0.0,
        weights: Numbers | None = None,
        count: ArrayLike | None = None,
        block_size: int | None = None,
    ):
        checks.instance("neuron", neuron, Neuron, "langevax.neurons.Tanh()")
        checks.instance("loss", loss, Loss, "langevax.losses.squared")
        checks.number("precision", precision)
        inputs = as_rows("inputs", inputs)
        targets = as_rows("targets", targets)
        size = checks.leading_axis(
            "(inputs, targets)", {"inputs": inputs, "targets": targets}
        )
        checks.finite("inputs", inputs, remedy="drop or impute these rows")
        loss.check_targets(targets, neuron.output_shape)
        self.neuron = neuron
        self.loss = loss
        self.inputs = inputs
        self.targets = targets
        self.precision = precision
        self.weights = blocks.normalised_weights(weights, size, inputs.dtype)
        self.count = blocks.checked_count(count, size)
        self.block_size = (
            None if block_size is None else checks.whole("block_size", block_size)
        )
        self.row_sharding = self.particle_sharding = None

    @property
    def max_size(self) -> int:
        return self.inputs.shape[0]

    @property
    def particle_size(self) -> int:
        """Numbers in one particle."""
        return self.neuron.particle_size(self.inputs.shape[-1])

    @property
    def num_particle_shards(self) -> int:
        """Devices over which particles are split."""
        return (
            1 if self.particle_sharding is None else self.particle_sharding.num_devices
        )

    def outputs(self, position: Cloud, inputs: Numbers | None = None) -> Outputs:
        """The network's outputs z, by default at the training inputs."""
        sharding = self.row_sharding if inputs is None else None
        inputs = self.inputs if inputs is None else as_rows("inputs", inputs)
        block = self._block(position, len(inputs)) or len(inputs)
        return blocks.block_map(
            lambda x: self._mean(position, x), inputs, block, sharding
        )

    def dual(self, position: Cloud) -> Outputs:
        """The dual vector `g_i = loss'(z_i, y_i)`: all that one particle depends on."""
        return jax.vmap(self.loss.derivative)(self.outputs(position), self.targets)

    def linearized(self, dual: Outputs) -> "MeanFieldRisk":
        """The risk with the dual frozen: particles do not interact, the problem of each is `of_one_particle(dual)`."""
        return eqx.tree_at(
            lambda risk: (risk.loss, risk.targets),
            self,
            (linear, dual),
            is_leaf=_is_loss,
        )

    def of_one_particle(self, dual: Outputs) -> FiniteSum:
        """One particle's problem: potential `U_g(theta) = (1/n) sum_i <g_i, h(theta, x_i)> + ridge |theta|^2`."""
        return OneParticle(self, dual)

    def prior(
        self,
        temperature: ArrayLike,
        num_particles: int,
        antithetic: bool = False,
    ) -> "Prior":
        """Draws of the law at dual 0, N(0, temperature / precision): `prior(key) -> (N, d)`.

        With `antithetic`, particles 2 k and 2 k + 1 are reflections of each other, whose outputs add up to 0.
        """
        checks.flag("antithetic", antithetic)
        checks.positive_int("num_particles", num_particles)
        checks.fits_memory(
            "num_particles",
            num_particles,
            self.particle_size * self.inputs.dtype.itemsize,
        )
        checks.number("temperature", temperature)
        if checks.is_concrete(self.precision) and not np.all(
            np.asarray(self.precision) > 0
        ):
            raise ValueError(
                f"precision is {self.precision}: there is no prior without a quadratic "
                "part; pass precision > 0."
            )
        temperature = jnp.asarray(
            temperature, self.inputs.dtype
        )  # traced: another temperature is the same program
        reflection = reflection_of(self) if antithetic else None
        return Prior(
            temperature,
            self.precision,
            (num_particles, self.particle_size),
            self.inputs.dtype,
            reflection,
        )

    def row_weights(self) -> Float[Array, " n"]:
        """The weight of each row in a sum over rows: mean one over those in use, 0 for padding."""
        weights = blocks.row_weights(
            self.weights, self.count, self.max_size, self.inputs.dtype
        )
        return (
            jnp.ones(self.max_size, self.inputs.dtype) if weights is None else weights
        )

    def mean_over_rows(self, values: Float[Array, " n"]) -> Scalar:
        """`(1/n) sum_i weight_i values_i`, as the risk averages its losses; rows of weight 0 may hold anything."""
        weights = self.row_weights()
        return jnp.sum(jnp.where(weights > 0, values * weights, 0)) / jnp.asarray(
            self.size, values.dtype
        )

    def value(self, position: Cloud) -> Scalar:
        return self._average_blocks(
            lambda rows: self._losses(position, *rows), position
        )

    def gradient(self, position: Cloud) -> Cloud:
        return self._average_blocks(
            lambda rows: self._gradients(position, *rows), position
        )

    def value_and_gradient(self, position: Cloud) -> tuple[Scalar, Cloud]:
        return self._average_blocks(
            lambda rows: (
                self._losses(position, *rows),
                self._gradients(position, *rows),
            ),
            position,
        )

    def gradient_at(self, position: Cloud, indices: Indices) -> Cloud:
        rows = blocks.take(self._rows(position), indices)
        size = len(indices)
        block = self._block(position, size) or size
        return (
            blocks.block_sum(lambda r: self._gradients(position, *r), rows, block)
            / size
        )

    def gradients_at(
        self, position: Cloud, indices: Indices
    ) -> Float[Array, "batch particles size"]:
        def at_row(row: Rows) -> Cloud:
            return self._gradients(position, *jax.tree.map(lambda a: a[None], row))

        return jax.vmap(at_row)(blocks.take(self._rows(position), indices))

    def _rows(self, position: Cloud) -> tuple[Array, Array, Weights]:
        weights = blocks.row_weights(
            self.weights, self.count, self.max_size, position.dtype
        )
        return self.inputs, self.targets, weights

    def _block(self, position: Cloud, rows: int) -> int | None:
        """Rows that are computed at once, with all particles; None: all, in tiles."""
        if position.ndim != 2 or position.shape[1] != self.particle_size:
            raise ValueError(
                f"a position must have particles of {self.particle_size} numbers, got "
                f"shape {position.shape}; pass (num_particles, {self.particle_size}), "
                "such as risk.prior(temperature, 100)."
            )
        particles = max(1, position.shape[0] // self.num_particle_shards)
        return self.block_size or rows_of_a_block(
            particles, rows, self.num_particle_shards > 1
        )

    def _mean(self, position: Cloud, inputs: Array) -> Outputs:
        if self._block(position, len(inputs)) is None:
            return tiling.mean(position, self.neuron, inputs, self.particle_sharding)
        return self.neuron.mean(position, inputs)

    def _losses(
        self,
        position: Cloud,
        inputs: Array,
        targets: Array,
        weights: Weights,
    ) -> Scalar:
        losses = jax.vmap(self.loss)(self._mean(position, inputs), targets)
        return jnp.sum(losses if weights is None else losses * weights)

    def _gradients(
        self,
        position: Cloud,
        inputs: Array,
        targets: Array,
        weights: Weights,
    ) -> Cloud:
        """Sum over the rows of the first variation's gradient, N x that of the averaged network."""

        def dual_of(outputs: Outputs) -> Outputs:
            dual = jax.vmap(self.loss.derivative)(outputs, targets)
            return dual if weights is None else dual * by_rows(weights, dual)

        if self._block(position, len(inputs)) is None:
            dual = dual_of(self._mean(position, inputs))
            return tiling.vjp(
                position, self.neuron, inputs, dual, self.particle_sharding
            )
        outputs, outputs_vjp = jax.vjp(
            lambda cloud: self.neuron.mean(cloud, inputs), position
        )
        return outputs_vjp(dual_of(outputs) * position.shape[0])[0]

    def _average_blocks(
        self, function: Callable[[Rows], PyTree], position: Cloud
    ) -> PyTree:
        rows = self.max_size // (
            1 if self.row_sharding is None else self.row_sharding.num_devices
        )
        block = self._block(position, rows) or rows
        total = blocks.block_sum(
            function, self._rows(position), block, self.row_sharding
        )
        return jax.tree.map(lambda t: t / jnp.asarray(self.size, t.dtype), total)


class DualPotential(eqx.Module):
    """`<g_i, h(theta, x_i)>`, the loss of one particle under a frozen dual, as a value."""

    neuron: Neuron

    def __call__(
        self, particle: Float[Array, " size"], row: tuple[Array, Array]
    ) -> Scalar:
        inputs, dual = row
        return self.neuron.vjp(particle, inputs[None], dual[None])


class OneParticle(FiniteSum):
    """The finite sum of a `DualPotential`, a block of rows at a time."""

    def __init__(self, risk: MeanFieldRisk, dual: Outputs):
        potential = DualPotential(risk.neuron)
        rows = risk.inputs, dual  # in small blocks, of which each particle holds one
        super().__init__(
            potential,
            rows,
            None,
            risk.precision,
            risk.weights,
            risk.count,
            sizes().fewest_rows,
        )
        self.row_sharding: RowSharding | None = risk.row_sharding

    def _sum(
        self,
        position: Float[Array, " size"],
        data: Rows,
        weights: Weights,
    ) -> Scalar:
        inputs, dual = data
        neuron: Neuron = self.loss.neuron  # pyright: ignore[reportFunctionMemberAccess]
        return neuron.vjp(
            position, inputs, dual if weights is None else by_rows(weights, dual) * dual
        )


class Prior(eqx.Module):
    """Draws N particles of N(0, temperature / precision): a start for `simulate`, and exact draws of dual 0."""

    temperature: ArrayLike
    precision: PyTree
    shape: tuple[int, int] = eqx.field(static=True)
    dtype: DTypeLike = eqx.field(static=True)
    reflection: tuple[float, ...] | None = eqx.field(static=True, default=None)
    """Of every second particle; None: all are independent."""

    def __call__(self, key: PRNGKey) -> Cloud:
        variance = jnp.asarray(self.temperature, self.dtype) / jnp.asarray(
            self.precision, self.dtype
        )
        return jnp.sqrt(variance) * self._paired(
            trees.normal(self._drawn, self.dtype, key=key), jnp
        )

    def draw_on_host(self, key: PRNGKey) -> Cloud:
        """The same cloud, without a program for its shape: what `simulate` takes to begin one chain."""
        variance = np.asarray(self.temperature, self.dtype) / np.asarray(
            self.precision, self.dtype
        )
        draws = self._paired(trees.host_normal(self._drawn, self.dtype, key=key), np)
        return jax.device_put(np.sqrt(variance) * draws)

    @property
    def _drawn(self) -> tuple[int, int]:
        count, size = self.shape
        return (count if self.reflection is None else -(-count // 2), size)

    def _paired(self, draws: Any, numpy: Any) -> Any:
        return (
            draws
            if self.reflection is None
            else in_pairs(draws, self.reflection, self.shape[0], numpy)
        )


def in_pairs(
    draws: Any,
    reflection: tuple[float, ...],
    count: int,
    numpy: Any = jnp,
) -> Any:
    """Return the first `count` of draws, each followed by its reflection.

    >>> in_pairs(np.array([[1.0, 2.0], [3.0, 4.0]]), (-1.0, 1.0), 3, np).tolist()
    [[1.0, 2.0], [-1.0, 2.0], [3.0, 4.0]]
    """
    signs = numpy.asarray(reflection, draws.dtype)
    return numpy.stack([draws, signs * draws], axis=1).reshape(-1, draws.shape[1])[
        :count
    ]


def reflection_of(risk: "MeanFieldRisk") -> tuple[float, ...]:
    """Return the signs under which the neuron's output changes sign; raise ValueError where there are none."""
    reflection = risk.neuron.reflection(risk.inputs.shape[1])
    if reflection is None:
        raise ValueError(
            f"{type(risk.neuron).__name__} has no reflection, which antithetic noise "
            "needs: define `reflection(num_features)` with signs s such that h(s * "
            "particle, x) = -h(particle, x), or pass antithetic=False."
        )
    return reflection


def rows_of_a_block(particles: int, rows: int, shared: bool = False) -> int | None:
    """Rows that a device with so many particles computes at once; None where they make too many activations.

    All of them if particles are shared between devices, where each block is a sum over these.
    """
    best = sizes()
    fewest = rows if shared else min(rows, best.fewest_rows)
    if fewest * particles > best.most_activations or fewest > best.largest_block:
        return None
    fitting = best.block_activations // particles
    return max(fewest, min(rows, best.largest_block, fitting))


def check_risk(problem: Problem, algorithm: str) -> None:
    """Raise unless a method that works on the dual has one."""
    if not isinstance(problem, MeanFieldRisk):
        raise TypeError(
            f"{algorithm} needs a MeanFieldRisk, which has a dual, got "
            f"{type(problem).__name__}."
        )


def first_dual(risk: MeanFieldRisk, dtype: DTypeLike) -> Outputs:
    """Return 0, or the nearest feasible dual where that is 0 to rounding: its law is the prior as well."""
    nothing = jnp.zeros((risk.max_size, *risk.neuron.output_shape), dtype)
    nearest = jax.vmap(risk.loss.project)(nothing, risk.targets)
    return jnp.where(jnp.abs(nearest) <= jnp.finfo(dtype).tiny, nearest, nothing)


def by_rows(values: Float[Array, " n"], like: Outputs) -> Outputs:
    """One number a row, shaped to multiply duals or outputs."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def _is_loss(leaf: object) -> bool:
    return isinstance(leaf, Loss)
