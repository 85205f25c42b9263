"""The worker: takes jobs from the queue and runs each in a child process."""
