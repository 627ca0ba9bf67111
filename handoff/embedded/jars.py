"""Kafka's jars, fetched by coordinates and checked against a lock: neither Kafka nor Maven needs to be installed.

`requirements/jars.lock` has one line per jar, `group:artifact:version sha256:<hex>`, and no address: where the jars
come from is the downloader's business (jgo's configuration, Maven Central unless it says otherwise), what they must be
is the lock's. A jar that differs is refused and removed. `python -m handoff.embedded.jars --lock` writes the lock anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final, NamedTuple

from handoff.embedded import REMEDY

ROOTS: Final = ("org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.1")
"""What the lock is resolved from, each on its own: resolved together, log4j's parent POM would manage Kafka's
dependencies and put a kafka-clients of another release beside the broker."""

Progress = Callable[[int, int, str], None]
"""Called with (jars present, jars in all, name of the latest)."""


class JarsUnavailable(Exception):
    """The jars are not available. The message has which, why, and the remedy."""


class Jar(NamedTuple):
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinates(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def cache_folder() -> Path:
    """Where downloads are kept: HANDOFF_CACHE, else the user's cache folder."""
    chosen = os.environ.get("HANDOFF_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "handoff"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "handoff"


def lock_path() -> Path:
    """The lock: the repository's in a checkout, the packaged copy in an installation."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "requirements" / "jars.lock"
    return checkout if checkout.exists() else package / "_data" / "jars.lock"


def read_lock(path: Path) -> tuple[Jar, ...]:
    """The jars of a lock, in its order (the class path's). Raises JarsUnavailable naming the first bad line."""
    jars: list[Jar] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        coordinates, _, digest = text.partition(" sha256:")
        parts = coordinates.split(":")
        if len(parts) != 3 or len(digest) != 64:
            raise JarsUnavailable(f"{path.name}:{number} is no jar: want 'group:artifact:version sha256:<hex>'")
        jars.append(Jar(parts[0], parts[1], parts[2], digest))
    return tuple(jars)


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_jars(*, progress: Progress | None = None, lock: Path | None = None, cache: Path | None = None) -> list[Path]:
    """Every jar of the lock on this disk, verified, in the lock's order.

    Jars in the cache are verified too, and not downloaded again. Raises JarsUnavailable when a download fails
    or a jar is not the locked one.
    """
    jars = read_lock(lock or lock_path())
    folder = (cache or cache_folder()) / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not _is_held(folder / jar.filename, jar)]
    if missing:
        _download(missing, folder, len(jars), progress)
    return [folder / jar.filename for jar in jars]


def _is_held(path: Path, jar: Jar) -> bool:
    return path.exists() and sha256_of(path) == jar.sha256


def _download(missing: Iterable[Jar], folder: Path, total: int, progress: Progress | None) -> None:
    """Fetch into a temporary folder, verify, then move: a reader never sees half a jar or an unverified one."""
    jars = list(missing)
    done = total - len(jars)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".incoming-") as incoming, ThreadPoolExecutor(4) as pool:
        tasks = {pool.submit(_fetch_one, jar, Path(incoming)): jar for jar in jars}
        try:
            for task in as_completed(tasks):
                jar = tasks[task]
                shutil.move(task.result(), folder / jar.filename)
                done += 1
                if progress is not None:
                    progress(done, total, jar.filename)
        except JarsUnavailable:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _fetch_one(jar: Jar, incoming: Path) -> Path:
    try:
        context = _maven(incoming)
        path = Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())
    except ImportError as error:
        raise JarsUnavailable(f"jgo is not installed: {REMEDY}") from error
    except Exception as error:
        raise JarsUnavailable(
            f"could not download {jar.coordinates}: {type(error).__name__}. Kafka's jars come from Maven Central, or "
            "from the repositories in jgo's configuration file; check the network and the proxy variables and run the "
            "command again (what was fetched is kept), or set HANDOFF_KAFKA__BOOTSTRAP to a Kafka that runs already."
        ) from error
    actual = sha256_of(path)
    if actual != jar.sha256:
        path.unlink()
        raise JarsUnavailable(
            f"{jar.coordinates} is not the locked jar: sha256 {actual}, want {jar.sha256}. It was removed. If the "
            "repository in use serves changed files, do not trust it; if the lock is old, renew it on purpose."
        )
    return path


def _maven(repo_cache: Path):  # type: ignore[no-untyped-def]
    """jgo's view of Maven with this cache; the user's own repositories come first when jgo's configuration has any."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    remotes = {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}
    return MavenContext(repo_cache=repo_cache, remote_repos=remotes, timeout=30)


def resolve_roots() -> list[Jar]:
    """The jars that ROOTS need today, with their digests: what a new lock is made of."""
    import jgo

    found: dict[str, Jar] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for root in ROOTS:
            environment = jgo.build(endpoint=root, cache_dir=Path(scratch))
            files = {path.name: path for path in environment.all_jars}
            for dependency in environment.lockfile.dependencies:
                jar = Jar(dependency.groupId, dependency.artifactId, dependency.version, "")
                key = f"{jar.group}:{jar.artifact}"
                if key not in found and jar.filename in files:
                    found[key] = jar._replace(sha256=sha256_of(files[jar.filename]))
    return list(found.values())


def main(arguments: list[str]) -> int:
    """Fetch the locked jars, or with `--lock` write the lock anew."""
    if "--lock" in arguments:
        lines = [f"{jar.coordinates} sha256:{jar.sha256}\n" for jar in resolve_roots()]
        lock_path().write_text(f"# Resolved from {' and '.join(ROOTS)}\n" + "".join(lines), encoding="utf-8")
    try:
        held = fetch_jars(progress=lambda done, total, name: print(f"{done}/{total} {name}"))  # noqa: T201
    except JarsUnavailable as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(f"{len(held)} jars in {held[0].parent}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
