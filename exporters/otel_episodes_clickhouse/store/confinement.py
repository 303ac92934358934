"""Walls of the kernel around a thread that runs somebody else's SQL: Landlock for files and TCP, seccomp for the rest.

Both only ever take away, hold for the calling thread and for every thread and process it starts from then on, and need
no privileges. Landlock is there from Linux 5.13 (files), 6.2 (truncation), 6.7 (TCP) and 6.12 (signals); the system
calls are made through ctypes since the bindings on PyPI are pre-releases and bring half of this. Facts of the
interfaces: ``man 7 landlock``, ``man 2 seccomp``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import stat
import struct
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# The same numbers on every architecture.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
# Removing and making: directories, files, devices, sockets, pipes, links.
_CHANGE: Final = sum(1 << bit for bit in range(4, 13))
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_WRITE: Final = _WRITE_FILE | _CHANGE | _REFER | _TRUNCATE | _IOCTL_DEVICE
_OF_A_FILE: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
# From which version of the interface on there is each.
_SINCE: Final = {2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEVICE}
_TCP: Final = 0b11  # bind, connect
_TCP_SINCE: Final = 4
_SCOPES: Final = 0b11  # abstract Unix sockets, signals
_SCOPES_SINCE: Final = 6

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM
# System calls of x86-64's 32-bit pointers have this bit set: the same calls under other numbers.
_X32: Final = 0x40000000
_LOAD_WORD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_OFFSET_OF_NUMBER, _OFFSET_OF_ARCHITECTURE = 0, 4

# What reaches out of the process other than by opening a file: sockets, other programs, other processes' memory,
# rings that carry system calls past this filter, mounts and namespaces.
_CALLS: Final = (
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg", "sendmmsg",
    "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd",
    "io_uring_setup", "io_uring_enter", "io_uring_register", "name_to_handle_at", "open_by_handle_at",
    "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "bpf", "perf_event_open", "userfaultfd",
    "add_key", "request_key", "keyctl", "mknod", "mknodat",
)  # fmt: skip
# Audit architecture, then the numbers in the order of _CALLS; 0 where an architecture lacks one.
_NUMBERS: Final = {
    "x86_64": (0xC000003E, (
        41, 53, 42, 49, 50, 43, 288, 44, 46, 307, 59, 322, 101, 310, 311, 438, 425, 426, 427, 303, 304, 165, 166, 155,
        161, 272, 308, 321, 298, 323, 248, 249, 250, 133, 259,
    )),
    "aarch64": (0xC00000B7, (
        198, 199, 203, 200, 201, 202, 242, 206, 211, 269, 221, 281, 117, 270, 271, 438, 425, 426, 427, 264, 265, 40,
        39, 41, 51, 97, 268, 280, 241, 282, 217, 218, 219, 0, 33,
    )),
}  # fmt: skip


@dataclass(frozen=True)
class Walls:
    """What this kernel can wall off: ``files``, ``tcp``, and ``calls`` for sockets of any kind and other programs."""

    files: bool
    tcp: bool
    calls: bool

    @property
    def whole(self) -> bool:
        """Whether a statement can neither open another file nor reach the network."""
        return self.files and self.calls

    def __str__(self) -> str:
        found = [name for name, there in (("files", self.files), ("TCP", self.tcp), ("sockets", self.calls)) if there]
        return ", ".join(found) or "none"


@cache
def available() -> Walls:
    """Return the walls this machine has."""
    version = _landlock_version()
    return Walls(files=version > 0, tcp=version >= _TCP_SINCE, calls=_has_seccomp())


def confine(*, read: Iterable[Path], write: Iterable[Path]) -> Walls:
    """Leave the calling thread, and what it starts, these files and directories alone, and no network.

    ``read`` may be read and ``write`` changed too; what does not exist is left out. Returns the walls that stand:
    on a kernel without them nothing happens. There is no way back.
    """
    confine_files(read=read, write=write)
    forbid_calls()
    return available()


def confine_files(*, read: Iterable[Path], write: Iterable[Path]) -> None:
    """Do the part of `confine` that is about files, TCP and signals."""
    if available().files:
        rules = [(path, _READ) for path in read] + [(path, _READ | _WRITE) for path in write]
        _restrict(_READ | _WRITE, rules, network=True)


def forbid_calls() -> None:
    """Do the part of `confine` that is about sockets of any kind, other programs and other processes."""
    if available().calls:
        _filter_calls()


def forbid_writing() -> None:
    """Let the calling thread, and what it starts, open no file for writing, nor make, rename or remove one."""
    if available().files:
        _restrict(_WRITE, (), network=False)


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)


def _restrict(handled: int, rules: Iterable[tuple[Path, int]], *, network: bool) -> None:
    version = _landlock_version()
    for since, access in _SINCE.items():
        if version < since:
            handled &= ~access
    tcp = _TCP if network and version >= _TCP_SINCE else 0
    scopes = _SCOPES if network and version >= _SCOPES_SINCE else 0
    words = (handled, tcp, scopes)[: 3 if version >= _SCOPES_SINCE else 2 if version >= _TCP_SINCE else 1]
    attributes = struct.pack(f"{len(words)}Q", *words)
    ruleset = _called(_CREATE_RULESET, ctypes.c_char_p(attributes), ctypes.c_size_t(len(attributes)), 0)
    try:
        for path, access in rules:
            _add_rule(ruleset, path, access & handled)
        _no_new_privileges()
        _called(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _add_rule(ruleset: int, path: Path, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _OF_A_FILE
        rule = struct.pack("=Qi", access, descriptor)
        _called(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(descriptor)


def _filter_calls() -> None:
    architecture, numbers = _NUMBERS[platform.machine()]
    refused = [number for number in numbers if number]
    program = [
        (_LOAD_WORD, 0, 0, _OFFSET_OF_ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD_WORD, 0, 0, _OFFSET_OF_NUMBER),
        (_IF_AT_LEAST, len(refused) + 1, 0, _X32),
        *((_IF_EQUAL, len(refused) - place, 0, number) for place, number in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in program))
    described = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code))
    _no_new_privileges()
    if _libc().prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.c_char_p(described), 0, 0) != 0:
        raise _last_error()


def _has_seccomp() -> bool:
    if sys.platform != "linux" or platform.machine() not in _NUMBERS or sys.maxsize < 2**32:
        return False
    # Without a program to look at, a kernel that knows the mode complains of the address.
    return bool(_libc().prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, None, 0, 0) != 0 and ctypes.get_errno() == errno.EFAULT)


@cache
def _landlock_version() -> int:
    """Return the version of Landlock's interface; 0 without one."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def _no_new_privileges() -> None:
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise _last_error()


def _called(number: int, *arguments: Any) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        raise _last_error()
    return result


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
