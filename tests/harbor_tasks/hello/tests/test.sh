#!/bin/bash
reward=0
[ "$(cat /app/hello.txt)" = "Hello, world!" ] && reward=1
echo $reward > /logs/verifier/reward.txt
