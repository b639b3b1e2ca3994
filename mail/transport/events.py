"""What became of a message after Amazon SES accepted it: SES reports it by signed events.

A bounce or a complaint changes the row, is recorded in its timeline, and stops unrequested mail to
the address until staff clears it. The events come through django-ses's view, open to our own topic
of Amazon SNS only.
"""

import json
import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django_ses import signals, utils
from django_ses.views import SESEventWebhookView

from mail.models import ERROR_MAX_LENGTH, HANDED_OVER, Attempt, Mail, State, Suppression

log = logging.getLogger(__name__)

Reason = Suppression.Reason
Event = dict[str, Any]

# An event may be faster than our own UPDATE with the message's id; SNS then posts it again.
OURS_FOLLOWS_WITHIN = timedelta(minutes=1)

MAX_BYTES = 256 * 1024  # of an SNS message
TYPES = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")


class NotYet(Exception):
    """The message is too new for us to know its id."""


@receiver(signals.bounce_received, dispatch_uid="mail.transport.events")
def bounced(mail_obj: Event, bounce_obj: Event, **_: Any) -> None:
    people = bounce_obj.get("bouncedRecipients", [])
    said = "; ".join(str(person.get("diagnosticCode", "")) for person in people).strip("; ")
    if bounce_obj.get("bounceType") == "Permanent":
        words = f"it came back: {said}"
        _came_back(mail_obj, people, State.BOUNCED, Reason.BOUNCED, words)
    else:
        _record(mail_obj, f"temporary trouble at the reader's server: {said}")


@receiver(signals.complaint_received, dispatch_uid="mail.transport.events")
def complained(mail_obj: Event, complaint_obj: Event, **_: Any) -> None:
    people, words = complaint_obj.get("complainedRecipients", []), "the reader reported it as spam"
    _came_back(mail_obj, people, State.COMPLAINED, Reason.COMPLAINED, words)


@receiver(signals.delivery_received, dispatch_uid="mail.transport.events")
def delivered(mail_obj: Event, delivery_obj: Event, **_: Any) -> None:
    mail = _find(mail_obj)
    if mail:
        Mail.objects.filter(pk=mail.pk, state=State.SENT).update(state=State.DELIVERED)
        _record(mail_obj, str(delivery_obj.get("smtpResponse", "delivered")))


def _came_back(mail_obj: Event, people: list[Event], state: State, reason: Any, words: str) -> None:
    with transaction.atomic():
        mail = _find(mail_obj)
        if mail:
            handed_over = Mail.objects.filter(pk=mail.pk, state__in=HANDED_OVER)
            handed_over.update(state=state, error=words[:ERROR_MAX_LENGTH])
            _record(mail_obj, words)
        for person in people:
            # The reader's own complaint stands; a bounce may be of a mailbox that is not made yet.
            cause = mail if reason == Reason.BOUNCED else None
            Suppression.objects.after(cause, reason, str(person["emailAddress"]))


def _record(mail_obj: Event, words: str) -> None:
    mail = _find(mail_obj)
    if mail:
        Attempt.objects.create(mail=mail, number=mail.attempts, what=words[:ERROR_MAX_LENGTH])


def _find(mail_obj: Event) -> Mail | None:
    """The row of the event; None if it has none (`django.core.mail` sends too)."""
    mail = Mail.objects.with_provider_id(mail_obj["messageId"]).first()
    if mail is None:
        sent = datetime.fromisoformat(mail_obj["timestamp"])
        if timezone.now() - sent < OURS_FOLLOWS_WITHIN:
            raise NotYet
        log.info("an event for a message that is not in the queue")
    return mail


def _is_for_us(notification: Any) -> bool:
    """Looked at first: what a stranger posts must neither be logged nor make us fetch a
    certificate."""
    return (
        isinstance(notification, dict)
        and notification.get("Type") in TYPES
        and utils.verify_event_topic(notification)
    )


@method_decorator(csrf_exempt, name="dispatch")  # the signature says who posts
class SESEvents(SESEventWebhookView):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            # A server for ASGI may have read a body without a declared length.
            declared = int(request.META.get("CONTENT_LENGTH") or 0)
            if declared > MAX_BYTES or len(request.body) > MAX_BYTES:
                return HttpResponse("The event is too long.", status=413)
            if not _is_for_us(json.loads(request.body)):
                return HttpResponseBadRequest("This is no SNS message of our topic.")
            return super().post(request, *args, **kwargs)  # type: ignore[no-any-return]
        except NotYet:
            return HttpResponse("The message is not known yet. Please post it again.", status=503)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            # Rubbish, before or inside the signature: never a 500 for what a stranger has posted.
            log.warning("an event could not be read: %s", type(error).__name__)
            return HttpResponseBadRequest("The event could not be read.")

    def verify_event_message(self, notification: Event) -> bool:
        verified = bool(super().verify_event_message(notification))
        # django-ses remembers a certificate that it could not fetch until the next restart.
        url = str(notification.get("SigningCertURL"))
        if utils._CERT_CACHE.get(url, utils) is None:
            del utils._CERT_CACHE[url]
        return verified
