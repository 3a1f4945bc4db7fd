"""Reading and writing of tables."""

import gzip

import polars as pl
import pytest

from langevax.app.errors import BadInput
from langevax.app.tables.files import read_table, write_table
from tests.sentences import refuses, tells

ROWS = [{"x": "1", "y": "a b"}, {"x": None, "y": "c"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"x,y\n1,a b\n,c\n"),
        ("t.csv", b"x;y\n1;a b\n;c\n"),
        ("t.csv", b"\xef\xbb\xbfx , y\r\n1,a b\r\n,c\r\n"),
        ("t.tsv", b"x\ty\n1\ta b\n\tc\n"),
        ("t.csv.gz", gzip.compress(b"x,y\n1,a b\n,c\n", mtime=0)),
        ("t.data", b"x|y\n1|a b\n|c\n"),
    ],
)
def test_text_tables_are_read_whatever_their_separator(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert read_table(tmp_path / name).frame.to_dicts() == ROWS


def test_text_in_another_encoding_is_read_where_the_user_names_it(tmp_path):
    (tmp_path / "t.csv").write_bytes("x,y\n1,Gew\u00fcrztraminer\n".encode("cp1252"))
    table = read_table(tmp_path / "t.csv", encoding="cp1252")
    assert table.frame["y"].to_list() == ["Gew\u00fcrztraminer"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_written_tables_are_read_back(tmp_path, suffix):
    frame = pl.DataFrame(ROWS)
    write_table(frame, tmp_path / f"t{suffix}")
    assert read_table(tmp_path / f"t{suffix}").frame.equals(frame)
    assert [path.name for path in tmp_path.iterdir()] == [f"t{suffix}"]


@pytest.mark.parametrize(
    "kind",
    [pl.String, pl.Categorical, pl.Enum(["=1+1", "\uff1d1+1", "\n=1", "-2.5", "red"])],
)
def test_cells_that_a_spreadsheet_would_execute_are_written_as_text(tmp_path, kind):
    cells = ["=1+1", "\uff1d1+1", "\n=1", "-2.5", "red"]
    frame = pl.DataFrame(
        {"@name": pl.Series(cells, dtype=kind), "number": [-1.5, 2, 3, 4, 5]}
    )
    for suffix, separator in ((".csv", ","), (".tsv", "\t")):
        write_table(frame, tmp_path / f"t{suffix}")
        written = pl.read_csv(
            tmp_path / f"t{suffix}", separator=separator, infer_schema=False
        )
        assert written["'@name"].to_list() == [
            "'=1+1",
            "'\uff1d1+1",
            "\n'=1",
            "-2.5",
            "red",
        ]
        assert written["number"][0] == "-1.5"
    write_table(
        frame, tmp_path / "t.parquet"
    )  # whose cells have types: nothing executes them
    assert pl.read_parquet(tmp_path / "t.parquet").equals(frame)


@pytest.mark.parametrize(
    ("name", "content", "facts"),
    [
        ("t.csv", b"", ""),
        ("t.csv", b"\n \n", ""),
        ("t.csv", b"x,y\n", ""),
        ("t.csv", b"PNG\r\n\x1a\n\x00\x00\x00", ""),
        ("t.csv", bytes(range(256)) * 4, "UTF-8"),
        ("t.csv", "x,y\n1,2\n".encode("utf-16")[2:], ""),
        ("t.csv", b"PK\x03\x04rest", ""),
        (
            "t.csv",
            b"x,y\n1,2,3\n",
            "2 3",
        ),
        ("t.csv.gz", gzip.compress(b"x,y\n1,2\n" * 99, mtime=0)[:-9], ""),
        ("t.parquet", b"PAR1 and then nothing", ""),
        ("t.parquet", b"x,y\n1,2\n", ""),
    ],
)
def test_invalid_tables_are_refused_in_one_line(tmp_path, name, content, facts):
    (tmp_path / name).write_bytes(content)
    with refuses(BadInput, facts) as refusal:
        read_table(tmp_path / name)
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ("x,y,x\n1,2,3\n", "'x'"),
        ("x,y\n1,2\n3\n4,5\n", "3 1 2"),
        ("Sales\nx,y\n1,2\n3,4\n", "1 2"),
        ("x,y\n1,2\n3,4\n\nSource: us\n", "5 1"),
        ("x,y\n1,2\n3,4\n5,6,7\n", "4 3"),
        ('x,y\n1,"2\n3,4\n', "2"),
        ('x,y\n1,"2" inch\n3,4\n', "2"),
        ("Sales,\nx,y\n1,2\n", "2 'y' 1"),
        ("x,y\na,b\nx, y\nc,d\nx,y\n", "2 2 4"),
        ("1,a\n2,b\n3,a\n", "'a'"),
        ("5,1,9\n7,8,9\n", "'5'"),
        ("<html></html>", "XML JSON"),
    ],
)
def test_lines_that_are_not_rows_or_a_header_are_refused(tmp_path, content, facts):
    (tmp_path / "t.csv").write_text(content)
    with refuses(BadInput, facts):
        read_table(tmp_path / "t.csv")


def test_numbers_in_order_name_columns(tmp_path):
    (tmp_path / "t.csv").write_text("850,852,854\n1,2,3\n4,5,6\n")
    assert read_table(tmp_path / "t.csv").frame.columns == ["850", "852", "854"]


def test_rows_without_any_value_are_left_out_and_counted(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,a\n,\n\n2,b\n")
    table = read_table(tmp_path / "t.csv")
    assert table.frame["x"].to_list() == ["1", "2"]
    said = "2 rows without any value left out, the first before data row 2."
    assert table.decisions[0].sentence == said


def test_rows_without_any_value_are_refused_where_each_row_has_a_prediction(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"x,y\n1,a\n,\n\n2,b\n")
    with refuses(BadInput, "2 data row 2"):
        read_table(tmp_path / "t.csv", every_row=True)


@pytest.mark.parametrize(
    ("page", "word"), [("cp1251", "Москва"), ("cp1250", "Łódź"), ("cp1252", "français")]
)
def test_text_that_is_not_utf8_is_refused_with_what_encodings_read(
    tmp_path, page, word
):
    (tmp_path / "t.csv").write_bytes(f"x,y\n1,{word}\n".encode(page))
    with refuses(BadInput, f"--encoding '{word}' {page} UTF-8"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["nosuch", "rot13"])
def test_an_encoding_that_does_not_exist_is_refused(tmp_path, name):
    (tmp_path / "t.csv").write_bytes(b"x,y\n1,2\n")
    with refuses(BadInput, f"--encoding '{name}'"):
        read_table(tmp_path / "t.csv", encoding=name)


def test_the_encoding_is_printed(tmp_path):
    (tmp_path / "t.csv").write_bytes("x,y\n1,Köln\n".encode("cp850"))
    table = read_table(tmp_path / "t.csv", encoding="cp850")
    assert table.frame["y"].to_list() == ["Köln"]
    tells(table.decisions[0].sentence, "cp850")


def test_a_missing_file_is_answered_with_the_nearest_name(tmp_path):
    (tmp_path / "wine.csv").write_text("x\n1\n")
    with refuses(BadInput, "'wine.csv'"):
        read_table(tmp_path / "wnie.csv")
    with refuses(BadInput):
        read_table(tmp_path / "nowhere" / "wine.csv")


def test_a_folder_is_refused(tmp_path):
    with refuses(BadInput):
        read_table(tmp_path)


def test_an_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with refuses(BadInput, "--out"):
        write_table(pl.DataFrame(ROWS), tmp_path / "file" / "t.csv")
