"""Kernel locks (flock) on files in a folder that all users of a host share."""

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

# Not TMPDIR: it differs between users and batch jobs, and all of them must find the same files.
FOLDER = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()) / "nas-device-locks"
OPENING_ATTEMPTS = 50  # to open a file that another process is creating or removing at the moment
SECONDS_BETWEEN_ATTEMPTS = 0.002


class NoLocksError(OSError):
    """The system or the folder does not support file locks."""


def try_lock(path: Path, *, shared: bool) -> int | None:
    """A descriptor that holds the file's lock until it is closed; None if another process holds it.

    The file is created if necessary. When a process dies, the kernel closes its descriptors.

    Raises:
        NoLocksError: the system or the folder does not support locks.
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
    """True if another process holds the file's lock exclusively; this descriptor must not hold it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def unlock(descriptor: int) -> None:
    """Releases the lock and keeps the file open."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def _is_still_there(descriptor: int, path: Path) -> bool:
    """True if the path still leads to the open file: the lock of a removed file excludes nobody."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _touch(descriptor: int) -> None:
    """Marks the file as used, because cleaners of /tmp remove files that were unused for days."""
    with suppress(OSError):  # another user's file that we may only read
        os.utime(descriptor)


def _opened(path: Path) -> int:
    """A descriptor of a regular file, whoever owns it; symbolic links are refused.

    Otherwise another user could link the file's name to a file of ours.
    """
    for _ in range(OPENING_ATTEMPTS):
        try:
            folder = _opened_folder(path.parent)
            try:
                return _opened_in(folder, path.name)
            finally:
                os.close(folder)
        except (FileNotFoundError, FileExistsError, PermissionError) as error:
            # Another process is creating or removing it; if there is another reason, the last attempt raises.
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
        path.chmod(0o1777)  # writable for everyone, whatever the umask; each may remove only their own files
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
        os.fchmod(descriptor, 0o666)  # whatever the umask
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoLocksError(errno.EINVAL, "this is no plain file")
    return descriptor
