#!/usr/bin/env python
"""The shop's command line: `PGQ_DSN=postgresql://… python example_project/manage.py migrate`."""

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    sys.path[0] = str(
        Path(__file__).resolve().parents[1]
    )  # the project's parent, instead of the project itself
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.shop.settings")
    execute_from_command_line(sys.argv)
