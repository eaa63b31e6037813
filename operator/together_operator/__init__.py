"""A Kubernetes operator for models and dedicated endpoints at Together AI."""

__version__ = "0.1.0"
