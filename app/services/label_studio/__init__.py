"""What Label Studio has: images, labelling configs and annotations, to predict and to learn."""
