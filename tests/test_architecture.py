"""Rules of the code: layers, sizes of files, names and their spelling, and what `import langevax` loads."""

import ast
import collections
import functools
import importlib
import inspect
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import langevax
from tools.architecture import ARROWS, BOXES, FOUNDATIONS, PICTURE, circles, svg
from tools.census import (
    HAND_FORMATTED,
    MEASURES,
    SHORT,
    budget,
    census,
    public_names,
    together,
)
from tools.packages import (
    DESIGN,
    FIRST_ABOVE_THEORY,
    LAYER,
    SOURCE,
    THEORY,
    top_level,
    with_table,
)

ROOT = Path(__file__).parents[1]
FILES = {
    str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8")
    for path in sorted(SOURCE.rglob("*.py"))
}

SHORT_FOR_A_REASON = {
    "_typing.py": "one annotation that all modules import",
    "_version.py": "read by the build",
    "data/missing.py": "words that are read without JAX, which the files of rows need",
    "likelihoods.py": "an import of this name needs a file",
    "losses.py": "an import of this name needs a file",
    "neurons.py": "an import of this name needs a file",
    "sampling/tolerances.py": "values that the files of the package share",
    "sklearn/inputs/unlike.py": "one warning, of encoders of all kinds",
    "__main__.py": "python -m langevax, without the packages of the command line",
}
TABLES_OF_NUMBERS = {
    "tests/test_examples.py": "what the examples print, an example a line"
}
"""Files with numbers in columns, where the formatter is switched off for a reason."""

PRIVATE_NAMES = re.compile(
    "told|found|kept|some|given|wanted|pull|deck|new_deck|now_and_then|coldness|families|Look|looks?|Wanted|Found|Moved"
    "|Turn|Seen|Plan|[Pp]arty|[Tt]urned|[Cc]onductor|Twin|Scaffold"
)
"""Names that a reader would have to learn; docs/design.md has what stands for them."""
PRIVATE_PROSE = re.compile(
    r"\b([Hh]ouse|[Rr]ooms?|[Dd]oors?|[Tt]old|takes? over|(?<!there )is none|pays for)\b"
)

DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
QUESTION = re.compile("(What|Whether|How|As|Where|When|Who|Why|Which)\\b")


