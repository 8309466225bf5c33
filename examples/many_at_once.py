"""Step many environments of one server: over one connection, and with one session each."""

import time

import numpy as np

import interop

STEPS = 300
NUM_ENVS = 8


def main() -> None:
    with interop.serve("gym:CartPole-v1") as server:
        for name, sessions in (("one connection", False), (f"{NUM_ENVS} sessions", True)):
            envs = interop.make_vec(server.url, NUM_ENVS, sessions=sessions)
            envs.reset(seed=0)
            envs.action_space.seed(0)
            returns = np.zeros(NUM_ENVS)
            start = time.perf_counter()
            for _ in range(STEPS):
                _, rewards, _, _, _ = envs.step(envs.action_space.sample())
                returns += rewards
            rate = STEPS * NUM_ENVS / (time.perf_counter() - start)
            print(f"{name}: {rate:,.0f} steps/s, rewards {returns.tolist()}")
            envs.close()


if __name__ == "__main__":
    main()
