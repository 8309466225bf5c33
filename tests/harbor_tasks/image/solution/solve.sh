#!/bin/bash
printf '%s\n' "$GREETING" "$FLAVOUR" "$(id -un)" "$(cat data/one.txt)" > out.txt
