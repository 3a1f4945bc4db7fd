"""Write a data set of scikit-learn as CSV, to try the command line.

Run it: `python examples/tables.py diabetes out/diabetes.csv`.
"""

import sys
from pathlib import Path

from sklearn import datasets

TABLES = {
    "diabetes": lambda: datasets.load_diabetes(as_frame=True, scaled=False),
    "breast_cancer": lambda: datasets.load_breast_cancer(as_frame=True),
    "wine": lambda: datasets.load_wine(as_frame=True),
    "digits": lambda: datasets.load_digits(as_frame=True),
}


def main(name: str, file: Path) -> None:
    """Write the data set with this name."""
    bunch = TABLES[name]()
    frame = bunch.frame.rename(columns={"target": "progression"} if name == "diabetes" else {})
    if name in ("breast_cancer", "wine"):
        frame["target"] = bunch.target_names[bunch.target]
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(file, index=False)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
