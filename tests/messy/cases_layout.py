"""Words, classes and layouts of files as analysts receive them."""

from tests.messy.case import Case, date, dropped, number, words

SIDES = words("north", "south", "north", "south")
LONG_TEXT = "lorem ipsum " * 12_000 + "end"

WORDS = [
    Case(
        "postcodes with leading zeros",
        b"zip,rent\n01067,8.5\n80331,21.4\n01067,9.1\n04109,8.8\n80331,19.9\n",
        {
            "zip": words("01067", "80331", "01067", "04109", "80331"),
            "rent": number(8.5, 21.4, 9.1, 8.8, 19.9),
        },
    ),
    Case(
        "phone numbers that look like grouped numbers",
        b"phone,x\n+41 44 668 18 00,1.5\n+49 30 123 456,2.5\n+41 44 668 18 00,7\n+49 30 123 456,0.5\n",
        {
            "phone": words(
                "+41 44 668 18 00",
                "+49 30 123 456",
                "+41 44 668 18 00",
                "+49 30 123 456",
            ),
            "x": number(1.5, 2.5, 7, 0.5),
        },
    ),
    Case(
        "US phone numbers",
        b"phone,x\n(212) 555-0101,1.5\n(646) 555-0199,2.5\n(212) 555-0101,7\n(646) 555-0199,0.5\n",
        {
            "phone": words(
                "(212) 555-0101", "(646) 555-0199", "(212) 555-0101", "(646) 555-0199"
            ),
            "x": number(1.5, 2.5, 7, 0.5),
        },
    ),
    Case(
        "age groups that look like dates",
        b"ages,x\n5-9,1.5\n10-14,2.5\n5-9,7\n1-4,0.5\n10-14,3.25\n",
        {
            "ages": words("5-9", "10-14", "5-9", "1-4", "10-14"),
            "x": number(1.5, 2.5, 7, 0.5, 3.25),
        },
    ),
    Case(
        "genes that look like dates",
        b"gene,x\nSEPT2,1.5\nMARCH1,2.5\nSEPT2,7\nDEC1,0.5\nMARCH1,3.25\n",
        {
            "gene": words("SEPT2", "MARCH1", "SEPT2", "DEC1", "MARCH1"),
            "x": number(1.5, 2.5, 7, 0.5, 3.25),
        },
    ),
    Case(
        "article codes of which some look like powers of ten",
        b"article,x\n1E5,1.5\n3A2,2.5\n1E5,7\n2E7,0.5\n3A2,3.25\n",
        {
            "article": words("1E5", "3A2", "1E5", "2E7", "3A2"),
            "x": number(1.5, 2.5, 7, 0.5, 3.25),
        },
        refusal=("article",),
    ),
    Case(
        "countries with Norway",
        b"country,x\nNO,1.5\nSE,2.5\nNO,7\nDK,0.5\nSE,3.25\n",
        {
            "country": words("NO", "SE", "NO", "DK", "SE"),
            "x": number(1.5, 2.5, 7, 0.5, 3.25),
        },
    ),
]

TARGETS = [
    Case(
        "classes coded as integers",
        b"x,class\n" + b"1.5,3\n2.5,1\n7,2\n" * 5,
        {"x": number(*[1.5, 2.5, 7] * 5)},
        target="class",
        classes=(1, 2, 3),
    ),
    Case(
        "classes with leading zeros",
        b"x,icd\n1.5,01\n2.5,02\n7,01\n0.5,02\n3.25,10\n4.5,10\n",
        {"x": number(1.5, 2.5, 7, 0.5, 3.25, 4.5)},
        target="icd",
        classes=("01", "02", "10"),
    ),
    Case(
        "classes 01 and 1 are different",
        b"x,code\n1.5,01\n2.5,1\n7,01\n0.5,2\n3.25,1\n4.5,2\n",
        {"x": number(1.5, 2.5, 7, 0.5, 3.25, 4.5)},
        refusal=("code",),
        target="code",
        classes=("01", "1", "2"),
    ),
    Case(
        "German yes and no as the target, spaces around",
        b"x;storniert\n1,5; ja\n2,5;nein \n7;nein\n0,5;ja\n",
        {"x": number(1.5, 2.5, 7, 0.5)},
        target="storniert",
        classes=("ja", "nein"),
    ),
]

