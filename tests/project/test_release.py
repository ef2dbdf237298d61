"""Wheel and sdist hold all packaged files; what a release says of itself agrees; the wheel works alone."""

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import time
import venv
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from places import PACKAGES, REPOSITORY

SCRIPT = REPOSITORY / ".ci" / "release.py"


def loaded() -> Any:
    """The script of `make release`, as a module."""
    spec = importlib.util.spec_from_file_location("release", SCRIPT)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release = loaded()


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist and the wheel of this tree."""
    return release.build(tmp_path_factory.mktemp("dist"))


def test_wheel_and_sdist_hold_every_file_of_the_packages(distributions: tuple[Path, Path]) -> None:
    expected = release.packaged_files()
    assert {path.partition("/")[0] for path in expected} == set(PACKAGES)
    assert {Path(path).suffix for path in expected} >= {
        ".py",
        ".yaml",
        ".cpp",
        ".h",
        ".html",
        ".ipynb",
        ".parquet",
    }
    for distribution in distributions:
        assert expected - release.files_of(distribution) == set(), distribution.name


def test_the_wheel_holds_nothing_else(distributions: tuple[Path, Path]) -> None:
    _, wheel = distributions
    others = release.files_of(wheel) - release.packaged_files()
    assert {path.partition("/")[0] for path in others} == {
        f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"
    }
    assert wheel.stat().st_size < 2_000_000


def test_the_same_wheel_is_built_from_the_sdist(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    sdist, wheel = distributions
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    _, again = release.build(tmp_path / "dist", source)
    assert contents(again) == contents(wheel)


def contents(wheel: Path) -> dict[str, bytes]:
    """The files in a wheel, by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_metadata_of_the_wheel_are_those_of_the_project(distributions: tuple[Path, Path]) -> None:
    project = release.project()
    files = contents(distributions[1])
    (name,) = (name for name in files if name.endswith(".dist-info/METADATA"))
    told = Parser().parsestr(files[name].decode())
    assert told["Name"] == project["name"]
    assert told["Version"] == project["version"]
    assert told["Summary"] == project["description"]
    assert told["License-Expression"] == project["license"]
    required = [word for word in told.get_all("Requires-Dist") or [] if "extra ==" not in word]
    assert len(required) == len(project["dependencies"])
    assert b"nas = nas.cli:main" in files[name.replace("METADATA", "entry_points.txt")]


def test_the_citation_agrees_with_the_project(tmp_path: Path) -> None:
    assert release.metadata_faults() == []
    cited = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()  # which its schema requires
    (tmp_path / "pyproject.toml").write_text((REPOSITORY / "pyproject.toml").read_text())
    (tmp_path / "CITATION.cff").write_text(
        (REPOSITORY / "CITATION.cff").read_text().replace("0.1.0", "0.0.9")
    )
    (fault,) = release.metadata_faults(tmp_path)
    assert fault == "CITATION.cff: version is '0.0.9', and pyproject.toml has '0.1.0'"


@pytest.mark.parametrize(
    ("heading", "is_right"),
    [("0.1.0, 2026-12-24", True), ("0.1.0, not released yet", False), ("0.2.0, 2026-12-24", False)],
)
def test_a_release_has_its_version_and_date_in_the_changelog(
    heading: str, is_right: bool, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    (tmp_path / "docs" / "changelog.md").write_text(
        f"# Changelog\n\n## {heading}\n\n- A.\n\n## 0.0.1, 2026-01-01\n"
    )
    assert (release.changelog_faults(tmp_path) == []) == is_right


def test_what_is_not_committed_or_has_its_tag_is_not_released(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        own = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *own, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    assert release.git_faults(tmp_path) == ["git: there are changes that are not committed"]
    git("add", ".")
    git("commit", "-q", "-m", "a")
    assert release.git_faults(tmp_path) == []
    git("tag", "v0.1.0")
    assert release.git_faults(tmp_path) == ["git: there is a tag v0.1.0 already"]


# ---------------------------------------------------------------------- the wheel alone


@pytest.fixture
def installed(distributions: tuple[Path, Path], tmp_path: Path) -> Path:
    """The `nas` of an environment that holds the wheel, and of this one only what the wheel depends on."""
    place = tmp_path / "empty"
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--no-compile",
    ]
    subprocess.run([*install, str(distributions[1])], check=True, capture_output=True, text=True)
    found = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    # A path in a .pth file is searched last, and .pth files there (of an editable install) are not read.
    (Path(found.stdout.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "nas"


def ran(nas: Path, folder: Path, *words: str) -> str:
    """Standard output of an installed command, in a folder outside the repository."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        [nas, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_wheel_has_its_spaces_recipes_and_published_networks(
    installed: Path, tmp_path: Path
) -> None:
    told = ran(installed, tmp_path, "describe", "efficientnetv2-s", "--json")
    assert json.loads(told)["params"] == 21_458_488
    where = subprocess.run(
        [installed.parent / "python", "-c", "import nas; print(nas.__file__)"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(installed.parents[1])


@pytest.mark.nightly
def test_a_first_search_runs_from_the_wheel_alone(installed: Path, tmp_path: Path) -> None:
    begun = time.time()
    found = json.loads(ran(installed, tmp_path, "search", "quick", "--run", "run", "--json"))
    seconds = time.time() - begun
    trials = pd.read_parquet(tmp_path / "run" / "trials.parquet")
    started, ended = (trials[name].min().timestamp() - begun for name in ("started_at", "finished_at"))
    print(
        f"first trial began after {started:.0f} s, one ended after {ended:.0f} s, all after {seconds:.0f} s"
    )
    assert found["trials"] == 24
    assert (tmp_path / "run" / "best.yaml").is_file()
    assert (tmp_path / "run" / "report.html").is_file()
