"""A change of one row that holds only if the row is as expected, and says whether it did.

It is `filter(…).update(…)`, which Django compiles anew each time: done twice a mail, that was a
fifth of what a mail costs. So the statement is kept, and only its values change.
"""

import functools
from typing import Any

from django.db import connections, models, router


def change(model: type[models.Model], expected: dict[str, Any], changes: dict[str, Any]) -> bool:
    """Sets plain values where the row has these (none of them None)."""
    connection = connections[router.db_for_write(model)]
    sql = _statement(model, connection.alias, tuple(changes), tuple(expected))
    values = [
        _field(model, name).get_db_prep_save(value, connection)
        for name, value in (*changes.items(), *expected.items())
    ]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return bool(cursor.rowcount)


@functools.cache
def _statement(
    model: type[models.Model], alias: str, changes: tuple[str, ...], expected: tuple[str, ...]
) -> str:
    quote = connections[alias].ops.quote_name

    def equations(names: tuple[str, ...]) -> list[str]:
        return [f"{quote(_field(model, name).column)} = %s" for name in names]

    table = quote(model._meta.db_table)
    changed, where = ", ".join(equations(changes)), " AND ".join(equations(expected))
    return f"UPDATE {table} SET {changed} WHERE {where}"  # noqa: S608


def _field(model: type[models.Model], name: str) -> Any:
    return model._meta.get_field(name)
