"""From the command line's words to a network that is handed on: its records, with bars for its evaluation."""

from pathlib import Path

from rich.console import Console

from nas.commands.output import json_text
from nas.commands.written import CardPreview, ExportedNetwork
from nas.hub.card import Handing
from nas.hub.card_facts import CardFacts, card_facts
from nas.hub.evaluated import FILE, KeptEvaluation, evaluated_now
from nas.hub.folder import card_preview, write_folder
from nas.hub.names import check_license
from nas.hub.new_folder import refuse_taken, unfinished_folder
from nas.hub.push import PushedNetwork, push
from nas.screens.bars import bar, bars_of
from nas.screens.terminal import print_notes, say, say_start, terminal
from nas.training.config import TrainingConfig
from trials.log.run_places import run_folder


def facts_on_console(
    training: str | Path, run: Path | None, console: Console, *, keep: bool = True
) -> CardFacts:
    """The facts of a training's card; where its weights have to be evaluated, bars show how far that is.

    Args:
        keep: the evaluation is kept in the training's folder.

    Raises:
        ConfigError: as `card_facts`.
    """

    def evaluate(folder: Path, config: TrainingConfig) -> KeptEvaluation:
        console.print("evaluating the best weights, for confusion and calibration")
        with bars_of(console) as bars, bar(bars, "decoding") as packed, bar(bars, "evaluating") as evaluated:
            done = evaluated_now(folder, config, keep=keep, on_packed=packed, on_evaluated=evaluated)
        if keep and not (folder / FILE).is_file():
            note = f"{training}: the evaluation could not be kept there; the next card computes it again"
            print_notes(console, "card", [note])
        return done

    say_start(console, f"the records of {training}")
    found = card_facts(run_folder(training), run=None if run is None else run_folder(run), evaluate=evaluate)
    if found.evaluation is None:
        why = f"no confusion and no calibration: {found.no_evaluation}"
        print_notes(console, "card", [why])
    return found


def export_card(
    training: Path,
    output: Path | None,
    *,
    license_: str | None,
    license_link: str | None,
    run: Path | None,
    onnx: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Writes a training's card, with all files that a push uploads, or prints the card alone.

    Raises:
        ConfigError: the licence is missing, a record is, or the folder holds something.
    """
    check_license(license_, license_link)
    if output is not None:
        refuse_taken(output, force=force)
    console = terminal(stderr=True, soft_wrap=True)
    place = (output or training).absolute().name
    handing = Handing(place=place, license_=license_, license_link=license_link, onnx=onnx)
    facts = facts_on_console(training, run, console)
    if output is None:
        text, proof = card_preview(facts, handing), "from the training's records"
    else:
        with unfinished_folder(output, force=force) as folder:
            files = write_folder(facts, folder, handing)
        text, proof = (
            None,
            f"the card, the weights and {len(files) - 2} more files, read back by their digests",
        )
    if as_json:
        file = None if output is None else str(output)
        print(
            json_text(
                ExportedNetwork(
                    source=str(training), format="card", file=file, text=text, proof=proof, changed=None
                )
            )
        )
    elif text is not None:
        print(text, end="")
    else:
        say(f"{output}: {proof}")


def preview(training: str, handing: Handing, *, run: Path | None, as_json: bool) -> None:
    """Prints the card that a push would upload; nothing is uploaded, and nobody is asked.

    Raises:
        ConfigError: a record is missing, or the licence is none of the Hub's.
    """
    if handing.license_ is not None or handing.license_link is not None:
        check_license(handing.license_, handing.license_link)
    console = terminal(stderr=True, soft_wrap=True)
    text = card_preview(facts_on_console(training, run, console, keep=False), handing)
    needs_license = handing.license_ is None
    if as_json:
        print(json_text(CardPreview(repository=handing.place, card=text, needs_license=needs_license)))
        return
    print(text, end="")
    if needs_license:
        say("license: missing; --license is needed to push")


def push_on_console(
    training: str, handing: Handing, *, public: bool, run: Path | None, console: Console
) -> PushedNetwork:
    """Pushes a training's network, and says what is going on.

    Raises:
        ConfigError: as `push`.
    """
    return push(
        handing,
        public=public,
        facts=lambda: facts_on_console(training, run, console),
        on_progress=lambda what: console.print(what),
    )
