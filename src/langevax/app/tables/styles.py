"""Notation of the cells of a column, and the user's statements on it by --read."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import polars as pl

from langevax.app.errors import BadInput, listing, nearest
from langevax.app.tables.dates import NEVER, Order, days_of, serial_days
from langevax.app.tables.numbers import Decimal, decimal_shown, take_apart
from langevax.data.files import MISSING

Kind = Literal["numeric", "date", "categorical"]
As = Literal[
    "words",
    "ignore-case",
    "numbers",
    "dates",
    "decimal-point",
    "decimal-comma",
    "day-first",
    "month-first",
    "year-first",
]
ANSWERS: tuple[As, ...] = (
    "decimal-point",
    "decimal-comma",
    "day-first",
    "month-first",
    "year-first",
)
DECIMALS: dict[str, Decimal] = {"decimal-point": ".", "decimal-comma": ","}
ORDERS: dict[str, Order] = {
    "day-first": "day-first",
    "month-first": "month-first",
    "year-first": "short-year-first",
}

_STAND_FOR_MISSING = """
unknown|missing|undefined|unspecified|pending|blank|empty|error|tbd|tba|nil|none|null|na|n/a|n.a.|n.a|nd|n/d|nan|nat
not available|not applicable|not measured|not reported|not known|no data|-|--|---|—|–|.|..|...|*|**|***|/|#
unbekannt|k.a.|k. a.|n.n.|n.b.|n.d.|keine angabe|fehlt|inconnu|non disponible|non renseigné|desconocido|sin dato|s/d
sin datos|onbekend|n.v.t.|nvt|geen gegevens|brak|brak danych|b.d.|okänd|saknas|non disponibile|não disponível|sem dados
неизвестно|нет данных|н/д|不明|未知|无|無|欠測|無し|なし|0000-00-00|#n/d|#nv|#wert!|#bezug!|#zahl!|#valeur!|#nombre!
#¡valor!|#¡ref!|#¡div/0!|#¡num!|#¿nombre?|#valore!|#rif!|#valor!|#núm!|#waarde!|#verw!|#n/b|#arg!|#adr!|#liczba!
#nom?|1.#qnan|-1.#qnan|1.#ind|-1.#ind|1.#inf|-1.#inf|-nan(ind)
"""
STAND_FOR_MISSING = frozenset(_STAND_FOR_MISSING.strip().replace("\n", "|").split("|"))
"""Words, in lower case, that stand for a missing number, date or yes and no however often they occur."""
TRUTHS = {
    "true/false": ({"true", "t"}, {"false", "f"}),
    "yes/no": ({"yes", "y"}, {"no", "n"}),
    "on/off": ({"on"}, {"off"}),
    "ja/nein": ({"ja", "j"}, {"nein", "n"}),
    "oui/non": ({"oui", "o"}, {"non", "n"}),
    "sí/no": ({"sí", "si", "s"}, {"no", "n"}),
    "sì/no": ({"sì", "si", "s"}, {"no", "n"}),
    "sim/não": ({"sim"}, {"não", "nao"}),
    "ja/nee": ({"ja"}, {"nee"}),
    "ja/nej": ({"ja"}, {"nej"}),
    "ja/nei": ({"ja"}, {"nei"}),
    "kyllä/ei": ({"kyllä"}, {"ei"}),
    "tak/nie": ({"tak"}, {"nie"}),
    "ano/ne": ({"ano"}, {"ne"}),
    "igen/nem": ({"igen"}, {"nem"}),
    "evet/hayır": ({"evet"}, {"hayır", "hayir"}),
    "да/нет": ({"да"}, {"нет"}),
    "はい/いいえ": ({"はい"}, {"いいえ"}),
    "是/否": ({"是"}, {"否"}),
    "wahr/falsch": ({"wahr"}, {"falsch"}),
    "vrai/faux": ({"vrai"}, {"faux"}),
    "verdadero/falso": ({"verdadero"}, {"falso"}),
    "verdadeiro/falso": ({"verdadeiro"}, {"falso"}),
    "vero/falso": ({"vero"}, {"falso"}),
    "waar/onwaar": ({"waar"}, {"onwaar"}),
    "prawda/fałsz": ({"prawda"}, {"fałsz", "falsz"}),
    "истина/ложь": ({"истина"}, {"ложь"}),
}
"""Spellings of two opposite words, by the words that stand for them."""
MARKS = frozenset({"x"})
"""Beside two opposite words a category of its own: a tick, or what is not known."""
MICROSECONDS_PER_DAY = 86_400 * 1_000_000


@dataclass(frozen=True)
class Style:
    """Notation of the cells of a column: with the kind, all that reading a cell needs."""

    kind: Kind
    decimal: Decimal = "."
    unit: str = ""
    """Of numbers: a currency, a percent sign or another unit that may stand beside them."""
    multiples: bool = False
    """Of numbers: whether K, M and B right behind them multiply them."""
    whole: bool = field(default=False, compare=False)
    """Of numbers: whether none has a decimal separator, so that new ones show theirs."""
    order: Order = "year-first"
    """Of dates that do not start with the year."""
    serials: bool = False
    """Of dates: whether numbers among them are days as spreadsheets count them."""
    truth: str = ""
    """Of words: two opposite words, a key of `TRUTHS`, in whose spelling they are stored."""
    verbatim: bool = False
    """Of words: whether NA, None and the like are words."""
    ignore_case: bool = False
    """Of words: whether those that differ only in case or in spaces are one, stored in lower case."""

    @property
    def clock(self) -> bool:
        """Of dates: whether they are times of day or durations, in days."""
        return self.kind == "date" and self.order == "time"


@dataclass(frozen=True)
class Choices:
    """The user's statements on columns; `default` decides where a column can be read in two ways."""

    columns: Mapping[str, As] = field(default_factory=dict)
    default: frozenset[str] = frozenset()
    target: str = ""
    """The column to learn, which can neither be left out nor, where it holds numbers, be read as words."""

    @classmethod
    def parse(
        cls, options: Iterable[str], names: Iterable[str], target: str = ""
    ) -> "Choices":
        """Return the choices in the values of --read.

        Example:
            >>> choices = Choices.parse(["zip=words", "day-first"], ["zip", "day"])
            >>> choices.columns, sorted(choices.default)
            ({'zip': 'words'}, ['day-first'])
        """
        names, columns, default = list(names), {}, set[str]()
        for option in options:
            name, _, value = option.rpartition("=")
            if value not in get_args(As) or (not name and value not in ANSWERS):
                known = listing(get_args(As) if name else ANSWERS, most=9)
                raise BadInput(
                    f"--read {option!r} must be COLUMN=KIND or KIND; of kinds there are {known}."
                )
            if name and name not in names:
                raise BadInput(
                    f"--read {name!r} is not a column of the table; {nearest(name, names)}"
                )
            if name:
                columns[name] = value
            else:
                default.add(value)
        return cls(columns, frozenset(default), target)

    def decimal(self, name: str) -> Decimal | None:
        """Return the decimal separator of a column, None where it is to be found."""
        return DECIMALS.get(self.columns.get(name, ""))

    def order(self, name: str) -> Order | None:
        """Return the order of the dates of a column, None where it is to be found."""
        return ORDERS.get(self.columns.get(name, ""))


