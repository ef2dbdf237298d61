"""Splits of an image source, by the names of its files and folders: which of them is read."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search_spaces.settings.sentences import one_line, some
from trials.images.listing import Listing, SourceFile

TRAIN = "train"
# Splits that a search must not see, by the names that they have on the Hugging Face hub.
HELD_OUT = frozenset({"test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation"})
SPLITS = HELD_OUT | {TRAIN, "training"}


def split_name(part: str) -> str | None:
    """The split that a file's or folder's name mentions: cifar10-train-00000-of-00002.parquet is train."""
    words = re.split(r"[^a-z]+", part.lower())
    found = next((word for word in words if word in SPLITS), None)
    return TRAIN if found == "training" else found


def _refuse_several(source: str, splits: Sequence[str], example: str) -> None:
    """Refuses several splits to evaluate on: training images among them would flatter the weights."""
    raise ValueError(
        f"{source}: holds several splits ({', '.join(sorted(splits))}); name the one to evaluate on, as in "
        f"{example}"
    )


# ---------------------------------------------------------------------- Parquet


def parquet_files(
    listing: Listing, files: Sequence[SourceFile], *, only_evaluated: bool
) -> tuple[tuple[SourceFile, ...], list[str]]:
    """The Parquet files that are read, and sentences about files that may be missing.

    To train on: if any file's path names the train split, only those; otherwise the files that name no split;
    a file that was named itself is taken whatever its split. To evaluate on: all, which must be of one split.

    Raises:
        ValueError: a folder holds only test or validation splits; or several splits to evaluate on.
    """
    by_split: dict[str | None, list[SourceFile]] = {}
    for file in files:
        # The innermost name that mentions a split decides: train/val-00000.parquet is val.
        names = [split_name(part) for part in reversed(file.parts)]
        by_split.setdefault(next((name for name in names if name), None), []).append(file)
    named = [name for name in by_split if name]
    if only_evaluated:
        if len(by_split) > 1:
            of_one = by_split[named[0]][0]
            others = ["files that name none"] if None in by_split else []
            _refuse_several(listing.source, named + others, of_one.path)
        chosen = tuple(files)
    elif TRAIN in by_split:
        chosen = tuple(by_split[TRAIN])
    elif None in by_split:
        chosen = tuple(by_split[None])
    elif listing.is_folder or len(by_split) > 1:
        raise ValueError(
            f"{listing.source}: holds only {', '.join(sorted(named))}, which a search must not see; give the "
            "folder that holds the training images, or name a file if it is meant"
        )
    else:
        chosen = tuple(files)
    notes = list(_missing_shards(chosen))
    if TRAIN in by_split and None in by_split and not only_evaluated:
        without = [file.relative for file in by_split[None]]
        name = "file names" if len(without) == 1 else "files name"
        notes.append(
            f"{len(without):,} Parquet {name} no split beside those of train: left out is {some(without)}"
        )
    return chosen, notes


def _missing_shards(files: Sequence[SourceFile]) -> list[str]:
    """A sentence about shards whose names say that there are more of them: train-00000-of-00003.parquet."""
    found: dict[tuple[str, str], set[int]] = {}
    for file in files:
        if match := re.fullmatch(r"(.*?)(\d+)-of-(\d+)(.*)", file.relative):
            before, number, total, after = match.groups()
            found.setdefault((f"{before}…-of-{total}{after}", total), set()).add(int(number))
    few = [
        f"{len(numbers):,} of {int(total):,} {name}"
        for (name, total), numbers in found.items()
        if len(numbers) < int(total)
    ]
    return [f"files are missing, by the names of the others: there are only {some(few)}"] if few else []


# ---------------------------------------------------------------------- folders


@dataclass
class _Folder:
    """Pictures of one folder at the top of a source."""

    nested: int = 0  # in folders of its own
    loose: str = ""  # one that lies in no folder of its own

    @property
    def holds_folders(self) -> bool:
        """True if all of its pictures lie in folders, as those of a split do."""
        return not self.loose


def root_of_classes(listing: Listing, pictures: Sequence[SourceFile], *, only_evaluated: bool) -> str:
    """The folder whose subfolders are the classes: a split's, or the source itself ("").

    A folder with the name of a split counts as a split only if all its pictures lie in subfolders; otherwise
    it is a class that happens to have this name. To train on it is the train split; to evaluate on the only
    one.

    Raises:
        ValueError: the split is not there, or it is not clear which folders are splits and which are classes.
    """
    folders: dict[str, _Folder] = {}
    for file in pictures:
        top, _, rest = file.relative.rpartition("/")[0].partition("/")
        if top and rest:
            folders.setdefault(top, _Folder()).nested += 1
        elif top:
            folders.setdefault(top, _Folder()).loose = file.relative
    source = listing.source
    _refuse_mixed(source, folders)
    splits = [name for name, folder in folders.items() if name.lower() in SPLITS and folder.holds_folders]
    if not splits:
        if len(folders) > 1 and all(map(split_name, folders)):
            raise ValueError(
                f"{source}: its folders {some(sorted(folders))} have the names of splits, not of classes; "
                "name the folder whose sub-folders are the classes, or give the classes other names"
            )
        return ""
    counts = Counter(split_name(name) for name in splits)
    if only_evaluated and len(splits) > 1:
        _refuse_several(source, splits, f"{source.rstrip('/')}/{min(splits)}")
    if not only_evaluated and not counts[TRAIN]:
        _refuse_held_out(source, splits, folders)
    chosen = [name for name in splits if only_evaluated or split_name(name) == TRAIN]
    if len(chosen) > 1:
        raise ValueError(
            f"{source}: {some(sorted(chosen))} are all training images by their names; name one of them"
        )
    if others := sorted(name for name in folders if name != chosen[0] and split_name(name) is None):
        raise ValueError(
            f"{source}: it is not clear whether {chosen[0]} is a split or a class: beside it lies "
            f"{some(others)}. Name {source.rstrip('/')}/{chosen[0]} if that is meant, or move the others away"
        )
    return chosen[0]


def deeper_classes(source: str, pictures: Sequence[SourceFile], *, depth: int) -> str:
    """The advice to give a folder further down, where a source's only class folder holds several others.

    Args:
        pictures: all of which lie in class folders.
        depth: of the folder that holds these, below the source.

    Returns:
        The end of a message; empty where the only folder holds pictures, or a single folder to the end.
    """
    folders = [file.parts[:-1] for file in pictures]
    found = depth
    # Down while all pictures lie in one folder, and none in this folder itself.
    while len({parts[found] for parts in folders}) == 1 and all(len(parts) > found + 1 for parts in folders):
        found += 1
    names = sorted({parts[found] for parts in folders})
    if found == depth or len(names) == 1:
        return ""
    above = "/".join([source.rstrip("/"), *folders[0][:found]])
    return f"; if the classes are its sub-folders ({some(names)}), give {one_line(above)}"


def _refuse_mixed(source: str, folders: Mapping[str, _Folder]) -> None:
    """A picture that lies beside the class folders of a split would make the split a class."""
    if not all(map(split_name, folders)):  # there are classes beside it: it may be one, too
        return
    for name, folder in folders.items():
        if folder.nested and folder.loose:
            raise ValueError(
                f"{source}: {folder.loose} lies beside the class folders of {name}; move it into one of "
                "them, or away"
            )


def _refuse_held_out(source: str, splits: Sequence[str], folders: Mapping[str, _Folder]) -> None:
    classes = sorted(set(folders) - set(splits))
    found = f"holds only {', '.join(sorted(map(str, map(split_name, splits))))}"
    if classes:
        found = f"holds {some(sorted(splits))}, by the name a split, beside {some(classes)}"
    raise ValueError(
        f"{source}: {found}, which a search must not see; give the folder whose sub-folders are the classes "
        "of the training images"
    )
