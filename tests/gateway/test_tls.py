"""MLLP over TLS: who shows no certificate, a stranger's or an old one is not let in; who is let in is known by it."""

from __future__ import annotations

import contextlib
import ssl
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace

from gateway.client import Target, send
from gateway.config import MllpConfig
from gateway.peers import names_in
from parsers.hl7.profiles import Profiles, SenderProfile
from streams import listening
from streams.metrics import CONNECTIONS
from streams.tls import Tls, client_context, server_context
from tests.conftest import HasBootstrap
from tests.gateway.running import admission, running, sender, until
from tests.support.kafka import TopicNames

pytestmark = [pytest.mark.kafka]
MERCY = SenderProfile(name="mercy", authority="GENHOSP", certificates=frozenset({"adt.mercy.example"}))


class Papers:
    """Certificates of one authority, on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.ca_file))
        certificate, key = self.pair("server", self.ca.issue_cert("localhost", "127.0.0.1"))
        self.server = Tls(certificate, key, self.ca_file)

    def pair(self, name: str, issued: trustme.LeafCert) -> tuple[Path, Path]:
        """A certificate and its key as files."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        issued.private_key_pem.write_to_path(str(key))
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return certificate, key


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


def good(papers: Papers) -> ssl.SSLContext:
    return client_context(papers.ca_file, *papers.pair("mercy", papers.ca.issue_cert("adt.mercy.example")))


def none(papers: Papers) -> ssl.SSLContext:
    return client_context(papers.ca_file)


def strangers(papers: Papers) -> ssl.SSLContext:
    return client_context(papers.ca_file, *papers.pair("other", trustme.CA().issue_cert("adt.mercy.example")))


def expired(papers: Papers) -> ssl.SSLContext:
    then = datetime.now(UTC) - timedelta(days=1)
    issued = papers.ca.issue_cert("adt.mercy.example", not_before=then - timedelta(days=9), not_after=then)
    return client_context(papers.ca_file, *papers.pair("old", issued))


async def test_the_certificate_names_the_sender(kafka: HasBootstrap, topic_names: TopicNames, papers: Papers) -> None:
    config = MllpConfig(port=0, tls=papers.server)
    async with running(kafka.bootstrap, topic_names, config, profiles=Profiles([MERCY])) as gateway:
        target = Target("127.0.0.1", gateway.port, tls=good(papers), server_name="localhost")
        sent = await send(target, [admission("C1"), admission("C2")])
        assert dict(sent.codes) == {"AA": 2}
        assert {each.headers["sender"] for each in await gateway.raw()} == {b"mercy"}


@pytest.mark.parametrize("context", [none, strangers, expired])
async def test_nobody_else_is_let_in(
    context: Callable[[Papers], ssl.SSLContext], kafka: HasBootstrap, topic_names: TopicNames, papers: Papers
) -> None:
    async with running(kafka.bootstrap, topic_names, MllpConfig(port=0, tls=papers.server)) as gateway:
        target = Target("127.0.0.1", gateway.port, tls=context(papers), server_name="localhost", answer_seconds=5)
        assert dict((await send(target, [admission("C1")])).codes) == {"none": 1}
        async with sender(gateway.port) as plain:
            await plain.say(admission("C2"))
            assert await plain.ended()
        assert await gateway.raw() == []
        again = replace(target, tls=good(papers))
        assert dict((await send(again, [admission("C3")])).codes) == {"AA": 1}


async def test_a_client_does_not_talk_to_a_stranger(
    kafka: HasBootstrap, topic_names: TopicNames, papers: Papers
) -> None:
    async with running(kafka.bootstrap, topic_names, MllpConfig(port=0, tls=papers.server)) as gateway:
        target = Target("127.0.0.1", gateway.port, tls=client_context(None), server_name="localhost", answer_seconds=5)
        assert dict((await send(target, [admission("C1")])).codes) == {"none": 1}


async def test_old_tls_is_refused(kafka: HasBootstrap, topic_names: TopicNames, papers: Papers) -> None:
    async with running(kafka.bootstrap, topic_names, MllpConfig(port=0, tls=papers.server)) as gateway:
        for version, code in ((ssl.TLSVersion.TLSv1_1, "none"), (ssl.TLSVersion.TLSv1_2, "AA")):
            context = good(papers)
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # the client is willing: the server is not
            with warnings.catch_warnings(action="ignore"):
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = version
            target = Target("127.0.0.1", gateway.port, tls=context, server_name="localhost", answer_seconds=5)
            assert dict((await send(target, [admission("C1")])).codes) == {code: 1}
        assert len(await gateway.raw()) == 1


async def test_handshakes_that_fail_or_never_begin_give_their_place_back(
    kafka: HasBootstrap, topic_names: TopicNames, papers: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_HANDSHAKE_SECONDS", 0.5)
    config = MllpConfig(port=0, tls=papers.server, connections=10)
    places = CONNECTIONS.labels("mllp")._value
    async with running(kafka.bootstrap, topic_names, config) as gateway:
        before = places.get()
        for said, leaves in ((b"", False), (b"", True), (b"\x16\x03\x01\x02\x00\x01", True), (b"MSH|" * 99, False)):
            async with contextlib.AsyncExitStack() as peers:
                for _ in range(10):
                    peer = await peers.enter_async_context(sender(gateway.port))
                    await peer.say(said)
                    if leaves:
                        peer.writer.close()
                await until(lambda: places.get() == before, "every place is free")
        target = Target("127.0.0.1", gateway.port, tls=good(papers), server_name="localhost", connections=5)
        assert dict((await send(target, [admission(f"C{n}") for n in range(5)])).codes) == {"AA": 5}
        await until(lambda: places.get() == before, "every place is free")


def test_names_of_a_certificate_and_files_that_are_none(tmp_path: Path) -> None:
    certificate = {
        "subject": ((("commonName", "Old.Name"),),),
        "subjectAltName": (("DNS", "adt.mercy.example"), ("Registered ID", "1.2.3")),
    }
    assert names_in(certificate) == ["adt.mercy.example", "old.name"]
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    with pytest.raises(ssl.SSLError):
        server_context(Tls(empty, empty))
