"""Made-up contents for the atlas: studies that take no time, one that fails, one that moves, one that is not there."""

from dataclasses import replace

import numpy as np

from langevax.figures import moving
from langevax.figures.canvas import axis, canvas
from langevax.figures.moving import MovingPanel, Scene
from langevax.figures.twin.panel import Twin
from langevax.report.atlas import Atlas, Claimed, Found, Told

VERSIONS = {"langevax": "0.1.0", "jax": "0.10.2", "numpy": "2.4.6", "python": "3.11.7"}
SCALE = [[0.0, "#440154"], [1.0, "#FDE725"]]
LOW = Claimed("it is low", "Theorem 1", 1.02, 1.0, 0.05, "equals", 0.01, "m", holds=True)
FEW = Claimed("storeys", "Theorem 2", 3.0, 2.0, 0.5, "at most", None, "", holds=False)
NONE = Claimed("windows", "", None, 2.0, 0.5, "at least", None, "", holds=False)


def panel(title="Height", rise=1.0, colour="#0072B2"):
    """A line on axes, over a map."""
    figure = canvas(300, x=axis("storeys"), y=axis("height"))
    figure.add_heatmap(x=[0, 1, 2], y=[0, 1], z=[[0, 1, 2], [2, 1, 0]], colorscale=SCALE, showscale=False)
    for y in (0.5, 1):
        figure.add_annotation(
            text="low", x=0.5, y=y, xref="paper", yref="paper", showarrow=False, font={"color": "#1F2328"}
        )
    figure.add_scatter(x=[0, 1, 2], y=[0, rise, 2 * rise], mode="lines", line={"color": colour})
    return Twin(title, figure, f"{title}: height against storeys, from 0 to {2 * rise}.", {"x": [0, 1], "y": [0, rise]})


def scene(frames=5):
    """A curve that rises."""
    grid = np.linspace(0, 1, 11)
    values = np.linspace(0, 1, frames)[:, None] * grid
    picture = moving.curve(grid, values, grid, grid, x_label="x", y_label="y")
    return Scene(
        (MovingPanel("curve", picture, "A line that climbs onto the points.", "It climbs."),), np.arange(frames) * 10
    )


def found(*claims, **changes):
    """What a study left."""
    holds = all(claim.holds for claim in claims) if claims else None
    base = Found(
        holds,
        "The tower is 1.02 m high.",
        claims,
        (panel(), panel("Width", 2.0, SCALE[0][1])),
        ("left", "right"),
        numbers={"height": 1.02, "count": 3, "none": None},
        config={"size": "small", "seed": 0},
        versions=VERSIONS,
        seconds=200.0,
        ended="2026-11-26T08:00:00+00:00",
    )
    return replace(base, **changes)


def told(name, part="problem", found=None, **changes):
    """A study."""
    base = Told(
        name=name,
        part=part,
        brief=f"Towers like {name} are low.",
        claim=f"A tower {name} is low, on the whole.",
        formula=r"h \le \frac{2}{3}, \qquad \mathrm{KL} = 0",
        source="Babel, Theorem 11",
        see="Left: it rises. Right: it widens.",
        command=f"langevax study run {name} --quick",
        found=found,
        reason="" if found else "it has no folder.",
    )
    return replace(base, **changes)


def atlas(*studies):
    """A page of them."""
    return Atlas(
        studies, "langevax study run all --quick", "langevax study run all --quick --out it\nlangevax study report it"
    )


def small():
    """One of each kind."""
    return atlas(
        told("babel", "problem", found(LOW)),
        told("pisa", "gradient", found(LOW, FEW, LOW, scene=scene())),
        told("eiffel", "algorithm", found()),
        told("sagrada", "integrator"),
    )
