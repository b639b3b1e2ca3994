"""Keeps keys out of the log: a link's token never stands in a line."""

import logging
import re

# /users/activate/<uid64>/<token>/ and /users/password/reset/<uid64>/<token>/
LINK = re.compile(r"(/users/(?:activate|password/reset)/[^/\s]+/)[^/\s]+")


class WithoutLinks(logging.Filter):
    """Writes `[token]` in the place of a token, in the message and in its arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        cleaned = LINK.sub(r"\1[token]", message)
        if cleaned != message:
            record.msg, record.args = cleaned, ()
        return True
