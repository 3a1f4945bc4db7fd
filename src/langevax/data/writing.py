"""Writing of row files in one pass of bounded memory, every number checked on the way.

Means and variances are merged over parts in float64: T. F. Chan, G. H. Golub and R. J. LeVeque,
Updating formulae and a pairwise algorithm for computing sample variances (1979), eq. 2.1.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from langevax import checks
from langevax.data.integrity import HASHED_BYTES, BlockHashes
from langevax.data.rows import DESCRIPTION, VERSION, Rows, checked_name, open_rows
from langevax.storage import HASH, hash_of

if TYPE_CHECKING:
    from tqdm import tqdm


def write_rows(
    path: str | os.PathLike[str],
    blocks: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    *,
    dtype: DTypeLike | None = np.float32,
    columns: Mapping[str, Sequence[str]] | None = None,
    overwrite: bool = False,
    progress: bool | Literal["auto"] = "auto",
    num_rows: int | None = None,
) -> Rows:
    """Write a table as a row file, check it on the way, and open it.

    The folder appears under its name only when it is complete and on disk; until then, and after any failure, an
    earlier one stays as it was. (Replacing it takes two renames: if the machine stops between them, the earlier rows
    are in the hidden folder `.NAME.rows....old` beside it.)

    Args:
        path: the folder to make, `NAME.rows` by custom; its parent must exist.
        blocks: a dict from names to arrays with one row per example, or an iterable of such dicts, taken one
            at a time: chunks of a CSV or Parquet reader, say. Names, row shapes and dtypes agree between blocks.
        dtype: what floating groups are stored as. Up to 32 bits, integers of 64 bits are stored in 32, since JAX
            knows no wider ones by default; a number that does not fit is an error. None stores all as given,
            bit for bit.
        columns: names of the columns of groups, kept as `Rows.columns` and used in errors.
        overwrite: replace an earlier row file of this name.
        progress: show a progress line; "auto" shows it when standard error is a terminal.
        num_rows: the number of rows to come, so that the line shows the time left.

    Raises:
        ValueError: a NaN or infinity, named by group, row and column; blocks that disagree; no rows.
        TypeError: a block that is not a dict, or a dtype that is neither bool, integer nor floating.
        OSError: the folder exists, or could not be written (a full disk).

    Example:
        >>> import tempfile, numpy as np
        >>> from langevax.data import write_rows
        >>> def chunks():
        ...     for start in range(0, 1000, 250):
        ...         x = np.arange(start, start + 250)
        ...         yield {"inputs": np.stack([x, x % 2], axis=1) / 2, "targets": np.sin(x)}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rows = write_rows(f"{folder}/sine.rows", chunks())
        >>> rows.num_rows, rows["inputs"].shape, rows.means["inputs"], rows.standard_deviations["inputs"][1]
        (1000, (1000, 2), array([249.75,   0.25]), np.float64(0.25))
    """
    checks.flag("overwrite", overwrite)
    if not isinstance(blocks, Iterable) or isinstance(blocks, str | type):
        raise TypeError(
            "blocks must be a dict of arrays or an iterable of such, got "
            f"{checks.shown(blocks)}; pass one."
        )
    path = refuse_existing(path, overwrite)
    writer = _TableWriter(
        path,
        _floating(dtype),
        {name: list(names) for name, names in (columns or {}).items()},
    )
    one = isinstance(blocks, Mapping)
    try:
        with progress_bar(progress, desc=path.name, total=num_rows) as bar:
            for number, block in enumerate([blocks] if one else blocks):
                arrays = _arrays("the table" if one else f"block {number}", block)
                for part in _parts(arrays):
                    writer.append(part)
                    bar.update(len(next(iter(part.values()))))
        writer.finish(overwrite)
    finally:
        shutil.rmtree(
            writer.folder, ignore_errors=True
        )  # already renamed if all went well
    return open_rows(path)


def progress_bar(progress: bool | Literal["auto"], **options: Any) -> "tqdm[Any]":
    """Return a bar that counts rows; "auto" shows it where standard error is a terminal."""
    from tqdm import tqdm

    hidden = None if progress == "auto" else not progress
    return tqdm(unit=" rows", unit_scale=True, disable=hidden, **options)


class _TableWriter:
    """Write a hidden folder beside `path`, renamed to it by `finish`."""

    def __init__(
        self,
        path: Path,
        dtype: np.dtype | None,
        columns: dict[str, list[str]],
    ):
        self.path = path
        self.columns = columns
        self.folder = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
        self.dtype = dtype
        self.groups: dict[str, _GroupWriter] = {}
        self.num_rows = 0
        with _explained(path):
            self.folder.mkdir()

    def append(self, arrays: dict[str, np.ndarray]) -> None:
        stored = {
            name: _stored(name, rows, self.dtype, self.num_rows, self.columns.get(name))
            for name, rows in arrays.items()
        }
        if not self.groups:
            _refuse_other_columns(self.columns, stored)
            with _explained(self.path):
                self.groups = {
                    name: _GroupWriter(self.folder / f"{name}.npy", rows)
                    for name, rows in stored.items()
                }
        if stored.keys() != self.groups.keys():
            raise ValueError(
                f"the block at row {self.num_rows} holds {', '.join(stored)}, the ones "
                f"before it {', '.join(self.groups)}; give every block the same names."
            )
        for name, rows in stored.items():
            group = self.groups[name]
            if rows.shape[1:] != group.row_shape or rows.dtype != group.dtype:
                raise ValueError(
                    f"{name} has rows of {rows.dtype} {rows.shape[1:]} from row "
                    f"{self.num_rows} on, {group.dtype} {group.row_shape} before; give "
                    "every block the same columns and cast them to one dtype."
                )
            with _explained(self.path):
                group.append(rows)
        self.num_rows += len(next(iter(stored.values())))

    def finish(self, overwrite: bool) -> None:
        if self.num_rows == 0:
            raise ValueError(
                f"blocks held no rows, so {self.path} was not written; pass at least "
                "one row."
            )
        with _explained(self.path):
            table: dict[str, Any] = {
                "version": VERSION,
                "num_rows": self.num_rows,
                "finite": True,
                "groups": {
                    name: group.finish() | self._names(name)
                    for name, group in self.groups.items()
                },
            }
            with (self.folder / DESCRIPTION).open("w", encoding="utf-8") as file:
                json.dump(table | {HASH: hash_of(table)}, file, indent=1)
                _sync(file)
            _sync_folder(self.folder)
            _rename(self.folder, self.path, overwrite)
            _sync_folder(self.path.parent)

    def _names(self, name: str) -> dict[str, list[str]]:
        return {"columns": self.columns[name]} if name in self.columns else {}


class _GroupWriter:
    """Append rows to one `.npy` and keep their count, mean and summed squared deviations in float64."""

    def __init__(self, file: Path, rows: np.ndarray):
        self.file = file
        self.dtype = rows.dtype
        self.row_shape = rows.shape[1:]
        self.count = 0
        self.mean = np.zeros(self.row_shape)
        self.squares = np.zeros(self.row_shape)
        self.hashes = BlockHashes()
        with file.open("xb") as stream:
            self.write_header(stream)

    def write_header(self, stream: IO[bytes]) -> None:
        # NumPy pads the header for any length of axis 0, so the final one fits in place of the first.
        shape = (self.count, *self.row_shape)
        descr = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)

    def append(self, rows: np.ndarray) -> None:
        with self.file.open("ab") as stream:
            stream.write(rows.data)
        self.hashes.update(rows)
        if self.dtype.kind == "f":
            share = len(rows) / (self.count + len(rows))
            with np.errstate(
                over="ignore"
            ):  # the deviation of values beyond 1e154 is infinity
                mean = rows.mean(axis=0, dtype=np.float64)
                if not np.isfinite(mean).all():
                    mean = (rows / len(rows)).sum(axis=0)
                between = (mean - self.mean) * np.sqrt(
                    self.count * share
                )  # 0 in the first block, however large
                self.squares += ((rows - mean) ** 2).sum(axis=0) + between**2
            self.mean = self.mean * (1 - share) + mean * share
        self.count += len(rows)

    def finish(self) -> dict[str, Any]:
        with self.file.open("r+b") as stream:
            self.write_header(stream)
            header = stream.tell()
            _sync(stream)
            stream.seek(0)
            hashes = {
                "header_sha256": sha256(stream.read(header)).hexdigest(),
                HASH: self.hashes.finish(),
            }
        about = {
            "dtype": self.dtype.name,
            "row_shape": self.row_shape,
            "bytes": self.file.stat().st_size,
            **hashes,
        }
        if self.dtype.kind == "f":
            deviation = np.sqrt(self.squares / self.count)
            about |= {
                "mean": self.mean.tolist(),
                "standard_deviation": deviation.tolist(),
            }
        return about


def _stored(
    name: str,
    rows: np.ndarray,
    dtype: np.dtype | None,
    start: int,
    columns: list[str] | None,
) -> np.ndarray:
    """Return `rows` in the stored dtype, all finite and unchanged; `start` counts the rows before."""
    if rows.dtype.kind not in "biuf" or (rows.dtype.itemsize > 8 and dtype is None):
        raise TypeError(
            f"{name} has dtype {rows.dtype}; cast it to bool, an integer or a floating "
            "dtype of JAX."
        )
    target = rows.dtype.newbyteorder("=")
    if dtype is not None and target.kind == "f":
        target = dtype
    elif dtype is not None and target.itemsize > max(4, dtype.itemsize):
        target = np.dtype(f"{target.kind}4")
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(rows, target)
    good = np.isfinite(stored) if target.kind == "f" else stored == rows
    if good.all():
        return stored
    place = tuple(map(int, np.argwhere(~good)[0]))
    value = rows[place]
    if np.isfinite(value):
        wrong = f", which does not fit {target}; rescale it or pass dtype=None"
    else:
        wrong = "; drop or fill such rows before converting"
    raise ValueError(f"{name} at {_place(place, start, columns)} is {value}{wrong}.")


def _place(place: tuple[int, ...], start: int, columns: list[str] | None) -> str:
    """Name a row and a column; rows of a table, whose columns have names, count from 1 in every message."""
    row, *column = place
    if columns:
        name = columns[column[0] if column else 0]
        return f"data row {start + row + 1:,}, column {name!r},"
    if not column:
        return f"row {start + row}"
    return (
        f"row {start + row}, column {column[0] if len(column) == 1 else tuple(column)}"
    )


def _refuse_other_columns(
    columns: Mapping[str, Sequence[str]], groups: Mapping[str, np.ndarray]
) -> None:
    for name, names in columns.items():
        width = (
            groups[name].shape[1]
            if name in groups and groups[name].ndim > 1
            else int(name in groups)
        )
        if len(names) != width:
            raise ValueError(
                f"columns[{name!r}] has {len(names)} names for {width} columns; name "
                "each once."
            )


def _arrays(label: str, block: object) -> dict[str, np.ndarray]:
    """Return the groups of a block as NumPy arrays, with valid names and equal numbers of rows."""
    if not isinstance(block, Mapping):
        raise TypeError(
            f"blocks must be dicts from names to arrays, but {label} is "
            f"{checks.shown(block)}; pass dicts."
        )
    arrays = {
        checked_name(name): _as_array(name, array) for name, array in block.items()
    }
    for name, array in arrays.items():
        if array.ndim and not all(array.shape[1:]):
            raise ValueError(
                f"{name} of {label} has shape {array.shape}, rows without columns; "
                "leave it out."
            )
    if not arrays or any(
        array.shape[:1] != (0,) for array in arrays.values()
    ):  # blocks of no rows may pass
        checks.leading_axis(label, arrays)
    return arrays


def _as_array(name: str, values: object) -> np.ndarray:
    """Return values as they are stored in NumPy's kinds; `_stored` refuses what is not a number."""
    if isinstance(values, np.ma.MaskedArray):
        return checks.plain_array(name, values, complete=False)
    return np.asarray(values)


