"""Two-phase training of a ReLU network: explore with noise, switch to the same function, converge.

Akiyama and Suzuki, ICLR 2023, Algorithm 1, from several starts at once; of those the one of least training loss is
taken. The excess risk falls like m d v^2 / n where linear estimators, such as kernels, stay above
n^{-(d+2)/(2d+2)} (their Theorems 4.1 and 4.5). Restarts are not in the paper: one run in two finds the right number of
positive neurons (d = 10, m = 5), and those end about where descent from the teacher does. Cost of a step: two passes
over n m d numbers for each restart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float

from langevax import checks, trees
from langevax._typing import PRNGKey
from langevax.algorithm import State
from langevax.problems.blocks import as_rows
from langevax.renamed import refuse_former
from langevax.run import Result, simulate
from langevax.run.options import Run, check_unsaved
from langevax.run.result import is_stationary
from langevax.teacher_student.errors import NetworkErrors, block_size_for
from langevax.teacher_student.networks import ReLUNetwork
from langevax.teacher_student.phases import ClippedError, Converge, Explore

FEWEST_RECORDS = 20
"""Of a phase, from which a plateau is detected."""


class StandardNormal(eqx.Module):
    """The paper's start: all numbers of theta independent N(0, 1).

    Which signs are drawn matters little where phase I has noise: at the defaults, from 0, 1, ..., 5 positive neurons of
    five, .48 to .60 of restarts succeed (d = 10, n = 1024, noise 0.1). So signs are not spread over restarts.
    """

    num_neurons: int
    dim: int
    dtype: str

    def __call__(self, key: PRNGKey) -> ReLUNetwork:
        shapes = ReLUNetwork(
            jax.ShapeDtypeStruct((self.num_neurons,), jnp.dtype(self.dtype)),
            jax.ShapeDtypeStruct((self.num_neurons, self.dim), jnp.dtype(self.dtype)),
        )
        return trees.normal_like(shapes, key=key)


@dataclass(frozen=True)
class TwoPhaseFit:
    """The trained restarts, of which the best is taken."""

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
        return jax.tree.map(
            lambda leaf: np.asarray(leaf)[self.best], self.result.position
        )

    @property
    def switch(self) -> int:
        """The step at which phase II began."""
        return self.result.phases[0]

    @property
    def num_positive(self) -> np.ndarray:
        """Neurons with a positive outer weight, of each restart; phase II cannot change them."""
        return np.sum(np.asarray(self.result.position.outer) > 0, axis=1)


@refuse_former
def two_phase(
    inputs: Float[Any, "n d"],
    targets: Float[Any, " n"],
    num_neurons: int,
    *,
    key: PRNGKey,
    explore: Explore = Explore(),  # noqa: B008 - immutable
    converge: Converge = Converge(),  # noqa: B008 - immutable
    start: ReLUNetwork | Callable[[PRNGKey], ReLUNetwork] | Literal["auto"] = "auto",
    num_restarts: int = 6,
    record_every: int | None = None,
    weights: Float[Any, " n"] | None = None,
    intercept: bool = False,
    run: Run = Run(),
    num_records: int = 200,
) -> TwoPhaseFit:
    """Train a network of `num_neurons` neurons on `inputs` and `targets`.

    Args:
        inputs: (n, d), in units where |x| is about 1.
        targets: (n,), of order one.
        num_neurons: m, the teacher's where it is known. More than d is allowed; the theorem asks for m <= d.
        key: a typed key.
        explore, converge: the phases and their lengths.
        start: of phase I: a `ReLUNetwork` of theta, or a function of a key that draws one; "auto" draws N(0, I).
        num_restarts: independent runs, all in one program.
        record_every: steps between records of networks and training losses.
        weights: (n,) >= 0, what each row counts; rows of weight 0 are padding.
        intercept: losses are those of f + b with the best b, the mean of y - f.
        run: a `langevax.Run`; it saves nothing.
        num_records: of a phase that ends where its records say so.

    Returns:
        A `TwoPhaseFit`.

    Raises:
        TypeError, ValueError: a mistake in an argument.
        DivergenceError: a step size is too large for these inputs.

    Example:
        >>> from langevax.teacher_student import orthogonal_teacher, teach
        >>> X, y = teach(orthogonal_teacher(2, 3), 200, noise=0.0, key=jax.random.key(0))
        >>> short = Explore(num_steps=500), Converge(num_steps=500)
        >>> fit = two_phase(X, y, 2, key=jax.random.key(1), explore=short[0], converge=short[1])
        >>> bool(fit.losses.min() < 1e-3), fit.result.phases
        (True, (500, 1000))
    """
    num_neurons = checks.whole("num_neurons", num_neurons)
    num_restarts = checks.whole("num_restarts", num_restarts)
    checks.typed_key(key)
    checks.instance("explore", explore, Explore, "Explore(num_steps=3000)")
    checks.instance("converge", converge, Converge, "Converge(num_steps=8000)")
    checks.flag("intercept", intercept)
    check_unsaved(run, "two_phase")
    inputs, targets = _checked_rows(inputs, targets)
    explore_key, converge_key = random.split(key)
    if isinstance(start, str):
        start = StandardNormal(num_neurons, inputs.shape[1], str(inputs.dtype))
    block_size = block_size_for(num_neurons * num_restarts, inputs.shape[1])
    data = inputs, targets, weights, intercept, block_size

    every = record_every
    if explore.plateau:
        every = every or max(1, explore.num_steps // num_records)
    explored = simulate(
        explore.algorithm(),
        explore.problem(*data),
        start,
        key=explore_key,
        num_steps=explore.num_steps,
        num_chains=num_restarts,
        run=run,
        **_records(every, at_plateau if explore.plateau else None),
    )
    switched = explored.map(ClippedError(explore.bound).network)

    settles = converge.tolerance > 0
    if settles:
        every = record_every or max(1, converge.num_steps // num_records)
    second = converge.problem(*data)
    converged = simulate(
        converge.algorithm(inputs, num_neurons, weights),
        second,
        switched,
        key=converge_key,
        num_steps=converge.num_steps,
        run=run,
        **_records(every, Settled(converge.tolerance) if settles else None),
    )
    losses = np.asarray(_losses(second, converged.position))
    return TwoPhaseFit(switched.then(converged), losses)


def _checked_rows(inputs: Any, targets: Any) -> tuple[Array, Array]:
    """Inputs and targets in the floating type of the inputs; raise where they are not n rows and n numbers."""
    inputs = as_rows("inputs", inputs)
    targets = as_rows("targets", targets)
    checks.leading_axis("(inputs, targets)", {"inputs": inputs, "targets": targets})
    for name, array in (("inputs", inputs), ("targets", targets)):
        checks.finite(name, array, remedy="drop or impute these rows")
    if np.ndim(inputs) != 2 or np.ndim(targets) != 1:
        raise ValueError(
            f"inputs must be (n, d) and targets (n,), got {np.shape(inputs)} and "
            f"{np.shape(targets)}."
        )
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        inputs = inputs.astype(float)
    return inputs, targets.astype(inputs.dtype)


def _records(
    every: int | None, stop: Callable[[Any, Any], bool] | None
) -> dict[str, Any]:
    """Options of `simulate`: what a phase records, and what ends it on the same grid."""
    options: dict[str, Any] = {"record": network_and_loss, "record_every": every}
    if stop is not None:
        options |= {"callbacks": (stop,), "callback_every": every}
    return options


def network_and_loss(problem: NetworkErrors, state: State) -> dict[str, Any]:
    """Record of either phase: the network with outer weights -1, 0 or 1, and the training loss without penalty."""
    return {
        "network": problem.loss.network(state.position),
        "loss": problem.value(state.position),
    }


def at_plateau(trace: Any, _state: Any) -> bool:
    """Callback of `simulate`: stop once the logarithms of the recorded losses of all restarts have settled."""
    if trace is None:
        return False
    return is_stationary(
        np.log(np.maximum(trace.values["loss"], np.finfo(np.float32).tiny)).T,
        FEWEST_RECORDS,
    )


@dataclass(frozen=True)
class Settled:
    """Callback of `simulate`: stop once the best restart's loss changed by at most a share `tolerance` in the second
    half of the steps so far, with `FEWEST_RECORDS` records at least."""

    tolerance: float

    def __call__(self, trace: Any, _state: Any) -> bool:
        if trace is None or len(trace) < FEWEST_RECORDS:
            return False
        least = np.min(trace.values["loss"], axis=0)
        return bool(
            abs(least[-1] - least[(len(least) - 1) // 2]) <= self.tolerance * least[-1]
        )


@eqx.filter_jit
def _losses(
    problem: NetworkErrors, positions: ReLUNetwork
) -> Float[Array, " restarts"]:
    return jax.vmap(problem.value)(positions)
