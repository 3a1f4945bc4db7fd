"""Certificates and figures of a fitted mean-field network."""

from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.utils.validation import check_is_fitted

from langevax.figures import charts
from langevax.meanfield import Certificate, certify
from langevax.renamed import refuse_former
from langevax.run.options import Run
from langevax.sklearn.network_outputs import outputs
from langevax.sklearn.parameters import RandomState, run_of
from langevax.sklearn.row_effects import RowEffects
from langevax.sklearn.table import padded
from langevax.sklearn.training import root_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class MeanFieldInspection(RowEffects):
    """Certificates and `plot_*` methods, each of which returns the axes it drew on."""

    @refuse_former
    def certificate(
        self,
        effort: float | None = None,
        *,
        cpu_seconds: float | None = None,
        random_state: RandomState = None,
        run: Run | None = None,
    ) -> Certificate:
        """Bound the least training objective from both sides; see `langevax.meanfield.certify`.

        In units of the loss of standardised targets, at the temperature of the fit. The interval is about all networks
        of this kind; where a path was followed, the search goes on from its end. Entries of the result are those of the
        training rows: `output_error(model.outputs(X))` bounds how far the outputs of this fit are from the best ones.

        Args:
            effort: gradients of one neuron at one row that may be spent, 3e9 by default: about half a minute, and
                longer beyond 64 columns. It ends sooner where the interval is narrow.
            cpu_seconds: instead of `effort`, converted by a rate that is measured; `effort` of the result repeats it.
            random_state: of the walks; None uses the estimator's.
            run: a `langevax.Run`, of which only `progress` counts. None shows what the estimator's does.

        Raises:
            AttributeError: a model that was loaded, which has no training rows; `attach_rows` returns them.
            ValueError: as in `certify`.

        Example:
            >>> from sklearn.datasets import load_diabetes
            >>> from langevax.sklearn import MeanFieldRegressor
            >>> X, y = load_diabetes(return_X_y=True)
            >>> model = MeanFieldRegressor(num_particles=100, temperature=0.2, random_state=0).fit(X, y)
            >>> certificate = model.certificate()
            >>> certificate.trustworthy, certificate.width < 0.05
            (True, True)
        """
        network = self._fitted_network()
        places = self.row_places_
        risk = network.risk(self.temperature_)
        dual = None
        if self.solver_ == "path" and self.converged_:
            last = self.clouds_.reshape(-1, self.clouds_.shape[-1])
            z = outputs(self.neuron_, last, network.inputs)
            z = jnp.asarray(padded(z, len(risk.targets)))
            dual = jax.vmap(risk.loss.derivative)(z, risk.targets)
        result = certify(
            risk,
            self.temperature_,
            key=root_key(self._seed(random_state)),
            effort=effort,
            cpu_seconds=cpu_seconds,
            clouds=[network.rotated(self.particles_)],
            dual=dual,
            run=run_of(self.run).unsaved() if run is None else run,
        )
        return at_rows(result, places)

    def plot_particles(
        self, features: tuple[int, int] | None = None, axes: "Axes | None" = None
    ) -> "Axes":
        """Plot the neurons in the plane of two weights.

        Args:
            features: two columns; by default those the outputs depend on most.
            axes: of Matplotlib; by default those of a new figure.

        Example:
            >>> import matplotlib, numpy as np
            >>> matplotlib.use("agg")
            >>> from langevax.sklearn import MeanFieldRegressor
            >>> X = np.random.default_rng(0).normal(size=(60, 3))
            >>> model = MeanFieldRegressor(num_particles=50, temperature=0.1, random_state=0).fit(X, X[:, 1] - X[:, 2])
            >>> model.plot_particles().get_xlabel() in ("weight of x1", "weight of x2")
            True
        """
        check_is_fitted(self)
        weights, outer = self._inner_and_outer_weights()
        if features is None:
            slopes = np.abs(outer @ weights) / len(weights)
            first, second = np.argsort(-slopes, kind="stable")[
                [0, min(1, len(slopes) - 1)]
            ]
        else:
            first, second = features
        names = self._network_columns(self._column_names())
        labels = {
            "xlabel": f"weight of {names[first]}",
            "ylabel": f"weight of {names[second]}",
        }
        axes = charts.new_axes(axes)
        x = weights[:, first]
        y = weights[:, second]
        charts.particles(
            axes, x, y, outer, outer_label="outer weight", title="The neurons", **labels
        )
        return axes

    def _inner_and_outer_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each neuron's weights of the columns (N, d), and its outer weight (N,), the largest of several."""
        num_columns = len(self.standardiser_.mean)
        weights = self.particles_[:, self.neuron_.input_weights(num_columns)]
        num_outer = self.particles_.shape[1] - num_columns - 1
        outer = float(self.neuron_.scale) * np.tanh(self.particles_[:, :num_outer])
        return weights, outer[np.arange(len(outer)), np.abs(outer).argmax(1)]


def at_rows(certificate: Certificate, places: np.ndarray) -> Certificate:
    """Return the certificate of distinct rows with an entry for each of the rows passed, at place -1 of weight 0."""
    used = np.where(places < 0, 0, 1 / np.bincount(places[places >= 0])[places])
    return replace(
        certificate,
        dual=certificate.dual[places],
        outputs=certificate.outputs[places],
        row_shares=certificate.row_shares[places] * used,
    )
