"""Every command that writes where it is told refuses alike to replace a file unasked."""

from pathlib import Path

import pytest
from conftest import Nas
from small_files import ARCHITECTURE

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.output_files import PNG, refuse_existing, refuse_other_kind, writing


def test_a_file_that_exists_is_refused_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    there, new = tmp_path / "there.yaml", tmp_path / "new.yaml"
    there.write_text("mine")
    refuse_existing(new, None, force=False)
    refuse_existing(new, there, force=True)
    with pytest.raises(ConfigError, match=r"there\.yaml: this file exists; choose another -o, or replace it"):
        refuse_existing(new, there, force=False)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_is_never_replaced_by_a_file(tmp_path: Path, force: bool) -> None:
    with pytest.raises(ConfigError, match="this is a folder; name a file in it with -o"):
        refuse_existing(tmp_path, force=force)


def test_a_place_where_no_file_can_be_made_is_refused_before_there_is_one_to_write(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    with pytest.raises(ConfigError, match=r"there/a/b\.yaml: there is a file; choose another -o"):
        refuse_existing(tmp_path / "there" / "a" / "b.yaml", force=True)
    refuse_existing(tmp_path / "new" / "a" / "b.yaml", force=False)  # its folders are made


def test_only_a_file_of_the_same_kind_is_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for content in (None, b"", PNG + b"more"):
        if content is not None:
            path.write_bytes(content)
        refuse_other_kind(path, beginning=PNG, kind="PNG")
    path.write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"a\.png: this file is no PNG; choose another -o"):
        refuse_other_kind(path, beginning=PNG, kind="PNG")


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (("export", "net.yaml", "-o", "there.json"), "there.json"),
        (("import", "tf_efficientnet_b0", "--from", "timm", "-o", "there.yaml"), "there.yaml"),
        (
            ("import", "tf_efficientnet_b0", "--from", "timm", "--weights", "w.pth", "-o", "w.safetensors"),
            "w.safetensors",
        ),
        (("predict", "w.safetensors", ".", "-o", "there.csv"), "there.csv"),
        (("scale", "efficientnet-b0", "--phi", "1", "-o", "."), "efficientnet-b0-phi1.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_every_command_refuses_in_the_same_words(
    arguments: tuple[str, ...], file: str, nas: Nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(ARCHITECTURE)
    (tmp_path / file).write_text("mine")
    code, _, said = nas(*arguments)
    assert (code, said) == (2, f"{file}: this file exists; choose another -o, or replace it with --force\n")
    assert (tmp_path / file).read_text() == "mine"


def test_writing_makes_the_folder_and_names_the_file_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "a.txt"
    with writing(file):
        file.write_text("a")
    assert file.read_text() == "a"
    below_a_file = r"a\.txt/b: cannot be written: (Not a directory|File exists)"
    with pytest.raises(ConfigError, match=below_a_file), writing(file / "b"):
        pass
    words = r"a\.txt: cannot be written: the library's own words"
    with pytest.raises(ConfigError, match=words), writing(file):
        raise OSError("the library's own words")  # some libraries give no number of an error
