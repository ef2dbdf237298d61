"""Projects that a space's winner can be exported to; and every network of the space for photos to them."""

from dataclasses import replace

import numpy as np
import pytest

import search_spaces.interchange.exportable as exportable_module
from search_spaces.choices.space import SearchSpace
from search_spaces.interchange.exportable import Exportable, exportable, exportable_words
from search_spaces.interchange.files import FORMATS, from_text, to_text
from search_spaces.networks.blocks import BLOCKS, MBConv
from search_spaces.settings.yaml_files import read_yaml

PHOTOS = read_yaml(SearchSpace, "photos")


@pytest.mark.parametrize("project", ["timm", "torchvision", "automl"])
def test_every_network_for_photos_is_expressed_and_read_back(project: str) -> None:
    space = PHOTOS if project != "automl" else replace(PHOTOS, padding="same")
    rng = np.random.default_rng(1)
    drawn = [tuple(rng.integers(space.num_options).tolist()) for _ in range(10)]
    for choices in (space.smallest(), space.largest(), *drawn):
        network = space.decode(choices)
        back = from_text(project, to_text(project, network), name=project).architecture
        assert back.architecture_id == network.architecture_id


def said(space: SearchSpace) -> dict[str, Exportable]:
    return {each.project: each for each in exportable(space)}


@pytest.mark.parametrize(
    ("padding", "words"),
    [
        ("symmetric", "its winner exports to timm, torchvision; to automl with --padding same"),
        ("same", "its winner exports to timm, automl; to torchvision with --padding symmetric"),
    ],
)
def test_the_other_padding_is_named_where_a_project_needs_it(padding: str, words: str) -> None:
    space = replace(PHOTOS, padding=padding)
    assert exportable_words(exportable(space)) == words
    assert {each.networks for each in exportable(space)} == {"all"}


def test_a_stem_of_stride_1_can_go_nowhere() -> None:
    found = exportable(replace(PHOTOS, stem_stride=1))
    assert {each.networks for each in found} == {"none"}
    assert "the stem of google/automl has stride 2" in str(
        said(replace(PHOTOS, stem_stride=1))["automl"].reason
    )
    expected = f"its winner exports to none of {', '.join(FORMATS)}: stem_stride: 1"
    assert exportable_words(found) == expected


def test_one_option_that_a_project_lacks_makes_it_some_and_a_fixed_one_none() -> None:
    """No squeeze-excite in a stage's MBConv: torchvision has none without."""
    last = PHOTOS.stages[-1]
    some = said(replace(PHOTOS, stages=(*PHOTOS.stages[:-1], replace(last, se_ratio=(0.25, 0.0)))))
    assert some["torchvision"].networks == "some"
    assert "stage 6" in str(some["torchvision"].reason)
    fixed = replace(last, op=("mbconv",), se_ratio=(0.0,))
    none = said(replace(PHOTOS, stages=(*PHOTOS.stages[:-1], fixed)))
    assert (none["timm"].networks, none["torchvision"].networks) == ("all", "none")
    assert exportable_words(list(none.values())).startswith(
        "its winner exports to timm; to automl with --padding same; not to torchvision: stage 6"
    )


def test_channels_that_a_project_rounds_are_the_reason_whatever_the_padding() -> None:
    """google/automl refuses symmetric padding, too, but another padding would not help."""
    found = said(replace(PHOTOS, stem_channels=12))["automl"]
    assert found.networks == "none"
    assert found.padding is None
    assert "rounds 12 channels" in str(found.reason)


def test_a_space_with_an_own_op_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(MBConv):
        pass

    monkeypatch.setitem(BLOCKS, "mbconv", Mine)
    some = exportable(PHOTOS)
    assert {each.networks for each in some} == {"some"}  # those of Fused-MBConv alone
    assert exportable_words(some).startswith(
        "its winner exports to timm, torchvision unless refused (mbconv)"
    )
    first = replace(PHOTOS.stages[0], op=("mbconv",))
    found = exportable(replace(PHOTOS, stages=(first, *PHOTOS.stages[1:])))
    assert {each.networks for each in found} == {"none"}
    assert all("mbconv: an op of your own" in str(each.reason) for each in found)
    assert "mbconv" in exportable_words(found)


def test_a_space_of_very_many_blocks_is_drawn_from_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Covering thousands of blocks would take minutes at the start of a search."""
    expected = exportable(PHOTOS)
    many = tuple(replace(stage, channels=tuple(range(16, 96, 8))) for stage in PHOTOS.stages)
    monkeypatch.setattr(exportable_module, "covering_networks", lambda *_, **__: pytest.fail("covered"))
    assert exportable(replace(PHOTOS, stages=many)) == expected