def imports(text):
    """Yield line and dotted name of what a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield from (
                (node.lineno, f"{node.module}.{alias.name}") for alias in node.names
            )
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def breaches(name, text):
    """Yield a sentence for each import that a file of the package `name` may not have."""
    for line, path in imports(text):
        package, *parts = path.split(".")
        if package == "papers":
            yield f"line {line}: {name} imports papers, which stand outside the library"
        if package != "langevax":
            continue
        other = parts[0] if parts else "__init__"
        if other == name:
            continue
        if name == THEORY:
            yield f"line {line}: theory imports {other}, but it may import nothing outside itself"
        elif other == THEORY:
            if LAYER[name] < FIRST_ABOVE_THEORY:
                yield f"line {line}: {name} imports theory, which only integrations and above may"
        elif LAYER[other] >= LAYER[name]:
            yield f"line {line}: {name} (layer {LAYER[name]}) imports {other} (layer {LAYER[other]})"


def test_every_package_has_a_layer():
    unknown = {top_level(SOURCE / name) for name in FILES} - LAYER.keys() - {THEORY}
    assert not unknown, f"give these a layer in tools/packages.py: {sorted(unknown)}"
    assert not LAYER.keys() - {top_level(SOURCE / name) for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_only_from_layers_below(name):
    assert list(breaches(top_level(SOURCE / name), FILES[name])) == []


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("run", "from langevax.problems.problem import Problem", True),
        ("run", "from langevax.run import program", True),
        ("samplers", "from langevax.run import simulate", False),
        ("problems", "def f():\n    from langevax import checks, gradients", False),
        ("checks", "import langevax.trees", False),
        ("gradients", "import langevax", False),
        ("gradients", "from langevax.theory import gaussian", False),
        ("app", "from langevax.theory import gaussian", True),
        ("theory", "from langevax import trees", False),
        ("theory", "from langevax.theory.gaussian import x", True),
        ("run", "import jax, numpy", True),
        ("app", "from papers import shared", False),
    ],
)
def test_the_rule_itself_sees_a_breach(name, text, allowed):
    assert (not list(breaches(name, text))) == allowed


def test_the_map_of_packages_in_the_design_is_that_of_their_docstrings():
    text = DESIGN.read_text(encoding="utf-8")
    assert text == with_table(text), "run python -m tools.packages"
    assert "| ? |" not in text


def imports_between_boxes():
    """Return for each box of the picture the boxes whose packages its own import, foundations aside."""
    place = {package: title for title, box in BOXES.items() for package in box.packages}
    targets = {title: set() for title in BOXES if title != FOUNDATIONS}
    for name, text in FILES.items():
        title = place.get(top_level(SOURCE / name), FOUNDATIONS)
        names = {
            path.split(".")[1]
            for _, path in imports(text)
            if path.startswith("langevax.")
        }
        if title != FOUNDATIONS:
            targets[title] |= {place[package] for package in names & place.keys()} - {
                title,
                FOUNDATIONS,
            }
    return targets


def reached(targets, title):
    """Return the boxes that a box imports, by itself or through others."""
    return set().union(*({other} | reached(targets, other) for other in targets[title]))


def test_each_package_is_on_one_box_of_the_picture():
    drawn = [package for box in BOXES.values() for package in box.packages]
    assert sorted(drawn) == sorted(
        {THEORY} | {name for name in LAYER if not name.startswith("_")}
    )


@pytest.mark.slow
def test_the_arrows_of_the_picture_are_the_imports_that_follow_from_no_others():
    targets = imports_between_boxes()
    indirect = {
        title: set().union(*(reached(targets, other) for other in targets[title]))
        for title in targets
    }
    assert set(ARROWS) == {
        (title, other)
        for title in targets
        for other in targets[title] - indirect[title]
    }


def test_the_picture_is_the_one_that_its_script_draws():
    assert PICTURE.read_text(encoding="utf-8") == svg(), (
        "run python -m tools.architecture"
    )


def test_a_file_holds_an_idea_of_its_own():
    lines = {name: text.count("\n") for name, text in FILES.items()}
    short = {
        name
        for name, count in lines.items()
        if count < SHORT and not name.endswith("__init__.py")
    }
    assert short == SHORT_FOR_A_REASON.keys()


def test_no_files_import_each_other():
    assert circles() == []


@pytest.mark.slow
def test_packages_keep_their_budgets():
    """A budget that is too small is a question to the issue, not a number to raise."""
    counts = census()
    tokens, limits = budget()
    above = {name: one.tokens for name, one in counts.items()}
    assert {name for name, value in above.items() if value > tokens[name]} == set()
    assert counts.keys() == tokens.keys()
    total = together(counts.values())
    values = {name: measure(total) for name, measure in MEASURES.items()}
    assert {name for name, value in values.items() if value > limits[name]} == set()


@pytest.mark.slow
def test_no_class_name_is_used_twice():
    names = collections.Counter(
        node.name
        for text in FILES.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in names.items() if count > 1} == set()


def test_the_formatter_decides_layout():
    folders = ("src", "papers", "tests", "tools", "examples", "benchmarks")
    paths = {path for folder in folders for path in (ROOT / folder).rglob("*.py")}
    by_hand = {
        path
        for path in paths
        if HAND_FORMATTED.search(path.read_text(encoding="utf-8"))
    }
    assert {str(path.relative_to(ROOT)) for path in by_hand} == TABLES_OF_NUMBERS.keys()


DOTTED = re.compile(r"`((?:[a-z]\w*\.)+\w+)[^`\n]*`")
"""A dotted name in a docstring or a comment, with what follows it, such as arguments."""


@functools.cache
def stands(name):
    """Return whether a dotted name is that of a file, or leads to something in langevax or in another library."""
    if name.endswith(".py"):
        return True
    starts = ["langevax." + name.removeprefix("langevax.").removeprefix("lx."), name]
    return any(leads_somewhere(start) for start in starts)


def leads_somewhere(path):
    first, *parts = path.split(".")
    try:
        here = importlib.import_module(first)
        for part in parts:
            first += "." + part
            fields = getattr(here, "__annotations__", {})
            if part in fields:  # of an instance
                return True
            here = (
                getattr(here, part)
                if hasattr(here, part)
                else importlib.import_module(first)
            )
    except ImportError:
        return False
    return True


def names_of_nothing(text, namespaces):
    """Yield the dotted names in backquotes that start in one of the namespaces and lead nowhere."""
    for name in dict.fromkeys(DOTTED.findall(text)):
        if name.split(".")[0] in namespaces and not stands(name):
            yield name


NAMESPACES = LAYER.keys() | {THEORY, "langevax", "lx", "likelihoods", "losses"}


@pytest.mark.parametrize("name", FILES)
def test_a_dotted_name_in_backquotes_leads_somewhere(name):
    assert list(names_of_nothing(FILES[name], NAMESPACES)) == []


def test_a_name_that_leads_nowhere_is_found():
    text = "see `theory.step_sizes`, `langevax.simulate(x)`, `losses.squared`, `run.no`"
    assert list(names_of_nothing(text, NAMESPACES)) == ["theory.step_sizes", "run.no"]


def test_the_design_names_what_there_is():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert list(names_of_nothing(text, NAMESPACES | {"jax"})) == []
    classes = set(re.findall(r"^class (\w+)", "\n".join(FILES.values()), re.MULTILINE))
    named = set(re.findall(r"`([A-Z]\w+)`", text))
    assert named - classes == {"None", "OptimizeResult"}  # of Python and SciPy


@pytest.mark.slow
def test_pytree_is_the_one_that_type_checkers_know():
    named = {
        name
        for name, text in FILES.items()
        if ("jaxtyping.PyTree" in {path for _, path in imports(text)})
    }
    assert named == {"_typing.py"}


def private_words(text):
    """Return the words of names and prose that are private to this library."""
    words = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and PRIVATE_NAMES.fullmatch(token.string):
            words.add(token.string)
        elif token.type in (tokenize.COMMENT, tokenize.STRING):
            words |= {match.lower() for match in PRIVATE_PROSE.findall(token.string)}
    return words


@pytest.mark.slow
def test_names_and_prose_are_those_of_the_field():
    assert private_words("told = 1  # the house\nf(look='in a room')") == {
        "told",
        "house",
        "look",
        "room",
    }
    assert private_words("floor(x)  # household, None where there is none") == set()
    assert {name for name, text in FILES.items() if private_words(text)} == set()
    folders = ("papers", "benchmarks", "tests", "tools", "docs", "examples")
    others = {path for folder in folders for path in (ROOT / folder).rglob("*.py")} - {
        Path(__file__)
    }
    texts = {str(path): path.read_text(encoding="utf-8") for path in others}
    names_of_others = {"from hypothesis import given": {"given"}}
    for line, names in names_of_others.items():
        assert {
            path
            for path, text in texts.items()
            if private_words(text) - (names if line in text else set())
        } == set()


def riddles(text):
    """Return the summaries, tests' own aside, that ask what a thing is instead of naming it."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, DOCUMENTED)]
    summaries = [
        ast.get_docstring(node) or ""
        for node in nodes
        if not getattr(node, "name", "").startswith("test_")
    ]
    return [text.partition("\n")[0] for text in summaries if QUESTION.match(text)]


