"""PyTorch modules as clients against the same networks in JAX; positions there and back; and what is refused."""

import copy
import doctest
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from benchmarks.federated_networks import tasks
from langevax import federated
from tests.sentences import refuses

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore", DeprecationWarning
    )  # of click, at the import of Flower
    pytest.importorskip("flwr", reason="Flower is not installed")
    from langevax.flower import torch_load, torch_problem, torch_start

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

pytestmark = pytest.mark.mostly_compiling

N, D, HIDDEN, CLASSES = 37, 5, 4, 3


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(D, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, CLASSES))


def rows(n=N, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, D)).astype(np.float32), rng.integers(CLASSES, size=n)


def jax_loss(position, row):
    """The same network's cross entropy of one row."""
    x, y = row
    hidden = jnp.tanh(position["0.weight"] @ x + position["0.bias"])
    logits = position["2.weight"] @ hidden + position["2.bias"]
    return jax.nn.logsumexp(logits) - logits[y]


def close(actual, expected, tolerance=2e-6):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance),
        actual,
        expected,
    )


@pytest.mark.slow
@pytest.mark.parametrize("tensors", [False, True])
def test_a_module_equals_the_same_network_in_jax(tensors):
    inputs, targets = rows()
    arguments = (
        (torch.tensor(inputs), torch.tensor(targets)) if tensors else (inputs, targets)
    )
    module = network()
    problem, x = torch_problem(module, F.cross_entropy, arguments), torch_start(module)
    same = langevax.FiniteSum(jax_loss, (inputs, targets.astype(np.int32)))

    @eqx.filter_jit
    def numbers(problem, x):
        few = jnp.array([4, 0, 4], jnp.int32)
        return (
            problem.value_and_gradient(x),
            problem.gradient_at(x, few),
            problem.gradients_at(x, few),
        )

    close(numbers(problem, x), numbers(same, x))
    close(
        problem.over((inputs, targets), 5).gradient(x),
        same.over(same.data, 5).gradient(x),
    )
    assert problem.gradient(x)["0.weight"].dtype == jnp.float32


@pytest.mark.slow
def test_a_client_made_of_a_module_replies_as_one_of_jax():
    module, (inputs, targets) = network(), rows()
    problem, x = (
        torch_problem(module, F.cross_entropy, (inputs, targets)),
        torch_start(module),
    )
    same = langevax.FiniteSum(jax_loss, (inputs, targets.astype(np.int32)))
    clients = langevax.Federation(
        jax_loss, jax.tree.map(lambda a: a[None], same.data)
    ).clients
    fledge = federated.FLEDGE(0.1, 4, batch_size=8)
    local = fledge.exchanges(clients)[0]

    @eqx.filter_jit
    def reply(client):
        server = fledge.server(jax.tree.map(jnp.asarray, x), clients)._replace(
            gradient=client.gradient(x)
        )
        return local.reply(
            client,
            (),
            local.message(server, jnp.int32(0)),
            jax.random.key(0),
            jnp.int32(0),
        )[0]

    close(reply(problem), reply(same))


def test_positions_there_and_back():
    """Copies both ways; and a module that was loaded gives the outputs of the other."""
    module, other = network(0), network(1)
    x, before = torch_start(module), copy.deepcopy(module.state_dict())
    assert {name: a.dtype for name, a in x.items()} == dict.fromkeys(
        before, np.dtype(np.float32)
    )
    torch_load(other, jax.tree.map(jnp.asarray, x))
    for name, array in torch_start(other).items():
        np.testing.assert_array_equal(array, x[name])
    inputs = torch.tensor(rows()[0])
    assert torch.equal(other(inputs), module(inputs))
    for array in x.values():
        array += 1
    assert all(torch.equal(a, before[name]) for name, a in module.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in other.parameters())


class Recorder:
    """A loss that keeps the dtypes it was given."""

    def __call__(self, outputs, targets):
        self.dtypes = outputs.dtype, targets.dtype
        return F.mse_loss(outputs[:, 0], targets.to(outputs.dtype))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (np.int64, torch.int64),
        (np.int16, torch.int16),
        (np.uint8, torch.uint8),
        (bool, torch.bool),
        (np.float64, torch.float32),
        (np.float16, torch.float32),
    ],
)
def test_integer_targets_keep_their_dtype_and_floats_become_float32(kind, expected):
    loss, (inputs, targets) = Recorder(), rows()
    problem = torch_problem(
        network(), loss, (inputs.astype(np.float64), targets.astype(kind))
    )
    eqx.filter_jit(problem.gradient)(torch_start(network()))
    assert loss.dtypes == (torch.float32, expected)


