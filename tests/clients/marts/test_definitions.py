"""The brute force itself against small cases worked out by hand: python -m unittest discover -s tests/clients/marts"""

import datetime
import math
import unittest
import uuid

import numpy as np

import definitions
from warehouse import Collector

VIEW, CART, CHECKOUT, PAY = ("view", "page", "p"), ("click", "button", "add_to_cart"), ("click", "button", "checkout"), ("pay", "order", "1")
T = datetime.timezone.utc


def at(text):
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=T).timestamp())


def day(text):
    return at(text) // 86_400


def events(*rows):
    """Rows are (time, user, (name, obj, obj_id)) and a dict of what is unusual: url, amount, exp, id, received."""
    collector = Collector()
    for number, (time, user, (name, obj, obj_id), *more) in enumerate(rows):
        extra = more[0] if more else {}
        exp = extra.get("exp", {})
        text = str([list(exp), list(exp.values())]).replace("'", '"')
        collector.add(
            [at(time)], [name], [user], [extra.get("url", f"u{number}")], [obj], [obj_id], [extra.get("amount", 0.0)], [text],
            [uuid.UUID(int=extra.get("id", number + 1)).bytes], [extra.get("received", at(time) * 1_000)],
        )
    return collector.events()


def rows(mart, *names):
    return list(zip(*(np.asarray(mart[name]).tolist() for name in names)))


class Copies(unittest.TestCase):
    def test_the_newest_copy_is_kept(self):
        found = events(
            ("2026-01-01 00:00:00", 1, VIEW, {"id": 7, "received": 5, "url": "old"}),
            ("2026-01-01 00:00:00", 1, VIEW, {"id": 7, "received": 9, "url": "new"}),
            ("2026-01-01 00:00:00", 1, VIEW, {"id": 7, "received": 6, "url": "middle"}),
            # Of the same id, but no copies: another second, another name.
            ("2026-01-01 00:00:01", 1, VIEW, {"id": 7, "url": "later"}),
            ("2026-01-01 00:00:00", 1, CART, {"id": 7, "url": "click"}),
        ).without_copies()
        self.assertEqual(sorted(found.words["url"][code] for code in found.url), ["click", "later", "new"])


class Activity(unittest.TestCase):
    def test_everybody_is_new_returning_or_resurrected(self):
        mart = definitions.users_activity(events(
            ("2026-01-01 12:00:00", 1, VIEW), ("2026-01-01 13:00:00", 1, VIEW), ("2026-01-01 12:00:00", 2, VIEW),
            ("2026-01-31 00:00:00", 1, VIEW),  # thirty days later: returning
            ("2026-02-01 00:00:00", 2, VIEW),  # thirty-one: resurrected
            ("2026-02-01 23:59:59", 3, VIEW),
            ("2026-02-04 00:00:00", 3, VIEW),  # after today
        ), day("2026-02-03"))
        self.assertEqual(len(mart["date"]), 34)
        found = {row[0]: row[1:] for row in rows(mart, *mart)}
        self.assertEqual(found[day("2026-01-01")], (2, 2, 2, 1.0, 2, 0, 0))
        self.assertEqual(found[day("2026-01-07")], (0, 2, 2, 0.0, 0, 0, 0))
        self.assertEqual(found[day("2026-01-08")], (0, 0, 2, 0.0, 0, 0, 0))
        self.assertEqual(found[day("2026-01-30")], (0, 0, 2, 0.0, 0, 0, 0))
        self.assertEqual(found[day("2026-01-31")], (1, 1, 1, 1.0, 0, 1, 0))
        self.assertEqual(found[day("2026-02-01")], (2, 3, 3, 2 / 3, 1, 0, 1))
        self.assertEqual(found[day("2026-02-03")], (0, 3, 3, 0.0, 0, 0, 0))

    def test_no_events_no_rows(self):
        for mart in ("users_activity", "sessions", "experiments", "retention", "funnel", "pages"):
            self.assertEqual(set(map(len, (c for n, c in getattr(definitions, mart)(events(), 20_000).items() if n[0] != "_"))), {0})


