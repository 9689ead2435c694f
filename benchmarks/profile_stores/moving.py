"""Import and export of all users."""

import filecmp
import time
from pathlib import Path

from benchmarks.profile_stores.bench import Bench
from benchmarks.profile_stores.importing import timed_import
from benchmarks.profile_stores.sizes import SHARED_AIM
from benchmarks.results import Check
from persona_judge_profiles import SQLProfileStore

SECONDS, MEMORY = 120.0, 200.0


def measure(bench: Bench, lines: Path) -> None:
    """Import the file, weigh the database, and export it again."""
    users = bench.sizes.users
    bench.ours = bench.databases.create()
    found = timed_import(bench.url, lines, users)
    if found.written != users:
        raise AssertionError(f"{found.written} of {users} users were imported")
    aim = SECONDS * users / SHARED_AIM
    bench.note("import", "s", [found.seconds], aim, at_most=True)
    bench.note("import", "s of client CPU", [found.cpu])
    bench.note("import", "users/s", [users / found.seconds])
    bench.note("import, most memory", "MB", [found.peak / 1e6], MEMORY, at_most=True)
    bench.note("import, memory before it began", "MB", [found.before / 1e6])
    bench.databases.settle(bench.ours)
    bench.note("database", "bytes a user", [bench.databases.size(bench.ours) / users])
    exported = lines.with_suffix(".exported")
    with SQLProfileStore(bench.url) as store:
        start = time.perf_counter()
        store.export_jsonl(exported)
        bench.note("export", "users/s", [users / (time.perf_counter() - start)])
    same = filecmp.cmp(lines, exported, shallow=False)
    what = f"{bench.databases.name}: the export is the imported file, byte by byte"
    bench.result.checks.append(Check(what, same, f"{exported.stat().st_size} bytes"))
    exported.unlink()
