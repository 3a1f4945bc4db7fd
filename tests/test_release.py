"""What is released: environments, workflows, recipe, changelog and the history of ratios agree with the project."""

import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version
from typer.testing import CliRunner

import langevax
from benchmarks.beside.case import Line, Measurement
from benchmarks.history import FOLDER, Ratio, of_page, of_run, read, regressions, write
from benchmarks.history.__main__ import main as history
from langevax.app.main import app
from langevax.renamed import FORMER_NAMES
from langevax.sklearn import MeanFieldRegressor
from tests.sentences import refuses
from tools.environments import ENVIRONMENTS, SMOKE, lower_bounds
from tools.release import differing, foreign_files

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
WORKFLOWS = ROOT / ".github" / "workflows"


def workflow(name):
    return yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text(encoding="utf-8"))


def test_the_workflow_has_each_environment_once_and_says_which_are_run_there_alone():
    jobs = workflow("environments")["jobs"]
    names = {
        job: jobs[job]["strategy"]["matrix"]["environment"]
        for job in ("local", "here-alone")
    }
    assert names["local"] == [each.name for each in ENVIRONMENTS if each.here]
    assert names["here-alone"] == [each.name for each in ENVIRONMENTS if not each.here]
    commands = [step.get("run", "") for step in jobs["here-alone"]["steps"]]
    assert any(
        command.startswith("python -m tools.environments --only")
        for command in commands
    )


def test_the_matrix_has_both_ends_of_the_window_on_the_oldest_and_the_newest_python():
    here = {(each.python, each.end) for each in ENVIRONMENTS if each.here}
    assert here == {
        (python, end) for python in ("3.11", "3.13") for end in ("oldest", "newest")
    }
    assert {each.installer for each in ENVIRONMENTS if each.here} == {"uv", "pip"}
    assert len({each.name for each in ENVIRONMENTS}) == len(ENVIRONMENTS)


def test_every_package_is_pinned_to_its_lower_bound():
    pins = {Requirement(text).name: text for text in lower_bounds(PROJECT)}
    texts = [
        *PROJECT["dependencies"],
        *(
            text
            for extra in PROJECT["optional-dependencies"].values()
            for text in extra
        ),
    ]
    assert pins.keys() == {Requirement(text).name for text in texts} - {"langevax"}
    assert pins["jax"] == "jax==0.10"
    assert pins["flwr"] == "flwr==1.42"


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["import", pytest.param("command", marks=pytest.mark.long), "federated"]
)
def test_a_part_of_the_smoke_fits_the_library(part, tmp_path):
    """The others are those of `make costs`, which tests/test_extras.py runs."""
    code = SMOKE[part].replace("'site-packages'", "'langevax'")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_tag_is_checked_attested_and_published_by_trusted_publishing():
    jobs = workflow("release")["jobs"]
    steps = jobs["build"]["steps"]
    assert "python -m tools.release --out dist" in [step.get("run") for step in steps]
    used = [step.get("uses", "").partition("@")[0] for step in steps]
    assert "actions/attest-build-provenance" in used
    assert jobs["build"]["permissions"] == {
        "contents": "read",
        "id-token": "write",
        "attestations": "write",
    }
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["needs"] == "build"


@pytest.mark.parametrize(
    ("version", "section", "accepted"),
    [
        ("0.2.0", "## [0.2.0] - 2026-01-31", True),
        ("0.2.1", "## [0.2.0] - 2026-01-31", False),
        ("0.2.0", "## [Unreleased]", False),
        ("0.2.0", "## [0.2.0]", False),
    ],
)
def test_a_tag_needs_its_version_and_a_dated_section(
    version, section, accepted, tmp_path
):
    (tmp_path / "src" / "langevax").mkdir(parents=True)
    (tmp_path / "src" / "langevax" / "_version.py").write_text(
        f'"One place."\n\n__version__ = "{version}"\n'
    )
    (tmp_path / "CHANGELOG.md").write_text(
        f"# Release notes\n\n{section}\n\n### Added\n"
    )
    steps = workflow("release")["jobs"]["build"]["steps"]
    (run,) = [
        step["run"]
        for step in steps
        if step.get("name", "").startswith("The tag is the version")
    ]
    environment = os.environ | {"GITHUB_REF_NAME": "v0.2.0"}
    assert (
        subprocess.run(["bash", "-ec", run], cwd=tmp_path, env=environment).returncode
        == 0
    ) == accepted


