"""Every public function and class says what it is for, and is annotated in full."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import REPOSITORY

PACKAGES = ("search_spaces", "trials", "analysis", "nas")
FILES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef

# They gave way to the field's terms: events, evaluated, equal, in flight, guarded, Pareto front, uncertain.
OLD_NAMES = r"news|judg(e|ed|es|ing)|twins?|flights|latched|no other beats|doubt(s|ed|ful)?"
WORDED = (
    *FILES,
    *(path for ending in ("*.md", "*.yaml") for path in (REPOSITORY / "docs").rglob(ending)),
    *(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.ipynb")),
    REPOSITORY / "README.md",
)


@pytest.mark.parametrize("path", WORDED, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_text_has_an_old_name(path: Path) -> None:
    assert [found[0] for found in re.finditer(rf"(?i)\b({OLD_NAMES})\b", path.read_text())] == []


def public(tree: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Functions and classes of the module, and the public methods of the latter."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name[0] != "_":
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)) and inner.name[0] != "_":
                    yield f"{node.name}.{inner.name}", inner


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_public_names_have_a_docstring(path: Path) -> None:
    names = public(ast.parse(path.read_text()))
    missing = [name for name, node in names if not ast.get_docstring(node)]
    assert missing == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_public_functions_are_annotated_in_full(path: Path) -> None:
    incomplete = []
    for name, node in public(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [a for a in (node.args.vararg, node.args.kwarg) if a is not None]
        bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
        if bare or node.returns is None:
            incomplete.append(f"{name}({', '.join(bare)})")
    assert incomplete == []
