#!/bin/bash
. /tests/lib.sh
if grep -qx "$EXPECTED" /app/product.txt; then
    give '{"reward": 1, "style": 0.5}'
else
    give '{"reward": 0, "style": 0}'
fi
