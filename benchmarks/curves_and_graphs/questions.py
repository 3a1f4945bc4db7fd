"""What the doors' fits can be asked: how far from the optimum they are, and whether a finer grid changes them."""

import time
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

import langevax.sklearn
from benchmarks.curves_and_graphs.data import DataSet

FINER = 4


def certificates(sets: list[DataSet]) -> None:
    """The certificate of each door's fit on the first training rows, and the seconds of a second one like it."""
    print(f"\n{'certificates':<20}{'gap':>20}{'lower bound':>22}{'ancestors':>10}{'seconds':>9}   trustworthy")
    for data in sets:
        model = _fitted(data)
        found = model.certificate(random_state=0)
        began = time.perf_counter()
        model.certificate(random_state=1)
        seconds = time.perf_counter() - began
        gap = f"{found.gap:.5f} ±{found.standard_error:.5f}"
        bound = f"{found.lower_bound:.5f} ±{found.lower_bound_error:.5f}"
        print(
            f"{data.name:<20}{gap:>20}{bound:>22}{found.surviving_ancestors:>10.2f}{seconds:>9.2f}"
            f"   {found.trustworthy}",
            flush=True,
        )


def finer_grids(sets: list[DataSet]) -> None:
    """Test curves on a grid four times as fine, by cubic splines: what changes in the outputs of a fit on the old."""
    print(f"\n{'grid refined':<20}{'largest change of an output, in their standard deviation':>60}")
    for data in sets:
        if data.kind != "curves":
            continue
        model, (X, _) = _fitted(data), data.take(data.splits[0][1])
        grid = model.encoder_.grid_
        fine = np.linspace(grid[0], grid[-1], FINER * (len(grid) - 1) + 1)
        outputs = model.outputs(X)
        change = model.outputs(CubicSpline(grid, X.T)(fine).T, grid=fine) - outputs
        print(f"{data.name:<20}{np.abs(change).max() / outputs.std():>60.4f}", flush=True)


def _fitted(data: DataSet) -> Any:
    kind = "Functional" if data.kind == "curves" else "Graph"
    door = getattr(langevax.sklearn, f"{kind}MeanField{'Classifier' if data.classes else 'Regressor'}")
    return door(**data.known, random_state=0).fit(*data.take(data.splits[0][0]))
