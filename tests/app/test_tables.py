"""Reading and writing of tables."""

import gzip

import polars as pl
import pytest

from langevax.app.errors import BadInput
from langevax.app.tables.files import read_table, write_table

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


def test_text_in_the_western_code_page_is_read(tmp_path):
    (tmp_path / "t.csv").write_bytes("x,y\n1,Gew\u00fcrztraminer\n".encode("cp1252"))
    assert read_table(tmp_path / "t.csv").frame["y"].to_list() == [
        "Gew\u00fcrztraminer"
    ]


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
            "'\n=1",
            "-2.5",
            "red",
        ]
        assert written["number"][0] == "-1.5"
    write_table(
        frame, tmp_path / "t.parquet"
    )  # whose cells have types: nothing executes them
    assert pl.read_parquet(tmp_path / "t.parquet").equals(frame)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"\n \n", "is empty"),
        ("t.csv", b"x,y\n", r"has a header \(x, y\) but no rows"),
        ("t.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00", "is not a table"),
        ("t.csv", bytes(range(256)) * 4, "is not a table"),
        ("t.csv", b"PK\x03\x04rest", "spreadsheet or a zip"),
        ("t.csv", b"x,y\n1,2,3\n", "cannot be read as columns separated by commas"),
        ("t.csv.gz", gzip.compress(b"x,y\n1,2\n" * 99, mtime=0)[:-9], "damaged gzip"),
        ("t.parquet", b"PAR1 and then nothing", "not a valid Parquet"),
        ("t.parquet", b"x,y\n1,2\n", "not a valid Parquet"),
    ],
)
def test_invalid_tables_are_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message) as refusal:
        read_table(tmp_path / name)
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_columns_of_one_name_are_counted(tmp_path):
    (tmp_path / "t.csv").write_text("x,y,x\n1,2,3\n")
    table = read_table(tmp_path / "t.csv")
    assert table.frame.columns == ["x", "y", "x (2)"]
    assert (
        table.decisions[0].sentence
        == "Another column is named 'x' and is called 'x (2)'."
    )


def test_a_short_row_is_completed_and_named(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,2\n3\n4,5\n")
    table = read_table(tmp_path / "t.csv")
    assert table.frame["y"].to_list() == ["2", None, "5"]
    assert (
        "1 row is shorter than the header, the first in line 3 (data row 2, 1 of 2"
        in table.decisions[0].sentence
    )


@pytest.mark.parametrize(
    ("content", "column", "sentence"),
    [
        (
            b"x,y\n1,a\n,\n2,b\n",
            ["1", "2"],
            "1 row without any value is left out, the first before data row 2.",
        ),
        (
            b"y,x\n,kg\na,1\nb,2\n",
            ["1", "2"],
            "The row below the header holds units and is left out: 'kg'.",
        ),
        (
            b"y,x\na,1\nb,2\nTotal,3\n",
            ["1", "2"],
            "1 row of a total is left out: 'Total' below data row 2",
        ),
        (
            b"y,x\na,1\nb,2\n\nSource: a, b\n",
            ["1", "2"],
            "1 line below the table is left out: 'Source: a, b'.",
        ),
        (b"# a, b\ny,x\na,1\nb,2\n", ["1", "2"], "1 line above the header is left out"),
    ],
)
def test_rows_that_are_not_data_are_left_out_and_named(
    tmp_path, content, column, sentence
):
    (tmp_path / "t.csv").write_bytes(content)
    table = read_table(tmp_path / "t.csv")
    assert table.frame["x"].to_list() == column
    assert sentence in table.decisions[0].sentence


def test_rows_without_any_value_stay_where_each_row_has_a_prediction(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"x,y\n1,a\n,\n2,b\n")
    assert read_table(tmp_path / "t.csv", every_row=True).frame["x"].to_list() == [
        "1",
        None,
        "2",
    ]


def test_an_encoding_is_taken_from_the_user(tmp_path):
    (tmp_path / "t.csv").write_bytes("x,y\n1,Москва\n".encode("cp1251"))
    with pytest.raises(
        BadInput,
        match="not Western European either; export it as UTF-8, or pass --encoding",
    ):
        read_table(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv", encoding="cp1251").frame["y"].to_list() == [
        "Москва"
    ]
    with pytest.raises(BadInput, match="--encoding 'cp0' is not known"):
        read_table(tmp_path / "t.csv", encoding="cp0")


def test_a_missing_file_is_answered_with_the_nearest_name(tmp_path):
    (tmp_path / "wine.csv").write_text("x\n1\n")
    with pytest.raises(BadInput, match=r"does not exist; did you mean 'wine.csv'\?"):
        read_table(tmp_path / "wnie.csv")
    with pytest.raises(BadInput, match="no folder"):
        read_table(tmp_path / "nowhere" / "wine.csv")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        read_table(tmp_path)


def test_an_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"--out .* cannot be written"):
        write_table(pl.DataFrame(ROWS), tmp_path / "file" / "t.csv")
