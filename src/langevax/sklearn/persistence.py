"""Saved models: one safetensors file, arrays and a JSON header; nothing is ever unpickled.

A fitted attribute becomes JSON and arrays by its type: numbers, words, arrays, lists, tuples, dictionaries, and objects
of the classes in `SAVED_CLASSES`, attribute by attribute. Any other object is refused.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import jax
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.gaussian_process import kernels
from sklearn.utils.validation import check_is_fitted

from langevax import spaces
from langevax._version import __version__
from langevax.problems.likelihoods import Gaussian, Huber, StudentT
from langevax.problems.neurons import Tanh, TanhTanh
from langevax.teacher_student import ReLUNetwork

if TYPE_CHECKING:
    from langevax.sklearn import (
        KernelLangevinClassifier,
        KernelLangevinRegressor,
        MeanFieldClassifier,
        MeanFieldRegressor,
        TwoPhaseReLURegressor,
    )

    Estimator = (
        MeanFieldRegressor
        | MeanFieldClassifier
        | KernelLangevinRegressor
        | KernelLangevinClassifier
        | TwoPhaseReLURegressor
    )

FORMAT = 2
KEY = "langevax"  # of the JSON in the file's metadata
BASES = (spaces.Cosine, spaces.Fourier, spaces.Legendre, spaces.PrincipalComponents)
KERNELS = (kernels.ConstantKernel, kernels.Matern, kernels.Product, kernels.RBF)
LIKELIHOODS = (Gaussian, Huber, StudentT)
NETWORKS = (ReLUNetwork, Tanh, TanhTanh)
SAVED_CLASSES: dict[str, type] = {
    cls.__name__: cls for cls in (*BASES, *KERNELS, *LIKELIHOODS, *NETWORKS, spaces.GaussianPrior)
}


T = TypeVar("T", bound=type)


class ModelError(ValueError):
    """A saved model cannot be read: missing, truncated, of another version or not a model."""


def saved_class(cls: T) -> T:
    """Let fitted attributes of this class be saved."""
    SAVED_CLASSES[cls.__name__] = cls
    return cls


class SavedEstimator(BaseEstimator):
    """An estimator with `save`; its subclasses name the fitted attributes that predictions do not need."""

    unsaved_attributes: ClassVar[tuple[str, ...]] = ()

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write the fitted model as one safetensors file: arrays and a JSON header.

        `langevax.sklearn.load` reads it. A loaded model predicts; what needs the training rows, which are not saved,
        asks for another fit.

        Raises:
            ValueError: an attribute that JSON and arrays cannot hold, such as a basis or a kernel of the user's own.
        """
        check_is_fitted(self)
        arrays: dict[str, np.ndarray] = {}
        fitted = {n: v for n, v in vars(self).items() if n.endswith("_") and n not in self.unsaved_attributes}
        header = {
            "class": type(self).__name__,
            "parameters": {name: self._encoded_parameter(name, arrays) for name in self.get_params(deep=False)},
            "fitted": {name: _encode(value, arrays) for name, value in fitted.items()},
        }
        write(file, header, arrays)

    def _encoded_parameter(self, name: str, arrays: dict[str, np.ndarray]) -> Any:
        """Return a parameter as JSON; one that JSON cannot hold, such as a random generator, becomes its default."""
        value = getattr(self, name)
        try:
            return _encode(os.fspath(value) if isinstance(value, os.PathLike) else value, arrays)
        except ValueError:
            return getattr(type(self), name)


def load(file: str | os.PathLike[str]) -> "Estimator":
    """Return the estimator that `save` wrote, ready to predict.

    Raises:
        ModelError: no such file, a truncated one, or one of another version.

    Example:
        >>> import tempfile, numpy as np
        >>> from langevax.sklearn import MeanFieldRegressor, load
        >>> X = np.linspace(-1, 1, 40)[:, None]
        >>> model = MeanFieldRegressor(num_particles=50, num_steps=50, random_state=0).fit(X, X[:, 0] ** 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.safetensors")
        ...     bool(np.all(load(f"{folder}/model.safetensors").predict(X) == model.predict(X)))
        True
    """
    from langevax import sklearn

    header, arrays = read(file)
    public = {name: getattr(sklearn, name) for name in sklearn.__all__}
    estimators = {n: cls for n, cls in public.items() if isinstance(cls, type) and issubclass(cls, SavedEstimator)}
    if header.get("class") not in estimators:
        listing = ", ".join(estimators)
        raise ModelError(f"{str(file)!r} holds a {header.get('class')!r}; expected one of {listing}.")
    model: Any = estimators[header["class"]](**{n: _decode(v, arrays) for n, v in header["parameters"].items()})
    for name, value in header["fitted"].items():
        setattr(model, name, _decode(value, arrays))
    return model


def write(file: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a model file; an earlier one of that name stays whole until the new one is complete."""
    from safetensors.numpy import save

    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    text = json.dumps({"format": FORMAT, "version": __version__} | header)
    part.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {KEY: text}))
    os.replace(part, path)


def read(file: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return (header, arrays); a `ModelError` says what is wrong with the file and what to do."""
    from safetensors import SafetensorError, safe_open

    if not Path(file).is_file():
        raise ModelError(f"there is no file {str(file)!r}; pass the one that save() wrote.")
    try:
        with safe_open(file, framework="numpy") as opened:
            header = json.loads((opened.metadata() or {})[KEY])
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
        version = header["format"]
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ModelError(f"{str(file)!r} is truncated or not a model of langevax ({error}); save it again.") from error
    if version != FORMAT:
        raise ModelError(
            f"{str(file)!r} has format {version}, written by langevax {header.get('version')}; this is langevax "
            f"{__version__}, which reads format {FORMAT}: fit again, or install that version."
        )
    return header, arrays


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return `value` as JSON whose arrays are entries of `arrays`."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        if array.dtype.kind in "OU":
            return {"words": array.tolist(), "dtype": array.dtype.str}
        arrays[name := str(len(arrays))] = array
        return {"array": name}
    if SAVED_CLASSES.get(type(value).__name__) is type(value):
        attributes = value._asdict() if hasattr(value, "_asdict") else vars(value)
        fields = {name: _encode(attribute, arrays) for name, attribute in attributes.items()}
        return {"object": type(value).__name__, "attributes": fields}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_encode(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_encode(item, arrays) for item in pair] for pair in value.items()]}
    kind = "basis" if isinstance(value, spaces.Basis) else "object"
    raise ValueError(
        f"this model has a {kind} of your own ({type(value).__name__}), which a JSON header cannot hold; "
        "use pickle instead."
    )


def _decode(data: Any, arrays: dict[str, np.ndarray]) -> Any:
    match data:
        case {"array": name}:
            return arrays[name]
        case {"words": words, "dtype": dtype}:
            return np.array(words, dtype)
        case {"object": name, "attributes": attributes}:
            cls: Any = SAVED_CLASSES[name]
            decoded = {key: _decode(item, arrays) for key, item in attributes.items()}
            if issubclass(cls, tuple):
                return cls(**decoded)
            restored = object.__new__(cls)  # frozen classes, and bases made of a sample, have no other way back
            for key, item in decoded.items():
                object.__setattr__(restored, key, item)
            return restored
        case {"list": items}:
            return [_decode(item, arrays) for item in items]
        case {"tuple": items}:
            return tuple(_decode(item, arrays) for item in items)
        case {"dict": pairs}:
            return {_decode(key, arrays): _decode(item, arrays) for key, item in pairs}
    return data
