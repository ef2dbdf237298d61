"""Whatever is written into a file of ours: it becomes an object, or is refused by place."""

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.search.config import SearchConfig, read_search_config
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, read_yaml, to_mapping, yaml_text
from trials.recipe import Recipe

WHOLE: dict[type, Any] = {
    SearchConfig: to_mapping(read_search_config("quick")),
    SearchSpace: to_mapping(read_yaml(SearchSpace, "wide")),
    Architecture: to_mapping(read_yaml(Architecture, "efficientnet-b0")),
    Recipe: to_mapping(read_yaml(Recipe, "proxy_imagenet")),
}

Path_ = tuple[str | int, ...]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10),
    st.sampled_from([10**9, 10**30, -(10**30), 2**63, 0.5, -0.5, 1e308, math.nan, math.inf, -math.inf]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["mbconv", "evolution", "tiny", "../../etc/passwd", "digits", "1e5", "null", "\x00", "é"]
    ),
    st.dates(),  # text, once written
    st.binary(max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.one_of(st.text(max_size=6), st.integers(0, 3), st.sampled_from(["name", "op"])),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Every place in a mapping, the whole of it included."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from places(item, (*path, i))


def replaced(whole: Any, path: Path_, value: Any) -> Any:
    """The whole with another value there; what lies beside the path is shared."""
    if not path:
        return value
    first, *rest = path
    result = copy.copy(whole)
    result[first] = replaced(whole[first], tuple(rest), value) if rest else value
    return result


def without(whole: Any, path: Path_) -> Any:
    """The whole without the key there."""
    outside = at(whole, path[:-1])
    return replaced(whole, path[:-1], {key: item for key, item in outside.items() if key != path[-1]})


def at(whole: Any, path: Path_) -> Any:
    for step in path:
        whole = whole[step]
    return whole


def made_or_refused(make: Callable[[], Any]) -> tuple[Any, str | None]:
    """What is made, or what is said if it is refused. Any other exception fails the test."""
    try:
        return make(), None
    except ConfigError as error:
        return None, str(error)


def check(cls: type, mapping: Any) -> None:
    """An object that survives being written and read, or messages that name the file."""
    made, message = made_or_refused(lambda: from_mapping(cls, mapping, name="mine.yaml"))
    if message is None:
        assert from_mapping(cls, parse_yaml(yaml_text(made), name="again"), name="again") == made
    else:
        assert all(line.startswith("mine.yaml: ") for line in message.splitlines()), message
        assert len(message) < 4_000


@pytest.mark.parametrize("cls", WHOLE, ids=lambda cls: cls.__name__)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_in_any_place_of_a_file_is_taken_or_refused_by_place(
    cls: type, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(list(places(WHOLE[cls]))))
    check(cls, replaced(WHOLE[cls], path, data.draw(VALUES)))


@pytest.mark.parametrize("cls", WHOLE, ids=lambda cls: cls.__name__)
def test_every_key_that_is_left_out_has_a_default_or_is_missed_by_name(cls: type) -> None:
    for path in places(WHOLE[cls]):
        if path and isinstance(path[-1], str):
            check(cls, without(WHOLE[cls], path))


@pytest.mark.parametrize("cls", WHOLE, ids=lambda cls: cls.__name__)
def test_every_misspelt_key_is_refused_with_its_correction(cls: type) -> None:
    free = ("strategy", "reward", "se_ratio", "provenance")  # mappings with keys of their own
    for path in places(WHOLE[cls]):
        if not path or not isinstance(path[-1], str) or len(path[-1]) < 4 or set(free) & set(path[:-1]):
            continue
        place = (*path[:-1], path[-1] + "x")
        mapping = replaced(without(WHOLE[cls], path), place, at(WHOLE[cls], path))
        with pytest.raises(ConfigError, match=rf"'{path[-1]}x' is not a key here.*did you mean '"):
            from_mapping(cls, mapping, name="mine.yaml")


@settings(max_examples=50, deadline=None)
@given(
    text=st.one_of(st.text(max_size=60), st.sampled_from(["space: tiny\n", "a: &x [*x]\n", "? [a]\n: b\n"]))
)
def test_any_text_is_a_yaml_mapping_or_refused_with_the_files_name(text: str) -> None:
    made, message = made_or_refused(lambda: parse_yaml(text, name="mine.yaml"))
    if message is None:
        assert isinstance(made, dict)
    else:
        assert message.startswith("mine.yaml: ")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused_with_the_files_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^mine\.yaml: "):
        read_yaml(Architecture, path)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_any_override_is_taken_or_refused_by_place(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([place for place in places(WHOLE[SearchConfig]) if place]))
    value = data.draw(VALUES)
    text = ".".join(map(str, path)) + "=" + yaml.safe_dump(value, default_flow_style=True).strip()
    _, message = made_or_refused(lambda: read_search_config("quick", overrides=[text]))
    assert message is None or message.startswith(("quick.yaml: ", "--set ")), message
