"""Files as spreadsheets, data bases and people write them."""

import gzip

from tests.messy.case import Case, boolean, date, dropped, number, words


def csv(*lines: str) -> bytes:
    """Return lines as UTF-8."""
    return ("\n".join(lines) + "\n").encode()


MISSING = [
    Case(
        "a stray word among numbers",
        csv("age,y", "31,1.5", "unknown,2.5", "54,3", "40,1", "29,2"),
        {"age": number(31, None, 54, 40, 29), "y": number(1.5, 2.5, 3, 1, 2)},
    ),
    Case(
        "spellings of missing numbers",
        csv(
            "x,g",
            "1.5,a",
            "NA,b",
            "n/a,a",
            "-,b",
            "#N/A,a",
            "?,b",
            "2.5,a",
            "NULL,b",
            ",a",
            "4,b",
        ),
        {
            "x": number(1.5, None, None, None, None, None, 2.5, None, None, 4),
            "g": words(*"ababababab"),
        },
    ),
    Case(
        "errors of a spreadsheet",
        csv("x,g", "1.5,a", "#DIV/0!,b", "#REF!,a", "2.5,b", "#VALUE!,a", "3,b"),
        {"x": number(1.5, None, None, 2.5, None, 3), "g": words(*"ababab")},
    ),
    Case(
        "a note in one of many cells",
        csv("weight", *(f"{50 + i}.5" for i in range(30)), "see page 3"),
        None,
        refusal=("'weight'", "'see page 3'", "--read weight=words"),
    ),
    Case(
        "one word for missing in half of the rows",
        csv("rate", *(f"{i}.25" for i in range(12)), *["not measured"] * 8),
        {"rate": number(*(i + 0.25 for i in range(12)), *[None] * 8)},
    ),
    Case(
        "numbers with a class of more",
        csv("children", *["0", "1", "2", "3+"] * 5),
        None,
        refusal=("'children'", "'3+'"),
    ),
    Case(
        "codes with a letter among digits",
        csv("grade", *["1", "2", "3", "X"] * 5),
        None,
        refusal=("'grade'", "'X'"),
    ),
    Case(
        "tickets that are numbers more often than not",
        csv(
            "ticket,x",
            *(
                f"{t},{i}.5"
                for i, t in enumerate(
                    ["113803", "A/5 21171", "373450", "17463", "PC 17599"] * 2
                )
            ),
        ),
        None,
        refusal=("'ticket'", "'A/5 21171'", "--read ticket=words"),
    ),
    Case(
        "infinite numbers",
        csv("x", "1.5", "inf", "-Infinity", "2.5", "0.5"),
        {"x": number(1.5, None, None, 2.5, 0.5)},
    ),
    Case(
        "a continent whose word is NA",
        csv("continent,x", "NA,1.5", "EU,2", "AS,1", "NA,4", "EU,2.5", "AS,3"),
        {
            "continent": words("NA", "EU", "AS", "NA", "EU", "AS"),
            "x": number(1.5, 2, 1, 4, 2.5, 3),
        },
        options=("continent=words",),
    ),
]

