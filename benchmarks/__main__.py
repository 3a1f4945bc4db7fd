"""Every table, one after the other: `python -m benchmarks`, or `python -m benchmarks driver memory`."""

import importlib
import sys

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
    "import_time",
    "out_of_core",
)


def main() -> None:
    """Run the named tables, or all of them."""
    for name in sys.argv[1:] or TABLES:
        if name not in TABLES:
            sys.exit(f"no table {name!r}; there are {', '.join(TABLES)}")
        print(f"\n# {name}", flush=True)
        sys.argv[1:] = []
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
