"""The addresses that a project includes at its root: the events of Amazon SES, and the mailbox."""

from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path
from django.views.decorators.csrf import csrf_exempt

from mail import conf
from mail.desk import mailbox


@csrf_exempt
def events(request: HttpRequest) -> HttpResponseBase:
    # Without a topic of ours django-ses would believe anybody's.
    if not conf.AWS_SNS_EVENT_TRUSTED_TOPIC_ARNS:
        raise Http404
    from mail.transport.events import SESEvents  # with botocore, which only SES needs

    response: HttpResponseBase = SESEvents.as_view()(request)
    return response


urlpatterns: list[URLPattern | URLResolver] = [path("mail/events/", events, name="mail_events")]
if mailbox.is_open():
    urlpatterns.append(path("mailbox/", include((mailbox.urls, "mailbox"))))
