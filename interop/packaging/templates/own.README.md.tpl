The image begins as the task's own does, with `BASE_IMAGE` (`--build-arg BASE_IMAGE=...`), and must have Python 3.12 or
newer as `python3`, with `venv`: the hub is installed beside it, in `/opt/interop`. Set INTEROP_TOKEN to ask clients for
a bearer token.

**A container plays one episode**, which uses it up: a second reset is an error. Start a new one for each.

## Who can do what

The server is root. An agent's commands run as the task's agent user (`[agent] user`), or else as the image's own. The
tests are in `/opt/interop/env/source`, which root alone can enter, and are copied to `/tests` when the agent has
submitted; the solution is not in the image.

Where the agent's user is root, as in a task that names none, **nothing in the container is safe from it**: it can read the
tests, and write the reward. `[agent] user` in `task.toml` is what keeps them from it, or a sandbox outside of
the container: `interop serve harbor:...`.

The network is what the container was started with, and so are its memory and processors; what the task says of these
is in `openenv.yaml`. Variables that the verifier takes from its host (`[verifier.env]`) are given to the container
(`docker run -e NAME=...`), and no command of the agent has them.
