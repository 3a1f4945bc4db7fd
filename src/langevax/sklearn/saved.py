"""Files of saved models, read without JAX and scikit-learn: arrays and a JSON header, with a hash of both.

Objects in a header are of the classes in `SAVED_CLASSES`, to which the file of a class adds it.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from langevax import storage

T = TypeVar("T", bound=type)
FORMAT = 3
WHAT = "a model of langevax"
SAVED_CLASSES: dict[str, type] = {}
"""Classes of fitted attributes, and of estimators, that a file may hold."""


class ModelError(ValueError):
    """A saved model cannot be read: missing, truncated, altered, of another version or not a model."""


def saved_class(cls: T) -> T:
    """Let fitted attributes of this class be saved."""
    SAVED_CLASSES[cls.__name__] = cls
    return cls


def named(file: str | os.PathLike[str]) -> AbstractContextManager[None]:
    """Name a file that cannot be read, and what to do."""
    return storage.read_as(
        ModelError, f"{str(file)!r} is not {WHAT} ({{}}); save it again."
    )


def read(file: str | os.PathLike[str]) -> storage.StoredArrays:
    """Return header, arrays and hash; a `ModelError` says what is wrong with the file and what to do."""
    storage.local_path("file", file)
    return storage.read_arrays(Path(file), FORMAT, WHAT, ModelError)


def decode(
    data: Any,
    arrays: dict[str, np.ndarray],
    restored: Callable[[Any, Any], Any] | None = None,
) -> Any:
    """Return the value that was saved, estimators by `restored`; raise ValueError or KeyError where there is none."""
    value = partial(decode, arrays=arrays, restored=restored)
    match data:
        case None | str() | bool() | int() | float():
            return data
        case {"number": "nan" | "inf" | "-inf" as word}:
            return float(word)
        case {"array": name}:
            return arrays[name]
        case {"words": words, "dtype": dtype} if np.dtype(dtype).kind in "OU":
            return np.array(words, dtype)
        case {"estimator": state} if restored is not None:
            return restored(state, arrays)
        case {"object": name, "attributes": attributes}:
            return _object(
                SAVED_CLASSES[name],
                {key: value(item) for key, item in attributes.items()},
            )
        case {"list": items} | {"tuple": items}:
            kind = tuple if "tuple" in data else list
            return kind(map(value, items))
        case {"dict": pairs}:
            return {value(key): value(item) for key, item in pairs}
    raise ValueError(f"its header holds {str(data)[:80]}")


def _object(cls: Any, attributes: dict[str, Any]) -> Any:
    if issubclass(cls, tuple):
        return cls(**attributes)
    absent = _field_names(cls) - attributes.keys()
    if absent:
        raise ValueError(f"a {cls.__name__} lacks {', '.join(sorted(absent))}")
    restored = object.__new__(
        cls
    )  # frozen classes, and bases made of a sample, have no other way back
    for key, item in attributes.items():
        object.__setattr__(restored, key, item)
    return restored


def _field_names(cls: Any) -> set[str]:
    return {field.name for field in fields(cls)} if is_dataclass(cls) else set()
