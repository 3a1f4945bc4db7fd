"""A study that takes no time."""

from dataclasses import dataclass

import xarray
from matplotlib.figure import Figure

from langevax.studies import Claim, Config, Study, Verdict
from langevax.studies.study import number, setting


@dataclass(frozen=True)
class Plan(Config):
    storeys: float | None = setting("how many storeys it has", number)


def measure(config, progress=None):
    height = config.seed * (1.0 if config.storeys is None else config.storeys)
    return xarray.Dataset({"height": ((), height, {"units": "m"})}, attrs={"size": config.size})


def draw(data):
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([0, float(data["height"])])
    return figure


def judge(data):
    height = float(data["height"])
    claim = Claim(
        "it is low", "Babel, Theorem 11", height, predicted=2.0, tolerance=-1e-9, relation="at most", unit="m"
    )
    return Verdict((claim,), f"The tower is {height:g} m high.", {"height": height, "none": float("nan")})


TOWER = Study(
    name="tower",
    part="problem",
    brief="Low towers.",
    claim="Towers are low.",
    formula="h < 2",
    source="Babel, Theorem 11",
    measure=measure,
    draw=draw,
    judge=judge,
    see="Look up.",
    config=Plan,
)
