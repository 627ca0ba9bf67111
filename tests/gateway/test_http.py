"""The HTTP listener: never open, and the same promises as MLLP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.config import HttpConfig
from gateway.http import http_app, ingress_server
from gateway.ingress import Ingress
from parsers.hl7.ack import read_ack
from streams.http_server import HttpTimes
from streams.listening import open_sockets, port_of
from tests.conftest import HasBootstrap
from tests.gateway.running import admission, everything, running
from tests.support.kafka import TopicNames

pytestmark = [pytest.mark.kafka]
TOKEN = "t0ken"
GUARD = {"Authorization": f"Bearer {TOKEN}"}
ROW = {"birth_date": "1980-01-01", "identifiers": [{"authority": "GENHOSP", "number": "100"}]}
RELEASE = {"kind": "released", "occurred": "2026-03-01T10:00:00-08:00", "cin": "91234567A", "facility": "J"}


@asynccontextmanager
async def caller(
    ingress: Ingress, limit: int = 100_000, headers: dict[str, str] = GUARD
) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=http_app(ingress, TOKEN, limit))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers, timeout=20) as client:
        yield client


async def test_without_the_token_nothing_is_taken(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer "}):
            async with caller(gateway.ingress, headers=headers) as http:
                assert (await http.post("/hl7", content=admission("C1"))).status_code == 401
                assert (await http.put("/roster/91234567A", json=ROW)).status_code == 401
                assert (await http.post("/custody", json=RELEASE)).status_code == 401
        assert await gateway.raw() == []
        with pytest.raises(ValueError, match="token"):
            http_app(gateway.ingress, "", 100)


async def test_several_messages_in_one_body_are_all_taken(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    bad = admission("C2").replace(b"PID|", b"XID|")
    async with running(kafka.bootstrap, topic_names) as gateway, caller(gateway.ingress) as http:
        mixed = await http.post("/hl7", content=admission("C1") + bad + admission("C3"))
        assert mixed.status_code == 422
        assert [line for line in mixed.text.split("\r") if line.startswith("MSA")] == [
            "MSA|AA|C1",
            "MSA|AE|C2|no patient number",
            "MSA|AA|C3",
        ]
        assert {each.headers["control-id"] for each in await gateway.raw()} == {b"C1", b"C3"}
        assert len(await gateway.dead()) == 1
        assert (await http.post("/hl7", content=admission("C4") + admission("C5"))).status_code == 200


async def test_the_messages_of_one_body_wait_for_kafka_together_and_keep_their_order(
    kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway, caller(gateway.ingress, limit=1_000_000) as http:
        body = b"".join(admission(f"C{n:03d}", patient=str(n % 7)) for n in range(500))
        asking = asyncio.create_task(http.post("/hl7", content=body))
        most = 0
        while not asking.done():
            most = max(most, gateway.ingress.under_way)
            await asyncio.sleep(0)
        answer = await asking
        assert answer.status_code == 200
        acks = [line for line in answer.text.split("\r") if line.startswith("MSA")]
        assert acks == [f"MSA|AA|C{n:03d}" for n in range(500)]
        assert 1 < most <= 200
        by_patient: dict[bytes, list[bytes]] = {}
        for each in await gateway.raw():
            by_patient.setdefault(each.key or b"", []).append(each.headers["control-id"])
        assert sum(map(len, by_patient.values())) == 500
        assert all(controls == sorted(controls) for controls in by_patient.values())


async def test_hl7_is_answered_as_over_mllp(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway, caller(gateway.ingress) as http:
        good = await http.post("/hl7", content=admission("C1"))
        assert good.status_code == 200
        assert read_ack(good.content).control_id == "C1"
        bad = await http.post("/hl7", content=admission("C2").replace(b"PID|", b"XID|"))
        assert (bad.status_code, read_ack(bad.content).code) == (422, "AE")
        assert (await http.post("/hl7", content=b"x" * 100_001)).status_code == 413
        assert [each.value for each in await gateway.raw()] == [admission("C1")]
        assert len(await gateway.dead()) == 1
        assert (await http.get("/hl7")).status_code == 405


async def test_a_roster_row_is_stored_under_its_member(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway, caller(gateway.ingress) as http:
        assert (await http.put("/roster/91234567A", json=ROW)).status_code == 200
        for row in ({}, {**ROW, "member_id": "91234567C"}, {**ROW, "birth_date": "soon"}):
            refused = await http.put("/roster/91234567A", json=row)
            assert refused.status_code == 422
            assert "soon" not in refused.text
        assert (await http.put("/roster/91234567A", content=b"[]")).status_code == 422
        (record,) = everything(gateway.kafka, gateway.topics.roster)
        assert record.key == b"91234567A"
        assert record.headers["received"].isdigit()
        assert json.loads(record.value or b"")["identifiers"] == ROW["identifiers"]


async def test_custody_records_are_stored_all_or_none(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway, caller(gateway.ingress) as http:
        lines = "\n".join(json.dumps({**RELEASE, "record_id": f"R{n}"}) for n in range(3))
        assert (await http.post("/custody", content=lines)).json() == {"stored": 3}
        refused = await http.post("/custody", content=lines + "\n" + json.dumps({"kind": "freed"}))
        assert refused.status_code == 422
        assert refused.json()["faults"][0].startswith("line 4: ")
        records = everything(gateway.kafka, gateway.topics.custody)
        assert sorted(json.loads(each.value or b"")["record_id"] for each in records) == ["R0", "R1", "R2"]
        assert {each.key for each in records} == {b"CIN|91234567A"}


async def test_without_kafka_it_says_send_again(topic_names: TopicNames) -> None:
    async with (
        running("127.0.0.1:1", topic_names, seconds=0.5, topics=False) as gateway,
        caller(gateway.ingress) as http,
    ):
        answer = await http.post("/hl7", content=admission("C1"))
        assert (answer.status_code, read_ack(answer.content).code) == (503, "AR")
        assert answer.headers["retry-after"]
        assert (await http.put("/roster/91234567A", json=ROW)).status_code == 503
        assert (await http.post("/custody", json=RELEASE)).status_code == 503


async def test_bodies_that_do_not_come_are_ended_without_a_line_for_each(
    kafka: HasBootstrap, topic_names: TopicNames, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway:
        config = HttpConfig(token=TOKEN, port=0, times=HttpTimes(body=0.5))
        server = ingress_server(gateway.ingress, config, spare=0)
        sockets = open_sockets("127.0.0.1", 0)
        port = port_of(sockets)
        serving = asyncio.create_task(server.serve(sockets))
        head = f"POST /hl7 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 900\r\n\r\n".encode()
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
        for _, writer in clients:
            writer.write(head + admission("HALF")[:100])
        for reader, writer in clients:
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=GUARD, timeout=20) as http:
            assert (await http.post("/hl7", content=admission("WHOLE"))).status_code == 200
        server.should_exit = True
        await serving
        assert [each.headers["control-id"] for each in await gateway.raw()] == [b"WHOLE"]
        assert await gateway.dead() == []
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]
