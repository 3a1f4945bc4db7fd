"""Tutorials as Jupyter notebooks beside their pages, with the outputs that the pages show."""

from pathlib import Path

from sphinx.application import Sphinx

from tools.tutorials import DOWNLOAD, write_notebooks

LINK = '<a class="notebook" download href="{name}.ipynb">Download this page as a Jupyter notebook</a>'


def _link(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = source[0].replace(
        DOWNLOAD, LINK.format(name=docname.rpartition("/")[2])
    )


def _write(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        write_notebooks(Path(app.outdir) / "tutorials")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _link)
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
