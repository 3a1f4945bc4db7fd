"""Every table but those that take long or an accelerator: `python -m benchmarks`, or by name: `... driver memory`.

The first is the one beside peers.
"""

import argparse
import importlib
import sys

from benchmarks.beside.__main__ import main as beside
from benchmarks.beside.case import FILES

TABLES = {
    "tables": "tables:main",
    "real_tables": "real_tables:main",
    "coverage": "real_tables:coverage",
    "low_noise": "low_noise:main",
    "curves_and_graphs": "curves_and_graphs:main",
    "curves": "curves:main",
    "solvers": "tables:solvers",
    "driver": "driver",
    "mfld_step": "mfld_step",
    "sledge_step": "driver:sledge_step",
    "two_phase": "two_phase",
    "federated": "federated:main",
    "flower": "federated:flower",
    "federated_networks": "federated_networks:main",
    "sampling": "sampling",
    "many_rows": "sampling:many_rows",
    "function_space": "function_space:main",
    "inverse": "inverse:main",
    "kernels": "kernels:main",
    "learning_coefficient": "learning_coefficient:main",
    "feature_learning": "feature_learning:main",
    "memory": "startup:memory",
    "processes": "cluster:processes",
    "growth": "growth:main",
    "largest": "largest:main",
    "import_time": "startup:import_time",
    "first_step": "startup:first_step",
    "first_fit": "first_fit:main",
    "out_of_core": "out_of_core:main",
    "messy": "messy:main",
    "certificates": "certificates:main",
    "influence": "influence:main",
    "predictive": "predictive:main",
    "ordinal": "ordinal:main",
    "accelerator": "accelerator:main",
    "posteriors": "posteriors:main",
    "posteriordb": "posteriordb:main",
    "calibration": "calibration:main",
    "three_models": "three_models:main",
    "bbob": "bbob:main",
    "minimize": "minimize:main",
    "minimize_constrained": "minimize:constrained",
}
"""Each table's file, which may declare lines of the table beside peers (`CASES`), and the function that prints it."""

HOURS = (
    "learning_coefficient",
    "real_tables",
    "coverage",
    "low_noise",
    "curves",
    "federated_networks",
    "certificates",
    "influence",
    "predictive",
    "accelerator",
    "posteriors",
    "posteriordb",
    "many_rows",
    "calibration",
    "three_models",
    "bbob",
    "minimize",
    "inverse",
    "kernels",
)
"""Tables that take a quarter of an hour to hours, or an accelerator: measured only by name, with options that
`python -m benchmarks NAME --help` lists."""


def main() -> int:
    """Print the named tables, or all of them; 1 where a line failed."""
    name, *options = sys.argv[1:] or [""]
    if name in HOURS and options and options[0].startswith("-"):
        file, _, function = TABLES[name].partition(":")
        failed = getattr(importlib.import_module(f"benchmarks.{file}"), function)(
            options
        )
        return failed if isinstance(failed, int) else 0
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"one of {', '.join(TABLES)}; all but {' and '.join(HOURS)} by default",
    )
    names = parser.parse_args().names
    if unknown := [name for name in names if name not in TABLES]:
        sys.exit(f"no table {unknown[0]!r}; there are {', '.join(TABLES)}")
    chosen = {
        name: TABLES[name].partition(":")
        for name in names or [name for name in TABLES if name not in HOURS]
    }
    files = (
        tuple(dict.fromkeys(file for file, _, _ in chosen.values() if file in FILES))
        if names
        else FILES
    )
    own = (
        ["--out", f"out/{'-'.join(names)}.json"] if names else []
    )  # the whole table keeps its file
    failed = beside(own, files) if files else 0
    for name, (file, _, function) in chosen.items():
        if function:
            print(f"\n# {name}", flush=True)
            getattr(importlib.import_module(f"benchmarks.{file}"), function)()
    return failed


if __name__ == "__main__":
    sys.exit(main())
