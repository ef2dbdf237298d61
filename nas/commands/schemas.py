"""JSON Schemas of what commands print with --json, made from the dataclasses that they print."""

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from nas.advising.advice import Advice
from nas.commands.written import (
    CardPreview,
    DescribedSpace,
    ExportedFront,
    ExportedNetwork,
    ExportedStudy,
    ImportedNetwork,
    PredictedFolder,
    WrittenReport,
    WrittenSpace,
)
from nas.comparing.figures import ComparisonFigures
from nas.doctor.findings import Examination
from nas.estimating.figures import SearchEstimate
from nas.hub.pull import PulledNetwork
from nas.hub.push import PushedNetwork
from nas.measuring.figures import PrintedNetworks
from nas.measuring.retarget import PrintedTrials
from nas.measuring.table_figures import PrintedTable
from nas.report.live_server import Served
from nas.report.side_by_side.figures import SideBySideFigures
from nas.results.audit import AuditFigures, TooFewAudited
from nas.results.run_list import RunList
from nas.results.status import RunStatus
from nas.results.summary import SearchSummary
from nas.results.verify import Verdict
from nas.scaling.figures import FamilyFigures
from nas.simulation.comparison import ComparedOnRun, ComparedOnTable
from nas.training.evaluation import EvaluationFigures
from nas.training.result import TrainingFigures
from search_spaces.networks.figures import ArchitectureFigures

DIALECT = GenerateJsonSchema.schema_dialect


@dataclass(frozen=True)
class NamedSchema:
    """A command with the version of what it prints."""

    command: str
    version: int


@dataclass(frozen=True)
class SchemaList:
    """All commands that have --json."""

    schemas: tuple[NamedSchema, ...]


# The version of a command's output, and its type. Whatever changes the shape raises the version:
# docs/schemas/ keeps one file for each.
PRINTED: dict[str, tuple[int, Any]] = {
    "search": (1, SearchSummary | SearchEstimate),
    "describe": (1, ArchitectureFigures | DescribedSpace),
    "space": (1, WrittenSpace),
    "measure": (1, PrintedNetworks | PrintedTable | PrintedTrials),
    "status": (1, RunStatus | RunList),
    "next": (1, Advice),
    "watch": (1, RunStatus | Served),
    "simulate": (1, ComparedOnTable | ComparedOnRun),
    "export": (1, ExportedNetwork | ExportedFront | ExportedStudy),
    "import": (1, ImportedNetwork),
    "push": (1, PushedNetwork | CardPreview),
    "pull": (1, PulledNetwork),
    "scale": (1, FamilyFigures),
    "train": (1, TrainingFigures | tuple[TrainingFigures, ...]),
    "compare": (1, ComparisonFigures),
    "evaluate": (1, EvaluationFigures),
    "predict": (1, PredictedFolder),
    "verify": (1, Verdict),
    "report": (2, WrittenReport | SideBySideFigures),
    "audit": (1, AuditFigures | TooFewAudited),
    "doctor": (1, Examination),
    "schema": (1, SchemaList),
}


def schema_of(command: str) -> dict[str, Any]:
    """The JSON Schema of what a command prints. Objects have no other keys, and all that have no default."""
    version, printed = PRINTED[command]
    schema = TypeAdapter(printed).json_schema(mode="serialization")
    return {
        **_closed(schema),
        "$schema": DIALECT,
        "$id": f"nas-{command}-{version}",
        "title": f"nas {command} --json, version {version}",
    }


def schema_list() -> SchemaList:
    """All commands that have --json, with their versions."""
    return SchemaList(tuple(NamedSchema(name, version) for name, (version, _) in PRINTED.items()))


def _closed(schema: Any) -> Any:
    """The schema in which objects with named keys have no others, and all that have no default."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(properties := schema.get("properties"), dict) and schema.get("type") == "object":
        required = [name for name, each in properties.items() if "default" not in each]
        closed |= {"additionalProperties": False, "required": required}
    return closed
