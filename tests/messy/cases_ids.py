"""Columns that identify rows by their names and numbers, beside quantities that look alike."""

from tests.messy.case import Case, date, dropped, number, words

ROWS = 24
BEDS = [(3 * i) % 7 + 1 for i in range(ROWS)]
SCATTERED = [10_007 + (i * 7_919) % 79_999 for i in range(ROWS)]
"""Distinct integers of five digits, in no order."""
AMOUNTS = [int(1.5 ** (i + 1)) + 7 * i for i in range(ROWS)]
"""Distinct integers from one digit to five."""


def table(name: str, cells: list, kind) -> dict:
    """Return content and columns of a table with a column of this name beside the number of beds."""
    rows = [
        f"{name},beds",
        *(f"{cell},{beds}" for cell, beds in zip(cells, BEDS, strict=True)),
    ]
    return {
        "content": ("\n".join(rows) + "\n").encode(),
        "columns": {name: kind, "beds": number(*BEDS)},
    }


IDENTIFY = [
    ("numbers of orders with gaps", "order_no", sorted(SCATTERED)),
    ("ids of customers", "customer_id", SCATTERED),
    ("a key of a data base", "customerId", SCATTERED),
    ("numbers of rows", "k", list(range(1, ROWS + 1))),
    ("numbers of invoices with a letter", "invoice", [f"R{i}" for i in SCATTERED]),
    (
        "a universal id by an unknown name",
        "token",
        [f"{i:08x}-{i * 7:04x}" for i in SCATTERED],
    ),
]
QUANTITIES = [
    ("customers from 10,001", "customer", list(range(10_001, 10_001 + ROWS))),
    ("years are not numbers of rows", "year", list(range(1990, 1990 + ROWS))),
    ("balances of accounts", "account", AMOUNTS),
    ("sums of orders", "order", AMOUNTS),
    ("counts of users", "users", SCATTERED),
    ("a sorted measurement", "pressure", sorted(SCATTERED)),
    ("distinct measurements", "area", SCATTERED),
    ("ages, one each", "age", list(range(18, 18 + ROWS))),
    (
        "numbers of customers with several rows",
        "customer_id",
        [100 + i % 8 for i in range(ROWS)],
    ),
    ("polynomial orders", "order", [1, 2, 3] * 8),
]
CASES = [
    *(Case(title, **table(name, cells, dropped())) for title, name, cells in IDENTIFY),
    *(
        Case(title, **table(name, cells, number(*cells)))
        for title, name, cells in QUANTITIES
    ),
    Case(
        "days, one each",
        **table(
            "day",
            [f"2024-01-{i + 1:02d}" for i in range(ROWS)],
            date(*(f"2024-01-{i + 1:02d}" for i in range(ROWS))),
        ),
    ),
    Case(
        "names of customers with several rows",
        **table(
            "customer",
            [f"C{i % 8}" for i in range(ROWS)],
            words(*(f"C{i % 8}" for i in range(ROWS))),
        ),
    ),
]
