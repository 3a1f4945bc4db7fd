"""Files as analysts meet them: exports of banks, surveys and data bases, and texts that only look like tables."""

from tests.messy.case import Case, boolean, date, number, words


def csv(*lines: str) -> bytes:
    """Return lines as UTF-8."""
    return ("\n".join(lines) + "\n").encode()


X = [1.5, 2.5, 3.0, 4.25, 5.5, 6.0]


def beside(name: str, *cells: str) -> bytes:
    """Return a column beside one of plain numbers."""
    return csv(f"{name};x", *(f"{cell};{x}" for cell, x in zip(cells, X, strict=False)))


def read_as(kind, *values) -> dict:
    """Return the columns of `beside`."""
    return {"a": kind(*values), "x": number(*X[: len(values)])}


EXPORTS = [
    Case(
        "a statement of a German bank",
        csv(
            '"Kontonummer:";"DE12 3456"',
            '"Stand:";"31.01.2024"',
            "",
            '"Buchungstag";"Art";"Betrag"',
            '"30.01.2024";"Kauf";"-1.234,56 €"',
            '"31.01.2024";"Gehalt";"2.000,00 €"',
            '"31.01.2024";"Kauf";"-7,50 €"',
            '"01.02.2024";"Kauf";"-12,00 €"',
        ),
        None,
        refusal=("line 1", "delete titles"),
    ),
    Case(
        "questions of a survey as names",
        csv(
            '"Q1. How old are you, in years?","Q2. ""Do you own a car?"""',
            "31,Yes",
            "54,No",
            "40,Yes",
            "29,No",
        ),
        {
            "Q1. How old are you, in years?": number(31, 54, 40, 29),
            'Q2. "Do you own a car?"': boolean(True, False, True, False),
        },
    ),
    Case(
        "answers with their codes",
        beside(
            "a",
            "1 - never",
            "2 - rarely",
            "1 - never",
            "3 - often",
            "2 - rarely",
            "3 - often",
        ),
        read_as(
            words,
            "1 - never",
            "2 - rarely",
            "1 - never",
            "3 - often",
            "2 - rarely",
            "3 - often",
        ),
    ),
    Case(
        "two lines of names",
        csv(
            "weight,weight,x",
            "mean,sd,",
            "50.5,1.5,1",
            "60.5,2.5,2",
            "70.5,3.5,4",
            "80.5,4.5,3",
            "90.5,5.5,3",
        ),
        None,
        refusal=("first line", "'weight'"),
    ),
    Case(
        "a file of Weka",
        csv("@relation shop", "@attribute x numeric", "@data", "1.5,red", "2.5,blue"),
        None,
        ("TABLE",),
    ),
    Case(
        "an old code page of Russia",
        "город;x\nМосква;1.5\nТверь;2.5\nМосква;3.5\n".encode("cp1251"),
        None,
        refusal=("not in utf-8", "CSV UTF-8"),
    ),
]
NUMBERS = [
    Case(
        "yen with their sign behind",
        beside("a", "1,234円", "980円", "12,000円", "5円"),
        read_as(number, 1234, 980, 12000, 5),
    ),
    Case(
        "negative percentages in brackets",
        beside("a", "(5.0%)", "12.5%", "(0.5%)", "3%"),
        read_as(number, -5, 12.5, -0.5, 3),
    ),
    Case(
        "degrees with a true minus sign",
        beside("a", "21.5°C", "−3.0°C", "0°C", "12.25°C"),
        read_as(number, 21.5, -3, 0, 12.25),
    ),
    Case(
        "the size of flats",
        beside("a", "3 Zimmer", "4.5 Zimmer", "2 Zimmer", "1 Zimmer"),
        read_as(number, 3, 4.5, 2, 1),
    ),
    Case(
        "one star and several",
        beside("a", "5 stars", "1 star", "4 stars", "3 stars", "1 star", "2 stars"),
        read_as(number, 5, 1, 4, 3, 1, 2),
        refusal=("'a'", "'1 star'"),
    ),
    Case(
        "one day and several",
        beside("a", "1 day", "3 days", "14 days", "1 day", "2 days", "7 days"),
        read_as(number, 1, 3, 14, 1, 2, 7),
        refusal=("'a'", "'1 day'"),
    ),
    Case(
        "currencies as words before the number",
        beside("a", "EUR 1.234,50", "EUR 20,00", "EUR 7,5", "EUR 3"),
        read_as(number, 1234.5, 20, 7.5, 3),
    ),
    Case(
        "places in a race",
        beside("a", "1st", "2nd", "3rd", "1st", "2nd", "4th"),
        read_as(number, 1, 2, 3, 1, 2, 4),
        refusal=("'a'", "'1st'"),
    ),
    Case(
        "latitudes north and south",
        beside("a", "52.5 N", "33.9 S", "40.7 N", "33.9 S", "52.5 N", "40.7 N"),
        read_as(words, "52.5 N", "33.9 S", "40.7 N", "33.9 S", "52.5 N", "40.7 N"),
        refusal=("'a'", "'33.9 S'"),
    ),
    Case(
        "points of as many",
        beside("a", "3/5", "7/10", "4/5", "3/5", "7/10", "4/5"),
        read_as(words, "3/5", "7/10", "4/5", "3/5", "7/10", "4/5"),
        ("'a'",),
    ),
    Case(
        "addresses of computers",
        beside("a", "192.168.0.1", "10.0.0.7", "192.168.0.1", "10.0.0.7"),
        read_as(words, "192.168.0.1", "10.0.0.7", "192.168.0.1", "10.0.0.7"),
    ),
    Case(
        "versions of a program",
        beside("a", "1.10.2", "1.9.0", "1.10.2", "1.9.0"),
        read_as(words, "1.10.2", "1.9.0", "1.10.2", "1.9.0"),
    ),
    Case(
        "numbers of telephones",
        beside("a", "+49 30 123", "+49 89 456", "+49 30 123", "+49 89 456"),
        read_as(words, "+49 30 123", "+49 89 456", "+49 30 123", "+49 89 456"),
    ),
    Case(
        "text that a spreadsheet keeps as it is",
        beside("a", "'007", "'042", "'007", "'042"),
        read_as(words, "'007", "'042", "'007", "'042"),
    ),
    Case(
        "scores of matches",
        beside("a", "2:1", "0:0", "2:1", "3:2"),
        read_as(words, "2:1", "0:0", "2:1", "3:2"),
        ("'a'",),
    ),
    Case(
        "bases and hexadecimal numbers",
        beside("a", "0x1F", "0xA0", "0x1F", "0xA0"),
        read_as(words, "0x1F", "0xA0", "0x1F", "0xA0"),
    ),
]
DATES = [
    Case(
        "days of a German letter",
        beside("a", "31.01.24", "01.02.24", "15.02.24", "28.02.24"),
        None,
        refusal=("'a'", "'31.01.24'", "two digits"),
    ),
    Case(
        "times to the millisecond",
        beside("a", "12:30:45.500", "00:00:01.250", "23:59:59.000", "06:00:00.000"),
        read_as(date, "12:30:45.5", "00:00:01.25", "23:59:59", "06:00"),
    ),
    Case(
        "days of the week",
        beside("a", "Mon", "Tue", "Mon", "Sun"),
        read_as(words, "Mon", "Tue", "Mon", "Sun"),
    ),
    Case(
        "quarters",
        beside("a", "2024-Q1", "2024-Q2", "2024-Q1", "2023-Q4"),
        read_as(words, "2024-Q1", "2024-Q2", "2024-Q1", "2023-Q4"),
    ),
]
CASES = [*EXPORTS, *NUMBERS, *DATES]
