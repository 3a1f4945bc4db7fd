"""`langevax federated simulate`: what it prints and saves, and what it refuses."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from langevax.app.federating import simulate as simulation
from langevax.app.federating.simulate import algorithm_of, split
from langevax.app.options import SimulationOptions
from langevax.federated import defaults
from langevax.federated.defaults import FEDERATED_METHODS
from tests.app.conftest import langevax
from tests.sentences import tells

pytestmark = pytest.mark.mostly_compiling

QUICK = [
    "--data",
    "wine",
    "--clients",
    "4",
    "--rounds",
    "6",
    "--num-local-steps",
    "3",
    "--hidden",
    "0",
]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("federated") / "run"
    words = [
        "--method",
        "fledge",
        "--per-round",
        2,
        "--partition",
        "concentration:0.6",
        "--out",
        out,
    ]
    return out, langevax("federated", "simulate", *words, *QUICK)


@pytest.mark.slow
def test_it_prints_what_rounds_cost_and_fills_the_folder(done):
    out, answer = done
    assert (answer.exit_code, answer.stderr) == (0, "")
    for word in (
        "exchanges",
        "megabytes",
        "Accuracy",
        "FLEDGE, step size 0.0625, 2 clients a round",
    ):
        assert word in answer.stdout
    names = {"result.json", "history.csv"}
    assert {path.name for path in out.iterdir()} == names


@pytest.mark.slow
def test_saved_evaluations_are_counted_as_the_method_costs(done):
    """One exchange with all at the start, then two a round: 3 vectors of one client and 4 of each of p."""
    out, _ = done
    with open(out / "history.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rounds = np.arange(7)
    after = rounds > 0  # the exchange before the first round is counted with it
    assert [int(row["round"]) for row in rows] == rounds.tolist()
    assert [int(row["exchanges"]) for row in rows] == (2 * rounds + after).tolist()
    vectors = (4 * 2 + 3) * rounds + 2 * 4 * after
    assert [int(row["vectors"]) for row in rows] == vectors.tolist()
    assert [int(row["bytes"]) for row in rows] == (vectors * 4 * (13 * 3 + 3)).tolist()
    assert float(rows[0]["loss"]) == pytest.approx(np.log(3), abs=1e-6)
    assert float(rows[-1]["loss"]) < 0.9
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert (result["method"], result["exchanges"], result["per_round"]) == (
        "fledge",
        13,
        2,
    )
    assert result["accuracy"] == pytest.approx(float(rows[-1]["accuracy"]))
    assert 0 < result["seconds_to_first_step"] < result["seconds"]


@pytest.mark.slow
def test_a_file_is_read_as_fit_reads_it(tmp_path):
    rng = np.random.default_rng(0)
    sizes, colours = rng.normal(size=90), rng.choice(["red", "blue"], 90)
    kinds = np.where(sizes + (colours == "red") > 0.5, "big", "small")
    rows = [
        f"{size},{colour},{kind}"
        for size, colour, kind in zip(sizes, colours, kinds, strict=True)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["size,colour,kind", *rows]) + "\n")
    words = [
        "--data",
        tmp_path / "t.csv",
        "--target",
        "kind",
        "--partition",
        "even",
        "--step-size",
        0.5,
        "--json",
    ]
    answer = langevax(
        "federated",
        "simulate",
        "--method",
        "fedavg",
        *words,
        "--out",
        tmp_path / "r",
        *QUICK[2:],
    )
    assert answer.exit_code == 0
    result = json.loads(answer.stdout)
    assert result["rows_of_a_client"] == {"least": 18, "most": 18}
    assert result["accuracy"] > 0.8
    assert result["target"] == "kind"


@pytest.mark.slow
def test_a_target_of_numbers_is_named_as_the_problem(tmp_path):
    (tmp_path / "t.csv").write_text(
        "x,y\n" + "".join(f"{i % 7},{i * 0.37:.2f}\n" for i in range(60))
    )
    answer = langevax(
        "federated",
        "simulate",
        "--data",
        tmp_path / "t.csv",
        "--target",
        "y",
        "--out",
        tmp_path / "r",
    )
    assert answer.exit_code == 2
    tells(answer.stderr, "--target 'y' 60")
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_json_is_the_only_output_and_a_run_is_replaced_only_by_force(tmp_path):
    words = [
        "federated",
        "simulate",
        "--method",
        "fedavg",
        "--partition",
        "even",
        "--json",
        "--out",
        tmp_path / "r",
    ]
    answer = langevax(*words, *QUICK)
    assert json.loads(answer.stdout)["exchanges"] == 6
    refused = langevax(*words, *QUICK)
    assert (refused.exit_code, refused.stdout) == (2, "")
    tells(refused.stderr)
    assert langevax(*words, *QUICK, "--force").exit_code == 0


@pytest.mark.slow
def test_the_history_of_an_interrupted_run_is_on_disk(tmp_path, monkeypatch):
    def interrupt(self, trace, state):
        add(self, trace, state)
        if len(trace) == 3:
            raise KeyboardInterrupt

    add = simulation.RoundHistory.__call__
    monkeypatch.setattr(simulation.RoundHistory, "__call__", interrupt)
    words = [
        "federated",
        "simulate",
        "--method",
        "fedavg",
        "--partition",
        "even",
        "--out",
        tmp_path / "r",
        *QUICK,
    ]
    answer = langevax(*words)
    assert answer.exit_code == 130
    history = tmp_path / "r" / "training" / "history.csv"
    tells(answer.stderr, f"{str(history)!r}")
    assert [line.split(",")[0] for line in history.read_text().splitlines()] == [
        "round",
        "0",
        "1",
        "2",
        "3",
    ]
    monkeypatch.undo()
    assert langevax(*words).exit_code == 0
    assert not history.exists()


def test_a_run_that_diverges_suggests_a_step_size(tmp_path):
    answer = langevax(
        "federated",
        "simulate",
        "--method",
        "fedavg",
        "--partition",
        "even",
        "--step-size",
        "1e38",
        "--out",
        tmp_path / "r",
        *QUICK,
    )
    assert (answer.exit_code, answer.stdout.count("Result")) == (1, 0)
    assert "--method fedavg diverged in round" in answer.stderr
    assert "pass --step-size 2.5e+37." in answer.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--method", "fedag"],
            "--method 'fedag' is not a method; did you mean 'fedavg'?",
        ),
        (
            ["--data", "mnist"],
            "--data 'mnist' is not a file, nor one of the known tables: 'digits', 'wine' and",
        ),
        (
            ["--data", "x.csv"],
            "--data 'x.csv' is a file; name its column of classes by --target.",
        ),
        (["--data", "x.csv", "--target", "y"], "'x.csv' does not exist"),
        (
            ["--target", "y"],
            "--target 'y' goes with a file; --data digits has its classes, leave it out.",
        ),
        (
            ["--per-round", "30"],
            "--per-round 30 is more than --clients 20; pass at most 20.",
        ),
        (
            ["--method", "bvr-l-sgd", "--per-round", "5"],
            "--per-round 5 does not go with --method bvr-l-sgd",
        ),
        (
            ["--dropout", "1"],
            "--dropout 1 is not a probability below 1; pass a number in [0, 1).",
        ),
        (["--step-size", "-1"], "--step-size -1 must be a number above 0"),
        (["--partition", "concentrated:0.6"], "did you mean 'concentration'?"),
        (
            ["--partition", "dirichlet"],
            "--partition 'dirichlet' must be even, or a name with its number",
        ),
        (
            ["--partition", "even:3"],
            "--partition 'even:3' must be even, or a name with its number",
        ),
        (
            ["--partition", "dirichlet:x"],
            "'dirichlet:x' with --clients 20 cannot be made: 'x' is not a number.",
        ),
        (["--partition", "concentration:2"], "concentration must lie in 0..1"),
        (["--clients", "0"], "--clients"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(words, message, tmp_path):
    answer = langevax("federated", "simulate", *words, "--out", tmp_path / "r")
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert message in " ".join(answer.stderr.split())


def options(**changed):
    plain = SimulationOptions(
        "fledge", "wine", None, "even", 20, None, 5, 3, 2, None, 0, 0.25, Path("out"), 0
    )
    return replace(plain, **changed)


def test_steps_and_rows_are_those_of_the_methods_defaults():
    options = SimulationOptions()
    assert (options.num_local_steps, options.batch_size) == (
        defaults.NUM_LOCAL_STEPS,
        defaults.LOCAL_BATCH_SIZE,
    )


@pytest.mark.parametrize("method", FEDERATED_METHODS)
def test_a_method_has_the_settings_of_the_command(method):
    """By default FLEDGE selects sqrt(P) clients, the others all; methods without local steps take K b rows at once."""
    algorithm = algorithm_of(options(method=method))
    assert (algorithm.step_size, algorithm.dropout) == (
        FEDERATED_METHODS[method].step_size,
        0.25,
    )
    at_once = not hasattr(algorithm, "num_local_steps")
    assert at_once == (method.startswith("minibatch") or method == "fednova")
    assert algorithm.batch_size == (6 if method.startswith("minibatch") else 2)
    assert getattr(algorithm, "clients_per_round", None) == (
        4 if method == "fledge" else None
    )
    if FEDERATED_METHODS[method].has("clients_per_round"):
        assert algorithm_of(options(method=method, per_round=7)).clients_per_round == 7
        assert (
            algorithm_of(options(method=method, per_round=20)).clients_per_round is None
        )


@pytest.mark.parametrize(
    "partition", ["even", "concentration:0.6", "dirichlet:0.5", "shards:2"]
)
def test_every_split_gives_each_row_to_one_client(partition):
    labels = np.resize([0, 1, 2], 150)
    parts = split(options(partition=partition, clients=6), labels)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(150))
    counts = np.array([np.bincount(labels[part], minlength=3) for part in parts])
    skewed = counts.max(axis=1) / counts.sum(axis=1)
    assert (skewed.mean() > 0.45) == (partition != "even")


def test_a_file_is_not_accepted_as_a_folder(tmp_path):
    (tmp_path / "f").write_text("")
    answer = langevax("federated", "simulate", "--out", tmp_path / "f")
    assert answer.exit_code == 2
    assert "is a file" in answer.stderr


def test_help_has_examples():
    answer = langevax("federated", "simulate", "--help")
    assert answer.exit_code == 0
    for word in (
        "concentration:Q",
        "langevax federated simulate --method fledge --data digits",
        "Exit codes",
    ):
        assert word in answer.stdout
    assert "simulate" in langevax("federated", "--help").stdout
