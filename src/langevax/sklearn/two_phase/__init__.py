"""Regression by a small ReLU network, trained in two phases from several starts.

To read in this order: `training` (from rows to networks), `regressor`, `inspection` (matching and pictures).
"""

from langevax.sklearn.two_phase.regressor import TwoPhaseReLURegressor

__all__ = ["TwoPhaseReLURegressor"]
