"""The OpenEnv protocol without I/O: frames, codecs, session state machines, revisions.

Nothing here opens a socket, starts a thread or runs an event loop. The specification is `docs/protocol.md`.
"""
