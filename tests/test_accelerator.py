"""The table of an accelerator: what it counts, what it leaves out with a reason, and that everything runs."""

import functools
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from benchmarks import __main__ as command
from benchmarks import accelerator
from benchmarks.accelerator import (
    cases,
    draws,
    jax_steps,
    peaks,
    precision,
    torch_steps,
    work,
)
from benchmarks.accelerator import task as tasks
from benchmarks.accelerator.task import SMOKE, Candidate, Task
from benchmarks.accelerator.work import Work
from langevax.sklearn import network_outputs
from tests.sentences import refuses

pytestmark = pytest.mark.mostly_compiling

ROOT = Path(__file__).parents[1]


def task(*candidates, **options):
    return Task("a task", "a step", candidates, **options)


def test_work_is_linear_in_the_rows():
    assert Work(10.0, 4.0).along(Work(14.0, 5.0), (2, 4), 100) == Work(
        10 + 98 * 2, 4 + 98 / 2
    )
    assert Work(1.0, 2.0).plus(Work(3.0, 5.0), 10) == Work(31.0, 52.0)


@pytest.mark.slow
def test_operations_of_a_mean_field_step_are_those_of_its_products_and_of_each_activation():
    """2 n N (d + 1) of each of two products, some ten of each activation; a pass without its blocks' loop."""
    rows, particles, columns = 4096, 512, cases.COLUMNS
    counted = cases.clouds(rows, particles, "eager").work()
    products = 2 * 2 * rows * particles * (columns + 1)
    assert products < counted.operations < 1.5 * products
    assert counted.bytes > 2 * 4 * rows * particles  # activations are written and read


@pytest.mark.slow
def test_operations_of_a_function_step_do_not_depend_on_the_steps_of_a_run():
    few, many = (cases.functions(modes, "eager").work() for modes in (1000, 3000))
    assert many.operations == pytest.approx(3 * few.operations, rel=0.05)
    assert many.bytes == pytest.approx(3 * few.bytes, rel=0.05)


@pytest.mark.long
def test_work_of_a_round_is_that_of_the_clients_chosen():
    """Each local step, of one row, has a product of 2 d operations and a move of 2 d more; others do not count."""
    coordinates, chosen = 500, 4
    few, many = (
        cases.averages(clients, coordinates, chosen, "eager").work()
        for clients in (20, 40)
    )
    assert few == many
    steps = chosen * cases.federated.LOCAL_STEPS
    assert 4 * steps * coordinates < few.operations < 8 * steps * coordinates
    assert 4 * steps * coordinates < few.bytes < 4 * 12 * steps * coordinates
    few, many = (
        cases.fledge(clients, coordinates, chosen, "eager").work()
        for clients in (20, 40)
    )
    assert many.operations == pytest.approx(
        few.operations, rel=0.01
    )  # the fold is of all, and that much rarer
    gradients = 2 * chosen * cases.federated.ROWS
    assert 4 * gradients * coordinates < few.operations < 12 * gradients * coordinates


def test_work_is_read_off_programs_without_a_loop_over_rows():
    from langevax import platforms

    problem = langevax.FiniteSum(
        lambda x, row: jnp.sum((x - row) ** 2), np.ones((20_000, 2), np.float32)
    )
    whole = work.of_function(lambda p, x: p.gradient(x), problem, jnp.zeros(2))
    assert whole.operations > 4 * 20_000
    assert platforms.CPU.pass_rows == 4096  # as before


@pytest.mark.long
def test_a_candidate_that_does_not_run_is_named_with_the_reason():
    def broken(steps):
        raise MemoryError("too large\nby far")

    lines = list(
        accelerator.measured(
            task(
                Candidate("langevax", lambda steps: lambda: None),
                Candidate("absent", broken, "no_such_package"),
                Candidate("broken", broken),
                Candidate("elsewhere", None, reason="it does not exist"),
                work=lambda: Work(8.0, 4.0),
            ),
            1e-4,
        )
    )
    notes = [
        "",
        "no_such_package is not installed",
        "MemoryError: too large",
        "it does not exist",
    ]
    assert [line.note for line in lines] == notes
    assert lines[0].seconds > 0
    assert lines[0].beside_ours == 1
    assert lines[0].operations == 8
    assert [line.seconds for line in lines[1:]] == [None] * 3


