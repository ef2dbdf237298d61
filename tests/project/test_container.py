"""The container and the hooks, as far as no engine is needed: what they say is there, and safe."""

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import REPOSITORY


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and what stands behind them, lines that go on joined."""
    lines = [
        line for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if not line.startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, _, rest in found]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, its FROM first."""
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def values(name: str, among: list[tuple[str, str]]) -> list[str]:
    return [rest for other, rest in among if other == name]


KNOWN = {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "LABEL", "USER", "ENTRYPOINT", "CMD"}


def test_dockerfile_pins_its_images_and_hides_no_failing_command() -> None:
    assert {name for name, _ in instructions()} <= KNOWN  # no ADD, no MAINTAINER
    built, final = stages()
    for base in (values("FROM", built)[0], values("FROM", final)[0]):
        image = base.split()[0]
        assert ":" in image
        assert "latest" not in image
    assert not values("ARG", final)
    assert len([name for name, _ in final if name in ("RUN", "COPY")]) <= 3  # layers of the image
    assert all(folder.startswith("/") for stage in stages() for folder in values("WORKDIR", stage))
    for command in values("RUN", built + final):
        assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0, command
        assert "sudo" not in command
        if "apt-get" in command:
            assert "--no-install-recommends" in command
            assert "rm -rf /var/lib/apt/lists/*" in command
        assert "|" not in re.sub(r"\|\|", "", command), "a pipe hides the first command's failure"
    assert "PIP_NO_CACHE_DIR=1" in values("ENV", built)[0]


def test_container_runs_nas_and_not_as_root() -> None:
    final = stages()[-1]
    assert values("USER", final) == ["nas"]
    names = [name for name, _ in final]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "RUN" not in names[names.index("USER") :]
    assert json.loads(values("ENTRYPOINT", final)[0]) == ["nas"]
    assert json.loads(values("CMD", final)[0]) == ["--help"]


def test_container_has_a_variant_for_cpus_and_one_for_gpus() -> None:
    built = stages()[0]
    assert "DEVICE=cpu" in values("ARG", built)
    (chooses,) = [command for command in values("RUN", built) if "$DEVICE" in command]
    script = re.search(r"case .*esac", chooses)
    assert script is not None
    said = {}
    for device in ("cpu", "cuda", "tpu"):
        told = 'pip() { echo "pip $*"; }; grep() { echo torch; }; '
        told += f"DEVICE={device}; CPU_INDEX=cpus; {script[0]}"
        done = subprocess.run(["sh", "-c", told], capture_output=True, text=True, check=False)
        said[device] = (done.returncode, done.stdout.strip())
    assert said["cpu"] == (0, "pip install torch --index-url cpus")
    assert said["cuda"] == (0, "pip install torch nvidia-ml-py>=12.535")
    assert said["tpu"] == (2, "")
    extras = (REPOSITORY / "pyproject.toml").read_text()
    assert "nvidia-ml-py>=12.535" in extras  # the same as the extra's


def test_container_installs_the_projects_own_requirements(tmp_path: Path) -> None:
    import tomllib

    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    (command,) = [c for c in values("RUN", stages()[0]) if "tomllib" in c]
    first = command.split(" && ")[0].replace("python ", f"{shlex.quote(sys.executable)} ", 1)
    assert subprocess.run(["sh", "-c", first], cwd=tmp_path, check=False).returncode == 0
    expected = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    assert (tmp_path / "requirements.txt").read_text().splitlines() == expected
    (torch,) = [line for line in expected if line.startswith("torch")]  # what grep '^torch' finds
    assert torch.startswith("torch>=")


def copied() -> list[str]:
    """What the build takes of the repository."""
    words = [rest.split() for rest in values("COPY", stages()[0]) if "--from" not in rest]
    return [source for parts in words for source in parts[:-1]]


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a path through: the last line that fits decides."""
    sent = True
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if not line or line.startswith("#"):
            continue
        plain = pattern.removeprefix("**/")
        names = [*Path(path).parts] if pattern.startswith("**/") else [Path(path).parts[0]]
        if any(fnmatch.fnmatch(name, plain) for name in names):
            sent = line.startswith("!")
    return sent


def test_build_context_has_what_the_dockerfile_copies_and_nothing_private() -> None:
    assert all((REPOSITORY / name).exists() and is_sent(name) for name in copied())
    assert is_sent("nas/searches/quick.yaml")
    for name in (
        ".git/config",
        "tests/conftest.py",
        "runs/a/search.yaml",
        "docs/api.md",
        "nas/__pycache__/a.pyc",
    ):
        assert not is_sent(name)


@pytest.mark.skipif(
    find_spec("setuptools") is None or find_spec("pip") is None, reason="nothing to build with"
)
def test_files_copied_into_the_container_are_enough_to_install_and_run(tmp_path: Path) -> None:
    context, target = tmp_path / "src", tmp_path / "installed"
    context.mkdir()
    for name in copied():
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, context / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, context / name)
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--no-compile",
    ]
    done = subprocess.run(
        [*install, "--target", target, "."], cwd=context, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import nas; print(nas.__file__);"
        "from nas.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, target, "describe", "efficientnetv2-b0"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(target))
    assert "7,139,704 parameters" in done.stdout
    for file in ("nas/searches/quick.yaml", "trials/recipes/cifar10.yaml", "search_spaces/spaces/tiny.yaml"):
        assert (target / file).is_file()


# ---------------------------------------------------------------------- hooks

HOOKS: dict[str, Any] = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())


def test_pre_commit_hooks_are_local_and_name_files_that_exist() -> None:
    (repository,) = HOOKS["repos"]
    assert repository["repo"] == "local"
    hooks = repository["hooks"]
    assert len({hook["id"] for hook in hooks}) == len(hooks)
    for hook in hooks:
        assert hook["language"] == "system"
        words = shlex.split(hook["entry"])
        assert words[0] in ("ruff", "mypy", "python")
        assert all((REPOSITORY / word).exists() for word in words if word.startswith("tests/"))
        assert set(hook.get("stages", [])) <= {"pre-commit", "pre-push"}
    entries = " ".join(hook["entry"] for hook in hooks)
    assert all(command in entries for command in ("ruff check", "ruff format", "mypy"))  # as make lint
    pattern = next(hook["files"] for hook in hooks if "files" in hook)
    assert [bool(re.search(pattern, name)) for name in ("a.md", "Dockerfile", "nas/cli.py")] == [
        True,
        True,
        False,
    ]
