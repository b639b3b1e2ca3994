"""An engine sees to it that `deliver` is called for every row. It is an object with `hint(mail)`.

`hint` says that a row has just been committed. It must neither raise nor wait: whoever posts is a
visitor. It may lose what it was told, because something has to sweep as well: to call `deliver`
for what `overdue` names, every few seconds.
"""

import functools

from django.utils.module_loading import import_string

from mail.models import Mail

ENGINES = {
    "threads": "mail.queue.engines.threads.Threads",
    "work": "mail.queue.engines.work.Work",
    "celery": "mail.queue.engines.celery.Celery",
}


class Engine:
    def hint(self, mail: Mail) -> None:
        raise NotImplementedError

    def trouble(self) -> str:
        """What is wrong with the senders of this process; "" if nothing is."""
        return ""


@functools.cache
def named(name: str) -> Engine:
    engine: Engine = import_string(ENGINES.get(name, name))()
    return engine
