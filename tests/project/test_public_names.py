"""Every public function and class says what it is for, and is annotated in full."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from places import PACKAGES, REPOSITORY, SOURCES, by_file

Function = ast.FunctionDef | ast.AsyncFunctionDef

# They gave way to the field's terms: events, evaluated, equal, in flight, guarded, Pareto front, uncertain.
OLD_NAMES = r"news|judg(e|ed|es|ing)|twins?|flights|latched|no other beats|doubt(s|ed|ful)?"
WORDED = (
    *SOURCES,
    *(path for ending in ("*.md", "*.yaml") for path in (REPOSITORY / "docs").rglob(ending)),
    *(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.ipynb")),
    REPOSITORY / "README.md",
)


def test_no_text_has_an_old_name() -> None:
    def old(path: Path) -> list[str]:
        return [found[0] for found in re.finditer(rf"(?i)\b({OLD_NAMES})\b", path.read_text())]

    assert by_file(old, WORDED) == {}


def public(path: Path) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Functions and classes of a module, and the public methods of the latter."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name[0] != "_":
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)) and inner.name[0] != "_":
                    yield f"{node.name}.{inner.name}", inner


def test_public_names_have_a_docstring() -> None:
    def undocumented(path: Path) -> list[str]:
        return [name for name, node in public(path) if not ast.get_docstring(node)]

    assert by_file(undocumented) == {}


def test_public_functions_are_annotated_in_full() -> None:
    def incomplete(path: Path) -> list[str]:
        functions = [(name, node) for name, node in public(path) if not isinstance(node, ast.ClassDef)]
        return [name for name, node in functions if node.returns is None or bare(node)]

    assert by_file(incomplete) == {}


def bare(function: Function) -> list[str]:
    """Arguments without an annotation."""
    of = function.args
    arguments = [*of.posonlyargs, *of.args, *of.kwonlyargs]
    arguments += [argument for argument in (of.vararg, of.kwarg) if argument is not None]
    return [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
