"""In-memory fakes of the ports: deterministic, in virtual time, behind a network that can fail.

State that outlives the operator's process is in `ApiServer`, `Platform` and `Stores`; the ports
that a process holds reach it through its `Wire` only.
"""
