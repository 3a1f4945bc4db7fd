"""Inverse problems in a loop on the host: maps in Python, few coefficients, several modes, unknown hyperparameters."""

from langevax.sampling.hyperparameter_draws import HierarchicalRun
from langevax.sampling.hyperparameters import HierarchicalInverseProblem
from langevax.sampling.moves import HMC
from langevax.sampling.plans.plan import SamplingPlan, Verdict
from langevax.sampling.request import Request
from langevax.sampling.samples import Samples


class OnHost(SamplingPlan):
    """pCN, pCNL or Hamiltonian dynamics on a solver, or independent draws where the map is linear."""

    algorithms = (HMC,)

    def verdict(self, request: Request) -> Verdict:
        """Tried out: what decides is what the map does."""
        if request.posterior.inverse is None:
            if isinstance(request.algorithm, HMC):
                raise ValueError(
                    "HMC is for langevax.inverse_problem; pass langevax.NUTS() for "
                    "other targets."
                )
            return Verdict(False)
        samples = request.host_draws
        return Verdict(samples is not None, "" if samples is None else samples.reason)

    def draws(self, request: Request, reason: str) -> Samples:
        samples = request.host_draws
        assert samples is not None
        return samples


class UnknownHyperparameters(SamplingPlan):
    """Steps of the function alternate with steps of the parameters, or these with the function integrated out."""

    def verdict(self, request: Request) -> Verdict:
        """Its target has no other plan, which `HierarchicalRun` says where another algorithm is passed."""
        return Verdict(isinstance(request.target, HierarchicalInverseProblem))

    def draws(self, request: Request, reason: str) -> Samples:
        assert isinstance(request.target, HierarchicalInverseProblem)
        run = HierarchicalRun(
            request.target,
            request.dynamics,
            request.lengths,
            request.run.progress,
            request.key,
        )
        others = {
            "step_size": request.step_size,
            "temperature": request.temperature,
            "checkpoint": request.run.checkpoint,
            "preconditioner": request.preconditioner,
        }
        return run.draws(request.start, others)
