"""Jobs that say which method, backbone and image size to choose for the images of uploads."""
