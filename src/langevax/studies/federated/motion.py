"""What moves in the study "federated": clients around their server, a rival beside it, and how steep f is there."""

from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.federated.watched import PARTICIPANTS, ROWS

if TYPE_CHECKING:
    import xarray

    from langevax.figures.moving import Scene


def move(dataset: "xarray.Dataset") -> "Scene":
    """FLEDGE's server and its clients on the plane with FedAvg's server, and |grad f| at both."""
    from langevax.figures.beside import beside
    from langevax.figures.canvas import note, span
    from langevax.figures.federation import SERVER, disagreement
    from langevax.figures.moving import MovingPanel, Scene
    from langevax.figures.paths import along
    from langevax.figures.theme import INK, OKABE_ITO

    spent, clients = dataset.watched_exchanges.values, dataset.sizes["client"]
    servers = {str(name): dataset.server.sel(watched=name).values for name in dataset.watched.values}
    plane = disagreement(
        servers["FLEDGE"], dataset.lead, np.full(clients, ROWS), x_label="first coordinate", y_label="second coordinate"
    )
    plane = beside(plane, servers["FedAvg"], name="FedAvg's server", colour=OKABE_ITO[2])
    every = [span(dataset.server[..., k], dataset.lead[..., k]) for k in range(2)]
    plane.figure.update_layout(xaxis_range=every[0], yaxis_range=every[1])
    note(plane.figure, "✕ minimum", x=0, y=0, xanchor="left", xshift=-6, font={"size": 13, "color": INK})
    steep = {name: np.maximum(dataset.steepness.sel(watched=name).values, 1e-9) for name in servers}
    ends = " and ".join(f"{curve[-1]:.1e} with {name}" for name, curve in steep.items())
    curves = along(
        spent, steep, x_label="exchanges", y_label="|grad f| at the server",
        colours={"FLEDGE": SERVER, "FedAvg": OKABE_ITO[2]},
    )  # fmt: skip
    return Scene(
        (
            MovingPanel(
                "clients and servers", plane,
                "Two servers go to the minimum; around one a dot stands where each client's gradient would lead.",
                f"The orange diamond is FLEDGE's server, and blue dots are where the gradient of each of {clients} "
                "clients would lead it; green is FedAvg's server, of the same step and the same rows. At the minimum "
                "clients pull apart as much as before.",
            ),
            MovingPanel(
                "gradients", curves,
                "The gradient falls with FLEDGE all along; with FedAvg it stays where clients' steps shake it.",
                f"After {spent[-1]} exchanges |grad f| is {ends}. FLEDGE asks {PARTICIPANTS} clients at a time, knows "
                "what they differ in, and comes to rest; FedAvg is shaken by their local steps.",
            ),
        ),
        spent,
        "exchange between server and clients",
    )  # fmt: skip
