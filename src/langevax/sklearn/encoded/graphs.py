"""Mean-field networks on graphs, which enter as vectors of heat traces, sizes and patterns of labels."""

import os
from collections.abc import Mapping
from typing import Any, Literal

from langevax.sklearn.base import MeanFieldEstimator
from langevax.sklearn.classifier import MeanFieldClassifier
from langevax.sklearn.encoded.base import Encoded
from langevax.sklearn.inputs import GraphFeatures
from langevax.sklearn.parameters import Automatic
from langevax.sklearn.regressor import MeanFieldRegressor

ENCODING = ("heat_times", "wl_depth", "wl_components", "node_labels", "edge_labels")


class OnGraphs(Encoded):
    """The parameters of both estimators on graphs."""

    def __init__(
        self,
        solver: str = "psdca",
        *,
        heat_times: Any = 16,
        wl_depth: int = 1,
        wl_components: int = 32,
        node_labels: str | None = "label",
        edge_labels: str | None = None,
        num_particles: int = 500,
        temperature: float | Literal["loo"] = "loo",
        step_size: float | Literal["auto"] = "auto",
        num_steps: int | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] | None = "auto",
        neuron: str = "tanh-tanh",
        output_scale: float | Literal["auto"] = 10.0,
        prior_variance: float = 1.0,
        validation: Literal["path"] | None = None,
        stop_at_plateau: bool = True,
        warm_start: bool = False,
        checkpoint: str | os.PathLike | None = None,
        devices: int | Mapping[str, int] | None = None,
        progress: bool | None = None,
        random_state: Any = None,
    ):
        MeanFieldEstimator.__init__(
            self,
            solver,
            num_particles=num_particles,
            temperature=temperature,
            step_size=step_size,
            num_steps=num_steps,
            batch_size=batch_size,
            neuron=neuron,
            output_scale=output_scale,
            prior_variance=prior_variance,
            scaling="columns",
            validation=validation,
            stop_at_plateau=stop_at_plateau,
            warm_start=warm_start,
            checkpoint=checkpoint,
            devices=devices,
            progress=progress,
            random_state=random_state,
        )
        self.heat_times = heat_times
        self.wl_depth = wl_depth
        self.wl_components = wl_components
        self.node_labels = node_labels
        self.edge_labels = edge_labels

    def _make_encoder(self) -> GraphFeatures:
        return GraphFeatures(**{name: getattr(self, name) for name in ENCODING})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


class GraphMeanFieldRegressor(OnGraphs, MeanFieldRegressor):
    """Least squares on graphs, such as molecules, by a network trained to its global optimum.

    The objective and all questions to a fit are those of `MeanFieldRegressor`, on the columns of `GraphFeatures`, each
    over its deviation. What a heat trace says of a graph converges where the graph is refined.

    Args:
        heat_times, wl_depth, wl_components, node_labels, edge_labels: of the encoder, see `GraphFeatures`.
        solver: "psdca", dual ascent, a graph at a time, or another of `MeanFieldRegressor`.
        num_particles, temperature, step_size, num_steps, batch_size, neuron, output_scale, prior_variance,
            validation, stop_at_plateau, warm_start, checkpoint, devices, progress, random_state: see
            `MeanFieldRegressor`.

    Attributes:
        encoder_: the fitted `GraphFeatures`; its columns are what the network sees.
        particles_, dual_, history_, temperature_, n_iter_, converged_, leave_one_out_: see `MeanFieldRegressor`.

    Raises:
        ValueError, TypeError: what `GraphFeatures` and `MeanFieldRegressor` refuse: a graph without nodes, labels that
            do not fit.

    Example:
        >>> import numpy as np
        >>> rings = [[(i, (i + 1) % n) for i in range(n)] for n in range(3, 33)]
        >>> model = GraphMeanFieldRegressor(num_particles=100, random_state=0)
        >>> model.fit(rings[::2], np.arange(30.0)[::2]).score(rings[1::2], np.arange(30.0)[1::2]) > 0.9
        True
    """


class GraphMeanFieldClassifier(OnGraphs, MeanFieldClassifier):
    """Classes of graphs, by a network trained to its global optimum; see `GraphMeanFieldRegressor`.

    temperature="loo" is 0.15 times the leave-one-out optimum, as for curves.

    Example:
        >>> rings, paths = ([[(i, (i + 1) % n) for i in range(n - cut)] for n in range(4, 24)] for cut in (0, 1))
        >>> kinds = ["ring"] * 20 + ["path"] * 20
        >>> model = GraphMeanFieldClassifier(num_particles=100, random_state=0)
        >>> model.fit(rings + paths, kinds).score(rings + paths, kinds) > 0.9
        True
    """

    automatic = Automatic(temperature_multiplier=0.15, patience=3.0)
