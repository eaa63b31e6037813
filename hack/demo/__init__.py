"""The main job from nothing to nothing, on a throw-away cluster: `make demo`."""
