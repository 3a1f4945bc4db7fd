"""Numbers and dates as analysts receive them: from accounting, laboratories, portals, and Excel in many countries."""

from tests.messy.case import Case, boolean, date, number, words

SIDES = words("north", "south", "north", "south")

NUMBERS = [
    Case(
        "accounting negatives in parentheses",
        b'dept,balance\nnorth,"1,250.00"\nsouth,(340.50)\nnorth,"(2,100.75)"\nsouth,80.00\n',
        {"dept": SIDES, "balance": number(1250, -340.5, -2100.75, 80)},
    ),
    Case(
        "dollar signs, negatives as -$5 and ($5)",
        b'dept,profit\nnorth,"$1,234.56"\nsouth,-$5.00\nnorth,($7.25)\nsouth,$12.00\n',
        {"dept": SIDES, "profit": number(1234.56, -5, -7.25, 12)},
    ),
    Case(
        "kg in every cell",
        b"side,weight\nnorth,12.5 kg\nsouth,7 kg\nnorth,0.8 kg\nsouth,101.25 kg\n",
        {"side": SIDES, "weight": number(12.5, 7, 0.8, 101.25)},
    ),
    Case(
        "cm without a space, and degrees",
        "side,height,temp\nnorth,172cm,21.5 °C\nsouth,165cm,-3.0 °C\nnorth,180.5cm,0.5 °C\nsouth,158cm,\n".encode(),
        {
            "side": SIDES,
            "height": number(172, 165, 180.5, 158),
            "temp": number(21.5, -3, 0.5, None),
        },
    ),
    Case(
        "minutes and a compound unit",
        "side,runtime,lead\nnorth,90 min,3.1 µg/L\nsouth,45 min,0.25 µg/L\n"
        "north,n/a,12 µg/L\nsouth,61 min,4 µg/L\n".encode(),
        {
            "side": SIDES,
            "runtime": number(90, 45, None, 61),
            "lead": number(3.1, 0.25, 12, 4),
        },
    ),
    Case(
        "grams among kilograms",
        b"side,weight\nnorth,12.5 kg\nsouth,700 g\nnorth,0.8 kg\nsouth,101 g\n",
        None,
        refusal=("'weight'", "kg"),
    ),
    Case(
        "two currencies in one column",
        "side,price\nnorth,$12.50\nsouth,€7.00\nnorth,$0.80\nsouth,€9.10\n".encode(),
        None,
        refusal=("'price'", "$", "€"),
    ),
    Case(
        "French thousands by non-breaking spaces",
        "zone;montant\nnorth;1\xa0234,50\nsouth;12\u202f000,00\nnorth;7,25\nsouth;-1\xa0000\xa0000,00\n".encode(),
        {"zone": SIDES, "montant": number(1234.5, 12000, 7.25, -1_000_000)},
    ),
    Case(
        "French non-breaking spaces in cp1252",
        "zone;montant\nnorth;1\xa0234,50 €\nsouth;12\xa0000,00 €\nnorth;7,25 €\nsouth;980,00 €\n".encode(
            "cp1252"
        ),
        {"zone": SIDES, "montant": number(1234.5, 12000, 7.25, 980)},
        encoding="cp1252",
    ),
    Case(
        "Swiss apostrophes, straight and typographic",
        "Kanton;Umsatz\nnorth;12'345.60\nsouth;1’000’000.00\nnorth;980.05\nsouth;-4'100.00\n".encode(),
        {"Kanton": SIDES, "Umsatz": number(12345.6, 1_000_000, 980.05, -4100)},
    ),
    Case(
        "Polish amounts with the currency after them",
        "strona;kwota\nnorth;1 234,50 zł\nsouth;7,99 zł\nnorth;12 000,00 zł\nsouth;-3,10 zł\n".encode(
            "cp1250"
        ),
        {"strona": SIDES, "kwota": number(1234.5, 7.99, 12000, -3.1)},
        encoding="cp1250",
    ),
    Case(
        "euro after the number, German",
        "Seite;Preis\nnorth;1.299,00 €\nsouth;15,5 €\nnorth;-2,00 €\nsouth;0,99 €\n".encode(),
        {"Seite": SIDES, "Preis": number(1299, 15.5, -2, 0.99)},
    ),
    Case(
        "ISO currency codes before and dot groups only",
        b"side;price\nnorth;EUR 1.234.567\nsouth;EUR 980\nnorth;EUR 12.500\nsouth;EUR 7.100.000\n",
        {"side": SIDES, "price": number(1_234_567, 980, 12_500, 7_100_000)},
    ),
    Case(
        "dots that group or divide",
        b"Seite;Menge\nnorth;1.500\nsouth;2.250\nnorth;4.125\nsouth;9.875\n",
        None,
        refusal=("Menge", "decimal"),
    ),
    Case(
        "quoted commas that group or divide",
        b'side,amount\nnorth,"1,500"\nsouth,"2,250"\nnorth,"4,125"\nsouth,"9,875"\n',
        {"side": SIDES, "amount": number(1500, 2250, 4125, 9875)},
        refusal=("amount", "decimal"),
    ),
    Case(
        "scientific notation of several programs",
        b"side,conc\nnorth,1.5E-03\nsouth,2e4\nnorth,6.02D+23\nsouth,-1.0E+00\n",
        {"side": SIDES, "conc": number(1.5e-3, 2e4, 6.02e23, -1)},
        refusal=("'conc'", "'6.02D+23'"),
    ),
    Case(
        "scientific notation with decimal comma",
        b"Seite;Konz\nnorth;1,5E-03\nsouth;2,25E+04\nnorth;6,02e23\nsouth;-1,0E+00\n",
        {"Seite": SIDES, "Konz": number(1.5e-3, 2.25e4, 6.02e23, -1)},
    ),
    Case(
        "plus signs and typographic minus",
        "side,change,shift\nnorth,+3.2,−0.5\nsouth,-1.1,1.25\nnorth,+0.0,−12\nsouth,+14,3\n".encode(),
        {
            "side": SIDES,
            "change": number(3.2, -1.1, 0, 14),
            "shift": number(-0.5, 1.25, -12, 3),
        },
    ),
    Case(
        "German percentages with a space",
        b"Seite;Quote\nnorth;12,5 %\nsouth;-3,0 %\nnorth;100 %\nsouth;0,75 %\n",
        {"Seite": SIDES, "Quote": number(12.5, -3, 100, 0.75)},
    ),
    Case(
        "percentages mixed with fractions",
        b"side,rate\nnorth,12%\nsouth,0.15\nnorth,7%\nsouth,0.31\n",
        None,
        refusal=("'rate'", "%"),
    ),
    Case(
        "below the limit of detection",
        b"side,lead\nnorth,<0.5\nsouth,1.2\nnorth,3.4\nsouth,<0.5\nnorth,2.2\n",
        None,
        refusal=("'lead'", "'<0.5'", "--read lead=words"),
    ),
    Case(
        "999 codes stay numbers",
        b"side,score,visits\nnorth,3.5,2\nsouth,999,-999\nnorth,4.1,7\nsouth,999,3\n",
        {
            "side": SIDES,
            "score": number(3.5, 999, 4.1, 999),
            "visits": number(2, -999, 7, 3),
        },
    ),
    Case(
        "quotes around every number",
        b'"side","x","y"\n"north","1.5","-2"\n"south","2.5","7"\n"north","0.1","12"\n"south","","3"\n',
        {"side": SIDES, "x": number(1.5, 2.5, 0.1, None), "y": number(-2, 7, 12, 3)},
    ),
]

