"""Facts about row files: what is written is what JAX maps, nothing is copied, and no failure leaves a half of one."""

import errno
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langevax.checks import known_finite
from langevax.data import Rows, open_rows, write_rows
from langevax.storage import HASH, hash_of
from tests.sentences import refuses

linux_only = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads /proc/self/status"
)


def table(num_rows=1000, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "inputs": rng.normal(3.0, 2.0, (num_rows, 5)).astype(np.float32),
        "targets": rng.integers(0, 2, num_rows).astype(np.int32),
    }


def in_blocks(arrays, size):
    for start in range(0, len(arrays["inputs"]), size):
        yield {name: array[start : start + size] for name, array in arrays.items()}


def in_a_new_process(script, *arguments):
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.rows"


@pytest.mark.parametrize("row_shape", [(), (1,), (7,), (2, 3, 4)])
@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "uint8", "int32", "uint32", "float16", "float32", "<i8", "<f8"],
)
def test_written_rows_are_read_bit_for_bit(path, dtype, row_shape):
    bits = np.random.default_rng(1).integers(
        0, 2, (37, *row_shape)
    ) * np.random.default_rng(2).normal(size=row_shape)
    values = (bits * 100).astype(dtype)
    rows = write_rows(path, {"x": values}, dtype=None)
    assert rows.numpy("x").dtype == values.dtype
    np.testing.assert_array_equal(rows.numpy("x"), values)
    assert np.load(path / "x.npy").tobytes() == values.tobytes()
    if values.itemsize < 8:
        assert rows["x"].dtype == values.dtype
        np.testing.assert_array_equal(rows["x"], values)


def test_any_layout_and_byte_order_is_stored_as_plain_rows(path):
    x = np.arange(60.0).reshape(6, 10)
    rows = write_rows(
        path,
        {
            "fortran": np.asfortranarray(x),
            "strided": x[:, ::3],
            "swapped": x.astype(">f4"),
        },
    )
    for name, expected in {"fortran": x, "strided": x[:, ::3], "swapped": x}.items():
        assert rows[name].dtype == np.float32
        np.testing.assert_array_equal(rows[name], expected)


def test_by_default_wide_numbers_are_stored_in_32_bits(path):
    rows = write_rows(
        path,
        {
            "x": np.linspace(0, 1, 9),
            "y": np.arange(9),
            "z": np.arange(9, dtype=np.uint64),
        },
    )
    assert {name: rows[name].dtype.name for name in rows} == {
        "x": "float32",
        "y": "int32",
        "z": "uint32",
    }


def test_wide_groups_are_refused_by_jax_without_x64_and_mapped_with_it(path):
    rows = write_rows(path, {"x": np.linspace(0, 1, 9)}, dtype=None)
    with refuses(ValueError, "x float64 dtype=np.float32 jax_enable_x64"):
        rows["x"]
    with jax.enable_x64(True):
        assert rows["x"].unsafe_buffer_pointer() == rows.numpy("x").ctypes.data


def test_the_jax_array_is_the_mapped_file(path):
    write_rows(path, table())
    rows = open_rows(path)
    for name in rows:
        assert isinstance(rows.numpy(name), np.memmap)
        assert rows[name].unsafe_buffer_pointer() == rows.numpy(name).ctypes.data
        assert rows[name] is rows[name]


def test_an_array_outlives_its_rows_and_the_folder_that_was_replaced(path):
    old, new = table(seed=0), table(seed=1)
    inputs = write_rows(path, old)["inputs"]
    rows = write_rows(path, new, overwrite=True)
    np.testing.assert_array_equal(inputs, old["inputs"])
    np.testing.assert_array_equal(rows["inputs"], new["inputs"])


def test_rows_requested_under_jit_are_concrete_afterwards(path):
    rows = write_rows(path, table())
    inside = jax.jit(lambda: jnp.sum(rows["targets"]))()
    assert inside == rows["targets"].sum()


def test_donating_mapped_rows_leaves_the_file_as_it_was(path):
    rows = write_rows(path, table())
    jax.jit(lambda x: x + 1.0, donate_argnums=0)(rows["inputs"]).block_until_ready()
    np.testing.assert_array_equal(rows.numpy("inputs"), table()["inputs"])


