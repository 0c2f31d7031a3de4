"""What handler.py decides without a ClickHouse. An end-to-end test runs it; by hand: CLICKHOUSE_URL=http://h python -m unittest."""

import unittest

import handler


class Handler(unittest.TestCase):
    def test_the_address_is_taken_apart_as_weir_dbt_does_it(self):
        for text, expected in [
            ("http://127.0.0.1:8123", ("127.0.0.1", "8123", "false")),
            ("http://localhost:8123/", ("localhost", "8123", "false")),
            ("https://x.clickhouse.cloud:8443", ("x.clickhouse.cloud", "8443", "true")),
            ("https://ch.example", ("ch.example", "443", "true")),
            ("http://ch.example", ("ch.example", "80", "false")),
            ("http://[::1]:9", ("::1", "9", "false")),
        ]:
            variables = handler.clickhouse_variables({"CLICKHOUSE_URL": text})
            names = ("CLICKHOUSE_HOST", "CLICKHOUSE_PORT", "CLICKHOUSE_SECURE")
            self.assertEqual(tuple(variables[name] for name in names), expected, text)

    def test_an_address_that_dbt_cannot_use_is_refused_and_not_shown(self):
        for text, word in [
            ("", "is not set"),
            ("secret:8123", "http://"),
            ("tcp://secret:9000", "http://"),
            ("http://", "http://"),
            ("http://secret:port", "http://"),
            ("http://[secret", "http://"),
            ("http://localhost:8123/secret", "no path"),
            ("http://localhost:8123/?password=secret", "no query"),
            ("http://me:secret@localhost:8123", "no user"),
        ]:
            with self.assertRaises(ValueError) as raised:
                handler.clickhouse_variables({"CLICKHOUSE_URL": text})
            self.assertIn(word, str(raised.exception), text)
            self.assertNotIn("secret", str(raised.exception))

    def test_of_an_error_its_kind_and_number_are_left(self):
        for kind, words, expected in [
            ("Database Error", "Received ClickHouse exception, code: 6, server response: 'secret'", "exception 6"),
            ("Database Error", "Code: 60. DB::Exception: secret", "exception 60"),
            ("OSError 38", "secret", None),
            ("Error", None, None),
            ("Error", "barcode: 7", None),
        ]:
            self.assertEqual(handler.cut_down(kind, words), f"{kind}: {expected}" if expected else kind)

    def test_metrics_count_what_failed(self):
        for status, states, failures in [
            ("success", ["success", "pass", "warn", "no-op"], 0),
            ("failed", ["success", "error", "skipped", "skipped"], 1),
            ("failed", ["fail", "error", "runtime error"], 3),
            ("error", [], 1),
            ("out_of_time", [], 1),
        ]:
            nodes = [{"name": state, "status": state} for state in states]
            line = handler.report(status, nodes, 1.5, 1_700_000_000.25)
            self.assertEqual((line["DbtFailures"], line["DbtNodes"]), (failures, len(states)), states)
            self.assertEqual((line["DurationMilliseconds"], line["_aws"]["Timestamp"]), (1500, 1_700_000_000_250))
            # Each metric and each dimension that is named is there.
            (metrics,) = line["_aws"]["CloudWatchMetrics"]
            self.assertEqual(metrics["Namespace"], "Weir")
            names = [metric["Name"] for metric in metrics["Metrics"]] + metrics["Dimensions"][0]
            self.assertLessEqual(set(names), set(line))


if __name__ == "__main__":
    unittest.main()
