"""Clients that ask one question over and over, each on a connection of its own, as a process beside the server's.

    python -m benches.clients PORT CLIENTS TURNS PAUSE METHOD PATH < BODY

prints the milliseconds of each answer as JSON. Each client waits PAUSE seconds, give or take half, between an answer and its next question.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time


def ask(
    port: int, path: str, body: bytes | None, clients: int, turns: int, pause: float = 0.0
) -> list[float]:
    """The milliseconds of ``turns`` answers to each of ``clients``, ascending."""
    command = [sys.executable, "-m", "benches.clients", str(port), str(clients), str(turns), str(pause)]
    command += ["GET" if body is None else "POST", path]
    found = subprocess.run(command, input=body or b"", capture_output=True, check=True).stdout
    return sorted(json.loads(found))


def shown(spent: list[float]) -> str:
    """The median and the 99th percentile."""
    return f"p50 {spent[len(spent) // 2]:.2f} p99 {spent[min(len(spent) - 1, len(spent) * 99 // 100)]:.2f} ms"


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
    begun = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return (time.perf_counter() - begun) * 1000


async def _client(port: int, request: bytes, turns: int, pause: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await _asked(reader, writer, request)
    found = []
    for _ in range(turns):
        if pause:
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
        found.append(await _asked(reader, writer, request))
    writer.close()
    return found


async def _all(port: int, clients: int, turns: int, pause: float, request: bytes) -> list[float]:
    found = await asyncio.gather(*(_client(port, request, turns, pause) for _ in range(clients)))
    return [each for answers in found for each in answers]


def main() -> None:
    """Asks as the arguments say."""
    port, clients, turns, pause, method, path = sys.argv[1:]
    body = sys.stdin.buffer.read()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    print(json.dumps(asyncio.run(_all(int(port), int(clients), int(turns), float(pause), request))))


if __name__ == "__main__":
    main()
