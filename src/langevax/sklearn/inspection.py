"""What a fitted mean-field network can be asked: its certificate, its kernel limit, its pictures."""

from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from langevax.meanfield import Certificate, certify
from langevax.sklearn.kernel_limit import NeuronFeatures
from langevax.sklearn.training import root_key

PATH_PARTICLES = 1000


class Inspection:
    """Questions to a fitted estimator."""

    network_: Any
    history_: dict[str, np.ndarray]
    temperature_: float
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

    def certificate_path(self, num_points: int = 6, random_state: Any = None) -> tuple[np.ndarray, list[Certificate]]:
        """Certificates along training, without polish: (steps, certificates), at most `num_points` of them.

        Each is of the mean dual vector over the last half of the steps so far. D rises; the gap need not fall
        monotonically, since it is that of a noisy vector's law.
        """
        records = len(self._duals())
        places = np.unique(np.geomspace(min(2, records), records, num_points).astype(int))
        found = [self._certified(int(m), random_state, 4, PATH_PARTICLES, polish=0) for m in places]
        return self.history_["steps"][places - 1], found

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
