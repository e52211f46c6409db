"""What other libraries answer with, read by what it has; none of them is imported."""
