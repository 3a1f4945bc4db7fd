"""Independent draws of a posterior that is known to be a normal law."""

from langevax.sampling.exact import independent_chains, reference_coordinates
from langevax.sampling.plans.plan import SamplingPlan, Verdict
from langevax.sampling.request import Request
from langevax.sampling.samples import Samples
from langevax.sampling.target import check_finite


class ExactDraws(SamplingPlan):
    """Draws of the normal posterior of rows of `likelihoods.LinearPredictor(Gaussian(...))`."""

    def offer(self, request: Request) -> Verdict:
        if request.preconditioner != "auto" or request.normal is None:
            return Verdict(False, "the posterior is not known to be a normal law")
        return Verdict(
            True,
            "a linear function with Gaussian prior and noise has a normal posterior, "
            "with independent draws",
        )

    def cost(self, request: Request) -> float:
        """Nothing beside the other plans, which take passes over the rows."""
        return 0.0

    def draws(self, request: Request, reason: str) -> Samples:
        posterior = request.posterior
        assert request.normal is not None
        check_finite(posterior.problem.potential(posterior.position))
        coordinates = reference_coordinates(
            posterior.problem, posterior.position, request.normal, posterior.temperature
        )
        chains = independent_chains(
            coordinates,
            posterior.temperature,
            request.lengths.num_samples,
            request.lengths.num_chains,
            request.keys.sampling,
            request.run,
        )
        return Samples.of(
            chains,
            coordinates,
            posterior.model,
            temperature=posterior.temperature,
            method="exact",
            reason=reason,
            modes=[],
            evaluations=int(posterior.problem.size),
            seconds=request.seconds,
        )
