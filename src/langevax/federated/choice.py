"""A method chosen by probing rounds, in which clients train as in FedAvg and send gradients as well.

In round r a client sends, beside its change of the position, its gradient g_i over all its rows at x_r, the change d_i
of that gradient since x_{r-1}, and the squared error of the gradient of one batch. With means and variances over the
clients of a round,

    drift               K var(g_i) / mean(squared error): of K local steps, what clients' differences contribute to the
                        variance of a change over what batches contribute; summed over rounds
    Hessian difference  sqrt(var(d_i)) / |mean(d_i)|, the largest of all rounds: zeta / L along the path

and the rule

    drift <= 4                       FedAvg: batches are the noise, control variates only cost bytes
    else Hessian difference <= .3    BVR-L-SGD with all clients a round, FLEDGE with fewer
    else                             SCAFFOLD-M

Along four rounds the drift is 0.6 to 1.6 on digits split at random, 2.3 to 4.8 on the sites of docs/federated.md, and
40 and more where labels are skewed; the Hessian difference is 0.03 to 0.25 on the problem of papers/federated.py with
zeta = 0.25, and 0.8 to 3.4 on digits. Split at random FedAvg and SCAFFOLD-M take three exchanges each to 95 % of the
best accuracy on digits.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from langevax import checks, trees
from langevax._typing import FloatScalar, IntScalar, PRNGKey, PyTree
from langevax.algorithm import Info, trace_floats
from langevax.federated import local
from langevax.federated.bvr_l_psgd import Points
from langevax.federated.collapse import CollapseError
from langevax.federated.defaults import FEDERATED_METHODS
from langevax.federated.exchange import Exchange, Replies
from langevax.federated.rounds import (
    FEDERATED_COUNTS,
    Federated,
    FederatedState,
    LocalMethod,
)
from langevax.keys import unrolled
from langevax.problems.federation import Clients, Federation
from langevax.problems.finite_sum import FiniteSum


class ProbingServer(NamedTuple):
    position: PyTree
    previous: PyTree
    heterogeneity: FloatScalar
    """var(g_i) in the last round, and so on."""
    noise: FloatScalar
    hessian_difference: FloatScalar


class ProbingReply(NamedTuple):
    change: PyTree
    gradient: PyTree
    gradient_change: PyTree
    noise: FloatScalar


class ProbingRounds(LocalMethod):
    """FedAvg whose server measures how clients differ; see this file's head."""

    def server(self, position: PyTree, clients: Clients) -> ProbingServer:
        zero = jnp.zeros((), trees.dtype_of(position))
        return ProbingServer(position, position, zero, zero, zero)

    def exchanges(self, clients: Clients) -> tuple[Exchange, ...]:
        return (ProbingExchange(self.clients_per_round, self),)


class ProbingExchange(local.LocalSteps):
    """One round of probing. Two vectors down, three up; K b + b rows, and twice all rows of a client."""

    method: ProbingRounds

    def message(self, server: Any, client_id: IntScalar) -> Points:
        return Points(server.position, server.previous)

    def reply(
        self,
        client: FiniteSum,
        memory: PyTree,
        message: Any,
        key: PRNGKey,
        step: IntScalar,
    ) -> tuple[ProbingReply, PyTree]:
        x, previous = message
        step_key, noise_key = jax.random.split(key)

        def direction(batch: FiniteSum, y: PyTree) -> PyTree:
            return batch.gradient(y)

        y, _ = self.descend(client, x, direction, step, key=step_key)
        gradient = client.gradient(x)
        noisy = local.batch(client, noise_key, self.method.batch_size).gradient(x)
        error = trees.subtract(noisy, gradient)
        changes = (
            trees.subtract(y, x),
            gradient,
            trees.subtract(gradient, client.gradient(previous)),
        )
        return ProbingReply(*changes, trees.dot(error, error)), memory

    def update(
        self,
        server: Any,
        replies: Replies,
        clients: Clients,
        step: IntScalar,
    ) -> ProbingServer:
        content = replies.content
        difference, size = _variance(replies, content.gradient_change)
        new = ProbingServer(
            trees.add(server.position, replies.mean(content.change)),
            server.position,
            _variance(replies, content.gradient)[0],
            replies.mean(content.noise),
            jnp.sqrt(difference / size),
        )
        return replies.if_any(new, server)

    def evaluations(self, rows: Int[Array, "..."]) -> Any:
        one_batch = local.batch_rows(self.method.batch_size, rows)
        return 2 * rows + one_batch + super().evaluations(rows)


def _variance(
    replies: Replies, stacked: PyTree, units: int = 8
) -> tuple[FloatScalar, FloatScalar]:
    """The variance over all clients of a vector of each, and the squared norm of its mean, both without bias.

    Clients that differ by fewer than `units` in the last place of the mean are alike.
    """
    shares = jnp.where(replies.answered, replies.selection.shares, 0)
    shares = shares / jnp.maximum(jnp.sum(shares), jnp.finfo(shares.dtype).tiny)
    of_one = jnp.sum(shares**2)
    mean = replies.mean(stacked)
    errors = trees.subtract(stacked, mean)
    variance = replies.mean(jax.vmap(trees.dot)(errors, errors)) / (1 - of_one)
    rounding = (units * jnp.finfo(shares.dtype).eps) ** 2 * trees.dot(mean, mean)
    variance = jnp.where(variance <= rounding, 0, variance)
    bias = 0 if replies.selection.ids is None else of_one * variance
    return variance, jnp.maximum(trees.dot(mean, mean) - bias, 0)


