"""The apps that are written: Flower takes them, they run, and the three frameworks have one gradient."""

import importlib
import io
import shlex
import tomllib
import zipfile

import jax
import numpy as np
import pytest

from tests.sentences import refuses

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from flwr.app import Context, RecordDict
from flwr.cli.build import build_fab_from_disk
from flwr.cli.config_utils import load_and_validate

from langevax.federated.defaults import FEDERATED_METHODS
from langevax.flower.app_template import app_files, package_of, settings_of, write_app
from langevax.flower.server import RUN_CONFIG, serve
from tests.flower.local_grid import LocalGrid

pytestmark = pytest.mark.slow


@pytest.fixture
def written(tmp_path, monkeypatch):
    """`written(name, ...)` is the app's folder, its run config, and its client module."""

    def write(name, framework="jax", **options):
        if framework == "torch":
            pytest.importorskip(
                "torch", reason="PyTorch is not installed: pip install torch"
            )
        folder = tmp_path / name
        write_app(folder, framework=framework, **options)
        monkeypatch.syspath_prepend(folder)
        config = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["flwr"][
            "app"
        ]["config"]
        return folder, config, importlib.import_module(f"{package_of(name)}.client_app")

    return write


def client(number, config, of=3):
    return Context(
        1,
        number + 10,
        {"partition-id": number, "num-partitions": of},
        RecordDict(),
        config,
    )


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_an_app_learns_digits(written, framework):
    """That in JAX does so in a real engine: tests/app/test_federated_run.py."""
    _, config, module = written(f"learns-{framework}", framework)
    config |= {"rounds": 3, "num-clients": 3}
    _, result = serve(module.task, LocalGrid(module.app, 3, config), config)
    accuracies = [
        actual["accuracy"]
        for _, actual in sorted(result.evaluate_metrics_serverapp.items())
    ]
    assert accuracies[-1] > 0.8, accuracies
    losses = [
        actual["loss"]
        for _, actual in sorted(result.evaluate_metrics_clientapp.items())
    ]
    assert losses == sorted(losses, reverse=True)


def test_the_three_frameworks_have_one_gradient_and_one_table(written):
    """At a position drawn at random; PyTorch keeps a layer's weight transposed."""
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    rng = np.random.default_rng(0)
    weight, bias = (
        rng.normal(size=(64, 10)).astype(np.float32),
        rng.normal(size=10).astype(np.float32),
    )
    actual = {}
    for framework in ("jax", "numpy", "torch"):
        _, config, module = written(f"one_{framework}", framework)
        problem = module.task.problem(client(1, config))
        position = {
            "weight": weight.T if framework == "torch" else weight,
            "bias": bias,
        }
        gradient = jax.tree.map(np.asarray, problem.gradient(position))
        weights = gradient["weight"].T if framework == "torch" else gradient["weight"]
        measured = module.task.evaluate(config)(position)["accuracy"]
        actual[framework] = (
            problem.size,
            weights,
            gradient["bias"],
            float(problem.value(position)),
            measured,
        )
    for framework in ("numpy", "torch"):
        assert actual[framework][0] == actual["jax"][0]
        for mine, other_values in zip(
            actual[framework][1:], actual["jax"][1:], strict=True
        ):
            np.testing.assert_allclose(mine, other_values, rtol=1e-4, atol=1e-5)
    assert np.abs(actual["jax"][1]).max() > 0.05


@pytest.mark.parametrize("method", FEDERATED_METHODS)
def test_a_method_reads_its_settings_from_the_run(written, method):
    _, config, module = written(f"method_{method}", method=method)
    task = module.task
    values = {
        name: "adam" if name == "server_optimizer" else 7
        for name in settings_of(FEDERATED_METHODS[method])
    }
    algorithm = task.algorithm_of(
        config | {name.replace("_", "-"): value for name, value in values.items()}
    )
    assert type(algorithm) is FEDERATED_METHODS[method].algorithm
    assert {name: getattr(algorithm, name) for name in values} == values
    assert task.algorithm_of(config).step_size == FEDERATED_METHODS[method].step_size
    if "server_optimizer" in values:
        assert task.algorithm_of(config).server_optimizer is None
    if "clients_per_round" in values:
        assert task.algorithm_of(config).clients_per_round is None


@pytest.mark.parametrize("method", FEDERATED_METHODS)
def test_all_settings_of_the_server_can_be_changed_and_are_as_by_default(method):
    """A key that pyproject.toml does not list could not be given at all."""
    config = tomllib.loads(app_files("app", method=method)["pyproject.toml"])["tool"][
        "flwr"
    ]["app"]["config"]
    settings = {key.replace("_", "-") for key in settings_of(FEDERATED_METHODS[method])}
    assert config.keys() == RUN_CONFIG.keys() | settings
    server = {
        key: value
        for key, value in config.items()
        if key in RUN_CONFIG and key != "rounds"
    }
    assert server == {
        key: value for key, value in RUN_CONFIG.items() if key != "rounds"
    }
    assert {key: type(value) for key, value in server.items()} == {
        key: type(RUN_CONFIG[key]) for key in server
    }


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # Flower's
def test_flower_takes_the_app_whole_and_without_warnings(tmp_path):
    paths = write_app(tmp_path / "Taken 2")
    _, warnings = load_and_validate(
        tmp_path / "Taken 2" / "pyproject.toml", check_module=True
    )
    assert warnings == []
    bundle = zipfile.ZipFile(io.BytesIO(build_fab_from_disk(tmp_path / "Taken 2")))
    expected = {str(path.relative_to(tmp_path / "Taken 2")) for path in paths} - {
        ".gitignore"
    }
    assert expected <= set(bundle.namelist())
    assert "taken_2/task.py" in expected


def test_the_commands_of_the_readme_are_flowers_own(tmp_path):
    """Each is taken by the parser of the program that it calls."""
    from flwr.superlink.cli.flower_superlink import _parse_args_run_superlink
    from flwr.supernode.cli.flower_supernode import _parse_args_run_supernode

    readme = app_files("My app")["README.md"]
    lines = readme.replace("\\\n", "").splitlines()
    parsers = {
        "flower-superlink": _parse_args_run_superlink(),
        "flower-supernode": _parse_args_run_supernode(),
    }
    recorded = {}
    for line in lines:
        if line.startswith("flower-"):
            program, *words = shlex.split(line)
            recorded[program] = vars(parsers[program].parse_args(words))
    assert recorded["flower-superlink"]["enable_supernode_auth"]
    assert recorded["flower-superlink"]["host"] == "10.0.0.1"
    assert (
        recorded["flower-supernode"]["node_config"] == "partition-id=0 num-partitions=2"
    )


def test_files_are_not_written_over_unless_forced(tmp_path):
    [readme, *_] = write_app(tmp_path / "app")
    readme.write_text("mine")
    with refuses(ValueError, "README.md force=True"):
        write_app(tmp_path / "app")
    assert readme.read_text() == "mine"
    write_app(tmp_path / "app", force=True)
    assert readme.read_text().startswith("# app\n")


@pytest.mark.parametrize(
    ("name", "options", "facts"),
    [
        (
            "app",
            {"framework": "tensorflow"},
            "framework 'tensorflow'",
        ),
        (
            "app",
            {"method": "fedmatch"},
            "method 'fedmatch'",
        ),
        ("7", {}, "'7'"),
    ],
)
def test_a_mistake_is_reported_and_nothing_is_written(tmp_path, name, options, facts):
    with refuses(ValueError, facts):
        write_app(tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []
