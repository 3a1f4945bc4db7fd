"""Share of public symbols whose type is known: `python -m tools.type_share [LEAST]` fails below LEAST.

Types of libraries without annotations, such as scikit-learn, are unknown whatever langevax writes.
"""

import json
import subprocess
import sys
from typing import Any


def completeness() -> dict[str, Any]:
    """Return what pyright reports on the installed langevax; it exits with 1 if any type is unknown."""
    command = [sys.executable, "-m", "pyright", "--verifytypes", "langevax", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)["typeCompleteness"]


def main(least: float = 0.0) -> int:
    """Print the share, and each symbol of unknown type if the share is below `least`."""
    report = completeness()
    share = float(report["completenessScore"])
    print(f"{share:.2%} of {sum(report['exportedSymbolCounts'].values())} public symbols have a known type")
    if share >= least:
        return 0
    print(f"at least {least:.2%} must; unknown or ambiguous:")
    print(*(symbol["name"] for symbol in report["symbols"] if symbol["isExported"] and not symbol["isTypeKnown"]))
    return 1


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2])))
