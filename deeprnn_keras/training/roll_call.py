"""Roll call of the processes of a run before the backend connects them, so that a missing one is named.

Process 0 listens at the address of the run. Every other process connects, sends its index, and waits. When all have
arrived, or the time is over, process 0 sends each of them the outcome.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection
from contextlib import ExitStack
from typing import TypeVar

import msgspec

from deeprnn_keras.training.cluster import Place

RETRY_SECONDS = 0.1
MAX_MESSAGE = 65536
MESSAGE_SECONDS = 5.0  # between the connection of a process and its message


class Arrival(msgspec.Struct, forbid_unknown_fields=True):
    """Message of a process that has started."""

    index: int
    count: int


class Outcome(msgspec.Struct, forbid_unknown_fields=True):
    """Answer of process 0: the processes that have not started, or an error."""

    missing: list[int]
    error: str | None = None


Message = TypeVar("Message", Arrival, Outcome)


def call_roll(place: Place, timeout: float) -> None:
    """Wait until all processes of a run have started.

    Args:
        place: Place of this process.
        timeout: Time to wait, in seconds.

    Raises:
        TimeoutError: If a process has not started in time; the message names it.
        ValueError: If two processes have the same index or state different numbers of processes, or process 0 cannot
            listen at its address.
    """
    if place.count == 1:
        return
    deadline = time.monotonic() + timeout
    outcome = _listen(place, deadline) if place.index == 0 else _answer(place, deadline)
    if outcome.error is not None:
        raise ValueError(outcome.error)
    if outcome.missing:
        plural = len(outcome.missing) > 1
        names = f"process{'es' if plural else ''} {', '.join(map(str, outcome.missing))}"
        raise TimeoutError(
            f"{names} of {place.count} did not start within {timeout:g} s (process 0 is at {place.address}, and places "
            f"are from {place.launcher}); look for the error of {names}, or pass a longer timeout"
        )


def _listen(place: Place, deadline: float) -> Outcome:
    """Return the outcome of the roll call, after it was sent to the processes that have arrived."""
    arrived: set[int] = set()
    connections: list[socket.socket] = []
    with ExitStack() as stack:
        server, error = stack.enter_context(_server(place.address)), None
        while error is None and len(arrived) < place.count - 1:
            server.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                connection = stack.enter_context(server.accept()[0])
            except TimeoutError:
                break
            try:
                message = _receive(connection, Arrival, MESSAGE_SECONDS)
            except (OSError, msgspec.MsgspecError):  # not a process of this run, or one that has ended
                continue
            error = _error(place, message, arrived)
            arrived.add(message.index)
            connections.append(connection)
        outcome = Outcome([index for index in range(1, place.count) if index not in arrived], error)
        for connection in connections:
            connection.sendall(msgspec.json.encode(outcome) + b"\n")
    return outcome


def _error(place: Place, arrival: Arrival, arrived: Collection[int]) -> str | None:
    """Return the reason why a process does not fit, or None if it does."""
    if arrival.count != place.count:
        return (
            f"process {arrival.index} expects {arrival.count} processes, and process 0 expects {place.count}; start "
            "all processes with the same number"
        )
    if arrival.index in arrived:
        return f"two processes have the index {arrival.index}; start each process with an index of its own"
    return None


def _server(address: str) -> socket.socket:
    port = int(address.rpartition(":")[2])
    try:
        return socket.create_server(("", port))
    except OSError as error:
        raise ValueError(
            f"process 0 could not listen at port {port} of {address!r}: {os.strerror(error.errno or 0)}; pass an "
            "address with another port"
        ) from error


def _answer(place: Place, deadline: float) -> Outcome:
    """Report to process 0, and return the outcome that it sends."""
    host, _, port = place.address.rpartition(":")
    while (remaining := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, int(port)), remaining) as connection:
                connection.sendall(msgspec.json.encode(Arrival(place.index, place.count)) + b"\n")
                return _receive(connection, Outcome, remaining + MESSAGE_SECONDS)
        except (OSError, msgspec.MsgspecError):  # process 0 does not listen yet
            time.sleep(RETRY_SECONDS)
    return Outcome([0])


def _receive(connection: socket.socket, kind: type[Message], timeout: float) -> Message:
    connection.settimeout(timeout)
    with connection.makefile("rb") as file:
        return msgspec.json.decode(file.readline(MAX_MESSAGE), type=kind)
