"""CSV and Parquet files of any size as a row file: polars reads them in parts."""

import os
import pathlib
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from langevax import checks
from langevax.data.rows import Rows
from langevax.data.writing import progress_bar, refuse_existing, write_rows
from langevax.locks import Lock

if TYPE_CHECKING:
    from langevax.data.files import TableFile

Path = str | os.PathLike[str]


def convert_table(
    table: Path | Sequence[Path],
    path: Path,
    *,
    target: str,
    inputs: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    dtype: DTypeLike | None = np.float32,
    overwrite: bool = False,
    progress: bool | Literal["auto"] = "auto",
) -> Rows:
    """Convert CSV or Parquet files to a row file of `inputs` (rows, columns) and `targets` (rows,), and open it.

    Takes some hundred MB of memory for any number of rows, and a fifth of one row group of a Parquet file.
    Text is read twice: first the target alone, which is stored as integers if all its values are, then
    all columns. Needs `pip install 'langevax[tables]'`.

    Args:
        table: a file, a pattern such as `"clicks/*.parquet"` or several of these, whose rows follow each other: CSV
            with a header, also gzipped or with semicolons, tabs or bars, or Parquet.
        path: the folder to make, as in `write_rows`.
        target: the column that becomes `targets`; integers and booleans are stored as integers.
        inputs: the columns of `inputs`, in that order; None takes all but the target and `drop`.
        drop: columns to leave out.
        dtype: of `inputs`, and of a target that is not integer; None stores numbers as wide as they are.
        overwrite, progress: as in `write_rows`.

    Raises:
        ValueError: a column that holds words, dates or lists, or does not exist; an integer that `dtype` would round
            (beyond 2^24 by default, 2^53 with None); a missing or infinite number, named by data row (counted from 1)
            and column; files whose columns differ; a file that cannot be read.
        OSError: a table that does not exist, and the errors of `write_rows`.
        LockedError: another conversion is writing this row file.

    Example:
        >>> import tempfile, pathlib
        >>> from langevax.data import convert_table
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "shop.csv").write_text("age,visits,bought\\n31,2,0\\n54,9,1\\n40,4,1\\n")
        >>> rows = convert_table(folder / "shop.csv", folder / "shop.rows", target="bought")
        >>> rows.columns["inputs"], rows["inputs"].shape, rows["targets"]
        (['age', 'visits'], (3, 2), Array([0, 1, 1], dtype=int32))
    """
    with checks.needs("tables", "convert_table"):
        from langevax.data.files import TableFile, matching_files

    checks.flag("overwrite", overwrite)
    with alone(
        refuse_existing(path, overwrite), overwrite
    ):  # before minutes of counting
        files = [TableFile(file) for file in matching_files(table)]
        return convert_files(
            files, path, target, inputs, drop, dtype, overwrite, progress
        )


def convert_files(
    files: "Sequence[TableFile]",
    path: Path,
    target: str,
    inputs: Sequence[str] | None,
    drop: Sequence[str],
    dtype: DTypeLike | None,
    overwrite: bool,
    progress: bool | Literal["auto"],
) -> Rows:
    """Write the rows of files as `convert_table` does; `alone` is around it."""
    names = _input_names(files, target, inputs, drop)
    for file in files:
        file.refuse_words([*names, target])
    lengths, whole = _counted(files, target, progress)
    starts = np.cumsum([0, *lengths]).tolist()
    return write_rows(
        path,
        _blocks(files, starts, names, target, whole, _digits(dtype)),
        dtype=dtype,
        columns={"inputs": names, "targets": [target]},
        overwrite=overwrite,
        progress=progress,
        num_rows=starts[-1],
    )


@contextmanager
def alone(path: pathlib.Path, overwrite: bool) -> Iterator[None]:
    """Hold the lock of a row file, and delete what conversions to it that were killed have left beside it."""
    try:
        lock = Lock(path.with_name(f".{path.name}.lock"), f"row file {str(path)!r}")
    except OSError:  # where nothing can be written, `write_rows` says so
        yield
        return
    with lock:
        _clean(path)
        yield
        if overwrite:  # the earlier rows, where a kill between two renames had left them the only ones
            _clean(path)


def _clean(path: pathlib.Path) -> None:
    """Delete what conversions to a row file that were killed have left beside it, unless the rows are only there."""
    unfinished = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{12}}(\.old)?")
    leftovers = [
        folder for folder in path.parent.iterdir() if unfinished.fullmatch(folder.name)
    ]
    if path.exists() or not any(folder.suffix == ".old" for folder in leftovers):
        for folder in leftovers:
            if not folder.is_symlink() and all(
                file.suffix in (".npy", ".json") for file in folder.glob("*")
            ):
                shutil.rmtree(folder, ignore_errors=True)


def _digits(dtype: DTypeLike | None) -> int:
    """Return the binary digits of a float of this kind."""
    kind: Any = np.dtype(np.float64 if dtype is None else dtype)
    return np.finfo(kind).nmant + 1 if kind.kind == "f" else 53


def _blocks(
    files: "Sequence[TableFile]",
    starts: list[int],
    inputs: list[str],
    target: str,
    whole: bool,
    digits: int,
) -> Iterator[dict[str, np.ndarray]]:
    for file, start in zip(files, starts, strict=False):
        yield from file.blocks(inputs, target, whole, start, digits)


def _counted(
    files: "Sequence[TableFile]", target: str, progress: bool | Literal["auto"]
) -> tuple[list[int], bool]:
    """Return the number of rows of each file, and whether the target is integer in all of them."""
    lengths = [0] * len(files)
    whole = True
    with progress_bar(progress, desc="counting rows", leave=False) as bar:
        for i, file in enumerate(files):
            for length, integer in file.lengths_and_wholeness(target):
                lengths[i] += length
                whole = whole and integer
                bar.update(length)
    return lengths, whole


def _input_names(
    files: "Sequence[TableFile]",
    target: str,
    inputs: Sequence[str] | None,
    drop: Sequence[str],
) -> list[str]:
    """Return the names of the inputs; raise where a name does not exist."""
    path = files[0].path
    names = list(files[0].types)
    for file in files[1:]:
        if other := set(file.types) ^ set(names):
            raise ValueError(
                f"{file.path} and {path} differ in "
                f"{', '.join(map(repr, sorted(other)))}; make their columns agree."
            )
    for argument, columns in (
        ("target", [target]),
        ("inputs", inputs or ()),
        ("drop", drop),
    ):
        if unknown := [name for name in columns if name not in names]:
            raise ValueError(
                f"{argument} {checks.shown(unknown[0])} is not a column of {path}; it "
                f"has {', '.join(map(repr, names))}."
            )
    if target in (*(inputs or ()), *drop):
        raise ValueError(
            f"the target {target!r} is also in inputs or drop; take it out there."
        )
    selected = [name for name in inputs or names if name != target and name not in drop]
    if not selected:
        raise ValueError(f"no column of {path} is left as an input; drop fewer.")
    return selected
