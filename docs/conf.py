"""Sphinx's settings for `make docs`: a site of the README, the pages of docs/ and every docstring.

The source folder is the repository itself, so that a link between pages leads to the same place on the site
and in the repository. The pages of modules follow from the source tree, the contents from docs/index.md.
"""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from enum import Enum
from functools import cached_property
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS)]
from docstrings import to_restructured_text, with_fields  # noqa: E402
from reference import write_reference  # noqa: E402
from signatures import plain_signature  # noqa: E402

PACKAGES = ("search_spaces", "trials", "analysis", "nas")
REFERENCE = "build/reference"

project = "Training-aware NAS"
copyright = ""
root_doc = "README"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = [
    "README.md",
    "docs/**.md",
    "tests/**/README.md",
    "analysis/**/README.md",
    f"{REFERENCE}/**",
]
exclude_patterns = ["build/docs", "runs", ".*"]

myst_heading_anchors = 3
highlight_language = "text"
smartquotes = False

autodoc_default_options = {"members": True, "undoc-members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
add_module_names = False
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 90
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes of a dataclass are documented once
suppress_warnings = ["ref.python"]  # napoleon looks for the attributes' names among all objects

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_copyright = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_theme_options = {"top_of_page_buttons": []}


def add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Appends the table of contents to the README: a part for each heading of docs/index.md, in its order."""
    if name != root_doc:
        return
    source[0] += toctree("Pages", ["docs/index"])
    for part in re.split(r"^## ", (DOCS / "index.md").read_text(), flags=re.M)[1:]:
        caption, _, text = part.partition("\n")
        links = re.findall(r"^\| \[(.+?)\]\((\S+)\.md\)", text, flags=re.M)
        source[0] += toctree(
            caption, [f"{title} <{os.path.normpath(f'/docs/{page}')}>" for title, page in links]
        )
    source[0] += toctree("Modules", [f"{package} </{REFERENCE}/{package}>" for package in PACKAGES])


def toctree(caption: str, pages: Sequence[str]) -> str:
    """A part of the table of contents, which the sidebar shows."""
    return "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def convert_docstring(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Docstrings are Markdown with Google's sections, and fields have comments; autodoc knows neither."""
    if what == "class" and isinstance(obj, type):
        lines[:] = with_fields(lines, obj)
    lines[:] = to_restructured_text(lines)


def skip_field(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Fields stand in the signature of their class, and below its docstring if there is more to say."""
    is_field = not (callable(obj) or isinstance(obj, (property, cached_property, classmethod, Enum)))
    return True if what == "class" and is_field else None


def shorten_signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, arguments: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Types without what pydantic and typer add to them."""
    return arguments and plain_signature(arguments), result


def write_index(app: Sphinx, failure: Exception | None) -> None:
    """The folder opens with the README."""
    if failure is None and app.builder.format == "html":
        shutil.copy(app.outdir / f"{root_doc}.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    write_reference(ROOT, PACKAGES, ROOT / REFERENCE)
    app.connect("source-read", add_contents)
    app.connect("autodoc-process-docstring", convert_docstring, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", skip_field)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("build-finished", write_index)
