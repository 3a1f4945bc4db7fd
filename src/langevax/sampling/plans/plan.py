"""The interface of plans: whether one applies and why not, what it would cost, and how it runs."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from langevax.sampling.request import Request
from langevax.sampling.samples import Samples


class Verdict(NamedTuple):
    """The answer of a plan to a request: it applies, or not, and why."""

    applies: bool
    reason: str = ""
    """Of either; nothing to say where it is the last to be asked."""


class SamplingPlan(ABC):
    """A way to draw from a target: one file of this folder, and one line in `PLANS`."""

    algorithms: ClassVar[tuple[type, ...]] = ()
    """Of which a user passes one to ask for this plan."""

    def verdict(self, request: Request) -> Verdict:
        """Return whether the plan applies, which a user who passes an algorithm decides."""
        if request.is_open:
            return self.offer(request)
        return Verdict(
            isinstance(request.algorithm, self.algorithms),
            f"algorithm={type(request.algorithm).__name__} was passed",
        )

    def offer(self, request: Request) -> Verdict:
        """Return whether the plan applies where the algorithm is "auto"; never, unless a plan says otherwise."""
        return Verdict(False)

    def cost(self, request: Request) -> float:
        """Return the cost of an effective draw, relative to those of other plans, NaN where only tuning tells."""
        return float("nan")

    @abstractmethod
    def draws(self, request: Request, reason: str) -> Samples:
        """Run the plan, with the reason why it was taken."""
