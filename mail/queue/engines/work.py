"""Senders without a web server, on the database alone: `manage.py mail work`."""

import logging
import os
import signal
import time
from datetime import datetime, timedelta

from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from mail.models import Mail, Pulse
from mail.queue import engines
from mail.queue.engines.threads import Pool

log = logging.getLogger(__name__)

STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
SWEEP_EVERY = 0.25  # seconds; nobody hints here, so a message waits for half of it
LOOK_EVERY = 1.0  # second, at the parent
ONCE_EVERY = 0.05  # seconds
REPORT_EVERY = 10.0  # seconds
COUNTED = 10_000  # messages at the most, however long these senders live
PROGRESS = "%s messages sent since the start, %d are due"
SILENT_TOO_LONG = timedelta(seconds=45)  # four beats of their pulse have failed


class Work(engines.Engine):
    def hint(self, mail: Mail) -> None:
        """The senders look for rows by themselves."""

    def trouble(self) -> str:
        beat = Pulse.objects.filter(pk=1).first()
        # Both ways: the clock may have been set back.
        alive = beat and abs(timezone.now() - beat.at) < SILENT_TOO_LONG
        return "" if alive else "no `mail work` is running"


def run(threads: int, once: bool = False, with_parent: int = 0) -> int:
    """Sends what is due until a signal to stop; with `once`, until nothing is due any more; with
    `with_parent`, until that process, which has started this one, is gone.

    What is in flight is finished first. Returns the exit code: with `once`, 1 if the database could
    not say what is due.
    """
    # Not by handlers: one may run in the middle of anything, also while a lock is held.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    pool = Pool(SWEEP_EVERY)
    try:
        pool.start(threads, sweeper=not once)
        if not with_parent:  # whose own words are the last at the start (`make run`)
            log.info("%d senders are at work until Ctrl-C or SIGTERM", threads)
        start, reported, report_at = timezone.now(), PROGRESS % (0, 0), 0.0
        while not _told_to_stop(ONCE_EVERY if once else LOOK_EVERY):
            if with_parent and os.getppid() != with_parent:
                log.warning("whoever started these senders is gone, and so are they")
                break
            if once:
                idle = not pool.jobs.unfinished_tasks
                if not pool.sweep_step() and (idle or pool.blind):
                    break
            elif time.monotonic() >= report_at:
                report_at = time.monotonic() + REPORT_EVERY
                if (progress := _report(start)) != reported:
                    log.info(progress)
                    reported = progress
        pool.stop()
        if any(thread.is_alive() for thread in pool.threads):
            log.warning("a send takes too long to wait for; that message is sent again later")
        log.info("stopped. %s", _progress(start))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
    return 1 if once and pool.blind else 0


def _told_to_stop(within: float) -> bool:
    received = signal.sigtimedwait(STOP, within)
    # After SIGSTOP and SIGCONT, CPython 3.11 returns an object without a signal.
    return received is not None and received.si_signo in STOP


def _report(start: datetime) -> str:
    """Lets /healthz know that senders are at work; what to write into the log."""
    progress = _progress(start)
    try:
        Pulse.objects.update_or_create(pk=1, defaults={"at": timezone.now()})
    except DatabaseError as error:
        return f"the database does not answer: {error}"
    return progress


def _progress(start: datetime) -> str:
    """What has become of the mail since then, whoever sent it."""
    close_old_connections()
    try:
        sent = Mail.objects.filter(sent_at__gte=start)[:COUNTED].count()
        more = " or more" if sent == COUNTED else ""
        due = Mail.objects.due().count()
        return PROGRESS % (f"{sent}{more}", due)
    except DatabaseError as error:
        return f"the database does not answer: {error}"
