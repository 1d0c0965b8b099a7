#!/usr/bin/env python3
"""Ships events with elasticsearch-py 9, as an application would: elasticsearch_client.py URL TOKEN

Exits with 1 when the server refuses anything or is not taken for Elasticsearch.
Needs: pip install 'elasticsearch>=9,<10'
"""
import sys
from datetime import datetime, timezone

from elasticsearch import Elasticsearch, helpers

url, token = sys.argv[1:3]
client = Elasticsearch(url, api_key=token, retry_on_timeout=False, max_retries=0)

info = client.info()
assert info["tagline"] == "You Know, for Search", info
assert client.cluster.health(wait_for_status="yellow")["status"] == "green"
assert client.license.get()["license"]["status"] == "active"
assert client.indices.exists_index_template(name="template_logs")
assert client.indices.put_index_template(name="template_logs", index_patterns=["logs-*"])["acknowledged"]

run = datetime.now(timezone.utc).isoformat()


def documents(action, count):
    for i in range(count):
        yield {
            "_op_type": action,
            "_index": "logs-elasticsearch-py",
            "_id": f"{run}-{i}" if action == "create" else None,
            "@timestamp": datetime.now(timezone.utc).isoformat(),
            "message": f"elasticsearch-py {action} {i}",
            "service": {"name": "elasticsearch-py"},
            "run": run,
        }


stored, errors = helpers.bulk(client, documents("index", 250), chunk_size=100)
assert (stored, errors) == (250, []), (stored, errors)
for attempt in ("first", "again"):
    stored, errors = helpers.bulk(client, documents("create", 50))
    assert (stored, errors) == (50, []), (attempt, stored, errors)
answer = client.bulk(index="logs-elasticsearch-py", operations=[{"index": {}}, {"message": "one", "run": run}])
assert answer["errors"] is False and answer["items"][0]["index"]["status"] == 201, answer
answer = client.bulk(operations=[{"delete": {"_index": "logs-elasticsearch-py", "_id": "x"}}])
assert answer["errors"] is True and answer["items"][0]["delete"]["status"] == 400, answer
print(f"elasticsearch-py: 301 events stored once, run {run}")
