"""Files in and out: images, id-map PNGs, COCO JSON."""
