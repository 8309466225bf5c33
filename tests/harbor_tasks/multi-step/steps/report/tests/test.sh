#!/bin/bash
. /tests/lib.sh
if [ "$(cat /app/report.txt)" = "multiply 6" ]; then give '{"reward": 1}'; else give '{"reward": 0}'; fi
