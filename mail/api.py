"""The face of mail: all that a project imports from it (and `mail.conf`, for its settings)."""

# ruff: noqa: F401  a face only shows what others have
from mail.causes import Cause
from mail.conf import absolute_url
from mail.desk.adhoc import report_to_admins
from mail.desk.mailbox import context as mailbox_context
from mail.desk.operations import OVERDUE_TOO_LONG, Status, failing, oldest_overdue, status_of
from mail.models import Budget, Mail, Priority, Pulse, State, Suppression, mailbox_of
from mail.queue.alarms import alarms
from mail.queue.chores import chore, chores, delete_some
from mail.queue.delivering import deliver, overdue
from mail.queue.engines import named as engine_named
from mail.queue.engines.threads import drain, stop, wake
from mail.queue.letters import (
    Decision,
    Outcome,
    Writer,
    add_sample,
    for_nobody,
    letter,
    letters,
    suppressed,
)
from mail.queue.limits import Part
from mail.queue.limits import parts as budget_parts
from mail.queue.posting import cancel, forget, post

# Why nothing unrequested goes to an address (None if it does), and to stop it.
suppression_of = Suppression.objects.reason_for
suppress = Suppression.objects.suppress
current_alarm = alarms.current
write_probe = Pulse.objects.probe
