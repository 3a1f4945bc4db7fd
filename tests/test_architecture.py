"""Rules of the code: layers, sizes of files, names and their spelling, and what `import langevax` loads.

Sets called KNOWN_... list what breaks a rule today: nothing may be added to them, and what is mended is removed.
"""

import ast
import collections
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
from tools.counts import HAND_FORMATTED, SHORT, public_names
from tools.packages import DESIGN, FIRST_ABOVE_THEORY, LAYER, SOURCE, THEORY, top_level, with_table

ROOT = Path(__file__).parents[1]
FILES = {str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}

LONGEST = 500
LONG_FOR_A_REASON: dict[str, str] = {}
SHORT_FOR_A_REASON = {
    "_typing.py": "one annotation that all modules import",
    "_version.py": "read by the build",
    "cli/__main__.py": "python -m langevax.cli",
    "cli/options.py": "options as dataclasses, for all commands; importable without the packages of any",
}
TABLES_OF_NUMBERS: dict[str, str] = {}
"""Files with numbers in columns, where the formatter is switched off for a reason."""

PRIVATE_NAMES = re.compile(
    "told|found|kept|some|given|wanted|pull|deck|new_deck|now_and_then|coldness|families|Look|looks?|Wanted|Found|Moved"
    "|Turn|Seen|Plan|[Pp]arty|[Tt]urned|[Cc]onductor|Twin|Scaffold|is_stationary"
)
"""Names that a reader would have to learn; docs/design.md has what stands for them."""
PRIVATE_PROSE = re.compile(r"\b([Hh]ouse|[Rr]ooms?|[Dd]oors?|[Tt]old|takes? over|is none|pays for)\b")


