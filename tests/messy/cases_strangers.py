"""Files of an analyst who had not seen the reader: codes that look like numbers, totals of any name, dates, quotes."""

import statistics

from tests.messy.case import Case, date, dropped, number, words
from tests.messy.cases_analyst import csv

N = range(12)
X = [round(1.5 + 0.7 * (5 * i % 12) + i / 100, 2) for i in N]
XS = number(*X)


def column(name: str, *cells: str, separator: str = ",") -> bytes:
    """Return a column of twelve cells, which repeat, beside one of numbers."""
    return csv(
        f"{name}{separator}x", *(f"{cells[i % len(cells)]}{separator}{X[i]}" for i in N)
    )


def repeated(kind, *values):
    """Return twelve values, which repeat, beside numbers."""
    return {"a": kind(*(values[i % len(values)] for i in N)), "x": XS}


def total(*cells: str) -> bytes:
    """Return two columns of numbers behind names, with one more row."""
    rows = [f"p{i % 5},{X[i]},{10 * X[i] + 1:.1f}" for i in N]
    return csv("name,a,x", *rows, ",".join(cells))


DEVIATION = statistics.stdev(X)
SUMS = f"{sum(X):.2f}", f"{sum(10 * x + 1 for x in X):.1f}"
WITHOUT_TOTAL = {
    "name": words(*(f"p{i % 5}" for i in N)),
    "a": XS,
    "x": number(*(round(10 * x + 1, 1) for x in X)),
}

