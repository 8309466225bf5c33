"""OpenEnv servers as environments of verifiers: `v0` and `v1` are its two APIs."""
