"""Spellings that differ, and notes, signs and serial dates that spoil columns of numbers."""

from tests.messy.case import Case, number, words


def csv(*lines: str) -> bytes:
    """Return lines as UTF-8."""
    return ("\n".join(lines) + "\n").encode()


X = [1.5, 2.5, 3.0, 4.25, 5.5, 6.0, 7.5, 1.25, 2.75, 8.0]


def beside(*cells: str) -> bytes:
    """Return a column beside one of plain numbers."""
    return csv("a;x", *(f"{cell};{x}" for cell, x in zip(cells, X, strict=False)))


def read_as(kind, *values) -> dict:
    """Return the columns of `beside`."""
    return {"a": kind(*values), "x": number(*X[: len(values)])}


CLASSES = [
    Case(
        "a target of yes and no in many spellings",
        csv(
            "x,won",
            "1.5,yes",
            "2,No",
            "3.5,Yes",
            "1,no",
            "7,Y",
            "2.5,N",
            "4.5,yes",
            "8,no",
        ),
        {"x": number(1.5, 2, 3.5, 1, 7, 2.5, 4.5, 8)},
        target="won",
        classes=("no", "yes"),
    ),
    Case(
        "classes that differ in case keep their spelling",
        csv("x,city", "1.5,Wien", "2,wien", "3.5,Wien", "1,Graz", "7,wien", "2.5,Graz"),
        {"x": number(1.5, 2, 3.5, 1, 7, 2.5)},
        target="city",
        classes=("Graz", "Wien", "wien"),
    ),
    Case(
        "classes that the user joins",
        csv("x,city", "1.5,Wien", "2,wien", "3.5,Wien", "1,Graz", "7,WIEN", "2.5,Graz"),
        {"x": number(1.5, 2, 3.5, 1, 7, 2.5)},
        target="city",
        classes=("graz", "wien"),
        options=("city=ignore-case",),
    ),
    Case(
        "classes that float64 does not tell apart",
        csv("x,code", *(f"{i}.5,{2**53 + i % 2}" for i in range(12))),
        {"x": number(*(i + 0.5 for i in range(12)))},
        target="code",
        classes=(str(2**53), str(2**53 + 1)),
    ),
]
CATEGORIES = [
    Case(
        "genotypes",
        beside("AA", "Aa", "aa", "Aa"),
        read_as(words, "AA", "Aa", "aa", "Aa"),
    ),
    Case(
        "cities in any case",
        beside("Wien", "wien", "NEW  york", "New York"),
        read_as(words, "wien", "wien", "new york", "new york"),
        options=("a=ignore-case",),
    ),
    Case(
        "winds, not answers",
        beside("NO", "NE", "SO", "NO", "NE"),
        read_as(words, "NO", "NE", "SO", "NO", "NE"),
    ),
]
NUMBERS = [
    Case(
        "notes behind units",
        beside("12.2 s ¹", "9.5 s", "10.1 s*", "8.8 s[1]", "9.9 s †", "7.0 s"),
        None,
        refusal=("'a'", "'12.2 s ¹'"),
    ),
    Case(
        "square metres are not notes",
        beside("343 m²", "20 m²", "7.5 m²", "9 m²"),
        read_as(number, 343, 20, 7.5, 9),
    ),
]
DATES = [
    Case(
        "days as a spreadsheet counts them among dates",
        beside(
            "16/02/2018", "43150", "05/03/2018", "25/12/2017", "43160.5", "01/02/2018"
        ),
        None,
        refusal=("'a'", "'43150'"),
    ),
    Case(
        "days that a spreadsheet may have exchanged with months",
        beside(
            "16/02/2018", "43150", "25/03/2018", "25/12/2017", "43160", "13/02/2018"
        ),
        None,
        refusal=("'a'", "'43150'"),
    ),
]
CASES = [*CLASSES, *CATEGORIES, *NUMBERS, *DATES]
