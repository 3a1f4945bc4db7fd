"""A study that takes no time."""

import xarray
from matplotlib.figure import Figure

from langevax.studies import Option, Study, Verdict
from langevax.studies.study import number


def measure(size="full", seed=0, progress=None, storeys=1.0):
    return xarray.Dataset({"height": ((), storeys * seed, {"units": "m"})}, attrs={"size": size})


def draw(data):
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([0, float(data["height"])])
    return figure


def judge(data):
    height = float(data["height"])
    return Verdict(height < 2, f"The tower is {height:g} m high.", {"height": height, "none": float("nan")})


STOREYS = {"storeys": Option("how many storeys it has", number)}
TOWER = Study("tower", "Towers are low.", "Babel, Theorem 11", measure, draw, judge, "Look up.", STOREYS)
