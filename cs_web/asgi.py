"""The ASGI callable that a server loads: `cs_web.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cs_web.settings")

application = get_asgi_application()
