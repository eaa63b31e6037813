"""The operator beside 10,000 objects, compared with a controller that only reads its cache."""