LAYOUT = [
    Case(
        "separator line of Excel, then BOM and CRLF",
        "\ufeffsep=;\r\nside;x\r\nnorth;1,5\r\nsouth;2,25\r\nnorth;7,0\r\nsouth;0,5\r\n".encode(),
        {"side": SIDES, "x": number(1.5, 2.25, 7, 0.5)},
        refusal=("first line", "'sep='"),
    ),
    Case(
        "title lines above the header",
        b"Quarterly report 2024\nPrepared by: Finance\n\nside,sales\nnorth,12.5\nsouth,7.25\nnorth,3\nsouth,8.5\n",
        {"side": SIDES, "sales": number(12.5, 7.25, 3, 8.5)},
        refusal=("line 1", "delete titles above the header"),
    ),
    Case(
        "title lines that Excel padded with delimiters",
        b"Umsatz 2024;;\n;;\nside;sales;cost\nnorth;12,5;3\nsouth;7,25;4\nnorth;3,0;2\nsouth;8,5;9\n",
        None,
        refusal=("first line", "'Umsatz 2024'"),
    ),
    Case(
        "source note below the table",
        b"side;sales\nnorth;12,5\nsouth;7,25\nnorth;3,0\nsouth;8,5\n\nSource: Statistical Office; own calculations\n",
        None,
        refusal=("'sales'", "'own calculations' in data row 5"),
    ),
    Case(
        "units in the row below the header",
        b"side,mass,length\n,kg,m\nnorth,12.5,3\nsouth,7.25,4\nnorth,3,2\nsouth,8.5,9\n",
        {
            "side": SIDES,
            "mass": number(12.5, 7.25, 3, 8.5),
            "length": number(3, 4, 2, 9),
        },
        refusal=("data row 1 is unlike the others", "'kg' in 'mass'", "'length'"),
    ),
    Case(
        "header repeated where two files were joined",
        b"side,sales\nnorth,12.5\nsouth,7.25\nside,sales\nnorth,3\nsouth,8.5\n",
        {"side": SIDES, "sales": number(12.5, 7.25, 3, 8.5)},
        refusal=("repeats its header", "data row 3"),
    ),
    Case(
        "blank lines and lines of delimiters between the rows",
        b"side,x,y\n\nnorth,1.5,2\n,,\nsouth,2.5,7\n\n\nnorth,7,1\nsouth,0.5,4\n,,\n\n",
        {"side": SIDES, "x": number(1.5, 2.5, 7, 0.5), "y": number(2, 7, 1, 4)},
    ),
    Case(
        "trailing delimiters everywhere",
        b"side;x;\nnorth;1,5;\nsouth;2,5;\nnorth;7,0;\nsouth;0,5;\n",
        {"side": SIDES, "x": number(1.5, 2.5, 7, 0.5), "column 3": dropped()},
    ),
    Case(
        "trailing delimiters below a header without one",
        b"side;x\nnorth;1,5;\nsouth;2,5;\nnorth;7,0;\nsouth;0,5;\n",
        None,
        refusal=("line 1", "2 fields"),
    ),
    Case(
        "quoted headers with line breaks",
        b'"Side","Weight\n(kg)","Note"\nnorth,1.5,ok\nsouth,2.5,bad\nnorth,7,"late,\nbut ok"\nsouth,0.5,ok\n',
        {
            "Side": SIDES,
            "Weight (kg)": number(1.5, 2.5, 7, 0.5),
            "Note": words("ok", "bad", "late,\nbut ok", "ok"),
        },
    ),
    Case(
        "Unicode text of Excel, UTF-16 with tabs",
        "Straße\tx\r\nWöhr\t1,5\r\nÄgid\t2,25\r\nWöhr\t7,0\r\nÄgid\t0,5\r\n".encode(
            "utf-16"
        ),
        {
            "Straße": words("Wöhr", "Ägid", "Wöhr", "Ägid"),
            "x": number(1.5, 2.25, 7, 0.5),
        },
        file="export.txt",
    ),
    Case(
        "Latin-1 names in tabs, lines end in CR",
        "Größe\tName\r1.5\tJürgen\r2.5\tRené\r7\tJürgen\r0.5\tRené\r".encode("latin-1"),
        {
            "Größe": number(1.5, 2.5, 7, 0.5),
            "Name": words("Jürgen", "René", "Jürgen", "René"),
        },
        encoding="latin-1",
        file="mac.txt",
    ),
    Case(
        "lines end in CR CR LF",
        b"side,x\r\r\nnorth,1.5\r\r\nsouth,2.5\r\r\nnorth,7\r\r\nsouth,0.5\r\r\n",
        {"side": SIDES, "x": number(1.5, 2.5, 7, 0.5)},
    ),
    Case(
        "pipes, aligned with spaces",
        b"side  | x    | group\nnorth | 1.5  | a b\nsouth | 2.5  | c\nnorth | 7    | a b\nsouth | 0.5  | c\n",
        {
            "side": SIDES,
            "x": number(1.5, 2.5, 7, 0.5),
            "group": words("a b", "c", "a b", "c"),
        },
        file="table.txt",
    ),
    Case(
        "single quotes around words with commas",
        b"name,x\n'Smith, J',1.5\n'Brown, A',2.5\n'Smith, J',7\n'Brown, A',0.5\n",
        {
            "name": words("Smith, J", "Brown, A", "Smith, J", "Brown, A"),
            "x": number(1.5, 2.5, 7, 0.5),
        },
        refusal=("line 1", "quote"),
    ),
    Case(
        "apostrophes, inch marks and quotes within quotes",
        b'name,part,x\nO\'Brien,3/4" pipe,1.5\n"Ann ""Al"" Lee",valve,2.5\n'
        b'O\'Brien,3/4" pipe,7\n"Ann ""Al"" Lee",valve,0.5\n',
        {
            "name": words("O'Brien", 'Ann "Al" Lee', "O'Brien", 'Ann "Al" Lee'),
            "part": words('3/4" pipe', "valve", '3/4" pipe', "valve"),
            "x": number(1.5, 2.5, 7, 0.5),
        },
    ),
    Case(
        "comments of an instrument above the header",
        b"# Instrument: HPLC 7, method B\n# Exported: 2024-01-31\n"
        b"side,area\nnorth,1.5\nsouth,2.5\nnorth,7\nsouth,0.5\n",
        None,
        refusal=("line 2", "delete titles above the header"),
    ),
    Case(
        "header missing",
        b"5.1,3.5,setosa\n4.9,3.0,setosa\n7.0,3.2,virginica\n6.4,3.1,virginica\n5.9,2.8,setosa\n",
        {
            "column 1": number(5.1, 4.9, 7, 6.4, 5.9),
            "column 2": number(3.5, 3, 3.2, 3.1, 2.8),
            "column 3": words("setosa", "setosa", "virginica", "virginica", "setosa"),
        },
        refusal=("header",),
    ),
    Case(
        "years as column names",
        b"side,2019,2020,2021\nnorth,1.5,3,7\nsouth,2.5,2,8\nnorth,7,9,1\nsouth,0.5,4,4\n",
        {
            "side": SIDES,
            "2019": number(1.5, 2.5, 7, 0.5),
            "2020": number(3, 2, 9, 4),
            "2021": number(7, 8, 1, 4),
        },
    ),
    Case(
        "names that occur twice, an index, a constant and an empty column",
        b",x,x,unit,blank,side\n0,1.5,3,kg,,north\n1,2.5,2,kg,,south\n2,7,9,kg,,north\n3,0.5,4,kg,,south\n",
        None,
        ("two columns named 'x'",),
    ),
    Case(
        "very long lines, by columns",
        "\n".join(
            [",".join(f"probe {i}" for i in range(500))]
            + [
                ",".join(f"{(7 * i + 3 * row * row) % 11 + 0.5}" for i in range(500))
                for row in range(4)
            ]
        ).encode(),
        {
            f"probe {i}": number(
                *((7 * i + 3 * row * row) % 11 + 0.5 for row in range(4))
            )
            for i in range(500)
        },
    ),
    Case(
        "very long lines, by a text",
        f"note,x\n{LONG_TEXT},1.5\nok,2.5\n{LONG_TEXT},7\nok,0.5\n".encode(),
        {
            "note": words(LONG_TEXT, "ok", LONG_TEXT, "ok"),
            "x": number(1.5, 2.5, 7, 0.5),
        },
    ),
    Case(
        "Japanese answers in Shift JIS",
        "地区,回答,x\n東京,はい,1.5\n大阪,いいえ,2.5\n東京,はい,7\n大阪,いいえ,0.5\n".encode(
            "shift_jis"
        ),
        {
            "地区": words("東京", "大阪", "東京", "大阪"),
            "回答": words("はい", "いいえ", "はい", "いいえ"),
            "x": number(1.5, 2.5, 7, 0.5),
        },
        encoding="shift_jis",
    ),
]

