"""Files for contributors: workflow, hooks and forms parse, and agree with the gate and the documentation."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = yaml.safe_load(
    (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
)
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*_re*.yml"))


def test_the_workflow_runs_the_gate_on_the_pythons_that_are_supported():
    job = WORKFLOW["jobs"]["gate"]
    pythons = job["strategy"]["matrix"]["python"]
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    assert job["env"]["PYTHON"] == "python${{ matrix.python }}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    assert project["requires-python"] == f">={pythons[0]}"
    policy = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    assert f"| Python | {pythons[0]} to {pythons[-1]} |" in policy
    assert pythons == [
        f"3.{minor}" for minor in range(int(pythons[0][2:]), int(pythons[-1][2:]) + 1)
    ]
    assert "make test-long" in [
        step.get("run") for step in WORKFLOW["jobs"]["pages"]["steps"]
    ]


def test_the_hooks_run_what_the_gate_checks():
    hooks = yaml.safe_load(
        (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    )["repos"][0]["hooks"]
    entries = [hook["entry"].split() for hook in hooks]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    gate = re.findall(r"^\t\$\(BIN\)/(ruff) (\w+)", makefile, re.MULTILINE)
    assert [(f".venv/bin/{tool}", command) for tool, command in gate] == [
        (tool, command) for tool, command, *_ in entries
    ]


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_has_fields_that_are_told_apart(form):
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= content.keys()
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    names, labels = (
        [field["id"] for field in fields],
        [field["attributes"]["label"] for field in fields],
    )
    assert len(set(names)) == len(names) >= 4
    assert len(set(labels)) == len(labels)


def test_nobody_is_named_where_the_owner_has_to_name_somebody():
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert ("to be set by the owner" in text) != ("@" in text)
