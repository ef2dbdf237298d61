"""The whole way: a search, its winner exported and scaled, trained in stages, evaluated and used."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from schema_files import validate
from typer.testing import CliRunner

from nas.cli import app
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.images.sources import Digits


def nas(*words: object) -> Any:
    """The JSON that a command prints, or its text."""
    found = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return validate(str(words[0]), found.stdout) if "--json" in words else found.stdout


def test_winner_of_a_search_is_exported_scaled_trained_evaluated_and_used(
    digits_search_file: Path, tmp_path: Path
) -> None:
    run, family, training = tmp_path / "run", tmp_path / "family", tmp_path / "training"
    found = nas(
        "search", digits_search_file, "--run", run, "--set", "budget.trials=4", "--in-process", "--json"
    )
    assert found["accuracy"] > 0.1

    nas("export", run, "-o", tmp_path / "winner.yaml")
    winner = read_yaml(Architecture, tmp_path / "winner.yaml")
    assert winner.architecture_id == found["architecture_id"]

    scaled = nas("scale", tmp_path / "winner.yaml", "--phi", "1", "-o", family, "--json")
    (member,) = scaled["members"]
    (file,) = family.glob("*.yaml")
    larger = read_yaml(Architecture, file)
    assert member["architecture_id"] == larger.architecture_id != winner.architecture_id
    assert member["params"] > scaled["base"]["params"]
    assert (family / "winner-phi1.png").stat().st_size > 5_000

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "epochs: 4\nbatch_size: 64\nflip: false\nnum_training_stages: 2\nresolution: {start: 12, end: 16}\n"
    )
    trained = nas("train", file, "--data", "digits", "--recipe", recipe, "--run", training, "--json")
    metrics = pd.read_parquet(training / "metrics.parquet")
    assert metrics["resolution"].tolist() == [12, 12, 16, 16]
    assert trained["accuracy"] == metrics["minival_accuracy"].max() > 0.3
    weights = training / "weights" / "best.safetensors"

    evaluated = nas("evaluate", weights, "--data", "digits", "--json")
    assert evaluated["images"] > 1_000
    assert evaluated["accuracy"] > 0.3

    digits = Digits()
    (tmp_path / "new").mkdir()
    for i, (_, pixels) in enumerate(digits.read(np.arange(40))):
        Image.fromarray(pixels).save(tmp_path / "new" / f"{i:02d}.png")
    said = nas("predict", weights, tmp_path / "new", "-o", tmp_path / "predicted.csv", "--json")
    assert (said["pictures"], said["unreadable"], said["others"]) == (40, 0, 0)
    predicted = pd.read_csv(tmp_path / "predicted.csv").sort_values("path")
    assert (predicted["prediction"].to_numpy() == digits.labels[:40]).mean() > 0.3
