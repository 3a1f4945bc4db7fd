"""One valid call of every public entry point, from which the cases are made.

An entry states how a name is called. Its cases follow from the values of that call: where it passes a count, every case
of a count is tried in its place. Names that users receive and do not call have no cases; `RECEIVED` says which.
"""

import itertools
import tempfile
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import ClassifierMixin

import langevax as lx
from langevax import (
    federated,
    flower,
    gradients,
    integrators,
    likelihoods,
    losses,
    meanfield,
    neurons,
    optimize,
    spaces,
    teacher_student,
)
from langevax import sampling as sampling_module
from langevax import sklearn as estimators
from langevax.data import convert_table, open_rows, partitions, write_rows
from langevax.spaces import spectra
from tests.corpus.values import (
    ARRAY,
    COUNT,
    FLAG,
    FUNCTION,
    KEY,
    NON_NEGATIVE,
    OBJECT,
    OPTIONAL_COUNT,
    POSITIVE,
    TREE,
    VECTOR,
    WORD,
    Kind,
)

Call = Callable[..., Any]

ROWS = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
TARGETS = np.tanh(ROWS[:, 0] - ROWS[:, 1])
LABELS = (TARGETS > 0).astype(np.int32)
COUNTS = np.round(np.exp(1 + TARGETS))


def row_loss(x, row):
    return jnp.sum((x - row) ** 2) / 2


def row_loss_at_zero(x, row):
    return jnp.sum((x * row) ** 2) / 2


def parabola(x):
    return jnp.sum(x**2)


@dataclass(frozen=True)
class Entry:
    """A public name with a valid value and a kind for each argument that has cases."""

    call: Call
    arguments: Mapping[str, tuple[Any, Kind]]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments, without cases."""
    slow: bool = False
    """The valid call takes long; the refusals do not."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """What messages may call an argument instead of its name."""
    tried_elsewhere: Container[str] = ()
    """Arguments that another entry of the same code reads, where their equal values are tried."""
    accepted: frozenset[str] = frozenset()
    """Cases, as "argument = label", that this argument takes, or that rounding turns into another run."""


def key() -> jax.Array:
    return jax.random.key(0)


@cache
def finite_sum() -> lx.FiniteSum:
    return lx.FiniteSum(row_loss, ROWS)


def langevin() -> lx.Langevin:
    return lx.Langevin(0.1, 1.0)


def estimator_entry(estimator: Call, y: np.ndarray) -> Entry:
    """Return the cases of a small network's parameters and of its training table."""

    def call(X: Any, y: Any, sample_weight: Any, **parameters: Any) -> Any:
        return estimator(**parameters).fit(X, y, sample_weight).particles_

    arguments = {
        "X": (ROWS, ARRAY),
        "y": (y, Kind.CLASSES if y is LABELS else VECTOR),
        "sample_weight": (np.ones(12, np.float32), VECTOR),
        "num_particles": (20, COUNT),
        "num_steps": (5, COUNT),
        "temperature": (0.1, POSITIVE),
        "relative_step_size": (0.5, POSITIVE),
        "batch_size": (4, OPTIONAL_COUNT),
        "output_scale": (3.0, POSITIVE),
        "prior_precision": (1.0, POSITIVE),
        "solver": ("mfld", WORD),
        "scaling": ("columns", WORD),
        "learn_scales": (False, FLAG),
        "stop": ("plateau", WORD),
        "run": (QUIET, Kind.OPTIONAL_OBJECT),
    }
    return Entry(
        call,
        arguments,
        {"validation": None, "random_state": 0},
        slow=True,
        tried_elsewhere=arguments.keys() - {"y"} if y is LABELS else (),
    )


