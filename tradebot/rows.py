"""Rows of models by plain SQL, for the few places that an order passes: what the ORM builds anew is kept.

Values must have their column's type already. No signals are sent, no defaults of the database are read, and
`auto_now` does nothing: use it for the tables whose rows have none of that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

from django.db import connection
from django.db.models import JSONField, Model

Row = TypeVar("Row", bound=Model)
Other = TypeVar("Other", bound=Model)


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its values, to be run alone or behind others in one round trip."""

    sql: str
    values: list[Any] = field(default_factory=list)


def run(*statements: Statement) -> list[tuple[Any, ...]]:
    """Run the statements one after the other in one round trip; gives what the last one answers.

    Each sees what those before it wrote, and what others committed meanwhile.
    """
    with connection.cursor() as cursor:
        values = [value for statement in statements for value in statement.values]
        cursor.execute(";\n".join(statement.sql for statement in statements), values)
        return cursor.fetchall() if cursor.description else []


def one(sql: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """The first row that the statement answers."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        row: tuple[Any, ...] = cursor.fetchone()
        return row


def select(model: type[Model], rest: str, values: Sequence[Any]) -> Statement:
    """All columns of the model's rows that `rest` ("WHERE ...") names."""
    sql = f"SELECT {_columns(model)} FROM {model._meta.db_table} {rest}"  # noqa: S608 -- no values in it
    return Statement(sql, list(values))


def read(model: type[Row], rest: str, values: Sequence[Any]) -> list[Row]:
    """The model's rows that `rest` ("WHERE ...") names."""
    return made(model, run(select(model, rest, values)))


def made(model: type[Row], found: Iterable[Sequence[Any]]) -> list[Row]:
    """Objects of what select() answered."""
    return [_object(model, row) for row in found]


def select_pairs(model: type[Model], other: type[Model], rest: str, values: Sequence[Any]) -> Statement:
    """All columns of two models side by side; `rest` ("FROM a JOIN b ... WHERE ...") names the tables.

    It may begin with more columns (", a.xmin FROM ...").
    """
    return Statement(f"SELECT {_columns(model)}, {_columns(other)} {rest}", list(values))


def made_pairs(
    model: type[Row], other: type[Other], found: Iterable[Sequence[Any]]
) -> list[tuple[Row, Other, tuple[Any, ...]]]:
    """Objects of what select_pairs() answered, and the columns that are more."""
    first, both = len(_fields(model)), len(_fields(model)) + len(_fields(other))
    return [
        (_object(model, row[:first]), _object(other, row[first:both]), tuple(row[both:])) for row in found
    ]


def insert(
    new: Sequence[Model],
    *,
    ignore_conflicts: bool = False,
    instead: Mapping[str, str] = MappingProxyType({}),
    answer: str = "id",
) -> Statement:
    """Insert the rows of one model; answers their ids, of those that were inserted.

    `instead` gives SQL, without values, for columns whose values the rows don't have.
    """
    names = [name for name in names_of(type(new[0])) if name not in instead]
    place = ", ".join(["%s"] * len(names) + list(instead.values()))
    places = ", ".join([f"({place})"] * len(new))
    columns = ", ".join([*names, *instead])
    tail = "ON CONFLICT DO NOTHING " if ignore_conflicts else ""
    table = new[0]._meta.db_table
    sql = f"INSERT INTO {table} ({columns}) VALUES {places} {tail}RETURNING {answer}"  # noqa: S608 -- as above
    return Statement(sql, [value for row in new for value in values_of(row, names)])


def insert_now(*new: Model) -> None:
    """Insert the rows of one model, which get their ids."""
    for row, (row_id,) in zip(new, run(insert(new)), strict=True):
        set_id(row, row_id)


def set_id(row: Model, row_id: int) -> None:
    """The row has been inserted."""
    row.pk, row._state.adding, row._state.db = row_id, False, connection.alias


def update(row: Model, names: Collection[str] = (), where: str = "", values: Sequence[Any] = ()) -> Statement:
    """Write these columns of the row, all without names; `where` ("AND ...") may ask for more than its id."""
    names = names or names_of(type(row))
    changes = ", ".join(f"{name} = %s" for name in names)
    sql = f"UPDATE {row._meta.db_table} SET {changes} WHERE id = %s {where}"  # noqa: S608 -- as above
    return Statement(sql, [*values_of(row, names), row.pk, *values])


def update_now(row: Model, names: Collection[str] = (), where: str = "", values: Sequence[Any] = ()) -> int:
    """The same at once; gives how many rows were written."""
    statement = update(row, names, where, values)
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, statement.values)
        return int(cursor.rowcount)


@cache
def names_of(model: type[Model]) -> tuple[str, ...]:
    """The names of the model's columns but the id."""
    return tuple(each.column for each in _fields(model) if not each.primary_key)


def values_of(row: Model, names: Iterable[str]) -> list[Any]:
    """What the row has in these columns, as the driver takes it."""
    json_fields = _json_fields(type(row))
    return [
        json_fields[name].get_db_prep_save(getattr(row, name), connection)
        if name in json_fields
        else getattr(row, name)
        for name in names
    ]


@cache
def _fields(model: type[Model]) -> tuple[Any, ...]:
    return tuple(model._meta.concrete_fields)


@cache
def _columns(model: type[Model]) -> str:
    return ", ".join(f"{model._meta.db_table}.{one.column}" for one in _fields(model))


@cache
def _attributes(model: type[Model]) -> tuple[str, ...]:
    return tuple(each.attname for each in _fields(model))


@cache
def _json_fields(model: type[Model]) -> dict[str, Any]:
    return {str(each.column): each for each in _fields(model) if isinstance(each, JSONField)}


@cache
def _converted(model: type[Model]) -> tuple[tuple[int, Any], ...]:
    """The columns that don't come as the object has them: JSON, encrypted texts."""
    return tuple((place, each) for place, each in enumerate(_fields(model)) if hasattr(each, "from_db_value"))


def _object(model: type[Row], row: Sequence[Any]) -> Row:
    values = list(row)
    for place, one_field in _converted(model):
        values[place] = one_field.from_db_value(values[place], None, connection)
    return model.from_db(connection.alias, _attributes(model), values)