def test_arrays_of_rows_are_known_to_be_checked_and_others_not(path):
    rows = write_rows(path, table())
    assert known_finite(rows["inputs"])
    assert known_finite(jnp.asarray(rows["inputs"]))
    assert not known_finite(rows["inputs"] + 1.0)
    assert not known_finite(jnp.ones(3))
    assert not known_finite(None)


@pytest.mark.parametrize("size", [1, 64, 333, 1000])
def test_streaming_equals_one_shot(tmp_path, size):
    arrays = table()
    once = write_rows(tmp_path / "once.rows", arrays)
    streamed = write_rows(tmp_path / "streamed.rows", in_blocks(arrays, size))
    for name in arrays:
        assert (streamed.path / f"{name}.npy").read_bytes() == (
            once.path / f"{name}.npy"
        ).read_bytes()
    np.testing.assert_allclose(
        streamed.means["inputs"], once.means["inputs"], rtol=1e-13
    )
    np.testing.assert_allclose(
        streamed.standard_deviations["inputs"],
        once.standard_deviations["inputs"],
        rtol=1e-13,
    )


def test_means_of_numbers_as_large_as_float64_holds_are_finite(tmp_path):
    values = [np.array([1.7e308, 1.7e308, 1e308]), np.array([-1e308])]
    write_rows(tmp_path / "t.rows", ({"x": block} for block in values), dtype=None)
    rows = open_rows(tmp_path / "t.rows")
    np.testing.assert_allclose(rows.means["x"], 0.85e308, rtol=1e-15)
    assert rows.standard_deviations["x"] == np.inf


def test_statistics_are_numpys_in_float64_also_far_from_zero_and_over_many_parts(path):
    rng = np.random.default_rng(3)
    x = (1e4 + rng.normal(size=(400_000, 2, 3))).astype(
        np.float32
    )  # 9.6 MB: three parts
    rows = write_rows(path, {"x": x, "count": np.arange(len(x))})
    assert set(rows.means) == set(rows.standard_deviations) == {"x"}
    assert rows.means["x"].dtype == np.float64
    np.testing.assert_allclose(
        rows.means["x"], x.mean(axis=0, dtype=np.float64), rtol=1e-13
    )
    np.testing.assert_allclose(
        rows.standard_deviations["x"], x.astype(np.float64).std(axis=0), rtol=1e-9
    )
    np.testing.assert_array_equal(open_rows(path).means["x"], rows.means["x"])


def test_blocks_without_rows_are_passed_over(path):
    arrays = table(10)
    empty = {name: array[:0] for name, array in arrays.items()}
    assert write_rows(path, [empty, arrays, empty, arrays]).num_rows == 20


def test_rows_are_a_mapping_that_explains_itself(path):
    rows = write_rows(path, table())
    assert isinstance(rows, Rows)
    assert (list(rows), len(rows), rows.num_rows, rows.path) == (
        ["inputs", "targets"],
        2,
        1000,
        path.resolve(),
    )
    assert "inputs" in rows
    assert "weights" not in rows
    assert set(dict(rows)) == {"inputs", "targets"}
    assert rows == rows
    assert rows != open_rows(path)
    assert len({rows, rows}) == 1
    assert "1,000 rows" in repr(rows)
    assert "float32 (1000, 5)" in repr(rows)
    with refuses(KeyError, "'weights'"):
        rows["weights"]


def test_pickled_rows_carry_the_path_and_not_the_rows(path):
    rows = write_rows(path, table())
    message = pickle.dumps(rows)
    assert len(message) < 500
    np.testing.assert_array_equal(pickle.loads(message)["inputs"], rows["inputs"])


@linux_only
@pytest.mark.parametrize(("access", "advised"), [("mixed", False), ("random", True)])
def test_random_access_is_advised_to_the_system_and_kept_by_copies(
    path, access, advised
):
    write_rows(path, table())
    rows = pickle.loads(pickle.dumps(open_rows(path, access=access)))
    assert rows.access == access
    for name in rows:
        assert ("rr" in flags_of(rows[name].unsafe_buffer_pointer())) == advised
    np.testing.assert_array_equal(rows["inputs"], table()["inputs"])
    with refuses(ValueError, "access 'mixed' 'random' 'batches'"):
        open_rows(path, access="batches")


