"""Learning steps: what a job does to a classifier, from the request to the published version."""
