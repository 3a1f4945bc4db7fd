"""The rows of the table of an accelerator: each task, ours and its peers."""

import functools
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

import langevax as lx
from benchmarks import federated, mfld_step, mfld_torch
from benchmarks.accelerator import draws, jax_steps, torch_steps, work
from benchmarks.accelerator.jax_steps import Training
from benchmarks.accelerator.task import Candidate, Scale, Task, of_torch
from benchmarks.accelerator.work import Work
from benchmarks.driver import logistic, simulated
from benchmarks.function_space import RIDGE, STEP_SIZE, target
from benchmarks.tables import friedman
from langevax.meanfield import certify, mfld
from langevax.meanfield.clouds import Clouds
from langevax.meanfield.gibbs_law import GibbsLaw
from langevax.problems import mean_field
from langevax.sklearn import MeanFieldRegressor
from langevax.sklearn.column_maps import Standardiser

COLUMNS, CHAINS = 20, 8
FEW_ROWS = 128, 256  # at which the work of a step is read off
CHAIN_STEP, CLIENT_STEP = 0.05, 0.1
DESCENT_STEPS = (
    20  # after so many a certificate leaves out the descents that have ended
)
CERTIFIED_TEMPERATURE = 0.05
TRAINED = {"temperature": 0.01, "relative_step_size": 1.0, "output_scale": 10.0}
NO_CERTIFICATE = "no other library bounds the least objective; the descents inside it are the row above"
NO_CHOICE = (
    "no other library has this choice; the training that follows it is the row above"
)


def tasks(scale: Scale) -> Iterator[Task]:
    """Yield all tasks, the longest last."""
    for rows, particles in scale.clouds:
        yield clouds(rows, particles, scale.compiler)
    yield svrg(scale.chain_rows, scale.batch_size, scale.compiler)
    yield sgld(scale.chain_rows, scale.batch_size, scale.compiler)
    yield functions(scale.modes, scale.compiler)
    yield fledge(*scale.clients, scale.compiler)
    yield averages(*scale.clients, scale.compiler)
    yield fit(*scale.trained, scale.compiler)
    yield choosing_fit(scale.trained[0])
    yield descents(scale.certified[:2], scale.descents, scale.compiler)
    yield certificate(*scale.certified)
    for rows in scale.sampled_rows:
        yield draws.task(rows, logistic_rows(rows))


