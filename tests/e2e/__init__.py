"""The main job on a real node: `make e2e`."""
