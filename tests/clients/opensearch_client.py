#!/usr/bin/env python3
"""Ships events with opensearch-py 3: opensearch_client.py URL TOKEN

Exits with 1 when the server refuses anything.
Needs: pip install 'opensearch-py>=3,<4'
"""
import sys
from datetime import datetime, timezone

from opensearchpy import OpenSearch, helpers

url, token = sys.argv[1:3]
run = datetime.now(timezone.utc).isoformat()
total = 0

for base, compress in ((url, False), (url.rstrip("/") + "/elastic", True)):
    client = OpenSearch(base, http_auth=("watchfire", token), http_compress=compress, max_retries=0)
    if base.endswith("/elastic"):
        assert client.info()["version"]["number"], "no version"
    assert client.cluster.health()["status"] == "green"
    documents = (
        {
            "_index": "logs-opensearch-py",
            "@timestamp": datetime.now(timezone.utc).isoformat(),
            "message": f"opensearch-py {i}",
            "service": {"name": "opensearch-py"},
            "run": run,
        }
        for i in range(200)
    )
    stored, errors = helpers.bulk(client, documents, chunk_size=64)
    assert (stored, errors) == (200, []), (base, stored, errors)
    total += stored

print(f"opensearch-py: {total} events stored, run {run}")
