#!/bin/bash
sorted=0
kept=0
[ "$(tr '\n' ' ' < /app/sorted.txt)" = "apple fig pear " ] && sorted=1
[ "$(tr '\n' ' ' < /app/words.txt)" = "pear apple fig " ] && kept=1
printf '{"sorted": %s, "kept": %s}' $sorted $kept > /logs/verifier/reward.json
