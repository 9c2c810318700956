"""The names of all files and folders of an output, relative to it."""

DATA, REJECTED, INDEX, NOISE = "data", "rejected", "index", "noise"
MANIFEST = "manifest.json"
PREVIEW = "preview.html"
SUCCESS = "_SUCCESS"
WORK = "_work"
"""What only an unfinished run needs; gone once that is committed."""

OURS = (SUCCESS, MANIFEST, PREVIEW, DATA, REJECTED, INDEX, NOISE, WORK)
"""What may lie in an output, in the order in which it is removed."""

RECORDED = (DATA, INDEX, REJECTED)
"""Folders whose files the manifest names."""

PART = "part-"
"""What the names of the files of shards begin with."""

RUN, OWNER, STAGING = f"{WORK}/run.json", f"{WORK}/owner", f"{WORK}/staging"

# By the index of a shard.
PARQUET_PART = f"{DATA}/{PART}{{:05d}}.parquet"
TAR_PART = f"{DATA}/{PART}{{:05d}}.tar"
INDEX_PART = f"{INDEX}/{PART}{{:05d}}.parquet"
RECORD_PART, RECORD_KEYS_PART = f"{DATA}/{PART}{{:05d}}.rec", f"{DATA}/{PART}{{:05d}}.idx"
RECORD_INDEX_PART = f"{INDEX}/{PART}{{:05d}}.rec.parquet"
REJECTED_PART = f"{REJECTED}/{PART}{{:05d}}.parquet"
RECORD = f"{WORK}/records/{PART}{{:05d}}.json"
