"""The table of benchmarks: what it derives, how it is shown, and that candidates do the same work."""

import functools
import importlib
import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from benchmarks import bbob, driver, mfld_step, mfld_torch, predictive
from benchmarks.__main__ import TABLES
from benchmarks.beside import __main__ as command
from benchmarks.beside import children, measure, table
from benchmarks.beside.case import (
    FILES,
    Candidate,
    Case,
    Line,
    Measurement,
    RunResult,
    chosen,
)
from benchmarks.beside.measure import apart
from benchmarks.certificates import problems
from benchmarks.minimize import nist
from benchmarks.predictive import rivals
from langevax import trees
from langevax.keys import unrolled
from tests.sentences import refuses

pytestmark = pytest.mark.slow

OURS = Measurement("langevax", "ours", times=(1.0, 2.0, 4.0))
FAST = Measurement("a peer", "peer", aim=2.0, times=(3.0, 4.0, 4.0))
FLOOR = Measurement(
    "its parts",
    "floor",
    aim=1.1,
    times=(1.0, 1.0, 4.0),
    parts={"products": 0.5, "normals": 0.5},
)
LINE = Line("a task of so many rows", "a step", (OURS, FAST, FLOOR))


def timed(*times, **options):
    """A candidate that says what its runs took."""
    left = list(times)
    return lambda steps: lambda: RunResult(1, left.pop(0), **options)


# What is derived


def test_a_ratio_is_the_median_of_neighbours_and_not_of_medians():
    assert LINE.ratios(FAST) == [3.0, 2.0, 1.0]
    assert LINE.ratio(FAST) == 2.0  # of medians too; not so below
    assert LINE.ratios(FLOOR) == [1.0, 2.0, 1.0]
    assert LINE.ratio(FLOOR) == 1.0  # of medians 2
    assert LINE.ratio(OURS) is None


@pytest.mark.parametrize(
    ("measurement", "aim", "met"),
    [(FAST, 2.0, True), (FAST, 2.01, False), (FLOOR, 1.0, True), (FLOOR, 0.99, False)],
)
def test_peers_are_to_be_slower_and_floors_not_far_below(measurement, aim, met):
    assert LINE.met(replace(measurement, aim=aim)) is met


def test_without_an_aim_or_times_nothing_is_judged():
    assert LINE.met(replace(FAST, aim=None)) is None
    assert LINE.met(replace(FAST, times=())) is None
    assert replace(LINE, measurements=(replace(OURS, times=()), FAST)).met(FAST) is None


def test_quartiles_are_those_of_the_ratios():
    assert LINE.quartiles(FAST) == (1.5, 2.5)
    assert (
        replace(LINE, measurements=(replace(OURS, times=(1.0,)),)).quartiles(
            replace(FAST, times=(3.0,))
        )
        is None
    )


def test_json_gives_the_line_back_and_derived_numbers_are_not_believed():
    record = json.loads(json.dumps(LINE.as_json()))
    assert Line.of_json(record) == LINE
    assert [f["met"] for f in record["measurements"]] == [None, True, True]
    assert [f["ratio"] for f in record["measurements"]] == [None, 2.0, 1.0]
    record["measurements"][1]["met"] = False
    assert Line.of_json(record).met(FAST) is True


# How a case is measured


def test_candidates_take_turns_after_one_run_each_that_is_left_out():
    took = []

    def noting(name):
        return lambda steps: lambda: took.append((name, steps))

    case = Case(
        "a",
        "a step",
        (Candidate("x", noting("x"), 40, "ours"), Candidate("y", noting("y"), 10)),
        turns=3,
    )
    measurements = measure.timed(case, share=0.1)
    assert took == [("x", 4), ("y", 1)] * 4
    assert [len(f.times) for f in measurements] == [3, 3]
    took.clear()
    assert len(measure.timed(replace(case, warm=False), most=2)[0].times) == 2
    assert took == [("x", 40), ("y", 10)] * 2
    assert len(measure.timed(case, most=9)[0].times) == 3