CASES = [
    # Codes
    *(
        Case(what, column("a", *cells), repeated(words, *cells))
        for what, cells in {
            "addresses of a network": (
                "192.168.100.101",
                "192.168.101.103",
                "192.168.102.105",
            ),
            "telephone numbers in groups": (
                "612 345 678",
                "699 123 456",
                "911 222 333",
            ),
            "versions of firmware": ("1.002.003", "1.010.000", "1.002.004"),
            "articles with an E among digits": ("1E5", "2E3", "12E4"),
            "mean and deviation in one cell": ("8.7 (2.9)", "6.5 (2.2)", "15.2 (5.1)"),
            "debit and credit by a letter": (
                "100,50 S".replace(",", "."),
                "117.50 H",
                "134.50 H",
            ),
        }.items()
    ),
    Case(
        "integers beyond 2^53 that repeat",
        column("a", "9007199254740992", "9007199254740993", "9007199254740994"),
        repeated(words, "9007199254740992", "9007199254740993", "9007199254740994"),
    ),
    Case(
        "temperatures of which some say kelvin",
        column("a", "308.7", "306.5K", "310.2K"),
        None,
        ("a", "thousands"),
    ),
    Case(
        "ages with the letter of a sex",
        column("a", "56", "75M", "61", "49M"),
        None,
        ("a", "thousands"),
    ),
    Case(
        "seats of a theatre",
        column("a", "1B", "2K", "3M", "4K", "12B"),
        None,
        ("a", "thousands"),
    ),
    Case(
        "visitors, some of them in thousands",
        column("a", "950", "1.2k", "36", "12.5k"),
        repeated(number, 950, 1200, 36, 12500),
    ),
    # Units
    Case(
        "centimetres that some rows leave out",
        column("a", "36.5 cm", "38.7 cm", "41.2 cm", "39.9 cm", "38"),
        repeated(number, 36.5, 38.7, 41.2, 39.9, 38.0),
    ),
    Case(
        "centimetres beside metres without a unit",
        column("a", "36.5 cm", "38.7 cm", "41.2 cm", "39.9 cm", "0.38"),
        None,
        ("a", "no unit"),
    ),
    Case(
        "an age of 90 and more",
        column("a", "20", "27", "34", "61", "75", "90+"),
        None,
        ("a", "bounds"),
    ),
    Case(
        "bounds in words",
        column("a", "0.7", "1.2", "3.4", "under 0.5"),
        None,
        ("a", "bounds"),
    ),
    Case(
        "bounds with an entity",
        column("a", "0.7", "1.2", "3.4", "&lt;0.5"),
        None,
        ("a", "bounds"),
    ),
    Case(
        "square metres without a raised 2",
        column("a", "12 m2", "16.5 m2", "20 m2"),
        repeated(number, 12, 16.5, 20),
    ),
    Case(
        "cubic centimetres",
        column("a", "1 598 cm3", "1200 cm3", "998 cm3"),
        repeated(number, 1598, 1200, 998),
    ),
    Case(
        "classes of a school",
        column("a", "1A", "2A", "3A"),
        repeated(words, "1A", "2A", "3A"),
    ),
    Case(
        "a bound with a currency",
        column("a", "£1.5", "£2.5", "£7.0", ">£35"),
        None,
        ("a", "bounds"),
    ),
    Case(
        "amounts in whole thousands",
        csv("a,x", *(f'"${40 + 3 * i},{250 * (i % 4):03}",{X[i]}' for i in N)),
        {"a": number(*(1000 * (40 + 3 * i) + 250 * (i % 4) for i in N)), "x": XS},
    ),
    Case(
        "hours with minutes of one digit",
        column("a", "1h 43m", "1h 3m", "2h 05m"),
        repeated(date, "01:43", "01:03", "02:05"),
    ),
    # Digits and signs
    Case(
        "Arabic digits",
        column("a", "١٢٫٥", "٧", "٣٫٢٥"),
        repeated(number, 12.5, 7, 3.25),
    ),
    Case(
        "a minus that does not break",
        column("a", "\u20111.3", "2.5", "\u20113.5"),
        repeated(number, -1.3, 2.5, -3.5),
    ),
    Case(
        "NaN as Windows prints it",
        column("a", "1.5", "1.#QNAN", "2.5", "3.5"),
        repeated(number, 1.5, None, 2.5, 3.5),
    ),
    Case(
        "thousands between tabs",
        csv("a\tx", *(f"{1 + i % 3}.{100 + i}\t{3 * i % 7}" for i in N)),
        None,
        ("a", "two ways"),
    ),
    # Times and dates
    Case(
        "hours by Uhr",
        column("a", "9.23 Uhr", "10 Uhr", "7.05 Uhr"),
        repeated(date, "09:23", "10:00", "07:05"),
    ),
    Case(
        "minutes beside hours",
        column("a", "41:07", "1:02:03", "55:10"),
        None,
        ("a", "hours or with minutes"),
    ),
    Case("titres", column("a", "1:10", "1:20", "1:40"), None, ("a", "ratios")),
    Case(
        "one year of two digits first",
        column("a", "24-01-28", "24-02-03", "24-11-15", "24-12-22"),
        None,
        ("a", "year"),
    ),
    Case(
        "births of two digits",
        column("a", "01.01.30", "15.02.54", "07.08.98", "22.12.71"),
        None,
        ("a", "four digits"),
    ),
    Case(
        "dates that a spreadsheet exchanged",
        column(
            "a",
            "13/01/2024",
            "2024-02-09 00:00:00",
            "25/03/2024",
            "2024-07-11 00:00:00",
            "17/04/2024",
        ),
        None,
        ("a", "exchanged"),
    ),
    # Rows
    Case("totals without a name", total("", *SUMS), WITHOUT_TOTAL),
    *(
        Case(f"totals named {name}", total(name, *SUMS), WITHOUT_TOTAL)
        for name in (
            "Celkem",
            "Összesen",
            "합계",
            "Toplam",
            "Σύνολο",
            "Yhteensä",
            "Overall",
            "Alle Filialen",
            "∑",
            "---",
        )
    ),
    *(
        Case(
            f"statistics named {name}",
            total(name, f"{sum(X) / 12:.1f}", f"{sum(10 * x + 1 for x in X) / 12:.1f}"),
            WITHOUT_TOTAL,
        )
        for name in ("Średnia klasy", "Mittelwert", "平均値")
    ),
    Case(
        "a coefficient of variation among statistics",
        total(
            "CV %",
            f"{100 * DEVIATION / (sum(X) / 12):.1f}",
            f"{100 * 10 * DEVIATION / (10 * sum(X) / 12 + 1):.1f}",
        ),
        WITHOUT_TOTAL,
    ),
    Case(
        "subtotals by stars",
        csv(
            "shop,kunde,a,x",
            *(f"1000,k{i % 3},{X[i]},{10 + i}" for i in N[:6]),
            f"*,,{sum(X[:6]):.2f},{sum(range(10, 16))}",
            *(f"1000,k{i % 3},{X[i]},{10 + i}" for i in N[6:]),
            f"*,,{sum(X[6:]):.2f},{sum(range(16, 22))}",
            f"**,,{sum(X):.2f},{sum(range(10, 22))}",
        ),
        {
            "shop": dropped(),
            "kunde": words(*(f"k{i % 3}" for i in N)),
            "a": XS,
            "x": number(*(10 + i for i in N)),
        },
    ),
    # Files
    Case(
        "inches within quotation marks",
        csv(
            "item,x",
            *(f'"Monitor {20 + i % 3}"" LCD",{X[i]}'.replace('""', '"') for i in N),
        ),
        None,
        ("line 2", "double it"),
    ),
    Case(
        "two encodings",
        b"a,x\n" + "Köln,1\nBonn,2\n".encode() + "Köln,4\n".encode("cp1252"),
        None,
        ("line",),
    ),
    Case(
        "a row of units with a.u.",
        csv("t,a,x", "s,mbar,a.u.", *(f"{i / 2},{1000 + X[i]},{X[i]}" for i in N)),
        {
            "t": number(*(i / 2 for i in N)),
            "a": number(*(round(1000 + x, 2) for x in X)),
            "x": XS,
        },
    ),
    Case(
        "LabVIEW",
        csv(
            "LabVIEW Measurement\t",
            "Decimal_Separator\t,",
            "***End_of_Header***\t",
            "\t",
            "Samples\t12\t12\t",
            "***End_of_Header***\t\t\t",
            "t\ta\tx\tComment",
            *(
                f"{i / 10:.4f}\t{X[i]:.4f}\t{2 * X[i]:.4f}\t".replace(".", ",")
                for i in N
            ),
        ),
        {
            "t": number(*(i / 10 for i in N)),
            "a": XS,
            "x": number(*(round(2 * x, 4) for x in X)),
            "Comment": dropped(),
        },
    ),
]
