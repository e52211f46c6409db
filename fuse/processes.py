"""Work by processes that are forked: they share what was loaded, but no interpreter lock."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import pickle  # nosec B403 - of this program's own processes
import signal
import sys
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Item = TypeVar("Item")

PATIENCE = 5.0  # seconds that a process has to end what it is at, once nobody wants it
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


class ProcessKilledError(Exception):
    """A process ended before its work; what it knew is gone."""


class CannotForkError(Exception):
    """The system starts no more processes, or has no memory for one."""


def can_fork() -> bool:
    """Whether a copy of this process can go on: no thread is there that it would lack."""
    return (
        sys.platform == "linux"
        and threading.active_count() == 1
        and not multiprocessing.current_process().daemon  # which may have no children
    )


def draw_from_forks(
    sources: Sequence[Callable[[], Generator[Item, None, None]]],
) -> Generator[Item, None, None]:
    """The items of several sources, each of which a process of its own draws from.

    They come in turn: the first of each source, then the second of each. A source runs ahead as far
    as a pipe holds. What one raises is raised here, at its turn. Once this generator is closed no
    process is left; they end what they are at, if that does not take long.

    Args:
        sources: each is called in its process, and closed there.

    Raises:
        CannotForkError: a process could not be started; nothing has been drawn yet.
        ProcessKilledError: a process was killed.
    """
    with ExitStack() as stack:
        connections: list[Connection] = []
        for source in sources:
            connections.append(stack.enter_context(_fork(source, tuple(connections))))
        for connection in connections:
            stack.callback(connection.close)  # all end at once, before any is waited for
        waiting = deque(connections)
        while waiting:
            connection = waiting.popleft()
            for item in _receive(connection):
                yield item
                waiting.append(connection)


@contextmanager
def _fork(
    source: Callable[[], Generator[Any, None, None]], others: Sequence[Connection]
) -> Iterator[Connection]:
    """Where the items of a process come from; with the block it ends."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_send, args=(os.getpid(), source, sender, [*others, receiver]), daemon=True
    )
    with warnings.catch_warnings():
        # Python 3.12 sees threads of BLAS and OpenMP, which nobody uses on the other side.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            process.start()
        except OSError as err:
            raise CannotForkError(str(err)) from err
    sender.close()
    try:
        yield receiver
    finally:
        receiver.close()
        try:
            process.join(PATIENCE)
        finally:
            process.kill()
            process.join()


def _send(
    parent: int,
    source: Callable[[], Generator[Any, None, None]],
    sender: Connection,
    inherited: Sequence[Connection],
) -> None:
    """Send lists of an item each, then an empty one, or an error."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent gets it, too, and ends this
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before that
        return
    for connection in inherited:
        connection.close()  # else a parent that was killed would seem to listen
    gc.freeze()  # a look at what is shared would copy it
    gc.enable()
    with closing(source()) as items:
        try:
            for item in items:
                if not _is_sent(sender, [item]):
                    return
            _is_sent(sender, [])
        except Exception as err:  # noqa: BLE001 - raised by the parent
            _is_sent(sender, _make_portable(err))


def _is_sent(sender: Connection, message: list[Any] | Exception) -> bool:
    """Send something; False where the parent wants no more."""
    try:
        sender.send(message)
    except BrokenPipeError:
        return False
    return True


def _make_portable(error: Exception) -> Exception:
    """An error that another process can read, and where it came from, which does not travel."""
    origin = f"in a process:\n{traceback.format_exc()}"
    error.add_note(origin)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # nosec B301 - just made
    except Exception:  # noqa: BLE001 - pickling raises anything
        return RuntimeError(origin)
    return error


def _receive(connection: Connection) -> list[Any]:
    """The next item of a process, or none where there is no more."""
    try:
        received = connection.recv()
    except (EOFError, OSError) as err:  # the latter in the middle of a message
        raise ProcessKilledError("a process was killed, as where memory runs out") from err
    if isinstance(received, Exception):
        raise received
    items: list[Any] = received
    return items
