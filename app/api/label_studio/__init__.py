"""Label Studio's protocol for ML backends: a classifier predicts a project's tasks and learns."""
