schema_version = "1.4"
artifacts = [{ source = "/var/lib/openenv/result.json", service = "openenv" }]

[task]
name = $name
description = $description
keywords = ["openenv"]

[metadata]
source = $source
reset = $reset
reward = $reward

[verifier]
timeout_sec = 120.0
environment_mode = "separate"

# The result crosses over from the sidecar, which the agent cannot enter.
[[verifier.collect]]
service = "openenv"
command = "python3 -I /opt/openenv/sidecar.py collect"
timeout_sec = 660.0

[verifier.environment]
build_timeout_sec = 600.0

[environment]
build_timeout_sec = 1800.0

[[environment.mcp_servers]]
name = "openenv"
transport = "streamable-http"
url = "http://openenv:$port/mcp"

[solution.env]
OPENENV_MCP_URL = "http://openenv:$port/mcp"
