#!/bin/bash
reward=0
[ -e /work/made ] && [ "$(paste -sd , /work/out.txt)" = "hello 3,vanilla,maker,one" ] && reward=1
echo $reward > /logs/verifier/reward.txt
