"""Two-phase training of a ReLU network: explore with noise, switch to the same function, converge.

Akiyama and Suzuki, ICLR 2023, Algorithm 1, from several starts at once; of those the one of least training loss is
taken. The excess risk falls like m d v^2 / n where linear estimators, kernels among them, are stuck above
n^{-(d+2)/(2d+2)} (their Theorems 4.1 and 4.5). Restarts are not in the paper: one run in two finds the right number of
positive neurons (d = 10, m = 5), and those end about where descent from the teacher does. Cost of a step: two passes
over n m d numbers for each restart.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Key

from langevax import checks, trees
from langevax.problems.blocks import as_rows
from langevax.run import Result, simulate
from langevax.run.result import is_stationary
from langevax.teacher_student.networks import ReLUNetwork
from langevax.teacher_student.phases import ClippedError, Converge, Explore
from langevax.teacher_student.rows import block_size_for

NUM_RESTARTS = 6
LOOKS = 200
"""Records of phase I by which a plateau is told."""
FEWEST_LOOKS = 20


class StandardNormal(eqx.Module):
    """The paper's start: all numbers of theta independent N(0, 1).

    Which signs it draws matters little where phase I has noise: at the defaults, from 0, 1, ..., 5 positive neurons of
    five, .48 to .60 of restarts succeed (d = 10, n = 1024, noise 0.1). So signs are not spread over restarts.
    """

    num_neurons: int
    dim: int
    dtype: str

    def __call__(self, key: Key[Array, ""]) -> ReLUNetwork:
        shapes = ReLUNetwork(
            jax.ShapeDtypeStruct((self.num_neurons,), jnp.dtype(self.dtype)),
            jax.ShapeDtypeStruct((self.num_neurons, self.dim), jnp.dtype(self.dtype)),
        )
        return trees.normal_like(key, shapes)


@dataclass(frozen=True)
class TwoPhaseFit:
    """What training gives: every restart, and the one that is taken."""

    result: Result
    """Both phases as one record. `result.position` is a `ReLUNetwork` with a first axis of restarts; records, where
    there are any, are {"network", "loss"}, networks of either phase with outer weights -1, 0 or 1."""
    losses: Float[np.ndarray, " restarts"]
    """Training loss (1/2n) sum_i (f(x_i) - y_i)^2 at the end."""

    @property
    def best(self) -> int:
        """The restart of least training loss."""
        return int(np.argmin(self.losses))

    @property
    def network(self) -> ReLUNetwork:
        """The best restart's, as NumPy arrays."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[self.best], self.result.position)

    @property
    def switch(self) -> int:
        """The step at which phase II began."""
        return self.result.phases[0]

    @property
    def num_positive(self) -> np.ndarray:
        """Neurons with a positive outer weight, of each restart; phase II cannot change them."""
        return np.sum(np.asarray(self.result.position.outer) > 0, axis=1)