def flags_of(address):
    """Return the kernel's flags of the mapping that holds an address."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if match := re.match("([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(match[1], 16) <= address < int(match[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return line.split()[1:]
    raise LookupError(hex(address))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_number_is_named_by_group_row_and_column_of_the_whole_table(
    path, value
):
    arrays = table()
    arrays["inputs"][777, 3] = value
    with refuses(ValueError, f"inputs 777 3 {value}"):
        write_rows(path, in_blocks(arrays, 100))
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("blocks", "error", "facts"),
    [
        ({"x": np.array([1.0, np.nan])}, ValueError, "x 1 nan"),
        (
            {"x": np.full((2, 2, 2), [[0, 0], [0, np.inf]])},
            ValueError,
            "x 0 (1, 1) inf",
        ),
        (
            {"x": np.array([1.0, 1e300])},
            ValueError,
            "x 1 1e+300 float32 dtype=None",
        ),
        (
            {"x": np.array([1, 2**40])},
            ValueError,
            "x 1 1099511627776 int32",
        ),
        ({"x": np.array(["a"])}, TypeError, "x <U1"),
        ({"x": np.array([None])}, TypeError, "x"),
        ({"x": np.array([1j])}, TypeError, "x complex128"),
        (
            {"x": np.ones(3), "y": np.ones(2)},
            ValueError,
            "3 2",
        ),
        (
            [{"x": np.ones(3), "y": np.ones(0)}],
            ValueError,
            "0",
        ),
        ({"x": np.float32(1)}, ValueError, ""),
        (
            {"x": np.ones((3, 0))},
            ValueError,
            "(3, 0)",
        ),
        (
            [{"x": np.ones(3)}, {"y": np.ones(3)}],
            ValueError,
            "3",
        ),
        (
            [{"x": np.ones(3)}, {"x": np.ones((3, 2))}],
            ValueError,
            "x float32 (2,) 3",
        ),
        (
            [{"x": np.ones(3)}, {"x": np.arange(3)}],
            ValueError,
            "int32 float32",
        ),
        ({}, ValueError, ""),
        ([{"x": np.ones(3)}, {}], ValueError, "1"),
        (iter([]), ValueError, ""),
        ({"x": np.ones((0, 2))}, ValueError, ""),
        (
            iter([np.ones(3)]),
            TypeError,
            "0",
        ),
        (
            {"../x": np.ones(3)},
            ValueError,
            "",
        ),
    ],
)
def test_a_bad_table_is_refused_with_its_place_and_remedy(path, blocks, error, facts):
    with refuses(error, facts):
        write_rows(path, blocks)
    assert list(path.parent.iterdir()) == []


def test_a_dtype_that_is_not_floating_is_refused(path):
    with refuses(TypeError, "dtype None int32 np.float32"):
        write_rows(path, table(), dtype=np.int32)
    assert list(path.parent.iterdir()) == []


def test_only_a_row_file_is_overwritten_and_only_with_overwrite(path):
    write_rows(path, table(seed=0))
    with refuses(FileExistsError, "overwrite=True"):
        write_rows(path, table(seed=1))
    np.testing.assert_array_equal(open_rows(path)["inputs"], table(seed=0)["inputs"])
    other = path.parent / "letters"
    other.mkdir()
    (other / "letter.txt").touch()
    with refuses(FileExistsError):
        write_rows(other, table(), overwrite=True)
    assert sorted(p.name for p in path.parent.iterdir()) == ["letters", "table.rows"]


def test_a_missing_parent_folder_is_named_with_a_remedy(path):
    with refuses(FileNotFoundError):
        write_rows(path.parent / "nowhere" / "table.rows", table())


@pytest.mark.parametrize(
    "failure",
    [ValueError("bad chunk"), FileNotFoundError("table.csv"), KeyboardInterrupt()],
)
def test_an_error_of_the_reader_passes_unchanged_and_leaves_the_earlier_rows(
    path, failure
):
    def failing():
        yield table(seed=1)
        raise failure

    write_rows(path, table(seed=0))
    with pytest.raises(type(failure)) as caught:
        write_rows(path, failing(), overwrite=True)
    assert caught.value is failure
    assert [p.name for p in path.parent.iterdir()] == ["table.rows"]
    np.testing.assert_array_equal(open_rows(path)["inputs"], table(seed=0)["inputs"])


def test_a_failing_rename_gives_the_earlier_rows_their_name_back(path, monkeypatch):
    write_rows(path, table(seed=0))
    rename = Path.rename

    def fail_for_the_new_folder(self, target):
        if Path(target) == path and not self.name.endswith(".old"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_folder)
    with refuses(OSError, "table.rows"):
        write_rows(path, table(seed=1), overwrite=True)
    assert [p.name for p in path.parent.iterdir()] == ["table.rows"]
    np.testing.assert_array_equal(open_rows(path)["inputs"], table(seed=0)["inputs"])


FULL_DISK = """
import resource, sys
import numpy as np
from langevax.data import write_rows
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    block = {"inputs": np.ones((1000, 50)), "targets": np.ones(1000)}
    write_rows(sys.argv[1], (block for _ in range(10)), overwrite=True)
