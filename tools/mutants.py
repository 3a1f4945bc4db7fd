"""Mistakes that the tests have to catch: `make mutants`, or `python -m tools.mutants [--only PATTERN] [--list]`.

`tools/mutants.toml` lists mistakes that an engineer could make: a file of the package, a text in it, what the mistake
makes of it, and the tests that have to fail. Each is planted in a copy of the package, which stands first on
PYTHONPATH, and its tests are run; the working tree is not touched. First all of these tests have to pass without a
mistake. The command fails unless every mutant is caught:

    caught      a test fails
    SURVIVED    the tests pass: write the missing test
    stale       the text does not occur exactly once: adapt the entry to the code
    broken      no test ran to a verdict: the mutant cannot be imported, or a test has another name
"""

import argparse
import ast
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE, TESTS = ROOT / "src" / "langevax", ROOT / "tests"
LIST = Path(__file__).with_suffix(".toml")
CAUGHT_BEFORE = ROOT / ".cache" / "mutants.json"
SECONDS_AT_MOST = 900  # a mutant may loop forever
OPTIONS = (
    "-x",
    "-q",
    "-rfE",
    "--no-header",
    "--tb=line",
    "--color=no",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
)
ONE_TEST_FAILED = 1  # exit code of pytest; 0 is that all passed, and others that it could not run them
NO_CODE = re.compile(
    r"\b(NameError|UnboundLocalError|SyntaxError|ImportError|ModuleNotFoundError)\b"
)


