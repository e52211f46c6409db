"""Where weights come from, and what they are checked by."""