NUMBERS = [
    Case(
        "dollars with thousands",
        csv("price", '"$1,234.50"', "$3", "$9.95", '"-$1,000"', "$12"),
        {"price": number(1234.5, 3, 9.95, -1000, 12)},
    ),
    Case(
        "negative amounts in brackets",
        csv("profit", '"(1,200.00)"', "35.10", "(7.5)", '"2,000.00"'),
        {"profit": number(-1200, 35.1, -7.5, 2000)},
    ),
    Case(
        "percent signs",
        csv("rate", "12.3%", "5%", "100 %", "0.5%"),
        {"rate": number(12.3, 5, 100, 0.5)},
    ),
    Case(
        "percent signs in some rows only",
        csv("rate", "12.3%", "0.05", "100%", "0.5"),
        None,
        refusal=("'rate'", "%"),
    ),
    Case(
        "two currencies",
        csv("price", "$5", "€6.50", "$7", "€8.25"),
        None,
        refusal=("'price'", "$", "€"),
    ),
    Case(
        "euros behind the number",
        "preis;ort\n1.234,50 €;a\n3,00 €;b\n12,25 €;a\n7,5 €;b\n".encode(),
        {"preis": number(1234.5, 3, 12.25, 7.5), "ort": words("a", "b", "a", "b")},
    ),
    Case(
        "a German spreadsheet",
        "Größe;Straße;Wert\n1,5;Köln;1.234,5\n2,25;Bonn;2,0\n1,75;Köln;17\n2;Bonn;1.000.000\n".encode(
            "cp1252"
        ),
        {
            "Größe": number(1.5, 2.25, 1.75, 2),
            "Straße": words("Köln", "Bonn", "Köln", "Bonn"),
            "Wert": number(1234.5, 2, 17, 1_000_000),
        },
        encoding="cp1252",
    ),
    Case(
        "points for thousands where another column has decimal commas",
        csv("sold;price", "1.234;0,5", "2.500;1,25", "3.000;2,5", "1.750;3,75"),
        {"sold": number(1234, 2500, 3000, 1750), "price": number(0.5, 1.25, 2.5, 3.75)},
    ),
    Case(
        "commas for thousands or for decimals",
        csv("sold;g", "1,234;a", "2,500;b", "3,125;a", "1,750;b"),
        None,
        refusal=("'sold'", "1234", "1.234", "--read sold=decimal-comma"),
    ),
    Case(
        "commas for thousands or for decimals, with an answer",
        csv("sold;g", "1,234;a", "2,500;b", "3,125;a", "1,750;b"),
        {"sold": number(1.234, 2.5, 3.125, 1.75), "g": words(*"abab")},
        options=("sold=decimal-comma",),
    ),
    Case(
        "commas for thousands beside smaller numbers",
        csv("people,g", '"1,234",a', "950,b", '"12,500",a', '"1,234,567",b'),
        {"people": number(1234, 950, 12500, 1234567), "g": words(*"abab")},
    ),
    Case(
        "decimal points and decimal commas in one column",
        csv("x;g", "1.5;a", "2,5;b", "3.25;a", "4,75;b"),
        None,
        refusal=("'x'", "'2,5'"),
    ),
    Case(
        "three decimals are not thousands where nothing shows a decimal comma",
        csv("x,g", "1.234,a", "2.345,b", "3.456,a", "4.567,b"),
        {"x": number(1.234, 2.345, 3.456, 4.567), "g": words(*"abab")},
    ),
    Case(
        "spaces and apostrophes for thousands",
        b"a;b\n1 234,5;1'234.5\n22 000,25;22'000\n7,5;7.25\n3;1'000'000\n",
        {
            "a": number(1234.5, 22000.25, 7.5, 3),
            "b": number(1234.5, 22000, 7.25, 1_000_000),
        },
    ),
    Case(
        "no-break spaces and a true minus sign",
        "x;g\n1\u00a0234,5;a\n\u22127,5;b\n2\u202f000,0;a\n3,5;b\n".encode(),
        {"x": number(1234.5, -7.5, 2000, 3.5), "g": words(*"abab")},
    ),
    Case(
        "one unit in all cells",
        csv("weight,y", "12 kg,1", "7.5 kg,0", "80 kg,1", "3 kg,0"),
        {"weight": number(12, 7.5, 80, 3), "y": number(1, 0, 1, 0)},
    ),
    Case(
        "millions of dollars by their letters",
        csv("size,g", "$1.5M,a", "$350K,b", "$2B,a", "$10M,b"),
        None,
        refusal=("'size'", "'$350K'"),
    ),
    Case(
        "kilometres and miles",
        csv("way,g", "5 km,a", "3 mi,b", "7 km,a", "2 mi,b"),
        None,
        ("way", "km", "mi"),
    ),
    Case(
        "exponents and signs",
        csv("x,g", "1e3,a", "+2.5E-2,b", "-.5,a", "7.,b"),
        {"x": number(1000, 0.025, -0.5, 7), "g": words(*"abab")},
    ),
    Case(
        "integers as codes stay numbers",
        csv("pclass,x", "1,2.5", "3,1.5", "1,2", "2,4"),
        {"pclass": number(1, 3, 1, 2), "x": number(2.5, 1.5, 2, 4)},
    ),
    Case(
        "integers as codes are words where the user says so",
        csv("pclass,x", "1,2.5", "3,1.5", "1,2", "2,4"),
        {"pclass": words("1", "3", "1", "2"), "x": number(2.5, 1.5, 2, 4)},
        options=("pclass=words",),
    ),
]