class Sessions(unittest.TestCase):
    NAMES = ("user_id", "started_at", "ended_at", "duration_seconds", "events", "pages", "entry_url", "exit_url", "revenue")

    def test_a_gap_of_the_timeout_goes_on_and_one_second_more_does_not(self):
        mart = definitions.sessions(events(
            ("2026-01-31 23:50:00", 1, CART, {"url": "a"}), ("2026-02-01 00:20:00", 1, VIEW, {"url": "b"}),
            ("2026-02-01 00:20:00", 2, VIEW, {"url": "x"}),
            ("2026-02-01 00:50:00", 1, PAY, {"url": "c", "amount": 1.5}),
            ("2026-02-01 01:20:01", 1, PAY, {"url": "d", "amount": 2.0}), ("2026-02-01 01:20:02", 1, PAY, {"url": "e", "amount": 3.0}),
        ), 0)
        self.assertEqual(rows(mart, *self.NAMES), [
            (1, at("2026-01-31 23:50:00"), at("2026-02-01 00:50:00"), 3600, 3, 1, "b", "b", 1.5),
            (1, at("2026-02-01 01:20:01"), at("2026-02-01 01:20:02"), 1, 2, 0, "d", "e", 5.0),
            (2, at("2026-02-01 00:20:00"), at("2026-02-01 00:20:00"), 0, 1, 1, "x", "x", 0.0),
        ])
        self.assertEqual(mart["date"].tolist()[0], day("2026-01-31"))

    def test_in_one_second_the_id_decides_by_its_second_half(self):
        high = 1 << 64
        mart = definitions.sessions(events(
            ("2026-01-01 00:00:00", 1, VIEW, {"url": "second", "id": 1 * high + 2}),
            ("2026-01-01 00:00:00", 1, VIEW, {"url": "first", "id": 2 * high + 1}),
        ), 0)
        self.assertEqual(rows(mart, "entry_url", "exit_url"), [("first", "second")])

    def test_two_pages_of_one_id_and_second_are_either(self):
        mart = definitions.sessions(events(
            ("2026-01-01 00:00:00", 1, VIEW, {"url": "a", "id": 5}), ("2026-01-01 00:00:00", 1, ("view", "page", "q"), {"url": "b", "id": 5}),
            ("2026-01-01 00:00:00", 1, CART, {"url": "c", "id": 5}),
        ), 0)
        self.assertEqual(mart["__allowed__"], {("entry_url", 0): {"a", "b"}, ("exit_url", 0): {"a", "b"}})


