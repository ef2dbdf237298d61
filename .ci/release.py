"""make release: checks what a release says of itself, builds wheel and sdist, and checks what is in them.

Nothing is published: the commands that do it are printed.
"""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("search_spaces", "trials", "analysis", "nas")
OTHERS = ("pyproject.toml", "README.md", "LICENSE")  # that the build reads
SAME = {"title": "name", "abstract": "description", "version": "version", "license": "license"}
BUILD = (  # the backend replaces sys.argv
    "import sys; from setuptools import build_meta; folder = sys.argv[1]; "
    "build_meta.build_sdist(folder); build_meta.build_wheel(folder)"
)


def project(source: Path = REPOSITORY) -> dict[str, Any]:
    """The project's table of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    return found


def packaged_files(source: Path = REPOSITORY) -> set[str]:
    """All files of the packages, by their paths in the repository."""
    found = (path for package in PACKAGES for path in (source / package).rglob("*") if path.is_file())
    paths = (path.relative_to(source).as_posix() for path in found)
    return {path for path in paths if "__pycache__" not in path and not path.endswith(".pyc")}


def metadata_faults(source: Path = REPOSITORY) -> list[str]:
    """Differences between CITATION.cff and pyproject.toml."""
    cited, told = yaml.safe_load((source / "CITATION.cff").read_text()), project(source)
    return [
        f"CITATION.cff: {key} is {cited.get(key)!r}, and pyproject.toml has {told[name]!r}"
        for key, name in SAME.items()
        if str(cited.get(key)) != told[name]
    ]


def changelog_faults(source: Path = REPOSITORY) -> list[str]:
    """A fault where the changelog's first section is not this version's, with its date."""
    version = project(source)["version"]
    (heading,) = re.findall(r"^## (.*)$", (source / "docs" / "changelog.md").read_text(), flags=re.M)[:1]
    if re.fullmatch(rf"{re.escape(version)}, \d{{4}}-\d\d-\d\d", heading):
        return []
    return [f"docs/changelog.md: the first section is '{heading}'; expected '{version}, YYYY-MM-DD'"]


def git_faults(source: Path = REPOSITORY) -> list[str]:
    """Faults where something is not committed, or the version has its tag already."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=source, capture_output=True, text=True, check=True).stdout

    tag = f"v{project(source)['version']}"
    faults = ["git: there are changes that are not committed"] if git("status", "--porcelain").strip() else []
    return [*faults, f"git: there is a tag {tag} already"] if git("tag", "--list", tag).strip() else faults


def build(into: Path, source: Path = REPOSITORY) -> tuple[Path, Path]:
    """Builds sdist and wheel into a folder, in a copy of the files, without network; returns both.

    Raises:
        subprocess.CalledProcessError: the build has failed.
    """
    into = into.absolute()
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in (*sorted(packaged_files(source)), *OTHERS):
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, Path(folder) / name)
        command = [sys.executable, "-c", BUILD, str(into)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    name = f"{project(source)['name'].replace('-', '_')}-{project(source)['version']}"
    return into / f"{name}.tar.gz", into / f"{name}-py3-none-any.whl"


def files_of(distribution: Path) -> set[str]:
    """The files of a wheel or an sdist, without the sdist's outermost folder."""
    if distribution.suffix == ".whl":
        with zipfile.ZipFile(distribution) as wheel:
            return set(wheel.namelist())
    with tarfile.open(distribution) as sdist:
        return {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}


def main() -> None:
    """Checks, builds, checks again, and says how to publish."""
    faults = [*metadata_faults(), *changelog_faults(), *git_faults()]
    if faults:
        sys.exit("not released:\n" + "\n".join(f"  {fault}" for fault in faults))
    sdist, wheel = build(REPOSITORY / "dist")
    for distribution in (sdist, wheel):
        if missing := sorted(packaged_files() - files_of(distribution)):
            sys.exit(f"{distribution}: not in it: {', '.join(missing)}")
        print(f"{distribution.relative_to(REPOSITORY)}   {distribution.stat().st_size / 1e6:.1f} MB")
    tag = f"v{project()['version']}"
    print(f"next:  make test && git tag {tag} && git push origin {tag} && twine upload {sdist} {wheel}")


if __name__ == "__main__":
    main()