def imports(text):
    """Yield line and dotted name of what a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
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
        ("report", "from langevax.theory import gaussian", True),
        ("theory", "from langevax import trees", False),
        ("theory", "from langevax.theory.gaussian import x", True),
        ("run", "import jax, numpy", True),
        ("cli", "from papers import shared", False),
    ],
)
def test_the_rule_itself_sees_a_breach(name, text, allowed):
    assert (not list(breaches(name, text))) == allowed


def test_the_map_of_packages_in_the_design_is_that_of_their_docstrings():
    text = DESIGN.read_text(encoding="utf-8")
    assert text == with_table(text), "run python -m tools.packages"
    assert "| ? |" not in text


def test_a_file_is_as_long_as_its_idea():
    lines = {name: text.count("\n") for name, text in FILES.items()}
    assert {name for name, count in lines.items() if count > LONGEST} == LONG_FOR_A_REASON.keys()
    short = {name for name, count in lines.items() if count < SHORT and not name.endswith("__init__.py")}
    assert short == SHORT_FOR_A_REASON.keys() | KNOWN_SHORT


def test_no_class_name_is_used_twice():
    names = collections.Counter(
        node.name for text in FILES.values() for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in names.items() if count > 1} == KNOWN_REPEATED_CLASSES


def test_the_formatter_decides_layout():
    assert {name for name, text in FILES.items() if HAND_FORMATTED.search(text)} == (
        TABLES_OF_NUMBERS.keys() | KNOWN_HAND_FORMATTED
    )


def test_pytree_is_the_one_that_type_checkers_know():
    named = {name for name, text in FILES.items() if ("jaxtyping.PyTree" in {path for _, path in imports(text)})}
    assert named - {"_typing.py"} == KNOWN_JAXTYPING_PYTREE


def private_words(text):
    """Return the words of names and prose that are private to this library."""
    words = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and PRIVATE_NAMES.fullmatch(token.string):
            words.add(token.string)
        elif token.type in (tokenize.COMMENT, tokenize.STRING):
            words |= {match.lower() for match in PRIVATE_PROSE.findall(token.string)}
    return words


def test_names_and_prose_are_those_of_the_field():
    assert private_words("told = 1  # the house\nf(look='in a room')") == {"told", "house", "look", "room"}
    assert private_words("floor(x)  # household") == set()
    assert {name for name, text in FILES.items() if private_words(text)} == KNOWN_PRIVATE_WORDS


def public_functions():
    """Yield path and object of every public function, class and public method, each once."""
    seen = set()
    for path, names in public_names().items():
        for name in names:
            value = getattr(sys.modules[path], name)
            if not callable(value) or id(value) in seen:
                continue
            seen.add(id(value))
            yield f"{path}.{name}", value
            if inspect.isclass(value):
                methods = inspect.getmembers(value, inspect.isfunction)
                own = [(key, method) for key, method in methods if method.__module__.startswith("langevax")]
                yield from ((f"{path}.{name}.{key}", method) for key, method in own if not key.startswith("_"))


ONE_SPELLING = {
    "seed": "key, or random_state in estimators",
    "local_steps": "num_local_steps",
    "inner_steps": "num_inner_steps",
    "explore_steps": "num_explore_steps",
    "converge_steps": "num_converge_steps",
    "warmup": "num_warmup",
    "prior_variance": "prior_precision",
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
HOOKS = {"init", "step", "estimate", "select", "reply", "draw_on_host", "step_with_noise", "__call__"}
"""Methods that a driver calls, with the key among the positional arguments."""


def misspelt(path, value):
    """Yield the parameters of a public function that are spelt in another way than elsewhere."""
    try:
        parameters = inspect.signature(value).parameters
    except (TypeError, ValueError):
        return
    for name, parameter in parameters.items():
        default = parameter.default
        by_position = name == "key" and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
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
    spelt = {line for path, value in public_functions() for line in misspelt(path, value)}
    assert spelt == KNOWN_MISSPELT


def test_the_names_of_the_library_are_those_that_dir_lists_and_the_reference_documents():
    assert dir(langevax) == sorted(langevax.__all__)
    pages = "\n".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs" / "api").glob("*.md")))
    headings = re.findall(r"^::: (langevax[\w.]*)|\{ #(langevax[\w.]*) \}", pages, re.MULTILINE)
    documented = {path: resolve(path) for pair in headings for path in pair if path}
    assert [path for path, value in documented.items() if value is None] == []
    known = {id(value) for value in documented.values()}
    missing = {
        f"{path}.{name}"
        for path, names in public_names().items()
        for name in names
        if f"{path}.{name}" not in documented
        if not {id(getattr(sys.modules[path], name)), id(type(getattr(sys.modules[path], name)))} & known
    }
    assert missing - {"langevax.__version__"} == set()


def resolve(path):
    """Return the object of a dotted path, or None."""
    module, parts = langevax, path.split(".")
    for number, name in enumerate(parts[1:], 2):
        if hasattr(module, name) and not (number < len(parts) and callable(getattr(module, name))):
            module = getattr(module, name)  # a function may have the name of its module
        else:
            try:
                module = importlib.import_module(".".join(parts[:number]))
            except ImportError:
                return None
    return module


@pytest.fixture(scope="module")
def fresh_import():
    """Modules and settings of JAX after `import langevax` in a new process."""
    code = """
import json, sys, langevax, jax
print(json.dumps({"modules": sorted(sys.modules), "cache_dir": jax.config.jax_compilation_cache_dir,
                  "x64": jax.config.jax_enable_x64, "promotion": jax.config.jax_numpy_dtype_promotion}))
