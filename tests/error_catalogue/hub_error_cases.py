"""Wrong input to nas push, nas pull and nas export --format card, for the catalogue of messages."""

from error_cases import Case


def push(name: str, *words: str) -> Case:
    """A push of a folder that is no training."""
    return Case(name, ("push", "train", *words), {"train": "mine"})


HUB = (
    push("a push without a licence", "alice/flowers"),
    push("a push under a licence, misspelt", "alice/flowers", "--license", "apache2"),
    push("a push under another licence without its text", "alice/flowers", "--license", "other"),
    push(
        "a push with the text of a licence that is known",
        "alice/flowers", "--license", "mit", "--license-link", "https://example.org/license",
    ),
    push(
        "a push under a licence whose text is no URL",
        "alice/flowers", "--license", "other", "--license-link", "license.txt",
    ),
    push(
        "a preview with a link to a licence that is not named",
        "alice/flowers", "--dry-run", "--license-link", "https://example.org/license",
    ),
    push("a push to a name without a user", "flowers", "--license", "mit"),
    push("a push to a name with a path upwards", "alice/..", "--license", "mit"),
    push("a preview of a file", "alice/flowers", "--dry-run"),
    Case("a preview of a folder that is no training", ("push", ".", "alice/flowers", "--dry-run")),
    Case("a pull of a name that leads elsewhere", ("pull", "../flowers")),
    Case("a pull of a revision with a path upwards", ("pull", "alice/flowers", "--revision", "../main")),
    Case("a pull over a file", ("pull", "alice/flowers", "-o", "flowers"), {"flowers": "mine"}),
    Case("a pull into the folder in which it is typed", ("pull", "alice/flowers", "-o", ".")),
    Case("a pull into a folder that holds something", ("pull", "alice/flowers", "-o", "."), {"mine": "mine"}),
    Case("a card without a licence", ("export", ".", "--format", "card")),
    Case("a card of an architecture", ("export", "efficientnet-b0", "--format", "card", "--license", "mit")),
    Case("a licence for another format", ("export", "efficientnet-b0", "--license", "mit")),
    Case("a card of a trial", ("export", ".", "--format", "card", "--trial", "3", "--license", "mit")),
)  # fmt: skip