@dataclass(frozen=True)
class Mutant:
    """A mistake, and the tests that have to catch it."""

    file: str
    """Below `src/langevax`."""
    reason: str
    old: str
    new: str
    tests: tuple[str, ...]
    """Node ids of pytest, below `tests`."""

    @property
    def name(self) -> str:
        return f"{self.file}: {self.reason}"

    @property
    def node_ids(self) -> list[str]:
        return [f"{TESTS.name}/{test}" for test in self.tests]

    def is_stale(self) -> bool:
        """Return whether the text to replace does not occur exactly once."""
        path = SOURCE / self.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return len(self._pattern.findall(text)) != 1

    def plant(self, text: str) -> str:
        """Return the text of the file with the mistake in it."""
        return self._pattern.sub(lambda _: self.new.lstrip(), text)

    @property
    def _pattern(self) -> re.Pattern[str]:
        """The text to replace, however the formatter breaks its lines."""
        pieces = [re.escape(piece) for piece in re.findall(r"\w+|[^\w\s]", self.old)]
        return re.compile(
            "".join(
                rf"(?:,\s*)?{piece}\s*" if piece[-1] in ")]}" else rf"{piece}\s*"
                for piece in pieces[:-1]
            )
            + (rf"(?:,\s*)?{pieces[-1]}" if pieces[-1][-1] in ")]}" else pieces[-1])
        )

    def missing_tests(self) -> list[str]:
        """Return the tests that the test files do not define."""
        names = {test: test.partition("[")[0].partition("::")[2] for test in self.tests}
        return [
            test
            for test, name in names.items()
            if name not in _functions(_file_of(test))
        ]

    def digest(self, sources: str) -> str:
        """Return what decides the outcome: `sources`, the mistake and the files of its tests."""
        files = sorted({_file_of(test) for test in self.tests})
        texts = [path.read_text(encoding="utf-8") for path in files if path.is_file()]
        return hashlib.sha256(repr((sources, self, texts)).encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """Outcome of one mutant."""

    verdict: str
    """As in the docstring of this file."""
    seconds: float = 0.0
    """Of CPU time."""
    output: str = ""
    """Of pytest."""


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """Return the mutants of a list."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]


def run_tests(node_ids: Iterable[str], package_folder: Path) -> tuple[int, str, float]:
    """Run tests on the package in `package_folder`; return pytest's exit code, its output and CPU seconds."""
    environment = {**os.environ, "PYTHONPATH": str(package_folder)}
    command = [sys.executable, "-m", "pytest", *OPTIONS, *node_ids]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        timer = threading.Timer(SECONDS_AT_MOST, process.kill)
        timer.start()
        _, status, usage = os.wait4(
            process.pid, 0
        )  # the CPU time of this process alone
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    return process.returncode, text, usage.ru_utime + usage.ru_stime


def verdict_of(exit_code: int, output: str) -> str:
    """Return the verdict on a mutant from what pytest made of it."""
    if exit_code == 0:
        return "SURVIVED"
    failures = [line for line in output.splitlines() if line.startswith("FAILED ")]
    if (
        exit_code == ONE_TEST_FAILED
        and failures
        and not any(NO_CODE.search(line) for line in failures)
    ):
        return "caught"
    return "broken"


def judge(mutant: Mutant) -> Outcome:
    """Plant a mutant in a copy of the package and run its tests."""
    if mutant.is_stale():
        return Outcome("stale")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(SOURCE, Path(folder) / SOURCE.name)
        path = Path(folder) / SOURCE.name / mutant.file
        path.write_text(
            mutant.plant(path.read_text(encoding="utf-8")),
            encoding="utf-8",
        )
        exit_code, output, seconds = run_tests(mutant.node_ids, Path(folder))
    return Outcome(verdict_of(exit_code, output), seconds, output)


def without_a_mistake(mutants: Sequence[Mutant]) -> Outcome:
    """Run the tests of all mutants on the package as it is."""
    node_ids = dict.fromkeys(
        node_id for mutant in mutants for node_id in mutant.node_ids
    )
    exit_code, output, seconds = run_tests(node_ids, SOURCE.parent)
    return Outcome("pass" if exit_code == 0 else "FAIL", seconds, output)


def check_path() -> None:
    """Raise where Python would import another copy of the package than the first one on PYTHONPATH."""
    find = "import importlib.util; print(importlib.util.find_spec('langevax').origin)"
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / SOURCE.name / "__init__.py"
        first.parent.mkdir()
        first.touch()
        command, environment = (
            [sys.executable, "-c", find],
            {**os.environ, "PYTHONPATH": folder},
        )
        origin = subprocess.run(
            command,
            env=environment,
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        if Path(origin.strip()) != first:
            raise RuntimeError(
                f"langevax is imported from {origin.strip()}, which PYTHONPATH cannot replace."
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if all mutants are caught, 1 if not, and 2 if tests fail without a mistake."""
    parser = argparse.ArgumentParser(
        description="Plant each mistake of tools/mutants.toml and run its tests."
    )
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        help="mutants whose file, reason or tests match this expression",
    )
    parser.add_argument("--jobs", type=int, default=1, help="mutants at the same time")
    parser.add_argument(
        "--list", action="store_true", help="list mutants and tests, and run nothing"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="skip mutants caught before, if no source has changed",
    )
    options = parser.parse_args(arguments)
    pattern = re.compile(options.only or "")
    mutants = [
        m for m in read_mutants() if pattern.search(" ".join((m.name, *m.tests)))
    ]
    if not mutants:
        parser.error(f"no mutant matches --only {options.only!r}; see --list")
    if options.list:
        for mutant in mutants:
            print(mutant.name, *(f"    {test}" for test in mutant.tests), sep="\n")
        return 0

    sources = repr(
        [path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))]
    )
    caught_before = _read_state() if options.resume else {}
    remaining = [
        mutant for mutant in mutants if mutant.digest(sources) not in caught_before
    ]
    print(
        f"{len(mutants)} mutants, {len(mutants) - len(remaining)} of them caught before.",
        flush=True,
    )
    if not remaining:
        return 0
    check_path()
    plain = without_a_mistake(remaining)
    print(
        f"Without a mistake the tests {plain.verdict} in {plain.seconds:.0f} s of CPU time.",
        flush=True,
    )
    if plain.verdict != "pass":
        print(plain.output)
        return 2

    counts: dict[str, int] = {}
    seconds, began = plain.seconds, time.perf_counter()
    with ThreadPoolExecutor(max(1, options.jobs)) as threads:
        for number, (mutant, outcome) in enumerate(
            zip(remaining, threads.map(judge, remaining), strict=True), 1
        ):
            counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
            seconds += outcome.seconds
            left = (
                (time.perf_counter() - began) / number * (len(remaining) - number) / 60
            )
            progress = f"{number:3}/{len(remaining)}  {outcome.verdict:8}  {outcome.seconds:5.1f} s"
            print(f"{progress}  {mutant.name}  ({left:.0f} min left)", flush=True)
            if outcome.verdict == "caught":
                caught_before[mutant.digest(sources)] = mutant.name
                _write_state(caught_before)
            elif outcome.verdict == "broken":
                print(outcome.output)
    print(
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items()),
        f"in {seconds:.0f} s of CPU time.",
    )
    return 0 if counts.keys() == {"caught"} else 1


def _file_of(test: str) -> Path:
    return TESTS / test.partition("::")[0]


@functools.cache
def _functions(path: Path) -> set[str]:
    """Return the names of the functions in a file; none where there is no file."""
    tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def _read_state() -> dict[str, str]:
    return json.loads(CAUGHT_BEFORE.read_text()) if CAUGHT_BEFORE.is_file() else {}


def _write_state(caught: dict[str, str]) -> None:
    CAUGHT_BEFORE.parent.mkdir(exist_ok=True)
    CAUGHT_BEFORE.write_text(json.dumps(caught, indent=1))


if __name__ == "__main__":
    sys.exit(main())
