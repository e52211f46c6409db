"""One HTML file that shows a run: its figures, its classes and its images, layer by layer."""