def test_several_inputs_and_shared_tied_frozen_and_unused_parameters():
    """Frozen ones are no part of a position; one used in several places is there once; one without effect has gradient
    0. A module that is used under two names is what it was after the calls."""

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(D, 1, bias=False)
            self.again = self.first
            self.tied = nn.Linear(D, 1, bias=False)
            self.tied.weight = self.first.weight
            self.frozen = nn.Linear(D, 1, bias=False).requires_grad_(False)
            self.unused = nn.Parameter(torch.ones(()))
            self.scale = self.also = nn.Parameter(torch.ones(()))

        def forward(self, left, right):
            sums = (
                self.first(left)
                + self.again(right)
                + self.tied(right)
                + self.frozen(right)
            )
            return self.scale * self.also * sums

    module, (inputs, _) = Pair(), rows()
    x = torch_start(module)
    assert set(x) == {"first.weight", "scale", "unused"}
    problem = torch_problem(
        module, F.mse_loss, ((inputs, 2 * inputs), np.zeros((N, 1), np.float32))
    )
    frozen = module.frozen.weight.numpy()
    outputs = inputs @ (5 * x["first.weight"] + 2 * frozen)[0]
    weight = 2 * outputs @ (5 * inputs) / N
    expected = {
        "first.weight": weight[None],
        "scale": 4 * np.mean(outputs**2),
        "unused": np.float32(0),
    }
    for _ in range(2):
        close(problem.gradient(x), expected, 1e-5)
    assert module.again.weight is module.tied.weight is module.first.weight
    assert isinstance(module.first.weight, nn.Parameter)


