"""Names that a misspelt one may be meant as."""

import difflib
from collections.abc import Iterable

MAX_SUGGESTED = 3  # names; of more that are equally near, none is named
CLOSE = 0.5  # share of characters in common, from which a name may be the one that was meant
VERY_CLOSE = 0.75  # the same where it is unlikely that one is meant: names of files are anybody's choice
ALIKE = str.maketrans("oli_", "011-")


def suggestion(found: str, known: Iterable[str], *, close: float = CLOSE) -> str:
    """End of a message about an unknown name: " (did you mean 'x'?)"; empty if none or too many are near."""
    near = [f"'{name}'" for name in close_names(found, known, close)]
    if not 0 < len(near) <= MAX_SUGGESTED:
        return ""
    first, last = ", ".join(near[:-1]), near[-1]
    return f" (did you mean {f'{first} or {last}' if first else last}?{_foreign_letter(found)})"


def _foreign_letter(found: str) -> str:
    """Words that name a letter of a name that only looks Latin; empty if there is none."""
    letter = next((each for each in found if each.isalpha() and not each.isascii()), None)
    return "" if letter is None else f" The '{letter}' given is U+{ord(letter):04X}"


def close_names(found: str, known: Iterable[str], close: float = CLOSE) -> list[str]:
    """The known names that are nearest to a word, all that are equally near; none if none is close."""
    word, names = found.lower(), {name.lower(): name for name in known}
    # First those that differ in characters that look alike
    alike = [name for name in names if name.translate(ALIKE) == word.translate(ALIKE)]
    if alike:
        return [names[name] for name in alike]
    # Then those of which it has the initials or the first word: "lr" is learning_rate, "se" se_ratio
    if short := [name for name in names if "_" in name and word in (_initials(name), name.split("_")[0])]:
        return [names[name] for name in short]
    # Then those with the most characters in common, in their order
    matcher = difflib.SequenceMatcher(b=word)
    ratios = {}
    for name in names:
        matcher.set_seq1(name)
        ratios[name] = matcher.ratio()
    nearest = max(ratios.values(), default=0.0)
    if nearest >= close:
        return [names[name] for name, ratio in ratios.items() if ratio == nearest]
    # Then longer ones: "step" is far from "step_time_ratio"
    return [names[name] for name in names if len(word) > 2 and name.startswith(word)]


def _initials(name: str) -> str:
    return "".join(part[:1] for part in name.split("_"))
