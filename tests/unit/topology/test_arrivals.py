"""What a stopping process learns of the connections that its server holds."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from ramet.topology.single.arrivals import Arrivals


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def pair(listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the caller's, and the accepted one."""
    with socket.create_connection(listener.getsockname()) as caller, listener.accept()[0] as accepted:
        yield caller, accepted


def arrive(accepted: socket.socket) -> None:
    """Returns once something can be read."""
    assert select.select([accepted], [], [], 10)[0]


def test_a_connection_is_unheard_until_what_it_sent_is_read(
    listener: socket.socket, pair: tuple[socket.socket, socket.socket]
) -> None:
    caller, accepted = pair
    arrivals = Arrivals(listener)
    silent = {accepted.fileno()}
    assert arrivals.unheard() == arrivals.unheard(silent) == silent
    caller.send(b"ab")
    arrive(accepted)
    assert arrivals.unheard() == silent
    assert accepted.recv(1) == b"a"
    assert arrivals.unheard() == silent
    assert accepted.recv(1) == b"b"
    assert arrivals.unheard() == arrivals.unheard(silent) == set()


def test_a_caller_that_sends_no_more_is_heard_out_too(
    listener: socket.socket, pair: tuple[socket.socket, socket.socket]
) -> None:
    caller, accepted = pair
    caller.send(b"a")
    caller.shutdown(socket.SHUT_WR)
    arrive(accepted)
    arrivals = Arrivals(listener)
    assert arrivals.unheard() == {accepted.fileno()}
    accepted.recv(1)
    arrive(accepted)
    assert arrivals.unheard() == set()


def test_nothing_else_is_taken_for_a_connection_to_the_port(listener: socket.socket) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.create_connection(other.getsockname()) as outgoing,
        other.accept()[0] as accepted,
        socket.socket(socket.AF_UNIX) as local,
    ):
        found = {listener.fileno(), outgoing.fileno(), accepted.fileno(), local.fileno(), 1, 1_000_000}
        assert Arrivals(listener).unheard(found) == set()
        assert Arrivals(other).unheard(found) == {accepted.fileno()}


def test_who_is_made_to_stop_accepting_hears_of_no_connection_but_they_stay_queued(listener: socket.socket) -> None:
    with select.epoll() as poll, select.epoll() as another:
        poll.register(listener.fileno(), select.EPOLLIN)
        copy = os.dup(poll.fileno())
        another.register(copy, select.EPOLLIN)
        with socket.create_connection(listener.getsockname()):
            assert poll.poll(10) == [(listener.fileno(), select.EPOLLIN)]
            Arrivals(listener).stop()
            assert poll.poll(0) == []
            assert another.poll(0) == []
            listener.accept()[0].close()
        os.close(copy)


def test_what_is_queued_is_counted(listener: socket.socket) -> None:
    arrivals = Arrivals(listener)
    assert arrivals.queued() == 0
    with socket.create_connection(listener.getsockname()), socket.create_connection(listener.getsockname()):
        assert arrivals.queued() == 2
        assert arrivals.unheard() == set()
        listener.accept()[0].close()
        assert arrivals.queued() == 1
