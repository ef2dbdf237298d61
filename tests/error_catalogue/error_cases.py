"""Wrong input of every kind, for the catalogue of messages: what lies in the folder, and what is typed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from old_runs import copy_old_run, make_later
from small_files import ARCHITECTURE, SEARCH, SPACE

Prepare = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """What is typed (after `nas`) in a folder with these files; `prepare` makes what text cannot."""

    name: str
    arguments: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    prepare: Prepare = lambda folder: None


def in_search(name: str, text: str) -> Case:
    """A search file with that text."""
    return Case(name, ("search", "mine.yaml"), {"mine.yaml": text})


def set_to(name: str, *overrides: str, file: str = "quick") -> Case:
    """A shipped search with values replaced."""
    options = [word for override in overrides for word in ("--set", override)]
    return Case(name, ("search", file, *options))


def in_space(name: str, old: str, new: str) -> Case:
    """A space file in which something is replaced."""
    assert old in SPACE, old
    return Case(name, ("describe", "space.yaml"), {"space.yaml": SPACE.replace(old, new)})


def in_architecture(name: str, old: str, new: str) -> Case:
    """An architecture file in which something is replaced."""
    assert old in ARCHITECTURE, old
    return Case(name, ("describe", "net.yaml"), {"net.yaml": ARCHITECTURE.replace(old, new)})


def _binary(folder: Path) -> None:
    (folder / "mine.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")


def _utf_16(folder: Path) -> None:
    (folder / "mine.yaml").write_text(SEARCH, encoding="utf-16")


def _huge(folder: Path) -> None:
    (folder / "mine.yaml").write_text("# " + "x" * (1 << 20) + "\n" + SEARCH)


def _folder(folder: Path) -> None:
    (folder / "mine.yaml").mkdir()


FILES = (
    Case("a search file that does not exist", ("search", "nowhere.yaml")),
    Case("a shipped search, misspelt", ("search", "cifar100")),
    Case("a folder for a file", ("search", "mine.yaml"), prepare=_folder),
    Case("a binary file", ("search", "mine.yaml"), prepare=_binary),
    Case("a file of a megabyte", ("search", "mine.yaml"), prepare=_huge),
    in_search("an empty file", ""),
    in_search("a list", "- space: tiny\n"),
    in_search("a word", "tiny\n"),
    in_search("broken YAML", "space: [tiny\n"),
    in_search("a tab for indentation", "data:\n\tsource: digits\n"),
    in_search("an alias", SEARCH + "seed: &a 1\n"),
    in_search("an alias of itself", "space: &a [*a]\n"),
    in_search("an object of Python", "space: !!python/object/apply:os.system [ls]\n"),
    in_search("a key twice", SEARCH + "space: cifar\n"),
    in_search("two documents", SEARCH + "---\n" + SEARCH),
    in_search("forty brackets", "space: " + "[" * 40 + "]" * 40 + "\n"),
    in_search("keys that are lists", "? [a, b]\n: c\n"),
    in_search("a space file that does not exist", SEARCH.replace("tiny", "my_space")),
    in_search("a space file that does not exist, like none shipped", SEARCH.replace("tiny", "myspace.yaml")),
    Case(
        "a broken space file, named by a search file",
        ("search", "mine.yaml"),
        {"mine.yaml": SEARCH.replace("tiny", "space"), "space.yaml": SPACE.replace("[3, 5]", "[3, 4]")},
    ),
    Case(
        "a broken reference of a space file, named by a search file",
        ("search", "mine.yaml"),
        {
            "mine.yaml": SEARCH.replace("tiny", "space"),
            "space.yaml": SPACE.replace("efficientnet-b0", "net"),
            "net.yaml": ARCHITECTURE.replace("mbconv", "mbcnov"),
        },
    ),
    Case(
        "a broken space file, named by an option",
        ("search", "quick", "--set", "space=space.yaml"),
        {"space.yaml": SPACE.replace("[3, 5]", "[3, 4]")},
    ),
    Case(
        "two files that name each other",
        ("search", "mine.yaml"),
        {
            "mine.yaml": SEARCH.replace("tiny", "space"),
            "space.yaml": SPACE.replace("efficientnet-b0", "mine"),
        },
    ),
    in_search("a colon that is missing", SEARCH.replace("baseline:", "baseline")),
    in_search("a percent sign", SEARCH.replace("-0.07", "-7%")),
    in_search("leading zeros", SEARCH.replace("trials: 12", "trials: 012")),
    in_search("typographic quotes", SEARCH.replace("digits}", "“digits”}")),
    in_search("a key in the wrong place", SEARCH.replace("budget: {trials: 12}", "trials: 12")),
    in_search("a space for a search", SPACE),
    Case("a file in UTF-16", ("search", "mine.yaml"), prepare=_utf_16),
)

SEARCHES = (
    set_to("a key misspelt", "bugdet={trials: 5}"),
    set_to("a key within a key misspelt", "data={source: digits, minval: 0.1}"),
    in_search("three keys missing", "space: tiny\nrecipe: proxy_digits\nbudget: {trials: 3}\n"),
    set_to("a strategy misspelt", "strategy=evolutoin"),
    set_to("a strategy's setting misspelt", "strategy.temprature=3"),
    set_to("a strategy's setting of another type", "strategy.temperature=many"),
    set_to(
        "a tournament larger than the population",
        "strategy={name: evolution, population: 4, tournament: 50}",
    ),
    set_to("a preset of a strategy misspelt", "strategy={name: policy_gradient, preset: mnasnet}"),
    set_to("a setting of a strategy out of range", "strategy={name: policy_gradient, learning_rate: 0}"),
    set_to("a predictor's temperature below zero", "strategy={name: predictor, temperature: -1}"),
    set_to("a model of fewer trials than it begins with", "strategy={name: predictor, rows: 5}"),
    set_to("a sampler without a beginning", "strategy={name: tpe, startup: 0}"),
    set_to("a generation of one", "strategy={name: nsga2, population: 1}"),
    set_to("an optimizer misspelt", "recipe.optimizer=adam"),
    set_to("a setting that the optimizer does not have", "recipe.optimizer=sgd", "recipe.epsilon=1e-8"),
    set_to("halving with a schedule that knows its end", "strategy=successive_halving"),
    set_to(
        "halving without averaged weights",
        "strategy=successive_halving",
        "recipe.schedule=constant",
        "recipe.averaging_decay=0",
    ),
    set_to(
        "a first rung within the warm-up",
        "strategy=successive_halving",
        "recipe.schedule=constant",
        "recipe.warmup_epochs=3",
    ),
    set_to(
        "halving with bounds",
        "strategy=successive_halving",
        "recipe.schedule=constant",
        "bound_stopping={}",
    ),
    set_to("halving of too few epochs", "strategy={name: successive_halving, min_epochs: 8}"),
    set_to("halving over itself", "strategy={name: successive_halving, over: successive_halving}"),
    set_to(
        "a setting of the strategy beneath of another type",
        "strategy={name: successive_halving, over: {name: predictor, temperature: abc}}",
    ),
    set_to(
        "a setting of the strategy beneath misspelt",
        "strategy={name: successive_halving, over: {name: evolution, popluation: 3}}",
    ),
    set_to("a reward of what is not measured", "reward.latency=-0.1"),
    set_to("an exponent out of range", "reward.params=-50"),
    set_to("an exponent that is text", "reward.params=low"),
    set_to("not a number", "reward.params=.nan"),
    set_to("infinity", "recipe.learning_rate=.inf"),
    set_to("a budget of nothing", "budget.trials=0"),
    set_to("a budget below zero", "budget.trials=-5"),
    set_to("a huge budget", "budget.trials=1000000000000000000000"),
    set_to("a fraction of a trial", "budget.trials=2.5"),
    set_to("two budgets", "budget.epochs=5"),
    set_to("no budget", "budget={}"),
    set_to("a baseline beyond the budget", "baseline=25"),
    set_to("a budget below the file's baseline", "budget.trials=3", "seed=1"),
    set_to("a share of minival of 1", "data.minival=1"),
    set_to("a negative seed", "seed=-1"),
    set_to("true for a number", "recipe.epochs=true"),
    set_to("an empty list of stages", "space.stages=[]"),
    set_to("an override without a value", "seed"),
    set_to("an override of an item that is not there", "space.stages[9].op=mbconv"),
    set_to("an override of a key that belongs elsewhere", "stages[0].op=mbconv"),
    set_to("an override of a key that belongs beside it", "data.epochs=3"),
    set_to("an override inside a number", "seed.low=3"),
    set_to("an override that is not YAML", "seed=[1"),
    set_to("a recipe misspelt", "recipe=proxy_digit"),
    set_to("zero epochs", "recipe.epochs=0"),
    in_search(
        "a warm-up that is longer than the training",
        SEARCH.replace(
            "proxy_digits",
            "\n  epochs: 8\n  batch_size: 64\n  resolution: 16\n  warmup_epochs: 20",
        ),
    ),
    set_to("more training stages than epochs", "recipe.num_training_stages=9"),
    set_to("a resolution below the smallest", "recipe.resolution=4"),
    set_to(
        "images smaller than the total stride",
        "data.source=digits",
        "recipe.resolution=16",
        file="efficientnetv2",
    ),
    set_to("timing at an impossible resolution", "timing.resolution=4"),
    set_to("predicted step times without a table", "step_time=predicted"),
    set_to("step times that are guessed", "step_time=guessed"),
    set_to("a table of block times that is not there", "step_time_table=nowhere.json"),
    Case(
        "a table of block times that is none",
        ("search", "quick", "--set", "step_time_table=table.json"),
        {"table.json": "[1, 2]"},
    ),
    set_to("limits that nothing meets", "space.limits.params=1000"),
    set_to("a limit of zero", "space.limits.macs=0"),
    set_to("a limit misspelt", "space.limits.parms=1000"),
    set_to("finalists of which there are none", "finalists={count: 0}"),
    set_to("finalists that train shorter than trials", "finalists={count: 2, epochs: 1}"),
    set_to("a lag of zero", "order={fixed_lag: 0}"),
    set_to("an order misspelt", "order=arival"),
    set_to("a precision of GPUs", "recipe.precision=tf32"),
    set_to("a precision of GPUs to time in", "timing.precision=fp16"),
    set_to("an objective that is none", "objective=recall"),
    set_to("class weights that are none", "recipe.class_weights=inverse"),
    set_to("an accuracy above 1", "bound_stopping={max_accuracy: 1.5}"),
    set_to("a warm start from no run", "warm_start=nothing"),
    Case("an initial architecture that is not there", ("search", "quick", "--init", "nosuch.yaml")),
    Case("an initial architecture of another space", ("search", "quick", "--init", "efficientnetv2-s")),
    Case(
        "an initial architecture of another stem, in a file",
        ("search", "mine.yaml"),
        {"mine.yaml": SEARCH + "initial: [net.yaml]\n", "net.yaml": ARCHITECTURE},
    ),
    in_search("a reward of what is not measured, in a file", SEARCH.replace("params", "parms")),
    Case(
        "limits of a space file that nothing fits",
        ("search", "mine.yaml", "--in-process"),
        {
            "mine.yaml": SEARCH.replace("tiny", "space"),
            "space.yaml": SPACE + "limits: {params: 1000}\n",
        },
    ),
    in_search("a table that is not there, in a file", SEARCH + "step_time_table: nothere.json\n"),
    in_search("a warm start from no run, in a file", SEARCH + "warm_start: runs/nothere\n"),
    in_search("images that are not there, in a file", SEARCH.replace("source: digits", "source: nothere")),
    Case(
        "images that are not there, to estimate",
        ("search", "mine.yaml", "--estimate"),
        {"mine.yaml": SEARCH.replace("source: digits", "source: nothere")},
    ),
    in_search("a beginning of uniform architectures beyond the budget", SEARCH.replace("baseline: 4\n", "")),
    in_search("predicted step times without a table, in a file", SEARCH + "step_time: predicted\n"),
    Case(
        "the second of two initial architectures is not there",
        ("search", "quick", "--init", "efficientnetv2-s", "--init", "nosuch.yaml"),
    ),
    Case(
        "the second of two initial architectures is broken",
        ("search", "quick", "--init", "efficientnetv2-s", "--init", "net.yaml"),
        {"net.yaml": ARCHITECTURE.replace("mbconv", "mbcnov")},
    ),
    Case("an option that does not exist", ("search", "quick", "--gpus", "4")),
    Case("no worker", ("search", "quick", "--workers", "0")),
    Case("more workers than cores", ("search", "quick", "--workers", "9999")),
    Case("workers in this process", ("search", "quick", "--in-process", "--workers", "2")),
    Case(
        "a cluster in this process",
        ("search", "quick", "--in-process", "--ray-address", "auto", "--per-device", "2"),
    ),
    Case("two executors", ("search", "quick", "--in-process", "--executor", "ray_tune")),
    Case(
        "workers of Ray Tune that share a device",
        ("search", "quick", "--executor", "ray_tune", "--per-device", "2"),
    ),
    Case("no Ray at that address", ("search", "quick", "--ray-address", "127.0.0.1:1")),
    Case("a Ray address that is none", ("search", "quick", "--ray-address", "not an address")),
)

SPACES = (
    in_space("an op misspelt", "[mbconv, fused_mbconv]", "[mbconv, fusd_mbconv]"),
    in_space("a kernel of 4", "[3, 5]", "[3, 4]"),
    in_space("an option twice", "layers: [1, 2]}\n- {op: mbconv", "layers: [1, 1]}\n- {op: mbconv"),
    in_space("no options", "expansion_ratio: [1, 4]", "expansion_ratio: []"),
    in_space("zero channels", "channels: 16", "channels: 0"),
    in_space("a million channels", "channels: 16", "channels: 1000000"),
    in_space(
        "a stride-2 stage that may be absent", "channels: 16, layers: [1, 2]", "channels: 16, layers: [0, 1]"
    ),
    in_space("a stage that is never there", "channels: 8, layers: [1, 2]", "channels: 8, layers: [0]"),
    in_space("no reference", "reference: efficientnet-b0\n", ""),
    in_space("a reference that does not exist", "efficientnet-b0", "efficientnet-b9"),
    in_space("a field misspelt", "kernel_size: 3,", "kernel: 3,"),
    in_space(
        "squeeze ratios for another op", "channels: 16,", "channels: 16, se_ratio: {fused_mbconv: 0.25},"
    ),
    in_space(
        "three mistakes in one stage",
        "kernel_size: 3, stride: 2, expansion_ratio: 4, channels: 16, layers: [1, 2]",
        "kernel_size: 4, stride: 2, expansion_ratio: 4, channels: 8, layers: 0, se_ratio: {fused_mbconv: 0}",
    ),
    in_architecture(
        "two mistakes in a bottleneck stage",
        "{op: mbconv, kernel_size: 3, stride: 1, expansion_ratio: 4, channels: 8,",
        "{op: bottleneck, kernel_size: 3, stride: 1, expansion_ratio: 3, channels: 8,",
    ),
    in_architecture("an architecture whose op is misspelt", "op: mbconv", "op: mbcnov"),
    in_architecture("an expansion of 0", "expansion_ratio: 4", "expansion_ratio: 0"),
    in_architecture("an architecture without layers", "layers: 1", "layers: 0"),
    in_architecture(
        "a padding that does not exist", "head_channels: 32", "head_channels: 32\npadding: valid"
    ),
    Case("a published network, misspelt", ("describe", "efficientnetv2_s")),
    Case("a search file to describe", ("describe", "mine.yaml"), {"mine.yaml": SEARCH}),
    Case("a resolution below the total stride", ("describe", "efficientnetv2-s", "--resolution", "8")),
    Case("a resolution that is no number", ("describe", "efficientnetv2-s", "--resolution", "big")),
    Case("a single class", ("describe", "efficientnetv2-s", "--classes", "1")),
)


def _empty_folder(folder: Path) -> None:
    (folder / "run").mkdir()


RUNS = (
    Case(
        "a timing device that is not here",
        ("search", "quick", "--run", "run", "--set", "timing.device=Cray-1"),
    ),
    Case("a run that is not there", ("export", "nowhere")),
    Case("a folder that is no run", ("export", "run"), prepare=_empty_folder),
    Case("a file that is no run", ("export", "run"), {"run": "text"}),
    Case("a front without a folder for it", ("export", "nowhere", "--pareto")),
    Case("a front of a run that is not there", ("export", "nowhere", "--pareto", "-o", "front")),
    Case("a study of a run that is not there", ("export", "nowhere", "--optuna", "sqlite:///a.db")),
    Case("a study of one trial", ("export", "nowhere", "--optuna", "sqlite:///a.db", "--trial", "1")),
    Case("a device of a run that is not there", ("export", "nowhere", "--device", "nvidia-h200")),
    Case(
        "a run directory with something else in it", ("search", "quick", "--run", "."), {"notes.txt": "mine"}
    ),
    Case(
        "a run directory with something else in it, before images are looked for",
        ("search", "quick", "--run", ".", "--set", "data.source=nowhere"),
        {"notes.txt": "mine"},
    ),
    Case(
        "a run of another configuration, before images are looked for",
        ("search", "quick", "--run", "run", "--set", "data.source=nowhere"),
        prepare=lambda folder: copy_old_run(folder / "run"),
    ),
    Case("a logger, misspelt", ("search", "quick", "--log", "tensorbord")),
    Case("a run directory that is a file", ("search", "quick", "--run", "run"), {"run": "text"}),
    Case("a run directory below a file", ("search", "quick", "--run", "run/a"), {"run": "text"}),
    Case("a trial that is no number", ("export", "run", "--trial", "best")),
    Case("the state of a run that is not there", ("status", "nowhere")),
    Case("the state of a folder that is no run", ("status", "run"), prepare=_empty_folder),
    Case("a page of a run that is not there", ("watch", "nowhere", "--web")),
    Case("a port for no page", ("watch", "nowhere", "--port", "8000")),
    Case("the next step with a file", ("next", "notes.txt"), {"notes.txt": "to do"}),
    Case("the schema of a command, misspelt", ("schema", "stauts")),
    Case("a run to verify that is not there", ("verify", "nowhere")),
    Case("a folder to verify that is no run", ("verify", "run"), prepare=_empty_folder),
    Case(
        "a log of a later version",
        ("verify", "run"),
        prepare=lambda folder: make_later(copy_old_run(folder / "run"), 3),
    ),
    Case("a published network to measure, misspelt", ("measure", "efficientnetv2-s", "efficientnet-bo")),
    Case("a space to measure", ("measure", "tiny")),
    Case("a search file to measure", ("measure", "mine.yaml"), {"mine.yaml": SEARCH}),
    Case("measuring at an impossible size", ("measure", "efficientnet-b0", "--resolution", "16")),
    Case("measuring in a precision of 8 bits", ("measure", "efficientnet-b0", "--precision", "fp8")),
    Case("measuring in a precision of GPUs", ("measure", "efficientnet-b0", "--precision", "fp16")),
    Case("nothing to measure", ("measure",)),
    Case("a run and networks to measure", ("measure", "efficientnet-b0", "--run", "run")),
    Case("a run to measure that is not there", ("measure", "--run", "nowhere")),
    Case("a table of an architecture's blocks", ("measure", "--table", "efficientnet-b0")),
    Case("a table of a space that does not exist", ("measure", "--table", "nowhere.yaml")),
    Case(
        "a table of a search file that is broken",
        ("measure", "--table", "mine.yaml"),
        {"mine.yaml": "space: 3"},
    ),
    Case("a table and a network at once", ("measure", "efficientnet-b0", "--table", "tiny")),
    Case("a table's file without a table", ("measure", "efficientnet-b0", "--out", "table.json")),
    Case("a table's file that is a folder", ("measure", "--table", "tiny", "--out", ".")),
    Case("a table's file in a folder that is not there", ("measure", "--table", "tiny", "--out", "a/b.json")),
    Case(
        "a table's file that holds something else",
        ("measure", "--table", "tiny", "--out", "notes.txt"),
        {"notes.txt": "mine"},
    ),
    Case("a table at an impossible size", ("measure", "--table", "wide", "--resolution", "16")),
    Case("no command", ("serach", "quick")),
)
