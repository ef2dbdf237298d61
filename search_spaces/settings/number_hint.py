"""The number that a text may be meant as: 10%, 32px, 1,000, 0,07, 5M, 1:30, 1/64."""

import math
import re
import unicodedata

FACTORS = {"%": 0.01, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+")
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
DASHES = re.compile("[\u2010-\u2015\u2212]")  # look like a minus sign, and are none to YAML
COUNTED = re.compile(
    r"px|pixels?|epochs?|images?|steps?|trials?|layers?|channels?"
)  # what keys name themselves
COMPARISON = re.compile(r"[<>≤≥]=?\s*")
COMMENT = re.compile(r"(\S+?)\s*(#|//).*")
FORMULA = re.compile(r"(\d+(?:\.\d+)?)\s*(/|\*\*?|\^)\s*(-?\d+(?:\.\d+)?)")
LARGEST = 1e15  # of a formula's value
NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%|[A-Za-zµ]*)")


def number_hint(text: str, *, is_whole: bool) -> str:
    """The end of a message about a text, as in "; write 0.1"; empty if no (whole) number is in it."""
    hint = _hint(text)
    return "" if is_whole and "." in hint else hint


def without_comma(word: str) -> str | None:
    """The number that digits with commas stand for: `1,000` is 1000, `0,07` is 0.07; None of other words."""
    if THOUSANDS.fullmatch(word):
        return word.replace(",", "")
    return word.replace(",", ".") if DECIMAL_COMMA.fullmatch(word) else None


def _of_sixty(word: str) -> str:
    """The number that colons make of digits in YAML 1.1, to the base of 60: 1:30 is 90."""
    total = 0.0
    for part in word.split(":"):
        total = 60 * total + float(part)
    return f"{total:.12g}"


def _hint(text: str) -> str:
    word = text.strip("'\"“”‘’ ")
    digits = [each for each in word if each.isdigit() and not each.isascii()]
    if any(not each.isdecimal() for each in digits):
        return ""  # exponents, and numbers in circles: they are no digits of a number
    if digits:
        plainer = unicodedata.normalize("NFKC", word)
        return f"; write {plainer}, in plain characters" if NUMBER.fullmatch(plainer) else ""
    if (comment := COMMENT.fullmatch(word)) and NUMBER.fullmatch(comment[1]):
        return f"; write {comment[1]}: a comment begins with a space and a #"
    if formula := FORMULA.fullmatch(word):
        return _computed(*formula.groups())
    if square := re.fullmatch(r"(\d+)\s*[x×]\s*\1", word):
        return f"; write {square[1]}"
    word = COMPARISON.sub("", word, count=1).rstrip(",;")
    if dash := DASHES.search(word):
        meant = _hint(word.replace(dash[0], "-")).removesuffix(", without quotes").removeprefix("; ")
        return meant and f"; '{dash[0]}' is U+{ord(dash[0]):04X} and no minus sign: {meant}"
    if number := without_comma(word):
        return f"; write {number}"
    if re.fullmatch(r"\d+(:\d+)+(\.\d+)?", word):  # in YAML 1.1 a number to the base of 60
        return f"; colons are not read as one number: write {_of_sixty(word)}, if that is meant"
    plain = re.sub(r"(?<=\d),(?=\d)", ".", word)
    found = NUMBER.fullmatch(plain)
    if not found or not math.isfinite(float(found[1]) * 1e9):
        return ""
    number, unit = found[1], found[2]
    if not unit:
        return f"; write {number}, without quotes" if plain == text else f"; write {number}"
    if unit in FACTORS:
        return f"; write {float(number) * FACTORS[unit]:.12g}"
    return f"; write {number}, without a unit" if COUNTED.fullmatch(unit) else "; a number has no unit here"


def _computed(first: str, sign: str, second: str) -> str:
    """The value of a formula of two numbers: YAML computes none."""
    one, other = float(first), float(second)
    try:
        value = one / other if sign == "/" else one * other if sign == "*" else one**other
    except (ZeroDivisionError, OverflowError):
        return ""
    return f"; formulas are not computed: write {value:.12g}" if abs(value) <= LARGEST else ""
