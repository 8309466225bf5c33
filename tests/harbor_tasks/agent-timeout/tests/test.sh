#!/bin/bash
reward=0
grep -qx done /app/done.txt && reward=1
echo $reward > /logs/verifier/reward.txt