def test_times_are_those_of_a_unit_and_parts_are_added_turn_by_turn():
    parts = (Candidate("p", timed(1.0, 2.0)), Candidate("q", timed(10.0, 30.0)))
    case = Case(
        "a",
        "a draw",
        (
            Candidate(
                "x", lambda steps: lambda: RunResult(4, 2.0, {"R2": 0.5}), role="ours"
            ),
            Candidate("sum", None, role="floor", aim=2.0, parts=parts),
        ),
        turns=2,
        warm=False,
    )
    ours, whole = measure.timed(case)
    assert ours == Measurement("x", "ours", times=(0.5, 0.5), results={"R2": 0.5})
    assert whole == Measurement(
        "sum", "floor", 2.0, (11.0, 32.0), parts={"p": 1.5, "q": 20.0}
    )


def test_a_missing_peer_is_reported_and_a_failing_one_is_skipped():
    def missing(steps):
        import no_such_package_of_peers

        return no_such_package_of_peers

    def broken(steps):
        raise ValueError("of two words\nand a second line")

    candidates = (
        Candidate("x", timed(1.0), role="ours"),
        Candidate("y", missing),
        Candidate("z", broken),
    )
    ours, absent, failed = measure.timed(
        Case("a", "a step", candidates, turns=1, warm=False)
    )
    assert ours.times == (1.0,)
    assert (absent.note, absent.failed) == (
        "no_such_package_of_peers is not installed: pip install --group bench",
        False,
    )
    assert (failed.note, failed.failed) == ("ValueError: of two words", True)
    assert not Line("a", "a step", (ours, absent)).failed
    assert Line("a", "a step", (ours, failed)).failed


def of_which_process(steps):
    """A run that says where it runs."""
    return lambda: RunResult(steps, results={"process": os.getpid()})


def test_separate_timings_run_in_processes_of_their_own_in_turn():
    candidates = (
        Candidate("x", of_which_process, 10, "ours"),
        Candidate("y", of_which_process, 10, apart=True),
        Candidate(
            "z",
            functools.partial(importlib.import_module, "no_such_package_of_peers"),
            apart=True,
        ),
    )
    here, there, absent = measure.timed(Case("a", "a step", candidates, turns=3))
    assert here.results == {"process": os.getpid()}
    assert there.results != here.results
    assert len(there.times) == len(here.times) == 3
    assert absent.note.startswith("no_such_package_of_peers is not installed")
    assert not absent.failed


def test_seconds_are_of_the_remote_clock_unless_a_run_reports_its_own():
    """So that sending a message is not counted."""
    of_nothing, of_units, of_seconds = (
        apart(functools.partial(functools.partial, *words), 4)()
        for words in ((int,), (RunResult,), (RunResult, 1))
    )
    for did in (of_nothing, of_units):
        assert did.seconds > 0
        assert did == RunResult(4, did.seconds)
    assert of_seconds == RunResult(1, 4)


def test_the_steps_of_pytorch_are_alone_in_their_process():
    """As their users have them: not even JAX is imported there."""
    code = "import sys, benchmarks.mfld_torch, benchmarks.beside.measure; print('jax' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout
        == "False\n"
    )
    peers = [
        c
        for case in mfld_step.CASES
        for c in case.candidates
        if c.name.startswith("PyTorch")
    ]
    assert len(peers) == 8
    for peer in peers:
        assert peer.apart
        assert (
            pickle.loads(pickle.dumps(peer.make)).func.__module__
            == "benchmarks.mfld_torch"
        )


def test_slow_turns_end_early(monkeypatch):
    monkeypatch.setattr(measure, "PATIENCE", -1.0)
    case = Case(
        "a",
        "a step",
        (Candidate("x", timed(*[1.0] * 9), role="ours"),),
        turns=9,
        warm=False,
    )
    assert len(measure.timed(case)[0].times) == measure.LEAST


