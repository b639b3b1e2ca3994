"""Whoever has failed is left alone for a while."""

import time
from collections.abc import Callable


class Breaker:
    """After a failure only one in a while finds out whether it still fails; nobody else waits."""

    def __init__(self, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.pause = pause  # seconds
        self.clock = clock
        self.next_try: float | None = None

    def lets_through(self) -> bool:
        if self.next_try is None:
            return True
        now = self.clock()
        if now < self.next_try:
            return False
        self.next_try = now + self.pause
        return True

    def report(self, *, worked: bool) -> None:
        self.next_try = None if worked else self.clock() + self.pause
