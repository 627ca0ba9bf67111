"""Commands that read: candidates, one member, one candidate's evidence, lag."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.panel import Panel

from agents.graph import groups
from agents.topics import ARCHIVE, CANDIDATES, TRANSITIONS, UTILIZATION, VISITS
from handoff import target
from handoff.output import as_json, as_lines, day, needs_kafka, out, table
from parsers.records.documents import LIVE_STATUSES
from streams.kafka.lag import LagReader
from streams.kafka.read import documents as current_documents
from streams.kafka.read import follow as follow_topics
from streams.kafka.read import latest, snapshot

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def documents(topic: str) -> list[dict[str, Any]]:
    """The current documents of a compacted topic."""
    return list(current_documents(target.kafka(), topic).values())


@needs_kafka
def candidates(
    member: Annotated[str | None, typer.Option(help="Only this member's.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that lapsed, were withdrawn or closed.")
    ] = False,
    follow: Annotated[bool, typer.Option(help="Keep printing changes as they are committed, one per line.")] = False,
    json_: Json = False,
) -> None:
    """List the live referral candidates: members who need Enhanced Care Management now."""
    if follow:
        _follow(member, json_)
        return
    found = [d for d in documents(CANDIDATES) if _wanted(d, member, everything)]
    found.sort(key=lambda d: (d["population"], d["member_id"], d["candidate_id"]))
    if json_:
        as_json(found)
        return
    candidates_table(found)


def candidates_table(found: Iterable[dict[str, Any]], title: str = "Candidates") -> None:
    """The candidates as people read them."""
    table(
        title,
        ("candidate", "member", "pop.", "state", "why", "plan", "county", "since"),
        (
            (
                d["candidate_id"][:12],
                d["member_id"],
                d["population"],
                d["state"].replace("_", " ") if d["status"] in LIVE_STATUSES else d["status"],
                reason_line(d),
                d["plan"],
                d["county"],
                day((d.get("trigger") or {}).get("occurred"))[:10],
            )
            for d in found
        ),
        "none is live. `handoff lag` shows whether the workers are behind, `--all` those that ended",
    )


def reason_line(document: dict[str, Any]) -> str:
    """The reason in a few words: "5 ED visits in 6 mo", "3 stays in 6 mo", or the release and its conditions."""
    counts = document.get("counts") or {}
    required = counts.get("required") or {}
    months = (document.get("window") or {}).get("months", "?")
    stays = counts.get("inpatient", 0) + counts.get("snf", 0)
    reasons = []
    if counts.get("ed", 0) >= required.get("ed", 1 << 30):
        reasons.append(f"{counts['ed']} ED visits")
    if stays and any(stays >= least for name, least in required.items() if name != "ed"):
        reasons.append(f"{stays} stays")
    if reasons:
        return f"{' and '.join(reasons)} in {months} mo"
    kind = (document.get("trigger") or {}).get("kind", "")
    conditions = ", ".join(c.lower() for c in document.get("conditions") or ())
    return f"{kind.replace('_', ' ')}{' with ' + conditions if conditions else ''}"


def _wanted(document: dict[str, Any], member: str | None, everything: bool) -> bool:
    return (member is None or document["member_id"] == member) and (everything or document["status"] in LIVE_STATUSES)


def _follow(member: str | None, json_: bool) -> None:
    try:
        for record in follow_topics(target.kafka(), [CANDIDATES]):
            if record is None or record.value is None:
                continue
            document = json.loads(record.value)
            if member is not None and document["member_id"] != member:
                continue
            if json_:
                as_lines([document])
            else:
                out.print(
                    f"{document['as_of'][:19]}  {document['status']:<9} {document['population']:<3} "
                    f"{document['member_id']}  {reason_line(document)}  "
                    f"{document['candidate_id']} r{document['revision']}"
                )
    except KeyboardInterrupt:
        return


@needs_kafka
def member(
    member_id: Annotated[str, typer.Argument(metavar="MEMBER", help="The member ID (CIN).")],
    json_: Json = False,
) -> None:
    """Show one member: visits, counts, transitions, candidates, and how many old visits are archived."""
    kafka = target.kafka()
    key = member_id.encode()
    visits: dict[tuple[str, str], dict[str, Any]] = {}
    transitions: dict[str, dict[str, Any]] = {}
    for record in snapshot(kafka, [VISITS, TRANSITIONS]):
        if record.key != key or record.value is None:
            continue
        document = json.loads(record.value)
        if record.topic == TRANSITIONS:
            transitions[document["transition_id"]] = document
        else:
            visits[document["patient"], document.get("visit") or document["record_id"]] = document
    used = latest(kafka, UTILIZATION).get(key)
    utilization = json.loads(used.value) if used is not None and used.value else None
    mine = [d for d in documents(CANDIDATES) if d["member_id"] == member_id]
    archived = [d for d in documents(ARCHIVE) if d["member_id"] == member_id]
    if not (visits or transitions or mine or archived):
        out.print(f"There is no record of member {member_id}.")
        raise typer.Exit(1)
    if json_:
        as_json(
            {
                "member_id": member_id,
                "visits": list(visits.values()),
                "utilization": utilization,
                "transitions": list(transitions.values()),
                "candidates": mine,
                "archived": archived,
            }
        )
        return
    _visits_table(visits.values())
    if archived:
        last = max(d["departed"] or d["arrived"] or d["received"] for d in archived)
        out.print(f"{len(archived)} visits are archived; the last of them ended on {last[:10]}.")
    if utilization:
        table(
            f"Counts as of {day(utilization['as_of'])}, complete since {utilization.get('complete_since') or '?'}",
            ("window", "ED", "inpatient", "SNF", "observation"),
            ((name, w["ed"], w["inpatient"], w["snf"], w["observation"]) for name, w in utilization["windows"].items()),
        )
    asserted = [t for t in transitions.values() if t["status"] == "asserted"]
    table(
        f"Transitions ({len(transitions) - len(asserted)} more were retracted)",
        ("occurred", "kind", "facility", "to"),
        (
            (day(t["occurred"]), t["kind"].replace("_", " "), t.get("facility"), t.get("to"))
            for t in sorted(asserted, key=lambda t: t["occurred"] or "")
        ),
    )
    candidates_table(mine)


def _visits_table(visits: Iterable[dict[str, Any]]) -> None:
    table(
        "Visits and custody records",
        ("arrived", "departed", "class or kind", "facility", "disposition", "status", "visit"),
        (
            (
                day(v.get("arrived") or v.get("occurred") or v.get("scheduled")),
                day(v.get("departed")),
                v.get("class") or v.get("kind"),
                v.get("facility"),
                (v.get("disposition") or {}).get("group"),
                v["status"],
                v.get("visit") or v.get("record_id"),
            )
            for v in sorted(visits, key=lambda v: v.get("arrived") or v.get("occurred") or "")
            if v["status"] != "withdrawn"
        ),
    )


@needs_kafka
def explain(
    candidate: Annotated[str, typer.Argument(help="The candidate ID, or its beginning.")],
    json_: Json = False,
) -> None:
    """Show the evidence of a candidate: the rule, the window, each visit and why it counts or not, and the messages."""
    found = [d for d in documents(CANDIDATES) if d["candidate_id"].startswith(candidate)]
    if len(found) != 1:
        out.print(f"{len(found)} candidates begin with {candidate}.")
        raise typer.Exit(1)
    document = found[0]
    if json_:
        as_json(document)
        return
    rule, window = document["rule"], document.get("window") or {}
    lines = [
        f"[bold]{document['population_name']}[/] (population {document['population']})",
        f"member {document['member_id']}   plan {document['plan']}   county {document['county']}",
        f"{document['status']}, {document['state'].replace('_', ' ')}, revision {document['revision']}"
        + (f", because {document['reason']}" if document.get("reason") else ""),
        f"rule {rule['id']} {rule['version']}: {rule['source']}",
        reason_line(document),
    ]
    if window.get("from"):
        floor = window.get("complete_since")
        lines.append(
            f"window {window['from']} to {window['to']}" + (f" (ledger complete since {floor})" if floor else "")
        )
    checks: list[dict[str, Any]] = document.get("exclusions") or []
    clear = [check["programme"] for check in checks if check["finding"] == "clear"]
    lines += [f"exclusion {c['programme']}: {c['finding']}" for c in checks if c["finding"] != "clear"]
    if clear:
        lines.append(f"not in {', '.join(clear)} (as of {day(checks[0]['as_of'])})")
    if document.get("suspected"):
        lines.append("suspected, not verified: " + ", ".join(str(s) for s in document["suspected"]))
    route = document.get("route") or {}
    if route:
        lines.append(f"refer through {route.get('channel')}: {route.get('note', '')} ({route.get('source', '')})")
    out.print(Panel("\n".join(lines), title=document["candidate_id"], title_align="left"))
    table(
        "Evidence",
        ("arrived", "class", "facility", "counts", "reason", "messages"),
        (
            (
                day(e.get("arrived")),
                e.get("class"),
                e.get("facility"),
                "yes" if e["counted"] else "no",
                e["reason"],
                ", ".join(m["at"] for m in e.get("messages") or ()) or ARCHIVE,
            )
            for e in document.get("evidence") or ()
        ),
    )


@needs_kafka
def lag(json_: Json = False, app: Annotated[str, typer.Option(help="The application's name.")] = "handoff") -> None:
    """Show how far the workers are behind: offsets, lag and seconds, per group, topic and partition."""
    with LagReader(target.kafka(), groups(app)) as reader:
        found = reader.read(int(time.time() * 1000)).lags
    if json_:
        as_json(
            [
                {
                    "group": p.group,
                    "topic": p.topic,
                    "partition": p.partition,
                    "committed": p.committed,
                    "end": p.end,
                    "lag": p.lag,
                    "seconds": p.seconds,
                }
                for p in found
            ]
        )
        return
    table(
        f"Lag: {sum(p.lag for p in found)} records",
        ("stage", "topic", "partition", "committed", "end", "lag", "seconds"),
        ((p.group.removeprefix(f"{app}."), p.topic, p.partition, p.committed, p.end, p.lag, p.seconds) for p in found),
    )
