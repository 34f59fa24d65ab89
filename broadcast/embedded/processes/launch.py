"""Become the child that `process.Process` asked for, then exec its command.

Run as a plain file (`python -I -S launch.py PARENT DEATH_SIGNAL UID REACH -- COMMAND...`), so it imports nothing but
the standard library and starts in a few milliseconds. What it does cannot be done between fork and exec in a
process that has threads, and the order matters: the kernel forgets the death signal when the user changes.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

EXIT_CANNOT_LAUNCH = 126


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySet(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def main(arguments: list[str]) -> None:
    """Take on the user and the death signal that `arguments` name, and exec the command after `--`."""
    parent, death_signal, uid, reach = (int(argument) for argument in arguments[:4])
    command = arguments[5:]
    libc = ctypes.CDLL(None, use_errno=True)
    if uid >= 0:
        _become(libc, uid, reach=bool(reach))
    _check(libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0))
    if os.getppid() != parent:  # it died before the line above could notice
        os._exit(EXIT_CANNOT_LAUNCH)
    os.execv(command[0], command)  # noqa: S606


def _become(libc: ctypes.CDLL, uid: int, *, reach: bool) -> None:
    """Become `uid`; with `reach`, keep the right to pass directories that only root may enter (/root, for one)."""
    if reach:
        # Not PR_SET_KEEPCAPS: that keeps the right for opening files but not for access(2), by which initdb looks.
        _check(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if reach:
        bit = 1 << CAP_DAC_OVERRIDE
        header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
        sets = (_CapabilitySet * 2)(_CapabilitySet(bit, bit, bit), _CapabilitySet(0, 0, 0))
        _check(libc.capset(ctypes.byref(header), sets))
        _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.stderr.write(f"launch: {' '.join(sys.argv[1:])}: {error}\n")
        sys.stderr.flush()
        os._exit(EXIT_CANNOT_LAUNCH)
