---
title: $quoted_title
emoji: 🎮
colorFrom: blue
colorTo: green
sdk: docker
pinned: false
app_port: 8000
tags:
  - openenv
---

# $title

$description

This is `$source` as an OpenEnv environment, written by `interop package`.

## Image

```console
$$ openenv build . -t $image
$$ docker run -p 8000:8000 $image
```

${about_image}
It has no web interface: `openenv push --no-interface`.

## Clients

```python
from $name.client import ${prefix}Action, ${prefix}Env

with ${prefix}Env.from_docker_image("$image").sync() as env:
    result = env.reset(seed=0)
```

Any OpenEnv client will do, and Gymnasium code too: `interop.make("http://127.0.0.1:8000")`.

## Without Docker

```console
$$ pip install . && server --port 8000
```