MISSING = [
    Case(
        "two spellings of missing in one column",
        b"side,x,y\nnorth,NA,n/a\nsouth,1.5,2\nnorth,-,7\nsouth,2.5,NULL\nnorth,4.25,1\n",
        {
            "side": words("north", "south", "north", "south", "north"),
            "x": number(None, 1.5, None, 2.5, 4.25),
            "y": number(None, 2, 7, None, 1),
        },
    ),
    Case(
        "errors of Excel formulas",
        b"side;margin;price\nnorth;#N/A;1,5\nsouth;0,25;#VALUE!\nnorth;#DIV/0!;2,25\nsouth;0,75;#REF!\nnorth;1,5;7,0\n",
        {
            "side": words("north", "south", "north", "south", "north"),
            "margin": number(None, 0.25, None, 0.75, 1.5),
            "price": number(1.5, None, 2.25, None, 7),
        },
    ),
    Case(
        "missing is missing among numbers and a word among words",
        b"side,age,group\nnorth,34,a\nsouth,missing,b\nnorth,41,missing\nsouth,29,a\nnorth,missing,b\n",
        {
            "side": words("north", "south", "north", "south", "north"),
            "age": number(34, None, 41, 29, None),
            "group": words("a", "b", "missing", "a", "b"),
        },
    ),
    Case(
        "nulls of a MySQL dump",
        b"side\tx\tseen\nnorth\t\\N\t2024-01-31\nsouth\t1.5\t\\N\nnorth\t2.5\t2024-02-01\nsouth\t7\t2024-02-05\n",
        {
            "side": SIDES,
            "x": number(None, 1.5, 2.5, 7),
            "seen": date("2024-01-31", None, "2024-02-01", "2024-02-05"),
        },
        file="dump.txt",
    ),
    Case(
        "dots of SAS and question marks of UCI",
        b"side,x,y\nnorth,.,3\nsouth,1.5,?\nnorth,2.5,8\nsouth,.,4\nnorth,0.5,?\n",
        {
            "side": words("north", "south", "north", "south", "north"),
            "x": number(None, 1.5, 2.5, None, 0.5),
            "y": number(3, None, 8, 4, None),
        },
    ),
    Case(
        "no answer in German and Dutch",
        b"Seite;Alter;inkomen\nnorth;k.A.;1,5\nsouth;34;n.v.t.\nnorth;41;2,5\nsouth;k.A.;7,5\nnorth;29;n.v.t.\n",
        {
            "Seite": words("north", "south", "north", "south", "north"),
            "Alter": number(None, 34, 41, None, 29),
            "inkomen": number(1.5, None, 2.5, 7.5, None),
        },
        refusal=("'Alter'", "'k.A.'", "'inkomen'", "'n.v.t.'"),
    ),
    Case(
        "dates of MySQL that are zero",
        b"side,paid\nnorth,2024-01-31\nsouth,0000-00-00\nnorth,2024-02-03\nsouth,0000-00-00\n",
        {"side": SIDES, "paid": date("2024-01-31", None, "2024-02-03", None)},
        refusal=("paid",),
    ),
    Case(
        "n/a among yes and no",
        b"side,smoker\nnorth,Yes\nsouth,No\nnorth,n/a\nsouth,No\nnorth,YES\n",
        {
            "side": words("north", "south", "north", "south", "north"),
            "smoker": boolean(True, False, None, False, True),
        },
    ),
]

