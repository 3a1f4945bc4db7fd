"""No messy file is misread: each is read right, or refused by name."""

import collections

import pytest

from tests.messy.case import Case, judge, number
from tests.messy.converted import CONVERTED, judge_converted
from tests.messy.corpus import CASES
from tests.messy.curves import CURVES, judge_curves

FEWEST, FEWEST_RIGHT = 250, 165


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_messy_file_is_read_right_or_refused_by_name(case):
    verdict, detail = judge(case)
    assert verdict != "misread", detail


@pytest.mark.parametrize("case", CURVES, ids=lambda case: case.name)
def test_a_messy_table_of_curves_is_read_right_or_refused_by_name(case):
    verdict, detail = judge_curves(case)
    assert verdict == ("refused by name" if case.refusal else "read right"), detail


@pytest.mark.parametrize("case", CONVERTED, ids=lambda case: case.name)
def test_a_messy_table_is_converted_right_or_refused_by_name(case):
    verdict, detail = judge_converted(case)
    assert verdict == ("refused by name" if case.refusal else "read right"), detail


def test_most_messy_files_are_read_right():
    verdicts = collections.Counter(judge(case)[0] for case in CASES)
    assert len({case.name for case in CASES}) == len(CASES) >= FEWEST
    assert verdicts["read right"] >= FEWEST_RIGHT


@pytest.mark.parametrize(
    ("content", "columns", "refusal", "verdict"),
    [
        (b"x\n1\n3\n2.5\n", {"x": number(1, 3, 2.5)}, (), "read right"),
        (b"x\n1\n3\n2.5\n", {"x": number(1, 3, 2)}, (), "misread"),
        (b"x\n1\n3\n2.5\n", None, ("x",), "misread"),
        (b"x\n", None, ("no rows",), "refused by name"),
        (b"x\n", None, ("line 2",), "misread"),
    ],
)
def test_verdicts_are_by_values_and_by_words(content, columns, refusal, verdict):
    assert judge(Case("", content, columns, refusal))[0] == verdict
