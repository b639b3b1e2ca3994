"""The Celery application: `celery -A cs_web worker`, and `celery -A cs_web beat` for the sweep."""

import logging
import os
import sys
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from mail import conf as mail_conf

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cs_web.settings")

if settings.MAIL_ENGINE != "celery":
    # The reader is an operator, not a programmer: the message is all they need.
    sys.exit("\nCelery has nothing to do here: set MAIL_ENGINE to celery, and CELERY_BROKER_URL.\n")

app = Celery("cs_web", include=[mail_conf.CELERY_TASKS])
app.config_from_object("django.conf:settings", namespace="CELERY")


@setup_logging.connect
def _keep_djangos_logging(**_: Any) -> None:
    """Instead of Celery's own, which logs three lines about every hint and sweep."""
    for name in ("celery.app.trace", "celery.beat", "celery.worker.strategy"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("celery.beat").addFilter(_one_line)


def _one_line(record: logging.LogRecord) -> bool:
    """While the broker is down, beat would log every sweep with two tracebacks."""
    record.msg, record.args = record.getMessage().partition("\n")[0], ()
    record.exc_info = None
    return True
