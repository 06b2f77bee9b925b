"""gateway-headers.py PORT FILE: a payment gateway that takes every charge, and writes a line for
each request to FILE: {"method": …, "path": …, "headers": {name: value}}."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Gateway(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, document):
        with open(sys.argv[2], "a", encoding="utf-8") as out:
            out.write(json.dumps({"method": self.command, "path": self.path, "headers": {
                name.lower(): value for name, value in self.headers.items()}}) + "\n")
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(404, {"detail": "no such charge"})

    def do_POST(self):
        charge = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(201, {
            "id": "ch_" + charge["reference"], "idempotency_key": self.headers["Idempotency-Key"],
            "amount": charge["amount"], "currency": charge["currency"], "status": "succeeded",
            "reason": None})

    def log_message(self, *arguments):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Gateway).serve_forever()
