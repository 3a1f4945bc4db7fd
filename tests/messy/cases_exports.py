"""Exports of other programs and countries, written without knowledge of the reader: SAP, Stata, R, Excel, Eurostat."""

from tests.messy.case import Case, date, dropped, number, words

PLACES = words("Nord", "Süd", "Ost", "Nord", "Süd", "Ost")
WEIGHTS = number(3373.24, 1122.38, 1042.2, 779.22, 5912.79, 3030.3)


def lines(*rows: str, end: str = "\n") -> bytes:
    return "".join(row + end for row in rows).encode()


def beside(values: list[str], separator: str = ",", header: str = "place{}x") -> bytes:
    """Return a file of places and one more column."""
    names = ["Nord", "Süd", "Ost", "Nord", "Süd", "Ost"]
    rows = (
        f"{name}{separator}{value}" for name, value in zip(names, values, strict=True)
    )
    return lines(header.format(separator), *rows)


CASES = [
    Case(
        "two rows of names, the upper one merged",
        lines(
            "Region;2020;;2021;",
            ";Umsatz;Quote;Umsatz;Quote",
            "N;3.373,24;64,8;3.378,24;1,5",
            "S;1.122,38;90,2;1.127,38;2,5",
            "N;779,22;24,6;784,22;7,25",
            "S;5.912,79;93,9;5.917,79;3,5",
        ),
        None,
        refusal=("first line", "'Region'", "column 3"),
    ),
    Case(
        "two rows of names, the upper one repeated",
        lines("k,k,m,m", "mean,sd,mean,sd", "1.5,2,3,4.5", "2.5,3,1,2", "7,8,9,2.5"),
        None,
        refusal=("first line", "'k'"),
    ),
    Case(
        "a name that is lacking, above words and numbers",
        lines("town,,x,y", "Bonn,a,1.5,2", "Ulm,b,2.5,3", "Bonn,a,7,8", "Ulm,b,1,9"),
        None,
        refusal=("first line", "'town'", "column 2"),
    ),
    Case(
        "merged cells at the left",
        lines("region,w", "Nord,3.5", ",2.5", "Süd,7.25", ",1", ",4.5", "Ost,9", ",2"),
        {"region": dropped(), "w": number(3.5, 2.5, 7.25, 1, 4.5, 9, 2)},
    ),
    Case(
        "accounting: brackets behind the currency, and a dash for 0",
        beside(
            [
                '"$ 1,790.00"',
                '"$ (280.00)"',
                "$ -",
                '"$ 12.50"',
                '"$ (3,020.00)"',
                '"$ 7.00"',
            ]
        ),
        None,
        refusal=("'x'", "'$ -'"),
    ),
    Case(
        "flags of Eurostat behind the numbers",
        beside(
            ["3373.24 ", "1122.38 e", "1042.2 p", "779.22 b", "5912.79 ", "3030.3 e"],
            "\t",
        ),
        None,
        file="export.tsv",
        refusal=("'x'", "'1122.38 e'"),
    ),
    Case(
        "debit and credit behind the amounts",
        beside(
            [
                '"3,373.24 CR"',
                '"1,122.38 DR"',
                "1042.20 CR",
                "779.22 DR",
                "5912.79 CR",
                "3030.30 DR",
            ]
        ),
        None,
        refusal=("'x'", "DR", "CR"),
    ),
    Case(
        "the letters of north and south",
        lines("side,x", "N,1.5", "S,2.5", "N,7", "S,1.25"),
        {"side": words("N", "S", "N", "S"), "x": number(1.5, 2.5, 7, 1.25)},
    ),
    Case(
        "words for missing values below a name that is lacking",
        lines("k,,m", "unknown,7,unknown", "2.5,3,1", "7,8,9", "1,4,2"),
        None,
        refusal=("first line", "column 2"),
    ),
    Case(
        "hours before and after noon",
        beside(["10 am", "11 pm", "7 am", "1 pm", "10 am", "2 pm"]),
        {
            "place": PLACES,
            "x": words("10 am", "11 pm", "7 am", "1 pm", "10 am", "2 pm"),
        },
        refusal=("'x'", "am", "pm"),
    ),
    Case(
        "numbers of houses with letters",
        beside(["12 a", "12 b", "7", "7", "12 a", "9 c"]),
        {"place": PLACES, "x": words("12 a", "12 b", "7", "7", "12 a", "9 c")},
        refusal=("'x'", "'12 a'"),
    ),
    Case(
        "numbers of houses, few of them alike",
        beside(["12 a", "12 b", "7", "30", "12 a", "9 c"], ";", "place{}Hausnummer"),
        None,
        refusal=("'Hausnummer'", "'12 a'", "--read Hausnummer=words"),
    ),
    Case(
        "dates of two kinds beside each other",
        lines(
            "booked;paid;sold;time",
            "2022-07-03;3.7.2022;7/3/2022;12:30",
            "2021-02-08;18.2.2021;2/18/2021;9:05",
            "2020-01-02;NA;;",
            "2022-03-11;11.3.2022;3/11/2022;23:59",
        ),
        {
            "booked": date("2022-07-03", "2021-02-08", "2020-01-02", "2022-03-11"),
            "paid": date("2022-07-03", "2021-02-18", None, "2022-03-11"),
            "sold": date("2022-07-03", "2021-02-18", None, "2022-03-11"),
            "time": date("12:30", "09:05", None, "23:59"),
        },
    ),
    Case(
        "thin spaces between thousands and before the percent sign",
        beside(
            [
                "3\u202f373,24 %",
                "1\u202f122,38\u202f%",
                "1\u2009042,2 %",
                "779,22 %",
                "5\u00a0912,79\u00a0%",
                "3\u202f030,3 %",
            ],
            ";",
        ),
        {"place": PLACES, "x": WEIGHTS},
    ),
    Case(
        "minus signs and dashes of typesetters",
        beside(["−3.5", "–2.5", "7", "1.25", "−0.5", "9"]),
        {"place": PLACES, "x": number(-3.5, -2.5, 7, 1.25, -0.5, 9)},
    ),
    Case(
        "Swiss apostrophes, straight and curly",
        beside(
            [
                "CHF 3'373.24",
                "CHF 1’122.38",
                "CHF 1'042.20",
                "CHF 779.22",
                "CHF 5’912.79",
                "CHF 3'030.30",
            ],
            ";",
        ),
        {"place": PLACES, "x": WEIGHTS},
    ),
    Case(
        "German thousands of which some are below 1,000",
        beside(["3.373", "1.122", "142", "779", "5.912.790", "3.030"], ";"),
        {"place": PLACES, "x": number(3373, 1122, 142, 779, 5_912_790, 3030)},
    ),
    Case(
        "Windows line ends, a byte order mark, and line ends in names",
        "\ufeff".encode()
        + lines('"Ort ""A"""', '"x; y"', '"x; y"', '"a ""b"""', '"x; y"', end="\r\n"),
        {'Ort "A"': words("x; y", "x; y", 'a "b"', "x; y")},
    ),
]
