"""Metropolis methods about a mode: MALA, pCN and pCNL against the Gaussian prior, and MALA at several temperatures."""

from langevax.samplers import MALA, PCN, PCNL, ReplicaExchange
from langevax.sampling.draws import langevin_chains
from langevax.sampling.plans.plan import SamplingPlan, Verdict
from langevax.sampling.request import Request
from langevax.sampling.samples import Samples
from langevax.sampling.tempering import tempered_chains


class MetropolisSteps(SamplingPlan):
    """Exact steps with full gradients, whose size follows their acceptance; pCNL for functions."""

    algorithms = (MALA, PCN, PCNL)

    def offer(self, request: Request) -> Verdict:
        is_function = request.posterior.inverse is not None
        return Verdict(is_function, "the unknown is a function" if is_function else "")

    def draws(self, request: Request, reason: str) -> Samples:
        survey = request.survey
        template = PCNL() if request.is_open else request.algorithm
        chains = langevin_chains(
            request.chain_run(survey),
            request.method(template),
            survey.mode,
            request.step_number,
        )
        name = type(template).__name__.lower()
        return request.samples(survey, chains, name, reason)


class Tempered(SamplingPlan):
    """Replicas of MALA at temperatures that cross the deepest valley the pilot met, for laws with several modes."""

    algorithms = (ReplicaExchange,)

    def draws(self, request: Request, reason: str) -> Samples:
        survey = request.survey
        chains = tempered_chains(
            request.chain_run(survey),
            request.algorithm,
            survey.mode,
            request.step_number,
            survey.exploration.depth,
        )
        return request.samples(survey, chains, "tempered", reason)
