"""The documentation's site: it builds strictly, asks the network for nothing, and names everything public."""

import importlib
import inspect
import json
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
from langevax.app.main import app
from langevax.figures import theme
from tools.site_walk import (
    OPTIONS,
    SCHEMES,
    WIDTHS,
    browser_path,
    dead_links,
    pages_of,
    walk,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
LOADING = {
    "link": "href",
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
}
ENTRY = re.compile(r"^::: (langevax[\w.]*)$", re.MULTILINE)
NOT_PUBLIC = {
    "langevax.theory.lsi.nonnegative",
    "langevax.theory.lsi.positive",
}  # checks of arguments


@pytest.fixture(scope="session")
def site():
    """The folder of the built site, that of `make docs`, which has less to build after this."""
    build = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-d",
        "out/doctrees",
        "docs",
        "out/site",
    ]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "out" / "site"


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
    return {str(file.relative_to(site)): Page(file) for file in pages_of(site)}


def test_no_page_asks_the_network_for_anything(site, pages):
    addresses = [
        (name, address) for name, page in pages.items() for address in page.loads
    ]
    assert [
        (name, address)
        for name, address in addresses
        if re.match(r"(\w+:)?//", address)
    ] == []
    styles = "\n".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    assert (
        re.findall(
            r"(?:@import|url\()[^;)]*//[^;)]*", styles.replace("http://www.w3.org", "")
        )
        == []
    )
    missing = [
        (name, address)
        for name, address in addresses
        if not address.startswith(("data:", "#"))
        if not (site / name).parent.joinpath(address.split("?")[0]).exists()
    ]
    assert missing == []
    loaded = {address.split("?")[0] for address in pages["index.html"].loads}
    assert {"_static/site.css", "_static/site.js", "_static/mark.svg"} <= loaded
    assert (site / "_static" / "stix-two-math.woff2").exists()
    assert (site / "_static" / "stix-two-math-OFL.txt").exists()


def test_every_page_of_the_documentation_is_in_the_site_and_can_be_searched(
    site, pages
):
    written = {
        file.relative_to(ROOT / "docs").with_suffix(".html")
        for file in (ROOT / "docs").rglob("*.md")
    }
    assert {str(page) for page in written} <= pages.keys()
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    assert written <= {Path(name).with_suffix(".html") for name in index["docnames"]}
    assert len(index["terms"]["underdamp"]) > 3


def test_every_link_between_pages_leads_somewhere(site):
    assert list(dead_links(site)) == []


@pytest.fixture(scope="module")  # two at a time in one process are refused
def browser():
    path = browser_path()
    if path is None:
        pytest.skip("no browser is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield chromium
        chromium.close()


def test_the_walk_sees_wide_code_and_dead_links(tmp_path):
    (tmp_path / "page.html").write_text(
        "<article class=bd-article><pre style='width: 9em; overflow: auto'>one long line of code</pre>"
        "<a href=none.html>a</a><a href=#none>b</a><script>console.error('alas')</script></article>"
    )
    (tmp_path / "cut.html").write_text(
        "<div style='overflow: auto'><article class=bd-article><p class=wide style='width: 99em'>text</p>"
        "<div style='overflow: auto'><p style='width: 99em'>text that scrolls</p></div></article></div>"
    )
    assert list(dead_links(tmp_path)) == ["page.html: #none", "page.html: none.html"]
    if browser_path() is None:
        pytest.skip("no browser is installed")
    too_wide, messages = walk(tmp_path, [tmp_path / "page.html"])
    assert "page.html at 1280 px, light: code: one long line of code" in too_wide
    assert messages == ["page.html: alas"]
    assert set(walk(tmp_path, [tmp_path / "cut.html"])[0]) == {
        f"cut.html at {width} px, {scheme}: p.wide"
        for width in WIDTHS
        for scheme in SCHEMES
    }


def test_pages_fit_their_windows_and_log_no_error(site):
    if browser_path() is None:
        pytest.skip("no browser is installed")
    names = [
        "index",
        "start",
        "guides",
        "from_excel",
        "atlas",
        "search",
        "algorithms/scaffold_mime",
        "api/command_line",
        "api/theory",
    ]
    assert walk(site, [site / f"{name}.html" for name in names]) == ([], [])


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("intervals", "intervals"),
        ("posterior", "sampling"),
        ("global minimum", "optimisation|start"),
        (
            "missing values",
            "(?!api|algorithms|feature_learning|papers|atlas|design|benchmarks).*",
        ),
        ("MeanFieldRegressor", "api/names/langevax.sklearn.MeanFieldRegressor"),
    ],
)
def test_the_search_finds_pages_for_users_first(site, browser, query, first):
    page = browser.new_page()
    page.goto(f"{(site / 'search.html').as_uri()}?q={query.replace(' ', '+')}")
    page.wait_for_function(
        "document.querySelectorAll('#search-results li a').length > 0", timeout=60_000
    )
    page.wait_for_timeout(300)  # results come one by one
    addresses = page.evaluate(
        "[...document.querySelectorAll('#search-results li a')].map((link) => link.getAttribute('href'))"
    )
    page.close()
    assert re.match(rf"({first})\.html", addresses[0]), addresses[:5]


