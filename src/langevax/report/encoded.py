"""Fitted estimators with an encoder in front, as the networks that they are on the encoder's columns."""

from typing import Any

from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor


def on_columns(model: Any) -> Any:
    """The same network as an estimator on the columns of its `encoder_`; the model itself where it has none.

    What is asked of it is answered for rows of coefficients: predictions, frames of the training, shuffled columns.
    """
    if not hasattr(model, "encoder_"):
        return model
    kind: Any = MeanFieldClassifier if hasattr(model, "classes_") else MeanFieldRegressor
    known = kind().get_params()
    network = kind(**{name: value for name, value in model.get_params().items() if name in known})
    of_inputs = {"encoder_", "n_features_in_", "feature_names_in_"}
    vars(network).update({name: value for name, value in vars(model).items() if name not in vars(network)})
    for name in of_inputs & vars(network).keys():
        delattr(network, name)
    network.n_features_in_ = len(model.standardiser_.mean)
    return network
