"""Collapse of a run on a network: seen in its losses, and answered by a smaller step size.

At too large a step a network saturates: its loss stays finite, at many times the start or at that of chance, and more
rounds do not help. Losses of single rounds are noisy, so that m is the median of the last five. With L_0 the loss
at the start and G the largest gain L_0 - L so far, a run has collapsed where

    the loss is not finite, or
    m > L_0 + max(|L_0|, G):                                      it is far above the start, or
    G > |L_0| / 20  and  L_0 - m < G / 4:                         three quarters of an earlier gain are lost, or
    G <= |L_0| / 20  and  the largest loss > L_0 + |L_0| / 20:    after ten evaluations it rose without a gain.

A loss of 0 at the start gives no scale: then only the first rule applies. In networks of 16 to 32 neurons on digits,
FLEDGE and BVR-L-SGD collapse at steps of 0.25 to 0.5, SCAFFOLD and FedAvg at 2.
"""

import math
import statistics
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from langevax import checks
from langevax._typing import PyTree
from langevax.federated.rounds import Federated
from langevax.problems.federation import Federation


class CollapseError(ArithmeticError):
    """The loss shows that a run has collapsed.

    Attributes:
        round: rounds done.
        reason: the losses, in words.
        suggested_step_size: a quarter of the run's, or None where that is a schedule.
    """

    def __init__(
        self,
        round: int,
        reason: str,
        step_size: float | None,
    ):
        self.round = round
        self.reason = reason
        self.suggested_step_size: float | None = None
        remedy = "scale the step-size schedule down, for example by 4"
        if step_size is not None:
            smaller = self.suggested_step_size = step_size / 4
            remedy = f"step_size is {step_size:.3g}, try step_size={smaller:.3g}"
        super().__init__(f"the run has collapsed by round {round}: {reason}; {remedy}.")


class LossWatch:
    """The losses of a run, in the order of its rounds; the first is that of the start.

    Args:
        algorithm: the federated method, for the step size that is suggested.
        raises: False only records the losses.
        window: evaluations in a median.
        patience: evaluations without a gain after which an earlier rise counts.
        noticeable: share of the loss at the start from which a gain or a rise counts.
        lost: share of the gain whose loss counts.
    """

    def __init__(
        self,
        algorithm: Federated,
        raises: bool = True,
        *,
        window: int = 5,
        patience: int = 10,
        noticeable: float = 0.05,
        lost: float = 0.75,
    ):
        self.raises = raises
        self.window = window
        self.patience = patience
        self.noticeable = noticeable
        self.lost = lost
        step_size: Any = getattr(algorithm, "step_size", None)
        self.step_size: float | None = (
            None if callable(step_size) or step_size is None else float(step_size)
        )
        self.losses: list[float] = []

    def add(self, round: int, loss: float) -> None:
        """Add a loss; raise `CollapseError` where the run has collapsed."""
        self.losses.append(loss)
        if self.raises and (reason := self._reason()) is not None:
            raise CollapseError(round, reason, self.step_size)

    def _reason(self) -> str | None:
        start = self.losses[0]
        last = self.losses[-1]
        if not math.isfinite(last):
            return f"the loss is {last}"
        later = self.losses[1:]
        if len(later) < self.window or start == 0:
            return None
        now = statistics.median(later[-self.window :])
        best = min(self.losses)
        gain = start - best
        noticeable = self.noticeable * abs(start)
        words = f"the loss is {now:.3g}, the median of {self.window} evaluations, where it was {start:.3g} at the start"
        if now > start + max(abs(start), gain):
            return words
        if (
            gain > noticeable
            and start - now < (1 - self.lost) * gain
            and best not in later[-self.window :]
        ):
            return f"{words} and {best:.3g} at its best"
        if (
            len(later) >= self.patience
            and gain <= noticeable
            and max(later) > start + noticeable
        ):
            return f"{words}, and it rose to {max(later):.3g}"
        return None


class CollapseWatch:
    """A callback of `simulate` that ends a run which has collapsed; see this file's head.

    Each call evaluates the loss of all clients' rows once. The command line and Flower watch the losses that they
    evaluate anyway.

    Args:
        algorithm: the federated method of the run.
        federation: of the run, which has one chain.
        start: of the run.
        every: rounds between two evaluations; pass it as `callback_every` too.

    Raises:
        TypeError, ValueError: an invalid argument; a run of several chains.
        CollapseError: by the callback, with the round, the losses and a smaller step size.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: 1 - jnp.cos(x - row), jnp.zeros((3, 2)))
        >>> method = langevax.federated.FedAvg(step_size=100.0, num_local_steps=4)
        >>> watch = langevax.federated.CollapseWatch(method, federation, jnp.array(0.1))
        >>> options = {"key": jax.random.key(0), "num_steps": 50, "callbacks": [watch], "callback_every": watch.every}
        >>> try:
        ...     langevax.simulate(method, federation, jnp.array(0.1), **options)
        ... except langevax.federated.CollapseError as error:
        ...     print(error.round, error.suggested_step_size)
        5 25.0
    """

    def __init__(
        self,
        algorithm: Federated,
        federation: Federation,
        start: PyTree,
        every: int = 1,
    ):
        checks.instance(
            "algorithm", algorithm, Federated, "langevax.federated.FedAvg(0.1, 4)"
        )
        checks.instance(
            "federation", federation, Federation, "langevax.Federation(loss, rows)"
        )
        checks.positive_int("every", every)
        start = checks.arrays("start", start)
        checks.position("start", start)
        self.federation = federation
        self.shapes: list[tuple[int, ...]] = [
            jnp.shape(leaf) for leaf in jax.tree.leaves(start)
        ]
        self.every = int(every)
        self.watch: LossWatch = LossWatch(algorithm)
        self.watch.add(0, self._loss(start))

    def __call__(self, trace: Any, state: Any) -> None:
        if [jnp.shape(leaf) for leaf in jax.tree.leaves(state.position)] != self.shapes:
            raise ValueError(
                "callbacks has a CollapseWatch, which watches one chain; run each with num_chains=None."
            )
        self.watch.add(self.every * len(self.watch.losses), self._loss(state.position))

    def _loss(self, position: PyTree) -> float:
        return float(_value(self.federation, position))


@eqx.filter_jit
def _value(federation: Federation, position: PyTree) -> Any:
    return federation.value(position)