def _parts(arrays: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    length = len(next(iter(arrays.values())))
    row_bytes = sum(array.nbytes for array in arrays.values()) // max(1, length)
    size = max(1, HASHED_BYTES // 4 // max(1, row_bytes))
    for start in range(0, length, size):
        yield {name: array[start : start + size] for name, array in arrays.items()}


def _floating(dtype: DTypeLike | None) -> np.dtype | None:
    if dtype is None:
        return None
    if np.dtype(dtype).kind != "f" or np.dtype(dtype).itemsize > 8:
        raise TypeError(
            f"dtype must be floating or None, got {np.dtype(dtype)}; pass np.float32."
        )
    return np.dtype(dtype)


def refuse_existing(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Return the full path if a row file may be written there; raise otherwise."""
    checks.local_path("path", path)
    path = Path(path).resolve()
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists; pass overwrite=True to replace it, or another path."
        )
    if path.exists() and not (path / DESCRIPTION).is_file():
        raise FileExistsError(
            f"{path} exists and is not a row file, so it is never replaced; pass "
            "another path."
        )
    return path


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Name the row file and a remedy in the errors of the system."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} could not be written ({error.strerror}); nothing was changed. "
            "Check that its parent folder exists, is writable and has space, or pass "
            "another path.",
        ) from error


def _rename(folder: Path, path: Path, overwrite: bool) -> None:
    if not (overwrite and path.exists()):
        folder.rename(path)
        return
    old = folder.with_name(f"{folder.name}.old")
    path.rename(old)
    try:
        folder.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(
        old, ignore_errors=True
    )  # arrays that map it stay valid as long as they live


def _sync(stream: IO[Any]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