def test_peers_are_not_compared_with_each_other_where_ours_failed():
    def broken(steps):
        raise MemoryError

    broke, other = accelerator.measured(
        task(
            Candidate("langevax", broken),
            Candidate("plain JAX", lambda steps: lambda: None),
        ),
        1e-4,
    )
    assert broke.seconds is None
    assert other.seconds > 0
    assert other.beside_ours is None


def test_only_ours_run_when_time_is_over():
    def run(steps):
        return lambda: None

    ours, other = accelerator.measured(
        task(Candidate("langevax", run), Candidate("plain JAX", run)),
        1e-4,
        time.perf_counter(),
    )
    assert ours.seconds > 0
    assert other.seconds is None
    assert "pass more --minutes" in other.note


def test_seconds_are_those_of_the_units_that_a_run_did():
    def run():
        time.sleep(0.02)
        return tasks.Units(10)

    assert (
        0.002
        <= accelerator.seconds_a_unit(
            task(once=True), Candidate("", lambda steps: run), 0.01
        )
        < 0.02
    )


@pytest.mark.slow
def test_each_part_in_pytorch_is_a_line_where_it_is_missing(monkeypatch):
    """Nothing is imported: neither where tasks are listed, nor where candidates are left out."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for each in cases.tasks(SMOKE):
        in_torch = [
            candidate for candidate in each.candidates if "PyTorch" in candidate.name
        ]
        notes = [accelerator.left_out(candidate) for candidate in in_torch]
        assert notes
        assert all(
            note == "torch is not installed" or note == in_torch[0].reason
            for note in notes
        ), each.name
        others = [
            candidate for candidate in each.candidates if candidate not in in_torch
        ]
        assert [accelerator.left_out(candidate) for candidate in others] == [
            candidate.reason for candidate in others
        ]


def test_every_task_has_ours_first_and_peers_or_the_reason_why_not():
    for each in cases.tasks(SMOKE):
        names = [candidate.name for candidate in each.candidates]
        assert names[0] == "langevax"
        assert len(set(names)) == len(names)
        reasons = {candidate.name for candidate in each.candidates if candidate.reason}
        measured = set(names) - reasons
        assert {"PyTorch"} <= reasons or sum(
            "PyTorch" in name for name in measured
        ) == 2, each.name
        assert {"plain JAX"} <= reasons or any(
            "plain JAX" in name or "NUTS" in name for name in measured
        ), each.name


@pytest.mark.parametrize(
    ("backend", "compiler", "missing"),
    [("inductor", None, True), ("eager", None, False)],
)
def test_what_torch_compile_needs_is_a_rule(monkeypatch, backend, compiler, missing):
    monkeypatch.setattr(tasks.shutil, "which", lambda name: compiler)
    monkeypatch.delenv("CXX", raising=False)
    eager, compiled = tasks.of_torch(lambda backend, steps: None, backend)
    assert eager.reason == ""
    assert compiled.reason == (tasks.NO_COMPILER if missing else "")
    monkeypatch.setenv("CXX", "another")
    assert tasks.of_torch(lambda backend, steps: None, backend)[1].reason == ""


def test_a_row_has_the_rate_and_the_shares_of_both_peaks():
    rates = {"float32": 4e12, "default": 8e12, "memory": 1e12}
    line = accelerator.line_of(
        task(),
        Candidate("langevax", None, precision="default"),
        2.0,
        2.0,
        Work(8e12, 1e12),
        "",
    )
    assert (
        accelerator.row(accelerator.asdict(line), rates)
        == "| langevax | 2 s | 1.00 x | 4 | 50% | 500 | 50% |"
    )
    other = accelerator.line_of(
        task(), Candidate("plain JAX", None), 3.0, 2.0, Work(8e12, 1e12), ""
    )
    assert (
        accelerator.row(accelerator.asdict(other), rates)
        == "| plain JAX | 3 s | 1.50 x |  |  |  |  |"
    )


def test_data_sheets_are_those_of_the_very_device():
    assert peaks.of_data_sheet("NVIDIA H100 80GB HBM3").memory == 3.35e12
    assert peaks.of_data_sheet("NVIDIA H100 PCIe").memory == 2.0e12
    assert peaks.of_data_sheet("NVIDIA A100-SXM4-40GB").memory == 1.555e12
    assert peaks.of_data_sheet("NVIDIA L40S").memory == 864e9
    assert peaks.of_data_sheet("cpu") is None


def test_full_sizes_need_an_accelerator():
    with refuses(SystemExit, "--smoke"):
        accelerator.main([])


@pytest.mark.long
def test_products_in_tf32_are_eight_times_as_exact_as_in_bfloat16():
    """Three bits more, beside float32's own rounding."""
    fine, tf32, coarse = precision.measured(50, 5, 64, 10)
    for name in ("outputs", "gradient"):
        assert fine[name] < 1e-6
        assert 4 < coarse[name] / tf32[name] < 16
    assert fine["moved"] == 0 < tf32["moved"] < coarse["moved"] < fine["moved_by_noise"]


