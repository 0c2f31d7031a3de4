"""The mart `experiments` equals what scipy and statsmodels make of the raw events.

Usage:
    check_experiments.py seed [PART/PARTS]   inserts events made by hand, all or every PARTS-th from the PART-th
    check_experiments.py check [VARS]        compares every column; VARS is the JSON that dbt was given as --vars

Between the two, dbt has to be run. The environment: CLICKHOUSE_URL (http://127.0.0.1:8123), CLICKHOUSE_DATABASE (analytics),
CLICKHOUSE_USER (default), CLICKHOUSE_PASSWORD (empty). `check` prints a line for each variant and ends with code 1 when a value
differs by more than 1e-9 of itself, or is null on one side only.

Needs scipy and statsmodels (infra/local/src/tools/pins.rs says which). Reads all events: not for a busy site.
"""

import datetime
import json
import math
import os
import random
import sys
import urllib.request
import uuid
import warnings

TOLERANCE = 1e-9
FLOATS = [
    "conversion_rate", "revenue", "revenue_per_user", "uplift", "uplift_low", "uplift_high", "difference", "difference_low",
    "difference_high", "p_value", "revenue_difference", "revenue_difference_low", "revenue_difference_high", "revenue_p_value",
    "srm_p_value",
]
EXACT = ["is_control", "users", "switchers", "conversions", "srm_detected", "first_exposure", "last_exposure"]


def clickhouse(query, body=b""):
    request = urllib.request.Request(
        os.environ.get("CLICKHOUSE_URL", "http://127.0.0.1:8123"),
        data=query.encode() + b"\n" + body,
        headers={
            "X-ClickHouse-User": os.environ.get("CLICKHOUSE_USER", "default"),
            "X-ClickHouse-Key": os.environ.get("CLICKHOUSE_PASSWORD", ""),
            "X-ClickHouse-Database": os.environ.get("CLICKHOUSE_DATABASE", "analytics"),
        },
    )
    with urllib.request.urlopen(request) as answer:
        return [json.loads(line) for line in answer.read().decode().splitlines()]


# What is made by hand. Each experiment has users of its own.

START = int(datetime.datetime(2026, 10, 1, tzinfo=datetime.timezone.utc).timestamp())


class Seed:
    def __init__(self):
        self.rows = []
        self.dice = random.Random(7)
        self.last_user = 10**9

    def user(self):
        self.last_user += 1
        return self.last_user

    def event(self, user, at, exp, amount=None, received=0, event_id=None, obj_id=None):
        buys = amount is not None
        obj_id = obj_id or (f"{user}-{at}" if buys else "main")
        self.rows.append({
            "dt": START + at, "name": "pay" if buys else "view", "user_id": str(user), "url": "https://shop.example/",
            "obj": "order" if buys else "page", "obj_id": obj_id, "product_id": 0, "amount": amount if buys else 0, "exp": exp,
            "event_id": str(event_id or uuid.uuid5(uuid.NAMESPACE_URL, f"{user} {at} {buys} {obj_id} {sorted(exp.items())}")),
            "received_at": f"{START + at + received}.000",
        })

    def crowd(self, experiment, variant, users, rate, amounts):
        """Users who see the variant; of them `rate` buy, some twice, some of whom before they saw it."""
        for _ in range(users):
            user, at = self.user(), self.dice.randrange(20 * 86400)
            self.event(user, at, {experiment: variant})
            if self.dice.random() < 0.05:
                self.event(user, at - 100, {}, amounts(self.dice))
            if self.dice.random() < rate:
                for after in range(self.dice.choice([1, 1, 2])):
                    self.event(user, at + after * 3600, {experiment: variant} if after else {}, amounts(self.dice))