DATES = [
    Case(
        "ISO dates with time zones and fractions of a second",
        csv(
            "t,g",
            "2024-01-31T10:00:00+02:00,a",
            "2024-02-01T00:00:00.250Z,b",
            "2024-02-02 12:30,a",
            "2024-03-01,b",
        ),
        None,
        refusal=("'t'", "'2024-01-31T10:00:00+02:00' in data row 1"),
    ),
    Case(
        "ISO dates with offsets and fractions of a second",
        csv(
            "t,g",
            "2024-01-31T10:00:00+02:00,a",
            "2024-02-01T00:00:00.250Z,b",
            "2024-02-02 12:30-05:30,a",
        ),
        {
            "t": date(
                "2024-01-31T08:00:00",
                "2024-02-01T00:00:00.250",
                "2024-02-02T18:00",
            ),
            "g": words(*"aba"),
        },
    ),
    Case(
        "month first, shown by one day",
        csv("day,g", "01/02/2024,a", "03/25/2024,b", "12/01/2023,a", "02/03/2024,b"),
        {
            "day": date("2024-01-02", "2024-03-25", "2023-12-01", "2024-02-03"),
            "g": words(*"abab"),
        },
    ),
    Case(
        "day first, shown by one day",
        csv("day,g", "01/02/2024,a", "25/03/2024,b", "01/12/2023,a", "02/03/2024,b"),
        {
            "day": date("2024-02-01", "2024-03-25", "2023-12-01", "2024-03-02"),
            "g": words(*"abab"),
        },
    ),
    Case(
        "day first, shown by another column",
        csv(
            "start,end",
            "01/02/2024,25/02/2024",
            "03/04/2024,28/04/2024",
            "05/06/2024,30/06/2024",
            "07/08/2024,31/08/2024",
        ),
        None,
        refusal=("'start'", "--read start=day-first", "--read start=month-first"),
    ),
    Case(
        "day or month first",
        csv("day,g", "01/02/2024,a", "03/04/2024,b", "05/06/2024,a", "07/08/2024,b"),
        None,
        ("day", "--read", "day-first", "month-first"),
    ),
    Case(
        "day or month first, with an answer",
        csv("day,g", "01/02/2024,a", "03/04/2024,b", "05/06/2024,a", "07/08/2024,b"),
        {
            "day": date("2024-01-02", "2024-03-04", "2024-05-06", "2024-07-08"),
            "g": words(*"abab"),
        },
        options=("month-first",),
    ),
    Case(
        "German dates with times",
        csv(
            "tag;g",
            "31.01.2024 14:30;a",
            "01.02.2024 00:00;b",
            "15.12.23 08:15;a",
            "02.03.2024 23:59;b",
        ),
        None,
        refusal=("'tag'", "'15.12.23 08:15'", "two digits"),
    ),
    Case(
        "afternoons",
        csv(
            "t,g",
            "1/31/2024 2:30 PM,a",
            "2/1/2024 12:00 AM,b",
            "12/15/2023 12:15 pm,a",
            "3/2/2024 9:00 AM,b",
        ),
        {
            "t": date(
                "2024-01-31T14:30", "2024-02-01", "2023-12-15T12:15", "2024-03-02T09:00"
            ),
            "g": words(*"abab"),
        },
    ),
    Case(
        "dates without separators",
        csv("t,g", "20240131,a", "20240201,b", "20231215,a", "20240302,b"),
        {
            "t": date("2024-01-31", "2024-02-01", "2023-12-15", "2024-03-02"),
            "g": words(*"abab"),
        },
    ),
    Case(
        "years of two digits, first or last",
        csv("t,g", "24/01/31,a", "24/02/15,b", "23/12/25,a", "24/03/02,b"),
        None,
        refusal=("'t'", "'24/01/31'", "two digits"),
    ),
    Case(
        "times of day",
        csv("t,g", "10:30,a", "00:00,b", "23:59:30,a", "07:05,b"),
        {"t": date("10:30", "00:00", "23:59:30", "07:05"), "g": words(*"abab")},
    ),
    Case(
        "missing dates",
        csv("t,g", "2024-01-31,a", "unknown,b", "0000-00-00,a", "2024-03-02,b", ",a"),
        {"t": date("2024-01-31", None, None, "2024-03-02", None), "g": words(*"ababa")},
    ),
    Case(
        "both orders in one column",
        csv("day,g", "25/03/2024,a", "03/25/2024,b", "01/02/2024,a", "31/01/2024,b"),
        None,
        refusal=("'day'", "'03/25/2024'"),
    ),
]

