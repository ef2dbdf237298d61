"""Exit codes: one table in the code, the same on the page, and no command ends with another one."""

import ast
import re
import signal

from documents import DOCS
from places import REPOSITORY

import nas.commands.exit_codes as table
from nas.commands.exit_codes import EXIT_CODES, OF_SIGNALS
from nas.search.stopping import SIGNALS as OF_SEARCHES
from nas.training.termination import SIGNALS as OF_TRAININGS

CODES = {each.code for each in EXIT_CODES}


def test_the_page_shows_the_table_of_the_code() -> None:
    text = (DOCS / "scripts.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*) \| (.*) \|$", text, flags=re.M)
    assert [(int(code), *words) for code, *words in rows] == [
        (each.code, each.meaning, each.then) for each in EXIT_CODES
    ]


def test_every_signal_that_is_heeded_has_its_code() -> None:
    assert {OF_SIGNALS + number for number in (*OF_SEARCHES, *OF_TRAININGS)} <= CODES
    assert OF_SIGNALS + signal.SIGINT in CODES


def test_commands_end_with_codes_of_the_table_alone() -> None:
    """Nowhere stands a number: they are named, and the names are those of the table."""
    numbers, names = [], set()
    for path in [REPOSITORY / "nas" / "cli.py", *(REPOSITORY / "nas" / "commands").glob("*.py")]:
        text = path.read_text()
        names |= set(re.findall(r"\bEXIT_[A-Z_]+\b", text))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and re.search(
                r"\b(Exit|exit|_exit|_fail)$", ast.unparse(node.func)
            ):
                values = [each for argument in node.args for each in ast.walk(argument)]
                numbers += [each.value for each in values if isinstance(each, ast.Constant)]
    assert numbers == []
    assert {getattr(table, name) for name in names - {"EXIT_CODES"}} <= CODES
    assert {"EXIT_DONE", "EXIT_FAILED", "EXIT_WRONG_INPUT", "EXIT_NOT_WRITTEN", "EXIT_LOCKED"} <= names
