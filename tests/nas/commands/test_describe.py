"""nas describe of spaces: the documents' example as it is printed, limits that nothing keeps, exports."""

import json
from pathlib import Path

import pytest
from conftest import Nas
from documents import DOCS, fenced

from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml


@pytest.fixture
def printed_space(tmp_path: Path) -> str:
    """The example space of docs/search_file.md, in the file that it names itself."""
    text = (DOCS / "search_file.md").read_text(encoding="utf-8")
    (example,) = [block for block in fenced(text, "yaml") if block.startswith("# my_space.yaml")]
    (tmp_path / "my_space.yaml").write_text(example)
    return "my_space.yaml"


def test_the_documents_space_is_described_and_searched_at_its_size(nas: Nas, printed_space: str) -> None:
    code, out, _ = nas("describe", printed_space, "--resolution", "64", "--classes", "10", "--json")
    assert code == 0
    figures = json.loads(out)
    assert figures["nothing_fits"] is None
    assert 0.5 < figures["share_within_limits"] < 1
    space = read_yaml(SearchSpace, Path(printed_space))
    drawn = space.choice_space(num_classes=10, resolution=64)
    assert drawn.num_options == space.num_options


def test_a_space_whose_limits_nothing_keeps_is_described_and_says_what_to_ask(
    nas: Nas, printed_space: str
) -> None:
    code, out, err = nas("describe", printed_space)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert "no architecture is within those on params and macs at 224 px with 1,000 classes" in said
    assert "macs at most 50,000,000, the fewest possible are 124,276,992" in said
    assert "with --resolution and --classes" in said
    figures = json.loads(nas("describe", printed_space, "--json")[1])
    assert figures["share_within_limits"] == 0
    assert figures["nothing_fits"].startswith("macs at most 50,000,000")


def test_a_described_space_says_where_its_winner_can_go(nas: Nas) -> None:
    out = nas("describe", "photos")[1]
    assert "its winner exports to timm, torchvision; to automl with --padding same" in out
    exports = json.loads(nas("describe", "photos", "--json")[1])["exports"]
    assert exports[1] == {"project": "automl", "networks": "all", "padding": "same", "reason": None}
    assert "exports to none of timm, automl, torchvision: stem_stride: 1" in nas("describe", "cifar")[1]
