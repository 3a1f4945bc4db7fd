"""How many messy files are read right: `python -m benchmarks messy`."""

from collections import Counter
from typing import get_args

from tests.messy.case import Verdict, judge
from tests.messy.corpus import CASES


def main() -> None:
    """Print each file that is not read right, and the number of each verdict."""
    verdicts = Counter[str]()
    for case in CASES:
        verdict, detail = judge(case)
        verdicts[verdict] += 1
        if verdict != "read right":
            print(f"{verdict:<16}  {case.name}: {detail}")
    print(f"\n{len(CASES)} messy files")
    for verdict in get_args(Verdict):
        print(f"{verdict:<16}  {verdicts[verdict]}")


if __name__ == "__main__":
    main()
