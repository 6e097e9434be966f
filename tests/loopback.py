"""Servers on loopback that do what a test wants."""

import socket
import threading
from contextlib import contextmanager, suppress

HERE = "127.0.0.1"


@contextmanager
def server(answer):
    """Run `answer(socket)` for everyone who calls; yield the port."""
    stop = threading.Event()
    listener = socket.create_server((HERE, 0))

    def serve():
        while not stop.is_set():
            caller, _ = listener.accept()
            with caller, suppress(OSError):
                caller.settimeout(5)
                if not stop.is_set():
                    answer(caller)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()
        listener.close()


def serving(context):
    """A server that shakes hands, waits until the client leaves, and hangs up."""

    def answer(caller):
        with context.wrap_socket(caller, server_side=True) as tls:
            tls.recv(1)

    return server(answer)
