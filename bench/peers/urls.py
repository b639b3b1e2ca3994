from typing import Any

from django.conf import settings
from django.urls import include, path

urlpatterns: list[Any] = []
if settings.WAY == "allauth":
    urlpatterns = [path("accounts/", include("allauth.urls"))]
if settings.WAY == "registration":
    urlpatterns = [
        path("accounts/", include("django_registration.backends.activation.urls")),
        path("accounts/", include("django.contrib.auth.urls")),
    ]
if settings.WAY == "threads":
    from bench.peers import thread_a_mail

    urlpatterns = thread_a_mail.urlpatterns