def test_the_version_is_the_same_wherever_it_stands():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    recipe = yaml.safe_load(
        (ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8")
    )
    assert {citation["version"], recipe["context"]["version"]} == {langevax.__version__}
    major, minor = Version(langevax.__version__).release[:2]
    assert (ROOT / "docs" / f"release_{major}_{minor}.md").exists()


def test_the_recipe_requires_what_the_project_requires():
    text = (ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8")
    recipe = yaml.safe_load(text)
    run = [
        line for line in recipe["requirements"]["run"] if not line.startswith("python ")
    ]
    assert sorted(line.replace(" ", "") for line in run) == sorted(
        text.replace(" ", "") for text in PROJECT["dependencies"]
    )
    assert f">={recipe['context']['python_min']}" == PROJECT["requires-python"]
    scripts = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts
    assert recipe["about"]["license"] == PROJECT["license"]


def test_the_changelog_is_a_changelog():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    releases = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert releases[0].startswith("[Unreleased]")
    for release in releases:
        sections = re.findall(r"^### (.*)$", release, re.MULTILINE)
        assert sections == [kind for kind in kinds if kind in sections]


def test_bundled_files_of_others_have_their_licence_on_a_page():
    text = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    for name in (
        "docs/static/stix-two-math.woff2",
        "examples/data/concrete.csv",
        "benchmarks/minimize/nist.json",
    ):
        assert f"`{name}`" in text
        assert (ROOT / name).exists()
    others = {path.name for path in (ROOT / "docs" / "static").iterdir()} - {"mark.svg"}
    assert others == {
        "search_order.js",
        "site.css",
        "site.js",
        "stix-two-math-OFL.txt",
        "stix-two-math.woff2",
    }


# Deprecation


def attribute(path):
    """The object of a dotted name, as a user reaches it."""
    member = langevax
    for name in path.split(".")[1:]:
        if not hasattr(member, name):  # a module that is imported by its full name
            importlib.import_module(f"{member.__name__}.{name}")
        member = getattr(member, name)
    return member


@pytest.mark.parametrize("former", FORMER_NAMES)
def test_what_was_public_is_refused_with_what_to_do(former):
    """Each entry of the one table: a name, an argument or an option of the command line."""
    hint = re.escape(FORMER_NAMES[former])
    path, _, argument = former.partition("(")
    if path.startswith("langevax.flower"):
        pytest.importorskip("flwr")
    if former.startswith("langevax "):
        words = former.split()[1:]
        answer = CliRunner().invoke(app, words if "--" in former else [*words, "x"])
        assert answer.exit_code == 2
        assert FORMER_NAMES[former] in " ".join(answer.stderr.split())
    elif argument:
        with pytest.raises(TypeError, match=hint):
            attribute(path)(**{argument.removesuffix("=)"): 0})
    else:
        module, _, name = path.rpartition(".")
        with pytest.raises(AttributeError, match=hint):
            getattr(attribute(module), name)


@pytest.mark.parametrize("argument", ["checkpoint", "resume", "progress"])
@pytest.mark.parametrize(
    "owner",
    [
        langevax.simulate,
        langevax.sample,
        langevax.learning_coefficient,
        langevax.optimize.minimize,
        langevax.meanfield.certify,
        MeanFieldRegressor,
    ],
)
def test_what_run_holds_is_refused_with_it(owner, argument):
    with refuses(TypeError, f"'{argument}' run=langevax.Run({argument}=...)"):
        owner(**{argument: True})


def test_a_name_that_never_was_is_no_former_one():
    with refuses(AttributeError, "'sampel'"):
        getattr(langevax, "sampel")  # noqa: B009


# Ratios by release


def ratio(value, low, high, role="peer"):
    return Ratio("a task", "another", role, value, low, high)


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        (ratio(3.0, 2.9, 3.1), ratio(2.0, 1.9, 2.1), True),
        (ratio(3.0, 2.9, 3.1), ratio(4.0, 3.9, 4.1), False),
        (ratio(3.0, 1.9, 4.0), ratio(2.0, 1.8, 2.1), False),
        (ratio(3.0, 2.99, 3.01), ratio(2.95, 2.94, 2.96), False),
        (ratio(1.0, 0.9, 1.1, "floor"), ratio(1.3, 1.2, 1.4, "floor"), True),
        (ratio(1.3, 1.2, 1.4, "floor"), ratio(1.0, 0.9, 1.1, "floor"), False),
    ],
)
def test_a_ratio_is_worse_beyond_its_noise_alone(before, after, worse):
    lines = list(regressions({before.key: before}, {after.key: after}))
    assert bool(lines) == worse
    assert list(regressions({before.key: before}, {})) == [
        "a task, another: no longer measured"
    ]


