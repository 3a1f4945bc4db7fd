"""FLEDGE (Oko, Akiyama, Murata, Suzuki, 2022; SILVER with local steps, ICML 2024): few clients a round.

Between clients there is one control variate y_i for each, which stands for gradient_i at the present point; within a
client it is SARAH. Nothing is taken from all clients again after the start:

    start:    y_i = gradient_i(x), v = sum_i w_i y_i
    local:    one client, drawn by weight, is sent (x, v) and returns x_new = Local(x, v), see federated/local.py
    anchor:   clients I send g_i = gradient_i(x_new), h_i = gradient_i(x_prev), all their rows;  D = mean of g_i - h_i
              y_i <- g_i  (i in I);      y_i <- y_i + D  (the others);      v = sum_i w_i y_i

The error of v forgets at the rate p / P a round and grows with what clients' Hessians differ in, so that no renewal is
needed. Who keeps the table is `table`: see `fledge_tables.py`. The public text of the papers was not at hand in full:
this is the estimator as their abstracts and later papers describe it, derived and checked again.
"""

from typing import Any

from jaxtyping import PyTree

from langevax import checks
from langevax.federated import fledge_tables as tables
from langevax.federated.exchange import Exchange
from langevax.federated.local import LocalSARAH
from langevax.federated.rounds import Federated, check_common
from langevax.problems.federation import Roster


class FLEDGE(Federated):
    """Variance reduction between clients without full participation; see this file's head.

    p near sqrt(P) costs no more rounds than all clients would, up to constants, and the fewest vectors. The step size
    must shrink with the local steps: h <= c min(1 / L, 1 / (zeta K), p / (zeta K sqrt(P))), where zeta bounds the
    difference of clients' Hessians.

    Two exchanges a round, after one at the start. Vectors of a round: 3 for the local one and 4p (table="server") or 5p
    (table="client") for the anchor. Gradients: 2 b (K - 1) of one client, and twice all rows of p.

    Args:
        step_size: h > 0, a number or a schedule of the round.
        local_steps: K.
        batch_size: b rows of a local step; None takes all rows of a client.
        clients_per_round: p clients of an anchor; None asks all.
        table: "server" holds P vectors there, and clients keep nothing; "client" has each keep its last gradient, and
            the server uses sums of replies only, so that they can be added securely.
        start: "full" asks all clients once; "mini" asks p, and their mean stands for the others.
        radius: of noise in every local step, uniform in a ball, as in `BVRLPSGD`; None for none.
        dropout: probability that a client which was asked does not answer, see `Federated`. Its y_i moves by D as do
            those that were not asked, and x_prev stays the point of the last anchor that anyone answered.

    Raises:
        TypeError, ValueError: an argument that is not what it must be; more clients a round than there are.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(12.0).reshape(6, 2))
        >>> fledge = langevax.federated.FLEDGE(step_size=0.1, local_steps=4, batch_size=1, clients_per_round=2)
        >>> result = langevax.simulate(fledge, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=30)
        >>> round(result.position.item(), 3), result.exchanges, result.vectors  # start 12, then 30 x (4 x 2 + 3)
        (5.5, 61, 342)
    """

    step_size: Any
    local_steps: int
    batch_size: int | None = None
    clients_per_round: int | None = None
    table: str = "server"
    start: str = "full"
    radius: Any = None
    dropout: Any = 0.0

    def __check_init__(self) -> None:
        check_common(self.step_size, self.local_steps, self.batch_size, self.clients_per_round, self.dropout)
        if self.radius is not None:
            checks.number("radius", self.radius)
        for name, known in (("table", ("server", "client")), ("start", ("full", "mini"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be {known[0]!r} or {known[1]!r}, got {getattr(self, name)!r}.")

    def server(self, position: PyTree, roster: Roster) -> Any:
        kind = tables.TableServer if self.table == "server" else tables.ShiftServer
        return kind.at(position, roster.num_clients)

    def memory(self, position: PyTree) -> Any:
        return () if self.table == "server" else tables.no_gradient(position)

    def opening(self) -> tuple[Exchange, ...]:
        first = None if self.start == "full" else self.clients_per_round
        return (tables.ServerTableStart(first) if self.table == "server" else tables.ClientTableStart(first),)

    def exchanges(self, roster: Roster) -> tuple[Exchange, ...]:
        p = self.clients_per_round
        anchor = tables.ServerTableAnchor(p) if self.table == "server" else tables.ClientTableAnchor(p)
        return LocalSARAH(1, self.step_size, self.local_steps, self.batch_size, self.radius), anchor
