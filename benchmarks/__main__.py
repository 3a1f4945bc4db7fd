"""Every table: `python -m benchmarks`, or `python -m benchmarks driver memory`. First comes the one beside peers.

A file may declare lines of that table (`CASES`), and print a table of its own (`main`).
"""

import importlib
import sys

from benchmarks.beside.__main__ import main as beside
from benchmarks.beside.case import FILES

TABLES = (
    "tables",
    "curves_and_graphs",
    "solvers",
    "driver",
    "mfld_step",
    "svrg_chains",
    "sledge_step",
    "two_phase",
    "federated",
    "flower",
    "sampling",
    "function_space",
    "feature_learning",
    "memory",
    "processes",
    "growth",
    "largest",
    "import_time",
    "first_step",
    "out_of_core",
)


def main() -> int:
    """The named tables, or all of them; 1 where a line failed."""
    names = sys.argv[1:]
    if unknown := [name for name in names if name not in TABLES]:
        sys.exit(f"no table {unknown[0]!r}; there are {', '.join(TABLES)}")
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names or TABLES}
    with_lines = tuple(name for name, module in modules.items() if hasattr(module, "CASES"))
    own = ["--out", f"out/{'-'.join(names)}.json"] if names else []  # the whole table keeps its file
    failed = beside(own, with_lines if names else FILES) if with_lines else 0
    for name, module in modules.items():
        if hasattr(module, "main"):
            print(f"\n# {name}", flush=True)
            module.main()
    return failed


if __name__ == "__main__":
    sys.exit(main())
