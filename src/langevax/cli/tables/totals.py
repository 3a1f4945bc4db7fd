"""Rows of totals and subtotals among the rows of a table.

A row is left out where its first cell names a total and one fact more shows it: most of its numbers, or one where no
other row has this name, are sums of rows above (those since the last total, or since the last one of the same name, or
all) or of all rows; all its other cells are empty; or most are, and its numbers exceed those that it would be sums of.
A row that has only the name is used, with a warning, and so are all rows of a name where most have nothing else.
"""

import re
from collections import Counter
from itertools import islice

import numpy as np
import polars as pl

from langevax.cli.errors import listing
from langevax.cli.tables.numbers import NAMES, take_apart, unit_of
from langevax.cli.tables.records import Decision, data_row

ROUNDING = 0.005  # of a total, by which it may differ from the sum of rounded numbers
NEARLY_EMPTY = 0.5  # of the cells that rows fill, at most
SHOWN = 6  # rows that a message names
_SUB = (
    r"sub[- ]?totals?|zwischen-?(?:summen?|total|ergebnis)|teil(?:summe|ergebnis)|sous[- ]tota(?:l|ux)"
    r"|subtotales|total parcial|suma parcial|subtotale|totale parziale|subtota[al]{2}|tussentota[al]{2}"
    r"|delsumma|delsum|välisumma"
)
_ALL = (
    r"(?:grand |overall )?totals?|totaux|total g[ée]n[ée]ral|ensemble|sum|summe|gesamt(?:summe|betrag|ergebnis)?"
    r"|endsumme|insgesamt|total general|suma(?: total)?|razem|totale(?: generale| complessivo)?|somma|(?:eind)?totaal"
    r"|som|soma|summa|итого|всего|合计|总计|合計|総計"
)
TOTAL = rf"(?i)^(?:{_SUB}|{_ALL})\s*:?$"
NAMED_TOTAL = rf"(?i)^(?:(?:{_SUB}|{_ALL})\b.{{1,40}}|.{{1,40}}[ :-](?:{_SUB}|{_ALL}|ergebnis)\s*:?)$"
"""With the name of what is summed: Total 2024, Subtotal Europe, Nord Ergebnis of a German pivot table."""
SUBTOTAL = rf"(?i)^(?:{_SUB})\b"


class _Numbers:
    """The numbers of a column in one notation, and their sums over rows that are not totals."""

    def __init__(self, numbers: np.ndarray, named: np.ndarray):
        terms = np.where(named, np.nan, numbers)
        self.numbers, self.terms = numbers, np.abs(terms)
        self.sums = np.concatenate([[0.0], np.nancumsum(terms)])
        self.counts = np.concatenate([[0], np.cumsum(~np.isnan(terms))])

    def is_sum(self, row: int, first: int, end: int) -> bool:
        """Return whether the number of a row is the sum of those of rows from `first` to `end`, up to rounding."""
        total = self.numbers[row]
        if not total or self.counts[end] - self.counts[first] < 2:
            return False
        return abs(self.sums[end] - self.sums[first] - total) <= ROUNDING * abs(total)

    def is_largest(self, row: int, first: int, end: int) -> bool:
        """Return whether no number of rows from `first` to `end` is larger than that of a row."""
        terms = self.terms[first:end]
        return len(terms) > 0 and abs(self.numbers[row]) >= np.nanmax(terms, initial=0.0)


def _notations(cells: pl.Series, named: np.ndarray) -> list[_Numbers]:
    """Return the numbers of a column in each notation that its cells may have."""
    parts = take_apart(cells.str.strip_chars())
    unit = unit_of(parts)
    unit = unit[0] if isinstance(unit, tuple) else unit
    return [_Numbers(parts.values(decimal, unit).fill_null(np.nan).to_numpy(), named) for decimal in NAMES]