@pytest.mark.skipif(not children.CLEAR.exists(), reason="memory is read from /proc")
def test_memory_counts_what_a_run_takes_and_what_it_finds():
    size = 50_000_000

    def make():
        held = np.ones(size // 8)
        return lambda: float((held + 1)[0])

    assert np.ones(6 * size // 8).all()  # an earlier maximum, which is forgotten
    memory = children._of(make)
    assert 0.95 * 2 * size < memory["peak"] < 1.2 * 2 * size
    assert 0.95 * size < memory["running"] < 1.2 * size


def test_a_process_that_takes_too_long_or_ends_badly_is_a_sentence(monkeypatch):
    assert children.run_child(["driver", "no such case", "1", "1"], 0.2) == {
        "error": "not done after 0 s"
    }
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert children.run_child(["driver", "no such case", "1", "1"], 60) == {
        "error": "the process ended with 1"
    }


@pytest.mark.long
def test_a_case_is_measured_in_processes_of_its_own():
    case = chosen(["simulate: Langevin"])[0]
    line = children.measured(case, share=0.001, most=1, tell=lambda text: None)
    assert not line.failed, line
    assert all(measurement.seconds for measurement in line.measurements)
    assert line.device
    if children.CLEAR.exists():
        assert all(measurement.peak > 0 for measurement in line.measurements)


# How it is shown

ODD = Line(
    "another with a name that is as long as any in the files of this project",
    "an effective draw",
    (
        replace(OURS, results={"R2": 0.8541}, peak=2.5e9, running=12_345.0),
        replace(
            FAST,
            name="scikit-learn's network of many layers, decay searched",
            aim=2.5,
            results={"kB": 123.4},
        ),
        Measurement(
            "absent", "peer", note="absent is not installed: pip install --group bench"
        ),
        Measurement(
            "broken", "peer", aim=3.0, note="ValueError: [no] such thing", failed=True
        ),
    ),
)
LINES = (LINE, ODD, Line("a third", "a step", note="not done after 120 s"))


def rendered(width=120):
    console = Console(width=width, record=True, color_system=None)
    console.print(table.shown(LINES))
    return console.export_text()


def test_the_table_fits_its_width_and_has_every_number():
    text = rendered()
    assert max(map(len, text.splitlines())) <= 120
    for words in (
        "a task of so many rows: a step",
        "2.00 x ours",
        "ours 1.00 x",
        "1.50-2.50",
        "≥ 2 met",
        "≥ 2.5 missed",
        "≤ 1.1 met",
        "langevax (R2 0.854)",
        "products 500 ms, normals 500 ms",
        "ValueError: [no] such thing",
        "failed: not done after 120 s",
        "2 of 3 aims are met.",
        "absent is not installed: pip install --group bench",
        "2,500",
    ):
        assert words in text, words
    assert text.count("…") == 0


def test_markdown_has_as_many_cells_in_every_row():
    rows = table.markdown(LINES).splitlines()
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) == 2 + 3 + 3 + 4 + 1
    assert (
        "| 4.00\N{NO-BREAK SPACE}s | 2.00\N{NO-BREAK SPACE}x\N{NO-BREAK SPACE}ours | 1.50\N{NON-BREAKING HYPHEN}2.50 |"
        in rows[4]
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1.234e-6, "1.23 us"),
        (0.0123, "12.3 ms"),
        (0.456, "456 ms"),
        (1234.5, "1,234 s"),
    ],
)
def test_times_have_three_digits(seconds, words):
    assert table.amount(seconds) == words


