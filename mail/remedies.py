"""What a failure to send means for an operator, and what he can do. To be read as a table, too.

The first entry counts whose service and words fit. The words are those of `mail.errors`, which
also stand in the outbox and in the alarm, so that a failure of yesterday finds its remedy as well.
"""

import re
from dataclasses import dataclass

from django.conf import settings

ANY = ""


@dataclass(frozen=True)
class Remedy:
    service: str  # of EMAIL_SERVICE, or ANY
    words: str  # a regular expression, of any case, found in what mail.errors says
    meaning: str
    steps: tuple[str, ...]


LOGIN = r"login was refused|\b53[0458]\b"
QUOTA = r"\b[45]\.4\.5\b|daily (user )?sending (limit|quota)|quota exceeded"
DNS = r"Name or service not known|name resolution|nodename nor servname|No address associated"

REMEDIES = (
    # Naver
    Remedy(
        "naver",
        LOGIN,
        "Naver does not let this site sign in.",
        (
            "In Naver Mail open 환경설정 > POP3/IMAP 설정 > IMAP/SMTP 설정 and choose "
            '"IMAP/SMTP 사용: 사용함".',
            "In 네이버ID > 보안설정 turn on 2단계 인증, and make an application password there "
            "(애플리케이션 비밀번호).",
            "Put that password into EMAIL_HOST_PASSWORD; the account's own does not work.",
            "EMAIL_HOST_USER is the ID of the same account, with or without @naver.com.",
        ),
    ),
    Remedy(
        "naver",
        r"sender was refused|sender address",
        "Naver sends only in the name of the account itself.",
        (
            "Remove DEFAULT_FROM_EMAIL, or set it to the address of EMAIL_HOST_USER; "
            "a name before it is allowed: 컴퓨터공학부 <id@naver.com>.",
        ),
    ),
    Remedy(
        "naver",
        QUOTA,
        "Naver has taken as many mails of this account as it takes in a day.",
        (
            "Wait: what waits goes out by itself.",
            "Lower EMAIL_DAILY_LIMIT to what Naver took, so that the site stops before it is "
            "stopped. For more mail a day use Amazon SES.",
        ),
    ),
    # Gmail
    Remedy(
        "gmail",
        r"\b454\b|too many login",
        "Gmail has seen too many logins and pauses.",
        ("Wait some minutes. Fewer MAIL_THREADS and processes make fewer logins.",),
    ),
    Remedy(
        "gmail",
        LOGIN,
        "Gmail does not let this site sign in.",
        (
            "Turn on two-step verification for the account: https://myaccount.google.com/security",
            "Make an app password (16 characters): https://myaccount.google.com/apppasswords",
            "Put it into EMAIL_HOST_PASSWORD; the account's own password does not work.",
            "EMAIL_HOST_USER is the whole address of the same account. In Google Workspace an "
            "administrator may have forbidden app passwords.",
        ),
    ),
    Remedy(
        "gmail",
        QUOTA,
        "Gmail has taken as many mails of this account as it takes in 24 hours "
        "(500; Workspace 2,000).",
        (
            "Wait: what waits goes out by itself.",
            "Set EMAIL_DAILY_LIMIT below that. For more mail a day use Amazon SES.",
        ),
    ),
    Remedy(
        "gmail",
        r"sender was refused",
        "Gmail does not know this sender.",
        (
            "DEFAULT_FROM_EMAIL is the account's address, or an alias that the account has "
            'verified under Settings > Accounts > "Send mail as".',
        ),
    ),
    # Amazon SES
    Remedy(
        "ses",
        r"Paused|Suspended",
        "Amazon has stopped this account, as a rule for bounces or complaints.",
        ("Read what the SES console says under Reputation metrics, and answer Amazon there.",),
    ),
    Remedy(
        "ses",
        r"not verified|failed the check|MessageRejected",
        "Amazon SES has not verified an address of this mail in this region.",
        (
            "Is it the sender? Verify its domain (or the address) in the SES console, under "
            "Identities.",
            "Is it the recipient? Then the account is in the sandbox: verify the recipient too, "
            "or ask for production access (SES console > Account dashboard).",
            "Identities count in one region only: is AWS_SES_REGION_NAME the one in which you "
            "verified it? The console shows its region at the top.",
        ),
    ),
    Remedy(
        "ses",
        r"has no keys",
        "There are no keys for Amazon SES.",
        (
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to those of an IAM user,",
            "or, on a machine of Amazon's, give it an IAM role.",
        ),
    ),
    Remedy(
        "ses",
        r"InvalidClientTokenId|UnrecognizedClient|security token .* invalid",
        "Amazon does not know this access key.",
        (
            "Compare AWS_ACCESS_KEY_ID with the IAM console: is it active, or was it deleted? "
            "SMTP credentials of SES are another thing and do not work here.",
        ),
    ),
    Remedy(
        "ses",
        r"SignatureDoesNotMatch|IncompleteSignature",
        "The secret does not belong to the access key, or this machine's clock is wrong.",
        (
            "Copy AWS_SECRET_ACCESS_KEY again, whole; if it is lost, make a new key.",
            "Compare the output of `date -u` with the real time.",
        ),
    ),
    Remedy(
        "ses",
        r"ExpiredToken",
        "The keys were temporary, and their time is over.",
        ("Use the keys of an IAM user, or an IAM role, which renews its keys by itself.",),
    ),
    Remedy(
        "ses",
        r"AccessDenied",
        "The IAM user (or role) may not send.",
        (
            "Give it the permissions ses:SendEmail and ses:SendRawEmail on the identity of "
            "DEFAULT_FROM_EMAIL, in AWS_SES_REGION_NAME.",
        ),
    ),
    Remedy(
        "ses",
        r"NotFoundException|configuration ?set",
        "There is no such configuration set in this region.",
        ("Make AWS_SES_CONFIGURATION_SET in the SES console, or remove the setting.",),
    ),
    Remedy(
        "ses",
        r"Throttling|TooManyRequests|LimitExceeded|maximum sending rate|quota",
        "Amazon SES takes no more at the moment: too fast, or as much as it takes in 24 hours.",
        (
            "Wait: what waits goes out by itself. The quota stands in the SES console.",
            "In the sandbox it is 200 a day and one a second: ask for production access.",
            "Set EMAIL_DAILY_LIMIT to the quota.",
        ),
    ),
    Remedy(
        "ses",
        r"MailFromDomainNotVerified",
        "The DNS records of the custom MAIL FROM domain are missing or wrong.",
        ("Compare them with SES console > Identities > the domain > Custom MAIL FROM domain.",),
    ),
    Remedy(
        "ses",
        r"cannot be reached",
        "This machine does not reach Amazon SES.",
        (
            "Is AWS_SES_REGION_NAME written right, such as ap-northeast-2, and does SES exist "
            "there?",
            "Does AWS_SES_REGION_ENDPOINT_URL, if it is set, belong to that region?",
            "Does a firewall let this machine out to port 443?",
        ),
    ),
    # Every SMTP server
    Remedy(
        ANY,
        r"certificate is not to be trusted",
        "Whoever answers cannot prove that he is EMAIL_HOST, so he gets no password and no mail.",
        (
            "EMAIL_HOST must be the name in the certificate, not an IP address or another name.",
            "If it has expired or is signed by nobody known, the server's owner must renew it. "
            "An authority of your own: SSL_CERT_FILE=/path/to/it.pem in the environment.",
            "Is this machine's clock right, and is the package ca-certificates installed?",
        ),
    ),
    Remedy(
        ANY,
        r"wrong.version.number|record layer failure",
        "The server does not speak TLS from the start on this port.",
        ("587 and 25 want EMAIL_USE_TLS=true, 465 wants EMAIL_USE_SSL=true; never both.",),
    ),
    Remedy(
        ANY,
        r"does not offer what the settings ask for",
        "The server lacks STARTTLS, or a login, on this port.",
        (
            "Most services want port 587 with EMAIL_USE_TLS=true, or 465 with EMAIL_USE_SSL=true.",
            "For a local server without either: EMAIL_USE_TLS=false, and no EMAIL_HOST_USER.",
        ),
    ),
    Remedy(
        ANY,
        DNS,
        "There is no server of that name, or this machine cannot ask for names.",
        (
            "Is EMAIL_HOST written right?",
            "Does `getent hosts` with that name find an address? If it finds none for any name, "
            "mend this machine's DNS (/etc/resolv.conf).",
        ),
    ),
    Remedy(
        ANY,
        r"connection refused",
        "The machine is there, but nobody listens on that port.",
        ("Are EMAIL_HOST and EMAIL_PORT right? 587 with TLS, 465 with SSL.",),
    ),
    Remedy(
        ANY,
        r"timed out|unreachable|No route to host",
        "Nobody answers.",
        (
            "A firewall is the usual cause; many hosters close port 25, and some 465 and 587, "
            "until one asks them to open it.",
            "Port 465 without EMAIL_USE_SSL=true looks the same.",
        ),
    ),
    Remedy(
        ANY,
        r"hung up",
        "The server ended the connection.",
        (
            "Try once more: it may have been restarting.",
            "If it is always so: 465 wants EMAIL_USE_SSL=true; and some servers hang up on "
            "machines whose address they distrust.",
        ),
    ),
    Remedy(
        ANY,
        LOGIN + r"|\b454\b",
        "The server does not let this site sign in.",
        (
            "Compare EMAIL_HOST_USER and EMAIL_HOST_PASSWORD with what the service gave you; many "
            "want an app password, and some the whole address as user.",
        ),
    ),
    Remedy(
        ANY,
        r"sender was refused|sender address|\b5\.7\.(1|26|27)\b.*(SPF|DKIM|DMARC|sender)",
        "The server does not let this account send as DEFAULT_FROM_EMAIL.",
        (
            "Use the address of the account, or have the server's owner allow this sender.",
            "SPF, DKIM and DMARC of the sender's domain must name this server.",
        ),
    ),
    Remedy(
        ANY,
        QUOTA,
        "The service has taken as many mails as it takes in a day.",
        ("Wait: what waits goes out by itself. Set EMAIL_DAILY_LIMIT below that number.",),
    ),
    Remedy(
        ANY,
        r"recipient was refused",
        "The server does not take mail for this recipient.",
        (
            "Is the address written right? Try another one.",
            'If the answer says "relay", the server wants a login (EMAIL_HOST_USER), or does not '
            "send for this machine.",
        ),
    ),
)

NOTHING_KNOWN = Remedy(
    ANY,
    "",
    "Nobody has foreseen this.",
    (
        "The answer above, in quotation marks, is what to search for and to show the service.",
        "`manage.py check` may know more.",
    ),
)


def remedy(words: str) -> Remedy:
    """What helps against a failure, with the service that is configured."""
    service = _service()
    for entry in REMEDIES:
        if entry.service in (ANY, service) and re.search(entry.words, words, re.IGNORECASE):
            return entry
    return NOTHING_KNOWN


def _service() -> str:
    """Naver and Gmail are themselves also as EMAIL_SERVICE=smtp."""
    for name in ("naver", "gmail"):
        if settings.EMAIL_HOST.lower().endswith(f".{name}.com"):
            return name
    return settings.EMAIL_SERVICE or ANY
