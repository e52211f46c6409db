"""Pictures of images and what the nets said of them."""
