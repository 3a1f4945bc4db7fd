"""Configuration of the documentation: `sphinx-build -W docs out/site`, which loads nothing from the network."""

import sys
from pathlib import Path
from runpy import run_path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "extensions"), str(DOCS.parent / "src"), str(DOCS.parent)]

project = "langevax"
release = version = run_path(str(DOCS.parent / "src" / "langevax" / "_version.py"))[
    "__version__"
]
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "docstrings",
    "formulas",
    "notebooks",
    "pages",
    "reference",
]
exclude_patterns = ["extensions", "inventories", "templates"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:(class|exc|obj)", ".*")
]  # types of signatures, and code that may name a private module
suppress_warnings = ["misc.highlighting_failure", "myst.header"]

myst_enable_extensions = [
    "attrs_inline",
    "attrs_block",
    "colon_fence",
    "dollarmath",
    "amsmath",
]
myst_heading_anchors = 4
myst_dmath_double_inline = True

default_role = "code"
toc_object_entries_show_parents = "hide"
add_module_names = False
python_maximum_signature_line_length = 76
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style"), ("Fields", "params_style")]

ELSEWHERE = {
    "python": "https://docs.python.org/3/",
    "jax": "https://docs.jax.dev/en/latest/",
    "numpy": "https://numpy.org/doc/stable/",
}
intersphinx_mapping = {
    name: (url, f"inventories/{name}.inv") for name, url in ELSEWHERE.items()
}

html_theme = "pydata_sphinx_theme"
html_title = "langevax"
html_logo = html_favicon = "static/mark.svg"
html_static_path = ["static"]
templates_path = ["templates"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_search_scorer = str(DOCS / "static/search_order.js")
html_math_renderer = "mathml"
html_copy_source = html_show_sourcelink = html_show_sphinx = False
html_sidebars = {"index": [], "start": []}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "langevax"},
    "collapse_navigation": True,
    "navigation_depth": 4,
    "header_links_before_dropdown": 8,
    "navbar_align": "left",
    "navbar_persistent": ["search-button-field"],
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["version"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
    "back_to_top_button": False,
    "show_toc_level": 2,
}
