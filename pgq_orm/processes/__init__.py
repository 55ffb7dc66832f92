"""Processes: a worker as a process, alone or one of several under supervision, with a probe, restarted on change."""
