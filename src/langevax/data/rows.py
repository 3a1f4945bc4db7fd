"""Row files: a table converted once, then trained on from disk without being loaded into memory.

A row file is a folder `NAME.rows/` that holds one standard `.npy` per group of columns, and `rows.json`:

    NAME.rows/inputs.npy   NAME.rows/targets.npy   NAME.rows/rows.json

`write_rows` makes it in one pass of bounded memory, checking every number; `open_rows` maps it. On a CPU the JAX arrays
of `Rows` *are* the mapped files: `device_put(..., may_alias=True)` does not copy data that start at a multiple of 64
bytes, as those of an `.npy` do (`jnp.asarray` would copy). The system reads pages as they are touched and drops them
when memory is short. `rows.json` has the SHA-256 of every 16 MiB of a group, of its header, and of itself. Nothing is
pickled.
"""

import mmap
import os
from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import jax
import numpy as np

from langevax import checks
from langevax.data.integrity import (
    CHECKED_BYTES,
    damaged_rows,
    split_map,
)
from langevax.storage import HASH, UnreadableError, hash_of, read_as, read_object

VERSION = 2
DESCRIPTION = "rows.json"


class Rows(
    Mapping[str, Any]
):  # not jax.Array: a run-time type check would then fetch an array to look at it
    """An open row file: a mapping from the name of a group to all its rows as one JAX array.

    On a CPU, `rows["inputs"]` is the mapped file itself: making it takes no time and no memory, and it stays
    valid as long as the array lives (leave the files as they are until then). On a GPU or TPU the whole
    group is copied to the device. The array is made once. Pass it to jitted functions as an argument, as
    a problem does: an array that is closed over becomes a constant of the program, and that is a copy.

    Attributes:
        path: the folder.
        num_rows: the common length of all groups.
        columns: the names of the columns of a group, where they are known.
        access: as passed to `open_rows`.
        means, standard_deviations: of each column of the floating groups, over all rows, in float64.
    """

    def __init__(
        self,
        path: Path,
        table: dict[str, Any],
        maps: Mapping[str, np.memmap],
        access: str,
    ):
        groups: dict[str, dict[str, Any]] = table["groups"]

        def known(key: str) -> dict[str, Any]:
            return {name: one[key] for name, one in groups.items() if key in one}

        self.path = path
        self.num_rows: int = table["num_rows"]
        self.columns: dict[str, list[str]] = known("columns")
        self.access = access
        self.means: dict[str, np.ndarray] = {
            name: np.array(values, np.float64) for name, values in known("mean").items()
        }
        self.standard_deviations: dict[str, np.ndarray] = {
            name: np.array(values, np.float64)
            for name, values in known("standard_deviation").items()
        }
        self._maps = dict(maps)
        self._arrays: dict[str, jax.Array] = {}
        self._hashes: dict[str, list[str]] = known(HASH)
        self._unchecked: set[str] = {
            name for name, rows in maps.items() if rows.nbytes <= CHECKED_BYTES
        }

    def __getitem__(self, name: str) -> jax.Array:
        if name not in self._arrays:
            rows = self.numpy(name)
            narrow = jax.dtypes.canonicalize_dtype(rows.dtype)
            if narrow != rows.dtype:
                raise ValueError(
                    f"{name} is stored as {rows.dtype}, which JAX would cut to "
                    f"{narrow} and copy; convert the table with write_rows(..., "
                    "dtype=np.float32), or call jax.config.update('jax_enable_x64', "
                    "True) first."
                )
            with (
                jax.ensure_compile_time_eval()
            ):  # a concrete array, also inside a jitted function
                array = jax.device_put(rows, may_alias=True)
            checks.mark_finite(array)
            self._arrays[name] = array
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)

    def __contains__(self, name: object) -> bool:
        return name in self._maps

    def numpy(self, name: str) -> np.memmap:
        """Return the rows of a group as NumPy's read-only map of the same file."""
        if name not in self._maps:
            raise KeyError(
                f"no group {name!r} in {self.path}; it holds {', '.join(self._maps)}"
            )
        if name in self._unchecked:
            self._check(name)
        return self._maps[name]

    def check(self) -> None:
        """Read all rows and compare them with the hashes stored when they were written.

        This is done for a group of up to 1 GiB before its first use; larger ones are checked only here, and by
        `langevax check`, at about the speed of the disk.

        Raises:
            ValueError: rows that differ, by their numbers.
        """
        for name in self._maps:
            self._check(name)

    def _check(self, name: str) -> None:
        damaged = list(damaged_rows(self._maps[name], self._hashes[name]))
        if damaged:
            places = ", ".join(f"{first:,} to {last:,}" for first, last in damaged[:3])
            more = f" and {len(damaged) - 3} more blocks" if len(damaged) > 3 else ""
            raise _unreadable(
                f"{name} in {self.path} is damaged: rows {places}{more} are not those "
                "that were written"
            )
        self._unchecked.discard(name)

    def __eq__(self, other: object) -> bool:
        return self is other  # Mapping would compare the arrays, row by row

    def __hash__(self) -> int:
        return id(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # a copy in another process opens the files instead of carrying the rows
        return partial(open_rows, access=self.access), (self.path,)

    def __repr__(self) -> str:
        width = max(map(len, self._maps))
        groups = "".join(
            "\n"
            f"  {name:<{width}}  {rows.dtype} {rows.shape}, {rows.nbytes / 1e6:,.1f} MB"
            for name, rows in self._maps.items()
        )
        first = next(iter(self._maps))
        return (
            f"{self.path.name}: {self.num_rows:,} rows on disk, all finite{groups}\n"
            f"rows[{first!r}] is a JAX array, rows.numpy({first!r}) NumPy's map of it; "
            "also .means and .standard_deviations"
        )


def open_rows(path: str | os.PathLike[str], *, access: str = "mixed") -> Rows:
    """Map a row file, after comparing every file's size and header with `rows.json`; reads no row.

    A group of up to 1 GiB is compared with its hashes before its first use, larger ones by `Rows.check`.

    Args:
        path: the folder that `write_rows` or `convert_table` made.
        access: access pattern passed to `madvise`. With "mixed" the system reads ahead of every page that is not in
            memory: right for full passes, and for files that fit into memory. "random" reads single pages: for
            stochastic batches from a file beyond memory, where one row costs megabytes otherwise; a full pass is
            then slow. Ignored on systems without `madvise`.

    Example:
        >>> import tempfile, numpy as np
        >>> from langevax.data import open_rows, write_rows
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_rows(f"{folder}/table.rows", {"inputs": np.ones((4, 2)), "labels": np.arange(4)})
        ...     rows = open_rows(f"{folder}/table.rows")
        >>> rows
        table.rows: 4 rows on disk, all finite
          inputs  float32 (4, 2), 0.0 MB
          labels  int32 (4,), 0.0 MB
        rows['inputs'] is a JAX array, rows.numpy('inputs') NumPy's map of it; also .means and .standard_deviations
        >>> rows["inputs"].sum()
        Array(8., dtype=float32)
    """
    checks.one_of("access", access, ("mixed", "random"))
    checks.local_path("path", path)
    path = Path(path).resolve()
    description = path / DESCRIPTION
    if not description.is_file():
        raise FileNotFoundError(
            f"{path} is not a row file: there is no {description}; make one with "
            "write_rows."
        )
    damaged = str(_unreadable(f"{description} is damaged ({{}})"))
    with read_as(UnreadableError, damaged):
        table = read_object(description)
        if table["version"] != VERSION or table["finite"] is not True:
            raise _unreadable(
                f"{path} is not a table of checked rows in version {VERSION}, the one "
                "this langevax reads"
            )
        if table[HASH] != hash_of(table) or not table["groups"]:
            raise _unreadable(
                f"{description} is damaged: its content is not what was written"
            )
        maps = {
            name: _mapped(path, name, group, table["num_rows"])
            for name, group in table["groups"].items()
        }
        if access == "random" and hasattr(mmap, "MADV_RANDOM"):
            for rows in maps.values():
                rows.base.madvise(mmap.MADV_RANDOM)  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
        return Rows(path, table, maps, access)


def _mapped(
    path: Path,
    name: str,
    group: dict[str, Any],
    num_rows: int,
) -> np.memmap:
    file = path / f"{checked_name(name)}.npy"
    expected = group["bytes"]
    if not file.is_file():
        raise _unreadable(f"{file} is missing")
    if (size := file.stat().st_size) != expected:
        raise _unreadable(f"{file} should hold {expected:,} bytes and holds {size:,}")
    try:
        rows = np.load(file, mmap_mode="r", allow_pickle=False)
    except (
        Exception
    ) as error:  # NumPy parses the header as Python, whose errors are of many kinds
        raise _unreadable(f"{file} is not a .npy file ({error})") from error
    shape = (num_rows, *group["row_shape"])
    if rows.shape != shape or rows.dtype != group["dtype"]:
        raise _unreadable(
            f"{file} holds {rows.dtype} {rows.shape} instead of {group['dtype']} "
            f"{shape}"
        )
    header, _ = split_map(rows)
    if sha256(header).hexdigest() != group["header_sha256"]:
        raise _unreadable(f"{file} is damaged: its header is not what was written")
    return rows


def _unreadable(what: str) -> UnreadableError:
    return UnreadableError(
        f"{what}; convert the table again with write_rows(..., overwrite=True)."
    )


def checked_name(name: object) -> str:
    """Return `name` if it can be a file name; raise otherwise."""
    if not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(
            f"{name!r} cannot name a group; pass a name of letters, digits and "
            "underscores."
        )
    return name
