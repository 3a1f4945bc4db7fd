"""Words that stand for a missing number in a text file, for `convert_table` and the command line."""

MISSING = (
    "",
    "NA",
    "N/A",
    "n/a",
    "NaN",
    "nan",
    "NULL",
    "null",
    "None",
    "?",
    "NaT",
    "<NA>",
    "(null)",
    "\\N",
)
MISSING += ("#N/A", "#NA", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!")
