"""The URLs of every flow; name, view, template, letter, test and document share one stem.

`limited` marks the forms that make us send a message, `guarded` those with a password, `proven`
those that ask for it again.
"""

from django.urls import path

from users.proofs import proven
from users.views import (
    account,
    activate,
    address,
    deletion,
    export,
    language,
    login,
    notices,
    password,
    register,
    take_back,
)
from users.visitors import guarded, limited, visitors_only

app_name = "users"

urlpatterns = [
    path(
        "register/",
        limited(guarded(visitors_only(register.RegisterView.as_view()))),
        name="register",
    ),
    path("register/id/", limited(register.register_id, "GET", "questions"), name="register_id"),
    path("register/success/", register.RegisterSuccessView.as_view(), name="register_success"),
    path("register/status/", register.register_status, name="register_status"),
    path(
        "register/address/",
        limited(register.RegisterAddressView.as_view()),
        name="register_address",
    ),
    path("register/resend/", limited(register.register_resend), name="register_resend"),
    path("register/cancel/", register.register_cancel, name="register_cancel"),
    path(
        "activate/resend/",
        limited(visitors_only(activate.ActivateResendView.as_view())),
        name="activate_resend",
    ),
    path(
        "activate/resend/sent/",
        visitors_only(activate.ActivateResendSentView.as_view()),
        name="activate_resend_sent",
    ),
    path(
        "activate/<uidb64>/password/",
        guarded(activate.ActivatePasswordView.as_view()),
        name="activate_password",
    ),
    path(
        "activate/<uidb64>/decline/",
        activate.ActivateDeclineView.as_view(),
        name="activate_decline",
    ),
    path(
        "activate/<uidb64>/renew/",
        limited(activate.ActivateRenewView.as_view()),
        name="activate_renew",
    ),
    path("activate/<uidb64>/<token>/", guarded(activate.ActivateView.as_view()), name="activate"),
    path("login/", guarded(login.LoginView.as_view()), name="login"),
    path("logout/", login.LogoutView.as_view(), name="logout"),
    path(
        "password/reset/",
        limited(visitors_only(password.PasswordResetView.as_view())),
        name="password_reset",
    ),
    path(
        "password/reset/sent/",
        password.PasswordResetSentView.as_view(),
        name="password_reset_sent",
    ),
    path(
        "password/reset/done/",
        password.PasswordResetDoneView.as_view(),
        name="password_reset_done",
    ),
    path(
        "password/reset/<uidb64>/renew/",
        limited(password.PasswordResetRenewView.as_view()),
        name="password_reset_renew",
    ),
    path(
        "password/reset/<uidb64>/<token>/",
        guarded(password.PasswordResetConfirmView.as_view()),
        name="password_reset_confirm",
    ),
    path(
        "password/change/",
        guarded(password.PasswordChangeView.as_view()),
        name="password_change",
    ),
    path(
        "password/change/forgot/",
        limited(password.change_forgot),
        name="password_change_forgot",
    ),
    path("account/", account.AccountView.as_view(), name="account"),
    path("account/security/", account.AccountSecurityView.as_view(), name="account_security"),
    path("account/security/end/", proven(account.session_end), name="account_session_end"),
    path("account/security/end/all/", proven(account.sessions_end), name="account_sessions_end"),
    path("account/activity/", account.AccountActivityView.as_view(), name="account_activity"),
    path("account/data/", account.AccountDataView.as_view(), name="account_data"),
    path("account/address/", limited(proven(address.AddressView.as_view())), name="address"),
    path("account/deletion/", proven(deletion.DeletionView.as_view()), name="deletion"),
    path("account/data/export/", proven(export.export), name="export"),
    path("account/address/cancel/", address.address_cancel, name="address_cancel"),
    path(
        "address/<uidb64>/<token>/",
        guarded(address.AddressConfirmView.as_view()),
        name="address_confirm",
    ),
    path("take-back/<uidb64>/<token>/", take_back.TakeBackView.as_view(), name="take_back"),
    path("deletion/<uidb64>/<token>/", deletion.DeletionUndoView.as_view(), name="deletion_undo"),
    path("notices/<uidb64>/<token>/", notices.NoticesView.as_view(), name="notices"),
    path("language/", language.choose_language, name="language"),
]
