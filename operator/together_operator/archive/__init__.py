"""The worker: turns model weights into one archive at S3 (or in a local file).

Knows nothing of Kubernetes or of Together's API. One object's way through it: a `sources.Source`
lists entries, `selection` leaves junk out, `plan` fixes every byte of the archive, `layout` cuts it
into parts, `transfer` moves them into a `destinations.Destination`.
"""
