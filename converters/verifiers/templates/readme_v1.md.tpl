# $name

`$environment` of `$url`, by OpenEnv, as a taskset of verifiers (v1 API).

```console
$$ pip install .
$$ vf-eval $name --model MODEL        # `eval` in verifiers 0.3.1
$$ vf-eval $name --model MODEL --env.taskset.url http://127.0.0.1:9000 --env.taskset.num-tasks 20
```

$running
`openenv_reward` is the sum of the rewards that the environment gives in an episode.
