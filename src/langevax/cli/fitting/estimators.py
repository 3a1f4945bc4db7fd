"""The estimators of scikit-learn's kind that a request asks for."""

import inspect
from typing import Any

from langevax.cli.fitting.request import Request
from langevax.cli.tables.given import AnySchema


def estimator_for(request: Request, schema: AnySchema, **more: Any) -> Any:
    """The estimator, not fitted: one on curves where the request says so."""
    from langevax import sklearn

    curves = (sklearn.FunctionalMeanFieldRegressor, sklearn.FunctionalMeanFieldClassifier)
    columns = (sklearn.MeanFieldRegressor, sklearn.MeanFieldClassifier)
    kind = (curves if request.curves else columns)[schema.task == "classification"]
    return kind(**request.estimator_settings | schema.known | more)


def encoder_for(request: Request, schema: AnySchema) -> Any:
    """The encoder that the estimator on curves has in front, not fitted."""
    from langevax.sklearn import CurveCoefficients

    settings = request.estimator_settings | schema.known
    known = inspect.signature(CurveCoefficients).parameters
    return CurveCoefficients(**{name: value for name, value in settings.items() if name in known}, centre=False)
