"""Simulators of the remote systems: Together's API, a Hugging Face hub and S3."""
