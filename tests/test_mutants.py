"""The list of mutants fits the code: the command that plants them would find their texts and their tests."""

import ast
import builtins
from pathlib import Path

import pytest

from tools.mutants import SOURCE, read_mutants, verdict_of

MUTANTS = read_mutants()
FEWEST = 60
TESTS = Path(__file__).parent
PARTS = {
    "samplers",
    "gradients",
    "problems",
    "meanfield",
    "sampling",
    "optimize",
    "spaces",
    "federated",
    "run",
}
PARTS |= {"sklearn", "app", "theory"}
FAILED = "FAILED tests/test_a.py::test_b - AssertionError: 1 standard error off\n"


def test_every_part_of_the_package_has_mutants():
    assert len(MUTANTS) >= FEWEST
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert {mutant.file.partition("/")[0] for mutant in MUTANTS} >= PARTS


def names_read(text):
    """Return the names that a file reads, and those that the file or Python defines."""
    nodes = list(ast.walk(ast.parse(text)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    defined = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    defined |= {node.arg for node in nodes if isinstance(node, ast.arg)} | set(
        dir(builtins)
    )
    defined |= {
        node.name for node in nodes if isinstance(getattr(node, "name", None), str)
    }
    imported = [
        alias
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    return read, defined | {
        alias.asname or alias.name.partition(".")[0] for alias in imported
    }


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_of_this_code_and_has_tests(mutant):
    """Its text occurs exactly once, it changes it to other Python code, and its tests exist."""
    assert not mutant.is_stale()
    assert mutant.tests
    assert mutant.missing_tests() == []
    assert mutant.new != mutant.old
    text = (SOURCE / mutant.file).read_text(encoding="utf-8")
    planted = mutant.plant(text)
    compile(planted, mutant.file, "exec")
    read, defined = names_read(planted)
    assert read - defined == set(), "an undefined name fails any test"


@pytest.mark.parametrize(
    "test", sorted({test for mutant in MUTANTS for test in mutant.tests})
)
def test_a_test_of_a_mutant_belongs_to_make_test(test):
    """So that the suite that leaves out what takes long has its power."""
    file, _, name = test.partition("[")[0].rpartition("::")
    module = ast.parse((TESTS / file.partition("::")[0]).read_text(encoding="utf-8"))
    marks = [ast.unparse(node) for node in module.body if isinstance(node, ast.Assign)]
    functions = [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    marks += [
        ast.unparse(decorator)
        for function in functions
        for decorator in function.decorator_list
    ]
    assert functions
    assert not any("pytest.mark.slow" in mark for mark in marks)


@pytest.mark.parametrize(
    ("exit_code", "output", "verdict"),
    [
        (0, "3 passed", "SURVIVED"),
        (1, FAILED, "caught"),
        (
            1,
            "ERROR tests/test_a.py::test_b - NameError: name 'c' is not defined",
            "broken",
        ),
        (1, FAILED.replace("AssertionError", "NameError"), "broken"),
        (2, "ERROR tests/test_a.py - SyntaxError: invalid syntax", "broken"),
        (4, "ERROR: not found: tests/test_a.py::test_b", "broken"),
        (-9, "", "broken"),
    ],
)
def test_only_a_test_that_fails_catches(exit_code, output, verdict):
    assert verdict_of(exit_code, output) == verdict
