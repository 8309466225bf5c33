import sys
import unittest

sys.path.insert(0, "/app")

from clamp import clamp


class Clamp(unittest.TestCase):
    def test_between(self):
        assert clamp(2, 1, 3) == 2

    def test_below(self):
        assert clamp(0, 1, 3) == 1

    def test_above(self):
        assert clamp(4, 1, 3) == 3

    def test_edges(self):
        assert [clamp(5, 1, 3), clamp(-5, 1, 3)] == [3, 1]
