"""The report of the file of results, as Markdown."""

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """Return the last record of each (table, fold, method); a line that was cut off is ignored."""
    records: dict[tuple[str, int, str], Record] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        records[record["table"], record["fold"], record["method"]] = record
    return list(records.values())


def printed(records: list[Record]) -> str:
    return f"{len(records)} results"
