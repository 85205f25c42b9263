"""What runs the trunk of a network in PyTorch's place, faster."""