def as_text(column: pl.Series) -> pl.Series:
    """Return text without surrounding spaces, null where it is empty."""
    words = column.cast(pl.String, strict=False).str.strip_chars()
    return words.set((words == "").fill_null(False), None)


def as_words(column: pl.Series, style: Style | None = None) -> pl.Series:
    """Return text without surrounding spaces, null where missing; true and false in lower case."""
    words = as_text(column)
    if style is not None and style.verbatim:
        return words
    words = words.set(words.is_in(MISSING).fill_null(False), None)
    if style is not None and style.truth:
        return _truths(words, style.truth)
    if style is not None and style.ignore_case:
        return without_case(words)
    return with_lower_truths(words)


def with_lower_truths(words: pl.Series) -> pl.Series:
    """Return words, in lower case where all of them are true or false."""
    if len(words) == words.null_count():
        return words
    lower = words.str.to_lowercase()
    return lower if lower.is_in(["true", "false"]).all() else words


def without_case(words: pl.Series) -> pl.Series:
    """Return words in lower case, with single spaces."""
    return words.str.to_lowercase().str.replace_all(r"\s+", " ")


@functools.cache
def spellings_of(truth: str) -> Mapping[str, str]:
    """Return which of two opposite words each spelling stands for, in any language; letters only in their own.

    Example:
        >>> spellings = spellings_of("yes/no")
        >>> [spellings.get(word) for word in ("y", "wahr", "nein", "1", "j")]
        ['yes', 'yes', 'no', 'yes', None]
    """
    spellings: dict[str, str] = {}
    for side, word in enumerate(truth.split("/")):
        of_all = {
            spelling
            for both in TRUTHS.values()
            for spelling in both[side]
            if len(spelling) > 1
        }
        spellings |= dict.fromkeys(TRUTHS[truth][side] | of_all | {"10"[side]}, word)
    return spellings


