"""The archiver against what a user would do by hand: time, bytes, memory, in one run."""
