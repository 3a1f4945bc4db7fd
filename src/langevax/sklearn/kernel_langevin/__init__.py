"""Bayesian regression and classification with a function as the unknown, by Langevin dynamics in a kernel's eigenbasis.

To read in this order: `base` (the fit), `space` (the basis and its prior), `evidence` (the choice of kernel and noise),
`curvature` and `sampling` (the chains), then the two estimators.
"""

from langevax.sklearn.kernel_langevin.classifier import KernelLangevinClassifier
from langevax.sklearn.kernel_langevin.regressor import KernelLangevinRegressor

__all__ = ["KernelLangevinClassifier", "KernelLangevinRegressor"]
