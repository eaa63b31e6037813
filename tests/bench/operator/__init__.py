"""Measures the operator on a real API server: `python -m tests.bench.operator`."""
