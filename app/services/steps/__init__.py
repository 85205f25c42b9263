"""Learning steps: a job from its request to the version that it publishes."""