@pytest.mark.parametrize(
    ("plain", "tex"),
    [
        (
            "x <- x - h grad U(x) + sqrt(2 h T) xi",
            r"x \leftarrow x - h\,\nabla\,U(x) + \sqrt{2\,h\,T} \xi",
        ),
        ("<w, x_new> >= c^-1", r"\langle w, x_{\text{new}} \rangle \ge c^{-1}"),
        (
            "KL(q || prior) = 0,    step_size <= 1",
            r"\operatorname{KL}(q \parallel \text{prior}) = 0, \quad \text{step_size} \le 1",
        ),
        ("p(x) = 1 on (0, 1)", r"p(x)=1\text{on}\,(0,1)"),
        (
            "O~(n^-(d + 2)) => z in {+-1 / sqrt d}^d",
            r"\tilde{O}(n^{-(d+2)}) \Rightarrow z \in \{\pm1/\sqrt{d}\}^{d}",
        ),
        (
            "|hess f| <= zeta,    ||f_{>1}|| ~ eps",
            r"|\nabla^2\,f|\le\zeta,\quad\parallelf_{>1}\parallel\sim\varepsilon",
        ),
    ],
)
def test_plain_formulas_become_tex(plain, tex, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "extensions")
    as_tex = importlib.import_module("formulas").as_tex
    assert as_tex(plain).replace(" ", "") == tex.replace(" ", "")


@pytest.mark.parametrize(
    "line",
    [
        "DIR/report.html     the report",
        "with engine:",
        "heat   of each label",
        "y = f.g(x)",
    ],
)
def test_other_indented_text_stays_as_it_is(line, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "extensions")
    assert importlib.import_module("formulas").display([line]) == [
        "::",
        "",
        "    " + line,
    ]


def test_formulas_of_generated_pages_are_typeset_and_other_blocks_are_not(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "extensions")
    typeset = importlib.import_module("formulas").typeset
    other = "\n```text\nR2 of 0.44 on 111 patients\n```\n"
    assert (
        typeset(f"A claim.\n\n```text\nx <= 1 / n\n```\n{other}")
        == f"A claim.\n\n$$\nx \\le 1 / n\n$$\n{other}"
    )
    assert (
        typeset("One.\n\n    x <= 1\n\nTwo.\n\nThree.\n")
        == "One.\n\n$$\nx \\le 1\n$$\n\nTwo.\n\nThree.\n"
    )


def test_digits_of_a_fraction_and_words_with_underscores_are_read_as_in_tex(
    monkeypatch,
):
    monkeypatch.syspath_prepend(ROOT / "docs" / "extensions")
    mathml = importlib.import_module("formulas").mathml
    assert mathml(r"\tfrac12 x", block=False) == mathml(r"\tfrac{1}{2} x", block=False)
    assert "num_steps" in mathml(r"\text{num\_steps}", block=False)


def test_names_of_functions_stand_apart_and_bars_close_up(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "extensions")
    mathml = importlib.import_module("formulas").mathml
    for tex, spaces in (
        (r"\lambda \log Z", 2),
        (r"\tanh(a) \tanh(b)", 1),
        (r"-\log Z", 1),
        (r"a b", 0),
    ):
        assert mathml(tex, block=False).count("mspace") == spaces, tex
    for tex in (r"|x|", r"\lVert x \rVert", r"\langle x, y \rangle"):
        assert mathml(tex, block=False).count('lspace="0" rspace="0"') == 2, tex


def test_formulas_are_drawn_and_none_is_left_as_text(site):
    assert "<msqrt>" in (site / "algorithms" / "mfld.html").read_text(encoding="utf-8")
    for file in (site / "algorithms").glob("*.html"):
        assert re.search(r"\$\$|\\begin{", text_of(file)) is None, file.name


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
        f"langevax.theory.{file.name}": importlib.import_module(
            f"langevax.theory.{file.name}"
        )
        for file in pkgutil.iter_modules(langevax.theory.__path__)
    }
    return {"langevax": langevax} | first | inner | theory


def public_names(namespace: ModuleType):
    """Return what a module exports, or defines under a public name."""
    own = [
        name
        for name, value in vars(namespace).items()
        if getattr(value, "__module__", None) == namespace.__name__
    ]
    return getattr(
        namespace, "__all__", [name for name in own if not name.startswith("_")]
    )


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
    anchors = {
        place
        for name, page in pages.items()
        if name.startswith("api/")
        for place in page.places
        if place
    }
    reference = {place.removeprefix("module-") for place in anchors}
    objects = [value for place in reference if (value := resolve(place)) is not None]
    missing = [
        path
        for path, value in names.items()
        if path not in reference
        and not any(value is known for known in objects)
        and path not in NOT_PUBLIC
    ]
    assert missing == [], "give each a place in docs/api"
    assert len(names) > 200