def by_hand():
    seed = Seed()

    def price(dice):
        return round(dice.lognormvariate(3, 1), 2)

    # More users in one variant than chance allows.
    seed.crowd("skewed", "a", 900, 0.2, price)
    seed.crowd("skewed", "b", 700, 0.2, price)
    # A strong effect: p-values far in the tail.
    seed.crowd("strong", "control", 800, 0.05, price)
    seed.crowd("strong", "treatment", 800, 0.7, price)
    # Three variants and eleven; the control is neither the first nor the most frequent.
    for variant, rate in (("blue", 0.1), ("default", 0.12), ("red", 0.2)):
        seed.crowd("colours", variant, 300, rate, price)
    for number in range(11):
        seed.crowd("eleven", f"v{number}", 40 + number, 0.3, price)
    # Nothing to compare: one variant; one user each; nobody bought; everybody did, for the same; on one side nobody did.
    seed.crowd("alone", "a", 50, 0.3, price)
    seed.crowd("pair", "a", 1, 1, price)
    seed.crowd("pair", "b", 1, 0, price)
    seed.crowd("nobody", "a", 20, 0, price)
    seed.crowd("nobody", "b", 30, 0, price)
    for _ in range(30):
        for variant in ("a", "b"):
            user = seed.user()
            seed.event(user, 1000, {"everybody": variant}, 0.1)
    for variant, rate in (("a", 0), ("b", 0.4)):
        seed.crowd("one_sided", variant, 60, rate, price)
        seed.crowd("other_sided", variant, 60, 0.4 - rate, price)
    # Nearly the same from everybody: variances that a difference of sums of squares would lose.
    for number in range(60):
        seed.event(seed.user(), 5000, {"subscription": "ab"[number % 2]}, 1000 + 0.01 * (number % 7) + 0.01 * (number % 2))
    # Amounts whose squares overflow, and vanish.
    for number in range(20):
        seed.event(seed.user(), 5000, {"overflow": "ab"[number % 2]}, 1e200 * (number % 3))
        seed.event(seed.user(), 5000, {"infinite": "ab"[number % 2]}, 1.5e308)
        seed.event(seed.user(), 5000, {"underflow": "ab"[number % 2]}, 1e-200 * (number % 3))
    # People who switch, some in one second; who bought in the second of their exposure, one before, and between two variants.
    for number in range(200):
        user, first, second = seed.user(), *("ab" if number % 3 else "ba")
        seed.event(user, number, {"switch": first})
        if number % 4 == 0:
            seed.event(user, number + [0, 1, 60][number % 3], {"switch": second})
        if number % 5 == 0:
            seed.event(user, number + [0, -1, 30][number % 3], {}, 10 + number)
    # Copies: received again, later with another amount; and one id for several events.
    for number in range(40):
        user, shared = seed.user(), uuid.uuid5(uuid.NAMESPACE_URL, f"shared {number}")
        exp = {"copies": "ab"[number % 2]}
        for received in (0, 5000, 100):
            seed.event(user, number, exp, received=received)
        seed.event(user, number + 50, exp, 20, received=9)
        seed.event(user, number + 50, exp, 30, received=90)
        seed.event(user, number + 50, exp, 25, received=40)
        for later in (100, 200):
            seed.event(user, number + later, exp, 5, event_id=shared)
        seed.event(user, number + 200, exp, 7, event_id=shared, obj_id="other")
    # Names, an experiment in an event with others, ids at the end of their range.
    seed.last_user = 2**64 - 1000
    for number in range(100):
        exp = {"it's \\ \"odd\"\t\u00e9": ["", "b'"][number % 2], "": "a", "second": "xyz"[number % 3]}
        user = seed.user()
        seed.event(user, number, exp)
        if number % 7 < 2:
            seed.event(user, number + 5, exp, 3.5)
    return seed.rows


def insert(part, parts):
    rows = by_hand()
    # Copies and neighbours end up in different parts.
    chosen = [row for number, row in enumerate(rows) if number % parts == part - 1]
    body = "\n".join(json.dumps(row) for row in chosen).encode()
    clickhouse("INSERT INTO events (" + ", ".join(rows[0]) + ") FORMAT JSONEachRow", body)
    print(f"{len(chosen)} of {len(rows)} events")


# What is expected.


