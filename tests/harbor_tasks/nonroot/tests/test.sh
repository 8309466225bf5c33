#!/bin/bash
reward=0
[ "$(cat /app/who.txt)" = player ] && [ "$(cat /app/hidden.txt)" = denied ] &&
    [ "$(cat /opt/hidden.txt)" = "not for the player" ] && [ "$(stat -c %U /app/who.txt)" = player ] && reward=1
echo $reward > /logs/verifier/reward.txt
