#!/bin/bash
cat > clamp.py <<'END'
def clamp(number, low, high):
    return max(low, min(number, high))
END
