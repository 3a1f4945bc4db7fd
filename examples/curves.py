"""Write public curves as CSV, a row a curve, to try the command line on; `target` is what to predict.

    python examples/curves.py Tecator out/tecator.csv
    langevax fit out/tecator.csv --target target --curves wide --derivative 2 --out out/tecator

Tecator: 215 spectra of meat, columns are wavelengths in nm, the target is fat in percent. GunPoint: 200 motions of a
hand, with a gun or without. ItalyPowerDemand: 1096 days of 24 hours, October to March or not.
"""

import sys
from pathlib import Path

import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))  # for the data sets of the benchmarks
from benchmarks.curves_and_graphs.data import gunpoint, italy_power_demand, tecator

CLASSES = {
    "GunPoint": {1: "gun", 2: "point"},
    "ItalyPowerDemand": {1: "October to March", 2: "April to September"},
}


def main(name: str, file: Path) -> None:
    """Write the curves of that name."""
    data = {
        "Tecator": tecator,
        "GunPoint": gunpoint,
        "ItalyPowerDemand": italy_power_demand,
    }[name]()
    grid = data.known.get("grid", range(data.inputs.shape[1]))
    frame = pd.DataFrame(data.inputs, columns=[f"{time:.6g}" for time in grid])
    frame["target"] = [
        CLASSES[name][target] if data.classes else target for target in data.targets
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(file, index=False)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
