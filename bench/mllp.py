"""MLLP to confirmed: how many messages a second the listener takes, and how long an answer is awaited.

    python -m bench.mllp [--messages N] [--connections N] [--no-peers]

The listener, the sender and Kafka (`acks=all`, embedded) are three processes on this machine. Each message has a
control ID of its own, so that no answer comes from the memory of resends. The peers answer AA without storing
anything: they are the mark for the protocol alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic

from gateway.client import MllpClient, Sent, Target, send
from gateway.config import GatewayConfig, MllpConfig, Topics
from gateway.serve import serve
from handoff.embedded.kafka import EmbeddedKafka
from parsers.hl7.profiles import Profiles
from streams.kafka.settings import KafkaSettings

BARS = {"one_connection_per_s": 1_000, "many_connections_per_s": 6_000, "half_load_p99_ms": 100}
SEGMENTS = (
    "EVN|A01|20260301101500|||CLERK^ADMITTING^A|20260301101000",
    "PID|1||{patient}^^^GENHOSP^MR||DOE^JANE^Q||19800115|F|||100 MAIN ST^^LOS ANGELES^CA^90012||(213)555-0123",
    "NK1|1|DOE^JOHN|SPO|100 MAIN ST^^LOS ANGELES^CA^90012|(213)555-0124",
    "PV1|1|I|4E^401^A^GENHOSP||||1234^WELBY^MARCUS|||MED||||7|||1234^WELBY^MARCUS|IN|V{visit}|||||||||||||||||||||||||"
    "20260301101000",
    "DG1|1||I10^Essential hypertension^I10||20260301|A",
    "IN1|1|MCAL|MC01|MEDI-CAL|||||||||||DOE^JANE^Q|SEL|19800115||||||||||||||||||||91234567A",
)


def message(number: int) -> bytes:
    """An admission of about 600 bytes, different for each number."""
    head = f"MSH|^~\\&|ADT|GENHOSP|HANDOFF|PLAN|20260301101500||ADT^A01^ADT_A01|C{number:09d}|P|2.5.1"
    body = "\r".join(SEGMENTS).format(patient=number % 5000, visit=number)
    return f"{head}\r{body}\r".encode()


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def serve_gateway(bootstrap: str, pipe: Connection) -> None:
    """The listener's process."""
    gateway = GatewayConfig(mllp=MllpConfig(port=0), health_port=0, topics=Topics())
    asyncio.run(serve(gateway, KafkaSettings(bootstrap=bootstrap), Profiles(), pipe.send))


def serve_python_hl7(pipe: Connection) -> None:
    """python-hl7's MLLP server: parses, answers, stores nothing."""
    from hl7.mllp import start_hl7_server

    async def answer(reader: Any, writer: Any) -> None:
        try:
            while not writer.is_closing():
                writer.writemessage((await reader.readmessage()).create_ack())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await start_hl7_server(answer, host="127.0.0.1", port=0)
        pipe.send({"mllp": f"127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        await server.serve_forever()

    asyncio.run(main())


def serve_hl7apy(pipe: Connection) -> None:
    """hl7apy's MLLP server with a handler that parses nothing (its parser takes 14 ms a message)."""
    from hl7apy.mllp import AbstractHandler, MLLPServer

    class Answer(AbstractHandler):  # type: ignore[misc]
        def reply(self) -> str:
            control = self.incoming_message.split("|", 10)[9]
            ack = f"MSH|^~\\&|PLAN|HANDOFF|GENHOSP|ADT|20260301101500||ACK|1|P|2.5.1\rMSA|AA|{control}\r"
            return f"\x0b{ack}\x1c\r"

    server = MLLPServer("127.0.0.1", 0, {"ADT^A01^ADT_A01": (Answer,)})
    pipe.send({"mllp": f"127.0.0.1:{server.server_address[1]}"})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM})


