"""Standard errors that take nothing, for tests of what a daemon does then."""
import contextlib
import fcntl
import os

FILL = b"." * 1023 + b"\n"


def set_blocking(fd, blocking):
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_NONBLOCK if blocking else flags | os.O_NONBLOCK)


def fill(fd):
    """To the last byte; the descriptor blocks again afterwards, as a shell would hand it on."""
    set_blocking(fd, False)
    for chunk in (FILL, b"."):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(fd, chunk)
    set_blocking(fd, True)


class Stuck:
    """A standard error that takes nothing; drain() reads all that it has taken since."""

    def __init__(self, write, read):
        self.write, self.read = write, read

    def close(self):
        for fd in (self.write, self.read):
            with contextlib.suppress(OSError):
                os.close(fd)

    def drain(self):
        set_blocking(self.read, False)
        parts = []
        with contextlib.suppress(OSError):
            while part := os.read(self.read, 65536):
                parts.append(part)
        return b"".join(parts).decode(errors="replace").replace("\r", "")


def unread_pipe():
    """Which is not full yet."""
    read, write = os.pipe()
    return Stuck(write, read)
