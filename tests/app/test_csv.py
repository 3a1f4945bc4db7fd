"""What is written as text holds no formula, whichever separator a spreadsheet takes."""

import base64
import csv
import io

import polars as pl
import pytest

from langevax.app.report.page import csv_url
from langevax.app.tables.files import csv_text, write_table

HOSTILE = [
    "=HYPERLINK(1)",
    "+cmd|' /C calc'!A0",
    "a;=cmd|x",
    "a,@SUM(1)",
    "a\t-cmd",
    "\t=cmd",
    "a\n=cmd",
    'a;"=cmd"',
    "a|\uff1dcmd",
    " =cmd",
    "a; =cmd",
]


def cells(text):
    """Yield all cells as a spreadsheet of each country reads them."""
    for separator in ",;\t|":
        for row in csv.reader(io.StringIO(text), delimiter=separator):
            yield from row


def is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def assert_harmless(text):
    assert not [
        cell
        for cell in cells(text)
        if cell.lstrip('" ')[:1] in tuple("=+-@\uff1d\uff0b\uff0d\uff20")
        and not is_number(cell)
    ]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_no_cell_and_no_name_is_a_formula(separator):
    table = {"=name;=other": HOSTILE, "number": [-1.5] * len(HOSTILE)}
    assert_harmless(csv_text(pl.DataFrame(table), separator))


def test_the_tables_of_pages_are_written_so_too():
    rows = [*HOSTILE, None, 1.5]
    url = csv_url({"class": rows, "share": [0.5] * len(rows)})
    assert_harmless(base64.b64decode(url.partition(",")[2]).decode())


def test_numbers_and_other_words_stay():
    table = pl.DataFrame({"word": ["a;b", "c-d"], "number": ["-1.5", " -2"]})
    assert csv_text(table).splitlines() == ["word,number", "a;b,-1.5", "c-d, -2"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_file_is_the_text(tmp_path, suffix):
    table = pl.DataFrame({"word": HOSTILE})
    write_table(table, tmp_path / f"t{suffix}")
    assert_harmless((tmp_path / f"t{suffix}").read_bytes().decode())
