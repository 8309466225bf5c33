#!/bin/bash
found=0
for number in 0 2 4 6 8; do
    grep -qx $number /app/even.txt && found=$((found + 1))
done
echo "0.$((found * 2))" > /logs/verifier/reward.txt
