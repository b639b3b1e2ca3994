"""Rows of a site that has grown, made by the database: the same SQL for SQLite and PostgreSQL.

python -m bench.growth_rows PEOPLE MAILS
"""

import hashlib
import sys
from typing import Any

import django

DAY = 24 * 60 * 60
# Of a hundred people one is disabled and four wait, since up to eight days. Of mail, the month that
# is kept, the oldest first; a half without a person, as what somebody asks for an address is.
PEOPLE = """
INSERT INTO users_user (id, user_id, email, name, password, department, level, language, is_active,
    is_staff, is_superuser, activated_at, created_at, claim_expires_at, taken_notices,
    session_epoch)
SELECT {id_user}, 'member' || n, 'member' || n || '@mailbox.example', '김' || (n % 5000),
    'md5$x$' || md5('p' || n), '컴퓨터공학부',
    CASE WHEN n % 1000 = 0 THEN '1' WHEN n % 1000 = 1 THEN '3' ELSE '2' END, 'ko',
    n % 100 > 4, n <= 5, {false}, CASE WHEN n % 100 IN (1, 2, 3, 4) THEN NULL ELSE {made} END,
    {made}, {expires}, {true}, 0
FROM (SELECT n, CASE WHEN n % 100 IN (1, 2, 3, 4) THEN (n * 7919) % (8 * {day})
                     ELSE 8 * {day} + (n * 7919) % (1000 * {day}) END AS age FROM {numbers}) people
"""
MAILS = """
INSERT INTO mail_mail (id, letter, user_id, address, mailbox, asker, budget, language, priority,
    state, due, attempts, crashes, claimed, on_hold, cause, error, created_at, sent_at, provider_id)
SELECT {id_mail}, letter, CASE WHEN letter IN ('register', 'password_change') THEN {id_user} END,
    address, address, md5('asker' || (m % 20000)), budget, 'ko', 0, state, {made}, 1, 0, {false},
    {false}, '', '', {made},
    CASE WHEN state IN ('sent', 'bounced', 'complained') THEN {made} END, ''
FROM (SELECT m, n, letter, 60 + (30 * {day} - 120) * (1 - m * 1.0 / {mails}) AS age,
        CASE letter WHEN 'register' THEN 'open' WHEN 'login_failures' THEN 'notice' ELSE 'owner' END
            AS budget,
        CASE WHEN m % 10 = 7 THEN 'nobody' || m ELSE 'member' || n END || '@mailbox.example'
            AS address,
        CASE WHEN m % 10 = 7 THEN 'dropped' WHEN m % 1000 < 10 THEN 'failed'
             WHEN m % 1000 < 15 THEN 'refused' WHEN m % 1000 < 20 THEN 'bounced'
             WHEN m % 1000 = 20 THEN 'complained' WHEN m % 1000 < 45 THEN 'cancelled'
             ELSE 'sent' END AS state
    FROM (SELECT n AS m, 1 + (n * 7919) % {people} AS n,
            CASE WHEN n % 10 < 4 THEN 'register' WHEN n % 10 < 8 THEN 'password_reset'
                 WHEN n % 10 = 8 THEN 'password_change' ELSE 'login_failures' END AS letter
        FROM {numbers}) kinds) mails
"""
TRIES = """
INSERT INTO mail_attempt (mail_id, at, number, what)
SELECT id, created_at, 1, 'the mail server said no' FROM mail_mail
WHERE state IN ('failed', 'refused')
"""
SUPPRESSIONS = """
INSERT INTO mail_suppression (address, reason, created_at, until, times, days)
SELECT 'gone' || n || '@mailbox.example', 'refused', {made}, {expires}, 1, 1
FROM (SELECT n, (n * 7919) % (30 * {day}) AS age FROM {numbers}) gone
"""
SESSIONS = """
INSERT INTO users_session (session_key, session_data, expire_date, public_id, person_id, device,
    network, last_used_at)
SELECT md5('session' || n), 'e30', {expires}, {id_user}, {id_user}, '', '', {made}
FROM (SELECT n, -((n * 7919) % (14 * {day})) AS age FROM {numbers}) sessions
"""
TALLIES = """
INSERT INTO users_tally (key, times, ends_at, free_at)
SELECT 'name ' || md5('tally' || n), 1, {expires}, {made}
FROM (SELECT n, -(n % 3600) AS age FROM {numbers}) tallies
"""
FAILURES = """
INSERT INTO users_failedsignin (name, network, day, times, last_at)
SELECT md5('failed' || n), '192.0.' || (n % 200) || '.7', {today}, 1, {made}
FROM (SELECT n, 60 AS age FROM {numbers}) failures
"""
EVENTS = """
INSERT INTO users_event (person_id, at, tag, device, network, by_id)
SELECT {id_user}, {made}, 'signed_in', 'Chrome', '192.0.2.7', NULL
FROM (SELECT 1 + (n * 7919) % {people} AS n, n * 60 AS age FROM {numbers}) events
"""
ADDRESS_CHANGES = """
INSERT INTO users_addresschange (person_id, old, new, asked_at, confirmed_at)
SELECT {id_user}, 'old' || n || '@example.com', 'new' || n || '@example.com', {made}, {made}
FROM (SELECT 1 + (n * 7919) % {people} AS n, n * 60 AS age FROM {numbers}) changes
"""
LOG = """
INSERT INTO django_admin_log (action_time, user_id, content_type_id, object_id, object_repr,
    action_flag, change_message)
SELECT {made}, (SELECT id FROM users_user WHERE user_id = 'member' || (1 + n % 5)),
    (SELECT min(id) FROM django_content_type) + n % 5, 'object' || n, 'x', 2, ''
FROM (SELECT n, n AS age FROM {numbers}) log
"""

