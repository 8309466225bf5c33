# $name

The OpenEnv server of `$environment` at `$url`, as an environment of verifiers (v0 API).

```console
$$ pip install .
$$ vf-eval $name --model MODEL
$$ vf-eval $name --model MODEL --env-args '{"url": "http://127.0.0.1:9000", "num_tasks": 20, "max_turns": 50}'
```

The server must be running. Where it wants a bearer token, set `INTEROP_TOKEN`. `openenv_reward` is the sum of the
rewards that the server gives in an episode.
