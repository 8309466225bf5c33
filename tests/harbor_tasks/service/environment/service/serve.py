"""Says a token that it has chosen when it began."""

import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = secrets.token_hex(8).encode()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(TOKEN)

    def log_message(self, *arguments):
        pass


ThreadingHTTPServer(("127.0.0.1", 8765), Handler).serve_forever()
