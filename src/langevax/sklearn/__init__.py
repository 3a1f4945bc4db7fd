"""scikit-learn estimators: networks trained to a certified global optimum, and linear models by a predictive law."""

from typing import TYPE_CHECKING

from langevax import imports

if TYPE_CHECKING:
    from langevax.sklearn.encoded import (
        FunctionalMeanFieldClassifier,
        FunctionalMeanFieldRegressor,
        GraphMeanFieldClassifier,
        GraphMeanFieldRegressor,
    )
    from langevax.sklearn.fold_choice import LinearModelWarning
    from langevax.sklearn.inputs.convolutions import RandomConvolutions
    from langevax.sklearn.inputs.curves import CurveCoefficients
    from langevax.sklearn.inputs.graphs import GraphFeatures
    from langevax.sklearn.inputs.unlike import UnlikeTrainingWarning
    from langevax.sklearn.kernel_langevin.estimators import (
        KernelLangevinClassifier,
        KernelLangevinRegressor,
    )
    from langevax.sklearn.mean_field import MeanFieldClassifier, MeanFieldRegressor
    from langevax.sklearn.predictive import PredictiveClassifier, PredictiveRegressor
    from langevax.sklearn.saved import ModelError
    from langevax.sklearn.saved_networks import load
    from langevax.sklearn.two_phase import TwoPhaseReLURegressor

__all__ = [
    "CurveCoefficients",
    "FunctionalMeanFieldClassifier",
    "FunctionalMeanFieldRegressor",
    "GraphFeatures",
    "GraphMeanFieldClassifier",
    "GraphMeanFieldRegressor",
    "KernelLangevinClassifier",
    "KernelLangevinRegressor",
    "LinearModelWarning",
    "MeanFieldClassifier",
    "MeanFieldRegressor",
    "ModelError",
    "PredictiveClassifier",
    "PredictiveRegressor",
    "RandomConvolutions",
    "TwoPhaseReLURegressor",
    "UnlikeTrainingWarning",
    "load",
]
__dir__: object = __all__.copy
if not TYPE_CHECKING:  # with it, type checkers would accept every name
    __getattr__ = imports.lazily(
        __name__,
        {
            "encoded": "FunctionalMeanFieldClassifier FunctionalMeanFieldRegressor "
            "GraphMeanFieldClassifier GraphMeanFieldRegressor",
            "fold_choice": "LinearModelWarning",
            "inputs.convolutions": "RandomConvolutions",
            "inputs.curves": "CurveCoefficients",
            "inputs.graphs": "GraphFeatures",
            "inputs.unlike": "UnlikeTrainingWarning",
            "kernel_langevin.estimators": "KernelLangevinClassifier KernelLangevinRegressor",
            "mean_field": "MeanFieldClassifier MeanFieldRegressor",
            "predictive": "PredictiveClassifier PredictiveRegressor",
            "saved": "ModelError",
            "saved_networks": "load",
            "two_phase": "TwoPhaseReLURegressor",
        },
        "sklearn",
    )
