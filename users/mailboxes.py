"""Where a mailbox is read, and what a mistyped domain was meant to be: by its domain alone."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Service:
    name: str | Promise
    url: str


NAVER = Service(_("Naver Mail"), "https://mail.naver.com/")
GMAIL = Service("Gmail", "https://mail.google.com/")
DAUM = Service(_("Daum Mail"), "https://mail.daum.net/")
KAKAO = Service(_("Kakao Mail"), "https://mail.kakao.com/")
NATE = Service(_("Nate Mail"), "https://mail.nate.com/")
OUTLOOK = Service("Outlook", "https://outlook.live.com/mail/")
YAHOO = Service("Yahoo Mail", "https://mail.yahoo.com/")
ICLOUD = Service("iCloud Mail", "https://www.icloud.com/mail")

SERVICES = {
    "naver.com": NAVER,
    "gmail.com": GMAIL,
    "googlemail.com": GMAIL,
    "daum.net": DAUM,
    "hanmail.net": DAUM,
    "kakao.com": KAKAO,
    "nate.com": NATE,
    "outlook.com": OUTLOOK,
    "outlook.kr": OUTLOOK,
    "hotmail.com": OUTLOOK,
    "live.com": OUTLOOK,
    "yahoo.com": YAHOO,
    "yahoo.com.tw": YAHOO,
    "icloud.com": ICLOUD,
    "me.com": ICLOUD,
}
# Real as well, and near to one of the others: whoever has one has not mistyped it.
ALSO_REAL = {"email.com", "fmail.com", "gmx.com", "gmx.net", "hotmail.co.kr", "live.co.kr"}
ALSO_REAL |= {"mac.com", "mail.com", "msn.com", "navy.com", "pm.me", "qq.com", "ymail.com"}


def service_of(address: str) -> Service | None:
    return SERVICES.get(address.rpartition("@")[2].lower())


def suggestion(address: str) -> str:
    """The address that was probably meant; empty if this one looks right. Only ever a proposal."""
    local, _at, domain = address.rpartition("@")
    domain = domain.lower()
    if domain in SERVICES or domain in ALSO_REAL:
        return ""
    near = min(SERVICES, key=lambda known: distance(domain, known))
    allowed = 1 if len(near) < len("naver.com") else 2
    return f"{local}@{near}" if distance(domain, near) <= allowed else ""


def distance(one: str, other: str) -> int:
    """Letters typed, left out, put in, or swapped with the next (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        two_before, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and (a, b) == (other[j - 2], one[i - 2]):
                best = min(best, two_before[j - 2] + 1)
            row.append(best)
    return row[-1]
