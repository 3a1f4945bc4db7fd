"""Columns that look like numbers or dates and may be something else: asked about, or taken for words with a reason.

Addresses of networks, telephone numbers and versions are digits in groups; letters for thousands may be sizes or units;
two-digit years and durations of two and of three parts have two readings that no cell decides.
"""

import polars as pl

from langevax.app.errors import BadInput, count
from langevax.app.tables.numbers import NumberParts
from langevax.app.tables.records import first_place, option

FEWEST = 5  # values, at least, that show a habit
NETWORK = r"^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$"
CODE_WITH_E = "^[0-9]{1,4}E[0-9]{1,2}$"
GROUPED = r"^([0-9]{1,3})((?:[. ][0-9]{3}){2,})$"
LED_BY_ZERO = 0.5  # of the groups behind the first, at least: of amounts it is a tenth
EXACT_DIGITS = 16  # from which float64 does not tell all integers apart
WIDE = 10.0  # ratio of the largest number without a letter to the smallest, where letters are those of thousands
TURN = (30, 69)  # two-digit years that one program takes for 19.., another for 20..
LONG_DATE = r"^[0-9]{4}-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})(?:[T\s].*)?$"
TWO_PARTS, THREE_PARTS = (
    r"^([0-9]{1,4}):[0-9]{2}$",
    r"^([0-9]{1,4}):[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?$",
)
MOST_VERSIONS = 50
SHORT_YEAR = r"^[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{2})(?:[^0-9].*)?$"


def digits_of_something(words: pl.Series) -> str:
    """Return why a column of digits holds words, with its first value; empty where it holds numbers.

    Example:
        >>> digits_of_something(pl.Series(["192.168.100.101", "192.168.100.7", "192.168.101.12"] * 2))
        "'192.168.100.101' in data row 1 is an address"
        >>> digits_of_something(pl.Series(["1.234.567", "12.345.678", "9.870.000", "1.000.500", "2.345.678"]))
        ''
    """
    present = words.drop_nulls()
    if len(present) < FEWEST:
        return ""
    everywhere = words.is_not_null()
    if present.str.contains(NETWORK).all():
        largest = present.str.extract_all("[0-9]+").explode().cast(pl.Int64).max()
        return (
            f"{first_place(words, everywhere)} is an address" if largest <= 255 else ""
        )  # type: ignore[operator]
    if present.str.contains(CODE_WITH_E).all():
        return f"{first_place(words, everywhere)} and all others have an E among digits, as codes do"
    if (
        present.str.contains(r"^[0-9]{16,}$").any()
        and present.str.contains("^[0-9]+$").all()
    ):
        if len(present) > present.n_unique() > present.cast(pl.Float64).n_unique():
            long = words.str.contains(r"^[0-9]{16,}$").fill_null(False)
            return f"float64 does not tell {first_place(words, long)} from the integers beside it"
        return ""
    if not present.str.contains(GROUPED).all() or present.n_unique() < 2:
        return ""
    groups = present.str.extract_groups(GROUPED).struct.unnest()
    first, rest = groups.get_columns()
    if rest.str.len_chars().n_unique() > 1:
        return ""
    if first.str.contains("^[0-9]{3}$").all():
        return f"all values, such as {first_place(words, everywhere)}, have as many digits, as telephone numbers do"
    inner = rest.str.extract_all("[0-9]{3}").explode()
    if inner.str.starts_with("0").mean() >= LED_BY_ZERO:  # type: ignore[operator]
        return f"the groups of {first_place(words, everywhere)} start with zeros, as those of versions do"
    return ""


def refuse_letters_of_thousands(
    words: pl.Series, parts: NumberParts, remedy: str
) -> None:
    """Refuse letters behind numbers, K, M and B, that may be units, sexes or sizes: nothing shows that they multiply.

    They may be where the numbers without a letter are as large as those in front of one, and where all numbers are
    integers with several letters.
    """
    lettered = parts.multiples != 1.0
    numbers = parts.body.is_not_null()
    if not lettered.any():
        return
    before = parts.body.str.replace(",", ".").cast(pl.Float64, strict=False)
    with_letter, bare = (
        before.filter(lettered).drop_nulls(),
        before.filter(numbers & ~lettered).drop_nulls(),
    )
    if len(with_letter) and len(bare):
        low, high = float(bare.min()), float(bare.max())  # type: ignore[arg-type]
        among = float(with_letter.is_between(low / 2, 2 * high).mean())  # type: ignore[arg-type]
        doubtful = low > 0 and high <= WIDE * low and 2 * among > 1
    else:
        letters = words.filter(lettered).str.extract("([kKMB])\\)?$", 1).n_unique()
        plain = (
            parts.units.filter(lettered).is_in([""]).all()
            and parts.body.str.contains("^[0-9]{1,2}$").all()
        )
        doubtful = letters > 1 and plain and not len(bare)
    if doubtful:
        raise BadInput(
            f"column {words.name!r} holds numbers with letters behind them ({first_place(words, lettered)}), which may "
            f"stand for thousands, or for a unit or a kind; write the numbers out{remedy}."
        )


