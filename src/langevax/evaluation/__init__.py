"""Evaluation of fitted estimators on held-out rows, and the estimators they are compared with."""
