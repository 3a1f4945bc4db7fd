"""Inverse problems in a loop on the host: maps in Python, few coefficients, several modes, unknown hyperparameters."""

from typing import Literal

import equinox as eqx

from langevax import checks
from langevax.sampling.hyperparameter_draws import HierarchicalRun
from langevax.sampling.hyperparameters import HierarchicalInverseProblem
from langevax.sampling.plans.plan import SamplingPlan, Verdict
from langevax.sampling.request import Request
from langevax.sampling.samples import Samples


class HMC(eqx.Module):
    """Hamiltonian dynamics about a normal law: exact, for inverse problems with a gradient; for `sample` alone.

    Args:
        step_size: the angle of a part of a turn, in (0, pi / 2]; "auto" follows the acceptance rate.

    Example:
        >>> import langevax
        >>> langevax.sampling.HMC(step_size=0.5)
        HMC(step_size=0.5)
    """

    step_size: float | Literal["auto"] = "auto"

    def __check_init__(self) -> None:
        checks.number("step_size", self.step_size, positive=True, auto=True)


class OnHost(SamplingPlan):
    """pCN, pCNL or Hamiltonian dynamics on a solver, or independent draws where the map is linear."""

    algorithms = (HMC,)

    def verdict(self, request: Request) -> Verdict:
        """Tried out: what decides is what the map does."""
        if request.posterior.inverse is None:
            if isinstance(request.algorithm, HMC):
                raise ValueError(
                    "HMC is for langevax.inverse_problem; pass langevax.NUTS() for other targets."
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