# Candidates compute the same. PyTorch's are tested eager and traced as a whole, where a graph break would be an error.

BACKENDS = None, "eager"


def chains_of(rows, num_chains, batch_size, period, steps, temperature):
    """Ends of chains by each candidate; SGLD where the period is None."""
    arrays, start = (
        [jnp.asarray(array) for array in rows],
        jnp.zeros((num_chains, rows[0].shape[1])),
    )
    options = {
        "batch_size": batch_size,
        "steps": steps,
        "step_size": 0.5,
        "temperature": temperature,
    }
    gradient = langevax.gradients.Minibatch(batch_size=batch_size)
    scan = jax_steps.sgld_scan
    if period is not None:
        gradient = langevax.gradients.SVRG(batch_size=batch_size, period=period)
        scan = functools.partial(jax_steps.svrg_scan, period=period)
    risk = langevax.FiniteSum(cases.logistic, rows, precision=1 / len(rows[1]))
    ours = langevax.simulate(
        langevax.Langevin(0.5, temperature, gradient),
        risk,
        start[0],
        key=jax.random.key(0),
        num_steps=steps,
        num_chains=num_chains,
    )
    in_torch = [
        torch_steps.chains(rows, num_chains, period=period, backend=b, **options)()
        for b in BACKENDS
    ]
    return [
        np.asarray(x)
        for x in (
            ours.position,
            scan(*arrays, start, jax.random.key(0), **options),
            *in_torch,
        )
    ]


