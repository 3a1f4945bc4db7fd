"""Spellings that differ, totals among the rows, and notes, signs and serial dates that spoil columns of numbers."""

from tests.messy.case import Case, boolean, date, number, words


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
        classes=("Graz", "Wien"),
        options=("city=ignore-case",),
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
        "yes and no of three programs",
        beside("true", "0", "wahr", "falsch", "1", "false", "TRUE"),
        read_as(boolean, True, False, True, False, True, False, True),
    ),
    Case(
        "yes and no of two languages",
        beside("ja", "no", "Yes", "Nein", "JA", "yes"),
        read_as(boolean, True, False, True, False, True, True),
    ),
    Case(
        "winds, not answers",
        beside("NO", "NE", "SO", "NO", "NE"),
        read_as(words, "NO", "NE", "SO", "NO", "NE"),
    ),
]
TOTALS = [
    Case(
        "subtotals and a total in a German file",
        csv(
            "Tiefe;Filiale;kg",
            "7;A;1,5",
            "3;B;2",
            "Zwischensumme;;3,5",
            "8;A;4",
            "5;B;6",
            "Zwischensumme;;10",
            "Gesamt;;13,5",
        ),
        {
            "Tiefe": number(7, 3, 8, 5),
            "Filiale": words("A", "B", "A", "B"),
            "kg": number(1.5, 2, 4, 6),
        },
    ),
    Case(
        "running subtotals in French",
        csv(
            "zone;kg;t",
            "nord;1,5;1",
            "sud;2;3",
            "Sous-total;3,5;4",
            "nord;4;3",
            "sud;6;5",
            "Sous-total;13,5;12",
        ),
        {
            "zone": words("nord", "sud", "nord", "sud"),
            "kg": number(1.5, 2, 4, 6),
            "t": number(1, 3, 3, 5),
        },
    ),
    Case(
        "a pivot table of German Excel",
        csv(
            "Ort;kg;t",
            "Nord;1,5;2",
            "Nord;2;3",
            "Nord Ergebnis;3,5;5",
            "Süd;4;1",
            "Süd;6;9",
            "Süd Ergebnis;10;10",
        )
        + csv("Gesamtergebnis;13,5;15"),
        {
            "Ort": words("Nord", "Nord", "Süd", "Süd"),
            "kg": number(1.5, 2, 4, 6),
            "t": number(2, 3, 1, 9),
        },
    ),
    Case(
        "a company whose name begins as a total does",
        csv(
            "firm,kg,t",
            "Total Energies,5,1.5",
            "Shell,1,3",
            "Aral,1.5,1",
            "Shell,1,3",
            "Aral,1.5,1",
        ),
        {
            "firm": words("Total Energies", "Shell", "Aral", "Shell", "Aral"),
            "kg": number(5, 1, 1.5, 1, 1.5),
            "t": number(1.5, 3, 1, 3, 1),
        },
    ),
    Case(
        "empty rows called subtotal",
        csv(
            "shop,kg",
            "a,1.5",
            "b,2",
            "Subtotal north,",
            "a,4",
            "b,6",
            "Subtotal south,",
        ),
        {"shop": words("a", "b", "a", "b"), "kg": number(1.5, 2, 4, 6)},
    ),
    Case(
        "a total above the rows",
        csv(
            "zona,kg,t",
            "Totale,13.5,12",
            "nord,1.5,1",
            "sud,2,3",
            "nord,4,3",
            "sud,6,5",
        ),
        {
            "zona": words("nord", "sud", "nord", "sud"),
            "kg": number(1.5, 2, 4, 6),
            "t": number(1, 3, 3, 5),
        },
    ),
    Case(
        "groups with their totals in Dutch",
        csv(
            "regio,kg",
            "noord,1.5",
            "zuid,2",
            "Totaal,3.5",
            "noord,4",
            "zuid,6",
            "Totaal,10",
        ),
        {"regio": words("noord", "zuid", "noord", "zuid"), "kg": number(1.5, 2, 4, 6)},
    ),
    Case(
        "amounts that only their total shows to be thousands",
        csv(
            "Ort;Umsatz", "A;900.500 €", "B;1.250 €", "A;800.250 €", "Summe;1.702.000 €"
        ),
        {"Ort": words("A", "B", "A"), "Umsatz": number(900500, 1250, 800250)},
    ),
    Case(
        "subtotals that the second column names",
        csv(
            "zone,fruit,kg,t",
            "north,fig,1.5,1",
            "north,kiwi,2,3",
            "north,Subtotal,3.5,4",
            "south,fig,4,3",
        )
        + csv("south,kiwi,6,5", "south,Subtotal,10,8", ",Grand Total,13.5,12"),
        {
            "zone": words("north", "north", "south", "south"),
            "fruit": words("fig", "kiwi", "fig", "kiwi"),
            "kg": number(1.5, 2, 4, 6),
            "t": number(1, 3, 3, 5),
        },
    ),
    Case(
        "a brand that is called Total",
        csv(
            "town,brand,kg",
            "Ulm,Total,1.5",
            "Bonn,Shell,2",
            "Ulm,Aral,4",
            "Bonn,Total,6",
            "Ulm,Shell,7",
        ),
        {
            "town": words("Ulm", "Bonn", "Ulm", "Bonn", "Ulm"),
            "brand": words("Total", "Shell", "Aral", "Total", "Shell"),
            "kg": number(1.5, 2, 4, 6, 7),
        },
    ),
    Case(
        "a mean below the rows",
        csv(
            "Filiale;kg;t",
            "A;1,5;1",
            "B;2,5;3",
            "A;4;5",
            "B;6;2",
            "A;7;9",
            "Durchschnitt;4,2;4",
        ),
        {
            "Filiale": words("A", "B", "A", "B", "A"),
            "kg": number(1.5, 2.5, 4, 6, 7),
            "t": number(1, 3, 5, 2, 9),
        },
    ),
    Case(
        "a block of statistics, of which one is of other rows",
        csv(
            "shop,kg",
            "a,1.5",
            "b,2.5",
            "a,4",
            "b,6",
            "a,7",
            "Mean,4.2",
            "SD,1.1",
            "Min,1.5",
            "Max,7",
            "N,5",
        ),
        {"shop": words("a", "b", "a", "b", "a"), "kg": number(1.5, 2.5, 4, 6, 7)},
    ),
    Case(
        "winds and people with names of statistics",
        csv("name,kg", "N,1.5", "Max,2.5", "N,4", "Max,6", "Mia,7"),
        {"name": words("N", "Max", "N", "Max", "Mia"), "kg": number(1.5, 2.5, 4, 6, 7)},
    ),
]
NUMBERS = [
    Case(
        "notes behind units",
        beside("12.2 s ¹", "9.5 s", "10.1 s*", "8.8 s[1]", "9.9 s †", "7.0 s"),
        read_as(number, 12.2, 9.5, 10.1, 8.8, 9.9, 7),
    ),
    Case(
        "square metres are not notes",
        beside("343 m²", "20 m²", "7.5 m²", "9 m²"),
        read_as(number, 343, 20, 7.5, 9),
    ),
    Case(
        "years after an apostrophe",
        beside("'80", "'70", "'82", "'79"),
        read_as(number, 80, 70, 82, 79),
    ),
    Case(
        "about",
        beside("ca. 3358", "~1200", "815", "≈ 90"),
        read_as(number, 3358, 1200, 815, 90),
    ),
]
DATES = [
    Case(
        "hours and minutes",
        beside("2h24", "0h45", "11h05", "3h00"),
        read_as(date, "2:24", "0:45", "11:05", "3:00"),
    ),
    Case(
        "days as a spreadsheet counts them among dates",
        beside(
            "16/02/2018", "43150", "05/03/2018", "25/12/2017", "43160.5", "01/02/2018"
        ),
        read_as(
            date,
            "2018-02-16",
            "2018-02-19",
            "2018-03-05",
            "2017-12-25",
            "2018-03-01T12:00",
            "2018-02-01",
        ),
    ),
    Case(
        "days that a spreadsheet may have exchanged with months",
        beside(
            "16/02/2018", "43150", "25/03/2018", "25/12/2017", "43160", "13/02/2018"
        ),
        None,
        ("'a'", "exchanged"),
    ),
]
CASES = [*CLASSES, *CATEGORIES, *TOTALS, *NUMBERS, *DATES]
