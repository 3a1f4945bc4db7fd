"""scikit-learn estimators: networks trained to a certified global optimum, by `fit` and `predict`."""

from langevax.sklearn.classifier import MeanFieldClassifier
from langevax.sklearn.encoded import (
    FunctionalMeanFieldClassifier,
    FunctionalMeanFieldRegressor,
    GraphMeanFieldClassifier,
    GraphMeanFieldRegressor,
)
from langevax.sklearn.inputs import CurveCoefficients, GraphFeatures, SurfaceCoefficients
from langevax.sklearn.kernel_langevin import KernelLangevinClassifier, KernelLangevinRegressor
from langevax.sklearn.loading import load
from langevax.sklearn.persistence import ModelError
from langevax.sklearn.regressor import MeanFieldRegressor
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
    "MeanFieldClassifier",
    "MeanFieldRegressor",
    "ModelError",
    "SurfaceCoefficients",
    "TwoPhaseReLURegressor",
    "load",
]
