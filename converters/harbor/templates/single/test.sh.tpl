#!/bin/bash
# What runs on for the agent may write nothing beside the reward.
chown root:root /logs/verifier && chmod 755 /logs/verifier && rm -rf /logs/verifier/reward.json /logs/verifier/reward.txt
# Isolated: what an agent left in the working directory or the environment is not imported.
python3 -I /opt/openenv/sidecar.py collect && exec python3 -I /tests/verify.py $reward
