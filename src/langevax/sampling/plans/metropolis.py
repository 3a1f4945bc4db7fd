"""Metropolis methods about a mode: MALA, pCN and pCNL against the Gaussian prior, and MALA at several temperatures."""

from langevax.samplers import MALA, PCN, PCNL, ReplicaExchange
from langevax.sampling.draws import langevin_chains
from langevax.sampling.plans.plan import SamplingPlan, Verdict
from langevax.sampling.request import Request
from langevax.sampling.samples import Samples
from langevax.sampling.tempering import tempered_chains


class MetropolisSteps(SamplingPlan):
    """Exact steps with full gradients, whose size follows their acceptance.

    Functions take pCNL where the algorithm is "auto".
    """

    algorithms = (MALA, PCN, PCNL)

    def offer(self, request: Request) -> Verdict:
        if request.posterior.inverse is None:
            return Verdict(False)
        return Verdict(True, "the unknown is a function")

    def draws(self, request: Request, reason: str) -> Samples:
        survey = request.survey
        template = PCNL() if request.is_open else request.algorithm
        method = request.method(template)
        chains = langevin_chains(survey, method, request.step_number)
        name = type(template).__name__.lower()
        return request.samples(survey, chains, name, reason)


class Tempered(SamplingPlan):
    """Replicas of MALA at temperatures that cross the deepest valley the pilot met, for laws with several modes."""

    algorithms = (ReplicaExchange,)

    def draws(self, request: Request, reason: str) -> Samples:
        survey = request.survey
        chains = tempered_chains(survey, request.algorithm, request.step_number)
        return request.samples(survey, chains, "tempered", reason)
