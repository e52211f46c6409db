"""Files in and out: photos, id-map PNGs, COCO JSON."""
