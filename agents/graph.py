"""What flows where: the processes of handoff, the topics that each reads and writes, and the key of its state.

The stages take their inputs and outputs from here, and so do consumer groups, process lists, `handoff topics graph` and
the test that holds topics.yaml to it. Nothing here imports a Kafka client.
"""

from __future__ import annotations

from typing import Final

import msgspec

from agents.topics import (
    ADT_RAW,
    ALERTS,
    ARCHIVE,
    CANDIDATES,
    CUSTODY_RAW,
    DEAD_LETTERS,
    DISPOSITIONS,
    IDENTITY_FACTS,
    LINKS,
    RECONCILE_CHANGELOG,
    REFER_CHANGELOG,
    ROSTER,
    TICKS,
    TRANSITIONS,
    UNATTRIBUTED,
    UTILIZATION,
    VISITS,
    WATCHLIST,
)


class Node(msgspec.Struct, frozen=True):
    """One process: the topics it consumes and produces. `changelog` and `key` describe the rows it keeps, if any."""

    name: str
    summary: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    changelog: str = ""
    key: str = ""


GATEWAY: Final = Node(
    "gateway",
    "MLLP, HTTP and folder listeners; roster and custody loaders",
    writes=(ADT_RAW, CUSTODY_RAW, ROSTER, DISPOSITIONS, DEAD_LETTERS),
)
RECONCILE: Final = Node(
    "reconcile",
    "patient stage: the visits of one source patient, and the member it belongs to",
    reads=(ADT_RAW, CUSTODY_RAW, LINKS),
    writes=(VISITS, LINKS, IDENTITY_FACTS, UNATTRIBUTED, DEAD_LETTERS),
    changelog=RECONCILE_CHANGELOG,
    key="patient key (authority|number)",
)
DIRECTORY: Final = Node(
    "directory",
    "member directory: which member the roster names for an identifier, and whom merged patients belong to",
    reads=(ROSTER, UNATTRIBUTED, IDENTITY_FACTS),
    writes=(LINKS,),
)
REFER: Final = Node(
    "refer",
    "member stage: all visits of one member, judged by the program's rules",
    reads=(VISITS, ROSTER, DISPOSITIONS, TICKS),
    writes=(TRANSITIONS, UTILIZATION, CANDIDATES, WATCHLIST, ALERTS, ARCHIVE, TICKS, DISPOSITIONS, DEAD_LETTERS),
    changelog=REFER_CHANGELOG,
    key="member ID",
)
CARE_MANAGEMENT: Final = Node(
    "care-management",
    "the systems of plans and ECM providers",
    reads=(CANDIDATES, WATCHLIST, ALERTS, TRANSITIONS, UTILIZATION),
    writes=(DISPOSITIONS,),
)
NODES: Final = (GATEWAY, RECONCILE, DIRECTORY, REFER, CARE_MANAGEMENT)
STAGES: Final = (RECONCILE, REFER)
"""The nodes that the engine runs, in order of flow."""


def groups(app: str = "handoff") -> dict[str, tuple[str, ...]]:
    """Consumer group of each stage -> the topics it reads."""
    return {f"{app}.{stage.name}": stage.reads for stage in STAGES}


def describe() -> str:
    """The graph as text, one block a node."""
    blocks = []
    for node in NODES:
        lines = [f"{node.name:<16}{node.summary}"]
        lines += [f"    reads   {topic}" for topic in node.reads]
        lines += [f"    writes  {topic}" for topic in node.writes]
        if node.changelog:
            lines.append(f"    state   {node.changelog}, one row per {node.key}")
        blocks.append("\n".join(lines))
    return "\n".join(blocks)


def mermaid() -> str:
    """The graph as a Mermaid flowchart: processes as boxes, topics as rounded nodes."""
    names = {topic: f"t{index}" for index, topic in enumerate(_topics())}
    lines = ["flowchart LR"]
    lines += [f"    {_box(node)}[{node.name}]" for node in NODES]
    lines += [f"    {name}([{topic}])" for topic, name in names.items()]
    for node in NODES:
        lines += [f"    {names[topic]} --> {_box(node)}" for topic in node.reads]
        lines += [f"    {_box(node)} --> {names[topic]}" for topic in node.writes]
    return "\n".join(lines)


def _box(node: Node) -> str:
    return node.name.replace("-", "_")


def _topics() -> list[str]:
    return list(dict.fromkeys(topic for node in NODES for topic in (*node.writes, *node.reads)))
