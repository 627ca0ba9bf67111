"""Values of all topics but `adt.raw.v1`, as JSON and back, and rows of files (docs/records.md).

One module for each topic or file format; each has `read_…` or `decode_…`, `encode_…`, and for files `load_…`.
"""
