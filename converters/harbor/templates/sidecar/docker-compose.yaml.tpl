services:
  main:
    depends_on:
      openenv:
        condition: service_healthy
  # The environment's server is on this service's own loopback; port $port has the agent's MCP door and nothing else.
  openenv:
    build:
      context: ./openenv
${remote}    healthcheck:
      test: ["CMD", "test", "-f", "/var/lib/openenv/session.json"]
      interval: 1s
      timeout: 5s
      retries: 600
