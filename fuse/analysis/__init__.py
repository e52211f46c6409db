"""What could be better: other rules, other runs, and where the quality went."""
