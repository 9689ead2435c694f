"""A PostgreSQL server for tests: started once, in a temporary folder, on a unix socket alone.

It keeps a real server's durability (fsync and synchronous_commit are on), so a test may end it
without mercy and see what was kept.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import psycopg

SECONDS = 60.0
"""How long a start or a stop may take."""
MAX_SOCKET_PATH = 100  # the kernel takes 107 bytes, macOS 103
_WATCH = """
read -r _  # returns when whoever holds the other end is gone
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && ps -o args= -p "$pid" | grep -qF "$1"; then
  kill -QUIT "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
fi
rm -rf "$1"
"""
_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class NoServerError(Exception):
    """No PostgreSQL server can be had here."""


class PostgresServer:
    """A server of our own, and as many databases in it as tests ask for.

    ```python
    with PostgresServer() as server:
        url = server.url(server.create_database())
    ```

    Raises:
        NoServerError: PostgreSQL's programs are missing, or the server does not start.
    """

    def __init__(self) -> None:
        self._programs = _programs()
        self._owner = _owner()
        self.folder = _short_folder()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        # A test run that is killed runs no fixture's end: this ends the server then.
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if self._owner:
            os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
        try:
            self._make_cluster()
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "PostgresServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, database: str) -> str:
        """Return the database's address, as SQLAlchemy takes it."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def conninfo(self, database: str = "postgres") -> str:
        """Return the database's address, as psycopg takes it."""
        return f"host={self.folder} user=postgres dbname={database} connect_timeout=10"

    def psql(self, statement: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement, without a transaction around it, and return its rows."""
        with psycopg.connect(self.conninfo(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, template: str = "template0") -> str:
        """Make a database and return its name.

        Args:
            template: the database to copy, to which nobody may be connected.
        """
        name = f"test_{next(self._numbers)}"
        self.psql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def disconnect(self, database: str) -> int:
        """End every other connection to the database, as a failover does; return how many."""
        ended = self.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )
        return len(ended)

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it answers."""
        if self._process is not None:
            return
        command = [self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder]
        for setting in (
            "listen_addresses=",
            "port=5432",
            "fsync=on",
            "synchronous_commit=on",
            "timezone=UTC",
        ):
            command += ["-c", setting]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops the server
                **self._how_to_run(),
            )
        self._wait_until_it_answers(self._process)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server, if it runs.

        Args:
            mode: "fast" rolls back and ends in order; "immediate" is a crash: what was committed
                is found again at the next start.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(_SIGNALS[mode])
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Stop the server and remove all that it kept."""
        self.stop("immediate")
        self._watch.communicate()

    def log(self) -> str:
        """Return what the server has said so far."""
        path = self.folder / "server.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def _make_cluster(self) -> None:
        command = [self._programs / "initdb", "-D", self.folder / "data", "--username=postgres"]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self._how_to_run(),
        )
        if done.returncode:
            raise NoServerError(f"initdb failed: {done.stdout.decode('utf-8', 'replace')[-500:]}")

    def _how_to_run(self) -> dict[str, Any]:
        ours = {n: v for n, v in os.environ.items() if not n.startswith(("PG", "LC_", "LANG"))}
        how: dict[str, Any] = {"cwd": self.folder, "env": {**ours, "LC_ALL": "C"}}
        if self._owner:
            how |= {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}
        return how

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            # The command itself would start before recovery ends; a connection is the proof.
            with contextlib.suppress(psycopg.OperationalError):
                self.psql("SELECT 1")
                return
            time.sleep(0.05)
        self.stop("immediate")
        raise NoServerError(f"PostgreSQL does not start: {self.log()[-500:]}")


def _programs() -> Path:
    """Return the folder that holds the server's programs, of the newest version there is."""
    on_path = shutil.which("postgres")
    # Debian keeps the server's own programs out of PATH.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    for folder in ([Path(on_path).resolve().parent] if on_path else []) + found:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise NoServerError("PostgreSQL's initdb and postgres are not installed")


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


def _owner() -> pwd.struct_passwd | None:
    """Return as whom the server must run, if not as us: root is refused."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise NoServerError("PostgreSQL does not run as root, and there is no user 'postgres'")


def _short_folder() -> Path:
    for parent in (tempfile.gettempdir(), "/tmp"):
        if len(parent) < MAX_SOCKET_PATH - len("/pj-pg-xxxxxxxx/.s.PGSQL.5432"):
            return Path(tempfile.mkdtemp(prefix="pj-pg-", dir=parent))
    raise NoServerError("the temporary folder's path is too long for a socket")
