"""Messages after an action, and errors of forms. The texts of pages are in the templates."""

from django.conf import settings
from django.utils.translation import get_language_info
from django.utils.translation import gettext_lazy as _

# Each by its own name.
LANGUAGES = {code: get_language_info(code)["name_local"] for code, _name in settings.LANGUAGES}

CANCELLED = _(
    "Your registration was cancelled. For 30 days we keep only that we wrote to this address."
)
DECLINED = _("Thank you. The registration was cancelled, and we will not write to you about it.")
NOTICES_STOPPED = _("Thank you. We will not write to you about registrations any more.")
ACTIVATED = _("Your e-mail address is verified. Welcome!")
PASSWORD_CHANGED = _("Your password was changed. Other devices were signed out.")
PROFILE_SAVED = _("Your profile was saved.")
SESSION_ENDED = _("That device is signed out.")
SESSIONS_ENDED = _("All other devices are signed out.")
ADDRESS_CHANGED = _("Your e-mail address was changed. We notified the old one.")
ADDRESS_CANCELLED = _("Your e-mail address stays as it is. The link no longer works.")
ADDRESS_SAME = _("This is your address already.")
TAKEN_BACK = _(
    "Your account is safe: everyone is signed out, and the old password no longer works."
)
DELETION_ASKED = _("Your account will be deleted in 14 days. Our e-mail says how to keep it.")
DELETION_UNDONE = _("Your account stays. You can sign in again.")
SIGNED_OUT = _("You are signed out.")

USER_ID_FREE = _("This ID is free.")
USER_ID_TAKEN = _("This ID is taken. Please choose another.")
LOGIN_FAILED = _("The ID or address and the password do not match. Please check both.")
LOGIN_WAITING = _("Your account is not activated yet. Open the link in our e-mail first.")
PASSWORD_WRONG = _("That is not the password of this account.")
NOT_YOUR_REGISTRATION = _(
    "This page is open only to the browser that registered, until the account is activated."
)
STAFF_ONLY = _("This part of the site is for staff. Please sign in with another account.")
