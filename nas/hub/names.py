"""Names on the Hub: repositories, licences, and the files of a network that is handed on."""

import re
from pathlib import Path

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import suggestion

CARD, MANIFEST = "README.md", "manifest.json"
WEIGHTS = "weights/best.safetensors"  # where a training has them, so that commands find them
ARCHITECTURE, RECIPE = "architecture.yaml", "recipe.yaml"
RESULTS, METRICS = "results.json", "metrics.parquet"
CURVES, CONFUSION, CALIBRATION = "curves.png", "confusion.png", "calibration.png"
TIMM, TIMM_WEIGHTS = "timm.json", "timm.safetensors"
ONNX = "model.onnx"
# All that is ever written or read: whatever else a repository holds is left alone, and left there.
FILES = (
    CARD, WEIGHTS, ARCHITECTURE, RECIPE, RESULTS, METRICS, CURVES, CONFUSION, CALIBRATION, TIMM, TIMM_WEIGHTS,
    ONNX,
)  # fmt: skip
NEEDED = (CARD, WEIGHTS, ARCHITECTURE, RECIPE, RESULTS, METRICS, CURVES)
PART = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
)  # the Hub's own rule, and no hidden names
REVISION = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_./-]{0,198}[A-Za-z0-9_])?")  # branch, tag or commit

COMMON_LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "cc0-1.0", "other")
# https://huggingface.co/docs/hub/repositories-licenses, without those of single models.
LICENSES = (
    *COMMON_LICENSES,
    "afl-3.0", "agpl-3.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear",
    "bsl-1.0", "bigscience-openrail-m", "c-uda", "cc", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-nc-2.0",
    "cc-by-nc-3.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cdla-permissive-1.0",
    "cdla-permissive-2.0", "cdla-sharing-1.0", "creativeml-openrail-m", "ecl-2.0", "epl-1.0", "epl-2.0",
    "etalab-2.0", "eupl-1.1", "eupl-1.2", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "isc", "lgpl", "lgpl-2.1",
    "lgpl-3.0", "lgpl-lr", "lppl-1.3c", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "openrail",
    "openrail++", "osl-3.0", "pddl", "postgresql", "unlicense", "wtfpl", "zlib",
)  # fmt: skip


def check_repository(name: str) -> str:
    """The name of a repository, as it is.

    Raises:
        ConfigError: it is none: a user or an organization, a slash, and a name.
    """
    parts = name.split("/")
    fits = len(parts) == 2 and all(PART.fullmatch(part) and ".." not in part for part in parts)
    if not fits or "--" in name or name.endswith(".git") or len(name) > 96:
        raise ConfigError(
            f"{name!r} is not the name of a repository: USER/NAME is expected, as in alice/flowers, of "
            "letters, "
            "digits, hyphens, underscores and dots, 96 at most"
        )
    return name


def is_repository(place: str) -> bool:
    """True of what can only be a repository: its name, where no file or folder of this name is there."""
    try:
        check_repository(place)
    except ConfigError:
        return False
    return not Path(place).exists()


def check_revision(revision: str) -> str:
    """A branch, a tag or a commit, as it is.

    Raises:
        ConfigError: it is none.
    """
    if not REVISION.fullmatch(revision) or ".." in revision or "//" in revision:
        raise ConfigError(f"--revision {revision!r}: a branch, a tag or a commit is expected")
    return revision


def check_license(license_: str | None, link: str | None) -> None:
    """Refuses what names no licence of weights.

    Raises:
        ConfigError: it is missing, the Hub does not know it, or it is another one without a link to its text.
    """
    common = ", ".join(COMMON_LICENSES)
    if license_ is None:
        raise ConfigError(
            f"--license is missing: under which licence may others use these weights? Common ones are "
            f"{common}; "
            "the licence of the images may bind you"
        )
    if license_ not in LICENSES:
        near = suggestion(license_, LICENSES)
        raise ConfigError(
            f"--license {license_!r}: the Hub knows no such licence; common ones are {common}{near}"
        )
    if license_ == "other" and link is None:
        raise ConfigError("--license other: --license-link has to say where its text is: a URL")
    if link is not None and license_ != "other":
        raise ConfigError(f"--license-link: the text of {license_} is known; it goes with --license other")
    if link is not None and not re.fullmatch(r"https?://[^\s<>()\"'`\\]+", link):
        raise ConfigError(f"--license-link {link!r}: a URL is expected, as https://example.org/license")