except OSError as error:
    print(error)
"""


@pytest.mark.slow
@linux_only
@pytest.mark.parametrize("num_bytes", [100, 1_000_000])
def test_a_full_disk_is_explained_and_leaves_the_earlier_rows(path, num_bytes):
    write_rows(path, table())
    done = in_a_new_process(FULL_DISK, path, num_bytes)
    assert (
        "table.rows could not be written (File too large); nothing was changed"
        in done.stdout
    ), done.stderr
    assert "has space" in done.stdout
    assert [p.name for p in path.parent.iterdir()] == ["table.rows"]
    np.testing.assert_array_equal(open_rows(path)["inputs"], table()["inputs"])


def test_a_truncated_file_is_named_with_both_sizes(path):
    write_rows(path, table())
    file = path / "inputs.npy"
    os.truncate(file, 10_000)
    with refuses(ValueError, "inputs.npy 20,128 10,000"):
        open_rows(path)
    assert write_rows(path, table(), overwrite=True).num_rows == 1000


def test_a_missing_piece_is_named(path):
    with refuses(FileNotFoundError):
        open_rows(path)
    write_rows(path, table())
    (path / "targets.npy").unlink()
    with refuses(ValueError, "targets.npy"):
        open_rows(path)


def test_a_file_of_the_right_size_that_is_not_npy_is_named(path):
    write_rows(path, table())
    (path / "inputs.npy").write_bytes(bytes(20_128))
    with refuses(ValueError, "inputs.npy"):
        open_rows(path)


def change(**entries):
    return lambda text: json.dumps(json.loads(text) | entries)


def sealed(edit):
    """Edit a description, and write the hash of what it is then."""

    def edited(text):
        content = json.loads(edit(text))
        return json.dumps(content | {HASH: hash_of(content)})

    return edited


@pytest.mark.parametrize(
    ("edit", "facts"),
    [
        (change(version=3), "2"),
        (change(finite=False), ""),
        (change(num_rows=999), "rows.json"),
        (sealed(change(groups={"inputs": {}})), "rows.json"),
        (sealed(change(groups=[])), "rows.json"),
        (sealed(change(groups=[1])), "rows.json"),
        (
            sealed(change(num_rows=999)),
            "inputs.npy float32 (1000, 5) (999, 5)",
        ),
        (
            sealed(lambda text: text.replace("float32", "int32")),
            "float32 (1000, 5) int32",
        ),
        (lambda text: text[:40], "rows.json"),
        (lambda text: "[]", "rows.json"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(path, edit, facts):
    write_rows(path, table())
    description = path / "rows.json"
    description.write_text(edit(description.read_text()))
    with refuses(ValueError, facts):
        open_rows(path)


def test_a_damaged_block_is_named_by_its_rows_at_first_use_and_by_check(
    path, monkeypatch
):
    monkeypatch.setattr("langevax.data.integrity.HASHED_BYTES", 2000)
    write_rows(path, table())
    rows = open_rows(path)
    rows.check()
    flip(path / "inputs.npy", 128 + 4500)
    rows = open_rows(path)
    assert rows["targets"].shape == (1000,)
    for use in (rows.__getitem__, rows.numpy):
        with refuses(ValueError, "200 299"):
            use("inputs")
    with refuses(ValueError, "200 299"):
        rows.check()


def test_large_groups_are_checked_only_on_demand(path, monkeypatch):
    monkeypatch.setattr("langevax.data.rows.CHECKED_BYTES", 10_000)
    write_rows(path, table())
    flip(path / "inputs.npy", 1000)
    assert open_rows(path)["inputs"].shape == (1000, 5)
    with refuses(ValueError, "0 999"):
        open_rows(path).check()


def test_hashes_do_not_depend_on_the_parts_in_which_rows_were_written(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("langevax.data.integrity.HASHED_BYTES", 1000)
    once = write_rows(tmp_path / "once", table())
    streamed = write_rows(tmp_path / "streamed", in_blocks(table(), 77))
    texts = [
        json.loads((rows.path / "rows.json").read_text())["groups"]["inputs"]["sha256"]
        for rows in (once, streamed)
    ]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 20
    streamed.check()


def flip(file, place, bit=3):
    content = bytearray(file.read_bytes())
    content[place] ^= 1 << bit
    file.write_bytes(content)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_flipped_bit_of_any_file_is_refused_or_changes_nothing(data):
    with tempfile.TemporaryDirectory() as folder:
        expected = table(20)
        path = write_rows(Path(folder) / "t.rows", expected).path
        file = path / data.draw(
            st.sampled_from(["inputs.npy", "targets.npy", "rows.json"])
        )
        flip(
            file,
            data.draw(st.integers(0, file.stat().st_size - 1)),
            data.draw(st.integers(0, 7)),
        )
        sentence = ""
        try:
            rows = open_rows(path)
            for name, values in expected.items():
                np.testing.assert_array_equal(rows.numpy(name), values)
        except ValueError as error:
            sentence = str(error)
        assert not sentence or "convert the table again" in sentence


def test_the_progress_line_is_shown_on_a_terminal_or_with_progress(path, capsys):
    write_rows(path, table())
    assert capsys.readouterr().err == ""
    write_rows(path, table(), overwrite=True, progress=True)
    assert "table.rows: 1.00k rows" in capsys.readouterr().err


MEMORY = """
import sys
import jax, jax.numpy as jnp, numpy as np
from langevax.data import open_rows, write_rows

