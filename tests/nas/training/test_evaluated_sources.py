"""Images that are only evaluated or predicted: one class is enough, and every file has a row or a reason."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Nas
from pictures import encoded, write_folder, write_parquet
from small_networks import SMALL

from nas.training.config import TrainingConfig
from nas.training.evaluation import evaluate_images, labelled_images
from nas.training.prediction import predict_folder, write_predictions
from nas.training.start import images_to_test
from search_spaces.networks.network import build_network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.images.config import DataConfig
from trials.recipe import Recipe
from trials.training.weights_file import (
    WeightsFile,
    load_tensors,
    load_weights,
    save_tensors,
    save_weights,
)

pytestmark = pytest.mark.usefixtures("as_a_worker")


@pytest.fixture
def weights(tmp_path: Path) -> WeightsFile:
    """Untrained weights for cats, cows and dogs."""
    torch.manual_seed(0)
    network = build_network(SMALL, num_classes=3)
    path = tmp_path / "w.safetensors"
    save_weights(path, network, SMALL, num_classes=3, classes=["cat", "cow", "dog"], resolution=16)
    return load_weights(path)


@pytest.mark.parametrize(("per_class", "classes"), [(12, ("cow",)), (1, ("cat", "dog")), (1, ("dog",))])
def test_one_class_or_one_image_of_a_class_is_evaluated(
    per_class: int, classes: tuple[str, ...], weights: WeightsFile, tmp_path: Path
) -> None:
    source = write_folder(tmp_path / "few", per_class=per_class, classes=classes)
    found = evaluate_images(weights, labelled_images(str(source), weights, resolution=16))
    assert found.images == per_class * len(classes)
    rows = [i for i, name in enumerate(("cat", "cow", "dog")) if name in classes]
    assert found.confusion.sum(axis=1)[rows].tolist() == [per_class] * len(classes)


def test_classes_that_a_source_only_names_need_not_be_known(weights: WeightsFile, tmp_path: Path) -> None:
    names = '["eel", "dog", "fly", "cat"]'
    source = write_parquet(
        tmp_path / "a.parquet", count=20, labels=[1, 3] * 10, metadata={"class_names": names}
    )
    images = labelled_images(str(source), weights, resolution=16)
    assert images.labels.tolist() == [2, 0] * 10
    other = write_parquet(
        tmp_path / "b.parquet", count=20, labels=[1, 2] * 10, metadata={"class_names": names}
    )
    with pytest.raises(ConfigError, match="'fly' is none of cat, cow, dog"):
        labelled_images(str(other), weights, resolution=16)


def test_weights_that_do_not_name_their_classes_take_numbers_for_theirs(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, build_network(SMALL, num_classes=8), SMALL, num_classes=8, resolution=16)
    weights = load_weights(path)
    source = write_parquet(tmp_path / "a.parquet", count=20, labels=[2, 7] * 10)
    assert labelled_images(str(source), weights, resolution=16).labels.tolist() == [2, 7] * 10
    other = write_parquet(tmp_path / "b.parquet", count=20, labels=[2, 8] * 10)
    for few in (other, write_folder(tmp_path / "animals")):
        with pytest.raises(ConfigError, match=r"has \d classes, and these weights, which do not name theirs"):
            labelled_images(str(few), weights, resolution=16)
    as_many = write_folder(tmp_path / "eight", per_class=2, classes=tuple("abcdefgh"))
    assert evaluate_images(weights, labelled_images(str(as_many), weights, resolution=16)).images == 16


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"classes": 5}, "classes are no names of 3 classes"),
        ({"classes": [1, 2, 3]}, "classes are no names"),
        ({"classes": ["cat", "cow"]}, "classes are no names"),
        ({"classes": ["cat", "cat", "dog"]}, "classes are no names"),
        ({"num_classes": -1}, "num_classes is -1"),
        ({"num_classes": 10**9, "classes": None}, "not those of its architecture and 1,000,000,000 classes"),
        ({"resolution": "large"}, "resolution is no number of pixels"),
        ({"resolution": 10**7}, "resolution is no number of pixels"),
    ],
)
def test_weights_whose_facts_are_not_those_of_their_tensors_are_refused(
    facts: dict[str, object], words: str, weights: WeightsFile, tmp_path: Path
) -> None:
    """With a checksum that is right: anybody can compute it."""
    tensors, written = load_tensors(tmp_path / "w.safetensors")
    save_tensors(tmp_path / "odd.safetensors", tensors, {**written, **facts})
    with pytest.raises(ConfigError, match=f"odd.safetensors: contradicts itself: .*{words}"):
        load_weights(tmp_path / "odd.safetensors")


def test_no_name_of_images_is_refused(weights: WeightsFile) -> None:
    with pytest.raises(ConfigError, match="data: names no images"):
        labelled_images("", weights, resolution=16)


def test_every_file_of_a_folder_has_a_prediction_or_a_reason(weights: WeightsFile, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    for name, kind in (("a.gif", "GIF"), ("b.tiff", "TIFF"), ("c [1].PNG", "PNG"), ("below/d.jfif", "JPEG")):
        (folder / name).write_bytes(encoded(1, kind=kind))
    (folder / "e.png").write_bytes(b"junk")
    (folder / "notes.txt").write_text("text")
    (folder / "film").write_bytes(b"film")
    (folder / ".hidden.png").write_bytes(encoded(1))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "g.png").write_bytes(encoded(3))
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(encoded(2))
    frame = predict_folder(weights, folder, resolution=16)
    reasons = dict(zip(frame.path, frame.error, strict=True))
    read = {path for path, reason in reasons.items() if pd.isna(reason)}
    assert read == {"a.gif", "b.tiff", "c [1].PNG", "below/d.jfif", "linked/g.png", r"caf\xe9.png"}
    assert reasons["gone.png"] == "the file is gone"
    assert reasons["e.png"] == "not a picture"
    assert reasons["notes.txt"] == "not read: .txt"
    assert reasons["film"] == "not read: no suffix"
    for name in ("out.parquet", "out.csv"):
        write_predictions(frame, tmp_path / name)
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == len(pd.read_csv(tmp_path / "out.csv")) == 10


NAMES = ("NA", "a b", 'say "x"', "a,b", "=1+1", "two\nlines", " lead", "007", "a\rb", "a\x00b", "caf\udce9")


@pytest.mark.parametrize("names", [NAMES, NAMES[:2]], ids=["many", "two"])
def test_predictions_read_back_as_they_are_whatever_classes_are_called(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    network = build_network(SMALL, num_classes=len(names))
    save_weights(path, network, SMALL, num_classes=len(names), classes=list(names), resolution=16)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}, x.png").write_bytes(encoded(i))
    (folder / "junk.png").write_bytes(b"junk")
    frame = predict_folder(load_weights(path), folder, resolution=16)
    assert set(frame.top_classes[0]) <= {*names[:-1], r"caf\xe9", names[1]}
    for name in ("out.csv", "out.parquet"):
        write_predictions(frame, tmp_path / name)
    texts = ["path", "prediction", *(f"class_{i}" for i in range(1, 6)), "error"]
    read = pd.read_csv(tmp_path / "out.csv", keep_default_na=False, dtype=dict.fromkeys(texts, str))
    stored = pd.read_parquet(tmp_path / "out.parquet")
    assert list(read.path) == list(stored.path) == ["0, x.png", "1, x.png", "2, x.png", "junk.png"]
    assert list(read.prediction[:3]) == list(frame.prediction[:3])
    for row, classes, probabilities in zip(
        read.itertuples(), frame.top_classes[:3], frame.top_probabilities[:3], strict=False
    ):
        given = [getattr(row, f"class_{i}") for i in range(1, 6)]
        assert given == [*classes, *[""] * (5 - len(classes))]
        likely = [float(getattr(row, f"probability_{i}")) for i in range(1, len(classes) + 1)]
        assert likely == probabilities
    assert (read.class_1[3], read.probability_1[3], read.error[3]) == ("", "", "not a picture")
    assert list(map(list, stored.top_classes[:3])) == list(frame.top_classes[:3])


def test_what_was_read_otherwise_or_left_out_is_said(nas: Nas, weights: WeightsFile, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "animals")
    (source / "cat" / "0.png").write_bytes(b"junk")
    (source / "eel").mkdir()
    code, _, said = nas("evaluate", str(tmp_path / "w.safetensors"), "--data", str(source))
    assert code == 0
    assert "data: 1 folder is empty and no class: eel" in said
    assert "data: 1 of 36 pictures cannot be read: cat/0.png (not a picture); they are left out" in said


def test_class_folders_that_lie_deeper_are_named(weights: WeightsFile, tmp_path: Path) -> None:
    write_folder(tmp_path / "set" / "images")
    source = str(tmp_path / "set")
    with pytest.raises(ConfigError, match=rf"\(cat, cow, dog\), give {source}/images$"):
        labelled_images(source, weights, resolution=16)
    # A single class whose pictures lie in folders of its own is one class all the same.
    (tmp_path / "set" / "images").rename(tmp_path / "set" / "cow")
    assert labelled_images(source, weights, resolution=16).classes == ("cat", "cow", "dog")


def test_commands_without_a_search_file_name_their_own_options(
    nas: Nas, weights: WeightsFile, tmp_path: Path
) -> None:
    source = write_folder(tmp_path / "animals", per_class=1)
    (source / "cat" / "large.png").write_bytes(encoded(0, (65, 64)))
    words = ("evaluate", str(tmp_path / "w.safetensors"), "--data", str(source), "--max-pixels")
    reason = "large.png (65 x 64 px is too large: at most 4,096 px are read)"
    code, _, said = nas(*words, "4096")
    assert (code, "data." in said) == (0, False)
    assert f"1 of 4 pictures cannot be read: cat/{reason}; they are left out; --max-pixels raises the" in said
    assert "large" not in nas(*words, "4160")[2]
    for kept in source.rglob("[0-9]*.png"):
        kept.unlink()
    code, _, said = nas(*words, "4096")
    assert code == 2
    assert f"--data: 1 of 1 pictures cannot be read: cat/{reason}. Remove or replace them; --max-pix" in said
    output = str(tmp_path / "out.csv")
    code, _, said = nas("predict", words[1], str(source), "-o", output, "--max-pixels", "4096")
    assert "1 could not be read (column error); some are too large: --max-pixels raises the limit" in said
    said = nas("predict", words[1], str(source), "-o", output, "--force")[2]
    assert said == f"{output}: 1 picture\n"  # in a pipe no empty line, which a bar would leave
    (source / "notes.txt").write_text("text")
    said = nas("predict", words[1], str(source), "-o", output, "--force")[2]
    assert said == f"{output}: 1 picture; 1 file of other kinds (column error)\n"


def test_images_to_test_a_training_are_read_up_to_its_own_limit(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "animals", per_class=1)
    (source / "cat" / "large.png").write_bytes(encoded(0, (65, 64)))
    for limit, read in ((4096, 3), (4160, 4)):
        config = TrainingConfig(
            architecture=SMALL,
            data=DataConfig(source="digits", max_pixels=limit),
            recipe=read_yaml(Recipe, "proxy_digits"),
            test=str(source),
        )
        images = images_to_test(config, ("cat", "cow", "dog"), resolution=16)
        assert images is not None
        assert len(images.train) == read


def test_labels_of_images_with_several_are_mapped_to_the_order_of_the_weights(
    weights: WeightsFile, tmp_path: Path
) -> None:
    source = write_parquet(
        tmp_path / "a.parquet", count=20, labels=[["dog", "cat"], ["cow"]] * 10, images=None
    )
    images = labelled_images(str(source), weights, resolution=16)
    assert np.sort(images.labels[:2], axis=1).tolist() == [[0, 2], [-1, 1]]
