"""A plugin of pytest (`-p tests.e2e.with_database`): only the tests that ask the database.

Another database changes nothing for the others, so they would say the same once more. Nor for most
of the values that one test is run with: of these one is taken, another each time. And the crawler
comes by a socket to a site on PostgreSQL (test_rubbish.py). At home it is half of what is left,
another half each time.
"""

import pytest

from tests.elsewhere import IN_CI

FIXTURES = {"db", "transactional_db"}
EVERY_CASE = {"test_bad_input.py", "test_states.py"}
NOT_AGAIN = {"test_crawler.py", "test_hashing.py"}


def asks(item: pytest.Item) -> bool:
    if item.path.name in NOT_AGAIN:
        return False
    fixtures = FIXTURES & set(getattr(item, "fixturenames", ()))
    return bool(fixtures or item.get_closest_marker("django_db"))


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen: dict[object, pytest.Item] = {}
    for item in filter(asks, items):
        name = item.nodeid if item.path.name in EVERY_CASE else item.nodeid.partition("[")[0]
        chosen.setdefault(name, item)
    always = [item for item in chosen.values() if item.path.name in EVERY_CASE]
    others = [item for item in chosen.values() if item.path.name not in EVERY_CASE]
    left = always + others[:: 1 if IN_CI else 2]
    config.hook.pytest_deselected(items=set(items).difference(left))
    items[:] = left
