"""What the product does, recorded in tests/golden/behaviour, and what has changed since.

After a change that is meant, and after it alone, `python tests/golden_records.py --record` writes the files
anew (with names of files, as in `screens searches/tpe`: these alone); the difference that git then shows is
what to look at.
"""

import difflib
import json
import math
import sys
import tempfile
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any

from golden_screens import (
    exports_record,
    figures_record,
    folder_of_runs,
    help_record,
    page_record,
    screens_record,
)
from golden_searches import SEARCHES, run_recorded, search_record

FOLDER = Path(__file__).parent / "golden" / "behaviour"
SHOWN = 12  # differences of a file: more say no more
TOLERANCE = 1e-9  # relative: libraries of mathematics differ in last digits
TOLERANCES = {"log_probs": 1e-3, "low": 1e-6, "high": 1e-6}  # float32; by iteration

SCREENS: dict[str, Callable[[], dict[str, Any]]] = {
    "help": help_record,
    "screens": screens_record,
    "figures": figures_record,
    "report": page_record,
    "exports": exports_record,
}


def whole_search(name: str) -> list[dict[str, Any]]:
    """The record of a search that nothing interrupts."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        return search_record(run_recorded(name, Path(name)))


def resumed_search(name: str) -> list[dict[str, Any]]:
    """The record of a search that is killed half-way and goes on."""
    half = len(recorded(f"searches/{name}")) // 2
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        return search_record(run_recorded(name, Path(name), interrupted_after=half))


def shown_record(name: str) -> dict[str, Any]:
    """One of SCREENS, in a folder that holds old runs."""
    with tempfile.TemporaryDirectory() as folder, folder_of_runs(Path(folder)):
        return SCREENS[name]()


RECORDS: dict[str, Callable[[], Any]] = {
    **{name: partial(shown_record, name) for name in SCREENS},
    **{f"searches/{name}": partial(whole_search, name) for name in SEARCHES},
}


# ---------------------------------------------------------------------- files


def path_of(name: str) -> Path:
    """The file of a record: of a search, lines of JSON, a trial each."""
    return FOLDER / f"{name}.{'jsonl' if name.startswith('searches/') else 'json'}"


def recorded(name: str) -> Any:
    """A record, from its file."""
    text = path_of(name).read_text(encoding="utf-8")
    return (
        [json.loads(line) for line in text.splitlines()] if name.startswith("searches/") else json.loads(text)
    )


def write_record(name: str, record: Any) -> None:
    """Writes its file."""
    path = path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.startswith("searches/"):
        text = "".join(json.dumps(_short(line), ensure_ascii=False) + "\n" for line in record)
    else:
        text = json.dumps(_short(record), indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def _short(value: Any) -> Any:
    """With floats of 12 digits."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items()}
    return [_short(each) for each in value] if isinstance(value, list | tuple) else value


# ---------------------------------------------------------------------- what has changed


def changes(name: str, found: Any) -> str:
    """What differs from the record, in words that say where; empty if nothing does."""
    where = path_of(name).relative_to(FOLDER.parent.parent)
    lines = _differences(recorded(name), found, "")
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    again = f"If this is meant: python tests/golden_records.py --record {name}"
    return "\n".join([f"{where}:", *lines[:SHOWN], *more, again]) if lines else ""


def _differences(expected: Any, found: Any, place: str, tolerance: float = TOLERANCE) -> list[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        return _of_mappings(expected, found, place, tolerance)
    if _is_text(expected) and _is_text(found) and expected != found:
        diff = difflib.unified_diff(expected, found, "expected", "found", n=1, lineterm="")
        return [f"{place}:", *(f"    {line}" for line in diff)]
    if isinstance(expected, list) and isinstance(found, list | tuple):
        differing = [
            line
            for i, (one, other) in enumerate(zip(expected, found, strict=False))
            for line in _differences(one, other, f"{place}{_item(one, i)}", tolerance)
        ]
        if len(expected) != len(found):
            differing.append(f"{place}: {len(found)} found, {len(expected)} expected")
        return differing
    if isinstance(expected, float) and isinstance(found, float | int):
        close = math.isclose(expected, found, rel_tol=tolerance, abs_tol=1e-12)
        if close or (math.isnan(expected) and math.isnan(found)):
            return []
    return [] if expected == found else [f"{place}: {found!r} found, {expected!r} expected"]


def _of_mappings(expected: dict[str, Any], found: dict[str, Any], place: str, tolerance: float) -> list[str]:
    lines = []
    for key in [*expected, *(key for key in found if key not in expected)]:
        inside = f"{place}.{key}" if place else key
        if key not in found:
            lines.append(f"{inside}: missing, {expected[key]!r} expected")
        elif key not in expected:
            lines.append(f"{inside}: {found[key]!r} found, none expected")
        else:
            lines += _differences(expected[key], found[key], inside, TOLERANCES.get(key, tolerance))
    return lines


def _is_text(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(line, str) for line in value)


def _item(value: Any, i: int) -> str:
    is_trial = isinstance(value, dict) and "trial_id" in value
    return f"trial {value['trial_id']}" if is_trial else f"[{i}]"


if __name__ == "__main__":
    if sys.argv[1:2] != ["--record"] or not set(sys.argv[2:]) <= RECORDS.keys():
        sys.exit(f"{__doc__}\nnames are {', '.join(RECORDS)}")
    for chosen in sys.argv[2:] or RECORDS:
        write_record(chosen, RECORDS[chosen]())
        print(path_of(chosen))
