"""The nets. Nothing else in the package imports torch."""
