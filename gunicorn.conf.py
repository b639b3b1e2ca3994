"""What gunicorn reads by itself when it is started in this folder."""

import subprocess
import sys
from pathlib import Path
from typing import Any

# Which proxy is believed is said once, by TRUSTED_PROXIES, and read by Django. gunicorn would
# believe any on this machine, also about SCRIPT_NAME and PATH_INFO as headers: these pass proxies
# whose rules are about paths.
forwarded_allow_ips = ""
forwarder_headers = ""

# Of --access-logfile, which is off by default. Without the Referer.
access_log_format = '%(h)s (%({x-forwarded-for}i)s) "%(r)s" %(s)s %(b)s %(M)sms "%(a)s"'


def on_starting(server: Any) -> None:
    """A wrong configuration ends gunicorn here: with one message, and before the port is open.

    In a process of its own, because workers inherit all that is imported here: after an update a
    reload would give them the new files beside the old `cs_web.config`.
    """
    command = [sys.executable, "-c", "import cs_web.settings"]
    code = subprocess.call(command, cwd=Path(__file__).parent)
    if code:
        sys.exit(code)


def post_worker_init(worker: Any) -> None:
    """gunicorn's own logs hold what visitors send: they are written as the site's are."""
    # Not above: workers would inherit the module, and a reload would not read the new one.
    from cs_web.logs import OneLine

    for log in (worker.log.error_log, worker.log.access_log):
        for handler in log.handlers:
            handler.setFormatter(OneLine())
