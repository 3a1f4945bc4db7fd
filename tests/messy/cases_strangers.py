"""Files of an analyst who had not seen the reader: codes that look like numbers, units, dates, quotes."""

from tests.messy.case import Case, number, words
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
            "articles with an E among digits": ("1E5", "2E3", "12E4"),
            "mean and deviation in one cell": ("8.7 (2.9)", "6.5 (2.2)", "15.2 (5.1)"),
        }.items()
    ),
    Case(
        "integers beyond 2^53 that repeat",
        column("a", "9007199254740992", "9007199254740993", "9007199254740994"),
        repeated(words, "9007199254740992", "9007199254740993", "9007199254740994"),
    ),
    Case(
        "visitors, some of them in thousands",
        column("a", "950", "1.2k", "36", "12.5k"),
        None,
        refusal=("'a'", "'1.2k'"),
    ),
    *(
        Case(what, column("a", *cells), None, refusal=("'a'", *answers))
        for what, cells, answers in (
            ("titres", ("1:10", "1:20", "1:50", "neg"), ("'1:10'", "--read a=words")),
            ("teachers and pupils", ("1:15", "1:18"), ("'1:15'", "--read a=dates")),
            ("seasons", ("2003-04", "2004-05", "2011-12"), ("--read a=words",)),
            ("months without a hyphen", ("202312", "202401"), ("--read a=numbers",)),
        )
    ),
    Case(
        "fiscal years",
        column("a", "2021/22", "2022/23"),
        repeated(words, "2021/22", "2022/23"),
    ),
    Case(
        "lakhs and crores",
        column("a", '"₹12,34,567.50"', '"₹45,300"', '"₹2,00,00,000"', "₹7"),
        repeated(number, 1_234_567.5, 45_300, 20_000_000, 7),
    ),
    # Units
    Case(
        "centimetres that some rows leave out",
        column("a", "36.5 cm", "38.7 cm", "41.2 cm", "39.9 cm", "38"),
        None,
        refusal=("'a'", "cm", "'38'"),
    ),
    Case(
        "centimetres beside metres without a unit",
        column("a", "36.5 cm", "38.7 cm", "41.2 cm", "39.9 cm", "0.38"),
        None,
        refusal=("'a'", "cm", "'0.38'"),
    ),
    Case(
        "an age of 90 and more",
        column("a", "20", "27", "34", "61", "75", "90+"),
        None,
        refusal=("'a'", "'90+'"),
    ),
    Case(
        "amounts in whole thousands",
        csv("a,x", *(f'"${40 + 3 * i},{250 * (i % 4):03}",{X[i]}' for i in N)),
        {"a": number(*(1000 * (40 + 3 * i) + 250 * (i % 4) for i in N)), "x": XS},
    ),
    # Digits and signs
    Case(
        "thousands between tabs",
        csv("a\tx", *(f"{1 + i % 3}.{100 + i}\t{3 * i % 7}" for i in N)),
        None,
        refusal=("'a'", "--read a=decimal-point", "--read a=decimal-comma"),
    ),
    # Times and dates
    Case(
        "one year of two digits first",
        column("a", "24-01-28", "24-02-03", "24-11-15", "24-12-22"),
        None,
        refusal=("'a'", "'24-01-28'", "two digits"),
    ),
    Case(
        "births of two digits",
        column("a", "01.01.30", "15.02.54", "07.08.98", "22.12.71"),
        None,
        refusal=("'a'", "'01.01.30'", "two digits"),
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
        refusal=("'a'", "'2024-02-09 00:00:00'"),
    ),
    *(
        Case(
            f"months as a person writes them, such as {cells[0]}",
            column("a", *cells),
            repeated(words, *cells),
        )
        for cells in (
            ("Jan-24", "Feb-24", "Mar-24"),
            ("02/2024", "03/2024", "11/2023"),
            ("Feb 2024", "Mar 2024", "Nov 2023"),
        )
    ),
    Case(
        "dotted dates beside slashed ones that can be read in two ways",
        csv("a;b", *(f"1{i % 9}.02.2024;03/0{1 + i % 6}/2024" for i in N)),
        None,
        refusal=("'b'", "--read b=day-first", "--read b=month-first"),
    ),
    Case(
        "half of the cells are numbers",
        column("a", "12", "west", "7", "east"),
        repeated(words, "12", "west", "7", "east"),
    ),
    Case(
        "numbers in another unit, where words count as missing",
        column("a", "12 kg", "7 kg", "700 g", "none"),
        None,
        refusal=("'a'", "'700 g'"),
        options=("a=numbers",),
    ),
    # Files
    *(
        Case(
            f"letters in {page}, {'as the user says' if said else 'of which nothing is said'}",
            f"a,x\n{word},1.5\nBonn,2\n{word},4\nBonn,3\n".encode(page),
            {"a": words(word, "Bonn", word, "Bonn"), "x": number(1.5, 2, 4, 3)}
            if said
            else None,
            refusal=() if said else ("not in utf-8", "--encoding"),
            encoding=page if said else None,
        )
        for page, word in (
            ("cp1250", "Łódź"),
            ("cp1252", "Besançon à côté"),
            ("cp850", "Düren"),
        )
        for said in (True, False)
    ),
    Case(
        "inches within quotation marks",
        csv(
            "item,x",
            *(f'"Monitor {20 + i % 3}"" LCD",{X[i]}'.replace('""', '"') for i in N),
        ),
        None,
        refusal=("line 2", "quotation mark"),
    ),
    Case(
        "two encodings",
        b"a,x\n" + "Köln,1\nBonn,2\n".encode() + "Köln,4\n".encode("cp1252"),
        None,
        refusal=("not in utf-8", "--encoding"),
    ),
    Case(
        "a row of units with a.u.",
        csv("t,a,x", "s,mbar,a.u.", *(f"{i / 2},{1000 + X[i]},{X[i]}" for i in N)),
        None,
        refusal=("data row 1 is unlike the others", "'s' in 't'", "'mbar'", "delete"),
    ),
    Case(
        "numbers of SAP with their minus behind, as numbers",
        column("a", "12.50", "377.50-", "7.25", "1.00"),
        None,
        refusal=("'a'", "'377.50-' in data row 2"),
        options=("a=numbers",),
    ),
    Case(
        "rupees grouped by two, as numbers",
        "a;x\n12.50;1.5\n₹5,65,163.42;5\n7.25;8.5\n1.00;2\n".encode(),
        None,
        refusal=("'a'", "'₹5,65,163.42' in data row 2"),
        options=("a=numbers",),
    ),
    Case(
        "digits of other scripts among ours",
        column("a", "12", "３４", "7", "5"),
        None,
        refusal=("'a'", "'３４' in data row 2"),
    ),
    Case(
        "digits of other scripts alone",
        column("a", "１２", "３４", "７", "１２"),
        repeated(words, "１２", "３４", "７", "１２"),
    ),
    Case(
        "some times with an offset",
        column(
            "a",
            "2024-01-01T10:00:00Z",
            "2024-01-02T10:00:00",
            "2024-01-03T10:00:00Z",
            "2024-01-04T10:00:00Z",
        ),
        None,
        refusal=("'a'", "'2024-01-02T10:00:00' in data row 2", "offset"),
    ),
]