def raw_events():
    """Each event once, as its newest copy has it."""
    rows = clickhouse(
        "SELECT toUnixTimestamp(dt) AS at, name, obj, obj_id, toString(event_id) AS id, toString(user_id) AS user, "
        "toString(amount) AS amount, mapKeys(exp) AS experiments, mapValues(exp) AS variants, "
        "toUnixTimestamp64Milli(received_at) AS received FROM events FORMAT JSONEachRow"
    )
    newest = {}
    for row in rows:
        key = (row["at"], row["name"], row["obj"], row["obj_id"], row["id"])
        if key not in newest or int(row["received"]) > int(newest[key]["received"]):
            newest[key] = row
    return newest.values()


def expected(options):
    confidence = options.get("experiment_confidence", 0.95)
    controls, shares = options.get("experiment_controls", {}), options.get("experiment_shares", {})
    seen, bought = {}, {}
    for row in raw_events():
        for experiment, variant in zip(row["experiments"], row["variants"], strict=True):
            seen.setdefault(experiment, {}).setdefault(row["user"], []).append((int(row["at"]), variant))
        if row["name"] == "pay" and row["obj"] == "order":
            bought.setdefault(row["user"], []).append((int(row["at"]), float(row["amount"])))
    mart = {}
    for experiment, users in seen.items():
        names = {controls[experiment]} if experiment in controls else set()
        groups = {name: {"at": [], "switchers": 0, "paid": []} for name in names | set(shares.get(experiment, {}))}
        for user, sights in users.items():
            at, variant = min(sights)
            group = groups.setdefault(variant, {"at": [], "switchers": 0, "paid": []})
            group["at"].append(at)
            group["switchers"] += len({name for _, name in sights}) > 1
            group["paid"].append([amount for time, amount in bought.get(user, []) if time >= at])
        names = sorted(groups, key=lambda name: name.encode())
        usual = [name for name in options.get("control_variants", ["control", "default", "a"]) if name in groups]
        control = controls.get(experiment, (usual or names)[0])
        srm = ratio_mismatch([len(groups[name]["at"]) for name in names], [
            shares[experiment].get(name, 0) if experiment in shares else 1 for name in names
        ])
        for name in names:
            row = variant_row(groups[name], groups[control], name == control, confidence)
            row["srm_p_value"] = srm
            row["srm_detected"] = int(srm is not None and srm < options.get("experiment_srm_below", 0.001))
            mart[experiment, name] = row
    return mart


def ratio_mismatch(users, weights):
    if any(count and not weight for count, weight in zip(users, weights, strict=True)):
        return 0.0
    kept = [(count, weight) for count, weight in zip(users, weights, strict=True) if weight]
    if len(kept) < 2:
        return None
    total = sum(weight for _, weight in kept)
    return stats.chisquare([count for count, _ in kept], [sum(users) * weight / total for _, weight in kept]).pvalue


def variant_row(group, control, is_control, confidence):
    users, conversions, revenues = len(group["at"]), sum(map(bool, group["paid"])), [sum(paid) for paid in group["paid"]]
    row = dict.fromkeys(FLOATS)
    row |= {"is_control": int(is_control), "users": users, "switchers": group["switchers"], "conversions": conversions}
    row |= {"first_exposure": min(group["at"], default=None), "last_exposure": max(group["at"], default=None)}
    row["revenue"] = sum(revenues)
    if users:
        row["conversion_rate"], row["revenue_per_user"] = conversions / users, sum(revenues) / users
    base_users, base_conversions = len(control["at"]), sum(map(bool, control["paid"]))
    if is_control or not users or not base_users:
        return row
    counts, sizes = (conversions, base_conversions), (users, base_users)
    ends = {"count1": conversions, "nobs1": users, "count2": base_conversions, "nobs2": base_users, "alpha": 1 - confidence}
    row["difference"] = conversions / users - base_conversions / base_users
    # Where nothing varies statsmodels gives an interval without width, or NaN; the mart has none.
    if 0 < conversions < users or 0 < base_conversions < base_users:
        low, high = proportion.confint_proportions_2indep(**ends, method="wald", compare="diff")
        row["difference_low"], row["difference_high"] = low, high
    if 0 < sum(counts) < sum(sizes):
        row["p_value"] = proportion.proportions_ztest(counts, sizes)[1]
    if base_conversions:
        row["uplift"] = (conversions / users) / (base_conversions / base_users) - 1
        if conversions and row["difference_low"] is not None:
            low, high = proportion.confint_proportions_2indep(**ends, method="log", compare="ratio")
            row["uplift_low"], row["uplift_high"] = low - 1, high - 1
    base_revenues = [sum(paid) for paid in control["paid"]]
    row["revenue_difference"] = numpy.mean(revenues) - numpy.mean(base_revenues)
    # The same from everybody has no variance, though numpy's mean of it may be a last digit off.
    variances = [numpy.var(sample, ddof=1) if numpy.ptp(sample) else 0 for sample in (revenues, base_revenues)]
    if users > 1 and base_users > 1 and 0 < sum(variances) < math.inf:
        welch = stats.ttest_ind(revenues, base_revenues, equal_var=False)
        row["revenue_p_value"] = welch.pvalue
        row["revenue_difference_low"], row["revenue_difference_high"] = welch.confidence_interval(confidence)
    return row


