"""A process that serves many distinct TLS endpoints on loopback, for the benchmarks.

Run as a program: COUNT endpoints with DELAY seconds before each answers, SILENT of them never do.
It prints its ports, then serves until its standard input ends.
"""

import asyncio
import socket
import ssl
import subprocess
import sys
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import QUICK, create_authority, new_key
from vmscert.network.tls import server_context

_KEYS = 16  # each certificate is another one, keys take turns: making one costs 45 ms
_ADDRESSES = 20  # 127.0.0.1 and up, as on a real site


@contextmanager
def endpoints(count, folder, delay=0.0, silent=0):
    """Serve in a process of its own; yield (root file, [(address, port)])."""
    root = Path(folder, "root.pem")
    command = [sys.executable, __file__, str(count), str(root), str(delay), str(silent)]
    served = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert served.stdout is not None
    try:
        places = served.stdout.readline().split()
        yield root, [(place.partition(":")[0], int(place.partition(":")[2])) for place in places]
    finally:
        served.communicate()


def name_of(number):
    return f"rec-{number}.lyon.local"


async def _serve(count, root, delay, silent):
    now = datetime.now(UTC)
    authority = create_authority("Benchmark root", now, QUICK, new_key(2048))
    keys = [new_key(2048) for _ in range(_KEYS)]
    root.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    places = []
    for number in range(count):
        address = f"127.0.0.{number % _ADDRESSES + 1}"
        if number < silent:
            server = await asyncio.start_server(_never, address, 0, backlog=256)
        else:
            issued = authority.issue(name_of(number), address, at=now, key=keys[number % _KEYS])
            context = server_context(issued)
            context.num_tickets = 0  # as bare as a server can be
            server = await _endpoint(address, context, delay)
        places.append("{}:{}".format(*server.sockets[0].getsockname()))
    print(*places, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _endpoint(address, context, delay):
    if not delay:
        return await asyncio.start_server(_hang_up, address, 0, ssl=context, backlog=256)
    listener = socket.create_server((address, 0), backlog=256)
    listener.setblocking(False)
    return _Late(listener, asyncio.create_task(_accept(listener, context, delay)))


class _Late(NamedTuple):
    """A server that lets its callers wait."""

    listener: socket.socket
    task: asyncio.Task

    @property
    def sockets(self):
        return [self.listener]


async def _accept(listener, context, delay):
    loop, answers = asyncio.get_running_loop(), set()
    while True:
        plain, _ = await loop.sock_accept(listener)
        answers.add(asyncio.create_task(_answer(loop, plain, context, delay)))


async def _answer(loop, plain, context, delay):
    await asyncio.sleep(delay)
    protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader(), _hang_up)
    with suppress(OSError):
        await loop.connect_accepted_socket(lambda: protocol, plain, ssl=context)


async def _hang_up(reader, writer):
    with suppress(OSError, ssl.SSLError):
        await reader.read(1)
    writer.close()


async def _never(reader, _writer):
    await reader.read()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
