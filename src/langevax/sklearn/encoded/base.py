"""What estimators with an encoder in front share: it is fitted first, and all the network sees went through it."""

from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from langevax.sklearn.base import MeanFieldEstimator
from langevax.sklearn.inputs.saving import restored, state_of

OF_INPUTS = ("n_features_in_", "feature_names_in_")


def rounded(columns: Any) -> np.ndarray:
    """To float32, all that a network sees: a product of matrices has last bits that depend on a row's place among the
    others and on the processor, so that the same curve twice would be two rows.
    """
    return np.asarray(columns, np.float32).astype(np.float64)


class Encoded(MeanFieldEstimator):
    """Mixed in before a mean-field estimator, whose columns are those of `encoder_`.

    The encoder learns from the training inputs alone, and is kept by a warm start, whose particles are weights of its
    columns.
    """

    encoder_: Any

    def save(self, file: Any) -> None:
        """Write network and encoder as one safetensors file; see `MeanFieldRegressor.save`.

        Raises:
            ValueError: an encoder that holds more than numbers and words, such as a basis of the user's own.
        """
        check_is_fitted(self)
        state_of(self.encoder_)  # refused before anything is computed or written
        super().save(file)

    @abstractmethod
    def _make_encoder(self) -> Any:
        """The transformer that was asked for, not fitted."""

    def _validated(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        if self.warm_start and hasattr(self, "particles_"):
            columns = self.encoder_.transform(X)
        else:
            self.encoder_ = self._make_encoder()
            columns = self.encoder_.fit_transform(X)
        columns, y = super()._validated(rounded(columns), y)
        self._look_like_the_encoder()
        return columns, y

    def _columns(self, X: Any, **where: Any) -> np.ndarray:
        check_is_fitted(self)
        return rounded(self.encoder_.transform(X, **where))

    def _column_names(self) -> list[str]:
        return [str(name) for name in self.encoder_.get_feature_names_out()]

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        header, arrays = super()._state()
        described, encoded = state_of(self.encoder_)
        return header | {"encoder": described}, arrays | {f"encoder.{name}": a for name, a in encoded.items()}

    def _restore(self, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        super()._restore(header, arrays)
        encoded = {name.removeprefix("encoder."): a for name, a in arrays.items() if name.startswith("encoder.")}
        self.encoder_ = restored(self._make_encoder(), header["encoder"], encoded)
        self._look_like_the_encoder()

    def _look_like_the_encoder(self) -> None:
        """What scikit-learn knows of the inputs: numbers and names of the user's columns, not of the encoder's."""
        for name in OF_INPUTS:
            if hasattr(self.encoder_, name):
                setattr(self, name, getattr(self.encoder_, name))
            elif hasattr(self, name):
                delattr(self, name)
