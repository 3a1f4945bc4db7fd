"""What a fitted mean-field network can be asked: its certificate, its kernel limit, its pictures."""

from typing import Any, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from langevax.meanfield import Certificate, certify
from langevax.meanfield.certificate import PILOT, SUSPICIOUS, DualEstimate
from langevax.sklearn.kernel_limit import NeuronFeatures
from langevax.sklearn.parameters import Automatic
from langevax.sklearn.plots import Plots
from langevax.sklearn.table import bucket, padded
from langevax.sklearn.training import root_key


class CertificatePath(NamedTuple):
    """One number a step of each; the optimum lies in [lower_bound, lower_bound + gap]."""

    steps: np.ndarray
    lower_bound: np.ndarray
    lower_bound_error: np.ndarray
    gap: np.ndarray
    gap_error: np.ndarray
    trustworthy: np.ndarray


class Inspection(Plots):
    """Questions to a fitted estimator."""

    network_: Any
    neuron_: Any
    standardiser_: Any
    history_: dict[str, np.ndarray]
    temperature_: float
    prior_variance: float
    random_state: Any
    automatic: ClassVar[Automatic]

    def certificate(
        self,
        num_replicates: int = 4,
        num_particles: int | Literal["auto"] = "auto",
        polish: int = 2,
        random_state: Any = None,
    ) -> Certificate:
        """How far the fit is from the global optimum, with an error bar; see `langevax.meanfield.certify`.

        Certified is the dual vector averaged over the last half of training, by fresh sequential Monte Carlo runs
        from the prior: never on the training particles. In units of the loss of standardised targets.

        Args:
            num_replicates: independent runs, at least 2.
            num_particles: of each run; "auto" chooses by how far the law is from the prior.
            polish: climbs of the dual objective before certifying, kept where they raise it.
            random_state: of the runs; None takes the estimator's.

        Raises:
            AttributeError: a model that was loaded, which has no training rows.

        Example:
            >>> from sklearn.datasets import load_diabetes
            >>> from langevax.sklearn import MeanFieldRegressor
            >>> X, y = load_diabetes(return_X_y=True)
            >>> model = MeanFieldRegressor(num_particles=100, num_steps=100, random_state=0).fit(X, y)
            >>> certificate = model.certificate()
            >>> certificate.trustworthy, certificate.gap < 0.01
            (True, True)
        """
        return certify(
            self._network().risk(self.temperature_),
            self._mean_dual(len(self._duals())),
            self.temperature_,
            key=self._key(random_state),
            num_replicates=num_replicates,
            num_particles=num_particles,
            polish=polish,
            proposal=self.automatic.proposal,
        )

    def certificate_path(
        self, num_points: int = 6, final: Certificate | None = None, random_state: Any = None
    ) -> "CertificatePath":
        """What is known of the optimum at steps along training, the last being `final`, or else `certificate()`.

        At each step D is that of the mean dual vector over the last half of the steps so far, unpolished, and the
        gap reaches from there to the upper bound of the certificate: all of it holds at every step.
        """
        records = len(self._duals())
        final = self.certificate(random_state=random_state) if final is None else final
        places = np.unique(np.geomspace(1, records, num_points).astype(int))
        risk, key = self._network().risk(self.temperature_), self._key(random_state)
        estimates = [
            DualEstimate(
                risk, self._mean_dual(int(m)), self.temperature_, 4, PILOT, key=key, proposal=self.automatic.proposal
            )
            for m in places[:-1]
        ]
        bounds = np.array([*(estimate.bound for estimate in estimates), final.lower_bound])
        errors = np.array([*(estimate.bound_error for estimate in estimates), final.lower_bound_error])
        end = np.hypot(final.lower_bound_error, final.standard_error)
        return CertificatePath(
            steps=self.history_["steps"][places - 1],
            lower_bound=bounds,
            lower_bound_error=errors,
            gap=final.upper_bound - bounds,
            gap_error=np.append(np.hypot(errors[:-1], end), final.standard_error),
            trustworthy=np.array(
                [final.trustworthy and estimate.surviving_ancestors >= SUSPICIOUS for estimate in estimates]
                + [final.trustworthy]
            ),
        )

    def kernel_limit(self, num_neurons: int = 4000, random_state: Any = None) -> Pipeline:
        """The kernel machine that the network tends to as output_scale grows at fixed n T / output_scale^2, unfitted.

        Random features of the prior, then ridge regression with alpha = n T, or logistic regression with
        C = 1 / (n T). Fit it on the same table: what the network scores above it is what feature learning adds.
        """
        check_is_fitted(self)
        penalty = float(self._network().weights.sum()) * self.temperature_
        seed = check_random_state(self.random_state if random_state is None else random_state).randint(2**31 - 1)
        features = NeuronFeatures(self.neuron_, self.standardiser_, self.prior_variance, num_neurons, seed)
        machine: Any = TransformedTargetRegressor(Ridge(penalty, fit_intercept=False), transformer=StandardScaler())
        if hasattr(self, "classes_"):
            machine = LogisticRegression(C=1 / penalty, fit_intercept=False, max_iter=2000)
        return Pipeline([("features", features), ("machine", machine)])

    def _network(self) -> Any:
        check_is_fitted(self)
        if not hasattr(self, "network_"):
            raise AttributeError("a model that was loaded has no training rows to certify it on; fit it again.")
        return self.network_

    def _duals(self) -> np.ndarray:
        self._network()
        return self.history_["dual"]

    def _mean_dual(self, records: int) -> Array:
        """Mean over the last half of so many records, padded like the risk's rows."""
        duals = self._duals()
        return jnp.asarray(padded(duals[records // 2 : records].mean(0), bucket(duals.shape[1])))

    def _key(self, random_state: Any) -> Any:
        given = self.random_state if random_state is None else random_state
        return root_key(check_random_state(given).randint(2**31 - 1))
