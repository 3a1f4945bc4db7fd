"""What a fitted mean-field network can be asked: its certificate, its kernel limit, its pictures."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from langevax.meanfield import Certificate, certify
from langevax.meanfield.certificate import SUSPICIOUS
from langevax.sklearn.kernel_limit import NeuronFeatures
from langevax.sklearn.plots import Plots
from langevax.sklearn.training import root_key

PATH_PARTICLES = 1000


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

    def certificate(
        self, num_replicates: int = 4, num_particles: int = 2000, polish: int = 2, random_state: Any = None
    ) -> Certificate:
        """How far the fit is from the global optimum, with an error bar; see `langevax.meanfield.certify`.

        Certified is the dual vector averaged over the last half of training, by fresh sequential Monte Carlo runs
        from the prior: never on the training particles. In units of the loss of standardised targets.

        Args:
            num_replicates: independent runs, at least 2.
            num_particles: of each run.
            polish: Newton steps on the dual objective before certifying, kept where they raise it.
            random_state: of the runs; None takes the estimator's.

        Raises:
            AttributeError: a model that was loaded, which has no training rows.

        Example:
            >>> import numpy as np
            >>> from langevax.sklearn import MeanFieldRegressor
            >>> X = np.linspace(-1, 1, 50)[:, None]
            >>> model = MeanFieldRegressor(num_particles=100, num_steps=200, random_state=0).fit(X, np.sin(3 * X[:, 0]))
            >>> certificate = model.certificate(num_particles=500)
            >>> certificate.trustworthy, certificate.gap < 0.05
            (True, True)
        """
        return self._certified(len(self._duals()), random_state, num_replicates, num_particles, polish)

    def certificate_path(self, num_points: int = 6, random_state: Any = None) -> "CertificatePath":
        """What is known of the optimum at steps along training, the last being `certificate()`.

        At each step D is that of the mean dual vector over the last half of the steps so far, unpolished, and the
        gap reaches from there to the upper bound of the certificate: all of it holds at every step.
        """
        records, final = len(self._duals()), self.certificate(random_state=random_state)
        places = np.unique(np.geomspace(1, records, num_points).astype(int))[:-1]
        found = [*(self._certified(int(m), random_state, 4, PATH_PARTICLES, polish=0) for m in places), final]
        bounds = np.array([certificate.lower_bound for certificate in found])
        errors = np.array([certificate.lower_bound_error for certificate in found])
        ends = np.hypot(final.lower_bound_error, final.standard_error) * np.ones(len(found) - 1)
        return CertificatePath(
            steps=self.history_["steps"][np.append(places, records) - 1],
            lower_bound=bounds,
            lower_bound_error=errors,
            gap=final.upper_bound - bounds,
            gap_error=np.append(np.hypot(errors[:-1], ends), final.standard_error),
            trustworthy=np.array([final.trustworthy and c.families >= SUSPICIOUS for c in found]),
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

    def _certified(self, records: int, random_state: Any, runs: int, particles: int, polish: int) -> Certificate:
        network, duals = self._network(), self.history_["dual"]
        risk = network.risk(self.temperature_)
        mean = duals[records // 2 : records].mean(0)
        rest = np.repeat(np.asarray(mean[:1]), risk.max_size - len(mean), axis=0)
        seed = check_random_state(self.random_state if random_state is None else random_state).randint(2**31 - 1)
        return certify(
            risk,
            np.concatenate([mean, rest]),
            self.temperature_,
            key=root_key(seed),
            num_replicates=runs,
            num_particles=particles,
            polish=polish,
        )