class Experiments(unittest.TestCase):
    def test_users_stay_in_their_first_variant(self):
        a, b = {"exp": {"x": "a"}}, {"exp": {"x": "b"}}
        mart = definitions.experiments(events(
            ("2026-01-01 00:00:01", 1, PAY, {"amount": 100.0}),  # before the exposure
            ("2026-01-01 00:00:02", 1, VIEW, a), ("2026-01-01 00:00:02", 1, VIEW, b),  # the same second: the first by name
            ("2026-01-01 00:00:02", 1, PAY, {"amount": 4.0}),  # in the second of the exposure
            ("2026-01-01 00:00:03", 1, PAY, {"amount": 6.0, "exp": {"x": "b", "y": "z"}}),
            ("2026-01-01 00:00:04", 2, VIEW, b), ("2026-01-01 00:00:05", 3, VIEW, b), ("2026-01-01 00:00:06", 2, PAY, {"amount": 1.0}),
            ("2026-01-01 00:00:07", 4, PAY, {"amount": 9.0}),  # in no variant
            ("2026-01-01 00:00:07", 5, VIEW, a),
        ), 0)
        names = ("experiment", "variant", "is_control", "users", "switchers", "conversions", "conversion_rate", "revenue", "revenue_per_user")
        self.assertEqual(rows(mart, *names), [
            ("x", "a", 1, 2, 1, 1, 0.5, 10.0, 5.0), ("x", "b", 0, 2, 0, 1, 0.5, 1.0, 0.5), ("y", "z", 1, 1, 0, 1, 1.0, 6.0, 6.0),
        ])
        self.assertEqual(mart["srm_p_value"].tolist()[:2], [1.0, 1.0])
        self.assertTrue(math.isnan(mart["srm_p_value"][2]))
        self.assertEqual(rows(mart, "uplift", "difference", "p_value")[1], (0.0, 0.0, 1.0))
        self.assertTrue(all(map(math.isnan, rows(mart, "uplift", "difference_low", "revenue_p_value")[0])))
        self.assertEqual(rows(mart, "first_exposure", "last_exposure")[1], (at("2026-01-01 00:00:04"), at("2026-01-01 00:00:05")))

    def test_the_statistics_of_a_textbook_s_size(self):
        """200 of 1,000 against 250 of 1,000, each purchase 10. By hand: the pooled rate is 0.225, its error
        sqrt(0.225 * 0.775 / 500) = 0.0186748, z = 2.67741, p = 0.0074195. The error of the difference is
        sqrt((0.2 * 0.8 + 0.25 * 0.75) / 1000) = 0.0186414, times 1.959964 = 0.0365366. That of the log of the ratio is
        sqrt(0.8 / 200 + 0.75 / 250) = 0.0836660, times 1.959964 = 0.163982."""
        made = []
        for user in range(2_000):
            variant = "control" if user < 1_000 else "new"
            made.append(("2026-01-01 00:00:00", user, VIEW, {"exp": {"x": variant}}))
            if user < 200 or 1_000 <= user < 1_250:
                made.append(("2026-01-02 00:00:00", user, PAY, {"amount": 10.0}))
        mart = definitions.experiments(events(*made), 0)
        found = {name: mart[name][1] for name in mart}
        for name, expected in {
            "uplift": 0.25, "uplift_low": 1.25 * math.exp(-0.163982) - 1, "uplift_high": 1.25 * math.exp(0.163982) - 1,
            "difference": 0.05, "difference_low": 0.05 - 0.0365366, "difference_high": 0.05 + 0.0365366, "p_value": 0.0074195,
            "revenue_difference": 0.5, "srm_p_value": 1.0,
            # Of the t distribution with some 1,990 degrees of freedom, 1.96115: 10 * sqrt(0.16016 / 1000 + 0.1876877 / 1000).
            "revenue_difference_low": 0.5 - 1.96115 * 0.1865070, "revenue_difference_high": 0.5 + 1.96115 * 0.1865070,
        }.items():
            self.assertAlmostEqual(found[name], expected, places=5, msg=name)

    def test_a_mismatch_of_the_numbers_is_found(self):
        """60 against 120: chi-square = 2 * 30 * 30 / 90 = 20, p = 7.744e-6. As 1 to 2 it is as it should be."""
        made = [("2026-01-01 00:00:00", user, VIEW, {"exp": {"x": "a" if user < 60 else "b"}}) for user in range(180)]
        mart = definitions.experiments(events(*made), 0)
        self.assertAlmostEqual(mart["srm_p_value"][0], 7.744e-6, places=8)
        self.assertEqual(mart["srm_detected"].tolist(), [1, 1])
        mart = definitions.experiments(events(*made), 0, {"x": "b"}, {"x": {"a": 1, "b": 2}})
        self.assertEqual(rows(mart, "is_control", "srm_p_value", "srm_detected"), [(0, 1.0, 0), (1, 1.0, 0)])


