# $name

`$environment` of `$url`, by OpenEnv, as an environment of verifiers (v0 API).

```console
$$ pip install .
$$ vf-eval $name --model MODEL
$$ vf-eval $name --model MODEL --env-args '{"url": "http://127.0.0.1:9000", "num_tasks": 20, "max_turns": 50}'
```

$running
`openenv_reward` is the sum of the rewards that the environment gives in an episode.
