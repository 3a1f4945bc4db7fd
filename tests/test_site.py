"""The documentation's site: it builds strictly, asks the network for nothing, and names everything public."""

import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import jax
import pytest
from typer.testing import CliRunner

import langevax
import langevax.theory
from langevax.cli import app
from langevax.figures import theme

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
LOADING = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
NOT_PUBLIC = {"langevax.theory.lsi.require_divergence", "langevax.theory.lsi.require_positive"}  # checks of arguments


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]  # with --quiet deaf
    settings = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Page(HTMLParser):
    """Addresses that a page loads by itself, and the names of its places."""

    def __init__(self, file: Path):
        super().__init__()
        self.loads, self.places = [], set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.places.add(attributes.get("id"))
        if tag in LOADING and LOADING[tag] in attributes:
            self.loads.append(attributes[LOADING[tag]])
        self.loads += re.findall(r"url\(([^)]*)\)", attributes.get("style") or "")


@pytest.fixture(scope="session")
def pages(site):
    return {str(file.relative_to(site)): Page(file) for file in site.rglob("*.html")}


def test_no_page_asks_the_network_for_anything(site, pages):
    addresses = [(name, address) for name, page in pages.items() for address in page.loads]
    assert [(name, address) for name, address in addresses if re.match(r"(\w+:)?//", address)] == []
    styles = "\n".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()[^;)]*//[^;)]*", styles.replace("http://www.w3.org", "")) == []
    missing = [
        (name, address)
        for name, address in addresses
        if name != "404.html" and not address.startswith("data:")  # a server shows that one, from its own root
        if not (site / name).parent.joinpath(address.split("?")[0]).exists()
    ]
    assert missing == []
    assert {"assets/iframe-worker.js", "stylesheets/site.css"} <= set(pages["index.html"].loads)


def test_every_page_of_the_documentation_is_in_the_site_and_can_be_searched(site, pages):
    written = {file.relative_to(ROOT / "docs").with_suffix(".html") for file in (ROOT / "docs").rglob("*.md")}
    assert {str(page) for page in written} <= pages.keys()
    text = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    searched = json.loads(text.removeprefix("var __index = "))["docs"]
    assert {str(page) for page in written} <= {entry["location"].partition("#")[0] for entry in searched}
    assert sum("underdamped" in entry["text"].lower() for entry in searched) > 3


def public_modules():
    """Public modules: what `langevax` holds or loads on use, what these hold, and the files of theory."""
    public = {f"langevax.{name}": getattr(langevax, name) for name in langevax.__all__}
    first = {path: value for path, value in public.items() if inspect.ismodule(value)}
    inner = {
        f"{path}.{name}": value
        for path, namespace in first.items()
        for name in getattr(namespace, "__all__", ())
        if inspect.ismodule(value := getattr(namespace, name))
    }
    theory = {
        f"langevax.theory.{file.name}": importlib.import_module(f"langevax.theory.{file.name}")
        for file in pkgutil.iter_modules(langevax.theory.__path__)
    }
    return {"langevax": langevax} | first | inner | theory


def public_names(namespace: ModuleType):
    """What a module exports, or defines under a name that is no one's secret."""
    own = [name for name, value in vars(namespace).items() if getattr(value, "__module__", None) == namespace.__name__]
    return getattr(namespace, "__all__", [name for name in own if not name.startswith("_")])


def resolve(path: str):
    """The object of a dotted path, or None."""
    parts = path.split(".")
    for split in range(len(parts) - 1, 0, -1):
        value = sys.modules.get(".".join(parts[:split]))
        if value is not None:
            for name in parts[split:]:
                value = getattr(value, name, None)
            return value
    return None


def test_every_public_name_is_documented(pages):
    names = {
        f"{path}.{name}": getattr(namespace, name)
        for path, namespace in public_modules().items()
        for name in public_names(namespace)
    }
    names |= public_modules()
    del names["langevax"]
    reference = {place for name, page in pages.items() if name.startswith("api/") for place in page.places if place}
    objects = [value for place in reference if (value := resolve(place)) is not None]
    missing = [
        path
        for path, value in names.items()
        if path not in reference and not any(value is known for known in objects) and path not in NOT_PUBLIC
    ]
    assert missing == [], "give each a place in docs/api"
    assert len(names) > 200


def text_of(file: Path):
    return unescape(re.sub("<[^>]*>", "", file.read_text(encoding="utf-8")))


def test_the_reference_has_arguments_and_examples(site):
    page = text_of(site / "api" / "algorithms.html")
    assert "Langevin(step_size, temperature, gradient=Full(), integrator=Explicit())" in page  # fields are arguments
    assert "Examples:" in page
    assert ">>> result = langevax.simulate(langevin, problem, jnp.zeros(2)" in page
    assert "h = scale tanh(<w, x> + b), with particle (w, b)" in text_of(site / "api" / "losses_and_neurons.html")
    assert "sum_i loss*_i(g_i) - temperature log Z(g)" in text_of(site / "api" / "theory.html")
    estimators = " ".join(text_of(site / "api" / "sklearn.html").split())
    assert "temperature_, n_iter_ – T, and steps made" in estimators  # names together, and no other's type
    assert "<blockquote>" not in "".join(file.read_text(encoding="utf-8") for file in (site / "api").iterdir())


def test_links_show_titles_and_paths_in_tables_may_break(site):
    page = (site / "papers.html").read_text(encoding="utf-8")
    assert '<a href="conventions.html">Conventions</a> has the conversions' in page
    assert "<code>theory/<wbr />feature_learning/<wbr />large_step.py</code>" in page


def test_the_page_of_the_command_line_is_what_help_prints(site):
    reference = text_of(site / "api" / "command_line.html")
    commands = [["fit"], ["predict"], ["convert"], ["check"], ["federated"], ["federated", "simulate"]]
    for command in [[], *commands, ["federated", "run"], ["federated", "app"]]:
        shown = CliRunner().invoke(app, [*command, "--help"], prog_name="langevax", terminal_width=80)
        assert shown.exit_code == 0
        assert shown.stdout.strip() in reference, command


def test_the_site_has_the_colours_of_the_reports():
    style = (ROOT / "docs" / "stylesheets" / "site.css").read_text(encoding="utf-8")
    light, dark = style.split('[data-md-color-scheme="slate"] {')[:2]
    assert [line for line in theme.css_variables().splitlines() if line not in light] == []
    assert [line for line in theme.css_variables(dark=True).splitlines() if line not in dark] == []
    assert theme.FONTS in style


NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.mark.filterwarnings("ignore::langevax.sampling.SamplingWarning")  # it draws little
def test_the_first_page_prints_what_it_says(capsys):
    """The words, and the numbers up to what another processor's rounding does to a random run."""
    text = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == len(re.findall("```python", text)) == 5
    scope = {}
    for code, promised in blocks:
        assert len(code.splitlines()) <= 10
        with jax.numpy_dtype_promotion("standard"):
            exec(compile(code, "start.md", "exec"), scope)
        printed = capsys.readouterr().out
        assert " ".join(NUMBER.sub("", printed).split()) == " ".join(NUMBER.sub("", promised).split())
        for claimed, measured in zip(NUMBER.findall(promised), NUMBER.findall(printed), strict=True):
            size = abs(float(claimed))
            loose = 9 * size if size < 0.01 else 0.25 * size + 0.05 * ("." in claimed)
            assert abs(float(measured) - float(claimed)) <= loose, (code, printed)