"""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}  # `make test` sets some
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, env=plain
    )
    return json.loads(done.stdout)


def test_import_loads_only_what_every_run_needs(fresh_import):
    heavy = {"scipy", "orbax", "xarray", "h5py", "h5netcdf", "optax", "tqdm", "IPython", "pandas", "matplotlib"}
    heavy |= {"plotly", "sklearn", "flwr", "arviz", "skfda", "networkx", "typer", "rich", "polars", "safetensors"}
    assert (heavy | {"tensorstore"}) & set(fresh_import["modules"]) == set()


def test_import_changes_no_setting_of_jax(fresh_import):
    assert fresh_import["cache_dir"] is None  # the persistent cache is for the command line and `make test`
    assert fresh_import["x64"] is False
    assert fresh_import["promotion"] == "standard"


# What breaks a rule today.

KNOWN_SHORT = {
    "cli/federating/extra.py",
    "cli/federating/tables.py",
    "cli/fitting/estimators.py",
    "cli/folder.py",
    "cli/predict.py",
    "cli/studying/folder.py",
    "gradients/estimator.py",
    "gradients/full.py",
    "meanfield/mfld.py",
    "meanfield/plateau.py",
    "report/atlas/marks.py",
    "report/encoded.py",
    "report/shades.py",
    "studies/chance.py",
    "studies/dimension_free/motion.py",
    "teacher_student/intercept.py",
    "theory/feature_learning/marchenko_pastur.py",
}
KNOWN_REPEATED_CLASSES: set[str] = set()
KNOWN_HAND_FORMATTED = {
    "cli/federated.py",
    "cli/federating/pictures.py",
    "cli/federating/running.py",
    "cli/federating/simulate.py",
    "federated/conductor.py",
    "figures/beside.py",
    "figures/paths.py",
    "figures/twin/lettering.py",
    "figures/twin/marks.py",
    "figures/twin/panel.py",
    "figures/within.py",
    "flower/client.py",
    "flower/engines/credentials.py",
    "flower/engines/processes.py",
    "flower/exchanges.py",
    "flower/serving.py",
    "report/atlas/marks.py",
    "studies/classification/verdict.py",
    "studies/concentration.py",
    "studies/dimension_free/__init__.py",
    "studies/dimension_free/draws.py",
    "studies/dimension_free/figure.py",
    "studies/dimension_free/functions.py",
    "studies/dimension_free/modes.py",
    "studies/dimension_free/motion.py",
    "studies/dimension_free/verdict.py",
    "studies/dual_methods/__init__.py",
    "studies/dual_methods/figure.py",
    "studies/dual_methods/runs.py",
    "studies/dual_methods/verdict.py",
    "studies/entropy_sandwich/__init__.py",
    "studies/entropy_sandwich/figure.py",
    "studies/entropy_sandwich/verdict.py",
    "studies/federated/__init__.py",
    "studies/federated/digits.py",
    "studies/federated/figure.py",
    "studies/federated/motion.py",
    "studies/federated/verdict.py",
    "studies/federated/watched.py",
    "studies/functional_inputs/__init__.py",
    "studies/functional_inputs/figure.py",
    "studies/functional_inputs/runs.py",
    "studies/functional_inputs/verdict.py",
    "studies/gaussian_costs.py",
    "studies/linear_clouds.py",
    "studies/mixture/verdict.py",
    "studies/one_step/runs.py",
    "studies/one_step/verdict.py",
    "studies/propagation_of_chaos/__init__.py",
    "studies/propagation_of_chaos/figure.py",
    "studies/propagation_of_chaos/motion.py",
    "studies/propagation_of_chaos/verdict.py",
    "studies/sparse_parity.py",
    "studies/teacher_student/__init__.py",
    "studies/teacher_student/figure.py",
    "studies/teacher_student/motion.py",
    "studies/teacher_student/verdict.py",
    "studies/variance_reduction.py",
    "theory/bounds.py",
    "theory/moments.py",
}
KNOWN_JAXTYPING_PYTREE = {
    "data/partitions.py",
    "federated/bvr_l_psgd.py",
    "federated/conductor.py",
    "federated/exchange.py",
    "federated/fedavg.py",
    "federated/fledge.py",
    "federated/fledge_tables.py",
    "federated/local.py",
    "federated/mime.py",
    "federated/rounds.py",
    "federated/scaffold.py",
    "flower/evaluation.py",
    "flower/serving.py",
    "flower/strategy.py",
    "flower/task.py",
    "flower/torch.py",
    "flower/wire.py",
    "gradients/control_variate.py",
    "gradients/estimator.py",
    "gradients/full.py",
    "gradients/minibatch.py",
    "gradients/page.py",
    "gradients/saga.py",
    "gradients/sarah.py",
    "gradients/sledge.py",
    "gradients/storm.py",
    "gradients/svrg.py",
    "gradients/tables.py",
    "numpyro.py",
    "optax/noise.py",
    "optax/tables.py",
    "optax/variance_reduction.py",
    "optimize/arguments.py",
    "optimize/outcome.py",
    "optimize/starts.py",
    "problems/affine.py",
    "problems/blocks.py",
    "problems/curvature.py",
    "problems/external.py",
    "problems/federation.py",
    "problems/finite_sum.py",
    "problems/function.py",
    "problems/host.py",
    "problems/mean_field.py",
    "problems/parts.py",
    "problems/posterior.py",
    "problems/problem.py",
    "problems/raveled.py",
    "problems/reparametrised.py",
    "sampling/target.py",
    "studies/federated/classes.py",
    "teacher_student/descent.py",
    "teacher_student/errors.py",
    "teacher_student/intercept.py",
    "trees.py",
}
KNOWN_PRIVATE_WORDS = {
    "checks.py",
    "cli/__init__.py",
    "cli/federated.py",
    "cli/federating/pictures.py",
    "cli/federating/running.py",
    "cli/federating/scaffolding.py",
    "cli/federating/simulate.py",
    "cli/federating/tables.py",
    "cli/fit.py",
    "cli/fitting/curve_preparation.py",
    "cli/fitting/estimators.py",
    "cli/fitting/party.py",
    "cli/fitting/predicting.py",
    "cli/fitting/prepared.py",
    "cli/fitting/request.py",
    "cli/fitting/run.py",
    "cli/fitting/stored.py",
    "cli/fitting/story.py",
    "cli/study.py",
    "cli/studying/__init__.py",
    "cli/studying/atlas.py",
    "cli/studying/child.py",
    "cli/studying/every.py",
    "cli/studying/folder.py",
    "cli/studying/report.py",
    "cli/tables/columns.py",
    "cli/tables/curve_schema.py",
    "cli/tables/curves.py",
    "cli/tables/given.py",
    "cli/tables/reading.py",
    "cli/tables/schema.py",
    "cli/tables/target.py",
    "data/files.py",
    "data/rows.py",
    "data/tables.py",
    "federated/__init__.py",
    "federated/conductor.py",
    "federated/fledge_tables.py",
    "federated/local.py",
    "federated/rounds.py",
    "federated/scaffold.py",
    "federated/turns.py",
    "figures/charts.py",
    "figures/interactive.py",
    "figures/moving.py",
    "figures/twin/__init__.py",
    "figures/twin/lettering.py",
    "figures/twin/marks.py",
    "figures/twin/panel.py",
    "figures/twin/places.py",
    "flower/client.py",
    "flower/engines/__init__.py",
    "flower/engines/node.py",
    "flower/engines/processes.py",
    "flower/engines/run.py",
    "flower/engines/superlink.py",
    "flower/evaluation.py",
    "flower/exchanges.py",
    "flower/post.py",
    "flower/reception.py",
    "flower/serving.py",
    "flower/strategy.py",
    "flower/torch.py",
    "flower/wire.py",
    "gradients/batches.py",
    "gradients/control_variate.py",
    "gradients/minibatch.py",
    "gradients/sarah.py",
    "gradients/sledge.py",
    "gradients/svrg.py",
    "gradients/tables.py",
    "meanfield/certificate.py",
    "meanfield/looks.py",
    "meanfield/polish.py",
    "meanfield/psdca.py",
    "meanfield/resampling.py",
    "meanfield/smc.py",
    "optax/noise.py",
    "optax/tables.py",
    "optimize/__init__.py",
    "optimize/arguments.py",
    "optimize/descent.py",
    "optimize/minimize.py",
    "optimize/outcome.py",
    "optimize/search.py",
    "optimize/starts.py",
    "problems/clouds.py",
    "problems/curvature.py",
    "problems/external.py",
    "problems/federation.py",
    "problems/likelihoods.py",
    "problems/losses/loss.py",
    "problems/mean_field.py",
    "problems/neurons.py",
    "problems/parts.py",
    "problems/products.py",
    "problems/turned.py",
    "report/atlas/__init__.py",
    "report/atlas/agreement.py",
    "report/atlas/claims.py",
    "report/atlas/contents.py",
    "report/atlas/ideas.py",
    "report/atlas/page.py",
    "report/atlas/study.py",
    "report/contents.py",
    "report/curve_contents.py",
    "report/curve_figures.py",
    "report/curve_measure.py",
    "report/curve_pictures.py",
    "report/fit_figures.py",
    "report/fit_page.py",
    "report/frames.py",
    "report/measure.py",
    "report/numbers.py",
    "report/peers.py",
    "run/checkpoint.py",
    "sampling/__init__.py",
    "sampling/inverse.py",
    "sampling/methods.py",
    "sampling/pilot.py",
    "sampling/sample.py",
    "sampling/samples.py",
    "sampling/target.py",
    "sampling/tuning.py",
    "sklearn/base.py",
    "sklearn/devices.py",
    "sklearn/encoded/curves.py",
    "sklearn/encoded/graphs.py",
    "sklearn/encoded/weight_functions.py",
    "sklearn/inputs/curve_fits.py",
    "sklearn/inputs/curve_input.py",
    "sklearn/inputs/curve_parameters.py",
    "sklearn/inputs/graph_input.py",
    "sklearn/inputs/graph_patterns.py",
    "sklearn/inputs/graphs.py",
    "sklearn/inputs/saving.py",
    "sklearn/inspection.py",
    "sklearn/kernel_langevin/base.py",
    "sklearn/kernel_langevin/curvature.py",
    "sklearn/kernel_langevin/evidence.py",
    "sklearn/kernel_langevin/inspection.py",
    "sklearn/kernel_langevin/parameters.py",
    "sklearn/kernel_langevin/regressor.py",
    "sklearn/kernel_langevin/sampling.py",
    "sklearn/kernel_langevin/space.py",
    "sklearn/parameters.py",
    "sklearn/path.py",
    "sklearn/plots.py",
    "sklearn/table.py",
    "sklearn/training.py",
    "sklearn/two_phase/inspection.py",
    "sklearn/two_phase/regressor.py",
    "sklearn/two_phase/training.py",
    "spaces/cosine.py",
    "spaces/fourier.py",
    "spaces/graph.py",
    "spaces/kernel_eigenbasis.py",
    "spaces/legendre.py",
    "studies/classification/__init__.py",
    "studies/classification/figure.py",
    "studies/classification/verdict.py",
    "studies/concentration.py",
    "studies/dimension_free/__init__.py",
    "studies/dimension_free/figure.py",
    "studies/dimension_free/motion.py",
    "studies/dimension_free/verdict.py",
    "studies/dual_methods/__init__.py",
    "studies/dual_methods/figure.py",
    "studies/dual_methods/runs.py",
    "studies/dual_methods/verdict.py",
    "studies/entropy_sandwich/__init__.py",
    "studies/entropy_sandwich/figure.py",
    "studies/federated/__init__.py",
    "studies/federated/digits.py",
    "studies/federated/estimators.py",
    "studies/federated/figure.py",
    "studies/federated/motion.py",
    "studies/federated/runs.py",
    "studies/federated/saddle.py",
    "studies/federated/verdict.py",
    "studies/federated/watched.py",
    "studies/functional_inputs/__init__.py",
    "studies/functional_inputs/runs.py",
    "studies/functional_inputs/verdict.py",
    "studies/gaussian_costs.py",
    "studies/line_network.py",
    "studies/mixture/figure.py",
    "studies/mixture/verdict.py",
    "studies/one_step/figure.py",
    "studies/one_step/runs.py",
    "studies/one_step/verdict.py",
    "studies/propagation_of_chaos/motion.py",
    "studies/propagation_of_chaos/verdict.py",
    "studies/sparse_parity.py",
    "studies/study.py",
    "studies/teacher_student/__init__.py",
    "studies/teacher_student/figure.py",
    "studies/teacher_student/motion.py",
    "studies/teacher_student/rates.py",
    "studies/teacher_student/trajectories.py",
    "studies/teacher_student/verdict.py",
    "studies/variance_reduction.py",
    "teacher_student/errors.py",
    "teacher_student/kernels.py",
    "teacher_student/one_step.py",
    "teacher_student/random_features.py",
    "teacher_student/two_phase.py",
    "theory/feature_learning/conventions.py",
    "theory/feature_learning/floors.py",
    "theory/feature_learning/gaussian_design.py",
    "theory/feature_learning/given_weights.py",
    "theory/feature_learning/hermite.py",
    "theory/feature_learning/long_step.py",
    "theory/feature_learning/one_step.py",
    "theory/feature_learning/optimal.py",
    "theory/feature_learning/unified.py",
    "theory/function_space.py",
    "theory/gaussian.py",
    "theory/mean_field.py",
    "trees.py",
}
KNOWN_MISSPELT = {
    "langevax.data.convert_table(progress=None)",
    "langevax.data.partitions.by_concentration(seed)",
    "langevax.data.partitions.dirichlet(seed)",
    "langevax.data.partitions.systematic_midpoint(seed)",
    "langevax.data.partitions.shards(seed)",
    "langevax.data.write_rows(progress=None)",
    "langevax.federated.BVRLPSGD(local_steps)",
    "langevax.federated.BVRLPSGD(period=None)",
    "langevax.federated.BVRLSGD(local_steps)",
    "langevax.federated.BVRLSGD(period=None)",
    "langevax.federated.FLEDGE(local_steps)",
    "langevax.federated.FLEDGE(start='full')",
    "langevax.federated.FedAvg(local_steps)",
    "langevax.federated.MimeSGD(local_steps)",
    "langevax.federated.MinibatchSARAH(period=None)",
    "langevax.federated.Scaffold(local_steps)",
    "langevax.flower.FederatedStrategy(key, by position)",
    "langevax.gradients.PAGE(probability=None)",
    "langevax.gradients.PAGE(seed)",
    "langevax.gradients.SAGA(seed)",
    "langevax.gradients.SAGA(start='full')",
    "langevax.gradients.SILVER(seed)",
    "langevax.gradients.SILVER(start='full')",
    "langevax.meanfield.FictitiousPlay(inner_steps)",
    "langevax.meanfield.PDA(inner_steps)",
    "langevax.meanfield.PSDCA(period=None)",
    "langevax.meanfield.halving(rounds)",
    "langevax.minimize(progress=None)",
    "langevax.minimize(step_size='tuned')",
    "langevax.minimize(temperature=None)",
    "langevax.optax.langevin(key, by position)",
    "langevax.sample(period=None)",
    "langevax.sample(progress=None)",
    "langevax.sample(step_size='tuned')",
    "langevax.sample(temperature=None)",
    "langevax.sample(warmup)",
    "langevax.sklearn.FunctionalMeanFieldClassifier(prior_variance)",
    "langevax.sklearn.FunctionalMeanFieldClassifier(progress=None)",
    "langevax.sklearn.FunctionalMeanFieldClassifier(temperature='loo')",
    "langevax.sklearn.FunctionalMeanFieldRegressor(prior_variance)",
    "langevax.sklearn.FunctionalMeanFieldRegressor(progress=None)",
    "langevax.sklearn.FunctionalMeanFieldRegressor(temperature='loo')",
    "langevax.sklearn.GraphMeanFieldClassifier(prior_variance)",
    "langevax.sklearn.GraphMeanFieldClassifier(progress=None)",
    "langevax.sklearn.GraphMeanFieldClassifier(temperature='loo')",
    "langevax.sklearn.GraphMeanFieldRegressor(prior_variance)",
    "langevax.sklearn.GraphMeanFieldRegressor(progress=None)",
    "langevax.sklearn.GraphMeanFieldRegressor(temperature='loo')",
    "langevax.sklearn.KernelLangevinClassifier(progress=None)",
    "langevax.sklearn.KernelLangevinClassifier(warmup)",
    "langevax.sklearn.KernelLangevinRegressor(progress=None)",
    "langevax.sklearn.KernelLangevinRegressor(warmup)",
    "langevax.sklearn.MeanFieldClassifier(prior_variance)",
    "langevax.sklearn.MeanFieldClassifier(progress=None)",
    "langevax.sklearn.MeanFieldClassifier(scaling='loo')",
    "langevax.sklearn.MeanFieldClassifier(temperature='loo')",
    "langevax.sklearn.MeanFieldRegressor(prior_variance)",
    "langevax.sklearn.MeanFieldRegressor(progress=None)",
    "langevax.sklearn.MeanFieldRegressor(scaling='loo')",
    "langevax.sklearn.MeanFieldRegressor(temperature='loo')",
    "langevax.sklearn.TwoPhaseReLURegressor(converge_steps)",
    "langevax.sklearn.TwoPhaseReLURegressor(explore_steps)",
    "langevax.sklearn.TwoPhaseReLURegressor(progress=None)",
    "langevax.spaces.GaussianPrior.sample(key, by position)",
    "langevax.studies.Config(seed)",
    "langevax.studies.Study.run(progress=None)",
    "langevax.teacher_student.Converge(step_size=None)",
    "langevax.teacher_student.simulate_one_step(key, by position)",
    "langevax.teacher_student.spread_neurons(key, by position)",
    "langevax.teacher_student.teach(key, by position)",
    "langevax.teacher_student.tuned_features(key, by position)",
    "langevax.teacher_student.two_phase(progress=None)",
}
