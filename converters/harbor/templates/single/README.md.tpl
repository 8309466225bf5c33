# $name

An episode of the OpenEnv environment `$environment` as a task of harbor. The agent acts by the tools of the MCP server
`openenv`, in an episode that was begun by a reset with `$reset`.

```console
$$ harbor run -p . -a AGENT -m MODEL
```

$needs
The reward is $rule, no reward is known: none is written, and harbor says so.

## Who can do what

Everything is in one container. The healthcheck starts, as root, the program that keeps the episode; it passes on `/mcp`
of this one episode at port $port of loopback, and nothing else. The agent is another user: it can neither read the result
or the tokens, nor signal that program, nor write the reward once the verifier has begun.

That is weaker than a task with a sidecar, which `interop export` writes without `--single-container`:

- Whoever becomes root in this container has the result. An agent that must be root cannot play.
- What the environment's packages have in their files, such as answers, the agent can read.
- The agent can use up the processor and the memory that the environment needs.
- Where trials share a network they share that port: of two at a time the second does not start.