def text_of(file: Path):
    return unescape(re.sub("<[^>]*>", "", file.read_text(encoding="utf-8")))


def test_every_public_name_has_a_page(site):
    listed = [
        name
        for page in (ROOT / "docs" / "api").glob("*.md")
        for name in ENTRY.findall(page.read_text("utf-8"))
    ]
    names = [name for name in listed if not inspect.ismodule(resolve(name))]
    assert [
        name for name in names if not (site / "api" / "names" / f"{name}.html").exists()
    ] == []
    assert len(names) > 200


def test_the_reference_has_arguments_and_examples(site):
    page = " ".join(text_of(site / "api" / "names" / "langevax.Langevin.html").split())
    assert (
        "gradient: GradientEstimator = Full(), integrator: Integrator = Explicit()"
        in page
    )  # fields are arguments
    assert "step_size – h > 0, a float or a schedule" in page
    assert ">>> result = langevax.simulate(langevin, problem, jnp.zeros(2)" in page
    assert "(x - a) ** 2" in page  # no escapes in examples
    names = site / "api" / "names"
    assert "h = scale tanh(<w, x> + b), with particle (w, b)" in text_of(
        names / "langevax.neurons.Tanh.html"
    )
    assert "sum_i loss*_i(g_i) - temperature log Z(g)" in text_of(
        site / "api" / "theory.html"
    )
    estimator = " ".join(
        text_of(names / "langevax.sklearn.MeanFieldRegressor.html").split()
    )
    assert (
        "temperature_, n_iter_ – T, and networks on the path or steps made" in estimator
    )
    assert "<blockquote>" not in "".join(
        file.read_text(encoding="utf-8") for file in names.iterdir()
    )


def test_links_show_titles_names_lead_to_their_page_and_paths_in_tables_may_break(site):
    page = (site / "papers.html").read_text(encoding="utf-8")
    assert re.search(
        r'href="conventions.html"><span class="[^"]*">Conventions, converted</span></a> has the conversions',
        page,
    )
    assert re.search(
        r'theory</span><span class="pre">/</span><wbr /><span class="pre">feature_learning',
        page,
    )
    assert 'href="names/langevax.posterior.html#langevax.posterior"' in (
        site / "api" / "problems.html"
    ).read_text("utf-8")


def test_the_page_of_the_command_line_is_what_help_prints(site):
    reference = text_of(site / "api" / "command_line.html")
    commands = [
        ["fit"],
        ["predict"],
        ["convert"],
        ["check"],
        ["federated"],
    ]
    for command in [[], ["certify"], ["explain"], *commands, ["federated", "app"]]:
        shown = CliRunner().invoke(
            app, [*command, "--help"], prog_name="langevax", terminal_width=80
        )
        assert shown.exit_code == 0
        assert shown.stdout.strip() in reference, command


def test_the_site_has_the_colours_of_the_reports():
    style = (ROOT / "docs" / "static" / "site.css").read_text(encoding="utf-8")
    light, dark = style.split('html[data-theme="dark"] {')[:2]
    assert [
        line for line in theme.css_variables().splitlines() if line not in light
    ] == []
    assert [
        line for line in theme.css_variables(dark=True).splitlines() if line not in dark
    ] == []
    assert theme.FONTS in style


NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.mark.long
@pytest.mark.filterwarnings(
    "ignore::langevax.sampling.SamplingWarning"
)  # it draws little
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
        assert " ".join(NUMBER.sub("", printed).split()) == " ".join(
            NUMBER.sub("", promised).split()
        )
        for claimed, measured in zip(
            NUMBER.findall(promised), NUMBER.findall(printed), strict=True
        ):
            size = abs(float(claimed))
            loose = 9 * size if size < 0.01 else 0.25 * size + 0.05 * ("." in claimed)
            assert abs(float(measured) - float(claimed)) <= loose, (code, printed)


def test_formulas_in_sentences_are_mathematics_and_programs_are_not(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "extensions")
    inline = importlib.import_module("docstrings").inline
    assert (
        inline("of `f_k(t) = sqrt(2) sin(k t)`")
        == r"of :math:`f _{k} (t) = \sqrt{2} \operatorname{sin} (k \, t)`"
    )
    assert inline("`(1/n) sum_i x_i^2`").startswith(r":math:`(1 / n) \sum _{i}")
    for program in (
        "num_steps = 5",
        "x ** 2",
        "a[0] = 1",
        "model.fit(x)",
        "step_size",
        "f(x) == y",
        "n = len(rows)",
        "x = " + "+ y " * 9,
    ):
        assert inline(f"`{program}`") == f"``{program}``"