class Retention(unittest.TestCase):
    def test_days_and_weeks(self):
        # 2026-01-05 is a Monday.
        mart = definitions.retention(events(
            ("2026-01-06 10:00:00", 1, VIEW), ("2026-01-06 23:59:59", 2, VIEW), ("2026-01-07 00:00:00", 2, VIEW),
            ("2026-01-07 00:00:00", 2, PAY), ("2026-01-12 00:00:00", 1, VIEW), ("2026-01-11 00:00:00", 3, VIEW),
        ), day("2026-01-13"))
        found = rows(mart, *mart)
        self.assertEqual([row for row in found if row[0] == "week"], [
            ("week", day("2026-01-05"), 0, 3, 3, 1.0), ("week", day("2026-01-05"), 1, 3, 1, 1 / 3),
        ])
        first = [row[2:] for row in found if row[:2] == ("day", day("2026-01-06"))]
        self.assertEqual(first, [
            (0, 2, 2, 1.0), (1, 2, 1, 0.5), (2, 2, 0, 0.0), (3, 2, 0, 0.0), (4, 2, 0, 0.0), (5, 2, 0, 0.0), (6, 2, 1, 0.5), (7, 2, 0, 0.0),
        ])
        self.assertEqual([row[2:] for row in found if row[:2] == ("day", day("2026-01-11"))], [(0, 1, 1, 1.0), (1, 1, 0, 0.0), (2, 1, 0, 0.0)])

    def test_a_cohort_is_followed_for_thirty_days_and_twelve_weeks(self):
        mart = definitions.retention(events(("2026-01-05 00:00:00", 1, VIEW), ("2026-02-04 00:00:00", 1, VIEW)), day("2026-12-31"))
        self.assertEqual([row[1] for row in rows(mart, "period", "n") if row[0] == "day"], list(range(31)))
        self.assertEqual([row[1] for row in rows(mart, "period", "n") if row[0] == "week"], list(range(13)))
        self.assertEqual([row[1:] for row in rows(mart, "period", "n", "users") if row[2]], [(0, 1), (30, 1), (0, 1), (4, 1)])


class Funnel(unittest.TestCase):
    def numbers(self, *made):
        mart = definitions.funnel(events(*made), 0)
        found = {}
        for date, _, users in rows(mart, "date", "step", "users"):
            found.setdefault(date, []).append(users)
        return found

    def test_the_window_s_last_second_counts_and_the_next_does_not(self):
        found = self.numbers(
            ("2026-01-01 12:00:00", 1, VIEW), ("2026-01-01 12:00:00", 1, CART), ("2026-01-02 12:00:00", 1, CHECKOUT),
            ("2026-01-02 12:00:01", 1, PAY), ("2026-01-01 23:59:59", 2, VIEW), ("2026-01-02 23:59:59", 2, CART),
        )
        self.assertEqual(found, {day("2026-01-01"): [2, 2, 1, 0], day("2026-01-02"): [0, 0, 0, 0]})

    def test_a_later_beginning_may_reach_further(self):
        found = self.numbers(
            ("2026-01-01 00:00:00", 1, VIEW), ("2026-01-01 00:00:01", 1, CART), ("2026-01-01 20:00:00", 1, VIEW),
            ("2026-01-01 21:00:00", 1, CART), ("2026-01-02 19:00:00", 1, CHECKOUT), ("2026-01-02 20:00:00", 1, PAY),
        )
        self.assertEqual(found, {day("2026-01-01"): [1, 1, 1, 1], day("2026-01-02"): [0, 0, 0, 0]})

    def test_the_order_counts_and_so_does_the_user(self):
        found = self.numbers(
            ("2026-01-01 10:00:00", 1, VIEW), ("2026-01-01 09:00:00", 1, CART), ("2026-01-01 11:00:00", 2, CART),
            ("2026-01-01 10:00:00", 3, VIEW), ("2026-01-01 10:00:01", 3, CHECKOUT), ("2026-01-01 10:00:02", 3, CART),
            ("2026-01-01 10:00:03", 3, PAY), ("2026-01-03 10:00:03", 9, ("x", "y", "z")),
        )
        self.assertEqual(found, {day("2026-01-01"): [2, 1, 0, 0], day("2026-01-03"): [0, 0, 0, 0]})

    def test_conversions(self):
        mart = definitions.funnel(events(
            ("2026-01-01 10:00:00", 1, VIEW), ("2026-01-01 10:00:00", 2, VIEW), ("2026-01-01 10:00:00", 1, CART),
        ), 0)
        text = [[str(value) for value in row] for row in rows(mart, "step_name", "conversion_from_first", "conversion_from_previous")]
        self.assertEqual(text, [["view", "1.0", "nan"], ["add_to_cart", "0.5", "0.5"], ["checkout", "0.0", "0.0"], ["paid", "0.0", "nan"]])