class MethodChoice(NamedTuple):
    """Measurements of probing rounds, the method that goes with them, and the positions at their end."""

    algorithm: Federated
    name: str
    """Name on the command line."""
    reason: str
    drift: float
    hessian_difference: float
    position: PyTree
    """The start of the run: probing rounds are rounds of FedAvg."""
    counts: dict[str, int]
    """Exchanges, vectors, bytes and evaluations of the probing rounds."""


def choose_method(
    federation: Federation,
    position: PyTree,
    *,
    key: PRNGKey,
    step_size: float,
    num_local_steps: int,
    batch_size: int | None = None,
    clients_per_round: int | None = None,
    num_rounds: int = 4,
) -> MethodChoice:
    """Return the method that suits these clients, by a few probing rounds; the file's head has the rule.

    Args:
        federation: of the run.
        position: the start.
        key: of the probing rounds.
        step_size: of FedAvg's local steps, a number; the method's is in proportion, as their defaults are.
        num_local_steps, batch_size, clients_per_round: of the run, as in `FedAvg`; at least two clients a round.
        num_rounds: probing rounds, at least two.

    Raises:
        CollapseError: the step size is too large; it has a smaller one.
        TypeError, ValueError: an invalid argument; fewer than two clients a round.

    Example:
        >>> import jax, jax.numpy as jnp, langevax
        >>> rows = jnp.arange(24.0).reshape(6, 4) / 10  # clients differ by their means alone
        >>> federation = langevax.Federation(lambda x, row: (x - row) ** 2 / 2, rows)
        >>> options = {"step_size": 0.1, "num_local_steps": 8, "batch_size": 2}
        >>> choice = langevax.federated.choose_method(federation, jnp.array(9.0), key=jax.random.key(0), **options)
        >>> choice.name, choice.counts["exchanges"], choice.hessian_difference < 0.01
        ('bvr-l-sgd', 4, True)
    """
    checks.instance(
        "federation", federation, Federation, "langevax.Federation(loss, rows)"
    )
    checks.number("step_size", step_size, positive=True)
    checks.positive_int("num_rounds", num_rounds, minimum=2)
    probing = ProbingRounds(
        step_size=step_size,
        num_local_steps=num_local_steps,
        batch_size=batch_size,
        clients_per_round=clients_per_round,
    )
    if (selected := clients_per_round or federation.size) < 2:
        raise ValueError(
            f"clients_per_round is {selected}, but differences between clients need two; pass clients_per_round >= 2, "
            "and two clients or more."
        )
    checks.typed_key(key)
    position = jax.tree.map(jnp.asarray, checks.arrays("position", position))
    checks.position("position", position)
    probing.check(federation)
    state, measured, counts = _probe(probing, federation, position, key, num_rounds)
    heterogeneity, noise, differences = np.array(measured).T
    drift = _ratio(num_local_steps * heterogeneity.sum(), noise.sum())
    later = differences[1:]
    difference = float(np.max(np.where(np.isnan(later), np.inf, later)))
    name, reason = _rule(drift, difference, selected == federation.size)
    method = FEDERATED_METHODS[name]
    settings = {
        "step_size": step_size
        * method.step_size
        / FEDERATED_METHODS["fedavg"].step_size,
        "num_local_steps": num_local_steps,
        "batch_size": batch_size,
        "clients_per_round": clients_per_round,
    }
    algorithm = method.algorithm(
        **{name: value for name, value in settings.items() if method.has(name)}
    )
    return MethodChoice(
        algorithm, name, reason, drift, difference, state.position, counts
    )


def _probe(
    probing: ProbingRounds,
    federation: Federation,
    position: PyTree,
    key: PRNGKey,
    num_rounds: int,
) -> tuple[FederatedState, list[list[float]], dict[str, int]]:
    """Return the state after the probing rounds, what each measured, and what they cost."""
    counts: dict[str, int] = dict.fromkeys(FEDERATED_COUNTS, 0)
    state, _ = probing.init(federation, position, key)
    measured = []
    traced = trace_floats(probing, trees.dtype_of(position))
    for r in range(num_rounds):
        state, used = _step(
            traced, federation, state, jax.random.fold_in(key, r), jnp.int32(r)
        )
        counts = {name: counts[name] + int(used[name]) for name in FEDERATED_COUNTS}
        measured.append([float(number) for number in state.server[2:]])
        leaves = jax.tree.leaves(state.position)
        if not all(bool(jnp.isfinite(leaf).all()) for leaf in leaves):
            step_size: Any = probing.step_size  # a number, as `choose_method` checks
            raise CollapseError(r + 1, "the position is not finite", float(step_size))
    return state, measured, counts


@eqx.filter_jit
def _step(
    algorithm: Federated,
    federation: Federation,
    state: FederatedState,
    key: PRNGKey,
    step: IntScalar,
) -> tuple[FederatedState, Info]:
    return algorithm.step(federation, state, unrolled(key), step)


def _ratio(a: float, b: float) -> float:
    """`a / b`, infinite where only b is 0, and 0 where both are."""
    return float(a / b) if b > 0 else 0.0 if a == 0 else np.inf


def _rule(
    drift: float,
    difference: float,
    everybody: bool,
    small_drift: float = 4.0,
    small_difference: float = 0.3,
) -> tuple[str, str]:
    """The name of the method, and why."""
    words = (
        f"clients' differences move {drift:.3g} times as much as the noise of batches"
    )
    if drift <= small_drift:
        return (
            "fedavg",
            f"{words}: local steps drift little, and plain averaging sends least",
        )
    words = f"{words}, and their Hessians differ by {difference:.3g} of the mean"
    if difference > small_difference:
        return (
            "scaffold-m",
            f"{words}: control variates and momentum over the average of local steps",
        )
    which = "all clients take part" if everybody else "few clients take part"
    return (
        "bvr-l-sgd" if everybody else "fledge",
        f"{words}: variance reduction reaches the optimum, and {which}",
    )
