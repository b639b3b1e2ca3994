"""Where Django looks for it. The admin is `mail.desk.admin`."""

from mail.desk import admin  # noqa: F401
