"""The plans of `sample`, in the order in which it asks them; a new one is a file here and a line below."""

from langevax import checks
from langevax.sampling.plans.exact import ExactDraws
from langevax.sampling.plans.full_gradients import FullGradients
from langevax.sampling.plans.host import OnHost, UnknownHyperparameters
from langevax.sampling.plans.metropolis import MetropolisSteps, Tempered
from langevax.sampling.plans.minibatches import Minibatches
from langevax.sampling.plans.plan import SamplingPlan, Verdict
from langevax.sampling.request import Request
from langevax.sampling.samples import Samples

PLANS: tuple[SamplingPlan, ...] = (
    UnknownHyperparameters(),
    OnHost(),
    ExactDraws(),
    MetropolisSteps(),
    Tempered(),
    Minibatches(),
    FullGradients(),
)


def planned(request: Request) -> Samples:
    """Draw by the first plan that applies; its reason is its own, or why the one before it did not apply."""
    reason = ""
    for plan in PLANS:
        verdict = plan.verdict(request)
        reason = verdict.reason or reason
        if verdict.applies:
            return plan.draws(request, reason)
    raise ValueError(f"no plan applies to this target: {reason}.")


def check_algorithm(algorithm: object) -> None:
    """Raise unless a plan takes the algorithm."""
    kinds = tuple(kind for plan in PLANS for kind in plan.algorithms)
    if not checks.is_auto(algorithm) and not isinstance(algorithm, kinds):
        raise TypeError(
            "algorithm must be 'auto' or one of "
            f"{', '.join(kind.__name__ for kind in kinds)}, such as langevax.NUTS(), "
            f"got {checks.shown(algorithm)}; run others by langevax.simulate."
        )


__all__ = ["PLANS", "SamplingPlan", "Verdict", "check_algorithm", "planned"]