class Pages(unittest.TestCase):
    def test_a_page_is_host_and_path(self):
        for url, page in {
            "http://shop.example/a/b?c=1": "shop.example/a/b", "https://shop.example/a/b#c": "shop.example/a/b",
            "https://shop.example/a/b/": "shop.example/a/b/", "https://shop.example": "shop.example/",
            "https://shop.example?a/b@c": "shop.example/", "https://shop.example#a?b": "shop.example/",
            "https://shop.example/a?b#c": "shop.example/a", "https://shop.example/a#b?c": "shop.example/a",
            "HTTPS://Shop.Example/Cart": "shop.example/Cart", "https://shop.example:443/": "shop.example/",
            "https://shop.example:80/": "shop.example:80/", "http://shop.example:80": "shop.example/",
            "http://shop.example:443/": "shop.example:443/", "http://shop.example:/": "shop.example/",
            "http://localhost:3000/": "localhost:3000/", "http://[::80]:80/": "[::80]/", "http://[::80]/": "[::80]/",
            "https://user:secret@shop.example/@a": "shop.example/@a", "https://user:s@cret@shop.example": "shop.example/",
            "http:user:secret@shop.example/": "shop.example/", "//user@shop.example/": "shop.example/", "main": "main/", "": "/",
            "https://пример.рф/Путь": "пример.рф/Путь", "https://ПРИМЕР.рф/": "ПРИМЕР.рф/",
            "https://shop.example//http://a/": "shop.example//http://a/",
            f"https://x/{'é' * 509}?": f"x/{'é' * 509}", f"https://x/{'é' * 510}": f"x/{'é' * 510}",
            f"https://x/{'é' * 511}": f"x/{'é' * 510}",
        }.items():
            self.assertEqual(definitions.page_of(url), page, url)

    def test_different_events_and_users_of_a_day_count(self):
        a, b, banner = {"url": "http://x/a"}, {"url": "http://x/b"}, ("view", "banner", "p")
        mart = definitions.pages(events(
            ("2026-01-01 00:00:00", 1, VIEW, a), ("2026-01-01 23:59:59", 1, VIEW, {"url": "https://X/a?q"}),
            ("2026-01-01 10:00:00", 2, VIEW, a), ("2026-01-01 10:00:00", 3, CART, a), ("2026-01-01 10:00:00", 3, banner, a),
            # One id: for one second more no further view, for another page and another day one.
            ("2026-01-01 11:00:00", 4, VIEW, {**a, "id": 99}), ("2026-01-01 11:00:01", 5, VIEW, {**a, "id": 99}),
            ("2026-01-01 11:00:02", 4, VIEW, {**b, "id": 99}), ("2026-01-02 00:00:00", 4, VIEW, {**a, "id": 99}),
            ("2026-01-03 00:00:00", 4, PAY, a),
        ), 0)
        self.assertEqual(rows(mart, *mart), [
            (day("2026-01-01"), "x/a", 4, 4), (day("2026-01-01"), "x/b", 1, 1), (day("2026-01-02"), "x/a", 1, 1),
        ])

    def test_a_page_goes_with_the_copy_that_another_replaces(self):
        mart = definitions.pages(events(
            ("2026-01-01 00:00:00", 1, VIEW, {"id": 7, "received": 5, "url": "http://x/old"}),
            ("2026-01-01 00:00:00", 1, VIEW, {"id": 7, "received": 9, "url": "http://x/new"}),
        ).without_copies(), 0)
        self.assertEqual(rows(mart, *mart), [(day("2026-01-01"), "x/new", 1, 1)])


if __name__ == "__main__":
    unittest.main()