def without_totals(frame: pl.DataFrame, decisions: list[Decision]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return rows without those of totals, and these; record which they are, and which rows only have such a name.

    Example:
        >>> table = {"nr": ["1", "2", "Subtotal", "3", "Total"], "kg": ["5", "7", "12", "1", "13"]}
        >>> decisions = []
        >>> without_totals(pl.DataFrame(table), decisions)[0]["nr"].to_list()
        ['1', '2', '3']
        >>> decisions[0].sentence
        "2 rows of totals are left out: 'Subtotal' below data row 2 and 'Total' below data row 3."
    """
    if frame.height < 2 or frame.width < 2:
        return frame, frame[:0]
    labels, places = _first_cells(frame)
    exact = labels.str.contains(TOTAL).fill_null(False)
    named = (exact | labels.str.contains(NAMED_TOTAL).fill_null(False)).to_numpy()
    if not named.any():
        return frame, frame[:0]
    columns = [_notations(column, named) for column in frame]
    filled = np.stack([(column.str.strip_chars() != "").fill_null(False).to_numpy() for column in frame], 1)
    usual = float(np.median(filled[~named].sum(1))) if not named.all() else 0.0
    times = Counter(labels[row].lower() for row in np.flatnonzero(named).tolist())
    named_so: dict[str, list[int]] = {}
    certain, last = set[int](), -1
    for row in np.flatnonzero(named).tolist():
        of_label = named_so.setdefault(labels[row].lower(), [])
        others = [columns[i] for i in np.flatnonzero(filled[row]).tolist() if i != places[row]]
        spans = {(last + 1, row), ((of_label or [-1])[-1] + 1, row), (0, row), (0, frame.height)}
        numeric = [column for column in others if any(not np.isnan(numbers.numbers[row]) for numbers in column)]
        agree = max(sum(any(n.is_sum(row, *span) for n in column) for column in numeric) for span in spans)
        unique = exact[row] and times[labels[row].lower()] == 1
        sums = agree > 0 if unique else 2 * agree > len(numeric)
        subtotal = exact[row] or re.search(SUBTOTAL, labels[row])
        block = (last + 1, row) if last + 1 < row else (0, frame.height)
        empty = filled[row].sum() <= NEARLY_EMPTY * usual
        largest = all(any(numbers.is_largest(row, *block) for numbers in column) for column in others)
        if sums or (empty and largest and subtotal):
            certain.add(row)
        of_label.append(row)
        last = row
    totals, doubtful = [], []
    for of_label in named_so.values():
        left_out = [row for row in of_label if row in certain]
        left_out = left_out if 2 * len(left_out) > len(of_label) else []  # otherwise it is a category
        totals += left_out
        if exact[of_label[0]] or re.search(SUBTOTAL, labels[of_label[0]]):
            doubtful += [row for row in of_label if row not in left_out]
    totals, doubtful = sorted(totals), sorted(doubtful)
    if totals:
        decisions.append(Decision("file", _left_out(labels, totals)))
    if doubtful:
        decisions.append(Decision("warning", _used(labels, doubtful, totals)))
    return frame.filter(~pl.Series(np.isin(np.arange(frame.height), totals))), frame[totals]


def _first_cells(frame: pl.DataFrame) -> tuple[pl.Series, np.ndarray]:
    """Return the first cell of each row that is not empty, and its place."""
    labels = pl.Series([None] * frame.height, dtype=pl.String)
    places = np.zeros(frame.height, int)
    for i, column in enumerate(frame):
        open_rows = labels.is_null()
        if not open_rows.any():
            break
        words = column.str.strip_chars()
        new = open_rows & (words != "").fill_null(False)
        labels = labels.zip_with(~new, words)
        places[new.to_numpy()] = i
    return labels, places


def _left_out(labels: pl.Series, totals: list[int]) -> str:
    above: dict[str, list[int]] = {}
    for i, row in enumerate(totals):
        above.setdefault(labels[row], []).append(row - i)
    shown = [f"{label!r} {_below(rows)}" for label, rows in islice(above.items(), SHOWN)]
    if more := len(above) - len(shown):
        shown.append(f"{more} more names")
    listed = " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    verb = "row of a total is" if len(totals) == 1 else "rows of totals are"
    return f"{len(totals):,} {verb} left out: {listed}."


def _below(above: list[int]) -> str:
    if above == [0]:
        return "above the first row"
    shown = [f"{row:,}" for row in above[:SHOWN]]
    if more := len(above) - len(shown):
        shown.append(f"{more:,} more")
    rows = " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    return f"below data row{'s' * (len(above) > 1)} {rows}"


def _used(labels: pl.Series, doubtful: list[int], totals: list[int]) -> str:
    names = listing(dict.fromkeys(labels[row] for row in doubtful), most=3)
    first = data_row(doubtful[0] - sum(row < doubtful[0] for row in totals))
    if len(doubtful) == 1:
        return (
            f"{first[0].upper()}{first[1:]} is called {names}, but its numbers are not sums of the rows above it, and "
            "is used as data; delete it if it is a total."
        )
    return (
        f"{len(doubtful):,} rows, the first of them {first}, are called {names}, but their numbers are not sums of the "
        "rows above them, and are used as data; delete them if they are totals."
    )
