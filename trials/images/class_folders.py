"""Files and folders beside the pictures that are read: counted in a note, or refused."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from search_spaces.settings.sentences import some
from trials.images.decode import KINDS_READ, SUFFIXES
from trials.images.listing import Listing, SourceFile

# Files that nobody takes for pictures. A folder of nothing else is no class.
TEXTS = frozenset(
    {".txt", ".md", ".log", ".py", ".html", ".xml"}
    | {".json", ".jsonl", ".yaml", ".yml", ".toml", ".csv", ".tsv"}
)


def check_every_folder(listing: Listing, root: str, classes: Sequence[str]) -> list[str]:
    """Sentences about files that are left out, about links to other folders and about empty class folders.

    Args:
        root: the folder that holds the class folders, relative to the source's; "" for the source itself.

    Raises:
        ValueError: a folder has files that may be pictures, and none that is read; or it is a link to another
            one of the source, whose pictures would be in two classes.
    """
    depth = 1 if root else 0
    links = [(link, other) for link, other in listing.linked if not root or link.startswith(f"{root}/")]
    for link, other in links:
        if link.count("/") == depth:
            raise ValueError(
                f"{listing.source}: the folder {link} is a link to {other}, so its pictures would be in two "
                "classes; remove the link"
            )
    others: dict[str, list[SourceFile]] = {}  # files that are not read, by class folder; "": in none
    for file in listing.files:
        if file.suffix not in SUFFIXES and (not root or file.relative.startswith(f"{root}/")):
            parts = file.parts[depth:]
            others.setdefault(parts[0] if len(parts) > 1 else "", []).append(file)
    lost = {
        folder: files
        for folder, files in others.items()
        if folder and folder not in classes and any(file.suffix not in TEXTS for file in files)
    }
    if lost:
        folder, files = min(lost.items())
        more = f" (and {len(lost) - 1:,} more such folders)" if len(lost) > 1 else ""
        raise ValueError(
            f"{listing.source}: the folder {folder}{more} has {len(files):,} files and no picture that is "
            f"read ({_kinds(files)}); read are {KINDS_READ}. Convert them, or move the folder away"
        )
    notes = []
    if left_out := [file for files in others.values() for file in files]:
        one, several = "file is no picture that is read and is", "files are no pictures that are read and are"
        are = one if len(left_out) == 1 else several
        notes.append(f"{len(left_out):,} {are} left out ({_kinds(left_out)})")
    if links:
        folders = "folder is a link" if len(links) == 1 else "folders are links"
        named = [f"{link} ({other})" for link, other in links]
        notes.append(f"{len(links):,} {folders} to others of the source and not read twice: {some(named)}")
    holding = {*classes, *others}
    below = [PurePosixPath(folder).parts for folder in listing.folders]
    empty = sorted(
        parts[depth]
        for parts in below
        if len(parts) == depth + 1 and (not root or parts[0] == root) and parts[depth] not in holding
    )
    if empty:
        folders = "folder is empty and no class" if len(empty) == 1 else "folders are empty and no classes"
        notes.append(f"{len(empty):,} {folders}: {some(empty)}")
    return notes


def _kinds(files: Sequence[SourceFile]) -> str:
    """How many of each suffix, the most frequent first."""
    counts = Counter(file.suffix or "without a suffix" for file in files)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return some([f"{count:,} {suffix}" for suffix, count in ordered])
