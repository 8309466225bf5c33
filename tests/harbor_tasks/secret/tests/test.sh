#!/bin/bash
reward=0
[ -n "$GRADER_TOKEN" ] && [ "$(cat /app/answer.txt)" = ready ] && ! grep -q "$GRADER_TOKEN" /app/seen.txt && reward=1
echo $reward > /logs/verifier/reward.txt
