"""Baselines in one go: pipelines run where they are not yet, then compared, costed and shown.

baseline.py     one pipeline: its run, and what it costs, kept for the next call
baselines.py    all of them: run, opened, scored on what they share, reported
tables.py       the same figures as CSV, Markdown and LaTeX
"""
