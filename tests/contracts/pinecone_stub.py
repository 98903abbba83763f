"""What Pinecone's data plane answers, on loopback, as far as the adapter asks it.

Written from Pinecone's published reference, and stricter than kind: it wants the key, refuses ids
that are not ASCII, nulls and objects in metadata, wrong dims, and bodies over the published limits.
It searches exactly and shows what was written at once; the service does neither. Nothing here has
been compared with the service.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "pcsk-not-a-real-key-5f1d"
BODY_BYTES_MAX = 2 * 1024 * 1024
RECORDS_MAX = 1_000
METADATA_BYTES_MAX = 40_960
ID_CHARS_MAX = 512
TOP_K_MAX = 10_000
COMPARE = {
    "$eq": lambda have, want: have == want,
    "$in": lambda have, want: have in want,
    "$gt": lambda have, want: have > want,
    "$gte": lambda have, want: have >= want,
    "$lt": lambda have, want: have < want,
    "$lte": lambda have, want: have <= want,
}


class Refused(Exception):
    """What the service would answer with 400."""


class Records:
    """An index: records by namespace and id."""

    def __init__(self, dims: int) -> None:
        self.dims = dims
        self.namespaces: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._lock = threading.Lock()

    def upsert(self, body: dict[str, Any]) -> dict[str, Any]:
        vectors = body["vectors"]
        if not 1 <= len(vectors) <= RECORDS_MAX:
            raise Refused("too many records, or none")
        for vector in vectors:
            self._check(vector)
        with self._lock:
            for vector in vectors:
                self.namespaces[body.get("namespace", "")][vector["id"]] = vector
        return {"upsertedCount": len(vectors)}

    def delete(self, body: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            for key in body["ids"]:
                self.namespaces[body.get("namespace", "")].pop(key, None)
        return {}

    def fetch(self, query: dict[str, list[str]]) -> dict[str, Any]:
        (namespace,) = query.get("namespace", [""])
        with self._lock:
            records = self.namespaces.get(namespace, {})
            found = {key: records[key] for key in query["ids"] if key in records}
        return {"vectors": found, "namespace": namespace, "usage": {"readUnits": 1}}

    def query(self, body: dict[str, Any]) -> dict[str, Any]:
        if not 1 <= body["topK"] <= TOP_K_MAX or len(body["vector"]) != self.dims:
            raise Refused("topK or vector")
        with self._lock:
            records = list(self.namespaces.get(body.get("namespace", ""), {}).values())
        wanted = body.get("filter") or {}
        kept = [one for one in records if matches(one.get("metadata") or {}, wanted)]
        query = np.asarray(body["vector"])
        scored = [
            (float(np.dot(query, row) / np.linalg.norm(query) / np.linalg.norm(row)), one)
            for one in kept
            for row in [np.asarray(one["values"])]
        ]
        best = sorted(scored, key=lambda pair: -pair[0])[: body["topK"]]
        found = [
            {"id": one["id"], "score": score, "values": []}
            | ({"metadata": one.get("metadata")} if body.get("includeMetadata") else {})
            for score, one in best
        ]
        return {"matches": found, "namespace": body.get("namespace", ""), "usage": {"readUnits": 5}}

    def stats(self, _: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            counts = {name: len(records) for name, records in self.namespaces.items() if records}
        return {
            "namespaces": {name or "__default__": {"vectorCount": n} for name, n in counts.items()},
            "dimension": self.dims,
            "indexFullness": 0,
            "totalVectorCount": sum(counts.values()),
        }

    def _check(self, vector: dict[str, Any]) -> None:
        key, metadata = vector["id"], vector.get("metadata") or {}
        if not key.isascii() or not 1 <= len(key) <= ID_CHARS_MAX:
            raise Refused("id")
        if len(vector["values"]) != self.dims or not any(vector["values"]):
            raise Refused("values")
        if len(json.dumps(metadata).encode()) > METADATA_BYTES_MAX:
            raise Refused("metadata is too large")
        for value in metadata.values():
            is_words = isinstance(value, list) and all(isinstance(one, str) for one in value)
            if not isinstance(value, str | int | float | bool) and not is_words:
                raise Refused("metadata")


def matches(metadata: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a record's metadata is what a filter wants; a missing value is never."""
    if "$and" in wanted:
        return all(matches(metadata, part) for part in wanted["$and"])
    return all(
        name in metadata and COMPARE[operator](metadata[name], value)
        for name, clause in wanted.items()
        for operator, value in clause.items()
    )


@contextmanager
def running(dims: int) -> Iterator[ThreadingHTTPServer]:
    """A server on a free port of loopback; `server_port` says which."""
    records = Records(dims)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            self._answer({"/vectors/fetch": records.fetch}, address.path, parse_qs(address.query))

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            if len(raw) > BODY_BYTES_MAX:
                return self._send(413, {"message": "too large"})
            routes = {
                "/vectors/upsert": records.upsert,
                "/vectors/delete": records.delete,
                "/query": records.query,
                "/describe_index_stats": records.stats,
            }
            return self._answer(routes, self.path, json.loads(raw))

        def _answer(self, routes: dict[str, Any], path: str, given: dict[str, Any]) -> None:
            if self.headers["Api-Key"] != KEY:
                # The service does not repeat the key; a careless proxy might.
                return self._send(401, {"message": f"bad key {self.headers['Api-Key']}"})
            if path not in routes:
                return self._send(404, {"message": "no such route"})
            try:
                return self._send(200, routes[path](given))
            except Refused as refused:
                return self._send(400, {"code": 3, "message": str(refused), "details": []})

        def _send(self, status: int, body: dict[str, Any]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
