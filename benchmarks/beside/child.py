"""The process that measures: `python -m benchmarks.beside.child OUT FILE CASE share most`, or `... CANDIDATE`.

Writes what it found to OUT as JSON. Its parent is `children.py`.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.beside.case import cases_of
from benchmarks.beside.measure import sentence, timed
from benchmarks.beside.memory import memory


def main(out: str, file: str, name: str, *rest: str) -> None:
    """Time the case, or read the memory of one of its candidates."""
    try:
        case = next(case for case in cases_of(file) if case.name == name)
        if len(rest) == 2:
            found = timed(case, float(rest[0]), int(rest[1]) or None)
            import jax

            said = {"found": [asdict(f) for f in found], "device": jax.devices()[0].device_kind}
        else:
            said = memory(next(c for c in case.candidates if c.name == rest[0]))
    except Exception as error:  # the parent goes on with the next case, and shows this
        said = {"error": sentence(error)}
    Path(out).write_text(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
