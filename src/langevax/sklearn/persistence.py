"""Saved estimators: one safetensors file, arrays and a JSON header; nothing is ever unpickled.

A fitted attribute becomes JSON and arrays by its type: numbers, words, arrays, lists, tuples, dictionaries, and objects
of the classes in `SAVED_CLASSES`, attribute by attribute. Any other object is refused. The SHA-256 of all of it stands
beside the header and is compared before anything is decoded.
"""

import math
import os
import platform
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.gaussian_process import kernels
from sklearn.utils.validation import check_is_fitted

from langevax import checks, spaces, storage
from langevax._version import __version__
from langevax.problems.neurons import TanhTanh
from langevax.renamed import hint_of
from langevax.sklearn.saved import (
    FORMAT,
    SAVED_CLASSES,
    ModelError,
    decode,
    named,
    saved_class,
)
from langevax.teacher_student import ReLUNetwork

SAVED_CLASSES |= {
    cls.__name__: cls
    for cls in (
        *(spaces.Cosine, spaces.Fourier, spaces.PrincipalComponents),
        *(kernels.ConstantKernel, kernels.Matern, kernels.Product, kernels.RBF),
        *(ReLUNetwork, TanhTanh, spaces.GaussianPrior),
    )
}


class SavedEstimator(BaseEstimator):
    """An estimator with `save`; its subclasses name the fitted attributes that predictions do not need."""

    unsaved_attributes: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        """Let estimators of this class be saved."""
        super().__init_subclass__(**options)
        saved_class(cls)

    def __new__(cls, *arguments: Any, **parameters: Any) -> Self:
        """Raise TypeError on a parameter that the estimator does not have, with those that it has."""
        if unknown := parameters.keys() - cls._get_param_names():
            name = min(unknown)
            names = cls._get_param_names()
            former = hint_of(cls.__name__, name, names)
            remedy = f"it has {', '.join(names)}."
            if former is not None:
                remedy = f"it was removed in 0.3: {former}"
            raise TypeError(f"{cls.__name__} has no parameter {name!r}; {remedy}")
        return super().__new__(cls)

    def save(
        self, file: str | os.PathLike[str], *, card: Mapping[str, Any] | None = None
    ) -> None:
        """Write the fitted model as one safetensors file: arrays, a JSON header and a hash of both.

        `langevax.sklearn.load` reads it. A loaded model predicts; what needs the training rows, which are not saved,
        asks for another fit.

        Args:
            file: its name; an earlier model of that name is replaced once the new one is complete.
            card: entries for the model card beside those of langevax: versions, the hash of the training data and
                held-out scores. Words, numbers, lists and dictionaries; a loaded model has all of them as `card_`.

        Raises:
            ValueError: an attribute that JSON and arrays cannot hold, such as a basis or a kernel of the user's own.
        """
        check_is_fitted(self)
        arrays: dict[str, np.ndarray] = {}
        header = self._state(arrays)
        header["card"] = _encode(self._card() | dict(card or {}), arrays)
        write(file, header, arrays)

    def _state(self, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        """Return parameters and fitted attributes as JSON whose arrays are entries of `arrays`."""
        unsaved = {*self.unsaved_attributes, "card_"}
        return {
            "class": type(self).__name__,
            "parameters": {
                name: self._encoded_parameter(name, arrays)
                for name in self.get_params(deep=False)
            },
            "fitted": {
                name: _encode(value, arrays)
                for name, value in vars(self).items()
                if name.endswith("_") and name not in unsaved
            },
        }

    def _card(self) -> dict[str, Any]:
        """Return what is known of the fit; a loaded model keeps the card that it was saved with."""
        if card := vars(self).get("card_"):
            return card
        versions = {"langevax": __version__, "python": platform.python_version()}
        packages = "jax", "numpy", "scikit-learn"
        card = {
            "versions": versions | {name: installed_version(name) for name in packages},
            "data_sha256": getattr(self, "data_sha256_", None),
            "held_out_scores": getattr(self, "held_out_scores_", None),
        }
        return {name: value for name, value in card.items() if value}

    def _encoded_parameter(self, name: str, arrays: dict[str, np.ndarray]) -> Any:
        """Return a parameter as JSON; one that JSON cannot hold, such as a random generator, becomes its default."""
        value = getattr(self, name)
        try:
            return _encode(
                os.fspath(value) if isinstance(value, os.PathLike) else value, arrays
            )
        except ValueError:
            return getattr(type(self), name)


def restored(file: str | os.PathLike[str], stored: storage.StoredArrays) -> Any:
    """Return the estimator that a file holds, with its model card as `card_`; raise `ModelError`."""
    header, arrays, _ = stored
    with named(file):
        _check_parameters(file, header)
        model = _restored(header, arrays)
        model.card_ = decode(header["card"], arrays)
        check_is_fitted(model)
    return model


def _check_parameters(file: str | os.PathLike[str], header: dict[str, Any]) -> None:
    """Raise where this version has no such estimator, or not all of its parameters."""
    cls = _estimator(str(header["class"]))
    writer = header["version"]
    if cls is None or not issubclass(cls, SavedEstimator):
        raise ModelError(
            f"{str(file)!r} holds a {header['class']!r}, not an estimator."
        )
    if unknown := sorted(set(header["parameters"]) - set(cls._get_param_names())):
        raise ModelError(
            f"{str(file)!r} was written by langevax {writer}, whose {header['class']} "
            f"has {unknown[0]!r}; this is langevax {__version__}, which has no such "
            "parameter: fit again, or install that version."
        )


def _estimator(name: str) -> Any:
    """Return the estimator of a name, whose file is imported by it; None where there is none."""
    package = import_module("langevax.sklearn")
    if name in package.__all__:
        return getattr(package, name)
    return SAVED_CLASSES.get(name)


def _restored(state: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """Return the estimator with the state that `SavedEstimator._state` returned."""
    parameters = {
        name: decode(value, arrays, _restored)
        for name, value in state["parameters"].items()
    }
    model: Any = _estimator(state["class"])(**parameters)
    for name, value in state["fitted"].items():
        if not (name.endswith("_") and name.isidentifier()):
            raise ValueError(f"{name!r} is not a fitted attribute")
        setattr(model, name, decode(value, arrays, _restored))
    return model


def write(
    file: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    """Write a model file; an earlier one of that name stays whole until the new one is complete."""
    checks.local_path("file", file)
    storage.write_arrays(Path(file), {"format": FORMAT} | header, arrays)


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return `value` as JSON whose arrays are entries of `arrays`."""
    encode = partial(_encode, arrays=arrays)
    if isinstance(value, np.generic):
        value = value.item()
    match value:
        case str():
            return str(value)
        case float() if not math.isfinite(value):
            return {"number": str(value)}
        case None | bool() | int() | float():
            return value
        case np.ndarray() | jax.Array():
            return _encoded_array(np.asarray(value), arrays)
        case SavedEstimator():
            return {"estimator": value._state(arrays)}
        case dict():
            return {"dict": [list(map(encode, pair)) for pair in value.items()]}
    name = type(value).__name__
    if type(value) in (list, tuple):
        return {name: list(map(encode, value))}
    if SAVED_CLASSES.get(name) is type(value):
        attributes = value._asdict() if hasattr(value, "_asdict") else vars(value)
        fields = {key: encode(attribute) for key, attribute in attributes.items()}
        return {"object": name, "attributes": fields}
    kind = "basis" if isinstance(value, spaces.Basis) else "object"
    raise ValueError(
        f"this model has a {kind} of your own ({name}), which a JSON header cannot "
        "hold; use pickle instead."
    )


def _encoded_array(array: np.ndarray, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return words as JSON; numbers by the name under which they are added to `arrays`."""
    if array.dtype.kind in "OU":
        return {"words": array.tolist(), "dtype": array.dtype.str}
    arrays[name := str(len(arrays))] = array
    return {"array": name}
