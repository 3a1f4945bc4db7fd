"""Products of a neuron's weights with its inputs, in bfloat16 where JAX's matmul precision says so.

A product in bfloat16 is that of its operands rounded to 8 bits of mantissa, summed in float32:

    (a b)_ij = sum_k round(a_ik) round(b_kj),     and for the gradient   da = round(dc) round(b)^T

with c = a b: what matrix units do (Micikevicius et al., Mixed precision training, ICLR 2018; no loss is
scaled, since bfloat16 has the exponents of float32). A product of two numbers of 8 bits is exact in
float32, so that processors without such units get the same numbers here up to the order of sums, from
rounded operands multiplied in float32, and tests can see them. At JAX's own default these are jnp.dot and
jnp.tensordot and nothing else.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from langevax import platforms
from langevax._typing import FloatScalar

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

MANTISSA_BITS = 7  # of bfloat16, the leading one not counted


def in_float32(
    function: Callable[Parameters, Returned],
) -> Callable[Parameters, Returned]:
    """`function` with unrounded products, whatever the precision of its caller."""

    @wraps(function)
    def unrounded(
        *arguments: Parameters.args, **options: Parameters.kwargs
    ) -> Returned:
        with jax.default_matmul_precision("float32"):
            return function(*arguments, **options)

    return unrounded


def describe_precision() -> dict[str, str]:
    """The part of a run's identity that `jax.default_matmul_precision` makes: none at JAX's own default."""
    setting = _setting()
    return {} if setting is None else {"matmul_precision": setting}


def dot(a: Array, b: Array) -> Array:
    """`jnp.dot`, in the current matmul precision."""
    return _product(jnp.dot, a, b)


def tensordot(a: Array, b: Array, axes: int) -> Array:
    """`jnp.tensordot`, in the current matmul precision."""
    return _product(partial(jnp.tensordot, axes=axes), a, b)


def preactivation(
    weights: Float[Array, " coordinates"], x: Float[Array, " features"]
) -> FloatScalar:
    """`<w, x> + b` of weights (w, b), d + 1 numbers, and an input x of d, both of one floating dtype.

    Most neurons are functions of it. It follows `jax.default_matmul_precision`.

    Mapped over weights and inputs, its gradient is one product, with inputs that have a column of ones and fill their
    tiles of columns, instead of a product and a sum for which all slopes are read again: a twelfth less time for a step
    on 10 columns. Where inputs fill their tiles already, the column would cost more than the sum; in bfloat16 it would
    round. JAX's TypeError says which sizes disagree.

    >>> import jax.numpy as jnp, langevax
    >>> float(langevax.neurons.preactivation(jnp.asarray([1.0, 2.0, 0.5]), jnp.asarray([3.0, -1.0])))
    1.5
    """
    # JAX caches the mapped form of a function with a rule of its own, and reuses it where it does not belong
    over_devices = not jax.sharding.get_abstract_mesh().empty
    plain = (
        over_devices
        or _in_bfloat16()
        or len(x) % _tile(x) == 0
        or platforms.platform() != "cpu"
    )
    if plain:
        return dot(weights[:-1], x) + weights[-1]
    return _preactivation(weights, x)


def _tile(x: Array) -> int:
    """Columns of a product that processors compute together: in JAX 0.10 one with 30 columns takes a third longer than
    with 32, one with 49 to 63 two thirds longer than with 64."""
    return 4 if len(x) <= 4 else 8 if len(x) < 40 else 16


@jax.custom_jvp
def _preactivation(weights: Array, x: Array) -> Array:
    return jnp.dot(weights[:-1], x) + weights[-1]


@_preactivation.defjvp
def _preactivation_slopes(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (weights, x) = primals
    (change, dx) = tangents
    missing = jnp.zeros(-len(weights) % _tile(x), x.dtype)
    # of three parts: XLA copies what it recognises as padding number by number, six times as slowly
    filled = jnp.concatenate([x, jnp.ones(1, x.dtype), missing])
    slopes = jnp.concatenate([change, missing.astype(change.dtype)])
    along = jnp.dot(slopes, filled) + jnp.dot(weights[:-1], dx)
    return _preactivation(weights, x), along


def _product(product: Callable[..., Array], a: Array, b: Array) -> Array:
    if not _in_bfloat16():
        return product(a, b)
    dtype = jnp.result_type(a, b)  # of the sums
    a = _rounded(a.astype(dtype))
    b = _rounded(b.astype(dtype))
    whole = partial(product, precision=lax.Precision.HIGHEST)
    if dtype != jnp.float32:  # in float64 runs operands have 8 bits all the same
        return _rounded_back(whole(a, b))
    by_units = partial(
        product, precision=lax.DotAlgorithmPreset.BF16_BF16_F32
    )  # XLA on CPUs may refuse it
    return _rounded_back(lax.platform_dependent(a, b, cpu=whole, default=by_units))


def _setting() -> str | None:
    return jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]


def _in_bfloat16() -> bool:
    return _setting() in ("bfloat16", "BF16_BF16_F32")  # JAX's names of it


def _round(x: Array) -> Array:
    return lax.reduce_precision(x, exponent_bits=8, mantissa_bits=MANTISSA_BITS)


@jax.custom_jvp
def _rounded(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """An operand, rounded; its derivative is the identity, so that a gradient is not rounded after it was summed."""
    return _round(x)


@jax.custom_jvp
def _rounded_back(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """A product as it is, whose derivative is rounded: it is an operand of the products of the gradient."""
    return x


_rounded.defjvp(lambda primals, tangents: (_rounded(*primals), *tangents))
_rounded_back.defjvp(
    lambda primals, tangents: (_rounded_back(*primals), _round(*tangents))
)