@pytest.mark.slow
def test_summaries_are_imperative_or_name_the_thing():
    assert riddles('def f():\n    """Whether it is."""') == ["Whether it is."]
    assert (
        riddles('def test_f():\n    """Where it is."""\ndef f():\n    """Whatever."""')
        == []
    )
    paths = {
        path
        for folder in ("src", "papers", "tools")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {
        str(path) for path in paths if riddles(path.read_text(encoding="utf-8"))
    } == set()


@pytest.mark.slow
def test_dir_of_a_namespace_lists_its_public_names_alone():
    names = {
        path: names
        for path, names in public_names().items()
        if path != "langevax.theory"
    }
    assert {
        path
        for path, listed in names.items()
        if dir(sys.modules[path]) != sorted(listed)
    } == set()


def public_functions():
    """Yield path and object of every public function, class and public method, each once."""
    listed = set()
    for path, names in public_names().items():
        for name in names:
            value = getattr(sys.modules[path], name)
            if not callable(value) or id(value) in listed:
                continue
            listed.add(id(value))
            yield f"{path}.{name}", value
            if inspect.isclass(value):
                methods = inspect.getmembers(value, inspect.isfunction)
                own = [
                    (key, method)
                    for key, method in methods
                    if method.__module__.startswith("langevax")
                ]
                yield from (
                    (f"{path}.{name}.{key}", method)
                    for key, method in own
                    if not key.startswith("_")
                )


ONE_SPELLING = {
    "seed": "key, or random_state in estimators",
    "local_steps": "num_local_steps",
    "inner_steps": "num_inner_steps",
    "explore_steps": "num_explore_steps",
    "converge_steps": "num_converge_steps",
    "warmup": "num_warmup",
    "prior_variance": "prior_precision",
    "prior_scale": "prior_precision",
    "ridge_penalty": "precision",
    "n_iter": "num_steps",
    "n_steps": "num_steps",
    "n_samples": "num_samples",
    "n_chains": "num_chains",
    "n_particles": "num_particles",
    "restarts": "num_restarts",
    "replicates": "num_replicates",
    "rounds": "num_rounds",
}
CHOSEN_FOR_THE_USER = {"progress", "temperature", "step_size", "probability", "period"}
"""Where something is chosen by default, it is "auto"; None means none, off, or all rows."""
HOOKS = {
    "init",
    "step",
    "estimate",
    "select",
    "reply",
    "draw_on_host",
    "step_with_noise",
    "__call__",
}
"""Methods that a driver calls, with the key among the positional arguments."""


def misspelt(path, value):
    """Yield the parameters of a public function that are spelt in another way than elsewhere."""
    try:
        parameters = inspect.signature(value).parameters
    except (TypeError, ValueError):
        return
    for name, parameter in parameters.items():
        default = parameter.default
        by_position = (
            name == "key" and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        )
        if name in ONE_SPELLING:
            yield f"{path}({name})"
        elif by_position and path.rpartition(".")[2] not in HOOKS:
            yield f"{path}({name}, by position)"
        elif default in ("tuned", "loo") if isinstance(default, str) else False:
            yield f"{path}({name}={default!r})"
        elif name in CHOSEN_FOR_THE_USER and default is None:
            yield f"{path}({name}=None)"
        elif name in ("start", "table_start") and default == "full":
            yield f"{path}({name}='full')"


def test_each_concept_has_one_spelling():
    spelt = {
        line for path, value in public_functions() for line in misspelt(path, value)
    }
    assert spelt == set()


def test_the_names_of_the_library_are_those_that_dir_lists_and_the_reference_documents():
    assert dir(langevax) == sorted(langevax.__all__)
    pages = "\n".join(
        page.read_text(encoding="utf-8")
        for page in sorted((ROOT / "docs" / "api").glob("*.md"))
    )
    headings = re.findall(
        r'^::: (langevax[\w.]*)|<span id="(langevax[\w.]*)">', pages, re.MULTILINE
    )
    documented = {path: resolve(path) for pair in headings for path in pair if path}
    assert [path for path, value in documented.items() if value is None] == []
    known = {id(value) for value in documented.values()}
    missing = {
        f"{path}.{name}"
        for path, names in public_names().items()
        for name in names
        if f"{path}.{name}" not in documented
        if not {
            id(getattr(sys.modules[path], name)),
            id(type(getattr(sys.modules[path], name))),
        }
        & known
    }
    assert missing - {"langevax.__version__"} == set()


def resolve(path):
    """Return the object of a dotted path, or None."""
    module, parts = langevax, path.split(".")
    for number, name in enumerate(parts[1:], 2):
        if hasattr(module, name) and not (
            number < len(parts) and callable(getattr(module, name))
        ):
            module = getattr(module, name)  # a function may have the name of its module
        else:
            try:
                module = importlib.import_module(".".join(parts[:number]))
            except ImportError:
                return None
    return module


@pytest.fixture(scope="module")
def fresh_import():
    """Modules of a new process after `import langevax` and after a first use, and settings of JAX."""
    code = """
import json, sys, langevax
first = sorted(sys.modules)
langevax.simulate, langevax.MALA, langevax.FiniteSum
import jax
print(json.dumps({"first": first, "modules": sorted(sys.modules), "cache_dir": jax.config.jax_compilation_cache_dir,
                  "x64": jax.config.jax_enable_x64, "promotion": jax.config.jax_numpy_dtype_promotion}))
"""
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith("JAX_")
    }  # `make test` sets some
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=plain,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_import_loads_only_what_every_run_needs(fresh_import):
    heavy = {
        "scipy",
        "orbax",
        "xarray",
        "h5py",
        "h5netcdf",
        "optax",
        "tqdm",
        "IPython",
        "pandas",
        "matplotlib",
    }
    heavy |= {
        "plotly",
        "sklearn",
        "flwr",
        "arviz",
        "skfda",
        "networkx",
        "typer",
        "rich",
        "polars",
        "safetensors",
    }
    assert (heavy | {"tensorstore"}) & set(fresh_import["modules"]) == set()


def test_import_loads_names_alone(fresh_import):
    assert {"jax", "numpy"} & set(fresh_import["first"]) == set()


def test_every_name_is_there_at_its_first_use():
    for name in langevax.__all__:
        if name not in ("flower", "pymc"):  # which need an extra
            assert getattr(langevax, name) is not None


def test_import_changes_no_setting_of_jax(fresh_import):
    assert (
        fresh_import["cache_dir"] is None
    )  # the persistent cache is for the command line and `make test`
    assert fresh_import["x64"] is False
    assert fresh_import["promotion"] == "standard"
