"""Kernel locks on files in a folder that all users of a host share."""

import errno
import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]

# Not what TMPDIR says: that differs between users and batch jobs, and they are to meet here.
FOLDER = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()) / "nas-device-locks"
OPENING_ATTEMPTS = 50  # of a file that somebody is creating or removing at this moment
SECONDS_BETWEEN_ATTEMPTS = 0.002


class NoLocksError(OSError):
    """This system, or this folder, has no locks for us."""


def try_lock(path: Path, *, shared: bool) -> int | None:
    """A descriptor that holds the lock of the file until it is closed; None if somebody else holds it.

    The file is created if need be. The kernel closes the descriptor of whoever dies.

    Raises:
        NoLocksError: locks are not to be had there.
    """
    if fcntl is None:
        raise NoLocksError("this system has no file locks")
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if _is_still_there(descriptor, path):
            _touch(descriptor)
            return descriptor
    except BlockingIOError:
        pass
    except OSError as error:
        os.close(descriptor)
        raise NoLocksError(f"{path}: {error.strerror}") from error
    os.close(descriptor)
    return None


def is_locked(descriptor: int) -> bool:
    """Whether somebody else holds the lock of a file, which this open descriptor does not, exclusively."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def unlock(descriptor: int) -> None:
    """Lets go of the lock and keeps the file open."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def _is_still_there(descriptor: int, path: Path) -> bool:
    """Whether the others would open the same file: one that was removed excludes nobody."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _touch(descriptor: int) -> None:
    """What cleans temporary folders takes files that nobody has used for days."""
    with suppress(OSError):  # another user's file that we may only read
        os.utime(descriptor)


def _opened(path: Path) -> int:
    """A descriptor of a plain file that no symbolic link led to, whoever it belongs to."""
    for _ in range(OPENING_ATTEMPTS):
        try:
            folder = _opened_folder(path.parent)
            try:
                return _opened_in(folder, path.name)
            finally:
                os.close(folder)
        except (FileNotFoundError, FileExistsError, PermissionError) as error:
            # Somebody is creating or removing it; or it is none of our business, which the last attempt says.
            last = error
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
        except OSError as error:
            is_link = error.errno in (errno.ELOOP, errno.ENOTDIR)
            why = "a symbolic link, or no folder, is on the way" if is_link else error.strerror
            raise NoLocksError(f"{path}: {why}") from error
    raise NoLocksError(f"{path}: {last.strerror}") from last


def _opened_folder(path: Path) -> int:
    try:
        path.mkdir(mode=0o777)
        path.chmod(0o1777)  # for everyone, whatever the umask says; each may remove their own files only
    except FileExistsError:
        pass
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _opened_in(folder: int, name: str) -> int:
    # Without O_CREAT first: in a sticky folder Linux may refuse that flag for another user's file.
    flags = os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(name, os.O_RDWR | flags, dir_fd=folder)
    except PermissionError:
        descriptor = os.open(name, os.O_RDONLY | flags, dir_fd=folder)  # enough for the kernel's lock
    except FileNotFoundError:
        descriptor = os.open(name, os.O_RDWR | flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
        os.fchmod(descriptor, 0o666)  # whatever the umask says
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoLocksError(errno.EINVAL, "this is no plain file")
    return descriptor
