#!/usr/bin/env python3
"""Ships log records with the OpenTelemetry SDK over OTLP/HTTP: otlp_client.py URL TOKEN

Exits with 1 when an export fails.
Needs: pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
"""
import logging
import sys
import time

from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

url, token = sys.argv[1:3]
failures = []


class Strict(logging.Handler):
    """The exporter reports refusals to its own logger only."""

    def emit(self, record):
        failures.append(record.getMessage())


logging.getLogger("opentelemetry").addHandler(Strict(level=logging.WARNING))

total = 0
for compression in (Compression.NoCompression, Compression.Gzip, Compression.Deflate):
    exporter = OTLPLogExporter(
        endpoint=url.rstrip("/") + "/v1/logs",
        headers={"Authorization": f"Bearer {token}"},
        compression=compression,
        timeout=10,
    )
    provider = LoggerProvider(resource=Resource.create({"service.name": "otlp-py", "host.name": "client"}))
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("watchfire.clients", "1.0")
    for i in range(150):
        logger.emit(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            body=f"otlp {compression.value} {i}",
            attributes={"http.request.method": "GET", "http.response.status_code": 403, "client.address": "203.0.113.7"},
        )
        total += 1
    assert provider.force_flush(), "flush failed"
    provider.shutdown()

assert not failures, failures
print(f"otlp: {total} records exported")