@pytest.mark.long
def test_candidates_of_chains_take_the_same_full_passes():
    """Descent without noise, in NumPy; float32."""
    pytest.importorskip("torch")
    inputs, labels = cases.logistic_rows(64)
    w = np.zeros(cases.COLUMNS)
    for _ in range(4):
        slopes = -labels / (1 + np.exp(labels * (inputs @ w)))
        w -= 0.5 * (slopes @ inputs / 64 + w / 64)
    for ends in chains_of((inputs, labels), 2, 4, 1, 4, 0.0):
        np.testing.assert_allclose(ends, np.tile(w, (2, 1)), rtol=1e-4, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("period", [None, 3])
def test_candidates_of_chains_have_the_same_batches_and_noise(period):
    """4,000 chains: mean and spread of each coordinate, with noise and without, to five of their errors."""
    pytest.importorskip("torch")
    for temperature in (0.0, 0.02):
        ours, *others = chains_of(
            cases.logistic_rows(64), 4000, 4, period, 5, temperature
        )
        deviations = ours.std(0)
        for ends in others:
            assert (
                np.abs(ends.mean(0) - ours.mean(0)).max()
                < 5 * (2 / 4000) ** 0.5 * deviations.max()
            )
            np.testing.assert_allclose(ends.std(0), deviations, rtol=5 * 4000**-0.5)


@pytest.mark.long
def test_candidates_of_functions_have_the_same_law():
    """Variances are v <- gain^2 ((1 - h c)^2 v + 2 h): in these units all modes together have variance 1."""
    pytest.importorskip("torch")
    modes, steps, h, ridge = 20_000, 3, cases.STEP_SIZE, cases.RIDGE
    index, variances = np.arange(1.0, modes + 1), np.zeros(modes)
    gain = 1 / (1 + h * ridge * index**2)
    for _ in range(steps):
        variances = gain**2 * ((1 - h / index) ** 2 * variances + 2 * h)
    algorithm = langevax.Langevin(
        h, 1.0, integrator=langevax.integrators.SemiImplicit()
    )
    ends = [
        cases.simulated(algorithm, cases.target(modes), jnp.zeros(modes), steps)(),
        jax_steps.functions(modes, steps, jax.random.key(0), h, ridge),
        *(
            torch_steps.functions(modes, steps, h, ridge, backend)()
            for backend in BACKENDS
        ),
    ]
    for x in ends:
        standardised = np.asarray(x) / np.sqrt(variances)
        assert standardised[:200].std() == pytest.approx(
            1, abs=0.2
        )  # where the loss counts; four errors
        assert standardised.std() == pytest.approx(1, abs=0.02)


def alike_rows(num_clients, coordinates):
    """Rows of clients, of each of whom both rows are the same: a batch is all of them, whatever is drawn."""
    return tuple(
        array[:, :1].repeat(2, 1)
        for array in cases.rows_of_clients(num_clients, coordinates)
    )


@pytest.mark.long
def test_candidates_of_averages_take_the_same_rounds():
    """All clients: two rounds are those of NumPy."""
    pytest.importorskip("torch")
    inputs, targets = alike_rows(6, 5)
    position, x, y = (
        np.zeros(5),
        inputs[:, 0].astype(float),
        targets[:, 0].astype(float),
    )
    local_steps = cases.federated.LOCAL_STEPS
    for _ in range(2):
        ends = np.tile(position, (6, 1))
        for _ in range(local_steps):
            ends -= cases.CLIENT_STEP * ((x * ends).sum(1) - y)[:, None] * x
        position = ends.mean(0)
    method = langevax.federated.FedAvg(cases.CLIENT_STEP, local_steps, batch_size=1)
    federation = langevax.Federation(cases.federated.squared, (inputs, targets))
    ours = langevax.simulate(
        method, federation, jnp.zeros(5), key=jax.random.key(0), num_steps=2
    ).position
    arrays = jnp.asarray(inputs), jnp.asarray(targets), jnp.zeros(5), jax.random.key(0)
    by_scan = jax_steps.fedavg_scan(*arrays, 2, 6, local_steps, cases.CLIENT_STEP)
    by_torch = [
        torch_steps.fedavg(
            (inputs, targets), 6, local_steps, 2, cases.CLIENT_STEP, backend
        )()
        for backend in BACKENDS
    ]
    for candidate in (ours, by_scan, *by_torch):
        np.testing.assert_allclose(candidate, position, rtol=1e-5)


def fledge_ends(x, y, step_size, local_steps, chosen, num_rounds):
    """All ends of rounds of FLEDGE, by the clients drawn: in NumPy, with every entry of the table moved at once."""
    number, ends = len(x), []
    draws = list(
        itertools.product(range(number), itertools.combinations(range(number), chosen))
    )

    def gradient(client, position):
        return (x[client] @ position - y[client]) * x[client]

    def advance(position, table, rounds):
        if not rounds:
            ends.append(position)
            return
        for client, asked in draws:
            v = table.mean(0)
            before, here = position, position - step_size * v
            for _ in range(local_steps - 1):
                v = v + gradient(client, here) - gradient(client, before)
                before, here = here, here - step_size * v
            change = np.mean(
                [gradient(i, here) - gradient(i, position) for i in asked], axis=0
            )
            moved = table + change
            for i in asked:
                moved[i] = gradient(i, here)
            advance(here, moved, rounds - 1)

    zero = np.zeros(x.shape[1])
    advance(zero, np.array([gradient(i, zero) for i in range(number)]), num_rounds)
    return np.array(ends)


@pytest.mark.long
def test_candidates_of_fledge_end_where_the_paper_does():
    """Three rounds, 2 of 3 clients, the table folded once: one of the 243 ends that NumPy computes; float32."""
    torch = pytest.importorskip("torch")
    inputs, targets = (3 * array for array in alike_rows(3, 4))
    step_size, local_steps, chosen, num_rounds = 0.1, 3, 2, 3
    x, y = inputs[:, 0].astype(float), targets[:, 0].astype(float)
    ends = np.unique(
        fledge_ends(x, y, step_size, local_steps, chosen, num_rounds).round(12), axis=0
    )
    spacing = np.sort(np.linalg.norm(ends[:, None] - ends, axis=2), axis=1)[:, 1].min()
    method = langevax.federated.FLEDGE(
        step_size, local_steps, batch_size=1, clients_per_round=chosen
    )
    federation, start = (
        langevax.Federation(cases.federated.squared, (inputs, targets)),
        jnp.zeros(4),
    )
    arrays, words = (
        (jnp.asarray(inputs), jnp.asarray(targets), start),
        (chosen, local_steps),
    )

    def ours(seed):
        return langevax.simulate(
            method, federation, start, key=jax.random.key(seed), num_steps=num_rounds
        ).position

    def by_scan(seed):
        return jax_steps.fledge_scan(
            *arrays, jax.random.key(seed), num_rounds, *words, step_size
        )

    def by_torch(backend, seed):
        torch.manual_seed(seed)
        return torch_steps.fledge(
            (inputs, targets), *words, num_rounds, step_size, backend
        )()

    assert len(ends) == 243  # the last clients asked enter the next round alone
    for candidate in (
        ours,
        by_scan,
        *(functools.partial(by_torch, backend) for backend in BACKENDS),
    ):
        nearest = [
            np.linalg.norm(ends - np.asarray(candidate(seed)), axis=1)
            for seed in range(5)
        ]
        assert max(distances.min() for distances in nearest) < 1e-5 < spacing / 100
        assert len({int(distances.argmin()) for distances in nearest}) > 1


@pytest.mark.long
def test_candidates_of_descents_reach_the_same_wells():
    """The very runs of the table: energies to rounding, positions to what a flat well leaves open."""
    pytest.importorskip("torch")
    ours, plain, eager, traced = (
        candidate.make(1)()
        for candidate in cases.descents(
            SMOKE.certified[:2], SMOKE.descents, "eager"
        ).candidates
    )
    np.testing.assert_allclose(plain[1], ours[1], rtol=1e-5)
    for positions in (plain[0], eager, traced):
        np.testing.assert_allclose(positions, ours[0], atol=0.01)


@pytest.mark.long
def test_candidates_of_a_fit_train_the_same_network():
    """Without noise: 20 steps on all rows, and on batches of rows that are all alike; then the noise of a step."""
    pytest.importorskip("torch")
    X, y = cases.friedman(60)
    noisy = cases.training(X, y, 50)
    still, key = noisy.without_noise(), jax.random.key(0)
    for problem, batch_size in (
        (still, None),
        (still._replace(inputs=still.inputs[:1], targets=still.targets[:1]), 3),
    ):
        risk, _ = cases.risk_of(problem.inputs, problem.targets)
        _, step_sizes = cases.risk_of(still.inputs, still.targets)
        mfld = langevax.meanfield.MFLD(step_sizes, 0.0)
        ours = langevax.simulate(
            mfld, risk, jnp.asarray(problem.start), key=key, num_steps=20
        ).position
        assert np.abs(np.asarray(ours) - problem.start).max() > 0.1
        by_torch = [
            torch_steps.trained(problem, batch_size, 20, backend)()
            for backend in BACKENDS
        ]
        for ends in (jax_steps.trained(problem, key, 20, batch_size), *by_torch):
            np.testing.assert_allclose(ends, ours, atol=1e-4)
    expected = np.asarray(jax_steps.trained(still, key, 1, None))
    for ends in (
        jax_steps.trained(noisy, key, 1, None),
        *(torch_steps.trained(noisy, None, 1, b)() for b in BACKENDS),
    ):
        assert ((np.asarray(ends) - expected) / noisy.spread).std() == pytest.approx(
            1, rel=0.15
        )  # of 500 numbers


@pytest.mark.long
def test_the_training_of_peers_is_that_of_the_estimator():
    """Outputs of its particles, its step sizes and its prior."""
    X, y = cases.friedman(60)
    model, problem = cases.estimator(40, 5, None).fit(X, y), cases.training(X, y, 40)
    outputs = jax_steps.outputs(
        model.particles_, model.standardiser_(X), problem.output_scale
    )
    of_estimator = network_outputs.outputs(
        model.neuron_, model.particles_, model.standardiser_(X)
    )  # of the last cloud alone
    np.testing.assert_allclose(outputs, of_estimator, atol=1e-5)
    risk = model.network_.exact().risk(model.temperature_)
    np.testing.assert_allclose(
        np.sort(risk.targets), np.sort(problem.targets), atol=1e-6
    )
    step_sizes = cases.mfld.coordinate_steps(risk, model.relative_step_size_)
    gains = langevax.integrators.Exponential().gains(step_sizes, risk.precision)
    for theirs, ours in zip(
        (problem.decay, problem.drift, problem.spread / 0.1), gains, strict=True
    ):
        np.testing.assert_allclose(
            np.sort(theirs), np.sort(ours), rtol=1e-4
        )  # at temperature 0.01
    assert model.n_iter_ == 5


@pytest.mark.long
def test_candidates_of_draws_have_the_same_law():
    """300 rows of 3 columns: means to five of their errors, standard deviations to a fifth."""
    pytest.importorskip("numpyro")
    inputs, labels = cases.logistic_rows(300)
    rows = np.ascontiguousarray(inputs[:, :3]), labels
    with jax.numpy_dtype_promotion("standard"):  # other libraries mix dtypes
        by_candidate = [
            np.asarray(f(rows))
            for f in (draws.by_sample, draws.by_blackjax, draws.by_numpyro)
        ]
    assert all(x.shape == (draws.CHAINS, draws.DRAWS, 3) for x in by_candidate)
    deviations = by_candidate[0].std((0, 1))
    least = min(map(draws.effective, by_candidate))
    assert least > 100
    for x in by_candidate[1:]:
        assert (
            np.abs(x.mean((0, 1)) - by_candidate[0].mean((0, 1))).max()
            < 5 * (2 / least) ** 0.5 * deviations.max()
        )
        np.testing.assert_allclose(x.std((0, 1)), deviations, rtol=0.2)


@pytest.mark.slow
def test_log_densities_of_many_rows_are_known_to_what_nuts_needs():
    """10^6 rows, three deviations from the mode, beside float64; their plain sum rounds to 0.03."""
    inputs, labels = cases.logistic_rows(10**6)
    X, y = inputs[:, :3], labels
    mode = draws.mode_of(jnp.asarray(X), jnp.asarray(y))
    w = np.asarray(mode) + np.float32(3 * 2e-3)

    def exact(w):
        return (
            -np.logaddexp(0, -y * (X.astype(float) @ w.astype(float))).sum()
            - (w.astype(float) ** 2).sum() / 2
        )

    log_density = draws.log_density_of(jnp.asarray(X), jnp.asarray(y), mode)
    assert float(log_density(w)) == pytest.approx(
        exact(w) - exact(np.asarray(mode)), abs=0.01
    )
    assert exact(w) - exact(np.asarray(mode)) < -3


# The command


def test_a_word_that_no_task_has_is_answered_with_their_names(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator.peaks, "measured", lambda *sizes: {})
    monkeypatch.setattr(accelerator.precision, "measured", lambda *sizes: [])
    with refuses(SystemExit):
        accelerator.main(
            [
                "--smoke",
                "--only",
                "nothing like it",
                "--out",
                str(tmp_path / "table.json"),
            ]
        )


@pytest.mark.parametrize(("seconds", "code"), [(1.0, 0), (None, 1)])
def test_the_command_fails_where_one_of_ours_did(tmp_path, monkeypatch, seconds, code):
    line = accelerator.Line(
        "a task",
        "a step",
        "langevax",
        seconds,
        None,
        None,
        None,
        "float32",
        "" if seconds else "!",
    )
    monkeypatch.setattr(accelerator.peaks, "measured", lambda *sizes: {})
    rates = dict.fromkeys(
        ("float32", "tensorfloat32", "bfloat16", "default", "memory"), 1.0
    )
    monkeypatch.setattr(accelerator.peaks, "measured", lambda *sizes: rates)
    monkeypatch.setattr(accelerator.precision, "measured", lambda *sizes: [])
    monkeypatch.setattr(accelerator.precision, "markdown", lambda results: [])
    monkeypatch.setattr(accelerator, "tasks", lambda scale: [task()])
    monkeypatch.setattr(accelerator, "measured", lambda *arguments: [line])
    out = str(tmp_path / "table.json")
    assert accelerator.main(["--smoke", "--out", out]) == code
    monkeypatch.setattr(sys, "argv", ["", "accelerator", "--smoke", "--out", out])
    assert command.main() == code


@pytest.mark.long
def test_the_table_runs_at_small_sizes(tmp_path):
    out = tmp_path / "table.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.accelerator",
        "--smoke",
        "--out",
        str(out),
    ]
    quickly = os.environ | {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"
    }  # it mostly compiles
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=quickly,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    record = json.loads(out.read_text())
    assert {line["task"] for line in record["lines"]} == {
        each.name for each in cases.tasks(SMOKE)
    }
    assert all(
        line["seconds"] > 0
        for line in record["lines"]
        if line["candidate"].startswith("langevax")
    )
    candidates = {
        (each.name, other.name): other
        for each in cases.tasks(SMOKE)
        for other in each.candidates
    }
    assert candidates.keys() == {
        (line["task"], line["candidate"]) for line in record["lines"]
    }
    for line in record["lines"]:
        reason = accelerator.left_out(candidates[line["task"], line["candidate"]])
        assert line["note"] == reason
        assert bool(line["seconds"]) == (not reason)
    assert all(value > 0 for value in record["measured"].values())
    assert [row["precision"] for row in record["precision"]] == list(
        precision.PRECISIONS
    )
    table = out.with_suffix(".md").read_text()
    assert table in done.stdout
    assert "measure nothing" in table
    assert tasks.TRACED_ONLY in table
