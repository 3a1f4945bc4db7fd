"""Files that are complete or absent when written, and read as data of bounded size when others may have made them.

Nothing of a file is used before its size, its depth and its types are those of what langevax writes, and its hash is
right. A file of arrays is laid out as safetensors: names, types and places as JSON, then the numbers.
"""

import hashlib
import json
import math
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from langevax._version import __version__

UNFINISHED = ".langevax-*.part"
"""Names of files that are not complete, in the folder for which they are meant; a kill leaves them."""
MOST_JSON = 100_000_000
"""Bytes of JSON that is read, as many as safetensors allows for its header."""
DEEPEST = 200
"""Levels of JSON."""
HASH = "sha256"
CONTENT = "langevax"
ARRAY_KINDS = {"BOOL": np.dtype(bool)} | {
    f"{kind[0].upper()}{8 * int(kind[1])}": np.dtype(f"<{kind}")
    for kind in ["f2", "f4", "f8", "c8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
}
"""Types of arrays in a file, by their names in safetensors."""


class UnreadableError(ValueError):
    """A file cannot be read; the message says which, why, and what to do."""


def local_path(name: str, path: object) -> None:
    """Raise unless `path` can be the name of a file or folder of this machine."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"{name} must be a path, got {path!r:.60}; pass a str or a pathlib.Path."
        )
    if not os.fspath(path).strip():
        raise ValueError(f"{name} is blank; name a file or a folder, '.' for this one.")
    if scheme := re.match(
        r"([A-Za-z][A-Za-z0-9+.-]+):/", os.fspath(path)
    ):  # one letter is a drive of Windows
        raise ValueError(
            f"{name} is {os.fspath(path)!r}, but only local files are read and "
            f"written, not {scheme[1]}://; copy it here, or mount it as a folder."
        )


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a stream whose content takes the place of `path` once the block has succeeded.

    Its temporary name is new, so that no file of the user is overwritten, no link followed, and several writers do not
    meet.
    """
    temporary = path.with_name(UNFINISHED.replace("*", uuid.uuid4().hex))
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file, complete or not at all."""
    with replacing(path) as stream:
        stream.write(content)


@contextmanager
def read_as(error: type[Exception], what: str) -> Iterator[None]:
    """Raise `error` with the sentence `what` where the block cannot read a file, `{}` being how it fails.

    Parsers of damaged files fail in more ways than their documentation has.
    """
    try:
        yield
    except error:
        raise
    except Exception as fault:
        reason = fault.strerror if isinstance(fault, OSError) else None
        reason = reason or " ".join(f"{fault}".split())[:200] or type(fault).__name__
        raise error(what.replace("{}", reason)) from fault


def parsed(text: str | bytes | bytearray) -> Any:
    """Return what JSON holds; raise ValueError where it is too large, too deep, or not JSON."""
    if len(text) > MOST_JSON:
        raise ValueError(f"its JSON has more than {MOST_JSON:,} bytes")
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    level = [content]
    for _ in range(DEEPEST):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return content
    raise ValueError("its JSON is nested too deeply")


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a file of JSON; raise ValueError or OSError where there is none."""
    if path.stat().st_size > MOST_JSON or not path.is_file():
        raise ValueError(f"it is no file of at most {MOST_JSON:,} bytes")
    content = parsed(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError("it holds no object")
    return content


def hash_of(content: dict[str, Any]) -> str:
    """Return the hash of a JSON object, without its own entry for it.

    Example:
        >>> content = {"format": 3}
        >>> content[HASH] = hash_of(content)
        >>> hash_of(content) == content[HASH]
        True
    """
    rest = {name: value for name, value in content.items() if name != HASH}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def checksum(content: Any = b"") -> "hashlib.blake2b":
    """Return the hash of bytes, to be continued or read by `hexdigest()`."""
    return hashlib.blake2b(content, digest_size=16)


def file_hash(path: Path) -> str:
    """Return the hash of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, checksum).hexdigest()


class StoredArrays(NamedTuple):
    """Content of a file of arrays."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]
    hash: str
    """Of both, as the file states it."""


def write_arrays(
    path: Path, header: dict[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a header with `format` and arrays, and the hash of both; make the folder."""
    names = {kind: name for name, kind in ARRAY_KINDS.items()}
    arrays = {
        name: np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        for name, array in arrays.items()
    }
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)  # for alignment
    text = json.dumps({"version": __version__} | header, allow_nan=False)
    places: dict[str, Any] = {
        "__metadata__": {CONTENT: text, HASH: content_hash(text, arrays)}
    }
    end = 0
    for name in order:
        array = arrays[name]
        if array.dtype not in names:
            raise ValueError(f"an array of {array.dtype} cannot be saved.")
        places[name] = {
            "dtype": names[array.dtype],
            "shape": array.shape,
            "data_offsets": (end, end + array.nbytes),
        }
        end += array.nbytes
    stated = json.dumps(places).encode()
    stated += b" " * (-len(stated) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        stream.write(len(stated).to_bytes(8, "little") + stated)
        for name in order:
            stream.write(_bytes_of(arrays[name]))


def read_arrays(
    path: Path,
    known: int,
    what: str,
    error: type[Exception],
) -> StoredArrays:
    """Return what `write_arrays` wrote in a format; raise `error` in a sentence where the file does not hold `what`.

    The arrays are parts of one buffer, which is as large as the file.
    """
    if not path.is_file():
        raise error(f"there is no file {str(path)!r}; pass the one that save() wrote.")
    with read_as(
        error, f"{str(path)!r} is damaged or not {what} ({{}}); save it again."
    ):
        text, arrays, stated = _split(path)
        header = parsed(text)
        version = header["format"], header["version"]
    if version[0] != known:
        raise error(
            f"{str(path)!r} has format {version[0]}, written by langevax {version[1]}; "
            f"this is langevax {__version__}, which reads format {known}: fit again, "
            "or install that version."
        )
    if stated != content_hash(text, arrays):
        raise error(
            f"{str(path)!r} is damaged: its content is not what was saved; copy it or "
            "save it again."
        )
    return StoredArrays(header, arrays, stated)


def _split(path: Path) -> tuple[str, dict[str, np.ndarray], str]:
    """Return header, arrays and hash of a file, whose places have to cover it."""
    content = bytearray(path.stat().st_size)
    with path.open("rb") as stream:
        stream.readinto(content)
    begin = 8 + int.from_bytes(content[:8], "little")
    if not 8 < begin <= len(content):
        raise ValueError("its header is cut")
    places = parsed(content[8:begin])
    stated = places.pop("__metadata__", {})
    arrays = {}
    end = 0
    for name, place in sorted(places.items(), key=lambda one: one[1]["data_offsets"]):
        start, stop = place["data_offsets"]
        kind, shape = ARRAY_KINDS[place["dtype"]], tuple(place["shape"])
        if start != end or math.prod(shape) * kind.itemsize != stop - start:
            raise ValueError(f"its array {name!r} is not where it should be")
        arrays[name] = np.ndarray(shape, kind, content, begin + start)
        end = stop
    if begin + end != len(content):
        raise ValueError("it is cut")
    return stated[CONTENT], arrays, str(stated.get(HASH))


def content_hash(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a header and of names, kinds, shapes and bytes of its arrays."""
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(_bytes_of(array))
    return digest.hexdigest()


def _bytes_of(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
