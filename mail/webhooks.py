"""Where Amazon SNS posts the events of SES: django-ses's view, open to our own topic only."""

import json
import logging
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django_ses import utils
from django_ses.views import SESEventWebhookView

from mail.feedback import NotYet

log = logging.getLogger(__name__)


@method_decorator(csrf_exempt, name="dispatch")  # the signature says who posts
class SESEvents(SESEventWebhookView):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # Without a topic of ours django-ses would believe anybody's.
        if not settings.AWS_SNS_EVENT_TRUSTED_TOPIC_ARNS:
            raise Http404
        try:
            if not isinstance(json.loads(request.body), dict):
                return HttpResponseBadRequest("An SNS message is a JSON object.")
            return super().post(request, *args, **kwargs)  # type: ignore[no-any-return]
        except NotYet:
            return HttpResponse("The mail is not known yet. Please post it again.", status=503)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Rubbish, before or inside the signature: never a 500 for what a stranger has posted.
            log.warning("an event could not be read: %s", type(error).__name__)
            return HttpResponseBadRequest("The event could not be read.")

    def verify_event_message(self, notification: dict[str, Any]) -> bool:
        """The topic first: a stranger's post must not make us fetch a certificate."""
        if not utils.verify_event_topic(notification):
            return False
        verified = bool(super().verify_event_message(notification))
        # django-ses remembers a certificate that it could not fetch until the next restart.
        url = str(notification.get("SigningCertURL"))
        if utils._CERT_CACHE.get(url, utils) is None:
            del utils._CERT_CACHE[url]
        return verified
