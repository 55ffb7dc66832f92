"""The shop for an ASGI server, its static files included: `uvicorn example_project.shop.asgi:application`."""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.shop.settings")

application = ASGIStaticFilesHandler(get_asgi_application())
