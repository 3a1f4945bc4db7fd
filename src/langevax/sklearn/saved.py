"""Files of saved models, read without JAX and scikit-learn: arrays and a JSON header, with a hash of both.

Objects in a header are of the classes in `SAVED_CLASSES`, to which the file of a class adds it.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from langevax._version import __version__

T = TypeVar("T", bound=type)
FORMAT = 3
KEY = "langevax"
HASH_ENTRY = "sha256"
"""Of the JSON in the file's metadata, and of the hash of JSON and arrays."""
SAVED_CLASSES: dict[str, type] = {}
"""Classes of fitted attributes, and of estimators, that a file may hold."""


class ModelError(ValueError):
    """A saved model cannot be read: missing, truncated, altered, of another version or not a model."""


def saved_class(cls: T) -> T:
    """Let fitted attributes of this class be saved."""
    SAVED_CLASSES[cls.__name__] = cls
    return cls


@contextmanager
def named(file: str | os.PathLike[str]) -> Iterator[None]:
    """Name a file that cannot be read, and what to do."""
    from safetensors import SafetensorError

    try:
        yield
    except ModelError:
        raise
    except (
        SafetensorError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        OverflowError,
        RecursionError,
    ) as error:
        raise ModelError(
            f"{str(file)!r} is truncated or not a model of langevax ({error}); save it again."
        ) from error


def content_hash(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a header and of names, kinds, shapes and bytes of its arrays."""
    digest = sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def read(file: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return (header, arrays); a `ModelError` says what is wrong with the file and what to do."""
    from safetensors import safe_open

    if not Path(file).is_file():
        raise ModelError(
            f"there is no file {str(file)!r}; pass the one that save() wrote."
        )
    with named(file), safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata() or {}
        header = json.loads(metadata[KEY])
        if header["format"] != FORMAT:
            raise ModelError(
                f"{str(file)!r} has format {header['format']}, written by langevax {header['version']}; this is langevax "
                f"{__version__}, which reads format {FORMAT}: fit again, or install that version."
            )
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if metadata[HASH_ENTRY] != content_hash(metadata[KEY], arrays):
            raise ModelError(
                f"{str(file)!r} is damaged: its content is not what was saved; copy it or save it again."
            )
    return header, arrays


def stored_hash(file: str | os.PathLike[str]) -> str:
    """Return the hash in a model file, by which other files name the model; only `read` compares it with the content.

    Raises:
        ModelError: not a model with a hash.
    """
    from safetensors import safe_open

    with named(file), safe_open(file, framework="numpy") as opened:
        return str((opened.metadata() or {})[HASH_ENTRY])


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
