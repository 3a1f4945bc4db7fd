"""The torture notices what is lost, silent or raw; and its quick form finds none of it."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import langevax
from tests.sentences import tells
from tools.torture.children import Child, Command, Ended, outcome_of, run_all
from tools.torture.counts import OUTCOMES, Counts
from tools.torture.damage import Files, damaged, spoil
from tools.torture.storms import kills_of, verdict

ROOT = Path(__file__).parents[1]


def refuse(folder):
    return langevax.data.open_rows(folder)


@pytest.mark.parametrize(
    ("ended", "outcome"),
    [
        (Ended(answer="right"), "held"),
        (Ended(answer="wrong"), "silent"),
        (Ended(refusal="it is damaged"), "lost"),
        (Ended(signal=9), "lost"),
        (Ended(raw="KeyError"), "raw"),
    ],
)
def test_each_end_of_a_run_is_sorted(ended, outcome):
    assert verdict(ended, "right")[0] == outcome


@pytest.mark.slow
def test_refusals_are_those_of_langevax_in_one_sentence(tmp_path):
    tells(outcome_of(lambda: refuse(tmp_path)).refusal)
    assert "KeyError" in outcome_of(lambda: {}["x"]).raw
    assert "ValueError" in outcome_of(lambda: int("x")).raw
    assert (
        outcome_of(lambda: (_ for _ in ()).throw(Command(2, "Error: no."))).refusal
        == "Error: no."
    )
    assert outcome_of(
        lambda: (_ for _ in ()).throw(Command(2, "Traceback (most recent call last)"))
    ).raw
    assert outcome_of(lambda: (_ for _ in ()).throw(Command(143, ""))).signal == 15


def test_counts_fail_on_a_fault_and_show_all_outcomes():
    counts = Counts()
    counts.add("kills", "held", number=3)
    assert counts.whole
    counts.add("kills", "silent", "before change 7")
    assert not counts.whole
    assert counts.table().splitlines()[-1].split() == ["all", "4", "3", "0", "1", "0"]
    assert counts.table().split()[1 : 1 + len(OUTCOMES)] == list(OUTCOMES)


def test_kills_cover_the_whole_run():
    kills = list(kills_of(90, 9, 2, random.Random(0)))
    assert [at // 10 for (_, at), _ in kills] == list(range(9))
    assert {way for (way, _), _ in kills} == {"SIGKILL", "SIGTERM", "SIGINT"}


@pytest.mark.parametrize("way", ["flip", "cut", "empty", "missing"])
def test_each_way_of_damage_changes_a_file(tmp_path, way):
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    spoil(file, way, 0.5, 0)
    after = file.read_bytes() if file.exists() else None
    assert (
        after
        == {"flip": b"0123446789", "cut": b"01234", "empty": b"", "missing": None}[way]
    )


QUICK = """
import json, sys
from pathlib import Path
from tests.test_torture import unchecked_reader
print(json.dumps(unchecked_reader(Path(sys.argv[1]))))
"""


def unchecked_reader(base):
    """Return the outcomes of a reader that checks nothing, and of children that are killed; forks before JAX starts."""
    counts, ends = Counts(), []
    files = Files(
        "texts",
        lambda f: (f / "t").write_text("0" * 100),
        lambda f: (f / "t").read_text(),
        ("t",),
    )

    def killed():
        for way in ("SIGKILL", "SIGTERM"):
            ends.extend(
                (
                    yield [
                        Child(
                            lambda: [open(base / "x", "w").close() for _ in range(9)],
                            base,
                            way,
                            5,
                        )
                    ]
                )
            )

    run_all([damaged(files, base / "damage", 10, 0, counts), killed()], 2)
    return [counts.outcomes["damage to texts"], [ended.signal for ended in ends]]


@pytest.mark.slow
def test_a_reader_that_checks_nothing_is_noticed_and_signals_arrive(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-c", QUICK, str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    outcomes, signals = json.loads(done.stdout)
    assert outcomes["silent"] >= 7
    assert outcomes["raw"] >= 1  # the file that is missing
    assert signals == [9, 15]


@pytest.mark.long
def test_nothing_is_lost_silent_or_raw():
    command = [sys.executable, "-m", "tools.torture", "--quick", "--jobs", "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *_, tried, held, lost, silent, raw = (
        done.stdout.split("\nall ")[1].split("\n")[0].split()
    )
    assert (int(tried), lost, silent, raw) == (int(held), "0", "0", "0")
    assert int(tried) > 50