QUIET = lx.Run(progress=False)
CURVES = np.random.default_rng(2).normal(size=(12, 8)).cumsum(axis=1)
RINGS = [[(i, (i + 1) % n) for i in range(n)] for n in range(3, 15)]
FOLDER = Path(tempfile.mkdtemp(prefix="corpus-"))
ROW_FILE, TABLE_FILE = FOLDER / "open.rows", FOLDER / "table.csv"
write_rows(ROW_FILE, {"inputs": ROWS})
TABLE_FILE.write_text("x,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(20)))


def written(write: Call, **arguments: Any) -> Any:
    return write(path=FOLDER / f"{next(NUMBERS)}.rows", **arguments)


def transformed(optimizer: Any) -> Any:
    """Return the update of a transformation that needs no problem."""
    return optimizer.update(ROWS[0], optimizer.init(ROWS[0]), ROWS[1])[0]


def numpyro_model(rows: Any) -> None:
    import numpyro
    from numpyro import distributions

    mean = numpyro.sample("mean", distributions.Normal(jnp.zeros(2), 1.0).to_event(1))
    with numpyro.plate("rows", len(rows)):
        numpyro.sample("row", distributions.Normal(mean, 1.0).to_event(1), obs=rows)


def kernel_entry(estimator: Call, y: np.ndarray) -> Entry:
    arguments = {
        "X": (ROWS, ARRAY),
        "y": (y, Kind.CLASSES if y is LABELS else VECTOR),
        "num_modes": (4, COUNT),
        "num_chains": (2, COUNT),
        "num_samples": (4, COUNT),
        "num_warmup": (2, COUNT),
        "thinning": (1, COUNT),
    }
    return Entry(
        lambda X, y, **parameters: estimator(**parameters).fit(X, y).predict(ROWS),
        arguments,
        {"random_state": 0, "run": QUIET},
        slow=True,
        tried_elsewhere=arguments.keys() - {"y"} if y is LABELS else (),
    )


def predictive_entry(estimator: Call, y: np.ndarray) -> Entry:
    """Return the cases of classes, or of counts."""

    def call(X: Any, y: Any, sample_weight: Any, **parameters: Any) -> Any:
        return estimator(**parameters).fit(X, y, sample_weight).log_density(X, y)

    y_is_classes = y is LABELS
    arguments = {
        "X": (ROWS, ARRAY),
        "y": (y, Kind.CLASSES if y_is_classes else VECTOR),
        "sample_weight": (np.ones(12, np.float32), VECTOR),
        "prior_precision": (0.25, POSITIVE),
        "num_particles": (16, COUNT),
        "num_folds": (2, OPTIONAL_COUNT),
    }
    return Entry(
        call,
        arguments,
        {"random_state": 0, "posterior_shares": (1.0, 0.5)}
        | ({} if y_is_classes else {"family": "poisson"}),
        slow=True,
        tried_elsewhere=arguments.keys() - {"y"} if y_is_classes else (),
    )


NETWORK = {
    "num_particles": (10, COUNT),
    "num_steps": (3, COUNT),
    "temperature": (0.1, POSITIVE),
    "solver": ("mfld", WORD),
}


def encoded_entry(estimator: Any, encoder: Any, X: Any, y: np.ndarray) -> Entry:
    kinds = estimators.MeanFieldRegressor, estimators.MeanFieldClassifier
    network = kinds[issubclass(estimator, ClassifierMixin)]

    def fitted(X: Any, random_state: Any, **parameters: Any) -> Any:
        model = estimator(encoder, network(**parameters), random_state=random_state)
        return model.fit(X, y).estimator_.particles_

    fixed = {"X": X, "random_state": 0, "run": QUIET}
    return Entry(fitted, NETWORK, fixed, slow=True, tried_elsewhere=NETWORK)


STEP = {"step_size": (0.1, POSITIVE)}
TEMPERATURE = {"temperature": (1.0, NON_NEGATIVE)}
GRADIENT = {"gradient": (gradients.Full(), OBJECT)}
BATCH = {"batch_size": (3, COUNT)}
LOCAL = {
    "num_local_steps": (2, COUNT),
    "batch_size": (2, OPTIONAL_COUNT),
    "dropout": (0.0, NON_NEGATIVE),
}
CLIENTS = {"clients_per_round": (2, OPTIONAL_COUNT)}
SERVER = {"server_step_size": (1.0, POSITIVE), "server_optimizer": ("adam", OBJECT)}
NO_OPTIMIZER = frozenset({"server_optimizer = None"})
SCALE = {"scale": (2.0, POSITIVE)}
INTERVAL = {
    "num_modes": (4, COUNT),
    "num_points": (8, OPTIONAL_COUNT),
    "domain": ((0.0, 1.0), VECTOR),
}


def run(**arguments: Any) -> Any:
    return lx.simulate(**{"run": QUIET, **arguments}).position


TOLERANCE = 0.5


def start_of(target: Any, start: Any, tolerance: Any, **arguments: Any) -> Any:
    """Return draws of a step size, and draws to a tolerance, which excludes one."""
    to_tolerance = (
        draws_to_the_tolerance() if tolerance is TOLERANCE else draws_to(tolerance)
    )
    return lx.sample(
        target, start, run=lx.Run(progress=False), **arguments
    ).draws, to_tolerance


def draws_to(tolerance: Any) -> Any:
    target, options = (
        lx.FiniteSum(row_loss, ROWS, precision=1.0),
        {"algorithm": lx.MALA(), "run": lx.Run(progress=False)},
    )
    start, sizes = np.zeros(2, np.float32), {"num_samples": 50, "num_chains": 2}
    return lx.sample(
        target,
        start,
        key=key(),
        temperature=0.1,
        tolerance=tolerance,
        **options,
        **sizes,
    ).draws


@cache
def draws_to_the_tolerance() -> Any:
    return draws_to(TOLERANCE)


def law_scores(model: Any, log_likelihood: Any, data: Any, **arguments: Any) -> Any:
    return lx.predictive(model, log_likelihood, data, **arguments).path.fit


NUMBERS = itertools.count()

ENTRIES: dict[str, Entry] = {
    "langevax.Langevin": Entry(
        lx.Langevin,
        STEP
        | TEMPERATURE
        | GRADIENT
        | {"integrator": (integrators.Explicit(), OBJECT)},
    ),
    "langevax.MALA": Entry(lx.MALA, STEP | {"temperature": (1.0, POSITIVE)}),
    "langevax.PCN": Entry(lx.PCN, STEP | {"temperature": (1.0, POSITIVE)}),
    "langevax.PCNL": Entry(lx.PCNL, STEP | {"temperature": (1.0, POSITIVE)}),
    "langevax.NUTS": Entry(
        lx.NUTS,
        STEP | {"temperature": (1.0, POSITIVE), "target_accept": (0.8, Kind.SHARE)},
    ),
    "langevax.sampling.HMC": Entry(lx.sampling.HMC, STEP),
    "langevax.Underdamped": Entry(
        lx.Underdamped, STEP | TEMPERATURE | GRADIENT | {"friction": (1.0, POSITIVE)}
    ),
    "langevax.PerturbedDescent": Entry(
        lx.PerturbedDescent,
        STEP
        | GRADIENT
        | {
            "radius": (0.1, NON_NEGATIVE),
            "integrator": (integrators.Explicit(), OBJECT),
        },
    ),
    "langevax.Reflected": Entry(
        lx.Reflected,
        {
            "algorithm": (lx.Langevin(0.1, 1.0), OBJECT),
            "lower": (-1.0, Kind.BOUND),
            "upper": (1.0, Kind.BOUND),
        },
    ),
    "langevax.ReplicaExchange": Entry(
        lx.ReplicaExchange,
        {
            "algorithm": (lx.Langevin(0.1, np.array([1.0, 2.0])), OBJECT),
        },
    ),
    "langevax.Run": Entry(
        lambda **arguments: lx.Run(**arguments).checkpoint_seconds,
        {"checkpoint_seconds": (1.0, NON_NEGATIVE)},
        {"checkpoint": "folder"},
    ),
    "langevax.Stacked": Entry(
        lambda positions: run(
            algorithm=langevin(),
            problem=finite_sum(),
            start=lx.Stacked(positions),
            key=key(),
            num_steps=2,
        ),
        {"positions": (ROWS[:3], TREE)},
        aliases={"positions": "start"},
    ),
    "langevax.FiniteSum": Entry(
        lambda loss=row_loss, **more: lx.FiniteSum(loss, **more).gradient(
            jnp.zeros(2, jnp.float32)
        ),
        {
            "loss": (row_loss, FUNCTION),
            "data": (ROWS, TREE),
            "regularizer": (parabola, Kind.OPTIONAL_FUNCTION),
            "precision": (0.5, NON_NEGATIVE),
            "weights": (np.ones(12, np.float32), VECTOR),
            "count": (12, OPTIONAL_COUNT),
            "block_size": (4, COUNT),
        },
    ),
    "langevax.Function": Entry(
        lx.Function, {"fun": (parabola, FUNCTION), "precision": (0.5, NON_NEGATIVE)}
    ),
    "langevax.ExternalSum": Entry(
        lambda **arguments: lx.ExternalSum(**arguments).size,
        {
            "gradient": (lambda x, rows: x - rows.mean(0), FUNCTION),
            "data": (ROWS, TREE),
            "value": (lambda x, rows: np.float32(0), Kind.OPTIONAL_FUNCTION),
            "precision": (0.5, NON_NEGATIVE),
            "count": (12, OPTIONAL_COUNT),
            "block_size": (4, COUNT),
        },
    ),
    "langevax.MeanFieldRisk": Entry(
        lambda **arguments: lx.MeanFieldRisk(**arguments).value(
            jnp.ones((5, 3), jnp.float32)
        ),
        {
            "neuron": (neurons.Tanh(), OBJECT),
            "loss": (losses.squared, OBJECT),
            "inputs": (ROWS, ARRAY),
            "targets": (TARGETS, VECTOR),
            "precision": (0.1, NON_NEGATIVE),
            "weights": (np.ones(12, np.float32), VECTOR),
            "count": (12, OPTIONAL_COUNT),
            "block_size": (4, OPTIONAL_COUNT),
        },
    ),
    "langevax.Federation": Entry(
        lambda **arguments: lx.Federation(**arguments).gradient(
            jnp.zeros(2, jnp.float32)
        ),
        {
            "loss": (row_loss, FUNCTION),
            "data": (ROWS.reshape(4, 3, 2), TREE),
            "counts": (np.array([3, 3, 2, 3]), Kind.COUNTS),
            "regularizer": (parabola, Kind.OPTIONAL_FUNCTION),
            "weights": ("size", WORD),
            "block_size": (4, COUNT),
        },
    ),
    "langevax.affine": Entry(
        lambda **arguments: lx.affine(**arguments).value(jnp.zeros(2, jnp.float32)),
        {
            "problem": (lx.FiniteSum(row_loss, ROWS), OBJECT),
            "matrix": (np.eye(2, dtype=np.float32), ARRAY),
        },
    ),
    "langevax.posterior": Entry(
        lambda **arguments: lx.posterior(**arguments).problem.value(
            jnp.zeros(2, jnp.float32)
        ),
        {
            "log_prior": (lambda x: -parabola(x), Kind.OPTIONAL_FUNCTION),
            "log_likelihood": (lambda x, row: -row_loss(x, row), FUNCTION),
            "data": (ROWS, TREE),
            "prior_precision": (1.0, NON_NEGATIVE),
            "weights": (np.ones(12, np.float32), VECTOR),
            "block_size": (4, COUNT),
        },
    ),
    "langevax.inverse_problem": Entry(
        lambda **arguments: lx.inverse_problem(**arguments).problem.value(
            jnp.zeros(4, jnp.float32)
        ),
        {
            "forward_map": (lambda f: f[:3], FUNCTION),
            "data": (ROWS[:3, 0], VECTOR),
            "noise": (0.1, POSITIVE),
            "prior": (spaces.GaussianPrior(spaces.Cosine(4), spectra.power(4)), OBJECT),
            "adjoint": (
                lambda values, residual: np.append(residual, 0.0),
                Kind.OPTIONAL_FUNCTION,
            ),
            "prior_mean": (np.array([0.1, 0.2, 0.3, 0.4]), VECTOR),
            "parallel": (1, COUNT),
        },
    ),
    "langevax.sampling.GaussianNoise": Entry(
        lambda **arguments: [
            sampling_module.GaussianNoise(**{name: value}).times_precision(np.ones(2))
            for name, value in arguments.items()
        ],
        {
            "standard_deviation": (np.array([0.5, 2.0]), VECTOR),
            "covariance": (np.array([[2.0, 1.0], [1.0, 2.0]]), ARRAY),
        },
    ),
    "langevax.learning_coefficient": Entry(
        lambda **arguments: lx.learning_coefficient(**arguments).num_parameters,
        {
            "loss": (row_loss_at_zero, FUNCTION),
            "params": (np.zeros(2, np.float32), TREE),
            "data": (ROWS, TREE),
            "key": (jax.random.key(0), KEY),
            "temperature": (0.1, POSITIVE),
            "localization": (1.0, POSITIVE),
            "num_samples": (4, COUNT),
            "num_chains": (2, COUNT),
            "batch_size": (4, OPTIONAL_COUNT),
            "num_warmup": (4, COUNT),
            "run": (QUIET, OBJECT),
        },
        slow=True,
    ),
    "langevax.simulate": Entry(
        run,
        {
            "algorithm": (lx.Langevin(0.1, 1.0), OBJECT),
            "problem": (lx.FiniteSum(row_loss, ROWS), OBJECT),
            "start": (np.zeros(2, np.float32), TREE),
            "key": (jax.random.key(0), KEY),
            "num_steps": (3, COUNT),
            "num_chains": (2, OPTIONAL_COUNT),
            "record_every": (1, OPTIONAL_COUNT),
            "record": (lambda problem, state: state.position, Kind.OPTIONAL_FUNCTION),
            "average": (lambda problem, state: state.position, Kind.OPTIONAL_FUNCTION),
            "run": (QUIET, OBJECT),
        },
    ),
    "langevax.sample": Entry(
        start_of,
        {
            "target": (lx.FiniteSum(row_loss, ROWS, precision=1.0), OBJECT),
            "start": (np.zeros(2, np.float32), TREE),
            "key": (jax.random.key(0), KEY),
            "temperature": (0.1, POSITIVE),
            "num_samples": (4, COUNT),
            "num_chains": (2, COUNT),
            "tolerance": (TOLERANCE, Kind.OPTIONAL_NUMBER),
            "num_warmup": (2, COUNT),
            "thinning": (1, COUNT),
            "algorithm": (lx.Langevin(0.05), OBJECT),
        },
        slow=True,
        accepted=frozenset({"target = a class"}),
    ),
    "langevax.predictive": Entry(
        law_scores,
        {
            "data": (ROWS, TREE),
            "draws": (ROWS[:, :1].repeat(2, axis=0) + np.zeros(2, np.float32), TREE),
            "key": (jax.random.key(0), KEY),
            "posterior_shares": ((1.0, 0.5), VECTOR),
            "num_particles": (16, COUNT),
            "num_folds": (2, OPTIONAL_COUNT),
            "model": (lambda x: -jnp.sum(x**2) / 2, FUNCTION),
            "log_likelihood": (lambda x, row: -row_loss(x, row), FUNCTION),
        },
        slow=True,
    ),
    "langevax.minimize": Entry(
        lambda **arguments: lx.minimize(**arguments).x,
        {
            "fun": (parabola, FUNCTION),
            "x0": (np.ones(2, np.float32), ARRAY),
            "key": (jax.random.key(0), KEY),
            "max_evaluations": (200, COUNT),
            "max_better_basins": (0.5, POSITIVE),
            "use_gradients": (True, FLAG),
            "run": (QUIET, OBJECT),
        },
        slow=True,
    ),
    "langevax.optimize.anneal": Entry(
        lambda **arguments: optimize.anneal(**{"run": QUIET, **arguments}).x,
        {
            "fun": (parabola, FUNCTION),
            "x0": (np.ones(2, np.float32), ARRAY),
            "key": (jax.random.key(0), KEY),
            "num_chains": (2, COUNT),
            "num_steps": (4, COUNT),
            "temperature": (0.1, POSITIVE),
            "step_size": (0.01, POSITIVE),
            "gradient": ("auto", WORD),
        },
        slow=True,
    ),
    "langevax.optimize.Geometric": Entry(
        optimize.Geometric,
        {
            "hot": (1.0, POSITIVE),
            "cold": (0.1, POSITIVE),
            "num_steps": (10.0, POSITIVE),
        },
    ),
    "langevax.optimize.Logarithmic": Entry(optimize.Logarithmic, SCALE),
    "langevax.gradients.Minibatch": Entry(gradients.Minibatch, BATCH),
    "langevax.gradients.ControlVariate": Entry(gradients.ControlVariate, BATCH),
    "langevax.gradients.SVRG": Entry(gradients.SVRG, BATCH | {"period": (4, COUNT)}),
    "langevax.gradients.SARAH": Entry(gradients.SARAH, BATCH | {"period": (4, COUNT)}),
    "langevax.gradients.STORM": Entry(
        gradients.STORM,
        BATCH | {"momentum": (0.5, Kind.FRACTION)},
    ),
    "langevax.gradients.SLEDGE": Entry(
        gradients.SLEDGE,
        BATCH
        | {
            "table": ("blocks", WORD),
        },
    ),
    "langevax.federated.FedAvg": Entry(
        federated.FedAvg, STEP | LOCAL | CLIENTS | SERVER, accepted=NO_OPTIMIZER
    ),
    "langevax.federated.FedProx": Entry(
        federated.FedProx,
        STEP | LOCAL | CLIENTS | SERVER | {"proximal_precision": (0.1, NON_NEGATIVE)},
        accepted=NO_OPTIMIZER,
    ),
    "langevax.federated.FedNova": Entry(
        federated.FedNova,
        STEP
        | {
            "num_local_epochs": (2, COUNT),
            "batch_size": (2, OPTIONAL_COUNT),
            "dropout": (0.0, NON_NEGATIVE),
        }
        | CLIENTS
        | SERVER,
        accepted=NO_OPTIMIZER,
    ),
    "langevax.federated.FedDyn": Entry(
        federated.FedDyn,
        STEP | LOCAL | CLIENTS | {"proximal_precision": (0.1, POSITIVE)},
    ),
    "langevax.federated.SCAFFOLD": Entry(
        federated.SCAFFOLD,
        STEP | LOCAL | CLIENTS | SERVER | {"option": ("II", WORD)},
        accepted=NO_OPTIMIZER,
    ),
    "langevax.federated.SCAFFOLDM": Entry(
        federated.SCAFFOLDM,
        STEP
        | LOCAL
        | CLIENTS
        | {"server_step_size": (1.0, POSITIVE), "momentum": (0.5, NON_NEGATIVE)},
    ),
    "langevax.federated.MimeSGD": Entry(federated.MimeSGD, STEP | LOCAL | CLIENTS),
    "langevax.federated.FLEDGE": Entry(
        federated.FLEDGE,
        STEP
        | LOCAL
        | CLIENTS
        | {
            "initial_table": ("full", WORD),
            "radius": (0.1, Kind.OPTIONAL_NUMBER),
        },
    ),
    "langevax.federated.BVRLSGD": Entry(
        federated.BVRLSGD, STEP | LOCAL | {"period": (3, COUNT)}
    ),
    "langevax.federated.BVRLPSGD": Entry(
        federated.BVRLPSGD,
        STEP | LOCAL | {"period": (3, COUNT), "radius": (0.1, NON_NEGATIVE)},
    ),
    "langevax.federated.MinibatchSGD": Entry(
        federated.MinibatchSGD,
        STEP
        | CLIENTS
        | {"batch_size": (2, OPTIONAL_COUNT), "dropout": (0.0, NON_NEGATIVE)},
    ),
    "langevax.federated.MinibatchSARAH": Entry(
        federated.MinibatchSARAH,
        STEP
        | {
            "batch_size": (2, OPTIONAL_COUNT),
            "period": (3, COUNT),
            "dropout": (0.0, NON_NEGATIVE),
        },
    ),
    "langevax.meanfield.MFLD": Entry(
        meanfield.MFLD,
        STEP
        | {"temperature": (1.0, NON_NEGATIVE)}
        | GRADIENT
        | {"integrator": (integrators.Exponential(), OBJECT)},
    ),
    "langevax.meanfield.PDA": Entry(
        meanfield.PDA,
        STEP
        | GRADIENT
        | {
            "temperature": (1.0, POSITIVE),
            "num_inner_steps": (3, COUNT),
            "growth": (0.0, NON_NEGATIVE),
            "batch_size": (3, OPTIONAL_COUNT),
            "tempered": (False, FLAG),
            "integrator": (integrators.Exponential(), OBJECT),
        },
    ),
    "langevax.meanfield.PSDCA": Entry(
        meanfield.PSDCA,
        {
            "temperature": (1.0, POSITIVE),
            "num_inner_steps": (3, COUNT),
            "period": (3, COUNT),
            "curvature": ("bound", WORD),
            "proposal": ("mala", WORD),
        },
    ),
    "langevax.meanfield.FictitiousPlay": Entry(
        meanfield.FictitiousPlay,
        STEP
        | GRADIENT
        | {
            "temperature": (1.0, NON_NEGATIVE),
            "rate": (0.1, Kind.FRACTION),
            "num_inner_steps": (3, COUNT),
            "integrator": (integrators.Exponential(), OBJECT),
        },
    ),
    "langevax.meanfield.certify": Entry(
        lambda **arguments: meanfield.certify(**arguments).lower_bound,
        {
            "risk": (
                lx.MeanFieldRisk(
                    neurons.Tanh(), losses.squared, ROWS, TARGETS, precision=0.1
                ),
                OBJECT,
            ),
            "temperature": (0.1, POSITIVE),
            "key": (jax.random.key(0), KEY),
            "effort": (1e4, Kind.OPTIONAL_NUMBER),
            "run": (QUIET, OBJECT),
        },
        slow=True,
    ),
    "langevax.meanfield.duality_gap": Entry(
        lambda **arguments: meanfield.duality_gap(**arguments).gap,
        {
            "risk": (
                lx.MeanFieldRisk(
                    neurons.Tanh(), losses.squared, ROWS, TARGETS, precision=0.1
                ),
                OBJECT,
            ),
            "dual": (np.zeros(12, np.float32), VECTOR),
            "temperature": (0.1, POSITIVE),
            "key": (jax.random.key(0), KEY),
            "num_replicates": (2, COUNT),
            "num_particles": (50, COUNT),
        },
        slow=True,
    ),
    "langevax.neurons.Tanh": Entry(neurons.Tanh, SCALE),
    "langevax.neurons.TanhTanh": Entry(
        neurons.TanhTanh, SCALE | {"num_outputs": (2, OPTIONAL_COUNT)}
    ),
    "langevax.neurons.Parity": Entry(neurons.Parity, SCALE),
    "langevax.losses.LogScore": Entry(losses.LogScore, {"weight": (1.0, POSITIVE)}),
    "langevax.losses.SmoothedHinge": Entry(
        losses.SmoothedHinge, {"width": (1.0, POSITIVE)}
    ),
    "langevax.likelihoods.Gaussian": Entry(
        likelihoods.Gaussian, {"noise": (0.1, POSITIVE)}
    ),
    "langevax.likelihoods.Huber": Entry(
        likelihoods.Huber, {"noise": (0.1, POSITIVE), "threshold": (1.0, POSITIVE)}
    ),
    "langevax.likelihoods.StudentT": Entry(
        likelihoods.StudentT, {"noise": (0.1, POSITIVE), "degrees": (4.0, POSITIVE)}
    ),
    "langevax.likelihoods.LinearPredictor": Entry(
        likelihoods.LinearPredictor, {"likelihood": (likelihoods.Gaussian(0.1), OBJECT)}
    ),
    "langevax.spaces.Cosine": Entry(spaces.Cosine, INTERVAL),
    "langevax.spaces.Fourier": Entry(spaces.Fourier, INTERVAL),
    "langevax.spaces.Sine": Entry(spaces.Sine, INTERVAL),
    "langevax.spaces.FiniteElements": Entry(
        lambda **arguments: spaces.FiniteElements(**arguments).frequencies,
        {
            "stiffness": (
                2 * np.eye(4) - np.eye(4, k=1) - np.eye(4, k=-1),
                Kind.SPARSE_OR_DENSE,
            ),
            "mass": (
                np.eye(4) + np.eye(4, k=1) / 4 + np.eye(4, k=-1) / 4,
                Kind.SPARSE_OR_DENSE,
            ),
            "dim": (1, COUNT),
            "num_modes": (3, OPTIONAL_COUNT),
        },
    ),
    "langevax.spaces.MatrixBasis": Entry(
        lambda **arguments: spaces.MatrixBasis(**arguments).eigenvalues,
        {"matrix": (np.eye(4)[:, :3], ARRAY), "mass": (np.ones(4), VECTOR)},
    ),
    "langevax.spaces.GaussianPrior": Entry(
        lambda **arguments: spaces.GaussianPrior(**arguments).eigenvalues,
        {
            "basis": (spaces.Cosine(4), OBJECT),
            "eigenvalues": (np.array([1.0, 0.5, 0.2, 0.1]), VECTOR),
        },
    ),
    "langevax.spaces.MaternPrior": Entry(
        lambda **arguments: spaces.MaternPrior(**arguments).eigenvalues({}),
        {
            "basis": (spaces.Cosine(4), OBJECT),
            "smoothness": (1.5, POSITIVE),
            "length_scale": (0.2, POSITIVE),
            "variance": (1.0, POSITIVE),
        },
    ),
    "langevax.spaces.GraphLaplacian": Entry(
        lambda **arguments: spaces.GraphLaplacian(**arguments).frequencies,
        {
            "adjacency": (
                np.eye(4)[::-1] + np.roll(np.eye(4), 2, 0),
                Kind.SPARSE_OR_DENSE,
            ),
            "num_modes": (3, OPTIONAL_COUNT),
            "normalized": (True, FLAG),
        },
    ),
    "langevax.spaces.KernelEigenbasis": Entry(
        lambda **arguments: spaces.KernelEigenbasis(**arguments).num_modes,
        {
            "kernel": (lambda x, y: np.exp(-((x - y.T) ** 2)), FUNCTION),
            "points": (np.linspace(0, 1, 6), VECTOR),
            "num_modes": (3, OPTIONAL_COUNT),
            "weights": (np.full(6, 1 / 6), VECTOR),
        },
    ),
    "langevax.spaces.PrincipalComponents": Entry(
        lambda **arguments: spaces.PrincipalComponents(**arguments).grid,
        {
            "curves": (np.random.default_rng(1).normal(size=(8, 5)), ARRAY),
            "grid": (np.linspace(0, 1, 5), VECTOR),
            "num_modes": (3, OPTIONAL_COUNT),
            "weights": (np.full(5, 0.2), VECTOR),
        },
    ),
    "langevax.spaces.TensorProduct": Entry(
        spaces.TensorProduct,
        {
            "bases": ((spaces.Cosine(3), spaces.Cosine(2)), OBJECT),
            "num_modes": (4, OPTIONAL_COUNT),
        },
    ),
    "langevax.spaces.project": Entry(
        spaces.project,
        {
            "basis": (spaces.Cosine(3), OBJECT),
            "points": (np.linspace(0, 1, 6), VECTOR),
            "values": (np.linspace(0, 1, 6) ** 2, VECTOR),
            "weights": (np.full(6, 1 / 6), VECTOR),
        },
    ),
    "langevax.spaces.regress": Entry(
        lambda **arguments: spaces.regress(**arguments)[0],
        {
            "prior": (spaces.GaussianPrior(spaces.Cosine(4), spectra.power(4)), OBJECT),
            "points": (np.linspace(0, 1, 6), VECTOR),
            "values": (np.linspace(0, 1, 6) ** 2, VECTOR),
            "noise": (0.1, POSITIVE),
        },
    ),
    "langevax.spaces.trapezoid_weights": Entry(
        spaces.trapezoid_weights,
        {"grid": (np.linspace(0, 1, 6), VECTOR), "periodic": (False, FLAG)},
    ),
    "langevax.spaces.spectra.power": Entry(
        spectra.power, {"num_modes": (4, COUNT), "decay": (2.0, POSITIVE)} | SCALE
    ),
    "langevax.spaces.spectra.matern": Entry(
        spectra.matern,
        {
            "basis": (spaces.Cosine(4), OBJECT),
            "smoothness": (1.5, POSITIVE),
            "length_scale": (0.2, POSITIVE),
            "variance": (1.0, POSITIVE),
        },
    ),
    "langevax.spaces.spectra.squared_exponential": Entry(
        spectra.squared_exponential,
        {
            "basis": (spaces.Cosine(4), OBJECT),
            "length_scale": (0.2, POSITIVE),
            "variance": (1.0, POSITIVE),
        },
    ),
    "langevax.data.partitions.evenly": Entry(
        partitions.evenly,
        {
            "num_rows": (12, COUNT),
            "num_clients": (3, COUNT),
            "key": (jax.random.key(0), KEY),
        },
    ),
    "langevax.data.partitions.dirichlet": Entry(
        partitions.dirichlet,
        {
            "labels": (LABELS, Kind.CLASSES),
            "num_clients": (2, COUNT),
            "alpha": (1.0, POSITIVE),
            "key": (jax.random.key(0), KEY),
            "min_rows": (1, COUNT),
        },
    ),
    "langevax.data.partitions.by_concentration": Entry(
        partitions.by_concentration,
        {
            "labels": (LABELS, Kind.CLASSES),
            "num_clients": (2, COUNT),
            "concentration": (0.5, Kind.SHARE),
            "key": (jax.random.key(0), KEY),
        },
    ),
    "langevax.data.partitions.stack": Entry(
        lambda **arguments: partitions.stack(**arguments)[0],
        {"data": (ROWS, TREE), "parts": ([np.arange(6), np.arange(6, 12)], OBJECT)},
        accepted=frozenset({"data = with nan", "data = with infinity"}),
    ),
    "langevax.sklearn.MeanFieldRegressor": estimator_entry(
        estimators.MeanFieldRegressor, TARGETS
    ),
    "langevax.sklearn.MeanFieldClassifier": estimator_entry(
        estimators.MeanFieldClassifier, LABELS
    ),
    "langevax.sklearn.TwoPhaseReLURegressor": Entry(
        lambda X, y, **parameters: (
            estimators.TwoPhaseReLURegressor(**parameters).fit(X, y).predict(ROWS)
        ),
        {
            "X": (ROWS, ARRAY),
            "y": (TARGETS, VECTOR),
            "num_particles": (3, COUNT),
            "num_restarts": (2, COUNT),
            "temperature": (0.01, NON_NEGATIVE),
            "annealing": (2.0, POSITIVE),
            "precision": (0.01, NON_NEGATIVE),
            "weight_decay": (0.01, NON_NEGATIVE),
            "bound": (5.0, POSITIVE),
            "num_explore_steps": (5, COUNT),
            "num_converge_steps": (5, COUNT),
            "tolerance": (0.1, NON_NEGATIVE),
        },
        {"random_state": 0, "run": QUIET},
        slow=True,
    ),
    "langevax.sklearn.KernelLangevinRegressor": kernel_entry(
        estimators.KernelLangevinRegressor, TARGETS
    ),
    "langevax.sklearn.KernelLangevinClassifier": kernel_entry(
        estimators.KernelLangevinClassifier, LABELS
    ),
    "langevax.sklearn.PredictiveRegressor": predictive_entry(
        estimators.PredictiveRegressor, COUNTS
    ),
    "langevax.sklearn.PredictiveClassifier": predictive_entry(
        estimators.PredictiveClassifier, LABELS
    ),
    "langevax.sklearn.FunctionalMeanFieldRegressor": encoded_entry(
        estimators.FunctionalMeanFieldRegressor,
        estimators.CurveCoefficients(num_modes=3),
        CURVES,
        TARGETS,
    ),
    "langevax.sklearn.FunctionalMeanFieldClassifier": encoded_entry(
        estimators.FunctionalMeanFieldClassifier,
        estimators.CurveCoefficients(num_modes=3),
        CURVES,
        LABELS,
    ),
    "langevax.sklearn.GraphMeanFieldRegressor": encoded_entry(
        estimators.GraphMeanFieldRegressor,
        estimators.GraphFeatures(wl_components=4),
        RINGS,
        TARGETS,
    ),
    "langevax.sklearn.GraphMeanFieldClassifier": encoded_entry(
        estimators.GraphMeanFieldClassifier,
        estimators.GraphFeatures(wl_components=4),
        RINGS,
        LABELS,
    ),
    "langevax.sklearn.CurveCoefficients": Entry(
        lambda X, **parameters: (
            estimators.CurveCoefficients(**parameters).fit(X).transform(CURVES)
        ),
        {
            "num_modes": (3, COUNT),
            "decay": (2.0, NON_NEGATIVE),
            "basis": ("cosine", WORD),
            "missing": ("error", WORD),
        },
        {"X": CURVES},
        slow=True,
    ),
    "langevax.sklearn.RandomConvolutions": Entry(
        lambda X, **parameters: (
            estimators.RandomConvolutions(**parameters).fit(X).transform(CURVES)
        ),
        {"num_directions": (3, COUNT), "missing": ("error", WORD)},
        {"X": CURVES},
        slow=True,
    ),
    "langevax.sklearn.GraphFeatures": Entry(
        lambda X, **parameters: estimators.GraphFeatures(**parameters).fit_transform(X),
        {"wl_depth": (1, COUNT), "wl_components": (4, COUNT)},
        {"X": RINGS},
        slow=True,
    ),
    "langevax.sklearn.load": Entry(estimators.load, {}, {"file": "no such file"}),
    "langevax.predictive_law.load": Entry(
        lx.predictive_law.load, {}, {"file": "no such file"}
    ),
    "langevax.optax.langevin": Entry(
        lambda **arguments: transformed(lx.optax.langevin(**arguments)),
        STEP
        | TEMPERATURE
        | {"key": (jax.random.key(0), KEY), "precision": (1.0, NON_NEGATIVE)},
        {"integrator": integrators.Exponential()},
        aliases={},
    ),
    "langevax.optax.svrg": Entry(
        lambda **arguments: lx.optax.svrg(**arguments).init(ROWS[0]),
        {"period": (3, COUNT)},
    ),
    "langevax.optax.sarah": Entry(
        lambda **arguments: lx.optax.sarah(**arguments).init(ROWS[0]),
        {"period": (3, COUNT)},
    ),
    "langevax.optax.storm": Entry(
        lambda **arguments: lx.optax.storm(**arguments).init(ROWS[0]),
        {"momentum": (0.5, Kind.FRACTION)},
    ),
    "langevax.numpyro.posterior": Entry(
        lambda model, data: lx.numpyro.posterior(model, data).target.problem.value(
            {"mean": jnp.zeros(2)}
        ),
        {"model": (numpyro_model, FUNCTION), "data": (ROWS, TREE)},
        slow=True,
    ),
    "langevax.teacher_student.Conic": Entry(
        teacher_student.Conic,
        STEP
        | GRADIENT
        | {"direction_step_size": (0.1, POSITIVE), "penalty": (0.1, NON_NEGATIVE)},
    ),
    "langevax.teacher_student.Explore": Entry(
        teacher_student.Explore,
        STEP
        | {
            "temperature": (0.1, NON_NEGATIVE),
            "annealing": (2.0, POSITIVE),
            "precision": (0.1, NON_NEGATIVE),
            "bound": (5.0, POSITIVE),
            "num_steps": (10, COUNT),
            "plateau": (False, FLAG),
        },
    ),
    "langevax.teacher_student.Converge": Entry(
        teacher_student.Converge,
        STEP
        | {
            "num_steps": (10, COUNT),
            "precision": (0.1, NON_NEGATIVE),
            "tolerance": (0.1, NON_NEGATIVE),
        },
    ),
    "langevax.teacher_student.match_neurons": Entry(
        lambda **arguments: teacher_student.match_neurons(**arguments).angles,
        {
            "student": (teacher_student.orthogonal_teacher(2, 3), OBJECT),
            "teacher": (teacher_student.orthogonal_teacher(2, 3), OBJECT),
        },
    ),
    "langevax.teacher_student.orthogonal_teacher": Entry(
        teacher_student.orthogonal_teacher,
        {"num_neurons": (2, COUNT), "dim": (3, COUNT), "num_positive": (1, COUNT)},
    ),
    "langevax.teacher_student.spread_neurons": Entry(
        lambda **arguments: teacher_student.spread_neurons(**arguments).outer,
        {
            "num_neurons": (2, COUNT),
            "dim": (3, COUNT),
            "total": (1.0, POSITIVE),
            "key": (jax.random.key(0), KEY),
        },
    ),
    "langevax.teacher_student.teach": Entry(
        teacher_student.teach,
        {
            "teacher": (teacher_student.orthogonal_teacher(2, 3), OBJECT),
            "size": (5, COUNT),
            "noise": (0.1, NON_NEGATIVE),
            "key": (jax.random.key(0), KEY),
        },
    ),
    "langevax.teacher_student.two_phase": Entry(
        lambda **arguments: teacher_student.two_phase(**arguments).losses,
        {
            "inputs": (ROWS, ARRAY),
            "targets": (TARGETS, VECTOR),
            "num_neurons": (2, COUNT),
            "key": (jax.random.key(0), KEY),
            "num_restarts": (2, COUNT),
            "explore": (teacher_student.Explore(num_steps=2), OBJECT),
            "converge": (teacher_student.Converge(num_steps=2), OBJECT),
            "weights": (np.ones(12, np.float32), VECTOR),
            "intercept": (False, FLAG),
        },
        {"run": QUIET},
        slow=True,
    ),
    "langevax.teacher_student.simulate_one_step": Entry(
        lambda **arguments: teacher_student.simulate_one_step(**arguments).risk,
        {
            "key": (jax.random.key(0), KEY),
            "dim": (10, COUNT),
            "samples_per_dim": (2.0, POSITIVE),
            "neurons_per_dim": (2.0, POSITIVE),
            "ridge": (0.1, POSITIVE),
            "step_size": (1.0, NON_NEGATIVE),
            "noise": (0.1, NON_NEGATIVE),
            "num_runs": (2, COUNT),
            "num_test": (16, COUNT),
            "readout": ("gaussian", WORD),
            "student": (jnp.tanh, FUNCTION),
            "teacher": (jnp.tanh, FUNCTION),
        },
        slow=True,
    ),
    "langevax.data.write_rows": Entry(
        lambda **arguments: written(write_rows, **arguments).numpy("inputs"),
        {"blocks": ({"inputs": ROWS}, OBJECT), "overwrite": (False, FLAG)},
    ),
    "langevax.data.open_rows": Entry(
        lambda **arguments: open_rows(ROW_FILE, **arguments).num_rows,
        {"access": ("mixed", WORD)},
    ),
    "langevax.data.convert_table": Entry(
        lambda **arguments: written(convert_table, **arguments).numpy("inputs"),
        {"target": ("y", WORD), "overwrite": (False, FLAG)},
        {"table": TABLE_FILE},
    ),
    "langevax.flower.BestModel": Entry(
        lambda **arguments: flower.BestModel(**arguments).metric,
        {
            "metric": ("loss", OBJECT),
            "mode": ("min", WORD),
            "stop_after": (2, OPTIONAL_COUNT),
        },
        accepted=frozenset({"metric = a word"}),  # metrics have any names
    ),
    "langevax.flower.ClientRules": Entry(
        lambda **arguments: flower.ClientRules(**arguments).deadline,
        {
            "number": (2, COUNT),
            "weights": ("size", WORD),
            "deadline": (1.0, POSITIVE),
            "join_seconds": (1.0, POSITIVE),
            "patience": (2, COUNT),
        },
    ),
    "langevax.flower.FederatedStrategy": Entry(
        lambda **arguments: flower.FederatedStrategy(**arguments).deadline,
        {
            "algorithm": (federated.FedAvg(0.1, 2), OBJECT),
            "position": (np.zeros(2, np.float32), TREE),
            "key": (jax.random.key(0), KEY),
            "clients": (flower.ClientRules(), OBJECT),
            "run": (lx.Run(), OBJECT),
            "best": (flower.BestModel(), OBJECT),
            "callbacks": ([], OBJECT),
        },
        slow=True,
        accepted=frozenset({"best = None"}),
    ),
}

ABSTRACT = "an interface for subclasses"
RESULT = "made by the library"
NO_ARGUMENTS = "has no arguments"
TRACED = "called in compiled programs, on arrays that their callers have checked"
ERROR = "an error or a warning, raised by the library"

RECEIVED: dict[str, str] = {
    name: reason
    for reason, names in {
        ABSTRACT: """Algorithm Problem federated.Exchange federated.Federated gradients.GradientEstimator
            integrators.Integrator likelihoods.Likelihood likelihoods.Residual losses.Loss losses.MarginLoss
            neurons.Neuron neurons.Scaled spaces.Basis spaces.Tabulated""",
        RESULT: """Result data.Rows integrators.Gains meanfield.Certificate
            meanfield.DualEstimate numpyro.ModelPosterior optimize.Basin predictive_law.BayesComparison
            predictive_law.LawCertificate
            predictive_law.PredictiveLaw predictive_law.PredictivePath run.Average run.Trace
            sampling.HierarchicalInverseProblem sampling.InverseProblem
            sampling.LearningCoefficient sampling.Samples
            teacher_student.Matching teacher_student.OneStepRuns teacher_student.ReLUNetwork
            teacher_student.TwoPhaseFit""",
        NO_ARGUMENTS: """gradients.Full integrators.CrankNicolson integrators.Explicit integrators.Exponential
            integrators.SemiImplicit losses.LinearLoss losses.Logistic
            losses.Softmax losses.Squared neurons.Linear""",
        TRACED: """losses.linear losses.log_score losses.logistic losses.smoothed_hinge losses.softmax losses.squared
            run.position_of teacher_student.total_variation""",
        ERROR: """CheckpointError DivergenceError predictive_law.PredictiveWarning run.PeerError
            sampling.SamplingWarning sampling.SolveCacheError sampling.SolverWarning sampling.ToleranceError
            sklearn.LinearModelWarning sklearn.ModelError
            sklearn.UnlikeTrainingWarning""",
        "needs PyMC, whose tests are in tests/test_pymc.py": "pymc.posterior",
        "takes any array, of any process": "run.gather",
        "asks a server, and has tests of its own": "sampling.UMBridgeModel",
        "changes the settings of the process, and has tests of its own": "run.keep_compiled_programs run.process_group",
        "needs a Flower app or PyTorch, whose tests are in tests/flower": """flower.Task
            flower.client_app flower.server_app flower.torch_load flower.torch_problem flower.torch_start""",
    }.items()
    for name in (f"langevax.{word}" for word in names.split())
}
"""Names without cases, and why."""