NOT_LAYOUT = [
    Case(
        "a last row called Total that is not a sum",
        b"shop,sales\nAral,12.5\nShell,7.25\nAral,3\nShell,8.5\nTotal,9.75\n",
        {
            "shop": words("Aral", "Shell", "Aral", "Shell", "Total"),
            "sales": number(12.5, 7.25, 3, 8.5, 9.75),
        },
    ),
    Case(
        "Total as one of the categories",
        b"sex,year,jobs\nmen,2020,5\nwomen,2020,7\nTotal,2020,12\nmen,2021,6\nwomen,2021,6\nTotal,2021,36\n",
        {
            "sex": words(*["men", "women", "Total"] * 2),
            "year": number(2020, 2020, 2020, 2021, 2021, 2021),
            "jobs": number(5, 7, 12, 6, 6, 36),
        },
    ),
    Case(
        "letters that are units elsewhere",
        b"sex,size\nm,l\nf,m\nm,s\nf,l\n",
        {"sex": words("m", "f", "m", "f"), "size": words("l", "m", "s", "l")},
    ),
    Case(
        "units in brackets below a German header",
        "Seite;Masse;Länge\n-;[kg];[µm]\nnorth;12,5;3\nsouth;7,25;4\nnorth;3,0;2\nsouth;8,5;9\n".encode(),
        None,
        refusal=("data row 1 is unlike the others", "'[kg]' in 'Masse'", "'[µm]'"),
    ),
    Case(
        "wavelengths as column names",
        b"850.5,852.5,854.5,fat\n2.61,2.62,2.63,22.5\n2.83,2.84,2.86,40.1\n2.58,2.59,2.61,8.4\n2.82,2.83,2.85,5.9\n",
        {
            "850.5": number(2.61, 2.83, 2.58, 2.82),
            "852.5": number(2.62, 2.84, 2.59, 2.83),
            "854.5": number(2.63, 2.86, 2.61, 2.85),
            "fat": number(22.5, 40.1, 8.4, 5.9),
        },
    ),
    Case(
        "positions as column names",
        b"0,1,2\n5.5,1.5,0\n2.5,3.5,1\n7,1,0\n1,2,1\n",
        {
            "0": number(5.5, 2.5, 7, 1),
            "1": number(1.5, 3.5, 1, 2),
            "2": number(0, 1, 0, 1),
        },
    ),
    Case(
        "dates as column names",
        b"side,2024-01-31,2024-02-29\nnorth,12.5,3\nsouth,7.25,4\nnorth,3,2\nsouth,8.5,9\n",
        {
            "side": SIDES,
            "2024-01-31": number(12.5, 7.25, 3, 8.5),
            "2024-02-29": number(3, 4, 2, 9),
        },
    ),
    Case(
        "numbers and dates without a header",
        b"2024-01-31,5.1\n2024-02-29,4.9\n2024-03-31,7.0\n2024-04-30,6.4\n",
        None,
        refusal=("header", "2024-01-31"),
    ),
    Case(
        "pixels without a header",
        b"5,0,0,13\n3,0,7,1\n5,2,0,0\n3,0,0,9\n",
        None,
        refusal=("first line", "'0'"),
    ),
    Case(
        "a header that starts with #",
        b"#chrom,pos\nchr1,101\nchr2,205\nchr1,78\nchr2,93\n",
        {
            "#chrom": words("chr1", "chr2", "chr1", "chr2"),
            "pos": number(101, 205, 78, 93),
        },
    ),
    Case(
        "comments above a header that starts with #",
        b"##format=2\n##source=caller,v1\n#chrom,pos\nchr1,101\nchr2,205\nchr1,78\nchr2,93\n",
        None,
        refusal=("line 1", "delete titles above the header"),
    ),
    Case(
        "a last row whose text starts with Note",
        b"text,stars\nfine,5\nbad,1\nfine,4\nbad,2\nNote: late,1\n",
        {
            "text": words("fine", "bad", "fine", "bad", "Note: late"),
            "stars": number(5, 1, 4, 2, 1),
        },
    ),
    Case(
        "a last row with a name and nothing else",
        b"city,x,y\nNew York,1.5,2\nSan Jose,2.5,7\nNew York,7,1\nSan Jose,,\n",
        {
            "city": words("New York", "San Jose", "New York", "San Jose"),
            "x": number(1.5, 2.5, 7, None),
            "y": number(2, 7, 1, None),
        },
    ),
    Case(
        "bounds among whole numbers that are classes",
        b"age,x\n<1,1.5\n1,2.5\n2,7\n3,0.5\n<1,3\n1,2\n",
        None,
        refusal=("'age'", "'<1'"),
    ),
    Case(
        "bounds are not missing whatever the user says",
        b"side,lead\nnorth,<0.5\nsouth,1.2\nnorth,3.4\nsouth,<0.5\n",
        None,
        refusal=("'lead'", "'<0.5' in data row 1"),
        options=("lead=numbers",),
    ),
    Case(
        "very large numbers are not identifiers",
        b"star,mass\na,1.99e30\nb,2.5e30\na,4e29\nb,1.2e31\n",
        {
            "star": words("a", "b", "a", "b"),
            "mass": number(1.99e30, 2.5e30, 4e29, 1.2e31),
        },
    ),
    Case(
        "numbers of accounts beyond 2^53 are",
        b"iban,x\n10020030040050060,1.5\n10020030040050061,2.5\n10020030040050077,7\n10020030040050099,0.5\n",
        {"iban": dropped(), "x": number(1.5, 2.5, 7, 0.5)},
    ),
    Case(
        "long and short durations with minutes",
        b"side,run,week\nnorth,2:05:10,2024-W01\nsouth,100:00:00,2024-W53\nnorth,0:59:59,2024-W02\n"
        b"south,49:00:00,2024-W02\n",
        {
            "side": SIDES,
            "run": date("2:5:10", "100:0:0", "0:59:59", "49:0:0"),
            "week": words("2024-W01", "2024-W53", "2024-W02", "2024-W02"),
        },
        refusal=("week",),
    ),
]

CASES = [*WORDS, *TARGETS, *LAYOUT, *NOT_LAYOUT]
