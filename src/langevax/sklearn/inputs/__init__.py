"""Curves, surfaces and graphs as columns: scikit-learn transformers, each of use alone in a pipeline."""

from langevax.sklearn.inputs.curves import CurveCoefficients
from langevax.sklearn.inputs.graphs import GraphFeatures
from langevax.sklearn.inputs.surfaces import SurfaceCoefficients

__all__ = ["CurveCoefficients", "GraphFeatures", "SurfaceCoefficients"]
