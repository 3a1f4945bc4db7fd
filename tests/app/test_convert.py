"""`langevax convert`: from a table to a row file, with no file left after a mistake."""

import os

import numpy as np
import polars as pl
import pytest

from langevax.data import open_rows
from langevax.locks import Lock
from tests.app.conftest import langevax
from tests.sentences import tells

TABLE = "age,visits,bought\n31,2.5,0\n54,9,1\n40,4,1\n"


@pytest.fixture
def table(tmp_path):
    (tmp_path / "shop.csv").write_text(TABLE)
    return tmp_path / "shop.csv"


def test_a_table_is_converted_and_the_command_to_open_it_printed(table, tmp_path):
    out = tmp_path / "shop.rows"
    answer = langevax(
        "convert", table, table, "--target", "bought", "--out", out, "--drop", "age"
    )
    assert answer.exit_code == 0, answer.stderr
    printed = " ".join(answer.stdout.split())
    tells(printed, "6 1 'bought'")
    tells(printed, f"langevax.data.open_rows({str(out)!r})")
    rows = open_rows(out)
    np.testing.assert_array_equal(rows["inputs"], [[2.5], [9], [4]] * 2)
    np.testing.assert_array_equal(rows["targets"], [0, 1, 1] * 2)


def test_a_row_file_is_replaced_by_force(table, tmp_path):
    command = ["convert", table, "--target", "bought", "--out", tmp_path / "shop.rows"]
    assert langevax(*command).exit_code == 0
    assert open_rows(tmp_path / "shop.rows").numpy("inputs").dtype == np.float32
    answer = langevax(*command)
    assert (answer.exit_code, answer.stdout) == (2, "")
    tells(answer.stderr, "--force")
    assert langevax(*command, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        (
            ("54", "old"),
            (),
            "Error: column 'age' holds a number in 2 rows, but also 'old' in data row 2; correct these cells",
        ),
        (
            ("54", ""),
            (),
            "Error: column 'age' is missing in data row 2; pass --missing drop to leave such rows out",
        ),
        ((), ("--read", "age=years"), "--read 'age=years' must be COLUMN=KIND"),
        ((), ("--target", "price"), "target 'price' is not a column"),
        ((), ("--drop", "ages"), "drop 'ages' is not a column"),
        ((), ("--out", "nowhere/shop.rows"), "shop.rows' could not be written"),
    ],
)
def test_mistakes_print_one_line_and_leave_no_file(
    table, tmp_path, change, words, message
):
    if change:
        table.write_text(TABLE.replace(*change))
    answer = langevax(
        "convert", table, "--target", "bought", "--out", tmp_path / "shop.rows", *words
    )
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert "Errno" not in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [table]


def test_a_table_that_does_not_exist_is_named(tmp_path):
    answer = langevax(
        "convert", tmp_path / "no.csv", "--target", "y", "--out", tmp_path / "shop.rows"
    )
    assert answer.exit_code == 2
    tells(answer.stderr, "no.csv CSV")


def test_a_full_disk_has_exit_code_1(table, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(
            28,
            "shop.rows could not be written (No space left on device); nothing was changed.",
        )

    monkeypatch.setattr("langevax.app.convert.convert_files", full)
    answer = langevax(
        "convert", table, "--target", "bought", "--out", tmp_path / "shop.rows"
    )
    assert answer.exit_code == 1
    tells(answer.stderr, "shop.rows")


def test_one_conversion_at_a_time_which_removes_what_killed_ones_left(table, tmp_path):
    command = ["convert", table, "--target", "bought", "--out", tmp_path / "shop.rows"]
    left, foreign, other = (
        tmp_path / f".shop.rows.{name}"
        for name in ("0123456789ab", "ba9876543210", "backup")
    )
    for folder, file in (
        (left, "inputs.npy"),
        (foreign, "thesis.txt"),
        (other, "inputs.npy"),
    ):
        folder.mkdir()
        (folder / file).write_text("half")
    with Lock(tmp_path / ".shop.rows.lock", "it"):
        answer = langevax(*command)
        assert (answer.exit_code, left.exists()) == (2, True)
        tells(answer.stderr, f"shop.rows {os.getpid()}")
    assert langevax(*command).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        table.name,
        "shop.rows",
        foreign.name,
        other.name,
    }


