"""Where the missing PQ went."""
