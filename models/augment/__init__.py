"""The augmentation policy `auto`: AutoAugment's operations, and Cutout."""
