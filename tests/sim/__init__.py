"""The real reconcilers, runners and work queues on fakes, in virtual time, with every failure."""
