    environment:
      OPENENV_URL: $address
      OPENENV_TOKEN: "$${INTEROP_TOKEN:-}"
    extra_hosts:
      - "host.docker.internal:host-gateway"
