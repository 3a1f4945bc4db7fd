"""Uniform random batches of row indices in O(batch), whatever n.

Sorting n random numbers, as `jax.random.choice(replace=False)` does, costs 39 ms at n = 10^4; a step
costs microseconds. Distinct indices come instead from a keyed permutation of 0..n-1 that is computed
only at the places needed: rounds of invertible mixing on the smallest power of two >= n, repeated on
the few values that fall outside (cycle walking, Black and Rogaway 2002).
"""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, UInt32

from langevax import checks
from langevax._typing import IntScalar, PRNGKey
from langevax.problems.problem import Indices, Problem, Size

MixingBits = UInt32[Array, " numbers"]
Permutation = MixingBits | tuple[()]

Count: TypeAlias = int | Any
"""An int, or "auto", in whose place `langevax.sample` puts one."""

PERMUTATION_ROUNDS = 10
"""Mixing rounds of the permutation. At 10 the pairs of a batch are uniform to the error of 4 million draws; at 6 they
are off by 1-2 % where n is small."""


def draw(
    key: PRNGKey,
    problem: Problem,
    batch_size: int,
    replace: bool,
    permutation: Permutation = (),
    number: Size = 0,
) -> tuple[Indices, Permutation]:
    """`batch_size` indices, each uniform on 0..size-1, distinct unless `replace`; and the next batch's permutation.

    The mean over a batch has variance Xi * population variance, with Xi = (n - B) / (B (n - 1)) for
    distinct indices (Kinoshita and Suzuki, NeurIPS 2022) and Xi = 1 / B with replacement.

    With a permutation (`permutation_state(True)`), batch `number` 0, 1, 2, ... is a block of one permutation for each
    n // B batches: Xi of one batch is that of distinct indices, but the means of a whole pass add up to that of all
    rows (where B divides n; n mod B rows sit a pass out), so that the noise of batches cancels over a pass.
    """
    size = jnp.asarray(problem.size, jnp.int32)
    places = jnp.arange(batch_size, dtype=jnp.int32)
    if isinstance(permutation, Array):
        block = jnp.asarray(number, jnp.int32) % (size // batch_size)
        permutation = jnp.where(block == 0, _mixing_bits(key), permutation)
        return _permuted(permutation, places + block * batch_size, size), permutation
    if replace:
        return jax.random.randint(key, (batch_size,), 0, size, jnp.int32), permutation
    if isinstance(problem.size, int) and batch_size == problem.size:
        return places, permutation
    return permuted(key, places, size), permutation


def permutation_state(reshuffle: bool) -> Permutation:
    """The state of an estimator between batches: the permutation of the pass, or nothing."""
    return jnp.zeros(2 * PERMUTATION_ROUNDS + 1, jnp.uint32) if reshuffle else ()


def batches_before(step: IntScalar, period: int) -> IntScalar:
    """Batches drawn before `step` by an estimator that takes all rows at every `period`-th one."""
    return step - step // period - 1


def schedule_key(key: PRNGKey | None) -> PRNGKey:
    """The key of what all chains of a run share, such as the blocks of a table: `jax.random.key(0)` by default."""
    return jax.random.key(0) if key is None else key


def check_drawing(
    batch_size: Count,
    replace: bool = False,
    reshuffle: bool = False,
    *,
    key: PRNGKey | None = None,
) -> None:
    """Raise unless the arguments that estimators share are valid."""
    checks.positive_int("batch_size", batch_size, auto=True)
    checks.flag("replace", replace)
    checks.flag("reshuffle", reshuffle)
    if key is not None:
        checks.typed_key(key)
    if replace and reshuffle:
        raise ValueError(
            "replace and reshuffle are both True; blocks of a permutation are drawn without replacement."
        )


def permuted(key: PRNGKey, places: Indices, size: IntScalar) -> Indices:
    """The entries at `places` of a pseudo-random permutation of 0..size-1 that belongs to `key`."""
    return _permuted(_mixing_bits(key), places, jnp.asarray(size, jnp.int32))


def _mixing_bits(key: PRNGKey) -> MixingBits:
    return jax.random.bits(key, (2 * PERMUTATION_ROUNDS + 1,), jnp.uint32)


def _permuted(bits: MixingBits, places: Indices, size: IntScalar) -> Indices:
    size = size.astype(jnp.uint32)
    width = 32 - lax.clz(jnp.maximum(size, 2) - 1)
    mask = (jnp.uint32(1) << width) - jnp.uint32(1)
    half = (width + 1) // 2

    def mix(x: UInt32[Array, " batch"]) -> UInt32[Array, " batch"]:
        for r in range(
            PERMUTATION_ROUNDS
        ):  # odd multiplication, addition and xor-shift are each invertible modulo 2^width
            x = (x * (bits[2 * r] | jnp.uint32(1)) + bits[2 * r + 1]) & mask
            x = x ^ (x >> half)
        return x

    first = mix(places.astype(jnp.uint32))
    inside = lax.while_loop(
        lambda x: jnp.any(x >= size), lambda x: jnp.where(x >= size, mix(x), x), first
    )
    # a uniform rotation makes each index exactly uniform, whatever the mixing
    shift = bits[-1] % size
    return ((inside + shift) % size).astype(jnp.int32)


def check_batch_size(batch_size: int, problem: Problem, replace: bool) -> None:
    """Raise if a batch of distinct indices cannot be drawn from this problem."""
    bound = problem.max_size
    if checks.is_concrete(problem.size):
        bound = int(problem.size)
    if not replace and batch_size > bound:
        raise ValueError(
            f"batch_size is {batch_size} but the problem has {bound} components; "
            f"pass batch_size <= {bound}, or replace=True to draw with replacement."
        )
