#!/bin/bash
reward=0
# The answer has come over, the notes have not; the collect hook has seen both.
[ "$(cat /app/answer.txt)" = 42 ] && [ ! -e /app/scratch.txt ] && grep -qx scratch.txt /logs/artifacts/listing.txt && reward=1
echo $reward > /logs/verifier/reward.txt
