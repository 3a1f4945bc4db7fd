"""Facts about converting tables: the rows are those of the files, in parts, and what is no number is named."""

import gzip
import sys

import numpy as np
import polars as pl
import pytest

from langevax.data import convert_table, files, open_rows, write_rows
from tests.data.test_rows import in_a_new_process, linux_only
from tests.sentences import refuses

TABLE = "age,visits,bought\n31,2.5,0\n54,9,1\n40,4,1\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.rows"


def frame(num_rows=1000, seed=0):
    rng = np.random.default_rng(seed)
    numbers = {f"x{i}": rng.normal(size=num_rows) for i in range(3)}
    return pl.DataFrame(
        numbers
        | {
            "y": rng.integers(0, 5, num_rows),
            "count": rng.integers(0, 1 << 20, num_rows),
        }
    )


def written(folder, text, name="table.csv"):
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "parquet"])
def test_a_table_becomes_its_rows(tmp_path, path, monkeypatch, kind):
    table, file = frame(), tmp_path / f"table.{kind}"
    if kind == "parquet":
        table.write_parquet(file, row_group_size=300)
        monkeypatch.setattr(files, "HASHED_BYTES", 8 * 5 * 170)  # parts of 170 rows
    else:
        text = table.write_csv(separator="\t" if kind == "tsv" else ",").encode()
        file.write_bytes(gzip.compress(text) if kind == "csv.gz" else text)
    rows = convert_table(file, path, target="y")
    assert rows.columns == {"inputs": ["x0", "x1", "x2", "count"], "targets": ["y"]}
    assert (rows["inputs"].dtype, rows["targets"].dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(
        rows["inputs"],
        table.select(rows.columns["inputs"]).to_numpy().astype(np.float32),
    )
    np.testing.assert_array_equal(rows["targets"], table["y"])
    assert open_rows(path).columns == rows.columns


def test_inputs_are_those_named_in_that_order_or_all_but_those_dropped(tmp_path, path):
    table = written(tmp_path, TABLE)
    rows = convert_table(table, path, target="bought", inputs=["visits", "age"])
    np.testing.assert_array_equal(rows["inputs"], [[2.5, 31], [9, 54], [4, 40]])
    rows = convert_table(table, path, target="bought", drop=["age"], overwrite=True)
    assert rows.columns["inputs"] == ["visits"]
    np.testing.assert_array_equal(rows["inputs"], [[2.5], [9], [4]])


def test_rows_of_several_files_follow_each_other_those_of_a_pattern_by_name(
    tmp_path, path
):
    parts = [frame(100, seed) for seed in range(3)]
    for i, part in enumerate(parts):
        part.write_parquet(tmp_path / f"part{i}.parquet")
    rows = convert_table(tmp_path / "part*.parquet", path, target="x0")
    np.testing.assert_array_equal(
        rows["targets"], pl.concat(parts)["x0"].cast(pl.Float32)
    )
    parts[0].select(reversed(parts[0].columns)).write_csv(tmp_path / "part0.csv")
    two = convert_table(
        [tmp_path / "part1.parquet", tmp_path / "part0.csv"],
        path,
        target="x0",
        overwrite=True,
    )
    np.testing.assert_array_equal(
        two["inputs"][:, 2], pl.concat([parts[1], parts[0]])["y"]
    )


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ("0 1 2", "int32"),
        ("0 1 2.5", "float32"),
        ("1e3 2 3", "float32"),
        ("-1 +1 007", "int32"),
    ],
)
def test_a_target_of_text_is_integer_where_all_of_its_rows_are(
    tmp_path, path, values, stored
):
    table = written(
        tmp_path, "x,y\n" + "".join(f"1,{value}\n" for value in values.split())
    )
    targets = convert_table(table, path, target="y")["targets"]
    assert targets.dtype == stored
    np.testing.assert_array_equal(targets, [float(value) for value in values.split()])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("targets", [[1, 0.5], [0.5, 1]])
def test_a_target_that_is_integer_in_one_file_only_is_floating_in_all(
    tmp_path, path, kind, targets
):
    for i, y in enumerate(targets):
        getattr(pl.DataFrame({"x": [1], "y": [y]}), f"write_{kind}")(
            tmp_path / f"{i}.{kind}"
        )
    np.testing.assert_array_equal(
        convert_table(tmp_path / f"?.{kind}", path, target="y")["targets"], targets
    )


def test_inputs_are_floating_where_all_of_them_are_integers(tmp_path, path):
    pl.DataFrame({"x": [1, 2], "y": [0, 1]}).write_parquet(tmp_path / "t.parquet")
    assert (
        convert_table(tmp_path / "t.parquet", path, target="y")["inputs"].dtype
        == np.float32
    )