def test_the_command_writes_what_there_is_and_fails_where_a_line_failed(
    tmp_path, monkeypatch, capsys
):
    out = tmp_path / "folder" / "benchmarks.json"
    written = []

    def instead(case, **options):
        written.append(json.loads(out.read_text())["lines"] if out.exists() else [])
        return Line(
            case.name,
            case.unit,
            LINE.measurements,
            note="" if "SVRG" in case.name else "broke",
        )

    monkeypatch.setattr(command, "measured", instead)
    assert command.main(["--out", str(out), "simulate: Lang", "SVRG-LD, breast"]) == 1
    assert [len(lines) for lines in written] == [0, 1]
    record = json.loads(out.read_text())
    assert record["machine"]["versions"]["jax"] == jax.__version__
    assert record["machine"]["cores"] >= 1
    assert len(record["date"]) == 25
    assert command.read(out)[1] == Line(
        "simulate: SVRG-LD, breast cancer, 8 chains", "a step", LINE.measurements
    )
    assert command.main(["--out", str(out), "SVRG-LD, breast"]) == 0
    capsys.readouterr()
    assert command.main(["--out", str(out), "--show", "--markdown"]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("| **simulate: SVRG-LD")
    with refuses(SystemExit):
        command.main(["nothing like it"])


# That the comparison is fair


def test_every_task_has_a_name_of_its_own_and_ours_first():
    cases = chosen([])
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        assert [c.role for c in case.candidates].index("ours") == 0
        assert sum(c.role == "ours" for c in case.candidates) == 1
        assert len({c.name for c in case.candidates}) == len(case.candidates) >= 2
        assert len(f"{case.name}: {case.unit}") <= 120


SMALL = (60, 5, 400)
STEPS_OF_MFLD = {
    "langevax": mfld_step.langevax,
    "naive": mfld_step.naive,
    "eager": mfld_torch.torch_loop,
    "compiled": lambda *words: mfld_torch.torch_compiled(
        *words, backend="eager"
    ),  # a graph break would be an error
}


@pytest.mark.parametrize("name", STEPS_OF_MFLD)
def test_all_take_the_same_mean_field_step(name):
    make = STEPS_OF_MFLD[name]
    start = mfld_torch.cloud_of(*SMALL[1:])
    still = np.asarray(make(*SMALL, 20, 0.0)())
    expected = np.asarray(mfld_step.naive(*SMALL, 20, 0.0)())
    assert np.abs(expected - start).max() > 0.05
    np.testing.assert_allclose(
        still, expected, atol=2e-3 * np.abs(expected - start).max(), rtol=0
    )
    noise = np.asarray(make(*SMALL, 1, 0.01)()) - np.asarray(make(*SMALL, 1, 0.0)())
    assert noise.std() == pytest.approx(
        mfld_torch.spread(0.01), rel=0.07
    )  # of 2,400 numbers: four deviations
    assert np.abs(noise.mean(0)).max() < 5 * mfld_torch.spread(0.01) / 20


@pytest.mark.parametrize("make", [driver.langevin, driver.svrg, driver.mfld])
def test_simulate_and_the_scan_give_the_same_numbers(make):
    ours, *by_hand = (
        np.asarray(make(30, keys)()) for keys in (None, driver.as_it_is, unrolled)
    )
    for other in by_hand:
        np.testing.assert_allclose(ours, other, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("which", "work"),
    [
        ("first product", "= f32[400,60]{1,0} dot("),
        ("tanh", "= f32[400,60]{1,0} tanh("),
        ("mean", "= f32[60]{0} reduce("),
        ("slopes", "= f32[400,60]{1,0} subtract("),
        ("second product", "= f32[400,8]{1,0} dot("),
        ("normals", "= f32[2400]{0} log"),
    ],
)
def test_no_part_of_the_floor_is_left_out_by_the_compiler(which, work):
    """Nor done for a number of its result only, nor once for all steps: it stands whole in the body of the loop."""
    loop, arrays = mfld_step.loop_of(which, *SMALL, 3)
    program = loop.lower(*arrays).compile().as_text()
    assert work in program
    of_a_part = next(line for line in program.splitlines() if work in line)
    assert "while/body" in of_a_part, of_a_part
    assert np.isfinite(np.asarray(loop(*arrays))).all()


def test_the_floor_is_a_mean_field_step():
    """Compiled together, its parts are a step without a ridge: nothing that a step needs is left out."""
    n, d, num_particles = SMALL
    start, inputs, targets = (
        mfld_torch.cloud_of(d, num_particles),
        *mfld_torch.table(n, d),
    )
    hidden = np.tanh(start[:, :-1] @ inputs.T + start[:, -1:])
    slopes = (hidden.mean(0) - targets) / n * (1 - hidden**2)
    gradient = np.column_stack([slopes @ inputs, slopes.sum(1)])
    noise = np.asarray(mfld_step.together(*SMALL, 1)()) - (
        start - mfld_torch.STEP_SIZE * gradient
    )
    key = jax.random.fold_in(jax.random.key(1), np.int32(0))
    drawn = np.asarray(trees.normal(start.shape, np.float32, key=key))
    np.testing.assert_allclose(
        noise, mfld_torch.spread(mfld_torch.TEMPERATURE) * drawn, atol=1e-6
    )


def test_the_example_of_the_page_runs():
    text = (Path(__file__).parents[1] / "docs" / "reading_benchmarks.md").read_text(
        encoding="utf-8"
    )
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(compile(block, "reading_benchmarks.md", "exec"), names)
    assert names["line"].met(names["loop"]) is not None


def test_a_grid_that_ends_before_the_law_of_an_optimum_does_is_refused(monkeypatch):
    """Of a cold regression with outliers, whose optimum on nine deviations of the prior is .02 too high."""
    assert problems.outliers(5005).optimum == pytest.approx(3.6006717, abs=1e-6)
    monkeypatch.setattr(problems, "AXIS", np.linspace(-9, 9, 4001))
    with refuses(ValueError):
        problems.outliers(5005)


def test_shares_of_targets_are_those_reached_by_a_call_and_the_budget_ends_a_solver():
    function = bbob.Counted(lambda x: 3.0 + x[0], 3.0, 4, stops=True)
    for value in (200.0, 50.0, 60.0, 1e-5):
        function(np.array([value]))
    with pytest.raises(bbob.Spent):
        function(np.array([0.0]))
    assert [call for call, _ in function.gains] == [1, 2, 4]
    run = {"dimension": 2, "gains": function.gains}
    assert bbob.share_reached([run], 1) == 2 / 51  # 100 and 63
    reached = np.sum(bbob.TARGETS >= 1.0001e-5) / 51
    assert bbob.share_reached([run, run], 2) == pytest.approx(reached)


def test_sums_of_squares_of_nist_are_the_certified_ones():
    for problem in nist.regressions():
        value = problem(np.array(problem.certified))
        assert value == pytest.approx(problem.sum_of_squares, rel=1e-6, abs=1e-19), (
            problem.name
        )
        assert problem.solved(value)
        assert not problem.solved(2 * value + 1e-12)


def test_every_table_has_a_file_and_the_function_that_prints_it():
    folder = Path(children.__file__).parents[1]
    for target in TABLES.values():
        file, _, function = target.partition(":")
        source = (
            folder / f"{file}.py"
            if (folder / f"{file}.py").exists()
            else folder / file / "__init__.py"
        )
        assert not function or f"def {function}(" in source.read_text(
            encoding="utf-8"
        ), target
    assert {target.partition(":")[0] for target in TABLES.values()} >= set(FILES)


def test_sources_of_the_table_are_files():
    folder = Path(children.__file__).parents[1]
    for case in chosen([]):
        assert (folder / f"{case.file}.py").exists() or (
            folder / case.file / "__init__.py"
        ).exists()


def test_larger_models_of_predictive_laws_have_the_densities_of_scipy():
    with jax.enable_x64():
        x, beta = jnp.array([1.0, 0.5]), jnp.array([0.3, -0.4])
        mean, size = float(jnp.exp(x @ beta)), 1.7
        theta = {"beta": beta, "log_size": jnp.log(size)}
        log_p = rivals.negative_binomial(theta, (x, jnp.array(3.0)))
        assert float(log_p) == pytest.approx(
            stats.nbinom.logpmf(3, size, size / (size + mean)), rel=1e-10
        )
        scales = jnp.array([0.2, 0.1])
        theta = {"beta": beta, "log_scale": scales, "log_degrees": jnp.log(2.5)}
        expected = stats.t.logpdf(1.4, 3.5, float(x @ beta), float(jnp.exp(x @ scales)))
        assert float(rivals.student(theta, (x, jnp.array(1.4)))) == pytest.approx(
            expected, rel=1e-10
        )


def test_wins_of_predictive_laws_are_beyond_two_errors_of_splits_and_of_rows():
    def split(law, error, **more):
        return {
            "law": law,
            "mixture": 0.0,
            "stack": 0.1,
            "error against mixture": error,
            **more,
        }

    lines = {
        "bad health": [
            split(0.2, 0.01),
            split(0.3, 0.01),
        ],  # errors 0.05 of splits, 0.007 of rows
        "articles": [split(0.2, 0.4), split(0.2, 0.4)],  # 0 of splits, 0.28 of rows
        "eruptions": [
            split(-0.2, 0.01, **{"split": 0, "law, s": 1.0, "draws, s": 2.0}),
            split(-0.3, 0.01),
        ],
        "normal, 2 coefficients": [split(-0.01, 0.0), split(0.004, 0.0)],
    }
    first, *_, exact, cost = predictive.verdicts(lines)
    assert first.startswith(
        "Against the mixture, of 3 real cases: 1 won (bad health), 1 lost (eruptions), 1 within"
    )
    assert exact.startswith(
        "Well specified: within 0.005 nats of Bayes on 1 of 1, least -0.0030"
    )
    assert cost.endswith(
        "cases in their first split, 1 in all: median 0.50, largest 0.50."
    )
