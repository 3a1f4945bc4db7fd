"""One column of text as it was read, in one way or, where its values do not decide, in two."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from langevax.app.tables.records import Decision, option, places
from langevax.app.tables.styles import Kind, Style


@dataclass(frozen=True)
class ReadColumn:
    """A column read in one style, the decisions that led to it, and why it is useless, if it is."""

    values: pl.Series
    """float64 or words, null where missing."""
    style: Style
    decisions: tuple[Decision, ...] = ()
    useless: str = ""
    identifies_rows: bool = False
    """Whether it is useless because it identifies rows, a guess that the user may override."""
    resembles_id: str = ""
    """Why it may only identify rows although it is used."""
    infinite: int = 0
    strays: int = 0
    """Words that count as missing in a column of numbers or dates."""
    chosen: bool = False
    """Whether the user said how to read it."""
    evidence: str = ""
    """What its values show of how the file is written: an answer of --read."""

    def as_chosen(self) -> "ReadColumn":
        """Return it as the user said."""
        return replace(self, chosen=True)

    @property
    def kind(self) -> Kind:
        """Numbers, dates or words."""
        return self.style.kind


@dataclass(frozen=True)
class Ambiguity:
    """A column that can be read in two ways."""

    readings: Mapping[str, ReadColumn]
    """By the answers of --read."""
    example: str
    """A word that can be read in two ways, with its row."""
    meanings: Mapping[str, str]
    """What it means by each answer."""
    default: str = ""
    """The answer where nothing decides; empty where the column is refused."""

    def as_chosen(self) -> "Ambiguity":
        """Return its readings as the user said."""
        return replace(
            self,
            readings={
                answer: reading.as_chosen() for answer, reading in self.readings.items()
            },
        )

    def answered(self, answer: str, why: str = "") -> ReadColumn:
        """Return the reading that an answer leads to, with the reason among its decisions."""
        reading, name = self.readings[answer], self.name
        if not why:
            return reading
        (other,) = self.readings.keys() - {answer}
        date = reading.kind == "date"
        noun = "dates, used as days since 1970" if date else "numbers"
        sentence = (
            f"Column {name!r} holds {noun}: {self.example} is {self.meanings[answer]} and not {self.meanings[other]}, "
            f"{why}; else pass {option('--read', name, other)}."
        )
        decisions = [
            decision for decision in reading.decisions if decision.topic == "missing"
        ]
        return replace(
            reading,
            decisions=(
                *decisions,
                Decision("dates" if date else "numbers", sentence, name),
            ),
        )

    @property
    def name(self) -> str:
        """Of the column."""
        return next(iter(self.readings.values())).values.name

    def refusal(self) -> str:
        """Return the message where nothing decides."""
        answers = " or ".join(
            option("--read", self.name, answer) for answer in self.readings
        )
        meanings = " or ".join(self.meanings.values())
        return (
            f"column {self.name!r} can be read in two ways: {self.example} is {meanings}, and no value shows which; "
            f"pass {answers}."
        )


def stray_words(
    words: pl.Series, good: pl.Series, strays: pl.Series, noun: str
) -> Decision:
    """Return a decision on words that count as missing."""
    present = len(words) - words.null_count()
    verb = "counts" if words.filter(strays).n_unique() == 1 else "count"
    sentence = f"{int(good.sum()):,} of {present:,} values are {noun}; {places(words, strays)} {verb} as missing"
    return Decision("missing", f"Column {words.name!r}: {sentence}.", words.name)
