#!/bin/bash
reward=0
cmp -s /srv/given.txt /srv/taken.txt && reward=1
echo $reward > /logs/verifier/reward.txt
