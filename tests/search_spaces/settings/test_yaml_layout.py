"""Text that YAML would read as something else is written so that it is read back."""

from dataclasses import replace

import pytest

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, read_yaml, yaml_text


@pytest.mark.parametrize("key", ["?", "??", "?;", "?>", "? a", "-", "- a", "a?"])
def test_keys_that_begin_with_an_indicator_survive_yaml(key: str) -> None:
    architecture = replace(read_yaml(Architecture, "efficientnetv2-s"), provenance={key: "", "list": [key]})
    text = yaml_text(architecture)
    back = from_mapping(Architecture, parse_yaml(text, name="x.yaml"), name="x.yaml")
    assert back.provenance == architecture.provenance
