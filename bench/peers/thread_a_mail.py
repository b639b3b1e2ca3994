"""The site that many begin with: a thread for each message, which nothing remembers."""

from threading import Thread
from typing import Any

from django.contrib.auth import views
from django.contrib.auth.forms import PasswordResetForm, UserCreationForm
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import EmailMultiAlternatives
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import path
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode


class EmailThread(Thread):
    def __init__(self, message: EmailMultiAlternatives) -> None:
        super().__init__()
        self.message = message

    def run(self) -> None:
        self.message.send(fail_silently=False)


def send_mail(subject: str, to: list[str], body: str, html: str) -> None:
    message = EmailMultiAlternatives(subject, body, None, to)
    message.attach_alternative(html, "text/html")
    EmailThread(message).start()


class RegisterForm(UserCreationForm):
    class Meta:
        model = User
        fields = ("username", "email")


def register(request: Any) -> Any:
    form = RegisterForm(request.POST or None)
    if not form.is_valid():
        return render(request, "django_registration/registration_form.html", {"form": form})
    user = form.save(commit=False)
    user.is_active = False
    user.save()
    key = urlsafe_base64_encode(force_bytes(user.pk))
    link = f"http://127.0.0.1/activate/{key}/{default_token_generator.make_token(user)}/"
    body = render_to_string("django_registration/activation_email_body.txt", {"link": link})
    send_mail("Activate your account", [user.email], body, f"<p>{body}</p>")
    return redirect("login")


class ResetForm(PasswordResetForm):
    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        _, body, context, _, to = args
        text = render_to_string(body, context)
        send_mail("Password reset", [to], text, f"<p>{text}</p>")


urlpatterns = [
    path("accounts/register/", register),
    path("accounts/login/", views.LoginView.as_view(), name="login"),
    path(
        "accounts/password_reset/", views.PasswordResetView.as_view(form_class=ResetForm)
    ),
    path("accounts/password_reset/done/", views.PasswordResetDoneView.as_view(),
         name="password_reset_done"),
    path("accounts/reset/<uidb64>/<token>/", views.PasswordResetConfirmView.as_view(),
         name="password_reset_confirm"),
]  # fmt: skip