def test_booleans_decimals_and_integers_of_parquet_are_numbers(tmp_path, path):
    table = pl.DataFrame(
        {"a": [1, 250], "b": [True, False], "c": ["1.25", "2.5"], "y": [True, False]}
    )
    table = table.with_columns(
        pl.col("a").cast(pl.UInt8), pl.col("c").cast(pl.Decimal(10, 2))
    )
    table.write_parquet(tmp_path / "t.parquet")
    rows = convert_table(tmp_path / "t.parquet", path, target="y")
    np.testing.assert_array_equal(rows["inputs"], [[1, 1, 1.25], [250, 0, 2.5]])
    assert rows["targets"].dtype == np.int32  # not unsigned, which -y would wrap around
    np.testing.assert_array_equal(rows["targets"], [1, 0])


def test_numbers_are_kept_as_wide_as_they_are_when_asked(tmp_path, path):
    table = frame()
    table.write_parquet(tmp_path / "t.parquet")
    rows = convert_table(tmp_path / "t.parquet", path, target="y", dtype=None)
    assert (rows.numpy("inputs").dtype, rows.numpy("targets").dtype) == (
        np.float64,
        np.int64,
    )
    np.testing.assert_array_equal(rows.numpy("inputs")[:, 0], table["x0"])


@pytest.mark.parametrize(
    ("text", "options", "facts"),
    [
        (
            TABLE + "x,1,0\n",
            {},
            "'age' 'x' 4",
        ),
        (
            TABLE.replace("9,1", "9,yes"),
            {},
            "'bought' 'yes' 2",
        ),
        (
            TABLE + "NA,1,0\n",
            {},
            "inputs 4 'age' nan",
        ),
        (TABLE + "1,,0\n", {}, "inputs 4 'visits' nan"),
        (TABLE + "1, nan ,0\n", {}, "inputs 4 'visits' nan"),
        (TABLE + "1,inf,0\n", {}, "'visits' inf"),
        (
            TABLE + "1,1e300,0\n",
            {},
            "'visits' 1e+300 float32 dtype=None",
        ),
        (TABLE + "1,1,\n", {}, "targets 4 'bought' nan"),
        (
            TABLE,
            {"target": "sold"},
            "'sold' table.csv 'age' 'visits' 'bought'",
        ),
        (TABLE, {"inputs": ["ages"]}, "'ages'"),
        (TABLE, {"drop": ["ages"]}, "'ages'"),
        (TABLE, {"drop": ["bought"]}, "'bought'"),
        (TABLE, {"drop": ["age", "visits"]}, ""),
        ("age,age,bought\n1,2,3\n", {}, "'age'"),
        ("", {}, "table.csv CSV"),
        (TABLE + "1,2,3,4\n", {}, ""),
        ("age,bought\n", {}, ""),
    ],
)
def test_a_bad_table_is_refused_with_its_place_and_remedy(
    tmp_path, path, text, options, facts
):
    table = written(tmp_path, text)
    with refuses(ValueError, facts):
        convert_table(table, path, **{"target": "bought"} | options)
    assert list(tmp_path.iterdir()) == [table]


def test_a_word_or_gap_beyond_the_first_part_is_named_by_its_row_of_the_whole_table(
    tmp_path, path
):
    table = frame(50_000)
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    table.write_csv(first)
    second.write_text(
        "\n".join([*table.write_csv().splitlines()[:49_000], "1,2,low,3,4"])
    )
    with refuses(ValueError, "'x2' 'low' 99,000"):
        convert_table([first, second], path, target="y")
    second.write_text(second.read_text().replace("low", "?"))
    with refuses(ValueError, "99,000 'x2' nan"):
        convert_table([first, second], path, target="y")


@pytest.mark.parametrize(
    "values",
    [
        ["Paris", "Rome"],
        [[1], [2]],
        pl.date_range(pl.date(2026, 1, 1), pl.date(2026, 1, 2), eager=True),
    ],
)
def test_a_non_numeric_column_of_parquet_is_named_unless_dropped(
    tmp_path, path, values
):
    table = tmp_path / "t.parquet"
    pl.DataFrame({"x": [1.0, 2.0], "city": values, "y": [0, 1]}).write_parquet(table)
    with refuses(ValueError, "'city' t.parquet"):
        convert_table(table, path, target="y")
    assert convert_table(table, path, target="y", drop=["city"]).columns["inputs"] == [
        "x"
    ]


