"""Asks the planner about every statement of ours that the tests have caused: none may walk through
a table that grows.

Ours is what the site, its senders, its admin and its commands ask: of the files of this project the
innermost on the stack is none of the tests'. In the end of the run the empty database is filled, so
that the planner has something to choose from, and explains each (`tests.conftest`).
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from bench.growth_rows import fill

ROOT = Path(__file__).resolve().parent.parent
OURS = tuple(str(ROOT / name) + "/" for name in ("cs_web", "users", "mail", "tests", "bench"))
NOT_OURS = (f"{ROOT}/tests/", f"{ROOT}/bench/", "/migrations/")
PEOPLE, MAILS = 2000, 10_000

GROWING = {
    "users_user", "users_tally", "users_failedsignin", "users_event", "users_session",
    "users_addresschange",
    "django_admin_log", "mail_mail", "mail_attempt", "mail_draft", "mail_suppression",
}  # fmt: skip
# Indexes that hold few rows however many there are: to read one of them whole is what they are for.
SMALL = {
    "mail_pending_by_due", "mail_in_flight", "user_with_old_hash", "user_staff_by_age",
}  # fmt: skip
# And these, as far as a list shows of them.
OF_LISTS = {"user_active_by_age", "user_waiting_by_age", "user_disabled_by_age"}
Problem = str


class Statements:
    """The distinct ones, each with values of the first time."""

    def __init__(self) -> None:
        self.asked: dict[str, tuple[str, Any]] = {}

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        key = re.sub(r"\(%s(?:, %s)*\)", "(%s…)", sql)
        reads = sql.startswith(("SELECT", "UPDATE", "DELETE", "WITH", "(SELECT"))
        if reads and not many and key not in self.asked and is_ours(sys._getframe(1)):
            self.asked[key] = (sql, params)
        return execute(sql, params, many, context)

    def problems(self) -> list[Problem]:
        """Fills the database, and leaves it so: it goes with the run."""
        connection.execute_wrappers.remove(self)
        fill(connection, PEOPLE, MAILS)
        found = []
        for sql, params in self.asked.values():
            found += [f"{problem}\n    {sql}" for problem in walks(sql, params)]
        return found


def is_ours(frame: Any) -> bool:
    while frame:
        name = frame.f_code.co_filename
        if name.startswith(OURS):
            return not any(part in name for part in NOT_OURS)
        frame = frame.f_back
    return False


def walks(sql: str, params: Any) -> Iterator[Problem]:
    """Where this statement reads a growing table from one end to the other."""
    explain = _explain_sqlite if connection.vendor == "sqlite" else _explain_postgresql
    return explain(sql, params)


def _explain_sqlite(sql: str, params: Any) -> Iterator[Problem]:
    aliases = {short: table for table, short in re.findall(r'"(\w+)" ([A-Z]\d+)\b', sql)}
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        plan = [row[3] for row in cursor.fetchall()]
    for line in plan:
        found = re.match(r"(SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", line)
        if not found or aliases.get(found[2], found[2]) not in GROWING or found[3] in SMALL:
            continue
        if found[1] == "SCAN" and not (found[3] and _is_first_page(sql, found[3])):
            yield line
        for column in re.findall(r"\((\w+)=\?\)$", line):  # and not of a join
            if f'"{column}" IS NULL' in sql:
                yield f"{line}, which is everything without one"


def _explain_postgresql(sql: str, params: Any) -> Iterator[Problem]:
    with transaction.atomic(), connection.cursor() as cursor:
        # Of a table that fits a few pages it would read all, whatever index there is.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        [(plan,)] = cursor.fetchall()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    yield from _nodes(plan[0]["Plan"], sql)


def _nodes(node: dict[str, Any], sql: str, table: str = "") -> Iterator[Problem]:
    kind, index = node["Node Type"], node.get("Index Name")
    table = node.get("Relation Name", table)
    condition = node.get("Index Cond", "")
    if table in GROWING and index not in SMALL:
        if kind == "Seq Scan" or (
            kind in ("Index Scan", "Index Only Scan", "Bitmap Index Scan")
            and not condition
            and not _is_first_page(sql, index)
        ):
            yield f"{kind} of {table} by {index}: {node.get('Filter', 'everything')}"
        if re.fullmatch(r"\(\w+ IS NULL\)", condition):
            yield f"{kind} of {table} by {index}: {condition}, which is everything without one"
    for part in node.get("Plans", []):
        yield from _nodes(part, sql, table)


def _is_first_page(sql: str, index: str) -> bool:
    """Some of the newest, whatever they are."""
    return (" WHERE " not in sql or index in OF_LISTS) and " LIMIT " in sql
