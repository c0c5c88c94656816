"""Descriptors nobody should trust, and what their owner may try with the good ones."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SEALS = {"SEAL": 1, "SHRINK": 2, "GROW": 4, "WRITE": 8}
ALL_SEALS = sum(SEALS.values())
FUTURE_WRITE = 0x10

libc = ctypes.CDLL(None, use_errno=True)


def memfd(data: bytes, seals: int = ALL_SEALS, flags: int = os.MFD_ALLOW_SEALING) -> int:
    descriptor = os.memfd_create("hostile", flags | os.MFD_CLOEXEC)
    write_all(descriptor, data)
    if seals:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def reopened(descriptor: int, flags: int) -> int:
    return os.open(f"/proc/self/fd/{descriptor}", flags | os.O_CLOEXEC)


def impostors(task: bytes, folder: Path) -> dict[str, tuple[str, Callable[[], int], int]]:
    """By name: the code it is returned with, how to make it, and the size to announce."""
    size = len(task)
    found: dict[str, tuple[str, Callable[[], int], int]] = {}

    def add(name: str, code: str, make: Callable[[], int], announced: int = size) -> None:
        found[name] = (code, make, announced)

    for chosen in range(ALL_SEALS):
        names = "|".join(name for name, bit in SEALS.items() if chosen & bit) or "nothing"
        add(f"sealed {names}", "not_sealed", lambda seals=chosen: memfd(task, seals))
    others = ALL_SEALS & ~SEALS["WRITE"] | FUTURE_WRITE
    add("sealed against other writers only", "not_sealed", lambda: memfd(task, others))
    add("memory that takes no seals", "not_sealed", lambda: memfd(task, 0, flags=0))
    if os.access("/dev/shm", os.W_OK):
        add("a file on tmpfs", "not_sealed", lambda: file(Path("/dev/shm"), task))

    no_memory: dict[str, Callable[[], int]] = {
        "a file": lambda: file(folder, task),
        "a folder": lambda: os.open(folder, os.O_RDONLY),
        "a pipe": pipe,
        "a socket": lambda: socket.socket(socket.AF_UNIX).detach(),
        "an epoll": epoll,
        "an eventfd": lambda: os.eventfd(1),
        "a process": lambda: os.pidfd_open(os.getpid()),
        "nothing's device": lambda: os.open("/dev/null", os.O_RDWR),
        "an endless device": lambda: os.open("/dev/zero", os.O_RDWR),
        "a terminal": lambda: os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY),
        "a file of the kernel": lambda: os.open("/proc/self/maps", os.O_RDONLY),
    }
    for name, make in no_memory.items():
        add(name, "payload_not_memory", make)
    if (secret := libc.syscall(MEMFD_SECRET, 0)) >= 0:
        os.close(secret)
        add("secret memory", "payload_not_memory", lambda: sized(libc.syscall(MEMFD_SECRET, 0), 4096), 4096)
    if (huge := huge_pages()) is not None:
        os.close(huge)
        add("sealed huge TLB pages", "payload_not_memory", lambda: huge_pages() or 0, 2 << 20)

    add("a place only", "payload_not_readable", lambda: reopened(memfd(task), O_PATH))
    add("for writing only", "payload_not_readable", lambda: write_only(task))
    add("a byte less", "size_mismatch", lambda: memfd(task[:-1]))
    add("a byte more", "size_mismatch", lambda: memfd(task + b"\0"))
    add("nothing at all", "size_mismatch", lambda: memfd(b""))
    add("more than announced", "size_mismatch", lambda: memfd(task), 0)
    add("beyond 2 GiB", "payload_too_large", lambda: memfd(task), 1 << 31)
    add("beyond everything", "payload_too_large", lambda: memfd(task), (1 << 64) - 1)
    add("a hole", "payload_not_allocated", lambda: sparse(1 << 30), 1 << 30)
    add("noise", "bad_task", lambda: memfd(b"\xff" * size))
    add("an empty task", "bad_task", lambda: memfd(b""), 0)
    return found


def file(folder: Path, data: bytes) -> int:
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR)
    write_all(descriptor, data)
    return descriptor


def pipe() -> int:
    read, write = os.pipe()
    os.close(write)
    return read


def epoll() -> int:
    with select.epoll() as polls:
        return os.dup(polls.fileno())


def sized(descriptor: int, size: int) -> int:
    os.ftruncate(descriptor, size)
    return descriptor


def sparse(size: int) -> int:
    descriptor = sized(memfd(b"", 0), size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, ALL_SEALS)
    return descriptor


def write_only(data: bytes) -> int:
    descriptor = memfd(data, 0)
    opened = reopened(descriptor, os.O_WRONLY)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, ALL_SEALS)
    os.close(descriptor)
    return opened


def huge_pages() -> int | None:
    """A memory file of huge TLB pages, where the kernel has them."""
    try:
        descriptor = os.memfd_create("hostile", os.MFD_ALLOW_SEALING | os.MFD_HUGETLB)
    except OSError:
        return None
    fcntl.fcntl(sized(descriptor, 2 << 20), fcntl.F_ADD_SEALS, ALL_SEALS)
    return descriptor


class Handles:
    """Everything a sender can keep of a memory file when it gives it away."""

    def __init__(self, descriptor: int) -> None:
        """Before the seals."""
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.duplicate = os.dup(descriptor)
        self.opened = reopened(descriptor, os.O_RDWR)
        self.private = mmap.mmap(descriptor, self.size, mmap.MAP_PRIVATE)

    def attempts(self) -> dict[str, Callable[[], object]]:
        """Ways to change the bytes. Each raises, or changes them if it can."""
        size, noise = self.size, b"\xee" * self.size

        def from_file(copy: Callable[[int, int], object]) -> None:
            source = memfd(noise, 0)
            try:
                copy(source, self.opened)
            finally:
                os.close(source)

        def from_pipe() -> None:
            with ends() as (read, write):
                os.write(write, noise[:4096])
                os.splice(read, self.opened, 4096, offset_dst=0)

        def through_gifted_pages() -> None:
            # What is read from the file into a pipe are the file's own pages.
            with ends() as (read, write):
                os.splice(self.descriptor, write, 100, offset_src=0)
                os.write(write, noise[:100])
                assert os.read(read, 200)[100:] == noise[:100]
            raise PermissionError  # it goes behind them, into a page of the pipe

        def opened_again(flags: int) -> None:
            again = reopened(self.descriptor, flags)
            try:
                os.pwrite(again, noise, 0)
            finally:
                os.close(again)

        def mapped(protection: int, then: Callable[[int], int]) -> None:
            address = libc.mmap(None, size, protection, mmap.MAP_SHARED, self.opened, 0)
            refused(address == MAP_FAILED)
            try:
                refused(then(address) != 0)
                if then is not madvise_remove:
                    ctypes.memset(address, 0xEE, size)
            finally:
                libc.munmap(ctypes.c_void_p(address), size)

        def madvise_remove(address: int) -> int:
            return libc.madvise(ctypes.c_void_p(address), size, MADV_REMOVE)

        def mprotect(address: int) -> int:
            both = mmap.PROT_READ | mmap.PROT_WRITE
            return libc.mprotect(ctypes.c_void_p(address), size, both)

        def punch() -> None:
            refused(libc.fallocate(self.opened, PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(size)) != 0)

        def through_private_mapping() -> None:
            self.private[:] = noise
            raise PermissionError  # it changes this copy alone

        both = mmap.PROT_READ | mmap.PROT_WRITE
        return {
            "write": lambda: os.pwrite(self.descriptor, noise, 0),
            "write to a duplicate": lambda: os.pwrite(self.duplicate, noise, 0),
            "write to another opening": lambda: os.pwritev(self.opened, [noise], 0),
            "open again and write": lambda: opened_again(os.O_RDWR),
            "open again and truncate": lambda: opened_again(os.O_RDWR | os.O_TRUNC),
            "shrink": lambda: os.ftruncate(self.descriptor, 0),
            "shrink by a page": lambda: os.ftruncate(self.opened, size - 4096),
            "grow": lambda: os.ftruncate(self.opened, size + 4096),
            "append": lambda: os.pwrite(self.opened, noise, size),
            "punch a hole": punch,
            "map and write": lambda: mapped(both, lambda _: 0),
            "map, allow writing and write": lambda: mapped(mmap.PROT_READ, mprotect),
            "map and remove": lambda: mapped(both, madvise_remove),
            "write to a private mapping": through_private_mapping,
            "splice a pipe into it": from_pipe,
            "write behind its pages in a pipe": through_gifted_pages,
            "sendfile into it": lambda: from_file(lambda source, into: os.sendfile(into, source, 0, size)),
            "copy a file into it": lambda: from_file(
                lambda source, into: os.copy_file_range(source, into, size, 0, 0)
            ),
        }

    def close(self) -> None:
        self.private.close()
        for descriptor in (self.descriptor, self.duplicate, self.opened):
            os.close(descriptor)


@contextmanager
def ends() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)


def refused(failed: bool) -> None:
    if failed:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]

MAP_FAILED = ctypes.c_void_p(-1).value
MADV_REMOVE = 9
MEMFD_SECRET = 447  # the call's number on every architecture
O_PATH = 0o10000000
PUNCH_HOLE = 0x02 | 0x01  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
