"""Write a data set of scikit-learn as CSV, to try the command line, or simulated customers as Excel exports them.

Run it: `python examples/tables.py diabetes out/diabetes.csv`, `python examples/tables.py customers out/customers.csv`.
"""

import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from sklearn import datasets

TABLES = {
    "diabetes": lambda: datasets.load_diabetes(as_frame=True, scaled=False),
    "breast_cancer": lambda: datasets.load_breast_cancer(as_frame=True),
    "wine": lambda: datasets.load_wine(as_frame=True),
    "digits": lambda: datasets.load_digits(as_frame=True),
}


def customers(size: int = 900) -> str:
    """Return simulated customers as a German Excel writes them; a tenth cancel, and only they have a reason."""
    random = np.random.default_rng(7)
    region, contract = (
        random.choice(["Süd", "Nord", "Ost", "West"], size),
        random.choice(["monthly", "yearly"], size),
    )
    days, calls = random.integers(30, 2500, size), random.poisson(1.3, size)
    fee = np.round(random.gamma(6.0, 7.0, size) + 9, 2)
    logit = (
        -4.2
        + 0.75 * calls
        + 1.3 * (contract == "monthly")
        - 0.0009 * days
        + 0.012 * fee
    )
    cancelled = random.random(size) < 1 / (1 + np.exp(-logit))
    why = random.choice(["price", "moved", "service"], size)
    lines = ["customer no;region;contract;since;fee;calls;reason;cancelled"]
    for i in range(size):
        since = date(2026, 6, 30) - timedelta(days=int(days[i]))
        euros = "unknown" if i % 97 == 5 else f"{fee[i]:.2f} €".replace(".", ",")
        cells = (
            str(10_001 + i),
            region[i],
            contract[i],
            f"{since:%d.%m.%Y}",
            euros,
            str(calls[i]),
        )
        lines.append(
            ";".join([*cells, *((why[i], "yes") if cancelled[i] else ("", "no"))])
        )
    return "\r\n".join(lines) + "\r\n"


def main(name: str, file: Path) -> None:
    """Write the data set with this name."""
    if name == "customers":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(customers(), encoding="utf-8-sig", newline="")
        return
    bunch = TABLES[name]()
    frame = bunch.frame.rename(
        columns={"target": "progression"} if name == "diabetes" else {}
    )
    if name in ("breast_cancer", "wine"):
        frame["target"] = bunch.target_names[bunch.target]
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(file, index=False)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
