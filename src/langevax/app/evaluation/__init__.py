"""Evaluation of fitted estimators on held-out rows, and the estimators they are compared with."""

from typing import Literal

Task = Literal["regression", "classification"]
