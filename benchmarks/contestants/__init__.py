"""Contestants: one program for each, driven through one small conversation so that all are measured alike.

Nothing is imported here: each module runs in an environment of its own.
"""
