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
        "SAP: tabs, thousands points and minus signs behind the numbers",
        lines(
            "Werk\tGewicht\tTemp",
            "N\t3.373,24\t7,9-",
            "S\t1.122,38\t20,2",
            "N\t1.042,20\t2,8-",
            "S\t779,22\t12,1",
        ),
        {
            "Werk": words("N", "S", "N", "S"),
            "Gewicht": number(3373.24, 1122.38, 1042.2, 779.22),
            "Temp": number(-7.9, 20.2, -2.8, 12.1),
        },
        file="export.txt",
    ),
    Case(
        "SAP: dates of which some are not set",
        beside(
            ["20220703", "00000000", "20210208", "20220311", "00000000", "20211130"],
            ";",
        ),
        {
            "place": PLACES,
            "x": date(
                "2022-07-03", None, "2021-02-08", "2022-03-11", None, "2021-11-30"
            ),
        },
    ),
    Case(
        "SAP: a list with bars and a title",
        lines(
            "Tabelle:  ZMARA",
            "",
            "-" * 25,
            "|Werk |   Gewicht|",
            "-" * 25,
            "|Nord |  3.373,24|",
            "|Süd  |  1.122,38|",
            "|Nord |    779,22|",
            "|Süd  |  5.912,79|",
            "-" * 25,
        ),
        {
            "Werk": words("Nord", "Süd", "Nord", "Süd"),
            "Gewicht": number(3373.24, 1122.38, 779.22, 5912.79),
        },
        file="list.txt",
    ),
    Case(
        "valid until 9999 in a data base",
        beside(
            [
                "2022-07-03",
                "9999-12-31",
                "2021-02-08",
                "9999-12-31",
                "2022-03-11",
                "2021-11-30",
            ]
        ),
        {
            "place": PLACES,
            "x": date(
                "2022-07-03", None, "2021-02-08", None, "2022-03-11", "2021-11-30"
            ),
        },
    ),
    Case(
        "Stata: dates by name and extended missing values",
        beside(["03jul2022", ".a", "08feb2021", ".", "11mar2022", "30nov2021"]),
        {
            "place": PLACES,
            "x": date(
                "2022-07-03", None, "2021-02-08", None, "2022-03-11", "2021-11-30"
            ),
        },
        refusal=("x",),
    ),
    Case(
        "R: write.table with its defaults",
        lines(
            '"region" "w"',
            '"1" "Bad Tölz" 3.5',
            '"2" "Ulm" NA',
            '"3" "Bad Tölz" 1.25',
            '"4" "Ulm" -7',
        ),
        {
            "row name": dropped(),
            "region": words("Bad Tölz", "Ulm", "Bad Tölz", "Ulm"),
            "w": number(3.5, None, 1.25, -7),
        },
        file="table.txt",
    ),
    Case(
        "R: write.table without quotation marks",
        lines("region w", "a Ulm 3.5", "b Bonn NA", "c Ulm 1.25", "d Bonn -7"),
        {
            "row name": dropped(),
            "region": words("Ulm", "Bonn", "Ulm", "Bonn"),
            "w": number(3.5, None, 1.25, -7),
        },
        file="table.txt",
    ),
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
        {
            "Region": words("N", "S", "N", "S"),
            "2020 Umsatz": number(3373.24, 1122.38, 779.22, 5912.79),
            "2020 Quote": number(64.8, 90.2, 24.6, 93.9),
            "2021 Umsatz": number(3378.24, 1127.38, 784.22, 5917.79),
            "2021 Quote": number(1.5, 2.5, 7.25, 3.5),
        },
    ),
    Case(
        "two rows of names, the upper one repeated",
        lines("k,k,m,m", "mean,sd,mean,sd", "1.5,2,3,4.5", "2.5,3,1,2", "7,8,9,2.5"),
        {
            "k mean": number(1.5, 2.5, 7),
            "k sd": number(2, 3, 8),
            "m mean": number(3, 1, 9),
            "m sd": number(4.5, 2, 2.5),
        },
    ),
    Case(
        "a name that is lacking, above words and numbers",
        lines("town,,x,y", "Bonn,a,1.5,2", "Ulm,b,2.5,3", "Bonn,a,7,8", "Ulm,b,1,9"),
        {
            "town": words("Bonn", "Ulm", "Bonn", "Ulm"),
            "column 2": words("a", "b", "a", "b"),
            "x": number(1.5, 2.5, 7, 1),
            "y": number(2, 3, 8, 9),
        },
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
        {"place": PLACES, "x": number(1790, -280, 0, 12.5, -3020, 7)},
    ),
    Case(
        "stars and brackets of footnotes",
        beside(
            ["3373.24", "1122.38*", "1042.2[1]", "779.22", "5912.79 [2]", "3030.3†"]
        ),
        {"place": PLACES, "x": WEIGHTS},
    ),
    Case(
        "flags of Eurostat behind the numbers",
        beside(
            ["3373.24 ", "1122.38 e", "1042.2 p", "779.22 b", "5912.79 ", "3030.3 e"],
            "\t",
        ),
        None,
        refusal=("'x'", "'1122.38 e' in data row 2", "--drop x"),
        file="export.tsv",
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
        refusal=("'x'", "'3,373.24 CR' in data row 1", "--drop x"),
    ),
    Case(
        "the letters of north and south",
        lines("side,x", "N,1.5", "S,2.5", "N,7", "S,1.25"),
        {"side": words("N", "S", "N", "S"), "x": number(1.5, 2.5, 7, 1.25)},
    ),
    Case(
        "words for missing values below a name that is lacking",
        lines("k,,m", "unknown,7,unknown", "2.5,3,1", "7,8,9", "1,4,2"),
        {
            "k": number(None, 2.5, 7, 1),
            "column 2": number(7, 3, 8, 4),
            "m": number(None, 1, 9, 2),
        },
        refusal=("k",),
    ),
    Case(
        "hours before and after noon",
        beside(["10 am", "11 pm", "7 am", "1 pm", "10 am", "2 pm"]),
        {
            "place": PLACES,
            "x": words("10 am", "11 pm", "7 am", "1 pm", "10 am", "2 pm"),
        },
        refusal=("x",),
    ),
    Case(
        "numbers of houses with letters",
        beside(["12 a", "12 b", "7", "7", "12 a", "9 c"]),
        {"place": PLACES, "x": words("12 a", "12 b", "7", "7", "12 a", "9 c")},
        refusal=("x",),
    ),
    Case(
        "numbers of houses, few of them alike",
        beside(["12 a", "12 b", "7", "30", "12 a", "9 c"], ";", "place{}Hausnummer"),
        {
            "place": PLACES,
            "Hausnummer": words("12 a", "12 b", "7", "30", "12 a", "9 c"),
        },
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
        "ratings with stars",
        beside(["4*", "5*", "3*", "4*", "5*", "1*"]),
        {"place": PLACES, "x": number(4, 5, 3, 4, 5, 1)},
    ),
    Case(
        "months in French",
        beside(
            [
                "03 juil. 2022",
                "8 février 2021",
                "11 juin 2022",
                "1er août 2021",
                "30 déc. 2021",
                "2 mai 2022",
            ],
            ";",
        ),
        {
            "place": PLACES,
            "x": date(
                "2022-07-03",
                "2021-02-08",
                "2022-06-11",
                "2021-08-01",
                "2021-12-30",
                "2022-05-02",
            ),
        },
    ),
    Case(
        "months in Spanish, with de",
        beside(
            ["3 de julio de 2022", "8 de febrero de 2021", "11 de enero de 2022"] * 2,
            ";",
        ),
        {"place": PLACES, "x": date(*["2022-07-03", "2021-02-08", "2022-01-11"] * 2)},
    ),
    Case(
        "months in Portuguese, Italian and Dutch",
        lines(
            "a;b;c",
            "3 out 2022;3 luglio 2022;3 maart 2022",
            "8 fev 2021;8 giugno 2021;8 mei 2021",
            "1 dez 2021;1 gen 2021;1 okt 2021",
        ),
        {
            "a": date("2022-10-03", "2021-02-08", "2021-12-01"),
            "b": date("2022-07-03", "2021-06-08", "2021-01-01"),
            "c": date("2022-03-03", "2021-05-08", "2021-10-01"),
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
    Case(
        "a total and a source below the rows",
        lines(
            "Ort;Umsatz;Quote",
            *("N;3.373,24;1,5", "S;1.122,38;2,5", "N;779,22;7,5", "S;5.912,79;1,25"),
            *(
                "Summe;11.187,63;12,75",
                ";;",
                "Quelle: Amt für Statistik, Stand 01.02.2022",
            ),
        ),
        {
            "Ort": words("N", "S", "N", "S"),
            "Umsatz": number(3373.24, 1122.38, 779.22, 5912.79),
            "Quote": number(1.5, 2.5, 7.5, 1.25),
        },
    ),
]