def test_the_earlier_rows_of_a_killed_replacement_stay(table, tmp_path):
    command = ["convert", table, "--target", "bought", "--out", tmp_path / "shop.rows"]
    assert langevax(*command).exit_code == 0
    old = (tmp_path / "shop.rows").rename(
        tmp_path / ".shop.rows.0123456789ab.old"
    )  # killed between two renames
    assert langevax("convert", tmp_path / "no.csv", *command[2:]).exit_code == 2
    assert open_rows(old).num_rows == 3
    assert langevax(*command).exit_code == 0
    assert old.exists()
    assert langevax(*command, "--force").exit_code == 0
    assert not old.exists()


def test_a_cell_below_the_first_rows_is_read_as_they_are_or_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("langevax.app.tables.streaming.HEAD_BYTES", 40)
    for last, message in (
        ("1.234,5;0", ""),
        (
            "1.5;0",
            "column 'x' holds '1.5' in data row 9, which is not a number with decimal commas as",
        ),
    ):
        (tmp_path / "t.csv").write_text("x;y\n" + "2,5;1\n3,25;0\n" * 4 + last + "\n")
        answer = langevax(
            "convert",
            tmp_path / "t.csv",
            "--target",
            "y",
            "--out",
            tmp_path / "t.rows",
            "--force",
        )
        assert (answer.exit_code, message in answer.stderr) == (
            2 if message else 0,
            True,
        ), answer.stderr
        assert open_rows(tmp_path / "t.rows")["inputs"][-1, 0] == 1234.5


def test_rows_with_missing_cells_are_left_out_or_filled_by_medians(tmp_path):
    (tmp_path / "t.csv").write_text(
        "x,member,y\n1,yes,1\n2,no,0\nunknown,yes,1\n6,,2\n3,no,?\n"
    )
    (tmp_path / "t.parquet").write_bytes(b"")
    table = pl.DataFrame(
        {
            "x": [1, 2, None, 6, 3],
            "member": [True, False, True, None, False],
            "y": [1, 0, 1, 2, None],
        }
    )
    table.write_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        command = [
            "convert",
            tmp_path / name,
            "--target",
            "y",
            "--out",
            tmp_path / f"{name}.rows",
        ]
        assert langevax(*command).exit_code == 2
        for missing, inputs, notes in (
            ("drop", [[1, 1], [2, 0]], "3 rows with missing values left out"),
            (
                "median",
                [[1, 1], [2, 0], [2.5, 1], [6, 0.5]],
                "2 missing values replaced by the median",
            ),
        ):
            answer = langevax(*command, "--missing", missing, "--force")
            assert notes in " ".join(answer.stdout.split()), answer.stderr
            rows = open_rows(tmp_path / f"{name}.rows")
            np.testing.assert_array_equal(rows["inputs"], inputs)
            assert rows["targets"].dtype == np.int32
            np.testing.assert_array_equal(rows["targets"], [1, 0, 1, 2][: len(inputs)])


def test_all_columns_of_words_are_named_at_once(tmp_path):
    (tmp_path / "t.csv").write_text(
        "x,city,y,street\n" + "1,Bonn,2,Ring\n2,Ulm,3,Weg\n" * 3
    )
    answer = langevax(
        "convert", tmp_path / "t.csv", "--target", "y", "--out", tmp_path / "t.rows"
    )
    tells(answer.stderr, "'city' 'Bonn' 1")
    assert "--drop city --drop street" in answer.stderr


def test_cells_that_cannot_be_read_are_refused_where_missing_ones_are_left_out(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("langevax.app.tables.streaming.HEAD_BYTES", 40)
    for last, code in (("unknown,0", 0), ("high,0", 2)):
        (tmp_path / "t.csv").write_text("x,y\n" + "2.5,1\n3.25,0\n" * 4 + last + "\n")
        command = [
            "convert",
            tmp_path / "t.csv",
            "--target",
            "y",
            "--out",
            tmp_path / "t.rows",
            "--missing",
            "drop",
        ]
        answer = langevax(*command, "--force")
        assert (answer.exit_code, "holds 'high' in data row 9" in answer.stderr) == (
            code,
            code == 2,
        ), answer.stderr
        assert open_rows(tmp_path / "t.rows").num_rows == 8


def test_rows_that_a_kill_left_aside_are_kept_until_the_new_ones_are_there(
    table, tmp_path
):
    out, aside = tmp_path / "shop.rows", tmp_path / ".shop.rows.0123456789ab.old"
    command = ["convert", table, "--target", "bought", "--out", out]
    assert langevax(*command).exit_code == 0
    out.rename(aside)
    assert langevax(*command[:2], "--target", "price", *command[4:]).exit_code == 2
    assert open_rows(aside).num_rows == 3
    assert langevax(*command, "--force").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop.csv", "shop.rows"]