WORDS = [
    Case(
        "codes with leading zeros",
        csv("zip,x", "01234,1", "90210,2", "01234,3", "90210,5"),
        {"zip": words("01234", "90210", "01234", "90210"), "x": number(1, 2, 3, 5)},
    ),
    Case(
        "yes and no in several spellings",
        csv("a,b,c", "yes,T,TRUE", "No,F,false", "Y,T,True", "n,F,FALSE"),
        {
            "a": boolean(True, False, True, False),
            "b": boolean(True, False, True, False),
            "c": boolean(True, False, True, False),
        },
    ),
    Case(
        "yes, no and unknown",
        csv("paid,x", "yes,1.5", "no,2", "unknown,3", "yes,4", "-,2.5", "no,1"),
        {
            "paid": boolean(True, False, None, True, None, False),
            "x": number(1.5, 2, 3, 4, 2.5, 1),
        },
    ),
    Case(
        "classes with and without a leading zero",
        csv(
            "x,code",
            *(
                f"{i}.5,{code}"
                for i, code in enumerate(["01", "1", "02", "01", "1", "02"])
            ),
        ),
        {"x": number(*(i + 0.5 for i in range(6)))},
        target="code",
        classes=("01", "02", "1"),
    ),
    Case(
        "words with spaces around them and quotes within",
        csv('"the ""size""",x', '" small ",1', "large,2", "small,4", '"lar""ge",5'),
        {
            'the "size"': words("small", "large", "small", 'lar"ge'),
            "x": number(1, 2, 4, 5),
        },
    ),
]

COLUMNS = [
    Case(
        "the index that pandas writes",
        csv(",x,g", "0,1.5,a", "1,2.5,b", "2,3,a", "3,1,b"),
        {"column 1": dropped(), "x": number(1.5, 2.5, 3, 1), "g": words(*"abab")},
    ),
    Case(
        "an index of dates without a name and one column",
        csv(
            ",value", "2024-01-31,1.5", "2024-02-29,2.5", "2024-03-31,3", "2024-04-30,1"
        ),
        {
            "column 1": date("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"),
            "value": number(1.5, 2.5, 3, 1),
        },
    ),
    Case(
        "an id of distinct integers, a name and a constant",
        csv(
            "customer_id,name,country,x",
            "1043,Ann,DE,1",
            "1007,Bob,DE,2",
            "1311,Cid,DE,4",
            "1298,Dee,DE,3.5",
        ),
        {
            "customer_id": dropped(),
            "name": dropped(),
            "country": dropped(),
            "x": number(1, 2, 4, 3.5),
        },
    ),
    Case(
        "years are not an index",
        csv("year,x", "1990,1.5", "1991,2.5", "1992,3", "1993,1"),
        {"year": number(1990, 1991, 1992, 1993), "x": number(1.5, 2.5, 3, 1)},
    ),
    Case(
        "two columns of one name",
        csv("x,x,y", "1.5,2,1", "2.5,4,0", "3,3,1", "1,7,0"),
        {
            "x": number(1.5, 2.5, 3, 1),
            "x (2)": number(2, 4, 3, 7),
            "y": number(1, 0, 1, 0),
        },
        ("x", "two columns"),
    ),
]

