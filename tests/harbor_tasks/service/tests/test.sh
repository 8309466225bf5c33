#!/bin/bash
reward=0
token=$(python3 -c 'import urllib.request as r; print(r.urlopen("http://127.0.0.1:8765/token").read().decode())')
[ -n "$token" ] && [ "$(cat /app/token.txt)" = "$token" ] && reward=1
echo $reward > /logs/verifier/reward.txt
