"""Ways to carry a pipeline over many images."""
