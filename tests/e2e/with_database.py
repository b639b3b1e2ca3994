"""A plugin of pytest (`-p tests.e2e.with_database`): only the tests that ask the database.

Another database changes nothing for the others, so they would say the same once more.
"""

import pytest

FIXTURES = {"db", "transactional_db"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asking = [
        item
        for item in items
        if item.get_closest_marker("django_db") or FIXTURES & set(getattr(item, "fixturenames", ()))
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(asking)])
    items[:] = asking
