#!/bin/bash
# Isolated: what an agent left in the working directory or the environment is not imported.
exec python3 -I /tests/verify.py $reward
