"""Put the pages at the top of the repository into the site, where links between them and the other pages work."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

PAGES = {name: name.lower() for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md")}
"""Files at the top, and their pages in the site."""
FROM_THE_TOP = re.compile(r"\]\((?:docs/)?([\w./-]+\.md)((?:#[\w-]*)?)\)")
TO_THE_TOP = re.compile(rf"\]\((?:\.\./)+({'|'.join(map(re.escape, PAGES))})((?:#[\w-]*)?)\)")
LICENCE = re.compile(r"\[([^\]]*)\]\(LICENSE\)")


def on_files(files: Any, config: Any) -> Any:
    top = Path(config.config_file_path).parent
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(top / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    if page.file.src_uri in PAGES.values():
        text = FROM_THE_TOP.sub(lambda link: f"]({PAGES.get(link[1], link[1])}{link[2]})", markdown)
        return LICENCE.sub(r"\1", text)  # which is not a page
    start = posixpath.dirname(page.file.src_uri)
    return TO_THE_TOP.sub(lambda link: f"]({posixpath.relpath(PAGES[link[1]], start or '.')}{link[2]})", markdown)
