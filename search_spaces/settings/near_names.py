"""Names that a misspelt one may be meant as."""

import difflib
from collections.abc import Collection, Iterable

MAX_SUGGESTED = 3  # names; of more that are equally near, none is named
CLOSE = 0.5  # share of characters in common, from which a name may be the one that was meant
CLOSER = 0.6  # from which it is rather that one than one that begins with the word, or has it as its initials
NEARLY = 0.1  # difference of such shares up to which a name that is likelier for another reason is taken
VERY_CLOSE = 0.75  # the same where it is unlikely that one is meant: names of files are anybody's choice
ALIKE = str.maketrans("oli_", "011-")


def suggestion(
    found: str, known: Iterable[str], *, close: float = CLOSE, likelier: Collection[str] = ()
) -> str:
    """End of a message about an unknown name: " (did you mean 'x'?)"; empty if none or too many are near.

    Args:
        likelier: known names that are preferred to others that are about as near.
    """
    near = [f"'{name}'" for name in close_names(found, known, close, likelier)]
    if not 0 < len(near) <= MAX_SUGGESTED:
        return ""
    first, last = ", ".join(near[:-1]), near[-1]
    return f" (did you mean {f'{first} or {last}' if first else last}?{_foreign_letter(found)})"


def _foreign_letter(found: str) -> str:
    """Words that name a letter of a name that only looks Latin; empty if there is none."""
    letter = next((each for each in found if each.isalpha() and not each.isascii()), None)
    return "" if letter is None else f" The '{letter}' given is U+{ord(letter):04X}"


def close_names(
    found: str, known: Iterable[str], close: float = CLOSE, likelier: Collection[str] = ()
) -> list[str]:
    """The known names that are nearest to a word, all that are equally near; none if none is close."""
    word, names = found.lower(), {name.lower(): name for name in known}
    # First those that differ in characters that look alike
    if alike := [name for key, name in names.items() if key.translate(ALIKE) == word.translate(ALIKE)]:
        return alike
    # Then those with the most characters in common, in their order, if these are many
    matcher = difflib.SequenceMatcher(b=word)
    ratios = {}
    for key, name in names.items():
        matcher.set_seq1(key)
        ratios[name] = matcher.ratio()
    nearest = max(ratios.values(), default=0.0)
    about_nearest = [name for name, ratio in ratios.items() if name in likelier and ratio >= nearest - NEARLY]
    best = about_nearest or [name for name, ratio in ratios.items() if ratio == nearest]
    if nearest >= max(close, CLOSER):
        return best
    # Then those of which it has the initials or the first word: "lr" is learning_rate, "se" se_ratio
    short = [
        name for key, name in names.items() if "_" in key and word in (_initials(key), key.split("_")[0])
    ]
    if short:
        return [name for name in short if name in likelier] or short
    if nearest >= close:
        return best
    # Then longer ones: "step" is far from "step_time_ratio"
    return [name for key, name in names.items() if len(word) > 2 and key.startswith(word)]


def _initials(name: str) -> str:
    return "".join(part[:1] for part in name.split("_"))
