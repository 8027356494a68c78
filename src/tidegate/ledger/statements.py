"""The writer's statements, past SQLAlchemy's work on each parameter, which is a third of what a row costs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Dialect, Table

__all__ = ["add", "delete", "insert", "replace"]

Row = tuple[Any, ...]


def insert(connection: Connection, table: Table, rows: Sequence[Row], *, known: bool = False) -> None:
    """Insert rows whose values stand in the order of the columns.

    :param known: some may be there already, and stay as they are.
    """
    _execute(connection, _insert(table, connection.dialect, known=known), rows)


def add(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """As :func:`insert`; where a row is there already, the columns that are not its key become the sums."""
    _execute(connection, _add(table, connection.dialect), rows)


def replace(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """As :func:`insert`; where a row is there already, it becomes this one."""
    _execute(connection, _replace(table, connection.dialect), rows)


def delete(connection: Connection, column: Column[Any], values: Sequence[str]) -> None:
    """Delete the rows in which ``column`` is one of the values."""
    if not values:
        return
    if connection.dialect.name == "sqlite":
        some: Any = "".join(('["', '","'.join(values), '"]'))  # ids of ours: nothing in them needs an escape
        where = "IN (SELECT value FROM json_each(?))"
    else:
        some, where = list(values), "= ANY(%s)"
    connection.exec_driver_sql(f"DELETE FROM {column.table} WHERE {column.name} {where}", (some,))  # noqa: S608


Statement = tuple[str, tuple[str, ...] | None]
"""The driver's own; and the columns' names, where it takes values by name."""


def _execute(connection: Connection, statement: Statement, rows: Sequence[Row]) -> None:
    text, names = statement
    if not rows:
        return  # a driver takes that for one row without values
    if names is None:
        connection.exec_driver_sql(text, list(rows))
    else:
        connection.exec_driver_sql(text, [dict(zip(names, row, strict=True)) for row in rows])


@cache
def _insert(table: Table, dialect: Dialect, *, known: bool) -> Statement:
    statement = _kind(dialect).insert(table)
    return _compiled(statement.on_conflict_do_nothing() if known else statement, table, dialect)


@cache
def _add(table: Table, dialect: Dialect) -> Statement:
    statement = _kind(dialect).insert(table)
    figures = [column for column in table.columns if not column.primary_key]
    sums = {column.name: column + statement.excluded[column.name] for column in figures}
    return _compiled(statement.on_conflict_do_update(index_elements=table.primary_key, set_=sums), table, dialect)


@cache
def _replace(table: Table, dialect: Dialect) -> Statement:
    statement = _kind(dialect).insert(table)
    given = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    return _compiled(statement.on_conflict_do_update(index_elements=table.primary_key, set_=given), table, dialect)


def _kind(dialect: Dialect) -> Any:
    # Imported when it is used: either is megabytes.
    if dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite
    from sqlalchemy.dialects import postgresql

    return postgresql


def _compiled(statement: Any, table: Table, dialect: Dialect) -> Statement:
    compiled = statement.compile(dialect=dialect)
    return str(compiled), None if compiled.positional else tuple(column.name for column in table.columns)