def test_a_missing_value_of_parquet_is_named(tmp_path, path):
    table = tmp_path / "t.parquet"
    pl.DataFrame({"x": [1, None], "flag": [True, False], "y": [0, 1]}).write_parquet(
        table
    )
    with refuses(ValueError, "inputs 2 'x' nan"):
        convert_table(table, path, target="y")
    pl.DataFrame({"x": [1, 2], "y": [True, None]}).write_parquet(table)
    with refuses(ValueError, "targets 2 'y' nan"):
        convert_table(table, path, target="y")


def test_files_that_are_not_there_or_differ_are_named(tmp_path, path):
    with refuses(FileNotFoundError, "no.csv CSV"):
        convert_table(tmp_path / "no.csv", path, target="y")
    with refuses(IsADirectoryError):
        convert_table(tmp_path, path, target="y")
    with refuses(ValueError):
        convert_table([], path, target="y")
    pair = [written(tmp_path, f"x,{name}\n1,2\n", f"{name}.csv") for name in ("y", "z")]
    with refuses(ValueError, "z.csv y.csv 'y' 'z'"):
        convert_table(pair, path, target="x")
    damaged = tmp_path / "t.parquet"
    damaged.write_bytes(b"PAR1 and then something else PAR1")
    with refuses(ValueError, "t.parquet"):
        convert_table(damaged, path, target="x")


def test_an_existing_row_file_is_refused_before_the_table_is_read(tmp_path, path):
    write_rows(path, {"x": np.ones(3)})
    with refuses(FileExistsError, "overwrite=True"):
        convert_table(tmp_path / "no.csv", path, target="y")


def test_without_polars_its_package_is_named(tmp_path, path, monkeypatch):
    monkeypatch.delitem(sys.modules, "langevax.data.files", raising=False)
    monkeypatch.setitem(sys.modules, "polars", None)
    with refuses(ImportError):
        convert_table(tmp_path / "t.csv", path, target="y")


def test_the_progress_line_shows_the_number_of_rows(tmp_path, path, capsys):
    convert_table(written(tmp_path, TABLE), path, target="bought", progress=True)
    assert "table.rows: 100%" in capsys.readouterr().err


MEMORY = """
import os, sys, threading, time
os.environ["POLARS_MAX_THREADS"] = "2"  # each holds text of its own
from langevax.data import convert_table

def anonymous_mb():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1e3

def watch():
    while True:
        peak[0] = max(peak[0], anonymous_mb())
        time.sleep(0.005)

folder, kind = sys.argv[1:]
small, large = f"{folder}/small.{kind}", f"{folder}/large.{kind}"
convert_table(small, f"{folder}/small.rows", target="y")  # whatever is allocated once
start = anonymous_mb()
peak = [start]
threading.Thread(target=watch, daemon=True).start()
rows = convert_table(large, f"{folder}/large.rows", target="y")
print(rows.num_rows * 8 * 21 / 1e6, peak[0] - start)
"""


@pytest.mark.slow
@linux_only
@pytest.mark.parametrize(
    ("kind", "most"),
    [("parquet", 0.6), pytest.param("csv", 1.8, marks=pytest.mark.long)],
)
def test_converting_takes_no_memory_for_the_rows(tmp_path, kind, most):
    rng, size, repeats = np.random.default_rng(0), 100_000, 20
    block = pl.DataFrame(
        {f"x{i}": rng.integers(0, 100, size) / 4 for i in range(20)}
        | {"y": rng.integers(0, 2, size)}
    )
    block.head(1000).write_parquet(tmp_path / "small.parquet")
    block.head(1000).write_csv(tmp_path / "small.csv")
    if kind == "csv":
        text = block.write_csv(include_header=False)
        with (tmp_path / "large.csv").open("w") as stream:
            stream.write(",".join(block.columns) + "\n")
            for _ in range(repeats):
                stream.write(text)
    else:
        pl.concat([block] * repeats).write_parquet(
            tmp_path / "large.parquet", row_group_size=size
        )
    done = in_a_new_process(MEMORY, tmp_path, kind)
    assert done.returncode == 0, done.stderr
    size, peak = map(float, done.stdout.split())
    assert size > 330
    assert (
        peak < most * size
    )  # all at once 2.0 of Parquet and 4.1 of text; in parts 0.3 and 1.0


@pytest.mark.parametrize(
    "names", [{"x": ["a"]}, {"x": ["a", "b", "c"]}, {"y": ["a", "b"]}, {"z": ["a"]}]
)
def test_names_of_columns_that_do_not_fit_are_refused(path, names):
    with refuses(ValueError, "columns"):
        write_rows(path, {"x": np.ones((3, 2)), "y": np.ones(3)}, columns=names)


def test_rows_without_names_of_columns_have_none(path):
    assert write_rows(path, {"x": np.ones((3, 2))}).columns == {}
