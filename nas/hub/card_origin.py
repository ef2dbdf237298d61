"""The card's sections on the architecture: its stages, its step time S, the search that found it, digests."""

from analysis.numbers import counted, milliseconds, short_count
from nas.hub import names
from nas.hub.card_facts import CardFacts
from nas.hub.evaluated import file_digest, text_digest
from nas.hub.markdown import code, plain, table
from nas.hub.search_facts import RecordedStepTime
from nas.results.audit import AuditFigures, Interval
from search_spaces.networks.figures import architecture_figures
from search_spaces.settings.yaml_files import yaml_text


def architecture_section(facts: CardFacts) -> str:
    """The stages with their shares of parameters and MACs."""
    weights = facts.weights
    found = architecture_figures(
        weights.architecture, name=facts.place, num_classes=weights.num_classes, resolution=weights.resolution
    )
    rows = [
        (
            str(i),
            plain(stage.op),
            str(stage.kernel_size),
            str(stage.stride),
            f"{stage.expansion_ratio:g}",
            str(stage.channels),
            str(stage.layers),
            f"{stage.se_ratio:g}",
            short_count(stage.params),
            short_count(stage.macs),
        )
        for i, stage in enumerate(found.stages, start=1)
    ]
    headers = ("stage", "op", "kernel", "stride", "expansion", "channels", "layers", "SE", "params", "MACs")
    return "\n\n".join(
        [
            "## Architecture",
            f"{code(found.architecture_id)}: a stem of {weights.architecture.stem_channels} channels, "
            f"{counted(len(rows), 'stage')}, a head of {weights.architecture.head_channels}; "
            f"{found.params:,} "
            f"parameters and {found.macs:,} MACs at {found.resolution} px, with "
            f"{found.num_classes:,} classes. In full: [{names.ARCHITECTURE}]({names.ARCHITECTURE}).",
            table(headers, rows, left=2),
        ]
    )


def step_time_section(facts: CardFacts) -> str:
    """S: the time of a training step over the reference network's, with its error and conditions."""
    title, found = "## Step time S", facts.step_time
    if found is None:
        return (
            f"{title}\n\nNot measured: no search's record of this architecture was found. "
            f"`nas measure efficientnetv2-b0 {names.ARCHITECTURE}` measures it beside EfficientNetV2-B0 on "
            "the "
            "device where it is typed."
        )
    parts = [f"A training step takes **{found.ratio:.3f}** times that of the search's reference network"]
    if (interval := found.interval) is not None:
        parts.append(f" (95 %: {interval[0]:.3f} to {interval[1]:.3f})")
    if found.seconds is not None:
        parts.append(f", {milliseconds(found.seconds)} ms")
        if found.seconds_p10 is not None and found.seconds_p90 is not None:
            parts.append(
                f" (median; 10 to 90 % of steps: {milliseconds(found.seconds_p10)} to "
                f"{milliseconds(found.seconds_p90)} ms)"
            )
    text = f"{title}\n\n{''.join(parts)}. {_conditions(found)}"
    if found.uncertain is not None:
        reason = found.uncertain.removeprefix("uncertain ")
        text += f" The search calls it uncertain{':' if reason == found.uncertain else ''} {plain(reason)}."
    if interval is None:
        text += _no_error(facts, found)
    return text


def _conditions(found: RecordedStepTime) -> str:
    said = [
        "predicted from a table of block times" if found.source == "predicted" else None,
        f"device {plain(found.device)}" if found.device is not None else None,
        f"{found.resolution} px" if found.resolution is not None else None,
        f"batch {found.batch_size}" if found.batch_size is not None else None,
        None if found.precision is None else plain(found.precision),
        None if found.mode is None else plain(found.mode),
        "the device to itself" if found.is_exclusive else None,
    ]
    return f"Conditions: {', '.join(each for each in said if each is not None)}."


def _no_error(facts: CardFacts, found: RecordedStepTime) -> str:
    if facts.search is None and facts.named_run is not None:
        return (
            f" Its error is in the log of the run {code(facts.named_run)}, which was not found from here: "
            "`--from-run RUN` names it."
        )
    return " Its error was not recorded: `nas measure` measures both again, with an interval."


def search_section(facts: CardFacts) -> str:
    """The search that found the architecture, and whether its short trials rank rightly."""
    title, found = "## Search and audit", facts.search
    if found is None and facts.named_run is None:
        return f"{title}\n\nNo search: the architecture was given as a file or by its name."
    if found is None:
        return (
            f"{title}\n\nFound by the run {code(facts.named_run or '')}, which was not found from here: "
            "`--from-run RUN` adds its trials, its log's digest and its audit."
        )
    strategy = f" by {plain(found.strategy)}" if found.strategy else ""
    first = f", the first of {found.trials_of_it} of this architecture" if found.trials_of_it > 1 else ""
    text = (
        f"{title}\n\nTrial {found.trial_id} of the run {code(found.run)}{first}, chosen{strategy} among "
        f"{counted(found.trials, 'trial')} that have finished.\n\n"
    )
    if found.audit is None:
        return (
            f"{text}No audit was run, so it is not known whether short trials rank architectures as longer "
            "trainings do: `nas audit RUN` tells."
        )
    return text + _audit(found.audit, found.audit_epochs or (0, 0))


def _audit(found: AuditFigures, epochs: tuple[int, int]) -> str:
    rows = [
        ("Kendall's tau of the two rankings", *_figure(found.tau, found.tau_interval)),
        (
            f"of the best {found.top} by long training, among the best {found.top} by short",
            *_figure(found.recall, found.recall_interval),
        ),
        ("reward lost by the short ranking's first", *_figure(found.regret, found.regret_interval)),
    ]
    fewest, most = epochs
    lasting = counted(most, "epoch") if fewest == most else f"{fewest} to {counted(most, 'epoch')}"
    words = (
        f"Audit: {found.architectures} architectures of the run were trained again for "
        f"{lasting} and ranked by short and by long training."
    )
    return f"{words}\n\n{table(('audit', 'value', '95 % interval'), rows)}"


def _figure(value: float | None, interval: Interval | None) -> tuple[str, str]:
    if value is None:
        return ("no order", "")
    return (f"{value:.3f}", "too few" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}")


def digests_section(facts: CardFacts) -> str:
    """SHA-256 of what this network came from; those of the files are in the manifest."""
    rows = [
        ("images of the training", code(facts.data.digest)),
        ("split of them", code(facts.data.split_digest)),
    ]
    if facts.test is not None:
        rows.append(("test images", code(facts.test.digest)))
    rows += [
        ("epochs of the training", code(facts.metrics_digest)),
        ("weights, as trained", code(file_digest(facts.weights_path))),
        ("recipe", code(text_digest(yaml_text(facts.config.recipe)))),
    ]
    if facts.search is not None:
        rows.append((f"trials of the run {plain(facts.search.run)}", code(facts.search.log_digest)))
    else:
        rows.append(("trials of a search", "none is recorded here"))
    return "\n\n".join(
        [
            "## Digests",
            table(("SHA-256 of", ""), rows, left=2),
            f"The files beside this card have theirs in [{names.MANIFEST}]({names.MANIFEST}), which "
            "`nas pull` compares.",
        ]
    )
