"""The number of messy files that are read right: `python -m benchmarks messy`."""

from collections import Counter
from typing import get_args

from tests.messy.case import Verdict, judge
from tests.messy.converted import CONVERTED, judge_converted
from tests.messy.corpus import CASES
from tests.messy.curves import CURVES, judge_curves


def main() -> None:
    """Print each file that is not read right, and the number of each verdict."""
    verdicts = Counter[str]()
    judged = [(case.name, *judge(case)) for case in CASES]
    judged += [(case.name, *judge_curves(case)) for case in CURVES]
    judged += [(case.name, *judge_converted(case)) for case in CONVERTED]
    for name, verdict, detail in judged:
        verdicts[verdict] += 1
        if verdict != "read right":
            print(f"{verdict:<16}  {name}: {detail}")
    print(f"\n{len(judged)} messy files")
    for verdict in get_args(Verdict):
        print(f"{verdict:<16}  {verdicts[verdict]}")


if __name__ == "__main__":
    main()
