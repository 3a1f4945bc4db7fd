"""NUTS, which is exact, tunes itself and takes full passes: for all that no other plan takes."""

import equinox as eqx

from langevax.sampling.choice import Costs
from langevax.sampling.nuts import NUTS
from langevax.sampling.nuts_chains import PeakError, nuts_chains
from langevax.sampling.plans.plan import SamplingPlan, Verdict
from langevax.sampling.request import Request
from langevax.sampling.samples import Samples


class FullGradients(SamplingPlan):
    """NUTS from about the modes, or from around the start where the law is far from normal there."""

    algorithms = (NUTS,)

    def offer(self, request: Request) -> Verdict:
        return Verdict(True)

    def cost(self, request: Request) -> float:
        survey = request.survey
        num_rows = int(request.posterior.problem.size)
        return Costs().of_passes(num_rows, len(survey.mode), survey.operations)

    def draws(self, request: Request, reason: str) -> Samples:
        nuts = request.algorithm if isinstance(request.algorithm, NUTS) else NUTS()
        if not eqx.tree_equal(nuts, NUTS(target_accept=nuts.target_accept)):
            raise ValueError(
                "NUTS adapts its own step size and variances in sample; leave all but "
                "target_accept out."
            )
        survey = request.survey
        target_accept = float(nuts.target_accept)
        try:
            chains, coordinates = nuts_chains(survey, target_accept)
        except PeakError as error:
            survey = survey.around_start(error.evaluations)
            reason = f"{reason}; {error}, and chains start anew around the start"
            chains, coordinates = nuts_chains(survey, target_accept)
        return request.samples(survey, chains, "nuts", reason, coordinates)