def _truths(words: pl.Series, truth: str) -> pl.Series:
    spellings = {**spellings_of(truth), **{mark: mark for mark in MARKS}}
    lower = words.str.to_lowercase()
    words = words.set(lower.is_in(list(STAND_FOR_MISSING)).fill_null(False), None)
    return words.zip_with(
        ~lower.is_in(list(spellings)).fill_null(False), lower.replace(spellings)
    )


def parse(column: pl.Series, style: Style) -> tuple[pl.Series, int]:
    """Return numbers (float64) or words, null where missing or unreadable, and the number of infinite values."""
    if style.kind == "categorical":
        return as_words(column, style), 0
    if column.dtype.is_temporal():
        return _days(column), 0
    if style.kind == "date":
        words = as_words(column)
        days = days_of(words, style.order)
        days = (
            days.zip_with(days.is_not_null(), serial_days(words))
            if style.serials
            else days
        )
        return days.alias(column.name), 0
    if column.dtype.is_numeric():
        return finite(column.cast(pl.Float64))
    return finite(parse_numbers(as_words(column), style))


def parse_numbers(words: pl.Series, style: Style) -> pl.Series:
    """Return numbers, with infinite ones, null where a word is not a number of this style."""
    plain = words.cast(pl.Float64, strict=False)
    if style.decimal == "." and plain.null_count() == words.null_count():
        return plain
    parts = take_apart(words, style.multiples)
    decimal = (style.whole and decimal_shown(parts)) or style.decimal
    values = parts.values(decimal, style.unit).alias(words.name)
    return values.zip_with(~plain.is_infinite().fill_null(False), plain)


def finite(numbers: pl.Series) -> tuple[pl.Series, int]:
    """Return numbers, null where not finite, and how many are infinite."""
    infinite = int(numbers.is_infinite().sum())
    finite = numbers.is_finite().fill_null(False)
    return numbers.zip_with(
        finite, pl.Series(numbers.name, [None], dtype=pl.Float64)
    ), infinite


def _days(moments: pl.Series) -> pl.Series:
    """Return days since 1970; durations and times of day in days."""
    if moments.dtype == pl.Duration:
        return moments.dt.total_microseconds().cast(pl.Float64) / MICROSECONDS_PER_DAY
    if moments.dtype == pl.Time:
        return moments.cast(pl.Int64).cast(pl.Float64) / (1000 * MICROSECONDS_PER_DAY)
    days = (
        moments.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64)
        / MICROSECONDS_PER_DAY
    )
    return days.zip_with(
        ~(days >= NEVER).fill_null(False), pl.Series([None], dtype=pl.Float64)
    )
