"""A network and a process table of the sandbox's own, for any user whom the kernel lets have them.

The network namespace gives every cluster the same fixed ports, room for pod addresses, and no way out. The process
namespace is what makes the end certain: when its first process goes, for whatever reason, the kernel kills all others.
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_MS_NOSUID_NODEV_NOEXEC = 0x2 | 0x4 | 0x8
_MS_REC_PRIVATE = 0x4000 | 0x40000
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1

_libc = ctypes.CDLL(None, use_errno=True)

Unshare = Callable[[int], None]


class IsolationError(Exception):
    """The kernel, or the container around us, does not let this user have namespaces; the message says what would."""


def isolate(unshare: Unshare | None = None, *, superuser: bool | None = None) -> None:
    """Give the calling process a network of its own, and its next child a process table of its own.

    The process must have a single thread. Root needs no user namespace, and without one keeps all user ids; any other
    user becomes root of a user namespace.

    Args:
        unshare: the system call.
        superuser: whether to try without a user namespace first; by default, whether the process runs as root.

    Raises:
        IsolationError: no way was allowed.
    """
    unshare = unshare or _unshare
    wanted = _CLONE_NEWNET | _CLONE_NEWPID | _CLONE_NEWNS
    uid, gid = os.geteuid(), os.getegid()
    if (uid == 0) if superuser is None else superuser:
        try:
            unshare(wanted)
        except OSError:
            pass  # root of a container: the user namespace below may still be allowed
        else:
            return
    try:
        unshare(wanted | _CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as error:
        raise IsolationError(_explain(error)) from error


def furnish() -> None:
    """As the first process of the new namespaces: bring up the loopback interface and mount a ``/proc`` that fits.

    Raises:
        IsolationError: the interface could not be configured.
    """
    try:
        _bring_up_loopback()
    except OSError as error:
        raise IsolationError(_explain(error)) from error
    _libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None)
    # A container whose own /proc is masked refuses this. Everything but a look at other processes works without.
    _libc.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(_MS_NOSUID_NODEV_NOEXEC), None)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(_SIGKILL))


def enter(pid: int) -> None:
    """Enter the namespaces of a running sandbox; the next child is in its process table.

    Args:
        pid: a process of the sandbox, as seen from here.

    Raises:
        ProcessLookupError: there is no such process.
        PermissionError: the sandbox belongs to another user.
    """
    here, there = Path("/proc/self/ns"), Path(f"/proc/{pid}/ns")
    directory = Path.cwd()
    try:
        handles = [
            os.open(there / name, os.O_RDONLY | os.O_CLOEXEC)
            for name in ("user", "net", "pid", "mnt")
            # Entering the user namespace that one is in already is refused.
            if (there / name).readlink() != (here / name).readlink()
        ]
    except FileNotFoundError:
        raise ProcessLookupError(errno.ESRCH, f"no process {pid}") from None
    for handle in handles:
        _check(_libc.setns(handle, 0))
        os.close(handle)
    os.chdir(directory)


def _unshare(flags: int) -> None:
    _check(_libc.unshare(flags))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("16xh", fcntl.ioctl(handle, _SIOCGIFFLAGS, request))
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _explain(error: OSError) -> str:
    settings = {
        "kernel.unprivileged_userns_clone": "must be 1 (Debian)",
        "kernel.apparmor_restrict_unprivileged_userns": "must be 0 (Ubuntu 24.04 and newer)",
        "user.max_user_namespaces": "must be above 0",
        "user.max_net_namespaces": "must be above 0",
        "user.max_pid_namespaces": "must be above 0",
    }
    lines = [
        f"This machine refuses the private network namespace that the sandbox runs in ({error.strerror}).",
        "Run it as root, or let users have namespaces. The settings that decide, as they are now:",
    ]
    for name, meaning in settings.items():
        path = Path("/proc/sys", name.replace(".", "/", 1))
        value = path.read_text().strip() if path.exists() else "not known to this kernel"
        lines.append(f"  sysctl {name}: {value}; {meaning}")
    lines.append("In a container, its seccomp profile decides too (Docker: --security-opt seccomp=unconfined).")
    return "\n".join(lines)
