"""Every address of the site. The flows' own addresses stand in users/urls.py."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView, TemplateView

from mail.webhooks import SESEvents
from users.views.login import admin_login

# /healthz is answered before all this, whatever the Host: see mail.health.
urlpatterns = [
    path("", TemplateView.as_view(template_name="home.html"), name="home"),
    path("users/", include("users.urls")),
    path(".well-known/change-password", RedirectView.as_view(pattern_name="users:password_change")),
    path("mail/events/", SESEvents.as_view(), name="mail_events"),
    # In at the one door, and a new password by it as well.
    path("admin/login/", admin_login),
    path("admin/password_change/", RedirectView.as_view(pattern_name="users:password_change")),
    path("admin/", admin.site.urls),
]

if settings.DEBUG and settings.EMAIL_SERVICE == "file":
    urlpatterns.append(path("mailbox/", include("mail.mailbox_urls")))