def run(port: int, first: int, count: int, connections: int, rate: float = 0) -> dict[str, Any]:
    """Sends `count` messages; gives what came of it."""
    target = Target("127.0.0.1", port, connections=connections, rate=rate)
    batch = [message(number) for number in range(first, first + count)]
    sent = asyncio.run(send(target, batch))
    return {
        "messages": count,
        "connections": connections,
        "codes": dict(sent.codes),
        "per_s": round(count / sent.elapsed),
        "p50_ms": round(1000 * sent.percentile(0.5), 2),
        "p99_ms": round(1000 * sent.percentile(0.99), 2),
    }


def warm_up(port: int) -> None:
    """Sends until Java has compiled what it runs: the rate of one round is no longer 5 % above the one before."""
    before = 0
    for turn in range(8):
        rate = int(run(port, 910_000_000 + turn * 1_000_000, 10_000, 50)["per_s"])
        if rate < before * 1.05:
            return
        before = rate


async def one_each(port: int, count: int) -> dict[str, Any]:
    """The same with a connection for each message: for a server that closes after one."""
    seconds: list[float] = []
    client = MllpClient(Target("127.0.0.1", port))
    start = time.perf_counter()
    for number in range(count):
        begin = time.perf_counter()
        if (await client.exchange(message(number))).code != "AA":
            raise SystemExit("a peer did not answer AA")
        seconds.append(time.perf_counter() - begin)
        client.close()
    elapsed = time.perf_counter() - start
    sent = Sent(Counter(AA=count), seconds, elapsed)
    return {
        "messages": count,
        "connections": "one for each message",
        "per_s": round(count / elapsed),
        "p50_ms": round(1000 * sent.percentile(0.5), 2),
        "p99_ms": round(1000 * sent.percentile(0.99), 2),
    }


class Serving:
    """A server in a process of its own."""

    def __init__(self, serve_it: Any, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=serve_it, args=(*arguments, theirs), daemon=True)
        self._process.start()
        if not ours.poll(30):
            raise SystemExit("a server did not start")
        self.port = int(str(ours.recv()["mllp"]).rpartition(":")[2])

    def __enter__(self) -> int:
        return self.port

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join(20)
        if self._process.is_alive():
            self._process.kill()


def peers(count: int) -> dict[str, Any]:
    """The same sender against servers that store nothing."""
    told: dict[str, Any] = {}
    say("python-hl7, 1 connection, answers from memory")
    with Serving(serve_python_hl7) as port:
        told["python-hl7 (memory only)"] = run(port, 0, count, 1)
        told["python-hl7 (memory only), many"] = run(port, 0, count, 50)
    say("hl7apy, a connection for each message, answers from memory")
    with Serving(serve_hl7apy) as port:
        told["hl7apy (memory only)"] = asyncio.run(one_each(port, min(count, 3000)))
    return told


def main() -> None:
    """Measures, and prints one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=30_000)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--no-peers", action="store_true")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    count, many = given.messages, given.connections
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder)) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
        wanted = [NewTopic(name, 4, 1) for name in ("adt.raw.v1", "adt.dead-letters.v1")]
        for made in admin.create_topics(wanted).values():
            made.result(30)
        with Serving(serve_gateway, kafka.bootstrap) as port:
            say("warming up")
            run(port, 900_000_000, 3_000, 4)
            warm_up(port)
            say("1 connection, one in flight")
            one = run(port, 0, count // 3, 1)
            say(f"{many} connections")
            full = run(port, 100_000_000, count, many)
            half_rate = full["per_s"] / 2
            say(f"{many} connections at half of it ({half_rate:.0f}/s)")
            half = run(port, 200_000_000, count // 2, many, half_rate)
    told = {} if given.no_peers else peers(count // 6)
    met = {
        "one_connection_per_s": one["per_s"] >= BARS["one_connection_per_s"],
        "many_connections_per_s": full["per_s"] >= BARS["many_connections_per_s"],
        "half_load_p99_ms": half["p99_ms"] < BARS["half_load_p99_ms"],
    }
    result = {
        "bench": "mllp",
        "one_connection": one,
        "many_connections": full,
        "half_load": half,
        "bars": BARS,
        "met": met,
        "peers": told,
        "message_bytes": len(message(1)),
        "machine": {"cpus": os.cpu_count(), "load_before": round(load, 2), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("confluent-kafka", "hl7", "hl7apy")},
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
