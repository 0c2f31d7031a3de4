"""The comparison itself: what it must find."""

import unittest

import numpy as np

import compare
from nasty import make


def funnel(*rows):
    kinds = compare.MARTS["funnel"]
    return {
        name: np.array([row[place] for row in rows], dtype=object if kind == "text" else np.float64 if kind == "real" else np.int64)
        for place, (name, kind) in enumerate(kinds.items())
    }


ROWS = ((20_000, 1, "view", 4, 1.0, np.nan), (20_000, 2, "cart", 2, 0.5, 0.5), (20_001, 1, "view", 0, np.nan, np.nan))


class Compare(unittest.TestCase):
    def differences(self, *rows):
        self.lines = []
        return compare.compare("funnel", funnel(*ROWS), funnel(*rows), self.lines.append)

    def test_the_same_rows_in_another_order_are_the_same(self):
        self.assertEqual(self.differences(*ROWS[::-1]), 0)
        self.assertEqual(self.lines, ["funnel: 3 rows compared, 0 differences"])

    def test_the_last_bits_of_a_real_may_differ_and_no_more(self):
        self.assertEqual(self.differences(ROWS[0], (20_000, 2, "cart", 2, 0.5 + 1e-12, 0.5), ROWS[2]), 0)
        self.assertEqual(self.differences(ROWS[0], (20_000, 2, "cart", 2, 0.5 + 1e-6, 0.5), ROWS[2]), 1)

    def test_a_value_a_null_and_a_nan_are_three_things(self):
        self.assertEqual(self.differences(ROWS[0], ROWS[1], (20_001, 1, "view", 0, 0.0, np.nan)), 1)
        self.assertEqual(self.differences(ROWS[0], (20_000, 2, "cart", 2, np.nan, 0.5), ROWS[2]), 1)
        self.assertEqual(self.differences(ROWS[0], ROWS[1], (20_001, 1, "view", 0, np.inf, np.nan)), 1)

    def test_missing_surplus_and_double_rows_count(self):
        self.assertEqual(self.differences(*ROWS[:2]), 1)
        self.assertIn("no row date 2024-10-05, step 1", self.lines[1])
        self.assertEqual(self.differences(*ROWS, (20_002, 1, "view", 1, 1.0, np.nan)), 1)
        self.assertEqual(self.differences(*ROWS, ROWS[2]), 1)
        self.assertEqual(self.differences(), 3)

    def test_a_word_and_a_number_are_compared(self):
        self.assertEqual(self.differences((20_000, 1, "View", 4, 1.0, np.nan), (20_000, 2, "cart", 3, 0.5, 0.5), ROWS[2]), 2)

    def test_ids_are_unique_and_stay(self):
        def of(*ids):
            return compare.compare_ids(ids, known, {"user_id": np.array([1, 1]), "started_at": np.array([5, 9])}, lambda line: None)

        known = {}
        self.assertEqual(of("a", "b"), 0)
        self.assertEqual(of("a", "b"), 0)
        self.assertEqual(of("a", "c"), 1)
        self.assertEqual(of("a", "a"), 2)


class Nasty(unittest.TestCase):
    def test_no_event_has_a_copy_of_another_user(self):
        rows = make(seed=3, today=20_700, days=40, portions=5, users=500, batches=3)
        known, addresses = {}, {}
        for portion, row in rows:
            self.assertTrue(0 <= portion < 9)
            key = tuple(row[name] for name in ("dt", "name", "obj", "obj_id", "event_id"))
            self.assertEqual(known.setdefault(key, (row["user_id"], row["amount"])), (row["user_id"], row["amount"]))
            # Which of two copies counts is said by when they were received, and else by nothing.
            self.assertEqual(addresses.setdefault((*key, row["received_at"]), row["url"]), row["url"])
        self.assertLess(len(known), len(rows))
        self.assertEqual(rows, make(seed=3, today=20_700, days=40, portions=5, users=500, batches=3))


if __name__ == "__main__":
    unittest.main()
