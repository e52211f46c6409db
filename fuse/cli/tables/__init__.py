"""Figures as tables for a terminal, a module per command."""
