# $name

An episode of the OpenEnv environment `$environment` as a task of harbor. The agent acts by the tools of the MCP server
`openenv`, in an episode that was begun by a reset with `$reset`.

```console
$$ harbor run -p . -a AGENT -m MODEL
```

$needs
The reward is $rule, no reward is known: none is written, and harbor says so.

## Who can do what

A service of its own, `openenv`, keeps the episode. The agent's container reaches port $port of that service, which passes
on `/mcp` of this one episode and nothing else: no reset, no `/ws`, no rewards, no other session. When the agent has ended
its container is stopped, then the sidecar writes the result, and the verifier reads that in a container of its own. So an
agent can neither read the reward nor write it, nor begin anew.
