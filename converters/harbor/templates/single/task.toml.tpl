schema_version = "1.4"

[task]
name = $name
description = $description
keywords = ["openenv"]

[metadata]
source = $source
reset = $reset
reward = $reward

# No other user may read the result, or signal the program that has it.
[agent]
user = "agent"

[verifier]
timeout_sec = 720.0
environment_mode = "shared"
user = "root"

[environment]
build_timeout_sec = 1800.0
${remote}
# harbor's own command replaces that of the image; the healthcheck runs as root, before the agent is there.
[environment.healthcheck]
command = "python3 -I /opt/openenv/sidecar.py start"
interval_sec = 1.0
timeout_sec = 610.0
retries = 1

[[environment.mcp_servers]]
name = "openenv"
transport = "streamable-http"
url = "http://127.0.0.1:$port/mcp"

[solution.env]
OPENENV_MCP_URL = "http://127.0.0.1:$port/mcp"
