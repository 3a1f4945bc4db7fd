"""Share of public symbols whose type is known: `python -m tools.type_share [LEAST]` fails below LEAST.

Types of libraries without annotations, such as scikit-learn, are unknown whatever langevax writes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def completeness() -> dict[str, Any]:
    """Return what pyright reports on the installed langevax; it exits with 1 if any type is unknown."""
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--verifytypes",
        "langevax",
        "--ignoreexternal",
        "--outputjson",
    ]
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )  # where pyright looks for it
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    return json.loads(done.stdout)["typeCompleteness"]


def main(least: float = 0.0) -> int:
    """Print the share, and each symbol of unknown type if the share is below `least`."""
    report = completeness()
    share = float(report["completenessScore"])
    print(
        f"{share:.2%} of {sum(report['exportedSymbolCounts'].values())} public symbols have a known type"
    )
    if share >= least:
        return 0
    print(f"at least {least:.2%} must; unknown or ambiguous:")
    print(
        *(
            symbol["name"]
            for symbol in report["symbols"]
            if symbol["isExported"] and not symbol["isTypeKnown"]
        )
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2])))
