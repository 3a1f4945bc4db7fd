"""Langevin dynamics with batches: for many rows, and a law close to normal."""

from dataclasses import replace

from langevax.gradients import SVRG
from langevax.integrators import Exponential
from langevax.samplers import Langevin
from langevax.sampling.choice import CHEAP_ROWS, Costs
from langevax.sampling.draws import langevin_chains
from langevax.sampling.methods import check_batches, with_sizes
from langevax.sampling.plans.full_gradients import FullGradients
from langevax.sampling.plans.plan import SamplingPlan, Verdict
from langevax.sampling.request import Request
from langevax.sampling.samples import Samples

PASSES = FullGradients()
"""What batches are compared with."""


class Minibatches(SamplingPlan):
    """Langevin dynamics at a step size of small bias; by SVRG where the algorithm is "auto"."""

    algorithms = (Langevin,)

    def offer(self, request: Request) -> Verdict:
        if request.tolerance is not None:
            return Verdict(False, "a tolerance is kept by exact methods alone")
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
        size, every = request.survey.batch
        if self.cost(request) > PASSES.cost(request):
            return Verdict(
                False,
                f"passes over {num_rows:,} rows cost less than batches of {size:,} "
                "would",
            )
        enough = f"batches of {size:,} of {num_rows:,} rows are enough"
        if number := len(every):
            enough += (
                f", with {number:,} in every step, as few others inform what these do"
            )
        return Verdict(True, enough)

    def cost(self, request: Request) -> float:
        survey = request.survey
        rows = survey.batch.size + len(survey.batch.every)
        return Costs().of_batches(rows, survey.operations)

    def draws(self, request: Request, reason: str) -> Samples:
        template = Langevin(gradient=SVRG(), integrator=Exponential())
        if isinstance(request.algorithm, Langevin):
            template = request.algorithm
        check_batches(template.gradient, request.posterior.problem)
        survey = request.survey.with_rows_apart()
        gradient = with_sizes(
            template.gradient,
            survey.coordinates.problem,
            survey.mode,
            request.posterior.temperature,
            request.keys.batches,
        )
        method = request.method(replace(template, gradient=gradient))
        chains = langevin_chains(survey, method, request.step_number)
        name = f"langevin, {type(gradient).__name__}"
        return request.samples(survey, chains, name, reason)
