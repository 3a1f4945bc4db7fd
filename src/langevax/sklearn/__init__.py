"""scikit-learn estimators: networks trained to a certified global optimum, and linear models by a predictive law."""

from langevax import checks, renamed

with checks.needs("sklearn", "langevax.sklearn"):
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
    from langevax.sklearn.persistence import ModelError, load
    from langevax.sklearn.predictive import PredictiveClassifier, PredictiveRegressor
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
__getattr__ = renamed.getattr_of(__name__)