def refuse_exchanged(
    words: pl.Series, day_first: pl.Series, month_first: pl.Series, remedy: str
) -> None:
    """Refuse dates of which a spreadsheet may have exchanged day and month.

    Programs that expect the month first turn 05/03/2024 into May 3, which they export as 2024-05-03, and leave
    25/03/2024 as text: then no text could be in the other order, and no date of the others is after the 12th.
    """
    parts = words.str.extract_groups(LONG_DATE).struct.unnest()
    whole = parts["day"].is_not_null()
    texts = [days.is_not_null() & ~whole for days in (day_first, month_first)]
    of_either = texts[0] | texts[1]
    if (
        min(int(whole.sum()), int(of_either.sum())) < FEWEST
        or (texts[0] & texts[1]).any()
    ):
        return
    if parts["day"].cast(pl.Int64).max() <= 12:  # type: ignore[operator]
        raise BadInput(
            f"column {words.name!r} holds dates such as {first_place(words, of_either)} and "
            f"{first_place(words, whole)}, of which a spreadsheet may have exchanged day and month, since none of the "
            f"others could be read so; export it again as text{remedy}."
        )


def refuse_two_centuries(words: pl.Series, remedy: str) -> None:
    """Refuse two-digit years on both sides of 1969, where births of 1954 would be dates of 2054."""
    years = words.str.extract(SHORT_YEAR, 1).cast(pl.Int64)
    between = years.is_between(TURN[0], TURN[1] - 1).fill_null(False)
    if between.any() and (years >= TURN[1]).any():
        raise BadInput(
            f"column {words.name!r} holds two-digit years, of which {first_place(words, between)} may be in 19.. or "
            f"20..; write years with four digits{remedy}."
        )


def refuse_two_durations(words: pl.Series, remedy: str) -> None:
    """Refuse durations such as 41:07 beside 1:02:03, which may be minutes or hours."""
    ratios = words.drop_nulls()
    if ratios.n_unique() > 1 and ratios.str.contains("^1:[0-9]{2}$").all():
        raise BadInput(
            f"column {words.name!r} holds {first_place(words, words.is_not_null())} and others that start with 1:, "
            f"ratios or times; write the second number alone, or hours, minutes and seconds{remedy}."
        )
    two, three = (
        words.str.extract(pattern, 1).cast(pl.Int64)
        for pattern in (TWO_PARTS, THREE_PARTS)
    )
    if two.count() and three.count() and two.min() > three.max():  # type: ignore[operator]
        raise BadInput(
            f"column {words.name!r} holds {count(two.count(), 'duration')} such as "
            f"{first_place(words, two.is_not_null())}, which may start with hours or with minutes beside "
            f"{first_place(words, three.is_not_null())}; write hours, minutes and seconds in all rows{remedy}."
        )


def not_told_apart(words: pl.Series, values: pl.Series) -> str:
    """Return a remark on decimals of which some end in 0, as version 1.10 after 1.9 does; empty for none.

    Example:
        >>> words = pl.Series("version", ["1.1", "1.9", "1.10", "1.2"])
        >>> not_told_apart(words, words.cast(pl.Float64))
        "Column 'version': '1.10' in data row 3 is the number 1.1; if these are versions, pass --read version=words."
    """
    if not words.str.contains(r"^[0-9]+\.[0-9]{1,2}$").all():
        return ""
    table = (
        pl.DataFrame({"word": words, "value": values})
        .drop_nulls()
        .unique(maintain_order=True)
    )
    padded = words.str.contains(r"\.[0-9]0$").fill_null(False)
    if (
        table.height > MOST_VERSIONS
        or not padded.any()
        or not words.str.contains(r"\.[0-9]$").any()
    ):
        return ""
    versions = f"if these are versions, pass {option('--read', words.name, 'words')}"
    return f"Column {words.name!r}: {first_place(words, padded)} is the number {words.filter(padded)[0][:-1]}; {versions}."