def test_buffers_and_gradients_of_the_module_are_left_as_they_are():
    """Also those that a call writes to; and each call begins from the same ones."""

    class Counting(nn.Linear):
        def __init__(self):
            super().__init__(D, CLASSES)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return super().forward(x) * self.calls

    module = Counting()
    problem, x = torch_problem(module, F.cross_entropy, rows()), torch_start(module)
    before = copy.deepcopy(module.state_dict())
    first = problem.gradient(x)
    with torch.no_grad():
        close(problem.gradient(x), first, 0)
    assert all(torch.equal(a, before[name]) for name, a in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.slow
def test_batch_normalisation_that_is_held_still_is_a_function_of_each_row():
    module = nn.Sequential(
        nn.Linear(D, HIDDEN),
        nn.BatchNorm1d(HIDDEN),
        nn.Dropout(0.5),
        nn.Linear(HIDDEN, CLASSES),
    )
    module(torch.tensor(rows()[0]))  # statistics
    module.eval()
    problem, x = torch_problem(module, F.cross_entropy, rows()), torch_start(module)
    row_gradients = problem.gradients_at(x, jnp.arange(N, dtype=jnp.int32))
    close(problem.gradient(x), jax.tree.map(lambda a: a.mean(axis=0), row_gradients))


def test_the_same_module_and_loss_are_the_same_program():
    module, traces = network(), []

    @eqx.filter_jit
    def compiled(problem, x):
        traces.append(1)
        return problem.gradient(x)

    for seed in range(2):
        compiled(
            torch_problem(module, F.cross_entropy, rows(seed=seed)), torch_start(module)
        )
    assert len(traces) == 1


@pytest.mark.parametrize("function", [torch_problem, torch_start, torch_load])
def test_examples_of_the_docstrings(function):
    text = function.__doc__.replace("# doctest: +SKIP", "")
    failed, attempted = doctest.DocTestRunner().run(
        doctest.DocTestParser().get_doctest(text, {}, "example", None, 0)
    )
    assert (failed, attempted > 2) == (0, True)


def module_of(*layers):
    return nn.Sequential(nn.Linear(D, CLASSES), *layers)


def sums(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="sum")


REFUSED = {
    "no module": (
        lambda: torch_problem(3, F.mse_loss, rows()),
        TypeError,
        "module",
    ),
    "no loss": (
        lambda: torch_problem(network(), "mse", rows()),
        TypeError,
        "loss 'mse'",
    ),
    "no pair": (
        lambda: torch_problem(network(), F.mse_loss, rows()[0]),
        TypeError,
        "rows",
    ),
    "float64": (
        lambda: torch_start(network().double()),
        ValueError,
        "torch.float64 module.float",
    ),
    "nothing to learn": (
        lambda: torch_start(nn.Tanh()),
        ValueError,
        "requires_grad",
    ),
    "batch norm": (
        lambda: torch_problem(
            module_of(nn.BatchNorm1d(CLASSES)), F.cross_entropy, rows()
        ),
        ValueError,
        "BatchNorm1d '1' module.eval() GroupNorm",
    ),
    "batch norm without statistics": (
        lambda: torch_problem(
            module_of(nn.BatchNorm1d(CLASSES, track_running_stats=False)).eval(),
            F.cross_entropy,
            rows(),
        ),
        ValueError,
        "BatchNorm1d '1'",
    ),
    "dropout": (
        lambda: torch_problem(module_of(nn.Dropout(0.1)), F.cross_entropy, rows()),
        ValueError,
        "'1' module.eval()",
    ),
    "dropout of a recurrent layer": (
        lambda: torch_problem(
            nn.LSTM(D, 2, num_layers=2, dropout=0.1), F.cross_entropy, rows()
        ),
        ValueError,
        "LSTM",
    ),
    "a sum": (
        lambda: torch_problem(network(), sums, rows()),
        ValueError,
        "16 reduction='mean'",
    ),
    "class weights": (
        lambda: torch_problem(
            network(), nn.CrossEntropyLoss(torch.tensor([1.0, 5.0, 25.0])), rows()
        ),
        ValueError,
        "",
    ),
    "a loss of each row": (
        lambda: torch_problem(
            network(), lambda o, t: F.cross_entropy(o, t, reduction="none"), rows()
        ),
        ValueError,
        "loss (16,)",
    ),
    "long integers": (
        lambda: torch_problem(
            network(), F.cross_entropy, (rows()[0], np.full(N, 2**31))
        ),
        ValueError,
        "rows[1] 32",
    ),
    "a name less": (
        lambda: torch_load(network(), {"0.weight": np.zeros((HIDDEN, D))}),
        ValueError,
        "position torch_start",
    ),
    "no dict": (
        lambda: torch_load(network(), np.zeros(3)),
        ValueError,
        "position",
    ),
    "another shape": (
        lambda: torch_load(nn.Linear(2, 1, bias=False), {"weight": np.zeros((2, 1))}),
        ValueError,
        "position['weight'] (2, 1) (1, 2)",
    ),
    "a position of other names": (
        lambda: torch_problem(network(), F.cross_entropy, rows()).gradient(
            {"0.weight": np.zeros((HIDDEN, D))}
        ),
        ValueError,
        "position",
    ),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_mistakes_are_refused_in_these_words(name):
    make, error, facts = REFUSED[name]
    with refuses(error, facts):
        make()


@pytest.mark.slow
def test_a_convolutional_module_equals_the_network_of_the_benchmark():
    """So that the exchanges that `python -m benchmarks federated_networks` counts for images are those of PyTorch."""
    start = tasks._convolutional(jax.random.key(0))
    module = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 10)),
    )
    rng = np.random.default_rng(0)
    images, labels = (
        rng.normal(size=(11, 16, 16)).astype(np.float32),
        rng.integers(10, size=11),
    )
    problem = torch_problem(module, F.cross_entropy, (images[:, None], labels))
    first, second = (jnp.transpose(kernel, (3, 2, 0, 1)) for kernel in start["kernels"])
    weight = start["last"]["weight"].reshape(
        4, 4, 16, 10
    )  # rows, columns, channels: PyTorch flattens channels first
    last = jnp.transpose(weight, (3, 2, 0, 1)).reshape(10, 256)
    position = {
        "0.weight": first,
        "3.weight": second,
        "7.weight": last,
        "7.bias": start["last"]["bias"],
    }
    same = langevax.FiniteSum(
        tasks._loss_of(tasks._convolutional_outputs), (images, labels.astype(np.int32))
    )
    value, gradient = same.value_and_gradient(start)
    module_value, module_gradient = problem.value_and_gradient(position)
    np.testing.assert_allclose(module_value, value, rtol=1e-5)
    np.testing.assert_allclose(
        module_gradient["7.bias"], gradient["last"]["bias"], rtol=1e-4, atol=1e-6
    )
    expected = jnp.transpose(gradient["kernels"][0], (3, 2, 0, 1))
    np.testing.assert_allclose(
        module_gradient["0.weight"], expected, rtol=1e-4, atol=1e-5
    )
