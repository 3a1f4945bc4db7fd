"""Rows of totals, subtotals, means and other statistics among the rows of a table.

A row is left out where its first cell names a total and one fact more shows it: most of its numbers, or one where no
other row has this name, are sums of rows above (those since the last total, or since the last one of the same name, or
all) or of all rows; all its other cells are empty; or most are, and its numbers exceed those that it would be sums of.
A row that has only the name is used, with a warning, and so are all rows of a name where most have nothing else; a
name of many rows is a category. Where a later cell names the total, most of its numbers have to be sums. A row that a
mean, a deviation or another statistic names is left out where most of its numbers are those of the table.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from langevax.app.errors import listing
from langevax.app.tables.numbers import NAMES, take_apart, unit_of
from langevax.app.tables.records import Decision, data_row

ROUNDING = 0.005  # of a total, by which it may differ from the sum of rounded numbers
EXACT_ROUNDING = 1e-6  # of one without a name that says so
FEWEST_SUMMED = 5  # rows
NO_NAME = "no name"
HALF = 0.501  # of the last decimal, by which a number may be rounded
FEWEST_OF_STATISTIC = 5  # numbers
FREQUENT = 0.05  # share of the rows, from which a name of more than three is that of a category
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
    r"|som|soma|summa|totalt|i alt|yhteensä|celkem|součet|spolu|összesen|toplam|ukupno|skupaj|kokku|kopā"
    r"|iš viso|tổng(?: cộng)?"
    r"|σύνολο|всього|разом|итого|всего|المجموع|الإجمالي|סה[\"״]כ|合计|总计|合計|総計"
    r"|합계|총계|overall|übertrag|[∑Σ]|\*{1,3}"
)
TOTAL = rf"(?i)^(?:{_SUB}|{_ALL})\s*:?$"
NAMED_TOTAL = rf"(?i)^(?:(?:{_SUB}|{_ALL})\b.{{1,40}}|.{{1,40}}[ :-](?:{_SUB}|{_ALL}|ergebnis)\s*:?)$"
"""With the name of what is summed: Total 2024, Subtotal Europe, Nord Ergebnis of a German pivot table."""
SUBTOTAL = rf"(?i)^(?:{_SUB})\b"


MEAN = (
    r"(?:means?|average|avg\.?|durchschnitt|mittel(?:wert)?|[øØ⌀]|moyenne|media|promedio|gemiddelde|medelv[äa]rde"
    r"|średnia|průměr|átlag|ortalama|keskiarvo|gjennomsnitt|gennemsnit|среднее|平均(?:値|值)?|평균)(?: .{1,30})?"
)
DEVIATION = (
    r"(?:sd|std\.?(?: ?dev\.?)?|standard deviation|standardabweichung|stdabw\.?|[ée]cart[- ]type"
    r"|odchylenie standardowe|desviaci[óo]n est[áa]ndar|deviazione standard)(?: .{1,30})?"
)
VARIATION = (
    r"(?:cv|vk|rsd)(?: ?\(?%\)?)?|variationskoeffizient|coefficient of variation"
)
STATISTICS: dict[str, Callable[[np.ndarray], Sequence[Any]]] = {
    MEAN: lambda x: [np.mean(x)],
    r"median[eao]?|m[ée]diane": lambda x: [np.median(x)],
    DEVIATION: lambda x: [np.std(x), np.std(x, ddof=1)],
    VARIATION: lambda x: [
        100 * np.std(x, ddof=1) / np.mean(x),
        100 * np.std(x) / np.mean(x),
        np.std(x) / np.mean(x),
    ],
    r"min\.?|minimum|max\.?|maximum": lambda x: [np.min(x), np.max(x)],
    r"n|count|anzahl|nombre": lambda x: [len(x)],
}
"""By names of rows: what their numbers would be of those of a column."""
STATISTIC = rf"(?i)^(?:{'|'.join(STATISTICS)})\s*:?$"


class _Numbers:
    """The numbers of a column in one notation, and their sums over rows that are not totals."""

    def __init__(self, numbers: np.ndarray, named: np.ndarray, rounding: np.ndarray):
        terms = np.where(named, np.nan, numbers)
        self.numbers, self.terms, self.rounding = numbers, np.abs(terms), rounding
        self.sums = np.concatenate([[0.0], np.nancumsum(terms)])
        self.counts = np.concatenate([[0], np.cumsum(~np.isnan(terms))])
        self.own = terms[~np.isnan(terms)]
        self.statistics: dict[str, Sequence[Any]] = {}

    def is_statistic(self, row: int, label: str) -> bool:
        """Return whether the number of a row is what its label says of the numbers of the table, up to rounding."""
        number = self.numbers[row]
        if len(self.own) < FEWEST_OF_STATISTIC or np.isnan(number):
            return False
        if label not in self.statistics:
            of = next(
                of
                for names, of in STATISTICS.items()
                if re.search(rf"(?i)^(?:{names})\s*:?$", label)
            )
            self.statistics[label] = of(self.own)
        off = self.rounding[row]
        return any(
            abs(value - number) <= max(ROUNDING * abs(value), off)
            for value in self.statistics[label]
        )

    def is_sum(
        self, row: int, first: int, end: int, rounding: float = ROUNDING
    ) -> bool:
        """Return whether the number of a row is the sum of those of rows from `first` to `end`, up to rounding."""
        total = self.numbers[row]
        if not total or self.counts[end] - self.counts[first] < 2:
            return False
        return abs(self.sums[end] - self.sums[first] - total) <= rounding * abs(total)

    def is_largest(self, row: int, first: int, end: int) -> bool:
        """Return whether no number of rows from `first` to `end` is larger than that of a row."""
        terms = self.terms[first:end]
        return len(terms) > 0 and abs(self.numbers[row]) >= np.nanmax(
            terms, initial=0.0
        )


def _notations(cells: pl.Series, named: np.ndarray) -> list[_Numbers]:
    """Return the numbers of a column in each notation that its cells may have."""
    parts = take_apart(cells.str.strip_chars())
    unit = unit_of(parts)
    unit = unit[0] if isinstance(unit, tuple) else unit
    read = []
    for decimal in NAMES:
        decimals = (
            parts.body.str.split(decimal)
            .list.get(1, null_on_oob=True)
            .str.len_chars()
            .fill_null(0)
        )
        rounding = HALF * 10.0 ** -decimals.to_numpy().astype(float)
        read.append(
            _Numbers(
                parts.values(decimal, unit).fill_null(np.nan).to_numpy(),
                named,
                rounding,
            )
        )
    return read


def find_totals(frame: pl.DataFrame, decisions: list[Decision]) -> pl.Series:
    """Return which rows are totals; record which they are, and which rows only have such a name.

    Example:
        >>> table = {"nr": ["1", "2", "Subtotal", "3", "Total"], "kg": ["5", "7", "12", "1", "13"]}
        >>> decisions = []
        >>> find_totals(pl.DataFrame(table), decisions).to_list()
        [False, False, True, False, True]
        >>> decisions[0].sentence
        "2 rows of totals are left out: 'Subtotal' below data row 2 and 'Total' below data row 3."
    """
    none = pl.Series(np.zeros(frame.height, bool))
    if frame.height < 2 or frame.width < 2:
        return none
    labels, places = _first_cells(frame)
    exact = labels.str.contains(TOTAL).fill_null(False)
    first = (exact | labels.str.contains(NAMED_TOTAL).fill_null(False)).to_numpy()
    labels, places, later = _later_names(frame, labels, places, first)
    statistic = _statistics(frame, labels, places, first | later)
    named = first | later | statistic
    if _is_sum_of_all(frame, named):  # whatever its name, or without one
        named[-1] = first[-1] = True
        empty = frame.width - frame.tail(1).null_count().sum_horizontal()[0]
        labels = (
            labels
            if empty and not _is_figure(labels[-1])
            else labels.scatter(frame.height - 1, NO_NAME)
        )
    if not named.any():
        return none
    columns, filled = [_notations(column, named) for column in frame], _filled(frame)
    usual = float(np.median(filled[~named].sum(1))) if not named.all() else 0.0
    times = Counter(labels[row].lower() for row in np.flatnonzero(named).tolist())
    named_so: dict[tuple[str, bool], list[int]] = {}
    certain, last = set[int](), -1
    for row in np.flatnonzero(named & ~statistic).tolist():
        of_label = named_so.setdefault((labels[row].lower(), bool(later[row])), [])
        others = [
            columns[i] for i in np.flatnonzero(filled[row]).tolist() if i != places[row]
        ]
        spans = {
            (last + 1, row),
            ((of_label or [-1])[-1] + 1, row),
            (0, row),
            (0, frame.height),
        }
        numeric = [
            column
            for column in others
            if any(not np.isnan(numbers.numbers[row]) for numbers in column)
        ]
        agree = max(
            sum(any(n.is_sum(row, *span) for n in column) for column in numeric)
            for span in spans
        )
        unique = exact[row] and times[labels[row].lower()] == 1
        sums = agree > 0 if unique else 2 * agree > len(numeric)
        subtotal = exact[row] or re.search(SUBTOTAL, labels[row])
        block = (last + 1, row) if last + 1 < row else (0, frame.height)
        empty = filled[row].sum() <= NEARLY_EMPTY * usual
        largest = all(
            any(numbers.is_largest(row, *block) for numbers in column)
            for column in others
        )
        if later[row]:
            sums, empty = 2 * agree > len(numeric), False
        if sums or (empty and largest and subtotal):
            certain.add(row)
        of_label.append(row)
        last = row
    totals, doubtful = np.flatnonzero(statistic).tolist(), []
    for (_, is_later), of_label in named_so.items():
        left_out = [row for row in of_label if row in certain]
        left_out = (
            left_out if 2 * len(left_out) > len(of_label) else []
        )  # otherwise it is a category
        totals += left_out
        is_category = len(of_label) > max(3, FREQUENT * frame.height) and not left_out
        if (
            not is_later
            and not is_category
            and (exact[of_label[0]] or re.search(SUBTOTAL, labels[of_label[0]]))
        ):
            doubtful += [row for row in of_label if row not in left_out]
    totals, doubtful = sorted(totals), sorted(doubtful)
    if totals:
        decisions.append(
            Decision(
                "file",
                _left_out(
                    labels, totals, "summary" if statistic[totals].any() else "total"
                ),
            )
        )
    if doubtful:
        decisions.append(Decision("warning", _used(labels, doubtful, totals)))
    return pl.Series(np.isin(np.arange(frame.height), totals))


def _is_sum_of_all(frame: pl.DataFrame, named: np.ndarray) -> bool:
    """Return whether the last row has the sums of all others: in two columns at least, or alone beside empty cells."""
    last, rows = frame.height - 1, np.flatnonzero(~named)
    if last < FEWEST_SUMMED or named[-1]:
        return False
    agree = 0
    for column in frame:
        cell = (column[last] or "").strip()
        if not cell or not _is_figure(cell):
            continue
        notations = _notations(column, named)
        others = [
            n
            for n in notations
            if n.counts[last] >= min(FEWEST_SUMMED, 0.5 * len(rows))
        ]
        if not others:
            continue
        if not any(n.is_sum(last, 0, last, EXACT_ROUNDING) for n in others):
            return False
        agree += 1
    filled = sum(bool((cell or "").strip()) for cell in frame.row(last))
    return agree > 1 or agree == filled == 1


def _is_figure(text: str | None) -> bool:
    return bool(
        text
        and re.search("[0-9]", text)
        and take_apart(pl.Series([text])).body[0] is not None
    )


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


def _later_names(
    frame: pl.DataFrame, labels: pl.Series, places: np.ndarray, named: np.ndarray
) -> tuple[pl.Series, np.ndarray, np.ndarray]:
    """Return labels and places with those of totals that a later cell of a row names, and which rows have these."""
    later, places = np.zeros(frame.height, bool), places.copy()
    for i, column in enumerate(frame):
        words = column.str.strip_chars()
        new = words.str.contains(TOTAL).fill_null(False).to_numpy() & ~named & ~later
        if new.any():
            labels = labels.zip_with(~pl.Series(new), words)
            places[new], later = i, later | new
    return labels, places, later


def _statistics(
    frame: pl.DataFrame, labels: pl.Series, places: np.ndarray, totals: np.ndarray
) -> np.ndarray:
    """Return which rows are statistics of the others, by their names and numbers."""
    candidates = _rare(
        labels, labels.str.contains(STATISTIC).fill_null(False).to_numpy() & ~totals
    )
    if not candidates.any():
        return candidates
    columns, filled = (
        [_notations(column, totals | candidates) for column in frame],
        _filled(frame),
    )
    certain = set[int]()
    for row in np.flatnonzero(candidates).tolist():
        others = [
            columns[i] for i in np.flatnonzero(filled[row]).tolist() if i != places[row]
        ]
        numeric = [
            column
            for column in others
            if any(not np.isnan(numbers.numbers[row]) for numbers in column)
        ]
        agree = sum(
            any(numbers.is_statistic(row, labels[row]) for numbers in column)
            for column in numeric
        )
        if 2 * agree > len(numeric):
            certain.add(row)
    return np.isin(
        np.arange(frame.height), sorted(certain | _beside(certain, candidates))
    )


def _filled(frame: pl.DataFrame) -> np.ndarray:
    return np.stack(
        [
            (column.str.strip_chars() != "").fill_null(False).to_numpy()
            for column in frame
        ],
        1,
    )


def _rare(labels: pl.Series, chosen: np.ndarray) -> np.ndarray:
    """Return the rows chosen without those whose name is that of a category."""
    rows = np.flatnonzero(chosen).tolist()
    times = Counter(labels[row].lower() for row in rows)
    rare = [
        row
        for row in rows
        if times[labels[row].lower()] <= max(3, FREQUENT * len(labels))
    ]
    return np.isin(np.arange(len(labels)), rare)


def _beside(certain: set[int], statistic: np.ndarray) -> set[int]:
    """Return rows of statistics in a block of them of which one is certain."""
    breaks = np.flatnonzero(np.diff(np.flatnonzero(statistic)) > 1) + 1
    blocks = [
        set(block.tolist()) for block in np.split(np.flatnonzero(statistic), breaks)
    ]
    return set[int]().union(*(block for block in blocks if block & certain))


def _left_out(labels: pl.Series, totals: list[int], what: str) -> str:
    above: dict[str, list[int]] = {}
    for i, row in enumerate(totals):
        above.setdefault(labels[row], []).append(row - i)
    shown = [
        f"{label!r} {_below(rows)}" for label, rows in islice(above.items(), SHOWN)
    ]
    if more := len(above) - len(shown):
        shown.append(f"{more} more names")
    listed = " and ".join(
        [", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown
    )
    several = {"total": "totals", "summary": "summaries"}[what]
    verb = f"row of a {what} is" if len(totals) == 1 else f"rows of {several} are"
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