DATES = [
    Case(
        "SAP dates without separators",
        b"side;posted;amount\nnorth;20240131;1,5\nsouth;20231105;2,5\nnorth;20240229;7,5\nsouth;20220701;0,5\n",
        {
            "side": SIDES,
            "posted": date("2024-01-31", "2023-11-05", "2024-02-29", "2022-07-01"),
            "amount": number(1.5, 2.5, 7.5, 0.5),
        },
    ),
    Case(
        "year and month",
        b"side,month\nnorth,2024-01\nsouth,2023-11\nnorth,2024-02\nsouth,2022-07\n",
        {
            "side": SIDES,
            "month": date("2024-01-01", "2023-11-01", "2024-02-01", "2022-07-01"),
        },
        refusal=("month",),
    ),
    Case(
        "German dates with short years",
        b"Seite;Datum\nnorth;31.01.24\nsouth;5.11.23\nnorth;29.02.24\nsouth;01.07.22\n",
        None,
        refusal=("'Datum'", "'31.01.24'", "two digits"),
    ),
    Case(
        "US dates and times with AM and PM",
        b"side,seen\nnorth,1/31/2024 1:05:00 PM\nsouth,11/5/2023 12:00:00 AM\nnorth,2/29/2024 9:30:00 AM\n"
        b"south,7/1/2022 12:15:00 PM\n",
        {
            "side": SIDES,
            "seen": date(
                "2024-01-31T13:05",
                "2023-11-05T00:00",
                "2024-02-29T09:30",
                "2022-07-01T12:15",
            ),
        },
    ),
    Case(
        "UK dates and times",
        b"side,seen\nnorth,31/01/2024 13:05\nsouth,05/11/2023 00:00\nnorth,29/02/2024 09:30\nsouth,01/07/2022 12:15\n",
        {
            "side": SIDES,
            "seen": date(
                "2024-01-31T13:05",
                "2023-11-05T00:00",
                "2024-02-29T09:30",
                "2022-07-01T12:15",
            ),
        },
    ),
    Case(
        "slashed dates that are day or month first",
        b"side,delivered\nnorth,03/04/2024\nsouth,05/06/2024\nnorth,11/12/2023\nsouth,01/02/2024\n",
        None,
        refusal=("delivered", "day-first", "month-first"),
    ),
    Case(
        "slashed dates with evidence for both orders",
        b"side,delivered\nnorth,31/01/2024\nsouth,05/06/2024\nnorth,11/25/2023\nsouth,01/02/2024\n",
        None,
        refusal=("'delivered'", "'11/25/2023'"),
    ),
    Case(
        "dotted dates without evidence are European",
        b"Seite;Datum\nnorth;03.04.2024\nsouth;05.06.2024\nnorth;11.12.2023\nsouth;01.02.2024\n",
        {
            "Seite": SIDES,
            "Datum": date("2024-04-03", "2024-06-05", "2023-12-11", "2024-02-01"),
        },
        refusal=("Datum", "day-first"),
    ),
    Case(
        "month names in English",
        b'side,seen,born\nnorth,31-Jan-2024,"March 3, 1980"\nsouth,05-Nov-2023,"May 21, 1975"\n'
        b'north,29-Feb-2024,"December 1, 1990"\nsouth,1-Jul-2022,"June 30, 1988"\n',
        {
            "side": SIDES,
            "seen": date("2024-01-31", "2023-11-05", "2024-02-29", "2022-07-01"),
            "born": date("1980-03-03", "1975-05-21", "1990-12-01", "1988-06-30"),
        },
    ),
    Case(
        "dates before 1900",
        b"side,founded\nnorth,1848-03-18\nsouth,1899-12-31\nnorth,1701-01-01\nsouth,1969-12-31\n",
        {
            "side": SIDES,
            "founded": date("1848-03-18", "1899-12-31", "1701-01-01", "1969-12-31"),
        },
    ),
    Case(
        "timestamps with time zones",
        b"side,seen\nnorth,2024-01-31T12:30:00+02:00\nsouth,2024-03-10 09:00:00-0500\nnorth,2024-02-29T23:59:30Z\n"
        b"south,2024-07-01T00:00:00.250+05:30\n",
        {
            "side": SIDES,
            "seen": date(
                "2024-01-31T10:30",
                "2024-03-10T14:00",
                "2024-02-29T23:59:30",
                "2024-06-30T18:30:00.250",
            ),
        },
    ),
    Case(
        "epoch seconds stay numbers",
        b"side,epoch\nnorth,1706704200\nsouth,1709251170\nnorth,1699142400\nsouth,1706704961\n",
        {
            "side": SIDES,
            "epoch": number(1706704200, 1709251170, 1699142400, 1706704961),
        },
    ),
    Case(
        "times of day, with and without AM",
        b"side,start,stop\nnorth,08:15:00,1:05 PM\nsouth,23:59:30,12:00 AM\n"
        b"north,00:00:15,9:30 am\nsouth,12:30:00,11:45 pm\n",
        {
            "side": SIDES,
            "start": date("8:15:00", "23:59:30", "0:0:15", "12:30"),
            "stop": date("13:05", "0:0", "9:30", "23:45"),
        },
    ),
    Case(
        "durations of more than a day",
        b"side,uptime\nnorth,26:15:00\nsouth,3:30:00\nnorth,101:00:30\nsouth,12:45:00\n",
        {"side": SIDES, "uptime": date("26:15:00", "3:30:00", "101:00:30", "12:45:00")},
        refusal=("uptime",),
    ),
]

EXPORTS = [
    Case(
        "a laboratory's exponents with decimal commas, and what is not detected",
        b"side;conc\nnorth;1,23E+05\nsouth;4,5E-03\nnorth;n.n.\nsouth;0,12\nnorth;7,5E+01\nsouth;n.n.\n",
        None,
        refusal=("'conc'", "'n.n.'"),
    ),
]

CASES = [*NUMBERS, *MISSING, *DATES, *EXPORTS]
