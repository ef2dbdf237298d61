"""The screens of `nas push` and `nas pull`."""

from nas.hub.pull import PulledNetwork
from nas.hub.push import PushedNetwork
from search_spaces.settings.shell_words import path_word


def pushed_screen(pushed: PushedNetwork) -> str:
    """A push: its files, where they are, and who can see them."""
    seen = "private: only you, or your organization, can see it" if pushed.private else "public"
    return (
        f"pushed     {pushed.repository}: {len(pushed.files)} files, {pushed.bytes / 1e6:,.1f} MB, in one "
        "commit\n"
        f"seen by    {seen}\n"
        f"at         {pushed.url}\n"
        f"next:  nas pull {pushed.repository}"
    )


def pulled_screen(pulled: PulledNetwork) -> str:
    """A pull: its commit, its folder, and the commands that take it."""
    folder = path_word(pulled.folder)
    return (
        f"pulled     {pulled.repository} at {pulled.commit[:12]}: {len(pulled.files)} files, "
        f"{pulled.bytes / 1e6:,.1f} MB, as their digests say\n"
        f"in         {pulled.folder}\n"
        f"next:  nas describe {folder}\n"
        f"       nas evaluate {folder} --data IMAGES\n"
        f"       nas predict {folder} PICTURES -o predictions.csv"
    )
