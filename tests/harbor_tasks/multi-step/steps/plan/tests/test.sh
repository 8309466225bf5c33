#!/bin/bash
. /tests/lib.sh
if grep -qx multiply /app/plan.txt; then give '{"reward": 1}'; else give '{"reward": 0}'; fi
