#!/bin/bash
python3 - <<'END'
import json
from pathlib import Path


def said(name):
    path = Path("/app") / name
    return path.read_text().strip() if path.is_file() else ""


rewards = {"sum": int(said("sum.txt") == "42"), "greet": int(said("greet.txt") == "hi")}
rewards["reward"] = (rewards["sum"] + rewards["greet"]) / 2
Path("/logs/verifier/reward.json").write_text(json.dumps(rewards))
END