FILES = [
    Case(
        "UTF-16 with a byte order mark",
        "x\tg\n1.5\tKöln\n2.5\tBonn\n3\tKöln\n1\tBonn\n".encode("utf-16"),
        {"x": number(1.5, 2.5, 3, 1), "g": words("Köln", "Bonn", "Köln", "Bonn")},
    ),
    Case(
        "UTF-8 with a byte order mark and Windows line ends",
        b"\xef\xbb\xbfx,g\r\n1.5,a\r\n2.5,b\r\n3,a\r\n1,b\r\n",
        {"x": number(1.5, 2.5, 3, 1), "g": words(*"abab")},
    ),
    Case(
        "line ends of old Macs",
        b"x,g\r1.5,a\r2.5,b\r3,a\r1,b\r",
        {"x": number(1.5, 2.5, 3, 1), "g": words(*"abab")},
    ),
    Case(
        "Russian in its code page",
        "город,x\nМосква,1\nКазань,2\nМосква,3\nКазань,5\n".encode("cp1251"),
        None,
        refusal=("not in utf-8", "'город' in cp1251", "--encoding"),
    ),
    Case(
        "a compressed file",
        gzip.compress(csv("x;g", "1,5;a", "2,5;b", "3;a", "1;b"), mtime=0),
        {"x": number(1.5, 2.5, 3, 1), "g": words(*"abab")},
        file="table.csv.gz",
    ),
    Case(
        "a row that is too short",
        csv("x,g,y", "1.5,a,1", "2.5,b", "3,a,0", "1,b,1"),
        {"x": number(1.5, 2.5, 3, 1), "g": words(*"abab"), "y": number(1, None, 0, 1)},
        ("line 3",),
    ),
    Case(
        "a row that is too long",
        csv("x,g,y", "1.5,a,1", "2.5,b,0", "3,Smith, John,0", "1,b,1"),
        None,
        ("line 4", "4 fields"),
    ),
    Case(
        "thousands without quotation marks in every row",
        csv("name,price", "Ann,1,234", "Bob,2,345", "Cid,1,500", "Dee,3,250"),
        None,
        refusal=("line 1", "quote"),
    ),
    Case(
        "a row broken in two",
        csv("x,g,y", "1.5,a,1", "2.5,b", "c,0", "1,b,1"),
        None,
        refusal=("line 3", "2 fields"),
    ),
    Case(
        "a quotation mark that is never closed",
        csv("x,g,y", '1.5,"a,1', "2.5,b,0", "3,a,0"),
        None,
        ("line 2", "quot"),
    ),
    Case(
        "a separator that the file declares",
        csv("sep=|", "x|g", "1.5|a;b", "2.5|c,d", "3|a;b", "1|c,d"),
        {"x": number(1.5, 2.5, 3, 1), "g": words("a;b", "c,d", "a;b", "c,d")},
        refusal=("first line", "'sep='"),
    ),
    Case(
        "UTF-8 with one byte of another code page",
        "x,g\n1,Köln\n2,Düren\n3,".encode() + b"K\xf6ln\n",
        None,
        refusal=("not in utf-8", "'Köln' in cp1252"),
    ),
    Case(
        "a web page by the name of a table",
        csv("<html><table><tr><td>x</td></tr>", "<tr><td>1</td></tr></table></html>"),
        None,
        ("web page",),
        file="table.xls",
    ),
    Case(
        "blank lines, and line ends and commas in quotes",
        csv(
            "x,note",
            "",
            '1.5,"red, dark\nblue"',
            "2.5,green",
            "",
            '3,"red, dark\nblue"',
            "1,green",
            "",
        ),
        {
            "x": number(1.5, 2.5, 3, 1),
            "note": words("red, dark\nblue", "green", "red, dark\nblue", "green"),
        },
    ),
    Case(
        "row names without a name, as R writes them",
        csv(
            '"x" "g"',
            '"first" 1.5 "a"',
            '"second" 2.5 "b"',
            '"third" 3 "a"',
            '"fourth" 1 "b"',
        ).replace(b" ", b","),
        None,
        refusal=("line 1", "2 fields"),
    ),
]

CASES = [*MISSING, *NUMBERS, *DATES, *WORDS, *COLUMNS, *FILES]
