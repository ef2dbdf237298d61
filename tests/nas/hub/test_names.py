"""Names of repositories, revisions and licences; names of others in Markdown."""

from dataclasses import replace

import pytest

from nas.hub.markdown import code, fenced, plain
from nas.hub.names import (
    COMMON_LICENSES,
    LICENSES,
    check_license,
    check_repository,
    check_revision,
)
from nas.hub.shown_places import dataset_of, shown_architecture, shown_run, shown_source, shown_weights
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.training.weights_file import WeightsFile


@pytest.mark.parametrize("name", ["alice/flowers", "My_Org/net-v2.1", "a/b"])
def test_names_of_repositories_are_taken_as_they_are(name: str) -> None:
    assert check_repository(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "flowers", "alice/", "/flowers", "a/b/c", "alice/..", "../flowers", "alice/.hidden", "alice/a..b",
        "alice/a--b", "alice/net.git", "alice/-net", "alice/net.", "alice/n t", "alice/n\n", "alice/%2e%2e",
        "https://huggingface.co/alice/flowers", "alice/" + "n" * 97, "ali\u0441e/flowers",
    ],
)  # fmt: skip
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not the name of a repository"):
        check_repository(name)


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/3", "a" * 40])
def test_branches_tags_and_commits_are_revisions(revision: str) -> None:
    assert check_revision(revision) == revision


@pytest.mark.parametrize("revision", ["", "../main", "a//b", "/main", "main/", "a b", "a\n"])
def test_other_revisions_are_refused(revision: str) -> None:
    with pytest.raises(ConfigError, match="--revision"):
        check_revision(revision)


def test_licences_are_lower_case_names_each_once() -> None:
    assert len(set(LICENSES)) == len(LICENSES)
    assert set(COMMON_LICENSES) <= set(LICENSES)
    for license_ in LICENSES:
        check_license(license_, "https://example.org/license" if license_ == "other" else None)


def test_a_link_to_a_licence_is_no_markup() -> None:
    with pytest.raises(ConfigError, match="a URL is expected"):
        check_license("other", "https://x.example/)[b](javascript:a")


def test_names_of_others_are_no_markup() -> None:
    assert plain("a|b*c_d`[e](f)<g>") == r"a\|b\*c\_d\`\[e\](f)\<g\>"
    assert plain("a\nb\x1b\u202e") == r"a\\nb\\x1b\\u202e"
    assert plain("www.x.example WWW.y") == r"www\.x.example WWW\.y"
    assert plain("a\u200bb\ufeff") == r"a\\u200bb\\ufeff"
    assert fenced("sh", "a\n```\nb") == "````sh\na\n```\nb\n````"
    assert plain("x" * 300) == "x" * 200 + "…"
    assert "|" not in code("a|b`c")
    assert code("a`b").count("`") == 2


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/home/alice/flowers/", "flowers"), ("s3://bucket/secret/flowers", "flowers"), ("digits", "digits"),
        ("hf://datasets/a/b", "hf://datasets/a/b"), ("C:\\data\\flowers", "flowers"), ("/", "images"),
        ("data/flowers", "flowers"), ("s3://my-bucket", "images"), ("s3://my-bucket/", "images"),
        ("https://user:key@host.example/x.zip?sig=SECRET#part", "x.zip"), ("a#1?.d/b#2", "b#2"),
        ("hf://datasets/a/b/x.parquet?token=SECRET", "hf://datasets/a/b/x.parquet"),
        ("zip://train::s3://my-bucket/a.zip", "a.zip"), ("zip://train::s3://my-bucket", "images"),
    ],
)  # fmt: skip
def test_sources_are_named_without_their_owners_folders(source: str, shown: str) -> None:
    assert shown_source(source) == shown


def test_provenance_and_facts_name_no_place_of_this_machine() -> None:
    architecture = read_yaml(Architecture, "efficientnet-b0")
    facts = {"data": {"source": "clients/alice/x"}, "run": "mine", "files": ["s3://b/c/d", "a/b"], "epoch": 3}
    told = shown_weights(WeightsFile(architecture, {}, facts)).facts
    assert told == {"data": {"source": "x"}, "run": "mine", "files": ["d", "a/b"], "epoch": 3}
    assert shown_architecture(architecture).without_provenance() == architecture.without_provenance()


def test_names_of_classes_that_look_like_paths_stay_as_they_are() -> None:
    classes = ["/m/01", "/m/02", "/a/x", "/b/x", "s3://c/d", "~/e"]
    architecture = replace(
        read_yaml(Architecture, "efficientnet-b0"),
        provenance={"run": "/home/alice/runs/mine", "timm": "clients/net.json", "data": {"classes": classes}},
    )
    told = shown_weights(WeightsFile(architecture, {}, {"classes": classes, "data": {"classes": classes}}))
    assert told.facts == {"classes": classes, "data": {"classes": classes}}
    shown = {"run": "mine", "timm": "net.json", "data": {"classes": classes}}
    assert shown_architecture(architecture).provenance == shown


@pytest.mark.parametrize(("name", "shown"), [("a/b/mine", "mine"), ("..", "a run"), ("s3://b/r/x", "x")])
def test_runs_are_named_by_their_last_name(name: str, shown: str) -> None:
    assert shown_run(name) == shown


@pytest.mark.parametrize(
    ("source", "dataset"),
    [
        ("hf://datasets/u/n", "u/n"), ("hf://datasets/u/n@main/x.parquet", "u/n"),
        ("hf://datasets/u/n@refs/convert/parquet/x", "u/n"), ("hf://datasets/mnist", "mnist"),
        ("hf://datasets/mnist@main/train", "mnist"), ("hf://datasets/mnist/data.parquet", "mnist"),
        ("hf://datasets/mnist/*.parquet", "mnist"), ("hf://datasets/u/n m", None), ("hf://u/n", None),
        ("digits", None), ("/data/hf", None),
    ],
)  # fmt: skip
def test_sets_of_the_hub_are_named_by_valid_names_without_revisions(source: str, dataset: str | None) -> None:
    assert dataset_of(source) == dataset
