"""A network with an op of its maker's own is handed on without its code, and read only by consent."""

from pathlib import Path

import pytest
from conftest import Nas
from own_op_packages import forgotten, write_package

from nas.hub import names
from nas.hub.load import load
from search_spaces.networks.trusted import trust
from search_spaces.settings.config_error import ConfigError

ONE_EPOCH = ("epochs=1", "warmup_epochs=0", "num_training_stages=1", "resolution=16", "precision=fp32")


def test_an_own_op_is_named_on_the_card_and_imported_by_trust_alone(
    nas: Nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(tmp_path)
    options = [word for setting in ONE_EPOCH for word in ("--set", f"recipe.{setting}")]
    with forgotten():
        code, _, said = nas(
            "train", "net.yaml", "--data", "digits", "--run", "train", "--set", "data.fraction=0.2", *options,
            "--trust", "my_package",
        )  # fmt: skip
        assert code == 0, said
        words = ("export", "train", "--format", "card", "--license", "mit", "-o", "mine")
        code, _, said = nas(*words)
        assert code == 2
        assert not Path("mine").exists()
        code, _, said = nas(*words, "--trust", "my_package")
        assert code == 0, said
        card = Path("mine", names.CARD).read_text()
        assert "ops of its maker's own (my\\_package.blocks\\:" in card
        assert "timm cannot express it: " in card
        assert not Path("mine", names.TIMM).exists()
        assert not list(Path("mine").rglob("*.py"))
        trust(())
        with pytest.raises(ConfigError, match="it is imported, and so runs, only if you say"):
            load("mine")
        trust(("my_package",))
        assert not load("mine").training
