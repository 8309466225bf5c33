The image begins with `BASE_IMAGE` (`--build-arg BASE_IMAGE=...`; it has Python 3.12 or newer as `python3`, with `venv`)
and installs `packages/requirements.txt`. It runs as a user that is not root, and needs no file system that can be
written but `/tmp`. Set INTEROP_TOKEN to ask clients for a bearer token.