def two_phase(
    inputs: Float[Any, "n d"],
    targets: Float[Any, " n"],
    num_neurons: int,
    *,
    key: Key[Array, ""],
    explore: Explore = Explore(),  # noqa: B008 - immutable
    converge: Converge = Converge(),  # noqa: B008 - immutable
    start: Any = None,
    num_restarts: int = NUM_RESTARTS,
    record_every: int | None = None,
    weights: Any = None,
    intercept: bool = False,
    progress: bool | None = None,
) -> TwoPhaseFit:
    """Train a network of `num_neurons` neurons on `inputs` and `targets`.

    Args:
        inputs: (n, d), in units where |x| is about 1.
        targets: (n,), of order one.
        num_neurons: m, the teacher's where it is known. More than d is allowed; the theorem asks for m <= d.
        key: a typed key.
        explore, converge: the phases and their lengths.
        start: of phase I: None draws N(0, I), or a `ReLUNetwork` of theta, or a function of a key that draws one.
        num_restarts: independent runs, all in one program.
        record_every: keep networks and training losses after every so many steps.
        weights: (n,) >= 0, what each row counts; rows of weight 0 are padding.
        intercept: losses are those of f + b with the best b, the mean of y - f.

    Returns:
        A `TwoPhaseFit`.

    Raises:
        TypeError, ValueError: a mistake in an argument.
        DivergenceError: a step size is too large for these inputs.

    Example:
        >>> from langevax.teacher_student import orthogonal_teacher, teach
        >>> X, y = teach(orthogonal_teacher(2, 3), jax.random.key(0), 200, noise=0.0)
        >>> short = Explore(num_steps=500), Converge(num_steps=500)
        >>> fit = two_phase(X, y, 2, key=jax.random.key(1), explore=short[0], converge=short[1])
        >>> bool(fit.losses.min() < 1e-3), fit.result.phases
        (True, (500, 1000))
    """
    checks.positive_int("num_neurons", num_neurons)
    checks.positive_int("num_restarts", num_restarts)
    checks.typed_key(key)
    inputs, targets = as_rows("inputs", inputs), as_rows("targets", targets)
    if np.ndim(inputs) != 2 or np.ndim(targets) != 1:
        raise ValueError(f"inputs must be (n, d) and targets (n,), got {np.shape(inputs)} and {np.shape(targets)}.")
    inputs = inputs if jnp.issubdtype(inputs.dtype, jnp.floating) else inputs.astype(float)
    targets = targets.astype(inputs.dtype)
    explore_key, converge_key = random.split(key)
    if start is None:
        start = StandardNormal(num_neurons, inputs.shape[1], str(inputs.dtype))
    given = inputs, targets, weights, intercept, block_size_for(num_neurons * num_restarts, inputs.shape[1])
    first = explore.problem(*given)
    kept = record_every or (max(1, explore.num_steps // LOOKS) if explore.plateau else None)
    watched = {"callbacks": (at_plateau,), "callback_every": kept} if explore.plateau else {}
    common: dict[str, Any] = {"record": network_and_loss, "record_every": kept, "progress": progress}
    explored = simulate(
        explore.algorithm(),
        first,
        start,
        key=explore_key,
        num_steps=explore.num_steps,
        num_chains=num_restarts,
        **watched,
        **common,
    )
    second = converge.problem(*given)
    switched = explored.map(ClippedError(explore.bound).network)
    watched = {}
    if converge.tolerance > 0:
        kept = record_every or max(1, converge.num_steps // LOOKS)
        watched = {"callbacks": (Settled(converge.tolerance),), "callback_every": kept}
        common |= {"record_every": kept}
    converged = simulate(
        converge.algorithm(inputs, num_neurons, weights),
        second,
        switched,
        key=converge_key,
        num_steps=converge.num_steps,
        **watched,
        **common,
    )
    return TwoPhaseFit(switched.then(converged), _losses(second, converged.position))


def network_and_loss(problem: Any, state: Any) -> dict[str, Any]:
    """The record of either phase: the network with outer weights -1, 0 or 1, and the training loss without penalty."""
    return {"network": problem.loss.network(state.position), "loss": problem.value(state.position)}


def at_plateau(trace: Any, _state: Any) -> bool:
    """A callback of `simulate`: whether the logarithms of the recorded losses, of all restarts, stand still."""
    if trace is None:
        return False
    return is_stationary(np.log(np.maximum(trace.values["loss"], np.finfo(np.float32).tiny)).T, FEWEST_LOOKS)


@dataclass(frozen=True)
class Settled:
    """A callback of `simulate`: whether the best restart's loss has changed by `tolerance` of it at most in the second
    half of the steps so far, of `FEWEST_LOOKS` looks at least."""

    tolerance: float

    def __call__(self, trace: Any, _state: Any) -> bool:
        if trace is None or len(trace) < FEWEST_LOOKS:
            return False
        least = np.min(trace.values["loss"], axis=0)
        return bool(abs(least[-1] - least[(len(least) - 1) // 2]) <= self.tolerance * least[-1])


@eqx.filter_jit
def _all_losses(problem: Any, positions: ReLUNetwork) -> Float[Array, " restarts"]:
    return jax.vmap(problem.value)(positions)


def _losses(problem: Any, positions: ReLUNetwork) -> Float[np.ndarray, " restarts"]:
    return np.asarray(_all_losses(problem, positions))
