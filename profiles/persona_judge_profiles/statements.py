"""Core statements, compiled once and run on the driver's own cursor.

SQLAlchemy's execution costs several times what the query of one profile does. It is used all the
same where somebody listens to the engine, logs its statements, or brought another driver.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, cast

from sqlalchemy import Connection, Engine, Executable, Select
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from persona_judge_profiles import driver
from persona_judge_profiles.driver import Asked, Found

Parameters: TypeAlias = Mapping[str, Any]
_Convert: TypeAlias = Callable[[Any], Any]

_DIALECTS = 16
"""How many engines a statement is kept compiled for."""


@dataclass(slots=True)
class Compiled:
    """A statement for one engine."""

    core: Executable
    dialect: Dialect
    text: str
    positions: Sequence[str] | None
    """Names of the parameters in their order; None where the driver takes them by name."""
    writers: Sequence[tuple[str, _Convert]]
    defaults: dict[str, Any]
    """Parameters that the statement brings itself."""
    readers: Sequence[tuple[int, _Convert]] | None = None
    """Known once the driver has told the types."""

    def asked(self, parameters: Parameters) -> Asked:
        """Return the statement and its parameters as the driver takes them."""
        if self.defaults:
            parameters = {**self.defaults, **parameters}
        if self.writers:
            converted = {name: write(parameters[name]) for name, write in self.writers}
            parameters = {**parameters, **converted}
        given: Any = parameters
        if self.positions is not None:
            given = [parameters[name] for name in self.positions]
        finds = isinstance(self.core, Select)
        return Asked(self.text, given, finds, finds and self.readers is None)

    def read(self, found: Found) -> Found:
        """Return what the driver found with the values that the columns' types have in Python."""
        if found.columns is not None:
            self.readers = _readers(cast("Any", self.core), self.dialect, found.columns)
        if not found.rows or not self.readers:
            return found
        columns: list[Iterable[Any]] = list(zip(*found.rows, strict=True))
        for place, read in self.readers:
            columns[place] = map(read, columns[place])
        return found._replace(rows=list(zip(*columns, strict=True)))


class Statement:
    """A statement that is run often.

    Args:
        core: the statement.
        columns: those that an INSERT or UPDATE without values is to set.
    """

    def __init__(self, core: Executable, columns: Iterable[str] = ()) -> None:
        self.core = core
        self._columns = list(columns)
        self._compiled: dict[Dialect, Compiled] = {}

    def rows(self, connection: Connection, parameters: Parameters) -> Sequence[Sequence[Any]]:
        """Return the rows that the statement finds."""
        return run(connection, Call(self, parameters))[0].rows

    def compiled(self, dialect: Dialect) -> Compiled:
        """Return the statement for an engine, compiled when it is first asked for."""
        found = self._compiled.get(dialect)
        if found is None:
            found = _compile(self.core, self._columns, dialect)
            # A dialect lives as long as its engine, and this for ever.
            kept = list(self._compiled.items())[1 - _DIALECTS :]
            self._compiled = {**dict(kept), dialect: found}
        return found


class Call(NamedTuple):
    """A statement with its parameters."""

    statement: Statement
    parameters: Parameters


def run(connection: Connection, *calls: Call) -> list[Found]:
    """Run statements one after the other, and return what each brought."""
    if not driver.is_direct(connection):
        return [_through_core(connection, call) for call in calls]
    compiled = [call.statement.compiled(connection.dialect) for call in calls]
    asked = [each.asked(call.parameters) for each, call in zip(compiled, calls, strict=True)]
    brought = driver.run(connection, *asked)
    return [each.read(found) for each, found in zip(compiled, brought, strict=True)]


def ask(engine: Engine, call: Call) -> Found | None:
    """Return what one statement finds that stands alone; None where SQLAlchemy must be asked."""
    if not driver.may_ask(engine):
        return None
    compiled = call.statement.compiled(engine.dialect)
    return compiled.read(driver.ask(engine, compiled.asked(call.parameters)))


def say(connection: Connection, text: str) -> None:
    """Run a statement such as BEGIN, which has no parameters and finds nothing to keep."""
    if driver.is_direct(connection):
        driver.run(connection, Asked(text))
    else:
        connection.exec_driver_sql(text).close()


def writer(kind: TypeEngine[Any], dialect: Dialect) -> _Convert | None:
    """Return what turns a value of this type into one that the driver takes, if that is needed."""
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _through_core(connection: Connection, call: Call) -> Found:
    result = connection.execute(call.statement.core, call.parameters)
    return Found(result.all() if result.returns_rows else (), result.rowcount)


def _compile(core: Executable, columns: list[str], dialect: Dialect) -> Compiled:
    compile_: Callable[..., SQLCompiler] = cast("Any", core).compile
    made = compile_(dialect=dialect, column_keys=columns or None)
    writers = [(name, writer(bind.type, dialect)) for name, bind in made.binds.items()]
    return Compiled(
        core,
        dialect,
        str(made),
        made.positiontup if made.positional else None,
        [(name, write) for name, write in writers if write is not None],
        {name: bind.value for name, bind in made.binds.items() if not bind.required},
    )


def _readers(
    core: Select[Any], dialect: Dialect, columns: Sequence[Sequence[Any]]
) -> Sequence[tuple[int, _Convert]]:
    kinds = [column.type.dialect_impl(dialect) for column in core.selected_columns]
    readers = [
        kind.result_processor(dialect, column[1])
        for kind, column in zip(kinds, columns, strict=True)
    ]
    return [(place, read) for place, read in enumerate(readers) if read is not None]
