"""Every URL of the site. Those of the flows are in users/urls.py."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView, TemplateView

from cs_web import face
from users.views.login import admin_login

handler400 = "users.views.errors.bad_request"
handler404 = "users.views.errors.page_not_found"
handler500 = "cs_web.outage.server_error"

# /healthz is answered before URLs are resolved, for any Host: see cs_web.middleware.
urlpatterns = [
    path("", TemplateView.as_view(template_name="home.html"), name="home"),
    path("terms/", TemplateView.as_view(template_name="terms.html"), name="terms"),
    path("privacy/", TemplateView.as_view(template_name="privacy.html"), name="privacy"),
    path("theme.css", face.theme, name="theme"),
    path("robots.txt", face.robots),
    path("favicon.ico", face.icon),
    path("apple-touch-icon.png", face.touch_icon),
    path(".well-known/security.txt", face.security, name="security"),
    path("users/", include("users.urls")),
    path(".well-known/change-password", RedirectView.as_view(pattern_name="users:password_change")),
    # The admin uses the site's own sign-in and password change.
    path("admin/login/", admin_login),
    path("admin/password_change/", RedirectView.as_view(pattern_name="users:password_change")),
    path("admin/", admin.site.urls),
    path("", include("mail.urls")),  # /mailbox/ in development, and where Amazon SES posts events
]