def clouds(rows: int, particles: int, compiler: str) -> Task:
    """Return steps of mean-field Langevin."""
    shape = rows, COLUMNS, particles

    def ours(precision: str | None, steps: int) -> Callable[[], Any]:
        inputs, targets = mfld_torch.table(rows, COLUMNS)
        risk = mean_field_risk(inputs, targets)
        start, step = (
            jnp.asarray(mfld_torch.cloud_of(COLUMNS, particles)),
            mean_field_langevin(),
        )
        run = simulated(step, risk, start, steps)

        def run_in_precision() -> Any:
            with jax.default_matmul_precision(precision):
                return run()

        return run_in_precision

    def of_rows(few: int) -> Work:
        risk = mean_field_risk(*mfld_torch.table(few, COLUMNS))
        return work.of_step(
            mean_field_langevin(), risk, jnp.zeros((particles, COLUMNS + 1))
        )

    def of_step() -> Work:
        block = mean_field.rows_of_a_block(particles, rows) or FEW_ROWS[1]
        few = min(FEW_ROWS[0], block // 2), min(FEW_ROWS[1], block)
        return of_rows(few[0]).along(of_rows(few[1]), few, rows)

    def torch(backend: str | None, steps: int) -> Callable[[], Any]:
        if backend is None:
            return mfld_torch.torch_loop(*shape, steps)
        return mfld_torch.torch_compiled(*shape, steps, backend=backend)

    return Task(
        f"mean-field Langevin, n = {rows:,}, d = {COLUMNS}, N = {particles:,}",
        "a step",
        (
            Candidate("langevax", functools.partial(ours, None), precision="default"),
            Candidate("langevax, float32 products", functools.partial(ours, "float32")),
            Candidate(
                "langevax, bfloat16 products",
                functools.partial(ours, "bfloat16"),
                precision="bfloat16",
            ),
            Candidate(
                "plain JAX",
                functools.partial(mfld_step.naive, *shape),
                precision="default",
            ),
            *of_torch(torch, compiler),
        ),
        of_step,
    )


def mean_field_risk(inputs: np.ndarray, targets: np.ndarray) -> lx.MeanFieldRisk:
    """Return the risk of all candidates."""
    return lx.MeanFieldRisk(
        lx.neurons.Tanh(),
        lx.losses.squared,
        inputs,
        targets,
        precision=mfld_torch.PRECISION,
    )


def mean_field_langevin() -> Any:
    """Return the step of all candidates."""
    return lx.meanfield.MFLD(
        step_size=mfld_torch.STEP_SIZE, temperature=mfld_torch.TEMPERATURE
    )


def logistic_rows(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return standard normal inputs, and labels of a logistic model."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((rows, COLUMNS), np.float32)
    labels = np.where(rng.random(rows) < 1 / (1 + np.exp(-inputs[:, 0])), 1, -1).astype(
        np.float32
    )
    return inputs, labels


def logistic_risk(rows: int) -> lx.FiniteSum:
    """Return the risk of chains on these rows."""
    return lx.FiniteSum(logistic, logistic_rows(rows), precision=1 / rows)


def chain_work(rows: int, batch_size: int) -> Work:
    """Return the work of a step of one chain with gradients of so many rows."""
    step = lx.Langevin(
        CHAIN_STEP, 1 / rows, lx.gradients.Minibatch(batch_size=batch_size)
    )
    return work.of_step(step, logistic_risk(batch_size), jnp.zeros(COLUMNS))


def svrg(rows: int, batch_size: int, compiler: str) -> Task:
    """Return steps of SVRG-LD, a full pass every n / 2B of them."""
    period = rows // (2 * batch_size)
    options = {
        "step_size": CHAIN_STEP,
        "temperature": 1 / rows,
        "batch_size": batch_size,
        "period": period,
    }

    def ours(steps: int) -> Callable[[], Any]:
        algorithm = lx.Langevin(
            CHAIN_STEP,
            1 / rows,
            lx.gradients.SVRG(batch_size=batch_size, period=period),
        )
        return simulated(
            algorithm, logistic_risk(rows), jnp.zeros(COLUMNS), steps, num_chains=CHAINS
        )

    def plain(steps: int) -> Callable[[], Any]:
        arguments = (
            *map(jnp.asarray, logistic_rows(rows)),
            jnp.zeros((CHAINS, COLUMNS)),
            random.key(0),
        )
        return jax_steps.waiting(
            functools.partial(jax_steps.svrg_scan, **options, steps=steps), *arguments
        )

    def torch(backend: str | None, steps: int) -> Callable[[], Any]:
        return torch_steps.chains(
            logistic_rows(rows), CHAINS, steps=steps, backend=backend, **options
        )

    def of_step() -> Work:
        passes = [
            work.of_function(
                lambda p, x: p.gradient(x), logistic_risk(size), jnp.zeros(COLUMNS)
            )
            for size in FEW_ROWS
        ]
        a_pass = passes[0].along(passes[1], FEW_ROWS, rows)
        return Work(0, 0).plus(
            chain_work(rows, 2 * batch_size).plus(a_pass, 1 / period), CHAINS
        )

    return Task(
        f"SVRG-LD, n = {rows:,}, d = {COLUMNS}, B = {batch_size:,}, {CHAINS} chains",
        "a step of all chains",
        (
            Candidate("langevax", ours),
            Candidate("plain JAX", plain),
            *of_torch(torch, compiler),
        ),
        of_step,
    )


def sgld(rows: int, batch_size: int, compiler: str) -> Task:
    """Return steps of SGLD."""
    options = {
        "step_size": CHAIN_STEP,
        "temperature": 1 / rows,
        "batch_size": batch_size,
    }

    def ours(steps: int) -> Callable[[], Any]:
        algorithm = lx.Langevin(
            CHAIN_STEP, 1 / rows, lx.gradients.Minibatch(batch_size=batch_size)
        )
        return simulated(
            algorithm, logistic_risk(rows), jnp.zeros(COLUMNS), steps, num_chains=CHAINS
        )

    def plain(steps: int) -> Callable[[], Any]:
        arguments = (
            *map(jnp.asarray, logistic_rows(rows)),
            jnp.zeros((CHAINS, COLUMNS)),
            random.key(0),
        )
        return jax_steps.waiting(
            functools.partial(jax_steps.sgld_scan, **options, steps=steps), *arguments
        )

    def torch(backend: str | None, steps: int) -> Callable[[], Any]:
        return torch_steps.chains(
            logistic_rows(rows),
            CHAINS,
            period=None,
            steps=steps,
            backend=backend,
            **options,
        )

    return Task(
        f"SGLD, n = {rows:,}, d = {COLUMNS}, B = {batch_size:,}, {CHAINS} chains",
        "a step of all chains",
        (
            Candidate("langevax", ours),
            Candidate("plain JAX", plain),
            *of_torch(torch, compiler),
        ),
        lambda: Work(0, 0).plus(chain_work(rows, batch_size), CHAINS),
    )


def functions(modes: int, compiler: str) -> Task:
    """Return semi-implicit steps with the loss and the penalty mode by mode."""
    algorithm = lx.Langevin(STEP_SIZE, 1.0, integrator=lx.integrators.SemiImplicit())

    def ours(steps: int) -> Callable[[], Any]:
        return simulated(algorithm, target(modes), jnp.zeros(modes), steps)

    def plain(steps: int) -> Callable[[], Any]:
        return jax_steps.waiting(
            jax_steps.functions, modes, steps, random.key(0), STEP_SIZE, RIDGE
        )

    def torch(backend: str | None, steps: int) -> Callable[[], Any]:
        return torch_steps.functions(modes, steps, STEP_SIZE, RIDGE, backend)

    return Task(
        f"functions, loss by modes, {modes:,} modes",
        "a step",
        (
            Candidate("langevax", ours),
            Candidate("plain JAX", plain),
            *of_torch(torch, compiler),
        ),
        lambda: work.of_step(algorithm, target(modes), jnp.zeros(modes)),
    )


def fledge(clients: int, coordinates: int, chosen: int, compiler: str) -> Task:
    """Return rounds of FLEDGE, whose server holds the table."""
    method = lx.federated.FLEDGE(
        CLIENT_STEP, federated.LOCAL_STEPS, batch_size=1, clients_per_round=chosen
    )

    def of_round() -> Work:
        without_fold = functools.partial(
            jax_steps.fledge_scan, every=3
        )  # of the two rounds that are counted
        state = jax_steps.FLEDGEState(
            *(jnp.zeros(coordinates),) * 3, jnp.zeros((clients, coordinates))
        )
        a_fold = work.of_function(jax_steps.fold, state)
        return round_work(without_fold, coordinates, chosen).plus(
            a_fold, chosen / clients
        )

    return rounds(
        "FLEDGE",
        method,
        jax_steps.fledge_scan,
        torch_steps.fledge,
        of_round,
        chosen,
        compiler,
        clients,
        coordinates,
    )


def averages(clients: int, coordinates: int, chosen: int, compiler: str) -> Task:
    """Return rounds of FedAvg."""
    method = lx.federated.FedAvg(
        CLIENT_STEP, federated.LOCAL_STEPS, batch_size=1, clients_per_round=chosen
    )
    of_round = functools.partial(round_work, jax_steps.fedavg_scan, coordinates, chosen)
    return rounds(
        "FedAvg",
        method,
        jax_steps.fedavg_scan,
        torch_steps.fedavg,
        of_round,
        chosen,
        compiler,
        clients,
        coordinates,
    )


def rounds(
    name: str,
    method: Any,
    scan: Callable[..., Any],
    torch_rounds: Callable[..., Any],
    of_round: Callable[[], Work],
    chosen: int,
    compiler: str,
    *sizes: int,
) -> Task:
    """Return rounds of a federated method, with one row a local step."""

    def ours(steps: int) -> Callable[[], Any]:
        federation = lx.Federation(federated.squared, rows_of_clients(*sizes))
        return simulated(method, federation, jnp.zeros(sizes[1]), steps)

    def plain(steps: int) -> Callable[[], Any]:
        arguments = (
            *map(jnp.asarray, rows_of_clients(*sizes)),
            jnp.zeros(sizes[1]),
            random.key(0),
        )
        return jax_steps.waiting(
            scan, *arguments, steps, chosen, federated.LOCAL_STEPS, CLIENT_STEP
        )

    def torch(backend: str | None, steps: int) -> Callable[[], Any]:
        rows = rows_of_clients(*sizes)
        return torch_rounds(
            rows, chosen, federated.LOCAL_STEPS, steps, CLIENT_STEP, backend
        )

    return Task(
        f"{name}, {sizes[0]:,} clients, d = {sizes[1]:,}, {chosen} a round",
        "a round",
        (
            Candidate("langevax", ours),
            Candidate("plain JAX", plain),
            *of_torch(torch, compiler),
        ),
        of_round,
    )


def round_work(scan: Callable[..., Any], coordinates: int, chosen: int) -> Work:
    """Return the work of a round written out in plain JAX: of two rounds without their loop, less that of one.

    Of the clients chosen alone, since XLA counts a table that is read by index as read in full.
    """
    arguments = (
        *map(jnp.asarray, rows_of_clients(chosen, coordinates)),
        jnp.zeros(coordinates),
        random.key(0),
    )

    def of_rounds(number: int) -> Work:
        options = {
            "local_steps": federated.LOCAL_STEPS,
            "step_size": CLIENT_STEP,
            "unroll": True,
        }
        return work.of_function(
            lambda *arrays: scan(*arrays, steps=number, chosen=chosen, **options),
            *arguments,
        )

    return of_rounds(2).plus(of_rounds(1), -1)


def rows_of_clients(clients: int, coordinates: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs, (client, row, coordinate), and targets."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal(
        (clients, federated.ROWS, coordinates), np.float32
    ) / np.float32(coordinates**0.5)
    return inputs, inputs[..., 0] + np.float32(1)


def fit(
    rows: int, particles: int, steps: int, batch_size: int | None, compiler: str
) -> Task:
    """Return the training of a table's network with settings that are passed."""
    table = friedman(rows)
    problem = training(*table, particles)

    def ours(_: int) -> Callable[[], Any]:
        return lambda: estimator(particles, steps, batch_size).fit(*table)

    def plain(_: int) -> Callable[[], Any]:
        return jax_steps.waiting(
            jax_steps.trained, problem, random.key(0), steps, batch_size
        )

    def torch(backend: str | None, _: int) -> Callable[[], Any]:
        return torch_steps.trained(problem, batch_size, steps, backend)

    def of_fit() -> Work:
        few = batch_size or rows
        risk, step_sizes = risk_of(problem.inputs[:few], problem.targets[:few])
        step = lx.meanfield.MFLD(step_sizes, TRAINED["temperature"])
        return Work(0, 0).plus(
            work.of_step(step, risk, jnp.asarray(problem.start)), steps
        )

    batches = "all rows" if batch_size is None else f"batches of {batch_size}"
    return Task(
        f"MeanFieldRegressor, settings passed, friedman, n = {rows:,}, N = {particles}, {steps:,} steps, {batches}",
        "a fit",
        (
            Candidate("langevax", ours, precision="default"),
            Candidate("plain JAX, training alone", plain),
            *(
                Candidate(
                    f"{peer.name}, training alone",
                    peer.make,
                    peer.needs,
                    reason=peer.reason,
                )
                for peer in of_torch(torch, compiler)
            ),
        ),
        of_fit,
        once=True,
    )


def estimator(
    particles: int, steps: int, batch_size: int | None, **options: Any
) -> MeanFieldRegressor:
    """Return the estimator whose settings are all passed."""
    settings = {
        "scaling": "columns",
        "learn_scales": False,
        "validation": None,
        "stop": None,
        "random_state": 0,
    }
    settings |= {
        "num_particles": particles,
        "num_steps": steps,
        "batch_size": batch_size,
        "run": lx.Run(progress=False),
    }
    return MeanFieldRegressor(**settings, **TRAINED, **options)


def training(X: np.ndarray, y: np.ndarray, particles: int) -> Training:
    """Return the same problem in numbers: standardised rows in their eigenbasis, and the gains of ours."""
    inputs = Standardiser.fit(X, np.ones(len(X)), "columns")(X)
    inputs = (inputs @ np.linalg.eigh(inputs.T @ inputs)[1]).astype(np.float32)
    targets = ((y - y.mean()) / y.std()).astype(np.float32)
    risk, step_sizes = risk_of(inputs, targets)
    decay, drift, noise = map(
        np.asarray, lx.integrators.Exponential().gains(step_sizes, risk.precision)
    )
    start = np.random.default_rng(0).standard_normal(
        (particles, X.shape[1] + 2), np.float32
    )
    spread = np.float32(TRAINED["temperature"] ** 0.5) * noise
    return Training(
        inputs, targets, start, TRAINED["output_scale"], decay, drift, spread
    )


def risk_of(inputs: np.ndarray, targets: np.ndarray) -> tuple[lx.MeanFieldRisk, Any]:
    """Return the risk of such a fit, and the step size of each coordinate."""
    neuron, precision = (
        lx.neurons.TanhTanh(TRAINED["output_scale"]),
        np.float32(TRAINED["temperature"]),
    )
    risk = lx.MeanFieldRisk(
        neuron, lx.losses.squared, inputs, targets, precision=precision
    )
    return risk, mfld.coordinate_steps(risk, TRAINED["relative_step_size"])


def choosing_fit(rows: int) -> Task:
    """Return a fit that chooses its settings."""
    X, y = friedman(rows)

    def ours(_: int) -> Callable[[], Any]:
        return lambda: MeanFieldRegressor(random_state=0).fit(X, y)

    peers = (
        Candidate(name, None, reason=NO_CHOICE) for name in ("plain JAX", "PyTorch")
    )
    name = f"MeanFieldRegressor, choosing its settings, friedman, n = {rows:,}"
    return Task(name, "a fit", (Candidate("langevax", ours), *peers), once=True)


def certified_risk(rows: int, columns: int) -> lx.MeanFieldRisk:
    """Return the risk whose least objective is certified."""
    inputs, targets = mfld_torch.table(rows, columns)
    return lx.MeanFieldRisk(
        lx.neurons.Tanh(), lx.losses.squared, inputs, targets, precision=0.1
    )


def descents(sizes: tuple[int, int], starts: int, compiler: str) -> Task:
    """Return descents between wells of the law of a neuron, from draws of the prior."""
    risk = certified_risk(*sizes)
    law = GibbsLaw.of(risk, CERTIFIED_TEMPERATURE)
    tilt = law.tilt(-risk.targets, CERTIFIED_TEMPERATURE)
    first = np.random.default_rng(0).standard_normal((starts, law.size), np.float32)
    arrays = *map(np.asarray, (law.inputs, tilt[:, 0], law.deviations)), first

    def ours(_: int) -> Callable[[], Any]:
        def run() -> Any:
            with closing(Clouds(law, sizes[0], random.key(0))) as moves:
                return moves.descended(tilt, first, DESCENT_STEPS)

        return run

    def plain(_: int) -> Callable[[], Any]:
        return jax_steps.waiting(jax_steps.descents, *arrays, DESCENT_STEPS)

    def torch(backend: str | None, _: int) -> Callable[[], Any]:
        return torch_steps.descents(*arrays, DESCENT_STEPS, backend)

    def of_descents() -> Work:
        once = work.of_function(law.value_and_gradient, tilt, jnp.asarray(first))
        return Work(0, 0).plus(once, 1 + DESCENT_STEPS)

    return Task(
        f"descents of a certificate, n = {sizes[0]:,}, d = {sizes[1]}, {starts:,} starts, {DESCENT_STEPS} steps",
        "all descents",
        (
            Candidate("langevax", ours),
            Candidate("plain JAX", plain),
            *of_torch(torch, compiler),
        ),
        of_descents,
        once=True,
    )


def certificate(rows: int, columns: int, effort: float) -> Task:
    """Return a certificate of one effort; its moves are computed on the device, its Newton steps on the host."""
    risk = certified_risk(rows, columns)

    def ours(_: int) -> Callable[[], Any]:
        return lambda: certify(
            risk, CERTIFIED_TEMPERATURE, key=random.key(0), effort=effort
        )

    peers = (
        Candidate(name, None, reason=NO_CERTIFICATE)
        for name in ("plain JAX", "PyTorch")
    )
    name = f"certificate, n = {rows:,}, d = {columns}, effort {effort:.0e}"
    return Task(name, "a certificate", (Candidate("langevax", ours), *peers), once=True)