def test_the_first_file_of_the_history_is_the_table_that_the_page_had():
    """The page may move on with the next measurements; the names of tasks stay comparable."""
    first = read(FOLDER / "0.1.0.json")
    assert len(first) >= 40
    page = {
        each.key
        for each in of_page(
            (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
        )
    }
    assert len(page & first.keys()) >= 40
    assert all(each.low <= each.ratio <= each.high for each in first.values())


def test_a_run_is_compared_with_a_release(tmp_path, capsys):
    ours = Measurement("langevax", "ours", times=(1.0, 1.0, 1.0, 1.0))
    peer = Measurement("PyTorch, eager", "peer", times=(6.0, 6.2, 6.4, 6.6))
    floor = Measurement("its parts", "floor", times=(0.5, 0.5, 0.5, 0.5))
    ratios = list(of_run([Line("a task", "a step", (ours, peer, floor))]))
    assert [(each.candidate, round(each.ratio, 6)) for each in ratios] == [
        ("PyTorch, eager", 6.3),
        ("its parts", 2.0),
    ]
    write("1.0", ratios, {"date": "today"}, tmp_path)
    assert list(read(tmp_path / "1.0.json").values()) == ratios
    with refuses(FileExistsError):
        write("1.0", ratios, {}, tmp_path)
    with refuses(ValueError):
        write("1.1", [], {}, tmp_path)
    assert history(["compare", "0.1.0", "0.1.0"]) == 0
    assert "ratios became worse beyond noise" in capsys.readouterr().out


def test_ratios_of_two_processors_are_compared_with_a_caution(tmp_path, capsys):
    record = json.loads((FOLDER / "0.2.0.json").read_text(encoding="utf-8"))
    others = {"lines": [], "date": "", "machine": {"processor": "another"}}
    same = others | {"machine": record["machine"]}
    for about, caution in ((others, True), (same, False)):
        (tmp_path / "run.json").write_text(json.dumps(about))
        assert history(["compare", "0.2.0", str(tmp_path / "run.json")]) == 1
        out = capsys.readouterr().out
        assert "no longer measured" in out
        assert ("measure both on one" in out) == caution


# Wheels


def test_builds_are_compared_byte_by_byte(tmp_path):
    for name, content in (("one", b"1"), ("other", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_bytes(b"0")
        (tmp_path / name / "file").write_bytes(content)
    (tmp_path / "one" / "alone").write_bytes(b"")
    assert differing(tmp_path / "one", tmp_path / "other") == {"file", "alone"}


def test_a_wheel_with_files_beside_the_package_is_noticed(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        for name in (
            "langevax/__init__.py",
            "langevax-1.dist-info/METADATA",
            "tests/x.py",
        ):
            archive.writestr(name, "")
    assert foreign_files(tmp_path / "a.whl") == ["tests/x.py"]
