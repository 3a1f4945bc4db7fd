"""FedProx: local steps that are drawn back towards the server's position (Li et al., MLSys 2020, Algorithm 2)."""

from typing import Any

from langevax import checks, trees
from langevax._typing import PyTree
from langevax.federated import local
from langevax.federated.fedavg import TakesLocalSteps
from langevax.problems.finite_sum import FiniteSum


class FedProx(TakesLocalSteps):
    """FedAvg whose clients descend on f_i(y) + proximal_precision / 2 |y - x|^2.

        client:  y_0 = x;  K times:  y <- y - step_size * (gradient_J(y) + proximal_precision (y - x))
        server:  as in `FedAvg`

    The proximal term keeps clients with other rows near the server, and slows all of them. The paper solves the local
    problem inexactly by any solver; here it is K steps of SGD. Costs are those of `FedAvg`.

    Args:
        step_size, num_local_steps, batch_size, clients_per_round, server_step_size, dropout, server_optimizer: as in
            `FedAvg`.
        proximal_precision: mu >= 0; 0 is `FedAvg`.

    Raises:
        TypeError, ValueError: an invalid argument; more clients a round than there are.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, jnp.arange(6.0).reshape(3, 2))
        >>> fedprox = langevax.federated.FedProx(step_size=0.1, num_local_steps=4, proximal_precision=1.0)
        >>> result = langevax.simulate(fedprox, federation, jnp.array(0.0), key=jax.random.key(0), num_steps=60)
        >>> round(result.position.item(), 3), result.vectors
        (2.5, 360)
    """

    proximal_precision: Any = 0.1

    def __check_init__(self) -> None:
        checks.number("proximal_precision", self.proximal_precision)

    def direction(
        self,
        batch: FiniteSum,
        start: PyTree,
        position: PyTree,
    ) -> PyTree:
        drawn_back = trees.subtract(start, position)
        return local.descent_step(
            batch.gradient(position), drawn_back, self.proximal_precision
        )