def anonymous_mb():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1e3

@jax.jit
def column_sums(x):
    block = 8192
    def add(i, total):
        return total + jax.lax.dynamic_slice(x, (i * block, 0), (block, x.shape[1])).sum(0)
    return jax.lax.fori_loop(0, len(x) // block, add, jnp.zeros(x.shape[1]))

@jax.jit
def gather(x, key):
    def add(i, total):
        indices = jax.random.randint(jax.random.fold_in(key, i), (64,), 0, len(x))
        return total + x[indices].sum(0)
    return jax.lax.fori_loop(0, 1000, add, jnp.zeros(x.shape[1]))

blocks, ones = 200, np.ones((8192, 16), np.float32)
shape = jax.ShapeDtypeStruct((blocks * len(ones), 16), jnp.float32)
key = jax.random.key(0)
column_sums, gather = column_sums.lower(shape).compile(), gather.lower(shape, key).compile()
start = anonymous_mb()
rows = write_rows(sys.argv[1], ({"x": ones} for _ in range(blocks)))
written = anonymous_mb()
x = rows["x"]
assert float(column_sums(x)[0]) == len(x)
assert float(gather(x, key)[0]) == 64_000
print(rows.numpy("x").nbytes / 1e6, written - start, anonymous_mb() - written)
"""


@pytest.mark.slow
@linux_only
def test_neither_writing_nor_training_takes_memory_for_the_rows(path):
    done = in_a_new_process(MEMORY, path)
    assert done.returncode == 0, done.stderr
    size, by_writing, by_reading = map(float, done.stdout.split())
    assert size > 100
    assert by_writing < 0.15 * size
    assert by_reading < 0.15 * size  # a copy would be all of it
