"""Launch of an audit from the command line's words: workers, images, a bar of its epochs."""

from rich.console import Console
from rich.progress import Progress as ProgressBars

from nas.commands.launch import compile_kernels, executor_of, packed_images
from nas.commands.options import Executor
from nas.events import SearchEvent
from nas.report.page import report_after_search
from nas.results.audit import AuditFigures, TooFewAudited, audit_figures
from nas.screens.audit import audit_line
from nas.search.audit import AuditPlan, AuditTrained, audit
from nas.search.config import SearchConfig
from search_spaces.settings.setting_errors import naming_origins
from trials.executors.timing_places import ANY
from trials.log.file_names import SEARCH_FILE
from trials.trial import EpochResult


def audit_on_console(
    plan: AuditPlan, *, workers: int | None, ray_address: str | None, in_process: bool, console: Console
) -> AuditFigures | TooFewAudited:
    """Runs an audit with a bar of its epochs, renews the report, and returns the figures.

    Raises:
        ConfigError: the options or the images are not right; nothing was created.
    """
    # Step times are those of the short trials, so it does not matter where longer ones train.
    executor = Executor.IN_PROCESS if in_process else Executor.RAY
    execute, where = executor_of(
        executor,
        workers=workers,
        ray_address=ray_address,
        timing_device=ANY,
        stall_seconds=plan.config.stall_timeout,
    )
    if ray_address is None:
        compile_kernels(console)
    with naming_origins(SearchConfig, plan.run / SEARCH_FILE):
        packed_images(plan.config, console)
    more = len(plan.sample) + plan.in_flight
    console.print(
        f"auditing  {more} more architectures of {plan.run}, {plan.epochs} epochs each, {where}",
        soft_wrap=True,
    )
    with ProgressBars(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("training", total=more * plan.epochs)

        def show(event: SearchEvent | AuditTrained) -> None:
            if isinstance(event, EpochResult):
                bars.advance(bar)
            elif isinstance(event, AuditTrained):
                console.print(audit_line(event), soft_wrap=True)

        found = audit(plan, execute=execute, on_event=show)
    report_after_search(plan.run, console)
    return audit_figures(plan.run, found)
