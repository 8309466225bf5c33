#!/bin/bash
cd /tests
python3 - <<'END'
import unittest

suite = unittest.defaultTestLoader.discover("/tests", "*_checks.py")
result = unittest.TextTestRunner(verbosity=2).run(suite)
passed = result.testsRun - len(result.failures) - len(result.errors)
with open("/logs/verifier/reward.txt", "w") as file:
    file.write(str(passed / result.testsRun))
END
