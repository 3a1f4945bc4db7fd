"""Langevin dynamics with batches: for many rows, and a law close to normal."""

from dataclasses import replace

from langevax.gradients import SVRG, Full
from langevax.integrators import Exponential
from langevax.samplers import Langevin
from langevax.sampling.choice import CHEAP_ROWS, Costs
from langevax.sampling.draws import langevin_chains
from langevax.sampling.methods import BiasError, with_sizes
from langevax.sampling.plans.full_gradients import FullGradients
from langevax.sampling.plans.plan import SamplingPlan, Verdict
from langevax.sampling.request import Request
from langevax.sampling.samples import Samples
from langevax.sampling.tolerance import ToleranceError

PASSES = FullGradients()
"""What batches are compared with, and what is taken where they cannot keep a tolerance."""


class Minibatches(SamplingPlan):
    """Langevin dynamics at a step size of small bias; by SVRG where the algorithm is "auto"."""

    algorithms = (Langevin,)

    def offer(self, request: Request) -> Verdict:
        num_rows = int(request.posterior.problem.size)
        if num_rows == 1:
            return Verdict(
                False, "the target is one function, without rows to draw batches from"
            )
        if num_rows <= CHEAP_ROWS:
            return Verdict(False, f"passes over {num_rows:,} rows are cheap")
        fit = request.survey.fit
        if fit is None:
            return Verdict(
                False,
                "no mode was found at which the curvature says something of the law",
            )
        if not fit.is_close:
            return Verdict(
                False, f"{fit}, so that the bias of batches would not be understood"
            )
        size = request.survey.batch_size
        if self.cost(request) > PASSES.cost(request):
            return Verdict(
                False,
                f"passes over {num_rows:,} rows cost less than batches of {size:,} would",
            )
        return Verdict(True, f"batches of {size:,} of {num_rows:,} rows are enough")

    def cost(self, request: Request) -> float:
        survey = request.survey
        return Costs().of_batches(survey.batch_size, survey.operations)

    def draws(self, request: Request, reason: str) -> Samples:
        survey = request.survey
        template = Langevin(gradient=SVRG(), integrator=Exponential())
        if isinstance(request.algorithm, Langevin):
            template = request.algorithm
        problem = survey.coordinates.problem
        if problem.max_size == 1 and not isinstance(template.gradient, Full):
            raise ValueError(
                f"{type(template.gradient).__name__} draws batches, but this target is one function without data; "
                "pass gradients.Full()."
            )
        gradient = with_sizes(
            template.gradient,
            problem,
            survey.mode,
            request.posterior.temperature,
            request.keys.batches,
        )
        method = request.method(replace(template, gradient=gradient))
        try:
            chains = langevin_chains(
                request.chain_run(survey), method, survey.mode, request.step_number
            )
        except BiasError as error:
            if request.is_open:
                return PASSES.draws(request, str(error))
            raise ToleranceError(
                f"tolerance={request.tolerance:g} was not reached: {error}"
            ) from error
        name = f"langevin, {type(gradient).__name__}"
        return request.samples(survey, chains, name, reason)
