"""The commands for people who look: `plan`, `status`, `why`, `export` and `cost`."""
