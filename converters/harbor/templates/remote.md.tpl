The server must be running at `$url`, or at OPENENV_URL where harbor runs, and the container must reach that address:
`host.docker.internal` is the machine that runs Docker, if the server listens on more than its loopback.$token An agent
that reaches the server too can begin other episodes there, which count for nothing.