SQLITE = {
    "numbers": "(WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT {count}) "
    "SELECT n FROM n) numbers",
    "made": "strftime('%Y-%m-%d %H:%M:%f', 'now', (-age) || ' seconds')",
    "expires": "strftime('%Y-%m-%d %H:%M:%f', 'now', (86400 - age) || ' seconds')",
    "today": "date('now')",
    "id_user": "md5('user' || n)",
    "id_mail": "md5('mail' || m)",
    "true": "1",
    "false": "0",
}
POSTGRESQL = {
    "numbers": "generate_series(1::bigint, {count}) AS numbers(n)",
    "made": "now() - age * interval '1 second'",
    "expires": "now() + (86400 - age) * interval '1 second'",
    "today": "current_date",
    "id_user": "md5('user' || n)::uuid",
    "id_mail": "md5('mail' || m)::uuid",
    "true": "true",
    "false": "false",
}


def fill(connection: Any, people: int, mails: int, analyze: bool = True) -> None:
    """And lets the planner know. The tables are empty before."""
    is_sqlite = connection.vendor == "sqlite"
    words: dict[str, Any] = SQLITE if is_sqlite else POSTGRESQL
    words = {**words, "people": people, "mails": mails, "day": DAY}
    some = max(1, people // 50)
    rows = [
        (PEOPLE, people),
        (MAILS, mails),
        (TRIES, 0),
        (SUPPRESSIONS, some),
        (SESSIONS, people // 5),
    ]
    rows += [
        (TALLIES, some),
        (FAILURES, some),
        (LOG, some),
        (EVENTS, people),
        (ADDRESS_CHANGES, some),
    ]
    with connection.cursor() as cursor:
        if is_sqlite:
            connection.connection.create_function("md5", 1, _md5, deterministic=True)
            cursor.execute("PRAGMA cache_size = -2000000")
        for text, count in rows:
            numbers = words["numbers"].format(count=count)
            cursor.execute(text.format(**{**words, "numbers": numbers}))
        if analyze:
            cursor.execute("ANALYZE")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def main(people: int, mails: int) -> None:
    from django.db import connection

    from cs_web.databases import ENDLESS, waiting
    from mail.queue.chores import chores

    with waiting(ENDLESS):
        fill(connection, people, mails, analyze=False)
        for do in chores:  # what is too old already would never have come to be so many
            while do(2000) == 2000:
                pass
        if connection.vendor == "postgresql":  # does this by itself; nobody does it for SQLite
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
                cursor.execute("CHECKPOINT")


if __name__ == "__main__":
    django.setup()
    main(*map(int, sys.argv[1:]))
