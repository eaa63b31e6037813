"""The image on a machine without a registry of images: `make image`."""
