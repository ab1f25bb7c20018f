"""What ways to collect batches are worth in time: a discrete-event simulation of sessions that take various times."""
