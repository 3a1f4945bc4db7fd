"""All messy files: the lists `CASES` of the files `cases_*.py` beside this one."""

import importlib
from pathlib import Path

from tests.messy.case import Case


def _cases() -> list[Case]:
    modules = sorted(path.stem for path in Path(__file__).parent.glob("cases_*.py"))
    return [
        case
        for name in modules
        for case in importlib.import_module(f"tests.messy.{name}").CASES
    ]


CASES = _cases()
