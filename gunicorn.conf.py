"""What gunicorn reads by itself when it is started in this folder."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from cs_web.senders import Senders

# Which proxy is believed is said once, by TRUSTED_PROXIES, and read by Django. gunicorn would
# believe any on this machine, also about SCRIPT_NAME and PATH_INFO as headers: these pass proxies
# whose rules are about paths.
forwarded_allow_ips = ""
forwarder_headers = ""

# Of --access-logfile, which is off by default. Without the Referer.
access_log_format = '%(h)s (%({x-forwarded-for}i)s) "%(r)s" %(s)s %(b)s %(M)sms "%(a)s"'

# In a process of its own, because workers inherit all that is imported here: after an update a
# reload would give them the new files beside the old `cs_web.config`.
CHECK = """
import importlib, os
name = os.environ.get("DJANGO_SETTINGS_MODULE", "cs_web.settings")
conf = importlib.import_module(name).conf
print(conf.MAIL_ENGINE == "work" and conf.MAIL_BESIDE)
"""


def on_starting(server: Any) -> None:
    """A wrong configuration ends gunicorn here: with one message, and before the port is open."""
    command = [sys.executable, "-c", CHECK]
    checked = subprocess.run(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
    if checked.returncode:
        sys.exit(checked.returncode)
    # On the server object, because a reload executes this file anew.
    server.senders = Senders() if checked.stdout.strip() == "True" else None


def when_ready(server: Any) -> None:
    """The senders of mail start with the site."""
    if server.senders:
        server.senders.start()


def on_reload(server: Any) -> None:
    if server.senders:
        server.senders.restart()


def on_exit(server: Any) -> None:
    if getattr(server, "senders", None):
        server.senders.stop()


def post_worker_init(worker: Any) -> None:
    """gunicorn's own logs hold what visitors send: they are written as the site's are."""
    # Not above: workers would inherit the module, and a reload would not read the new one.
    from cs_web.logs import OneLine
    from mail import api

    for log in (worker.log.error_log, worker.log.access_log):
        for handler in log.handlers:
            handler.setFormatter(OneLine())
    api.wake()  # sender threads, if they are the engine: what waits needs no visitor