def check(options):
    wanted = expected(options)
    times = "toUnixTimestamp(first_exposure) AS first_exposure, toUnixTimestamp(last_exposure) AS last_exposure"
    # Floats as text: JSON would show a NaN as null.
    floats = ", ".join(f"toString({column}) AS {column}" for column in FLOATS)
    found = clickhouse(
        f"SELECT experiment, variant, is_control, toUInt32(users) AS users, toUInt32(switchers) AS switchers, "
        f"toUInt32(conversions) AS conversions, srm_detected, {times}, {floats} FROM experiments FORMAT JSONEachRow"
    )
    wrong = 0
    for row in sorted(found, key=lambda row: (row["experiment"], row["variant"])):
        name = (row["experiment"], row["variant"])
        want = wanted.pop(name, None)
        if want is None:
            print(f"WRONG {name}: no such variant, or twice")
            wrong += 1
            continue
        faults = [f"{column} {row[column]}, expected {want[column]}" for column in EXACT if row[column] != want[column]]
        worst = 0.0
        for column in FLOATS:
            value, expect = row[column], want[column]
            value = None if value is None else float(value)
            expect = None if expect is None or not math.isfinite(expect) else float(expect)
            if value is None or expect is None:
                if value is not expect:
                    faults.append(f"{column} {value}, expected {expect}")
                continue
            # Differences of nearly equal numbers keep the digits of those.
            scale = max(abs(expect), abs(want["revenue_per_user"] or 0) if column.startswith("revenue_difference") else 0)
            off = abs(value - expect) / scale if scale else abs(value - expect)
            # The mart rounds revenue to six digits after the point.
            if column == "revenue" and abs(value - expect) <= 5e-7:
                off = 0.0
            if not off <= TOLERANCE and not abs(value - expect) < 1e-15:
                faults.append(f"{column} {value!r}, expected {expect!r}")
            worst = max(worst, off)
        wrong += bool(faults)
        shown = ("users", "conversions", "uplift", "p_value", "revenue_p_value", "srm_p_value")
        numbers = ", ".join(f"{column} {row[column]}" for column in shown)
        print(f"{'WRONG' if faults else 'ok'} {name}: {numbers}; off by {worst:.1e} at most")
        for fault in faults:
            print(f"    {fault}")
    for name in wanted:
        print(f"WRONG {name}: missing")
    print(f"{len(found)} variants, {wrong + len(wanted)} wrong")
    return 1 if wrong or wanted or not found else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["seed"]:
        insert(*map(int, (sys.argv[2] if len(sys.argv) > 2 else "1/1").split("/")))
    elif sys.argv[1:2] == ["check"]:
        import numpy
        from scipy import stats
        from statsmodels.stats import proportion

        warnings.simplefilter("ignore")
        raise SystemExit(check(json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}))
    else:
        raise SystemExit(__doc__)
